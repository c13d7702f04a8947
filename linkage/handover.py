"""Who was handed over to whom: an ambulance run that ends at a hospital just as somebody arrives there by ambulance.

A patient who cannot say a name is registered under none, and no comparison of identities finds her again. But the
hospital learns who she is, and the two agencies wrote down one event. A *handover* is a pair of encounters, one of a
source that hands people over (`linkage.source.Handover`) and one of the source that takes them, whose times and
records go together. Where only one pair fits, it is strong evidence; how strong is learned from the handovers of people
whose birth dates are known (`linkage.handover_trials`), never supposed.

Most runs and visits can be told apart by those who are known: a run and a visit of one birth date, within minutes,
belong together, and then fit nobody else. What they leave over is few enough to pair.
"""

from collections.abc import Iterator, Mapping, Sequence

from duckdb import DuckDBPyConnection

from linkage.source import Handover, Source

_RECOGNISED_BY: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "standard": (("birth_date_token",), ("first_name_root_token", "last_name_token"), ("ssn4_token",)),
    "high": (("names_birth_date_token",), ("first_name_birth_date_token",), ("ssn_token",)),
}
"""By profile, the columns of people of which one that agrees tells whose run a visit was, among the few of the same
minutes. Who has the first of them could have been recognised: their handovers are the trials."""

HANDOVER_COLUMNS = ("handover_tokens", "handover_alone_tokens")


def find_handovers(con: DuckDBPyConnection, sources: Sequence[Source], profile: str) -> None:
    """Create or replace the temporary table `handover_of_client`: source, client_id and `HANDOVER_COLUMNS`, a row for
    each client of a handover.

    Each column is a list of numbers (BIGINT) of encounters that handed somebody over; two clients that share a number
    may be one person. `handover_tokens`: every handover that fits, once those who are recognised are told apart;
    `handover_alone_tokens`: of these, the ones that fit nobody else on either side.

    Reads `<source>_encounter` and `<source>_people`; a source that has no encounters yet hands nobody over.
    """
    con.execute(
        """
        create or replace temp table handover_token
            (source varchar, client_id varchar, token bigint, is_alone boolean)
        """
    ).fetchall()
    for giver, taker, handover in _handing_over(con, sources):
        _recognise(con, giver, taker, handover, profile)
        con.execute(
            f"""
            create or replace temp table found_handover as
            with fitting as (
                select run, visit from recognised
                union all
                {_fitting_sql("select run from run_identity anti join recognised using (run)", handover)}
            )
            select (md5_number_lower('{giver.name}|' || l.encounter_id) >> 4)::bigint as token,
                l.client_id as giver, r.client_id as taker, is_alone
            from (
                select run, visit,
                    min(r.client) over (partition by run) = max(r.client) over (partition by run)
                        and min(l.client) over (partition by visit) = max(l.client) over (partition by visit)
                        as is_alone
                from fitting inner join run_identity as l using (run) inner join visit_identity as r using (visit)
            )
            inner join handover_run as l on l.rowid = run
            inner join handover_visit as r on r.rowid = visit
            """
        ).fetchall()
        for side, source in (("giver", giver), ("taker", taker)):
            con.execute(
                f"""
                insert into handover_token
                select '{source.name}', {side}, token, bool_or(is_alone) from found_handover group by {side}, token
                """
            ).fetchall()
    con.execute(
        """
        create or replace temp table handover_of_client as
        select source, client_id, list(token order by token) as handover_tokens,
            list(token order by token) filter (is_alone) as handover_alone_tokens
        from handover_token group by source, client_id
        """
    ).fetchall()


def find_trials(con: DuckDBPyConnection, sources: Sequence[Source], profile: str) -> None:
    """Create or replace the temporary table `handover_trial`: source_l, client_id_l, source_r, client_id_r, is_alone.

    The handovers of people with a birth date as they would be had that person said nothing, and all others what they
    said: the pairs of clients that would be found, each once, and whether one of their handovers fits nobody else.
    """
    con.execute(
        """
        create or replace temp table handover_trial
            (source_l varchar, client_id_l varchar, source_r varchar, client_id_r varchar, is_alone boolean)
        """
    ).fetchall()
    for giver, taker, handover in _handing_over(con, sources):
        _recognise(con, giver, taker, handover, profile)
        con.execute(
            f"""
            insert into handover_trial
            with claimed as (select visit, count(distinct run) as runs from recognised group by visit),
            open_run as (select run from run_identity anti join recognised using (run)),
            pair as (
                select run, visit from recognised
                semi join (select visit from claimed where runs = 1) using (visit)
                semi join (select run from run_identity where could_be) using (run)
                union all
                {_fitting_sql("select run from run_identity where could_be", handover)}
            ),
            rival as (
                select visit, count(distinct run) as runs
                from ({_fitting_sql("from open_run", handover, visits="select distinct visit from pair")})
                group by visit
            ),
            judged as (
                select run, visit,
                    min(client) over (partition by run) = max(client) over (partition by run)
                        and max(coalesce(rival.runs, 0)) over (partition by run) = if(open_run.run is null, 0, 1)
                        as is_alone
                from pair
                inner join visit_identity using (visit)
                left join rival using (visit)
                left join open_run using (run)
            )
            select '{giver.name}', l.client_id, '{taker.name}', r.client_id, bool_or(is_alone)
            from judged
            inner join handover_run as l on l.rowid = run
            inner join handover_visit as r on r.rowid = visit
            group by l.client_id, r.client_id
            """
        ).fetchall()


