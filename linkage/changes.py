"""Scoring only what changed since the last scoring: new and changed records against all, and each other.

A record also changes when its handovers do (`linkage.handover`), which hang on other clients' encounters.

`linkage.scoring.score` is the reference: it compares every record with every other that a rule brings it
together with. What it found of two records stays true as long as both are there, the model is the same and so
are the shares of names. So a month that adds a few records needs only their pairs. Names keep the shares that
the last full scoring counted; were they counted again, a weight could move by at most log2 of (1 + g) for each
shared name, g being how much the county has grown. That is why growth is bounded (`MOST_GROWTH`) and why the
county file chooses: `everything` (the default) depends on nothing but its inputs, `changes` also on when names
were last counted.
"""

from typing import TYPE_CHECKING

from duckdb import CatalogException, DuckDBPyConnection

from linkage.blocking import (
    blocked_records_sql,
    blocks_sql,
    build_compared_record_of,
    most_pairs_of,
    record_columns_sql,
    rule_counts,
    workbench,
)
from linkage.model import blocking_rules
from linkage.progress import step
from linkage.scoring import HANDOVERS, WITHIN_COMPONENT, ScoringReport, scored_pairs_sql

if TYPE_CHECKING:
    from linkage.model_file import Model

MOST_GROWTH = 0.10
"""Share of the records at the last full scoring. With a tenth more of them a shared name's weight could be off
by log2(1.1) = 0.14, far less than a level is worth."""


def score_changes(
    con: DuckDBPyConnection, model: "Model", *, lower_weight: float, largest_block: int
) -> ScoringReport | str:
    """Bring `scored_pair` up to date with `source_record` by scoring the pairs of new and changed records alone.

    The table then holds what full scoring with the same shares of names would have made. Returns what was done or,
    with nothing changed, why that would not give what full scoring gives, in words.
    """
    model.refuse_half_trained()
    try:
        scored_by, weight, block, records = con.execute(
            "select model_version, lower_weight, largest_block, records from scoring_run"
        ).fetchall()[0]
    except CatalogException:
        return "no scoring was finished before"
    if (scored_by, weight, block) != (model.version, lower_weight, largest_block):
        return "another model or other settings scored before"
    with workbench(con) as warehouse:
        why = _find_changes(con, warehouse, records)
        if why is not None:
            return why
        with step("blocking what changed"):
            found = _find_changed_pairs(con, warehouse, model.parameters.profile, largest_block)
        if found is None:
            # Pairs of that block would have to go, and only full scoring tells which other rules bring.
            return "a block has become too large"
        with step("weighing changed pairs"):
            new_pairs = _prepare_changed_pairs(con, warehouse)
            _replace_pairs(con, warehouse, model, lower_weight, weigh=bool(new_pairs))
        rules = rule_counts(list(blocking_rules(model.parameters.profile)), found, new_pairs)
        now, scored = (
            int(con.execute(f"select count(*) from {warehouse}.{table}").fetchall()[0][0])
            for table in ("source_record", "scored_pair")
        )
    return ScoringReport(
        records=now,
        candidate_pairs=sum(rule.new_pairs for rule in rules),
        scored_pairs=scored,
        rules=tuple(rules),
    )


def _find_changes(con: DuckDBPyConnection, warehouse: str, counted: int) -> str | None:
    """Create `changed_record` (source_record_id, handovers), those that are new or have other handovers, and
    `outdated_record` (source_record_id), those scored before that are gone or have other handovers. Returns why they
    are too much for scoring them alone, None where they are not; `counted` is how many records there were when names
    were last counted."""
    con.execute(
        f"""
        create table difference as
        select recorded.source_record_id as recorded_id, scored.source_record_id as scored_id, recorded.handovers
        from (select source_record_id, {HANDOVERS} as handovers from {warehouse}.source_record) as recorded
        full join {warehouse}.scored_record as scored using (source_record_id)
        where (recorded.handovers = scored.handovers) is not true;

        create table changed_record as
        select recorded_id as source_record_id, handovers from difference where recorded_id is not null;

        create table outdated_record as
        select scored_id as source_record_id from difference where scored_id is not null
        """
    ).fetchall()
    now, changed, gone, dropped = con.execute(
        f"""
        select
            (select count(*) from {warehouse}.source_record),
            (select count(*) from changed_record),
            (select count(*) from difference where recorded_id is null),
            (select count(*) from {warehouse}.dropped_block)
        """
    ).fetchall()[0]
    if max(abs(now - counted), changed, gone) > MOST_GROWTH * counted:
        return f"more than {MOST_GROWTH:.0%} of the records changed since names were counted"
    if gone and dropped:
        return "records are gone, and blocks that were too large may have become small enough"
    return None


