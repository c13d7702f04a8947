"""A crisis line and a source that nobody foresaw go the whole way to a release, by being declared and nothing else."""

import os
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from linkage.errors import UsageError
from linkage.source import SOURCES_VARIABLE, declare_sources

ROOT = Path(__file__).parents[2]
SOBERING = """
name = "sobering_center"
label = "Sobering center"
client_id_is_stable = true

[kinds.sobering_stay]
label = "stay to sober up"
is_stay = true
sim_intercept = 1

[columns.left_for]
codes = ["home", "detox", "other"]
says = "Where the person went."
"""
HANDOVER = """
[handover]
to = "hospital"
given_when = {left_for = ["detox"]}
taken_when = {admit_origin = ["other"]}
minutes_before = 5
minutes_after = 5
"""
WHOLE_WAY = """
import csv, shutil, sys
from pathlib import Path
from pipelines.run import refresh
from sample_data.county import simulate
from sample_data.extracts import encounter_columns
from linkage.source import declared_sources
from tests.pipelines.simulated_county import SimulatedCounty

root, models = Path(sys.argv[1]), Path(sys.argv[2])
simulate(people=2_500, months=2, seed=5, out=root / "agencies")
for month in ("2024-01", "2024-02"):
    own, jail = (root / "agencies" / "raw" / name / month for name in ("sobering_center", "jail"))
    shutil.copytree(jail, own)
    ids = list(dict.fromkeys(row["client_id"] for row in csv.DictReader((jail / "people.csv").open())))
    with (own / "encounters.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(encounter_columns(declared_sources()["sobering_center"]))
        writer.writerows(
            (f"{month}-{i}", i, "sobering_stay", f"{month}-15T10:00:00", f"{month}-15T20:00:00", "detox") for i in ids
        )
county = SimulatedCounty.new(root / "workspace", root / "agencies")
shutil.copytree(models, county.workspace.models, dirs_exist_ok=True)
county.deliver(*county.months)
refresh(county.workspace)
"""


@pytest.fixture(scope="module")
def released(tmp_path_factory, finished_county):
    """The release of a county with six sources, opened; made in a process of its own, where they are declared."""
    root = tmp_path_factory.mktemp("six")
    (root / "sobering_center.toml").write_text(SOBERING, encoding="utf-8")
    declared = {SOURCES_VARIABLE: f"crisis_line, {root / 'sobering_center.toml'}", "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", WHOLE_WAY, str(root), str(finished_county.workspace.models)],
        env={**os.environ, **declared},
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    path = root / "workspace" / "releases" / "current" / "familiar_faces.duckdb"
    with duckdb.connect(path, read_only=True) as release:
        yield release


def ask(release, query):
    return release.execute(query).fetchall()


@pytest.mark.slow
def test_a_declared_crisis_line_reaches_the_release(released):
    (calls, intercepts) = ask(
        released,
        "select count(*), list(distinct sim_intercept) from encounter where source = 'crisis_line' and is_countable",
    )[0]
    assert calls > 0
    assert intercepts == [0]
    assert ask(released, "select count(*) > 0 from utilization where source = 'crisis_line'") == [(True,)]
    assert ask(released, "select bool_and(is_covered) from source_coverage where source = 'crisis_line'") == [
        (True,)
    ]
    measures = {measure for (measure,) in ask(released, "select distinct measure from diversion_measure")}
    assert {"call_resolved_without_dispatch", "call_then_booking_7_days"} <= measures
    assert {measure.split("_")[0] for measure in measures} == {"call"}
    # So small a county shows few figures, and says so of each that it withholds.
    assert ask(
        released, "select count(*) from diversion_measure where denominator is null and note is null"
    ) == [(0,)]


@pytest.mark.slow
def test_callers_are_linked_to_their_records_elsewhere(released):
    assert ask(
        released,
        "select count(*) > 0 from person where list_contains(sources, 'crisis_line') and source_count > 1",
    ) == [(True,)]


