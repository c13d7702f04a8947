"""Who was handed over to whom: an ambulance run that ends at a hospital just as somebody arrives there by ambulance.

A patient who cannot say a name is registered under none, and no comparison of identities finds her again. But the
hospital learns who she is, and the two agencies wrote down one event. A *handover* is a pair of encounters, one of a
source that hands people over (`linkage.source.Handover`) and one of the source that takes them, whose times and
records go together. Where only one pair fits, it is strong evidence; how strong is learned from the handovers of people
whose birth dates are known (`linkage.trials`), never supposed.

Most runs and visits can be told apart by those who are known: a run and a visit of one birth date, within minutes,
belong together, and then fit nobody else. What they leave over is few enough to pair.
"""

from collections.abc import Mapping, Sequence

from duckdb import DuckDBPyConnection

from linkage.source import Handover, Source

_RECOGNISED_BY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "standard": (("birth_date_token",), ("first_name_root_token", "last_name_token"), ("ssn4_token",)),
    "high": (("names_birth_date_token",), ("first_name_birth_date_token",), ("ssn_token",)),
}
"""By profile, the columns of people of which one that agrees tells whose run a visit was, among the few of the same
minutes. Who has the first of them could have been recognised: their handovers are the trials."""

HANDOVER_COLUMNS = (
    "handover_tokens",
    "handover_alone_tokens",
    "handover_trial_tokens",
    "handover_trial_alone_tokens",
)


def find_handovers(con: DuckDBPyConnection, sources: Sequence[Source], profile: str) -> None:
    """Create or replace the temporary table `handover_of_client`: source, client_id and `HANDOVER_COLUMNS`, a row for
    each client of a handover.

    Each column is a list of numbers (BIGINT) of encounters that handed somebody over; two clients that share a number
    may be one person. `handover_tokens`: every handover that fits, once those who are recognised are told apart;
    `handover_alone_tokens`: of these, the ones that fit nobody else on either side. The trial columns hold the same for
    the runs of people with a birth date, each as it would be had that person said nothing.

    Reads `<source>_encounter` and `<source>_people`; a source that has no encounters yet hands nobody over.
    """
    con.execute(
        """
        create or replace temp table handover_token
            (source varchar, client_id varchar, token bigint, is_trial boolean, is_alone boolean)
        """
    ).fetchall()
    by_name = {source.name: source for source in sources}
    there = {name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()}
    for giver in sources:
        taker = by_name.get(giver.handover.to) if giver.handover else None
        if giver.handover and taker and {f"{giver.name}_encounter", f"{taker.name}_encounter"} <= there:
            _pair_encounters(con, giver, taker, giver.handover)
            _recognise(con, giver, taker, profile)
            _keep_tokens(con, giver, taker)
    lists = ", ".join(
        f"list(distinct token order by token) filter ({'' if 'trial' in column else 'not '}is_trial"
        f"{' and is_alone' if 'alone' in column else ''}) as {column}"
        for column in HANDOVER_COLUMNS
    )
    con.execute(
        f"""
        create or replace temp table handover_of_client as
        select source, client_id, {lists} from handover_token group by source, client_id
        """
    ).fetchall()


def _pair_encounters(con: DuckDBPyConnection, giver: Source, taker: Source, handover: Handover) -> None:
    """Create the temporary table `encounter_pair` (run, giver, visit, taker): encounters whose times go together."""
    con.execute(
        f"""
        create or replace temp table encounter_pair as
        with run as ({_latest_sql(giver, "ended_at", handover.given_when)}),
        visit as ({_latest_sql(taker, "started_at", handover.taken_when)})
        select run.encounter_id as run, run.client_id as giver, visit.encounter_id as visit, visit.client_id as taker
        from run inner join visit
            on visit.at >= run.at - interval {handover.minutes_before} minutes
            and visit.at <= run.at + interval {handover.minutes_after} minutes
        """
    ).fetchall()


