from importlib import resources
from pathlib import Path

import pytest

from linkage.errors import UsageError
from linkage.source import EncounterKind, Source, SourceColumn, declared_sources
from quality.suite import REQUIREMENTS, Suite, load_suites, read_suites, select_suites

SUITES_FOLDER = resources.files("quality") / "suites"
FILE_NAMES = sorted(file.name for file in SUITES_FOLDER.iterdir() if file.name.endswith(".toml"))
EXPECTATIONS = [
    pytest.param(suite, expectation, id=f"{suite.name}-{expectation.expectation_id}")
    for suite in load_suites()
    for expectation in suite.expectations
]

A_SUITE = """
name = "arrival"
title = "Arrivals"
says = "One row per arrival."
relation = "arrival"
stage = "published"
owner = "Clerk"
[[expectation]]
id = "arrived_at_is_filled_in"
expect = "column_values_to_not_be_null"
column = "arrived_at"
severity = "stop"
because = "An arrival without a time cannot be ordered."
"""

CRISIS_LINE = Source(
    name="crisis_line",
    label="Crisis line",
    client_id_is_stable=False,
    kinds=(EncounterKind(name="call", label="call", is_stay=False, sim_intercept=0),),
    columns=(
        SourceColumn(
            name="outcome", type="code", says="How the call ended.", codes=("resolved", "dispatched")
        ),
        SourceColumn(name="answered_at", type="timestamp", says="When the call was answered."),
    ),
)


def suites_from(folder: Path, *texts: str) -> tuple[Suite, ...]:
    for number, text in enumerate(texts):
        (folder / f"{number}.toml").write_text(text, encoding="utf-8")
    return read_suites(folder, tuple(declared_sources().values()))


@pytest.mark.parametrize("name", FILE_NAMES)
def test_every_suite_file_is_applied(name):
    stem = name.removesuffix(".toml")
    assert any(stem in suite.name for suite in load_suites())


@pytest.mark.parametrize(("suite", "expectation"), EXPECTATIONS)
def test_every_expectation_says_what_why_and_whose(suite, expectation):
    assert expectation.says.endswith(".")
    assert expectation.because.endswith(".")
    assert len(expectation.because.split()) >= 6
    assert expectation.owner
    assert "{" not in expectation.says.replace("{32}", "") + expectation.because


@pytest.mark.parametrize("source", declared_sources().values(), ids=lambda source: source.name)
def test_every_source_has_the_same_kinds_of_suite(source):
    names = {suite.name for suite in select_suites(stage="delivery", source=source.name)}
    assert names == {f"{source.name}_people", f"{source.name}_encounter", f"{source.name}_delivery"}


@pytest.mark.parametrize("source", declared_sources().values(), ids=lambda source: source.name)
def test_codes_and_kinds_are_those_of_the_declaration(source):
    (suite,) = select_suites(
        stage="delivery", source=source.name, relation=f"candidate_{source.name}_encounter"
    )
    sets = {
        e.parameters["column"]: e.parameters["value_set"]
        for e in suite.expectations
        if "value_set" in e.parameters
    }
    declared = {
        column.name: list(column.codes) for column in source.delivered_columns if column.type == "code"
    }
    assert sets == {"kind": list(source.kind_names)} | declared


def test_a_fifth_source_is_checked_without_a_new_file():
    suites = {
        suite.name: suite for suite in read_suites(SUITES_FOLDER, (*declared_sources().values(), CRISIS_LINE))
    }
    assert {"crisis_line_people", "crisis_line_encounter", "crisis_line_delivery"} <= set(suites)
    encounter = {e.expectation_id: e for e in suites["crisis_line_encounter"].expectations}
    assert encounter["outcome_is_a_declared_code"].parameters["value_set"] == ["resolved", "dispatched"]
    assert encounter["kind_is_declared"].parameters["value_set"] == ["call"]
    assert "assessed_after_booking" not in encounter
    assert len(suites["crisis_line_people"].expectations) == len(suites["jail_people"].expectations)
    everyone = next(
        e for e in suites["source_record"].expectations if e.expectation_id == "every_client_is_here"
    )
    assert "crisis_line_people" in everyone.parameters["sql"]


