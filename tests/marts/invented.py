"""A warehouse of a few invented encounters, with everything that the relations of sql/ read."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

import duckdb

from linkage.source import declare_sources, declared_sources
from pipelines.cohorts import parse_cohorts
from pipelines.disclosure import AGGREGATES, build_shown_linkage_quality, build_withheld_cell
from pipelines.relations import create_encounter_kind, load_relations

AS_OF = dt.date(2025, 1, 1)

_OWN_COLUMNS = tuple(
    column.name for source in declared_sources().values() for column in source.delivered_columns
)
"""Columns of the four sources; what an encounter of another one has of its own is in `further`."""


@dataclass(frozen=True, kw_only=True)
class Encounter:
    """One delivered encounter; `own` has the columns of its source."""

    encounter_id: str
    source: str
    kind: str
    started_at: dt.datetime
    ended_at: dt.datetime | None = None
    client_id: str = "ann"
    month: str = "2024-12"
    row_number: int = 1
    smi: bool | None = None
    sud: bool | None = None
    own: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Client:
    """One row of the crosswalk; without alternatives every threshold makes the same person."""

    source: str
    client_id: str
    person_id: str
    person_id_080: str | None = None
    person_id_095: str | None = None
    person_id_099: str | None = None


def encounter(encounter_id, source, kind, started_at, ended_at=None, *, client_id="ann", **known):
    """An encounter from ISO texts; further keywords are fields of Encounter or columns of its source."""
    common = {each.name for each in fields(Encounter)}
    return Encounter(
        encounter_id=encounter_id,
        source=source,
        kind=kind,
        started_at=dt.datetime.fromisoformat(started_at),
        ended_at=dt.datetime.fromisoformat(ended_at) if ended_at else None,
        client_id=client_id,
        **{key: value for key, value in known.items() if key in common},
        own={key: value for key, value in known.items() if key not in common},
    )


def booking(encounter_id, started_at, ended_at=None, **known):
    return encounter(encounter_id, "jail", "booking", started_at, ended_at, **known)


def visit(encounter_id, started_at, ended_at=None, *, kind="ed", **known):
    return encounter(encounter_id, "hospital", kind, started_at, ended_at, **known)


def response(encounter_id, started_at, **known):
    emergency = {"service_requested": "emergency", "patient_contact": True, "transported": False}
    return encounter(
        encounter_id, "ems", "response", started_at, known.pop("ended_at", None), **(emergency | known)
    )


def ride(encounter_id, started_at, **known):
    return response(encounter_id, started_at, transported=True, destination_type="hospital_ed", **known)


def night(encounter_id, day, **known):
    ended = (dt.date.fromisoformat(day) + dt.timedelta(days=1)).isoformat()
    return encounter(
        encounter_id,
        "shelter",
        "bed_night",
        day,
        known.pop("ended_at", ended),
        **{"project_type": "es_night_by_night"} | known,
    )


def call(encounter_id, started_at, outcome="resolved_by_phone", **known):
    return encounter(encounter_id, "crisis_line", "call", started_at, outcome=outcome, **known)


def stay(encounter_id, started_at, ended_at=None, *, project_type="es_entry_exit", **known):
    return encounter(
        encounter_id, "shelter", "stay", started_at, ended_at, project_type=project_type, **known
    )


def warehouse(
    encounters: Sequence[Encounter],
    *,
    clients: Iterable[Client] | None = None,
    as_of: dt.date = AS_OF,
    include_minors: bool = False,
    connected_by: Sequence[str] = ("outpatient_bh",),
    birth_year: int | None = 1980,
    covered_from: dt.date = dt.date(2015, 1, 1),
    not_covered: Iterable[tuple[str, str]] = (),
    linkage_measures: Iterable[tuple] = (),
    further_sources: str = "",
    nameless: Iterable[str] = (),
) -> duckdb.DuckDBPyConnection:
    """The input tables. Without `clients` every client_id is the person of the same name, in every source.

    `not_covered` lists (source, 'YYYY-MM') of which there is no delivery; `linkage_measures` are rows of
    linkage_measure; `further_sources` are named as the environment variable names them; `nameless` are client ids
    that came without a name.
    """
    connection = duckdb.connect()
    clients = list(
        clients
        if clients is not None
        else {
            (each.source, each.client_id): Client(
                source=each.source, client_id=each.client_id, person_id=each.client_id
            )
            for each in encounters
        }.values()
    )
    create_encounter_kind(connection)
    _add_kinds(connection, further_sources)
    connection.execute(
        "create table run_parameter as select ?::date as as_of, 'Test County' as county, "
        "11::integer as small_cell_threshold, ?::boolean as include_minors, ?::varchar[] as connected_by",
        [as_of, include_minors, list(connected_by)],
    ).fetchall()
    _fill(
        connection,
        "person_crosswalk (source varchar, client_id varchar, person_id varchar, person_id_080 varchar, "
        "person_id_095 varchar, person_id_099 varchar)",
        [
            (
                each.source,
                each.client_id,
                each.person_id,
                each.person_id_080 or each.person_id,
                each.person_id_095 or each.person_id,
                each.person_id_099 or each.person_id,
            )
            for each in clients
        ],
    )
    _fill(
        connection,
        "source_record (source_record_id bigint, source varchar, client_id varchar, birth_year smallint, sex varchar, "
        "race_ethnicity varchar)",
        [
            (number, each.source, each.client_id, birth_year, "F", "white")
            for number, each in enumerate(clients, start=1)
        ],
    )
    _fill(
        connection,
        "linkage_measure (measure varchar, family varchar, slice varchar, value double, numerator double, "
        "denominator double, note varchar, counts_people boolean)",
        list(linkage_measures),
    )
    connection.execute(
        """
        create or replace table delivered_identity as
        select source, '2024-12' as month, client_id, true as has_first_name, true as has_last_name,
            true as has_birth_date, true as has_ssn, true as has_ssn_last_four, true as has_sex, true as has_zip3
        from person_crosswalk
        """
    ).fetchall()
    for client_id in nameless:
        connection.execute(
            "create or replace table delivered_identity as select * replace "
            "(has_first_name and client_id <> $1 as has_first_name, has_ssn and client_id <> $1 as has_ssn) "
            "from delivered_identity",
            [client_id],
        ).fetchall()
    _fill(
        connection,
        "linkage_history (as_of date, measure varchar, source varchar, part varchar, numerator bigint, "
        "denominator bigint)",
        [],
    )
    _fill_encounters(connection, encounters)
    delivering = declare_sources(further_sources)
    _fill_deliveries(connection, delivering, covered_from, as_of, set(not_covered))
    return connection


def build_up_to(connection: duckdb.DuckDBPyConnection, *names: str) -> None:
    """Run the queries of the named relations and of all that they are made from."""
    relations = load_relations()
    needed = set()

    def need(name):
        if name in relations and name not in needed:
            needed.add(name)
            for each in relations[name].inputs:
                need(each)

    for name in names:
        need(name)
    for name in relations:
        if name in needed:
            withhold_for(connection, name)
            connection.execute(f"create or replace table {name} as {relations[name].query}").fetchall()


def withhold_for(connection: duckdb.DuckDBPyConnection, name: str, earlier: Sequence[Path] = ()) -> None:
    """Decide what of a published aggregate is withheld, where the relation of this name is one."""
    if name in AGGREGATES:
        build_withheld_cell(connection, earlier=earlier, relations=[name])
    if name == "linkage_quality":
        build_shown_linkage_quality(connection, earlier=earlier)


def cohort(rule, name="tested"):
    """A definition with this rule, as the county file would give it."""
    texts = dict.fromkeys(("label", "says", "source", "owner"), "invented")
    return parse_cohorts([{"name": name, **texts, "rule": rule}])[0]


def rows(connection: duckdb.DuckDBPyConnection, query: str) -> list[tuple]:
    return connection.execute(query).fetchall()


def _fill(connection, columns, values):
    connection.execute(f"create or replace table {columns}").fetchall()
    if values:
        table = columns.partition(" ")[0]
        marks = ", ".join(f"({', '.join('?' * len(value))})" for value in values)
        connection.execute(
            f"insert into {table} values {marks}", [each for value in values for each in value]
        ).fetchall()


def _fill_encounters(connection, encounters):
    types = {
        column.name: {"code": "varchar", "boolean": "boolean", "timestamp": "timestamp"}[column.type]
        for source in declared_sources().values()
        for column in source.delivered_columns
    }
    own = ", ".join(f"{name} {types[name]}" for name in _OWN_COLUMNS)
    _fill(
        connection,
        "delivered_encounter (source varchar, encounter_id varchar, client_id varchar, kind varchar, "
        "started_at timestamp, ended_at timestamp, smi boolean, sud boolean, suicidality boolean, homeless boolean, "
        f"overdose boolean, part2 boolean, month varchar, row_number integer, further map(varchar, varchar), {own})",
        [
            (
                each.source,
                each.encounter_id,
                each.client_id,
                each.kind,
                each.started_at,
                each.ended_at,
                each.smi,
                each.sud,
                None,
                None,
                None,
                False,
                each.month,
                each.row_number,
                {name: value for name, value in each.own.items() if name not in _OWN_COLUMNS},
                *(each.own.get(name) for name in _OWN_COLUMNS),
            )
            for each in encounters
        ],
    )


def _add_kinds(connection, further_sources):
    for source in declare_sources(further_sources).values():
        for kind in source.kinds if source.is_added else ():
            connection.execute(
                "insert into encounter_kind values (?, ?, ?, ?, ?, ?)",
                [source.name, kind.name, kind.label, kind.is_stay, kind.sim_intercept, kind.by_day],
            ).fetchall()


def _fill_deliveries(connection, delivering, covered_from, as_of, not_covered):
    sources = ", ".join(f"('{source}')" for source in delivering)
    connection.execute(
        f"""
        create or replace table delivery as
        select
            source, strftime(first_day, '%Y-%m') as month, first_day::date as covers_from,
            least(first_day + interval 1 month, date '{as_of}')::date as covers_to,
            1 as delivered_people, 1 as accepted_people, 0 as quarantined_people,
            2 as delivered_encounters, 1 as accepted_encounters, 1 as quarantined_encounters
        from (values {sources}) as declared (source)
        cross join generate_series(timestamp '{covered_from}', timestamp '{as_of}' - interval 1 day, interval 1 month)
            as months (first_day)
        """
    ).fetchall()
    for source, month in not_covered:
        connection.execute("delete from delivery where source = ? and month = ?", [source, month]).fetchall()
