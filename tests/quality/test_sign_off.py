"""Verdicts on a prepared release: bound to one state, appended, the last one counts."""

import datetime as dt
import sqlite3

import pytest

from linkage.errors import UsageError
from quality.sign_off import Verdict, record_sign_off, sign_off_for, sign_offs

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def stewardship(tmp_path):
    return tmp_path / "stewardship.sqlite"


def test_the_last_verdict_on_exactly_this_state_counts(stewardship):
    record_sign_off(stewardship, "state", "A", NOW)
    record_sign_off(stewardship, "state", "B", NOW, verdict=Verdict.REFUSED, reason="a month is missing")
    record_sign_off(stewardship, "another", "A", NOW)
    signed = sign_off_for(stewardship, "state")
    assert (signed.signer, signed.verdict, signed.reason) == ("B", "refused", "a month is missing")
    assert sign_off_for(stewardship, "a third") is None
    assert len(sign_offs(stewardship)) == 3
    assert stewardship.stat().st_mode & 0o777 == 0o600


def test_a_refusal_without_a_reason_and_a_signature_without_a_name_are_refused(stewardship):
    with pytest.raises(UsageError, match="needs a reason"):
        record_sign_off(stewardship, "state", "A", NOW, verdict=Verdict.REFUSED)
    with pytest.raises(UsageError, match="steward's name"):
        record_sign_off(stewardship, "state", " ", NOW)
    assert sign_offs(stewardship) == []


def test_an_approval_ends(stewardship):
    signed = record_sign_off(stewardship, "state", "A", NOW)
    assert signed.good_until(30) == NOW + dt.timedelta(days=30)


@pytest.mark.parametrize("statement", ["delete from sign_off", "update sign_off set verdict = 'approved'"])
def test_verdicts_cannot_be_changed(stewardship, statement):
    record_sign_off(stewardship, "state", "A", NOW, verdict=Verdict.REFUSED, reason="no")
    with (
        sqlite3.connect(stewardship) as file,
        pytest.raises(sqlite3.IntegrityError, match="only ever appended"),
    ):
        file.execute(statement)


def test_sign_offs_from_before_there_were_refusals_are_approvals(stewardship):
    with sqlite3.connect(stewardship) as file:
        file.execute(
            "create table sign_off (sign_off_id integer primary key autoincrement, fingerprint text not null, "
            "signer text not null, signed_at text not null)"
        )
        file.execute("insert into sign_off values (1, 'state', 'A', '2026-01-01T00:00:00+00:00')")
    assert sign_off_for(stewardship, "state").verdict == Verdict.APPROVED
