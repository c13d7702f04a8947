"""Training: the same twice, honest about what it could not learn, and nothing of a person in its file."""

import json
import re
from dataclasses import replace

import pytest

from linkage.errors import UsageError
from linkage.model import comparisons
from linkage.records import build_source_record
from linkage.scoring import score
from linkage.source import declared_sources
from linkage.training import Model, train
from tests.linkage.invented import Delivered, Identity, invented_county, load

SOURCES = list(declared_sources().values())


@pytest.fixture(scope="module")
def small_county_rows():
    return invented_county(400)


def trained(con, rows, **options):
    load(con, rows)
    build_source_record(con, SOURCES)
    return train(con, **{"seed": 1, "max_pairs": 50_000, **options})


def test_the_same_records_and_seed_give_the_same_model(con, small_county_rows):
    one = trained(con, small_county_rows)
    assert trained(con, small_county_rows[::-1]).version == one.version
    assert trained(con, small_county_rows, seed=2).version != one.version


def test_a_model_comes_back_from_its_file(linked_county, tmp_path):
    linked_county.model.save(tmp_path / "model.json")
    loaded = Model.load(tmp_path / "model.json")
    assert loaded.version == linked_county.model.version
    assert loaded.parameters == linked_county.model.parameters
    assert loaded.calibration == linked_county.model.calibration


def test_a_model_file_holds_no_token_and_no_term_frequency_table(linked_county, tmp_path):
    linked_county.model.save(tmp_path / "model.json")
    text = (tmp_path / "model.json").read_text()
    assert re.findall(r"[0-9a-f]{32}|(?<![.0-9])\d{12,}(?![.0-9])", text) == []
    assert len(text) < 150_000


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(lambda text: text.replace('"m"', '"n"', 1), "not a model file", id="a field renamed"),
        pytest.param(lambda text: "{", "not a model file", id="cut off"),
        pytest.param(
            lambda text: text.replace('"prior": 0', '"prior": 1'), "changed after training", id="edited"
        ),
        pytest.param(
            lambda text: text.replace('"swapped"', '"twisted"'), "other comparisons", id="other levels"
        ),
    ],
)
def test_a_spoilt_model_file_is_refused_in_a_sentence(linked_county, tmp_path, spoil, message):
    path = tmp_path / "model.json"
    linked_county.model.save(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(UsageError, match=message):
        Model.load(path)


def test_training_tells_how_each_session_ended(linked_county):
    sessions = linked_county.model.training["sessions"]
    assert len(sessions) == 3
    for session in sessions:
        assert session["held"]
        assert session["converged"] == (session["last_change"] < 1e-3)
        assert session["iterations"] > 1


def test_levels_that_learned_nothing_are_named_and_weigh_nothing(linked_county):
    unobserved = linked_county.model.training["unobserved_levels"]
    assert "suffix: equal" in unobserved  # nobody in this county has a suffix
    assert linked_county.model.parameters.levels["suffix"]["equal"].match_weight == 0


def test_what_agrees_speaks_for_one_person_and_what_differs_against(linked_county):
    levels = linked_county.model.parameters.levels
    for each in comparisons():
        of_comparison = list(levels[each.name].values())
        if any(level.observed for level in of_comparison):
            assert of_comparison[0].match_weight > 0 > of_comparison[-1].match_weight, each.name


def test_a_half_trained_model_is_refused(linked_county):
    training = {
        **linked_county.model.training,
        "complete": False,
        "incomplete_because": "nothing was learned of ssn.",
    }
    half = replace(linked_county.model, training=training)
    with pytest.raises(UsageError, match="half trained: nothing was learned of ssn"):
        score(linked_county.con, half, lower_weight=0)


def test_records_without_anything_in_common_are_said_in_a_sentence(con):
    strangers = [
        Delivered(source=source, client_id="a", identity=Identity(first_name=name, last_name=name, ssn=None))
        for source, name in (("jail", "anna"), ("ems", "bert"), ("hospital", "cleo"))
    ]
    with pytest.raises(UsageError, match="nothing to learn from"):
        trained(con, strangers)
    assert con.execute("select current_database()").fetchall() == [("memory",)]


def test_the_model_explains_its_threshold(linked_county):
    calibration = linked_county.model.calibration
    assert calibration.method == "ssn_agreement"
    assert "estimated precision of 0.99" in calibration.link_because
    estimates = linked_county.model.training["link_estimates"]
    chosen = [each for each in estimates if each["link_weight"] == calibration.link_weight]
    assert chosen[0]["precision"] >= 0.99


def test_splink_reads_the_settings_of_the_model(linked_county):
    settings = json.loads(json.dumps(linked_county.model.splink_settings))
    first = settings["comparisons"][0]["comparison_levels"][1]
    learned = linked_county.model.parameters.levels["first_name"]["equal"]
    assert (first["m_probability"], first["u_probability"]) == (learned.m, learned.u)