@pytest.mark.slow
def test_a_source_with_any_name_reaches_the_release_with_its_own_columns(released):
    assert ask(released, "select distinct kind from encounter where source = 'sobering_center'") == [
        ("sobering_stay",)
    ]
    assert ask(
        released, "select distinct column_name, value from encounter_detail where source = 'sobering_center'"
    ) == [("left_for", "detox")]
    (shared, clients) = ask(
        released,
        "select count(*) filter (where list_contains(sources, 'jail')), count(*) from person "
        "where list_contains(sources, 'sobering_center')",
    )[0]
    assert shared > 0.9 * clients > 0
    assert ask(
        released, "select count(*) > 0 from crisis_transition where 'sobering_stay' in (from_kind, to_kind)"
    ) == [(True,)]


@pytest.mark.slow
def test_a_county_without_further_sources_has_no_measures_of_them_and_no_details(finished_county):
    assert finished_county.rows("from diversion_measure") == []
    assert finished_county.rows("from encounter_detail") == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        pytest.param(SOBERING.replace("sobering_stay", "ed"), "the kind ed, which hospital has", id="kind"),
        pytest.param(SOBERING.replace("sobering_center", "Jail!"), "small letters", id="name"),
        pytest.param(SOBERING.replace("sobering_center", "jail"), "declared already", id="source"),
        pytest.param(SOBERING.replace("left_for", "month"), "the column month", id="column"),
        pytest.param(SOBERING.replace("label =", "lable ="), "the key 'label' is missing", id="misspelt key"),
        pytest.param(SOBERING.replace("is_stay", "lasts"), "a key is unknown", id="misspelt kind"),
        pytest.param("name = ", "not valid TOML", id="not TOML"),
        pytest.param(
            SOBERING + HANDOVER.replace("hospital", "morgue"), "morgue, which is not declared", id="taker"
        ),
        pytest.param(
            SOBERING + HANDOVER.replace("left_for", "mood"), "mood in .* given_when", id="given when"
        ),
        pytest.param(
            SOBERING + HANDOVER.replace("admit_origin", "ward"), "ward in .* taken_when", id="taken when"
        ),
    ],
)
def test_a_declaration_that_cannot_be_used_is_refused(tmp_path, text, complaint):
    file = tmp_path / "further.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=complaint):
        declare_sources(str(file))


def test_a_further_source_may_hand_people_over(tmp_path):
    file = tmp_path / "further.toml"
    file.write_text(SOBERING + HANDOVER, encoding="utf-8")
    handover = declare_sources(str(file))["sobering_center"].handover
    assert handover is not None
    assert (handover.to, handover.given_when, handover.minutes_after) == (
        "hospital",
        {"left_for": ("detox",)},
        5,
    )


def test_a_source_that_is_not_shipped_is_refused_with_those_that_are():
    with pytest.raises(UsageError, match="name one of behavioral_health_clinic, court, crisis_line, "):
        declare_sources("crisis_lime")


def test_a_crisis_line_changes_nothing_of_what_the_others_recorded(tmp_path):
    program = (
        "import sys; from pathlib import Path; from sample_data.county import simulate; "
        "simulate(people=800, months=1, seed=3, out=Path(sys.argv[1]))"
    )
    for name, further in (("without", ""), ("with", "crisis_line")):
        environment = {**os.environ, SOURCES_VARIABLE: further, "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / name)], env=environment, check=True)
    without = {
        path.relative_to(tmp_path / "without") for path in (tmp_path / "without" / "raw").rglob("*.csv")
    }
    both = {path.relative_to(tmp_path / "with") for path in (tmp_path / "with" / "raw").rglob("*.csv")}
    assert {path.parts[1] for path in both - without} == {"crisis_line"}
    for path in without:
        assert (tmp_path / "with" / path).read_bytes() == (tmp_path / "without" / path).read_bytes()
