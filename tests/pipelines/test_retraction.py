"""Whoever is retracted is nowhere any more: not in landing, not in the warehouse, not in any file but the tombstone."""

import datetime as dt
import gzip
import shutil
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import duckdb
import polars as pl
import pyarrow.parquet as pq
import pytest

from linkage.decisions import Decision, Judgement, append_decisions, every_decision
from linkage.encoding.columns import ENCOUNTERS_FILE, MANIFEST_FILE, PEOPLE_FILE, RETRACTED_FILE
from linkage.encoding.manifest import read_manifest
from linkage.encoding.retracted import Retractions, write_retracted
from linkage.errors import UsageError
from linkage.source import declared_sources
from linkage.tombstones import Tombstone, every_tombstone, record_tombstones
from pipelines.releases.release import current_release, list_releases, verify
from pipelines.retraction import recall, releases_to_recall, withdraw
from pipelines.run import refresh
from sample_data.tiny_county import TINY_COUNTY
from tests.pipelines.simulated_county import SimulatedCounty, open_release
from tests.reliability.trial import run_trial

NOW = dt.datetime(2026, 1, 20, tzinfo=dt.UTC)
TODAY = dt.date(2026, 1, 20)

pytestmark = pytest.mark.slow


def tombstone(client, **known):
    return Tombstone(source=client[0], client_id=client[1], effective_on=TODAY, **known)


def two_clients_of_one_person(county):
    """A jail client and a hospital client who are one person, by what was released."""
    with open_release(county.workspace) as release:
        return release.execute(
            "select j.client_id, h.client_id, j.person_id from person_crosswalk as j "
            "inner join person_crosswalk as h using (person_id) "
            "where j.source = 'jail' and h.source = 'hospital' order by all limit 1"
        ).fetchall()[0]


def delivered_identity(county, source, client_id):
    """Every token and filter by which the client was delivered."""
    found = []
    for folder in (county.workspace.landing / source).iterdir():
        rows = pl.read_parquet(folder / PEOPLE_FILE).filter(pl.col("client_id") == client_id)
        for column in ("ssn_token", "birth_date_token"):
            found += rows[column].drop_nulls().to_list()
    return set(found)


@pytest.fixture(scope="module")
def retracted(tiny_county, tmp_path_factory):
    """A county after a run with a jail client retracted, on whom a steward had decided."""
    county = tiny_county.copy(tmp_path_factory.mktemp("retracted") / "workspace")
    jail, hospital, person = two_clients_of_one_person(county)
    append_decisions(
        county.workspace.stewardship,
        [
            Decision(
                source_l="jail", client_id_l=jail, source_r="hospital", client_id_r=hospital,
                decision=Judgement.LINK, decided_by="A", decided_at=NOW, model_version="v",
            )
        ],
    )  # fmt: skip
    refresh(county.workspace)
    record_tombstones(
        county.workspace.stewardship, [tombstone(("jail", jail))], recorded_by="A. Steward", now=NOW
    )
    refresh(county.workspace)
    return county, jail, hospital, person


def refresh_without_checks(county):
    """A run of what other tests here have run with every check of quality."""
    ran = run_trial(county.workspace.root)
    assert ran.code == 0, ran.said


def files_that_hold(root: Path, text: str, *, but: set[str] = frozenset()):
    """Files with the text in them, plain or compressed; Parquet and DuckDB compress, so their rows are read."""
    needle, holding = text.encode(), []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or path.name in but or path.is_symlink():
            continue
        content = path.read_bytes()
        held = needle in content
        if content[:2] == b"\x1f\x8b":
            held = held or needle in gzip.decompress(content)
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path)
            held = held or any(
                (frame[column] == text).any() for column, kind in frame.schema.items() if kind == pl.String
            )
        if path.suffix == ".duckdb":
            held = held or bool(tables_that_hold(path, text))
        if held:
            holding.append(path.relative_to(root).as_posix())
    return holding


def tables_that_hold(database: Path, text: str):
    with duckdb.connect(database, read_only=True) as connection:
        columns = connection.execute(
            "select table_name, column_name from duckdb_columns() where not internal and data_type like 'VARCHAR%' "
            "and table_name in (select table_name from duckdb_tables())"
        ).fetchall()
        return [
            (table, column)
            for table, column in columns
            if connection.execute(
                f'select count(*) from "{table}" where contains("{column}"::varchar, ?)', [text]
            ).fetchall()[0][0]
        ]


def test_nothing_but_the_tombstone_and_releases_to_recall_holds_the_client(retracted):
    county, jail, _, _ = retracted
    to_recall = {release.folder for release in releases_to_recall(county.workspace, TODAY)}
    held = files_that_hold(county.workspace.root, jail, but={"stewardship.sqlite", "stewardship.sqlite-wal"})
    assert {(county.workspace.root / file).parent.name for file in held} == {
        folder.name for folder in to_recall
    }
    assert {Path(file).parts[0] for file in held} <= {"releases", "returns"}
    assert len(to_recall) >= 1