def _find_changed_pairs(
    con: DuckDBPyConnection, warehouse: str, profile: str, largest_block: int
) -> list[dict[str, int | None]] | None:
    """Create `changed_pair` (source_record_id_l < source_record_id_r, rule): pairs with a changed record that a
    rule brings, once, those of one client among them. Returns what each rule found (`linkage.blocking.RuleCount`), None
    where a block has become too large."""
    rules = blocking_rules(profile)
    blocked_by = {
        column for rule in rules.values() for column in (*rule.columns, rule.one_lacks) if column is not None
    }
    con.execute(
        f"""
        create view keyed_record as
        select {record_columns_sql(profile)} from {warehouse}.source_record;

        create table changed_keyed_record as
        select source_record_id, {", ".join(sorted(blocked_by))}
        from keyed_record semi join changed_record using (source_record_id);

        """
    ).fetchall()
    most_pairs = most_pairs_of(largest_block)
    changed, touched = (
        " union all ".join(
            f"select {position}::utinyint as rule, * from ({each})"
            for position, each in enumerate(of_each_rule)
        )
        for of_each_rule in (
            [
                blocked_records_sql(rule, of="changed_keyed_record", record="source_record_id")
                for rule in rules.values()
            ],
            [
                blocked_records_sql(
                    rule,
                    of="keyed_record",
                    record="source_record_id",
                    only_blocks=f"(select block from changed_block where rule = {position})",
                    like="changed_keyed_record",
                )
                for position, rule in enumerate(rules.values())
            ],
        )
    )
    con.execute(
        f"""
        create table changed_block as {changed};

        create table blocked_record as {touched};

        create table block as
        select *, (rule, block) in (select (rule, block) from {warehouse}.dropped_block) as is_dropped
        from ({blocks_sql("blocked_record", by="rule, block")});
        """
    ).fetchall()
    of_rule = {
        rule: numbers
        for rule, *numbers in con.execute(
            f"""
            select rule,
                count(*) filter (not is_dropped and pairs > {most_pairs}),
                count(*) filter (is_dropped),
                coalesce(sum(records) filter (is_dropped), 0),
                coalesce(sum(pairs) filter (is_dropped), 0)
            from block group by rule
            """
        ).fetchall()
    }
    if any(too_large for too_large, *_ in of_rule.values()):
        return None
    con.execute(
        """
        create table brought_pair as
        select least(l.source_record_id, r.source_record_id) as source_record_id_l,
            greatest(l.source_record_id, r.source_record_id) as source_record_id_r, rule
        from blocked_record as l
        inner join changed_block as r using (rule, block)
        left join (select source_record_id, true as is_changed from changed_record) as of_l
            on of_l.source_record_id = l.source_record_id
        where (l.lacking or r.lacking) and l.source_record_id <> r.source_record_id
            and (of_l.is_changed is null or l.source_record_id < r.source_record_id)
            and (rule, block) not in (select (rule, block) from block where is_dropped)
        """
    ).fetchall()
    pairs = dict(con.execute("select rule, count(*) from brought_pair group by rule").fetchall())
    found: list[dict[str, int | None]] = []
    for position in range(len(rules)):
        _, dropped_blocks, dropped_records, dropped_pairs = of_rule.get(position, (0, 0, 0, 0))
        found.append(
            {
                "pairs": pairs.get(position, 0),
                "seconds": None,
                "dropped_blocks": dropped_blocks,
                "dropped_records": dropped_records,
                "dropped_pairs": dropped_pairs,
            }
        )
    con.execute(
        """
        create table changed_pair as
        select source_record_id_l, source_record_id_r, min(rule) as rule from brought_pair group by all
        """
    ).fetchall()
    return found


def _prepare_changed_pairs(con: DuckDBPyConnection, warehouse: str) -> dict[int, int]:
    """Create `compared_record` and `candidate_pair` of the changed pairs; how many each rule was the first to bring."""
    con.execute(
        """
        create table paired_record as
        select source_record_id_l as source_record_id from changed_pair
        union select source_record_id_r from changed_pair
        """
    ).fetchall()
    if not con.execute("select count(*) from paired_record").fetchall()[0][0]:
        return {}
    build_compared_record_of(con, warehouse, "paired_record")
    con.execute(
        """
        create table candidate_pair as
        select l.record_number as record_number_l, r.record_number as record_number_r, rule
        from changed_pair
        inner join compared_record as l on l.source_record_id = source_record_id_l
        inner join compared_record as r on r.source_record_id = source_record_id_r
        where (l.source, l.client_id) <> (r.source, r.client_id)
        """
    ).fetchall()
    return dict(con.execute("select rule, count(*) from candidate_pair group by rule").fetchall())


def _replace_pairs(
    con: DuckDBPyConnection, warehouse: str, model: "Model", lower_weight: float, *, weigh: bool
) -> None:
    """In one transaction: pairs of records that are gone or changed, and those that clustering added, make way for the
    new."""
    con.execute("begin").fetchall()
    try:
        con.execute(
            f"""
            delete from {warehouse}.scored_pair
            where blocking_rule = '{WITHIN_COMPONENT}'
                or source_record_id_l in (select source_record_id from outdated_record)
                or source_record_id_r in (select source_record_id from outdated_record)
            """
        ).fetchall()
        if weigh:
            con.execute(
                f"insert into {warehouse}.scored_pair by name "
                + scored_pairs_sql(model.parameters, model.calibration, lower_weight=lower_weight)
            ).fetchall()
        con.execute(
            f"""
            delete from {warehouse}.scored_record
            where source_record_id in (select source_record_id from outdated_record);

            insert into {warehouse}.scored_record by name from changed_record
            """
        ).fetchall()
        con.execute("commit").fetchall()
    except BaseException:
        con.execute("rollback").fetchall()
        raise