def test_a_source_may_add_expectations_of_its_own(tmp_path):
    for_all = A_SUITE.replace('"arrival"', '"{source}_arrival"').replace(
        'stage = "published"', 'stage = "delivery"\napplies_to = "every source"'
    )
    own = """
    adds_to = "jail_arrival"
    applies_to = "jail"
    owner = "Sheriff"
    [[expectation]]
    id = "rare"
    expect = "no_rows_where"
    where = "hour(arrived_at) = 4"
    says = "Nobody arrives at four."
    severity = "warn"
    because = "The {source} is locked then."
    """
    suites = {suite.name: suite for suite in suites_from(tmp_path, for_all, own)}
    added = suites["jail_arrival"].expectations[-1]
    assert (added.expectation_id, added.owner, added.because) == (
        "rare",
        "Sheriff",
        "The jail is locked then.",
    )
    assert len(suites["ems_arrival"].expectations) == 1


def test_sentences_are_made_where_none_is_given(tmp_path):
    (suite,) = suites_from(tmp_path, A_SUITE.replace("severity =", "mostly = 0.925\nseverity ="))
    assert suite.expectations[0].says == "arrived_at is filled in (in at least 92.5 % of rows)."


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        pytest.param('because = "An', 'becuase = "An', "the key 'because' is missing", id="misspelt key"),
        pytest.param(
            'severity = "stop"', 'severity = "fatal"', "severity: expected one of stop, warn", id="severity"
        ),
        pytest.param(
            'severity = "stop"', 'severity = "stop"\nshade = 1', "unknown key 'shade'", id="unknown key"
        ),
        pytest.param(
            "column_values_to_not_be_null", "be_nice", "expect: expected one of", id="unknown expectation"
        ),
        pytest.param('stage = "published"', 'stage = "later"', "stage: expected one of", id="stage"),
        pytest.param('owner = "Clerk"', 'owner = ""', "owner: expected a text", id="nobody answers for it"),
        pytest.param('severity = "stop"', "severity = ", "is not valid TOML", id="not TOML"),
        pytest.param(
            'severity = "stop"', 'severity = "stop"\nmostly = 2.0', "mostly: expected a share", id="share"
        ),
        pytest.param('id = "arr', 'id = "Arr', "id: expected small letters", id="id"),
        pytest.param(
            'name = "arrival"', 'name = "index"', "the name 'index' is taken", id="name of the first page"
        ),
        pytest.param(
            'severity = "stop"', 'severity = "stop"\nfor_each = "token"', "for_each: expected", id="for each"
        ),
        pytest.param(
            'stage = "p', 'applies_to = "moon"\nstage = "p', "applies_to: expected", id="unknown source"
        ),
        pytest.param(
            'name = "arrival"',
            'adds_to = "arrival"',
            "key 'applies_to' is missing",
            id="addition with a head",
        ),
    ],
)
def test_a_mistake_in_a_suite_is_one_sentence_naming_the_file(tmp_path, old, new, complaint):
    with pytest.raises(UsageError) as raised:
        suites_from(tmp_path, A_SUITE.replace(old, new))
    assert complaint in str(raised.value)
    assert "0.toml" in str(raised.value)


def test_an_expectation_cannot_be_stated_twice(tmp_path):
    twice = A_SUITE + A_SUITE[A_SUITE.index("[[expectation]]") :]
    with pytest.raises(UsageError, match="stated twice"):
        suites_from(tmp_path, twice)


def test_a_suite_cannot_be_declared_twice(tmp_path):
    with pytest.raises(UsageError, match="declared twice"):
        suites_from(tmp_path, A_SUITE, A_SUITE)


def test_an_addition_needs_its_suite(tmp_path):
    with pytest.raises(UsageError, match="there is no suite 'departure'"):
        suites_from(tmp_path, 'adds_to = "departure"\napplies_to = "jail"\nowner = "Clerk"\nexpectation = []')


def test_every_kind_of_expectation_is_used():
    used = {expectation.values[1].expect for expectation in EXPECTATIONS}
    assert used == set(REQUIREMENTS)


def test_names_and_ids_are_unique_and_short_enough_for_a_check():
    names = [f"{suite.name}__{e.expectation_id}" for suite in load_suites() for e in suite.expectations]
    assert len(names) == len(set(names))
    assert max(map(len, names)) <= 120