def test_after_recall_no_file_holds_the_client(retracted, tmp_path):
    county = retracted[0].copy(tmp_path / "workspace")
    before = list_releases(county.workspace)
    deleted = recall(county.workspace, TODAY)
    assert len(list_releases(county.workspace)) == len(before) - len(deleted) >= 1
    held = files_that_hold(
        county.workspace.root, retracted[1], but={"stewardship.sqlite", "stewardship.sqlite-wal"}
    )
    assert held == []
    assert releases_to_recall(county.workspace, TODAY) == []
    assert verify(current_release(county.workspace)) == []


def test_the_clients_numbers_are_gone_from_landing(retracted, tiny_county):
    county, jail, *_ = retracted
    identity = delivered_identity(tiny_county, "jail", jail)
    shared = pl.concat(
        [
            pl.read_parquet(folder / PEOPLE_FILE).select("ssn_token", "birth_date_token")
            for source in declared_sources()
            for folder in (county.workspace.landing / source).iterdir()
            if folder.is_dir() and not folder.name.startswith(".")
        ]
    )
    still_others = set(shared["ssn_token"].drop_nulls()) | set(shared["birth_date_token"].drop_nulls())
    own = identity - still_others
    assert all(files_that_hold(county.workspace.root / "landing", token) == [] for token in own)
    assert identity


def test_a_delivery_written_again_has_the_form_of_the_encoder(retracted):
    county = retracted[0]
    for file in (county.workspace.landing / "jail").glob("2*/*.parquet"):
        group = pq.read_metadata(file).row_group(0)
        assert not any(group.column(at).is_stats_set for at in range(group.num_columns)), "ranges of tokens"


def test_the_counts_still_add_up(retracted):
    county, *_ = retracted
    for file, part in (("people", "people"), ("encounters", "encounter")):
        assert county.rows(
            f"select count(*) from delivery where accepted_{file} <> "
            f"(select count(*) from jail_{part} as accepted where accepted.month = delivery.month) "
            "and source = 'jail'"
        ) == [(0,)]


def test_the_persons_other_clients_keep_their_id_and_the_decision_is_gone(retracted):
    county, jail, hospital, person = retracted
    with open_release(county.workspace) as release:
        assert release.execute(
            "select person_id from person_crosswalk where source = 'hospital' and client_id = ?", [hospital]
        ).fetchall() == [(person,)]
        assert release.execute(
            "select count(*) from person_crosswalk where source = 'jail' and client_id = ?", [jail]
        ).fetchall() == [(0,)]
    assert every_decision(county.workspace.stewardship).is_empty()


def test_what_is_left_is_what_a_county_would_have_that_never_met_the_client(retracted, tmp_path):
    county = retracted[0]
    other = SimulatedCounty.new(tmp_path / "workspace", TINY_COUNTY)
    for folder in ("models", "landing"):
        shutil.copytree(county.workspace.root / folder, other.workspace.root / folder, dirs_exist_ok=True)
    refresh_without_checks(other)
    assert told_by_clients(county) == told_by_clients(other)


def told_by_clients(county):
    """What a release says, with its persons named by their clients: ids are minted once, and these counties met their
    people in another order."""
    named = (
        "select person_id, string_agg(source || client_id, ' ' order by source, client_id) as clients "
        "from person_crosswalk group by person_id"
    )
    with open_release(county.workspace) as release:
        persons = set(release.execute(f"select clients from ({named})").fetchall())
        tables = {
            table: sorted(
                release.execute(
                    f"select named.clients, {table}.* exclude (person_id) from {table} "
                    f"inner join ({named}) as named using (person_id)"
                ).fetchall(),
                key=str,
            )
            for table in ("encounter", "utilization", "cohort_membership", "program_screen")
        }
    return persons, tables


def test_a_later_delivery_that_holds_the_client_again_lets_it_in_nowhere(retracted, tmp_path):
    county = retracted[0].copy(tmp_path / "workspace")
    jail = retracted[1]
    months = [
        folder.name
        for folder in (county.workspace.landing / "jail").iterdir()
        if folder.is_dir() and not folder.name.startswith(".")
    ]
    county.deliver(*months, sources=("jail",))
    assert files_that_hold(county.workspace.landing, jail)
    before = current_release(county.workspace).release_id
    refresh_without_checks(county)
    assert files_that_hold(county.workspace.landing, jail) == []
    assert tables_that_hold(county.workspace.warehouse, jail) == []
    assert current_release(county.workspace).release_id == before


def test_an_encounter_can_be_retracted_alone(tiny_county, tmp_path):
    county = tiny_county.copy(tmp_path / "workspace")
    ((encounter, client),) = county.rows(
        "select encounter_id, client_id from jail_encounter order by all limit 1"
    )
    mark = Tombstone(source="jail", encounter_id=encounter, effective_on=TODAY)
    record_tombstones(county.workspace.stewardship, [mark], recorded_by="A", now=NOW)
    refresh(county.workspace)
    assert tables_that_hold(county.workspace.warehouse, encounter) == []
    assert county.rows(f"select count(*) > 0 from jail_people where client_id = '{client}'") == [(True,)]


