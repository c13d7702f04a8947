"""Every delivered row is accepted or quarantined, and a delivery that fails changes nothing."""

import datetime as dt

import polars as pl
import pytest

from linkage.encoding.profiles import STANDARD
from linkage.errors import DeliveryRefusedError, PolicyError
from linkage.source import declared_sources
from pipelines.ingest import landed_months, load_candidate, pending_months, prepare_warehouse, promote
from pipelines.quarantine import quarantine_file, write_quarantine_files
from tests.pipelines.small_county import OTHER_PROJECT_KEY, encounter, person

JAIL = declared_sources()["jail"]
TODAY = dt.date(2026, 1, 1)


def ingest(county, source=JAIL):
    workspace = county.workspace
    with workspace.connect() as connection:
        prepare_warehouse(connection)
        months = pending_months(connection, workspace.landing, source)
        counts = load_candidate(connection, workspace.landing, source, months, workspace.settings(), TODAY)
        promote(connection, source)
    return counts


def rows(county, sql):
    with county.workspace.connect() as connection:
        return connection.execute(sql).fetchall()


def test_what_was_delivered_is_accepted_or_quarantined_with_its_rule(county):
    county.deliver(
        "jail",
        "2024-01",
        [person("J1"), person("J2", first_name="Bo")],
        [
            encounter("B1", "J1", "booking", "2024-01-05T10:00:00", "2024-01-07T10:00:00"),
            encounter("B1", "J1", "booking", "2024-01-05T10:00:00", "2024-01-07T10:00:00"),
            encounter("B2", "J2", "booking", "2024-02-05T10:00:00"),
            encounter("B3", "J9", "booking", "2024-01-05T10:00:00"),
        ],
    )
    counts = ingest(county)
    assert (counts.delivered, counts.accepted, counts.quarantined) == (6, 3, 3)
    broken = rows(county, "select file, rules from quarantined_row order by all")
    assert sorted(broken) == [
        ("encounters.parquet", ["EN06"]),
        ("encounters.parquet", ["EN07"]),
        ("encounters.parquet", ["EN09"]),
    ]


def test_a_month_delivered_again_replaces_itself_and_clears_its_quarantine(county):
    wrong = [encounter("B1", "J9", "booking", "2024-01-05T10:00:00")]
    right = [encounter("B1", "J1", "booking", "2024-01-05T10:00:00")]
    county.deliver("jail", "2024-01", [person("J1")], wrong)
    ingest(county)
    county.deliver("jail", "2024-01", [person("J1")], right)
    ingest(county)
    assert rows(county, "select count(*) from quarantined_row") == [(0,)]
    assert rows(county, "select accepted_encounters from delivery") == [(1,)]


def listed(county):
    """Judge what landed of the jail's January and write the agency's list; its path and the counts."""
    with county.workspace.connect() as connection:
        prepare_warehouse(connection)
        load_candidate(
            connection, county.workspace.landing, JAIL, ["2024-01"], county.workspace.settings(), TODAY
        )
        counts = write_quarantine_files(county.workspace, connection, JAIL, STANDARD, ["2024-01"])
    return quarantine_file(county.workspace, JAIL, "2024-01"), counts


def test_the_agency_gets_a_list_of_rows_and_rules_and_never_of_values(county):
    stray = encounter("B1", "J9", "booking", "2024-01-05T10:00:00")
    county.deliver("jail", "2024-01", [person("J1")], [stray])
    path, counts = listed(county)
    assert counts == {"2024-01": 1}
    assert path.read_text(encoding="utf-8").splitlines() == [
        "source,month,file,row_number,rule,what_is_wrong,what_to_do",
        "jail,2024-01,encounters.parquet,1,EN07,its client is not in the delivery's people,"
        '"export people and encounters together, so that each client is in both"',
    ]
    assert oct(path.stat().st_mode)[-3:] == "600"


def test_a_corrected_delivery_clears_the_list(county):
    for client in ("J9", "J1"):
        county.deliver(
            "jail", "2024-01", [person("J1")], [encounter("B1", client, "booking", "2024-01-05T10:00:00")]
        )
        path, _ = listed(county)
    assert not path.exists()


