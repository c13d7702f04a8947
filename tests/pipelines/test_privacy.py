"""Nothing that identifies anyone leaves the agency: planted identity is looked for in every byte that came of it."""

import json
import shutil
from hashlib import sha256

import duckdb
import polars as pl
import pytest
from dagster import DagsterInstance

from linkage.source import declared_sources
from pipelines.operations.history import open_history
from sample_data.planted import plant
from sample_data.tiny_county import TINY_COUNTY
from tests.pipelines.commands import familiar_faces
from tests.pipelines.simulated_county import SimulatedCounty, tables

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def leaked_to(finished_county, tmp_path_factory):
    """The planted county after everything was done with it; what was planted, the keys, and what was said."""
    folder = tmp_path_factory.mktemp("planted")
    agencies = folder / "agencies"
    shutil.copytree(TINY_COUNTY, agencies)
    planted = plant(agencies / "raw")
    county = SimulatedCounty.new(folder / "workspace", agencies)
    root, said = county.workspace.root, []

    def command(*arguments, code=0):
        finished = familiar_faces(*arguments)
        assert finished.code == code, finished.err
        said.extend([finished.out, finished.err])

    keys = folder / "keys"
    keys.mkdir()
    command("keygen", "project", "--out", keys / "project.key")
    check_value = said[0].partition("county.toml: ")[2].split()[0]
    text = county.workspace.county_file.read_text()
    start = text.index("project_key_check = ")
    county.workspace.county_file.write_text(
        f'{text[:start]}project_key_check = "{check_value}"{text[text.index(chr(10), start) :]}'
    )
    shutil.copytree(finished_county.workspace.models, county.workspace.models, dirs_exist_ok=True)
    for name in declared_sources():
        command("keygen", "agency", "--out", keys / f"{name}.key")
        for month in county.months:
            command(
                *("encode", name, "--in", agencies / "raw" / name / month, "--month", month),
                *("--key", keys / "project.key", "--agency-key", keys / f"{name}.key"),
                *("--out", county.workspace.landing, "--county", county.workspace.county_file),
            )
            command("check", county.workspace.landing / name / month, "--key-check", check_value)
    last = county.workspace.landing / "shelter" / county.months[-1]
    whole = {file: file.read_bytes() for file in last.iterdir()}
    with_names_in_the_clear(last, agencies / "raw" / "shelter" / county.months[-1])
    command("check", last, code=3)
    command("run", "--workspace", root, code=3)
    for file, content in whole.items():
        file.write_bytes(content)
    command("run", "--workspace", root)
    command("release", "verify", "--workspace", root)
    return county, planted, keys, said


def with_names_in_the_clear(delivery, raw):
    """Spoil a delivery: names where tokens should be, under a checksum that fits, so that they are really read."""
    names = pl.read_csv(raw / "people.csv", infer_schema=False)["last_name"].drop_nulls()
    people = pl.read_parquet(delivery / "people.parquet")
    tokens = names.sample(people.height, with_replacement=True, seed=1)
    people.with_columns(last_name_token=tokens).write_parquet(delivery / "people.parquet")
    manifest = json.loads((delivery / "manifest.json").read_text())
    manifest["sha256"]["people.parquet"] = sha256((delivery / "people.parquet").read_bytes()).hexdigest()
    (delivery / "manifest.json").write_text(json.dumps(manifest))


def written_files(county):
    return sorted(
        path for path in county.workspace.root.rglob("*") if path.is_file() and not path.is_symlink()
    )


def test_what_is_looked_for_would_be_found(leaked_to):
    county, planted, _, _ = leaked_to
    assert all(planted.rows[source] >= 3 for source in declared_sources())
    for source in declared_sources():
        raw = (county.agencies / "raw" / source / county.months[0] / "people.csv").read_bytes()
        assert len(planted.found_in(raw)) >= 10


def test_no_byte_of_any_file_tells_who_anyone_is(leaked_to):
    county, planted, _, _ = leaked_to
    files = written_files(county)
    assert {path.suffix for path in files} >= {".parquet", ".duckdb", ".db", ".html", ".json"}
    assert {str(path): found for path in files if (found := planted.found_in(path.read_bytes()))} == {}
    assert planted.found_in(" ".join(str(path) for path in files)) == []


def test_no_value_of_any_table_tells_who_anyone_is(leaked_to):
    county, planted, _, _ = leaked_to
    databases = [path for path in written_files(county) if path.suffix == ".duckdb"]
    assert len(databases) == 2
    for database in databases:
        with duckdb.connect(database, read_only=True) as connection:
            assert len(tables(connection)) >= 10
            for table in tables(connection):
                assert planted.found_in(as_text(connection, f"from {table}")) == [], (database, table)
    with duckdb.connect() as connection:
        for file in county.workspace.landing.rglob("*.parquet"):
            assert planted.found_in(as_text(connection, f"from '{file}'")) == [], file


def as_text(connection, relation):
    return "\n".join(map(str, connection.execute(relation).fetchall()))


def test_no_event_that_dagster_keeps_tells_who_anyone_is(leaked_to):
    county, planted, _, _ = leaked_to
    with open_history(county.workspace) as instance:
        assert isinstance(instance, DagsterInstance)
        runs = instance.get_runs()
        assert len(runs) == 2
        for run in runs:
            events = instance.all_logs(run.run_id)
            assert len(events) > 100
            assert planted.found_in("\n".join(repr(entry) for entry in events)) == []


def test_nothing_that_was_printed_tells_who_anyone_is(leaked_to):
    _, planted, _, said = leaked_to
    assert planted.found_in("\n".join(said)) == []


def test_no_key_reaches_the_county(leaked_to):
    county, _, keys, said = leaked_to
    forms = [form for file in sorted(keys.iterdir()) for form in key_forms(file.read_text())]
    assert len(forms) == 2 * (1 + len(declared_sources()))
    for path in written_files(county):
        content = path.read_bytes()
        assert not any(form in content for form in forms), path
    assert not any(form in "\n".join(said).encode() for form in forms)


def key_forms(text):
    secret = max(text.split(), key=len)
    return [secret.encode(), bytes.fromhex(secret[-64:])]