def test_a_retraction_of_tomorrow_takes_nothing_out_today(tiny_county, tmp_path):
    county = tiny_county.copy(tmp_path / "workspace")
    jail, *_ = two_clients_of_one_person(county)
    tomorrow = dt.datetime.now(dt.UTC).date() + dt.timedelta(days=1)
    mark = Tombstone(source="jail", client_id=jail, effective_on=tomorrow)
    record_tombstones(county.workspace.stewardship, [mark], recorded_by="A", now=NOW)
    refresh_without_checks(county)
    assert files_that_hold(county.workspace.landing, jail)
    assert every_tombstone(county.workspace.stewardship)["erased_at"].to_list() == [None]


def test_the_current_release_is_not_deleted_before_another_replaced_it(tiny_county, tmp_path):
    county = tiny_county.copy(tmp_path / "workspace")
    jail, *_ = two_clients_of_one_person(county)
    record_tombstones(county.workspace.stewardship, [tombstone(("jail", jail))], recorded_by="A", now=NOW)
    with pytest.raises(UsageError, match="nothing has replaced it yet"):
        recall(county.workspace, TODAY)
    assert current_release(county.workspace) is not None


def test_a_run_killed_while_rewriting_a_delivery_is_finished_by_the_next(tiny_county, tmp_path):
    county = tiny_county.copy(tmp_path / "workspace")
    jail, *_ = two_clients_of_one_person(county)
    record_tombstones(county.workspace.stewardship, [tombstone(("jail", jail))], recorded_by="A", now=NOW)
    folder = sorted((county.workspace.landing / "jail").glob("2*"))[0]
    folder.rename(folder.with_name(f".{folder.name}.with_retracted"))
    folder.with_name(f".{folder.name}.without_retracted").mkdir()
    refresh_without_checks(county)
    assert (folder / ENCOUNTERS_FILE).exists()
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
    assert files_that_hold(county.workspace.landing, jail) == []


def test_what_an_agency_takes_back_with_its_delivery_is_gone_after_the_run_that_takes_it(
    tiny_county, tmp_path
):
    county = tiny_county.copy(tmp_path / "workspace")
    jail, *_ = two_clients_of_one_person(county)
    newest = sorted((county.workspace.landing / "jail").glob("2*"))[-1]
    take_back(newest, jail)
    refresh(county.workspace)
    held = files_that_hold(county.workspace.root, jail, but={"stewardship.sqlite", "stewardship.sqlite-wal"})
    today = dt.datetime.now(dt.UTC).date()
    to_recall = {release.release_id for release in releases_to_recall(county.workspace, today)}
    assert {Path(file).parts[1] for file in held} <= to_recall
    assert len(to_recall) == 1
    (recorded,) = every_tombstone(county.workspace.stewardship).iter_rows(named=True)
    assert recorded["recorded_by"] == f"Jail, delivery of {newest.name}"
    assert recorded["erased_at"] is not None


@pytest.mark.parametrize("damaged", ["the list", "the key"])
def test_a_list_of_a_delivery_that_is_refused_is_neither_carried_out_nor_lost(tiny_county, tmp_path, damaged):
    county = tiny_county.copy(tmp_path / "workspace")
    jail, *_ = two_clients_of_one_person(county)
    newest = sorted((county.workspace.landing / "jail").glob("2*"))[-1]
    take_back(newest, jail)
    if damaged == "the list":
        with (newest / RETRACTED_FILE).open("a", encoding="ascii") as listed:
            listed.write(f"{'0a' * 16},\n")
    else:
        manifest = read_manifest((newest / MANIFEST_FILE).read_text(encoding="utf-8"))
        (newest / MANIFEST_FILE).write_text(replace(manifest, key_check="0" * 64).as_json(), encoding="utf-8")
    another = tombstone(("jail", "0b" * 16))
    record_tombstones(county.workspace.stewardship, [another], recorded_by="A", now=NOW)
    with county.workspace.connect() as connection:
        assert withdraw(county.workspace, connection, declared_sources()["jail"], TODAY) == set()
    assert every_tombstone(county.workspace.stewardship)["client_id"].to_list() == ["0b" * 16]
    assert jail in (newest / RETRACTED_FILE).read_text(encoding="ascii")


def take_back(delivery: Path, client_id: str) -> None:
    """Make a delivery take a client back, as the encoder does it."""
    listed = delivery / RETRACTED_FILE
    write_retracted(listed, Retractions(client_ids=(client_id,)))
    manifest = read_manifest((delivery / MANIFEST_FILE).read_text(encoding="utf-8"))
    sums = {**manifest.sha256, RETRACTED_FILE: sha256(listed.read_bytes()).hexdigest()}
    (delivery / MANIFEST_FILE).write_text(replace(manifest, sha256=sums).as_json(), encoding="utf-8")