def _handing_over(
    con: DuckDBPyConnection, sources: Sequence[Source]
) -> Iterator[tuple[Source, Source, Handover]]:
    by_name = {source.name: source for source in sources}
    there = {name for (name,) in con.execute("select table_name from duckdb_tables()").fetchall()}
    for giver in sources:
        taker = by_name.get(giver.handover.to) if giver.handover else None
        if giver.handover and taker:
            needed = {f"{each.name}_{what}" for each in (giver, taker) for what in ("encounter", "people")}
            if needed <= there:
                yield giver, taker, giver.handover


def _latest_sql(source: Source, at: str, when: Mapping[str, Sequence[str]]) -> str:
    """SQL: encounter_id, client_id and moment (`at`) of the encounters whose latest version is as `when` says."""
    conditions = [
        f"{column}::varchar in ({', '.join(repr(value) for value in values)})"
        for column, values in when.items()
    ]
    told = " and ".join([f"{at} is not null", *conditions])
    needed = ", ".join(["encounter_id", "client_id", at, *when])
    return f"""
        select encounter_id, client_id, {at} as moment
        from (
            select {needed} from {source.name}_encounter
            semi join (select encounter_id from {source.name}_encounter where {told}) using (encounter_id)
            qualify row_number() over (partition by encounter_id order by month desc, row_number desc) = 1
        )
        where {told}
        """


def _recognise(
    con: DuckDBPyConnection, giver: Source, taker: Source, handover: Handover, profile: str
) -> None:
    """Create temporary tables; a run and a visit are known by the rowid of their encounter:

    - `handover_run`, `handover_visit`: encounter_id, client_id, moment (when the one ended, the other started).
    - `run_identity`, `visit_identity`: run or visit, client (a number for it), moment, sexes (1 for F, 2 for M, 3
      for both, 0 for neither), keys (numbers of what tells people apart), could_be (whether a birth date is known
      that is no likely default).
    - `recognised` (run, visit): pairs whose times fit and which have a key in common.
    """
    columns = _RECOGNISED_BY[profile]
    keys = ", ".join(
        f"if({' and '.join(f'{column} is not null' for column in of)}, hash({number}, {', '.join(of)}), null)"
        for number, of in enumerate(columns)
    )
    could_be = " and ".join(
        ["not coalesce(birth_date_suspect, false)", *(f"{column} is not null" for column in columns[0])]
    )
    for side, source, at, when in (
        ("run", giver, "ended_at", handover.given_when),
        ("visit", taker, "started_at", handover.taken_when),
    ):
        con.execute(
            f"create or replace temp table handover_{side} as {_latest_sql(source, at, when)}"
        ).fetchall()
        con.execute(
            f"""
            create or replace temp table {side}_identity as
            select handover_{side}.rowid as {side}, any_value(hash(client_id)) as client,
                any_value(moment) as moment, flatten(list([{keys}])) as keys,
                bit_or(case sex when 'F' then 1 when 'M' then 2 else 0 end) as sexes, bool_or({could_be}) as could_be
            from handover_{side} inner join {source.name}_people using (client_id)
            group by handover_{side}.rowid
            """
        ).fetchall()
    days = ", ".join(f"{each('moment', handover)}::date" for each in (_earliest, _latest))
    con.execute(
        f"""
        create or replace temp table recognised as
        with run_key as (
            select run, moment, sexes, unnest(keys) as key, unnest(list_distinct([{days}])) as day from run_identity
        ),
        visit_key as (select visit, moment, sexes, unnest(keys) as key, moment::date as day from visit_identity)
        select distinct run, visit
        from run_key as l inner join visit_key as r using (key, day)
        where {_FITS.format(earliest=_earliest("l.moment", handover), latest=_latest("l.moment", handover))}
        """
    ).fetchall()


_FITS = "r.moment >= {earliest} and r.moment <= {latest} and (l.sexes = 0 or r.sexes = 0 or l.sexes & r.sexes <> 0)"
"""SQL: the visit r starts as the run l ends, and the two are not known to be of different sexes."""


def _earliest(moment: str, handover: Handover) -> str:
    return f"({moment} - interval {handover.minutes_before} minutes)"


def _latest(moment: str, handover: Handover) -> str:
    return f"({moment} + interval {handover.minutes_after} minutes)"


def _fitting_sql(
    runs: str,
    handover: Handover,
    visits: str = "select visit from visit_identity anti join recognised using (visit)",
) -> str:
    """SQL: run and visit of the pairs that fit, of these `runs` and these `visits`: those that nobody was recognised
    in."""
    hours = ", ".join(f"date_trunc('hour', {each('moment', handover)})" for each in (_earliest, _latest))
    return f"""
        select run, visit
        from (
            select *, unnest(generate_series({hours}, interval 1 hour)) as hour
            from run_identity semi join ({runs}) as chosen using (run)
        ) as l
        inner join (
            select *, date_trunc('hour', moment) as hour
            from visit_identity semi join ({visits}) as open_visit using (visit)
        ) as r using (hour)
        where {_FITS.format(earliest=_earliest("l.moment", handover), latest=_latest("l.moment", handover))}
        """
