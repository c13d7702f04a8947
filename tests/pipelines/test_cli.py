"""The command line: examples, exit codes that mean something, one line for an error, a fast start for agencies."""

import subprocess
import sys

import click
import polars as pl
import pytest

from pipelines.cli import cli
from sample_data.tiny_county import TINY_COUNTY
from tests.pipelines.commands import familiar_faces

MONTH = "2024-01"


def every_command(group=cli, path=()):
    for name, command in group.commands.items():
        yield (*path, name)
        if isinstance(command, click.Group):
            yield from every_command(command, (*path, name))


@pytest.mark.parametrize("command", list(every_command()), ids=" ".join)
def test_the_help_of_every_command_shows_an_example(command):
    helped = familiar_faces(*command, "--help")
    assert helped.code == 0
    assert f"Example: familiar-faces {' '.join(command[:1])}" in helped.out


@pytest.mark.parametrize("command", ["keygen", "encode", "check", "rejoin"])
def test_what_an_agency_runs_starts_without_the_countys_libraries(command):
    program = (
        "import sys\n"
        "from pipelines.cli import _exit_code\n"
        f"code = _exit_code(['{command}', '--help'])\n"
        "heavy = {'dagster', 'duckdb', 'splink', 'great_expectations'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    started = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert started.returncode == 0, started.stderr


def test_encoding_itself_needs_none_of_the_countys_libraries(keys, tmp_path):
    arguments = encode_arguments("jail", keys, tmp_path / "landing")
    program = (
        "import sys\n"
        "from pipelines.cli import _exit_code\n"
        f"code = _exit_code({[str(argument) for argument in arguments]!r})\n"
        "heavy = {'dagster', 'duckdb', 'splink', 'great_expectations'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


@pytest.fixture
def keys(tmp_path):
    folder = tmp_path / "keys"
    folder.mkdir()
    assert familiar_faces("keygen", "project", "--out", folder / "project.key").code == 0
    assert familiar_faces("keygen", "agency", "--out", folder / "jail.key").code == 0
    return folder


def encode_arguments(source, keys, landing, raw=None):
    return (
        *("encode", source, "--in", raw or TINY_COUNTY / "raw" / "jail" / MONTH, "--month", MONTH),
        *("--key", keys / "project.key", "--agency-key", keys / "jail.key", "--out", landing),
    )


def test_an_agency_encodes_checks_and_gets_its_own_ids_back(keys, tmp_path):
    raw = TINY_COUNTY / "raw" / "jail" / MONTH
    assert familiar_faces(*encode_arguments("jail", keys, tmp_path / "landing")).code == 0
    delivered = tmp_path / "landing" / "jail" / MONTH
    checked = familiar_faces("check", delivered)
    assert checked.code == 0
    assert "keeps the contract" in checked.out
    pl.read_parquet(delivered / "people.parquet").select("client_id").write_csv(tmp_path / "return.csv")
    rejoined = familiar_faces(
        *("rejoin", "jail", "--in", tmp_path / "return.csv", "--people", raw),
        *("--agency-key", keys / "jail.key", "--out", tmp_path / "own.csv"),
    )
    assert rejoined.code == 0, rejoined.err
    assert (tmp_path / "own.csv").stat().st_mode & 0o077 == 0
    own = pl.read_csv(tmp_path / "own.csv", infer_schema=False)["client_id"]
    assert set(own) == set(pl.read_csv(raw / "people.csv", infer_schema=False)["client_id"])


def test_a_key_file_is_private_and_never_overwritten(keys):
    file = keys / "project.key"
    assert file.stat().st_mode & 0o077 == 0
    before = file.read_bytes()
    again = familiar_faces("keygen", "project", "--out", file)
    assert again.code == 2
    assert str(file) in again.complaint
    assert file.read_bytes() == before


def test_a_key_is_never_printed(keys, tmp_path):
    made = familiar_faces("keygen", "project", "--out", tmp_path / "other.key")
    secret = max((tmp_path / "other.key").read_text().split(), key=len)
    assert secret not in made.out + made.err


def test_an_unknown_source_is_told_which_there_are(keys, tmp_path):
    refused = familiar_faces(*encode_arguments("airport", keys, tmp_path / "landing"))
    assert refused.code == 2
    assert "jail" in refused.complaint
    assert not (tmp_path / "landing").exists()


def test_the_two_keys_exchanged_are_refused(keys, tmp_path):
    refused = familiar_faces(
        *("encode", "jail", "--in", TINY_COUNTY / "raw" / "jail" / MONTH, "--month", MONTH),
        *("--key", keys / "jail.key", "--agency-key", keys / "project.key", "--out", tmp_path),
    )
    assert refused.code == 2
    assert refused.complaint


def test_a_missing_raw_file_is_named(keys, tmp_path):
    (tmp_path / "empty").mkdir()
    refused = familiar_faces(*encode_arguments("jail", keys, tmp_path / "landing", raw=tmp_path / "empty"))
    assert refused.code == 2
    assert "people" in refused.complaint


def test_a_missing_column_is_named(keys, tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in ("people.csv", "encounters.csv"):
        rows = pl.read_csv(TINY_COUNTY / "raw" / "jail" / MONTH / file, infer_schema=False)
        rows.drop("birth_date", strict=False).write_csv(raw / file)
    refused = familiar_faces(*encode_arguments("jail", keys, tmp_path / "landing", raw=raw))
    assert refused.code == 2
    assert "people.csv" in refused.complaint
    assert "birth_date" in refused.complaint


@pytest.mark.parametrize("command", ["run", "train", "release"])
def test_a_folder_that_is_no_workspace_is_said_to_be_none(command, tmp_path):
    refused = familiar_faces(command, "--workspace", tmp_path / "nowhere")
    assert refused.code == 2
    assert "county.toml" in refused.complaint
    assert not (tmp_path / "nowhere").exists()


def test_evaluating_a_folder_that_is_no_workspace_is_a_usage_error(tmp_path):
    (tmp_path / "truth.csv").write_text("source,client_id,truth_id\n")
    refused = familiar_faces(
        "evaluate", "--workspace", tmp_path / "nowhere", "--truth", tmp_path / "truth.csv"
    )
    assert refused.code == 2
    assert refused.complaint


def test_a_workspace_without_deliveries_says_where_they_go(county):
    refused = familiar_faces("run", "--workspace", county.workspace.root)
    assert refused.code == 2
    assert "landing" in refused.complaint


def test_a_release_before_the_first_run_says_what_to_do(county):
    refused = familiar_faces("release", "--workspace", county.workspace.root)
    assert refused.code == 4
    assert "familiar-faces run" in refused.complaint


def test_a_sign_off_before_the_first_run_says_what_to_do(county):
    refused = familiar_faces("release", "--workspace", county.workspace.root, "--sign-off", "Ada Steward")
    assert refused.code == 4
    assert "familiar-faces run" in refused.complaint


def test_no_workspace_at_all_says_how_to_name_one(monkeypatch):
    monkeypatch.delenv("FAMILIAR_FACES_WORKSPACE", raising=False)
    refused = familiar_faces("release")
    assert refused.code == 2
    assert "--workspace" in refused.complaint


def test_a_misspelt_key_of_the_county_file_is_named(county):
    with county.workspace.county_file.open("a") as file:
        file.write("\n[relase]\nsign_off_required = true\n")
    refused = familiar_faces("run", "--workspace", county.workspace.root)
    assert refused.code == 2
    assert "relase" in refused.complaint


def test_an_output_that_cannot_be_written_is_a_usage_error(keys, tmp_path):
    raw = TINY_COUNTY / "raw" / "jail" / MONTH
    familiar_faces(*encode_arguments("jail", keys, tmp_path / "landing"))
    pl.read_parquet(tmp_path / "landing" / "jail" / MONTH / "people.parquet").select("client_id").write_csv(
        tmp_path / "return.csv"
    )
    refused = familiar_faces(
        *("rejoin", "jail", "--in", tmp_path / "return.csv", "--people", raw),
        *("--agency-key", keys / "jail.key", "--out", tmp_path / "nowhere" / "own.csv"),
    )
    assert refused.code == 2
    assert "own.csv" in refused.complaint


def test_an_unknown_option_is_a_usage_error():
    assert familiar_faces("run", "--wrkspace", "x").code == 2


def test_a_bug_is_one_line_without_its_message(monkeypatch, tmp_path):
    def fail(*_, **__):
        raise ValueError("Zzyzxquon")

    monkeypatch.setattr("linkage.encoding.keys.write_new_key", fail)
    failed = familiar_faces("keygen", "project", "--out", tmp_path / "key")
    assert failed.code == 1
    assert "a bug (ValueError)" in failed.complaint
    assert "Zzyzxquon" not in failed.out + failed.err
