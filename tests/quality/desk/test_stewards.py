"""Tokens: kept as hashes, good once or for a while, never again after they were revoked."""

import datetime as dt
import sqlite3

import pytest

from linkage.errors import UsageError
from quality.desk.stewards import (
    ONE_TIME_LASTS,
    TOKEN_LASTS,
    is_revoked_since,
    issue_token,
    revoke_tokens,
    steward_of,
)
from tests.quality.desk.invented_cases import NOW


@pytest.fixture
def stewardship(tmp_path):
    return tmp_path / "stewardship.sqlite"


def test_a_token_opens_the_desk_for_its_steward_until_it_expires(stewardship):
    token = issue_token(stewardship, " A. Steward ", now=NOW)
    assert steward_of(stewardship, token, now=NOW) == "A. Steward"
    assert steward_of(stewardship, token, now=NOW + TOKEN_LASTS - dt.timedelta(seconds=1)) == "A. Steward"
    assert steward_of(stewardship, token, now=NOW + TOKEN_LASTS) is None
    assert steward_of(stewardship, token + "x", now=NOW) is None


def test_a_one_time_token_opens_it_once(stewardship):
    token = issue_token(stewardship, "A", now=NOW, one_time=True)
    assert steward_of(stewardship, token, now=NOW) == "A"
    assert steward_of(stewardship, token, now=NOW) is None
    late = issue_token(stewardship, "A", now=NOW, one_time=True)
    assert steward_of(stewardship, late, now=NOW + ONE_TIME_LASTS) is None


def test_revoking_ends_every_token_of_one_steward_only(stewardship):
    first, second = (issue_token(stewardship, "A", now=NOW) for _ in range(2))
    other = issue_token(stewardship, "B", now=NOW)
    assert revoke_tokens(stewardship, "A", now=NOW) == 2
    assert revoke_tokens(stewardship, "A", now=NOW) == 0
    assert [steward_of(stewardship, token, now=NOW) for token in (first, second, other)] == [None, None, "B"]


def test_the_file_holds_no_token_and_only_its_owner_reads_it(stewardship):
    token = issue_token(stewardship, "A", now=NOW)
    held = b"".join(path.read_bytes() for path in stewardship.parent.iterdir())
    assert token.encode() not in held
    assert stewardship.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("table", ["steward_token", "steward_token_end"])
@pytest.mark.parametrize("statement", ["delete from {}", "update {} set rowid = rowid + 1"])
def test_nothing_of_it_can_be_changed(stewardship, table, statement):
    steward_of(stewardship, issue_token(stewardship, "A", now=NOW, one_time=True), now=NOW)
    with (
        sqlite3.connect(stewardship) as store,
        pytest.raises(sqlite3.IntegrityError, match="only ever appended"),
    ):
        store.execute(statement.format(table))


@pytest.mark.parametrize("name", ["", "  ", "x" * 81, "A\nB"])
def test_a_name_that_is_none_is_refused(stewardship, name):
    with pytest.raises(UsageError, match="needs a name"):
        issue_token(stewardship, name, now=NOW)


def test_revoking_ends_visits_begun_before_it_and_none_begun_after(tmp_path):
    stewardship = tmp_path / "stewardship.sqlite"
    began = dt.datetime(2026, 1, 1, 9, tzinfo=dt.UTC)
    issue_token(stewardship, "A. Steward", now=began, one_time=True)
    assert not is_revoked_since(stewardship, "A. Steward", began)
    revoke_tokens(stewardship, "A. Steward", now=began + dt.timedelta(hours=1))
    assert is_revoked_since(stewardship, "A. Steward", began)
    assert not is_revoked_since(stewardship, "B. Steward", began)
    assert not is_revoked_since(stewardship, "A. Steward", began + dt.timedelta(hours=2))
