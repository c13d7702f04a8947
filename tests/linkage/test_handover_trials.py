"""What a handover is worth is learned from those who could have been recognised, and finds those who could not."""

import numpy as np
import pytest

from linkage.calibration import logistic
from linkage.handover_trials import share_of_one_person


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9, 0.99])
def test_the_share_of_one_person_is_found(share):
    dice = np.random.default_rng(2)
    is_one = dice.random(20_000) < share
    # Normal log odds that mean what they say: in natural units the mean is half the variance.
    natural = np.where(is_one, dice.normal(8, 4, 20_000), dice.normal(-8, 4, 20_000))
    assert share_of_one_person(natural / np.log(2)) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("log_odds", [[], [30.0] * 10, [-30.0] * 10])
def test_few_trials_never_make_it_certain(log_odds):
    assert 0 < share_of_one_person(np.array(log_odds, dtype=np.float64)) < 1


def test_a_pair_of_which_nothing_else_is_known_is_as_probable_as_the_trials(linked_county):
    model = linked_county.model
    alone, among = model.training["handovers"]
    assert alone["learned"]
    weight = model.parameters.prior_weight + model.parameters.levels["handover"]["alone"].match_weight
    assert float(logistic(np.array(weight))) == pytest.approx(alone["one_person"], abs=0.001)
    learned = model.parameters.levels["handover"]["among_several"]
    assert learned.observed == (among["trials"] >= 100)


def test_the_trials_are_as_right_as_they_are_thought_to_be(linked_county):
    linked_county.con.register("truth", linked_county.truth.to_arrow())
    trials, right = linked_county.con.execute(
        """
        select count(*), count(*) filter (l.truth_id = r.truth_id)
        from handover_trial
        inner join truth as l on l.source = source_l and l.client_id = client_id_l
        inner join truth as r on r.source = source_r and r.client_id = client_id_r
        where is_alone
        """
    ).fetchall()[0]
    linked_county.con.unregister("truth")
    assert trials > 500
    assert linked_county.model.training["handovers"][0]["one_person"] == pytest.approx(
        right / trials, abs=0.03
    )


def test_a_patient_without_a_name_finds_the_person_the_hospital_knows(linked_county):
    """By the truth: most of the nameless who were handed over alone, and hardly ever another's."""
    linked_county.con.register("truth", linked_county.truth.to_arrow())
    nameless, found, wrong = linked_county.con.execute(
        """
        with client as (
            select source, client_id, any_value(cluster_id) as cluster_id, any_value(truth_id) as truth_id,
                bool_or(coalesce(first_name_token, last_name_token, ssn4_token) is not null) as is_known,
                bool_or(handover_alone_tokens is not null) as was_handed_over
            from source_record
            inner join cluster using (source, client_id)
            inner join truth using (source, client_id)
            group by source, client_id
        ),
        unknown as (
            select any_value(l.client_id), bool_or(l.truth_id = r.truth_id) as is_found,
                bool_or(l.truth_id <> r.truth_id) as is_wrong
            from client as l left join client as r on r.cluster_id = l.cluster_id and r.client_id <> l.client_id
            where not l.is_known and l.source = 'ems' and l.was_handed_over
            group by l.source, l.client_id
        )
        select count(*), count(*) filter (is_found), count(*) filter (is_wrong) from unknown
        """
    ).fetchall()[0]
    linked_county.con.unregister("truth")
    assert nameless > 0
    assert found >= 0.9 * nameless
    assert wrong <= 0.1 * nameless
