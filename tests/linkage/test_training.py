"""Training: the same twice, honest about what it could not learn, and nothing of a person in its file."""

import json
import re
from dataclasses import replace

import pytest

from linkage.errors import UsageError
from linkage.model import comparison, comparisons, splink_settings
from linkage.model_file import Model
from linkage.records import build_source_record
from linkage.scoring import score
from linkage.source import declared_sources
from linkage.training import train
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


def test_learning_that_was_cut_short_is_not_called_converged(con, small_county_rows, monkeypatch, capsys):
    """Splink logs that it has converged when it has merely reached its last iteration."""

    def hurried(**options):
        settings = splink_settings(**options)
        settings.max_iterations = 2
        return settings

    monkeypatch.setattr("linkage.training.splink_settings", hurried)
    sessions = trained(con, small_county_rows).training["sessions"]
    cut_short = [session for session in sessions if session["held"] and not session["converged"]]
    assert cut_short
    said = capsys.readouterr().err
    for session in cut_short:
        assert session["iterations"] == 2
        assert session["last_change"] >= 1e-3
        assert f"pairs with the {session['pairs_with_the']} did not settle in 2 iterations" in said


def test_a_session_on_too_few_pairs_is_not_held_and_not_called_converged(con, capsys):
    sessions = trained(con, invented_county(60)).training["sessions"]
    skipped = [session for session in sessions if not session["held"]]
    assert [session["pairs_with_the"] for session in skipped] == ["same Social Security number"]
    assert skipped[0]["pairs"] < 200
    assert (skipped[0]["iterations"], skipped[0]["converged"], skipped[0]["last_change"]) == (0, False, None)
    assert "too few pairs with the same Social Security number" in capsys.readouterr().err


def test_the_prior_is_near_the_true_share_of_pairs(linked_county):
    prior = linked_county.model.training["prior"]
    assert prior["estimated"]
    linked_county.con.register("truth", linked_county.truth.to_arrow())
    true_pairs, records = linked_county.con.execute(
        """
        with of_truth as (
            select truth_id, source, client_id from source_record inner join truth using (source, client_id)
        )
        select
            (select sum(records * (records - 1) / 2) from (select count(*) as records from of_truth group by truth_id))
            - (select sum(records * (records - 1) / 2)
                from (select count(*) as records from of_truth group by source, client_id)),
            (select count(*) from of_truth)
        """
    ).fetchall()[0]
    linked_county.con.unregister("truth")
    assert prior["probability"] / (true_pairs / (records * (records - 1) / 2)) == pytest.approx(1, abs=0.25)


@pytest.mark.parametrize(
    ("unknown", "because"),
    [
        pytest.param({"ssn": None, "ssn4": None}, "assumed: only 0 pairs", id="no Social Security number"),
        pytest.param({"birth_date": None}, "they are what is counted", id="no birth date"),
    ],
)
def test_a_prior_that_cannot_be_estimated_is_said_and_explained(
    con, small_county_rows, unknown, because, capsys
):
    rows = [replace(row, identity=replace(row.identity, **unknown)) for row in small_county_rows]
    prior = trained(con, rows).training["prior"]
    assert not prior["estimated"]
    assert because in prior["recall_because"]
    assert "cannot be estimated" in capsys.readouterr().err


def test_levels_that_learned_nothing_are_named_and_weigh_nothing(linked_county):
    unobserved = linked_county.model.training["unobserved_levels"]
    assert "suffix: equal" in unobserved  # nobody in this county has a suffix
    assert linked_county.model.parameters.levels["suffix"]["equal"].match_weight == 0


def test_comparisons_that_too_few_matches_tell_anything_of_are_left_out_and_named(con, capsys):
    training = trained(con, invented_county(60)).training
    assert {"ssn", "suffix"} <= set(training["left_out"])
    assert "first_name" not in training["left_out"]
    assert f"tell anything of {', '.join(training['left_out'])}" in capsys.readouterr().err
    assert {f"ssn: {level}" for level in comparison("ssn").level_names().values()} <= set(
        training["unobserved_levels"]
    )


def test_what_agrees_speaks_for_one_person_and_what_differs_against(linked_county):
    levels = linked_county.model.parameters.levels
    for each in comparisons():
        of_comparison = list(levels[each.name].values())
        if each.learned_from == "pairs" and any(level.observed for level in of_comparison):
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


def test_what_no_session_taught_leaves_the_model_half_trained(con, tmp_path):
    """130 people in two sources each: enough pairs to expect something of every name, too few to learn it."""
    people = [row.identity for row in invented_county(600) if row.source == "jail" and row.identity.ssn][:130]
    rows = [
        Delivered(source=source, client_id=str(number), identity=who, truth_id=number)
        for number, who in enumerate(people)
        for source in ("jail", "hospital")
    ]
    model = trained(con, rows)
    assert not any(session["held"] for session in model.training["sessions"])
    assert not model.training["complete"]
    assert "first_name" in model.training["incomplete_because"]
    model.save(tmp_path / "model.json")
    for half in (model, Model.load(tmp_path / "model.json")):
        with pytest.raises(UsageError, match="half trained: nothing was learned of first_name"):
            score(con, half, lower_weight=0)


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
