"""What a steward reads before signing, and what signing and refusing do to a release."""

import datetime as dt
import json

import duckdb
import pytest

from pipelines.releases.prepared import prepared_as_text
from pipelines.releases.release import current_release
from quality.history import read
from quality.sign_off import record_sign_off, sign_offs
from quality.suite import select_suites
from tests.pipelines.commands import familiar_faces

pytestmark = pytest.mark.slow


@pytest.fixture
def county(finished_county, tmp_path):
    return finished_county.copy(tmp_path / "workspace")


def prepared(county):
    return json.loads(county.workspace.prepared_release.read_text(encoding="utf-8"))


def release(county, *arguments):
    return familiar_faces("release", "--workspace", county.workspace.root, *arguments)


def run(county):
    return familiar_faces("run", "--workspace", county.workspace.root)


def test_a_next_month_is_compared_with_the_release_before_and_can_be_refused_or_signed(county):
    first = current_release(county.workspace)
    assert prepared(county)["compared_with"] is None
    county.edit_county_file("sign_off_required = false", "sign_off_required = true")
    county.deliver(county.months[12])
    assert run(county).code == 5

    account = prepared(county)
    assert account["compared_with"] == first.release_id
    assert county.workspace.prepared_release.stat().st_mode & 0o777 == 0o600
    with county.workspace.connect(read_only=True) as warehouse:
        warehouse.execute(f"attach '{first.database}' as before (read_only)").fetchall()
        for row, relation in zip(account["sizes"], ("person", "person_crosswalk", "encounter"), strict=True):
            before, now = warehouse.execute(
                f"select (select count(*) from before.{relation}), (select count(*) from main.{relation})"
            ).fetchall()[0]
            assert (row["before"], row["now"]) == (before, now)
        assert [
            (row["cohort"], row["before"], row["now"], row["entered"], row["left"])
            for row in account["cohorts"]
        ] == expected_cohorts(warehouse, threshold=account["small_cell_threshold"])
    assert account["id_changes"]["minted"] > 0
    assert account["checks"]["met"] > 50
    assert {row["measure"] for row in account["quality"]}
    assert account["small_cells"] == expected_small_cells(county, first)
    warned = {(row["suite"], row["expectation"]) for row in account["checks"]["not_met"]}
    assert {each for each in warned if delivery_suite(each[0])} == delivery_warnings(county)
    said = familiar_faces("release", "changes", "--workspace", county.workspace.root)
    assert said.code == 0
    assert account["release_id"] in said.out

    assert "needs a reason" in release(county, "--refuse", "Ada").complaint
    assert release(county, "--refuse", "Ada", "--reason", "a month is missing").code == 0
    refused = release(county)
    assert refused.code == 5
    assert "Ada refused this state" in refused.complaint
    assert "a month is missing" not in refused.err
    assert "a month is missing" in prepared_as_text(county.workspace)
    assert current_release(county.workspace).release_id == first.release_id

    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=31)
    record_sign_off(county.workspace.stewardship, account["fingerprint"], "Ada", long_ago)
    expired = release(county)
    assert expired.code == 5
    assert "has run out" in expired.complaint

    assert release(county, "--sign-off", "Ada", "--reason", "it came").code == 0
    assert current_release(county.workspace).release_id == account["release_id"]
    record_sign_off(county.workspace.stewardship, account["fingerprint"], "Ada", long_ago)
    assert release(county).code == 0


def delivery_suite(name):
    return any(suite.name == name for suite in select_suites(stage="delivery"))


def delivery_warnings(county):
    """What the pages of the deliveries say of the last run of each suite."""
    last = {run.suite: run for run in read(county.workspace.quality_docs) if delivery_suite(run.suite)}
    return {
        (name, expectation)
        for name, run in last.items()
        for expectation, found in run.results.items()
        if found.outcome == "not met"
    }


AGGREGATES = {
    "crisis_contact_measure": "denominator",
    "crisis_transition": "people",
    "diversion_measure": "denominator",
    "linkage_quality": "denominator",
    "stepping_up_measure": "denominator",
}


def expected_small_cells(county, first):
    def withheld(table):
        return sum(number is None for (number,) in table)

    found = []
    for relation, column in AGGREGATES.items():
        query = f"select {column} from {relation}"
        now = county.rows(query)
        with duckdb.connect(first.database, read_only=True) as release:
            before = release.execute(query).fetchall()
        found.append(
            {
                "relation": relation,
                "cells": len(now),
                "withheld": withheld(now),
                "withheld_before": withheld(before),
            }
        )
    return found


def test_what_was_decided_since_cannot_be_signed_unread(county):
    clients = county.rows("select source || ':' || client_id from person_crosswalk order by all limit 2")
    decided = familiar_faces(
        *("decide", "--workspace", county.workspace.root, "do-not-link"),
        *(client for (client,) in clients),
        *("--by", "Ada"),
    )
    assert decided.code == 0
    refused = release(county, "--sign-off", "Ada")
    assert refused.code == 2
    assert "nobody could have read what would be signed" in refused.complaint
    assert sign_offs(county.workspace.stewardship) == []


def expected_cohorts(warehouse, *, threshold):
    """By plain sets of clients: a person entered whose clients were all in nobody's membership before."""

    def members(catalog):
        found = {}
        for cohort, person, source, client in warehouse.execute(
            f"select cohort, person_id, source, client_id from {catalog}.cohort_membership "
            f"join {catalog}.person_crosswalk using (person_id) where is_member"
        ).fetchall():
            found.setdefault(cohort, {}).setdefault(person, set()).add((source, client))
        return found

    before, now = members("before"), members("main")
    expected = []
    for (cohort,) in warehouse.execute(
        "select cohort from main.cohort_definition order by cohort"
    ).fetchall():
        was, is_now = before.get(cohort, {}), now.get(cohort, {})
        were, are = set().union(*was.values()), set().union(*is_now.values())
        entered = sum(not clients & were for clients in is_now.values())
        left = sum(not clients & are for clients in was.values())

        def small(*counts):
            return any(0 < count < threshold for count in counts)

        if small(len(was), len(is_now)):
            expected.append((cohort, None, None, None, None))
        elif small(entered, left):
            expected.append((cohort, len(was), len(is_now), None, None))
        else:
            expected.append((cohort, len(was), len(is_now), entered, left))
    return expected


def test_a_release_of_an_older_layout_is_not_compared_with(county):
    current = current_release(county.workspace)
    current.folder.chmod(0o700)
    current.database.chmod(0o600)
    with duckdb.connect(current.database) as connection:
        connection.execute("drop table person_id_change").fetchall()
    current.database.chmod(0o400)
    county.edit_county_file("sign_off_required = false", "sign_off_required = true")
    assert run(county).code == 5
    assert prepared(county)["compared_with"] is None