def _latest_sql(source: Source, at: str, when: Mapping[str, Sequence[str]]) -> str:
    """SQL: encounter_id, client_id and time `at` of the encounters whose latest version is as `when` says."""
    conditions = [
        f"{column}::varchar in ({', '.join(repr(value) for value in values)})"
        for column, values in when.items()
    ]
    needed = ", ".join(["encounter_id", "client_id", at, *when])
    return f"""
        select encounter_id, client_id, {at} as at
        from (
            select {needed} from {source.name}_encounter
            qualify row_number() over (partition by encounter_id order by month desc, row_number desc) = 1
        )
        where {" and ".join([f"{at} is not null", *conditions])}
        """


def _recognise(con: DuckDBPyConnection, giver: Source, taker: Source, profile: str) -> None:
    """Create the temporary table `handover_pair`: the columns of `encounter_pair`, is_recognised (both sides agree on
    what tells people apart) and could_be (the giver's client has a birth date).

    Clients that are known to be of different sexes make no pair.
    """
    keys = ", ".join(
        f"if({' and '.join(f'{column} is not null' for column in columns)}, hash({number}, {', '.join(columns)}), null)"
        for number, columns in enumerate(_RECOGNISED_BY[profile])
    )
    could_be = " and ".join(
        [
            "not coalesce(birth_date_suspect, false)",
            *(f"{column} is not null" for column in _RECOGNISED_BY[profile][0]),
        ]
    )
    sides = ", ".join(
        f"""
        {side}_identity as (
            select client_id as {side}, flatten(list([{keys}])) as keys, bool_or({could_be}) as could_be,
                list(distinct sex) filter (sex in ('F', 'M')) as sexes
            from {source.name}_people
            where client_id in (select {side} from encounter_pair)
            group by client_id
        )
        """
        for side, source in (("giver", giver), ("taker", taker))
    )
    con.execute(
        f"""
        create or replace temp table handover_pair as
        with {sides}
        select run, giver, visit, taker,
            list_has_any(
                list_filter(l.keys, lambda key: key is not null), list_filter(r.keys, lambda key: key is not null)
            ) as is_recognised,
            l.could_be
        from encounter_pair
        inner join giver_identity as l using (giver)
        inner join taker_identity as r using (taker)
        where coalesce(list_has_any(l.sexes, r.sexes), true)
        """
    ).fetchall()


def _keep_tokens(con: DuckDBPyConnection, giver: Source, taker: Source) -> None:
    """Add to `handover_token` the handovers of `handover_pair` and the trials.

    A run or a visit that was recognised fits only what it was recognised with. In its trial a run counts as not
    recognised, and all others as they are.
    """
    con.execute(
        f"""
        create or replace temp table found_handover as
        with claim as (select visit, count(distinct run) as runs from handover_pair where is_recognised group by visit),
        judged as (
            select handover_pair.*, coalesce(runs, 0) as runs_recognised,
                bool_or(is_recognised) over (partition by run) as run_is_recognised
            from handover_pair left join claim using (visit)
        ),
        open_visit as (
            select visit, count(distinct run) as open_runs from judged where not run_is_recognised group by visit
        ),
        fitting as (
            select run, giver, visit, taker, false as is_trial,
                min(taker) over (partition by run) = max(taker) over (partition by run)
                    and min(giver) over (partition by visit) = max(giver) over (partition by visit) as is_alone
            from judged
            where is_recognised or (not run_is_recognised and runs_recognised = 0)
        ),
        trial as (
            select run, giver, visit, taker, true as is_trial,
                min(taker) over (partition by run) = max(taker) over (partition by run)
                    and max(coalesce(open_runs, 0)) over (partition by run) = if(run_is_recognised, 0, 1)
                    as is_alone
            from judged left join open_visit using (visit)
            where could_be and runs_recognised = if(is_recognised, 1, 0)
        )
        select
            (md5_number_lower('{giver.name}|' || run) >> 4)::bigint as token, giver, taker, is_trial, is_alone
        from (from fitting union all from trial)
        """
    ).fetchall()
    for side, source in (("giver", giver), ("taker", taker)):
        con.execute(
            f"""
            insert into handover_token
            select distinct '{source.name}', {side}, token, is_trial, is_alone from found_handover
            """
        ).fetchall()
