"""kill -9, at the end of every step and in between; then the next run comes to what an undisturbed run comes to."""

import random
import shutil

import pytest

from pipelines.definitions import defs
from quality.access_log import accesses
from tests.reliability.conftest import nothing_left_behind, outcome
from tests.reliability.trial import (
    die_after_step,
    die_at,
    die_at_whatever_grew,
    run_trial,
    score_changes_whatever_grew,
    started,
)

pytestmark = pytest.mark.slow

SEED = 7
MOMENTS = 50
STEPS = len(defs.resolve_job_def("refresh").nodes)
KILLED = -9
PLACES = (
    "pipelines.ingest:discard_candidate",
    "pipelines.releases.release:log_access",
    "pipelines.releases.returns:_write",
)
"""Where a process dies that is between two things which belong together."""


def moments(number):
    """Seeded moments as shares of a run's duration, one in each of `number` equal parts, in an order that mixes."""
    chosen = random.Random(SEED)
    shares = [(part + chosen.random()) / number for part in range(number)]
    chosen.shuffle(shares)
    return shares


WHILE_CHANGES_ARE_SCORED = (
    "linkage.changes:_prepare_changed_pairs",
    "linkage.changes:scored_pairs_sql",
    "pipelines.assets.linkage:cluster_clients",
)


def as_undisturbed(county, undisturbed, what):
    """Run again and compare."""
    again = run_trial(county.workspace.root)
    assert again.code == 0, f"{what}: {again.said}"
    nothing_left_behind(county)
    found = outcome(county)
    assert found == {name: undisturbed[name] for name in found}, what


def killed_after_steps(county, steps):
    """A run that is killed when so many steps have ended."""
    trial = run_trial(county.workspace.root, disturb=die_after_step, argument=steps)
    assert trial.code == KILLED, trial.said


def killed_in(county, place):
    """A run that is killed when it comes to a function."""
    trial = run_trial(county.workspace.root, disturb=die_at, argument=place)
    assert trial.code == KILLED, (place, trial.said)


def killed_at(county, share, undisturbed):
    """A run that is killed at a share of the time that an undisturbed run takes; whether it was still at work."""
    trial = started(county.workspace.root)
    return trial.kill_after(share * undisturbed["seconds"]) == KILLED


def test_runs_killed_between_things_that_belong_together_are_made_good_by_the_next(county, undisturbed):
    in_the_first_step, *in_the_release = PLACES
    killed_in(county, in_the_first_step)
    for steps in (2, STEPS // 3, 3 * STEPS // 4):
        killed_after_steps(county, steps)
    for place in in_the_release:
        killed_in(county, place)
    as_undisturbed(county, undisturbed, "the ends of steps, and in the middle of some")
    published = accesses(county.workspace.stewardship).filter(what="publish", about=undisturbed["release"])
    assert published.height == 1


def test_runs_killed_at_random_moments_are_made_good_by_the_next(county, undisturbed):
    killed = sum(killed_at(county, share, undisturbed) for share in moments(6))
    # A quiet machine may be through before the last moments come.
    assert killed >= 4
    as_undisturbed(county, undisturbed, "random moments")


@pytest.mark.endurance
def test_runs_that_score_changes_alone_are_made_good_too(before_third_month, tmp_path):
    county, calm = (before_third_month.copy(tmp_path / name) for name in ("killed", "calm"))
    for each in (county, calm):
        each.edit_county_file('score = "everything"', 'score = "changes"')
    undisturbed = run_trial(calm.workspace.root, disturb=score_changes_whatever_grew)
    assert undisturbed.code == 0
    assert "weighing changed pairs" in undisturbed.said
    for place in WHILE_CHANGES_ARE_SCORED:
        trial = run_trial(county.workspace.root, disturb=die_at_whatever_grew, argument=place)
        assert trial.code == KILLED, (place, trial.said)
    again = run_trial(county.workspace.root, disturb=score_changes_whatever_grew)
    assert again.code == 0, again.said
    nothing_left_behind(county)
    assert outcome(county) == outcome(calm)


@pytest.mark.endurance
@pytest.mark.parametrize("steps", range(1, STEPS))
def test_a_run_killed_at_the_end_of_any_step_is_made_good(county, undisturbed, steps):
    killed_after_steps(county, steps)
    as_undisturbed(county, undisturbed, f"after {steps} steps")
    shutil.rmtree(county.workspace.root)


@pytest.mark.endurance
@pytest.mark.parametrize("share", sorted(moments(MOMENTS)))
def test_a_run_killed_at_any_moment_is_made_good(county, undisturbed, share):
    killed_at(county, share, undisturbed)
    as_undisturbed(county, undisturbed, f"at {share:.2f} of the run")
    shutil.rmtree(county.workspace.root)