def test_a_delivery_that_did_not_change_is_not_pending(county):
    delivery = ("jail", "2024-01", [person("J1")], [encounter("B1", "J1", "booking", "2024-01-05")])
    county.deliver(*delivery)
    ingest(county)
    county.deliver(*delivery)
    with county.workspace.connect() as connection:
        assert pending_months(connection, county.workspace.landing, JAIL) == []
    assert landed_months(county.workspace.landing, JAIL) == ["2024-01"]


def test_a_delivery_made_with_another_key_is_refused_and_nothing_changes(county):
    county.deliver("jail", "2024-01", [person("J1")], [encounter("B1", "J1", "booking", "2024-01-05")])
    ingest(county)
    before = rows(county, "from jail_people")
    county.deliver("jail", "2024-02", [person("J1")], [], project_key=OTHER_PROJECT_KEY)
    with pytest.raises(DeliveryRefusedError, match="encoded with another key"):
        ingest(county)
    assert rows(county, "from jail_people") == before


def test_the_other_sources_must_use_the_same_key_too(county):
    county.deliver("jail", "2024-01", [person("J1")], [])
    ingest(county)
    county.deliver("ems", "2024-01", [person("E1")], [], project_key=OTHER_PROJECT_KEY)
    with pytest.raises(DeliveryRefusedError, match="another key"):
        ingest(county, declared_sources()["ems"])


def test_a_delivery_without_a_valid_agreement_is_not_read(county):
    text = county.workspace.county_file.read_text().replace("2099-12-31", "2025-12-31")
    county.workspace.county_file.write_text(text)
    county.deliver("jail", "2024-01", [person("J1")], [])
    with pytest.raises(PolicyError, match="expired on 2025-12-31"):
        ingest(county)


def test_a_delivery_made_with_another_code_list_is_refused(county):
    text = county.workspace.county_file.read_text().replace('"smi_strict"', '"smi_broad"')
    county.workspace.county_file.write_text(text)
    county.deliver("jail", "2024-01", [person("J1")], [])
    with pytest.raises(DeliveryRefusedError, match="asks for smi_broad"):
        ingest(county)


def test_a_month_far_ahead_is_refused_before_it_empties_every_window(county):
    county.deliver("jail", "2025-12", [person("J1")], [])
    assert ingest(county).accepted == 1
    county.deliver("jail", "2062-03", [person("J1")], [])
    with pytest.raises(
        DeliveryRefusedError, match=r"2062-03: this month begins after today \(2026-01-01\)\. Correct"
    ):
        ingest(county)
    assert rows(county, "select month from delivery") == [("2025-12",)]


def test_a_month_that_has_just_begun_elsewhere_is_taken(county):
    county.deliver("jail", "2026-02", [person("J1")], [])
    assert ingest(county).accepted == 1


def test_a_truncated_file_is_refused_and_the_accepted_month_stays(county):
    county.deliver("jail", "2024-01", [person("J1")], [])
    ingest(county)
    folder = county.deliver("jail", "2024-01", [person("J1"), person("J2")], [])
    whole = (folder / "people.parquet").read_bytes()
    (folder / "people.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DeliveryRefusedError, match=r"people\.parquet"):
        ingest(county)
    assert rows(county, "select count(*) from jail_people") == [(1,)]


def test_names_in_a_token_column_are_refused_without_being_repeated(county):
    folder = county.deliver("jail", "2024-01", [person("J1")], [])
    people = pl.read_parquet(folder / "people.parquet").with_columns(last_name_token=pl.lit("Zzyzxquon"))
    people.write_parquet(folder / "people.parquet")
    with pytest.raises(DeliveryRefusedError) as raised:
        ingest(county)
    assert "zzyzxquon" not in str(raised.value).lower()


def test_rows_of_a_delivery_larger_than_a_row_group_are_all_seen_by_the_connection_that_wrote_them(county):
    bookings = [encounter(f"B{number}", "J1", "booking", "2024-01-05") for number in range(125_000)]
    county.deliver("jail", "2024-01", [person("J1")], bookings)
    workspace = county.workspace
    with workspace.connect() as connection:
        prepare_warehouse(connection)
        load_candidate(connection, workspace.landing, JAIL, ["2024-01"], workspace.settings(), TODAY)
        assert connection.execute("select count(*) from candidate_jail_encounter").fetchall() == [(125_000,)]
        promote(connection, JAIL)
        assert connection.execute("select count(*) from jail_encounter").fetchall() == [(125_000,)]
