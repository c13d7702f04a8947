"""Steward decisions from the command line: what is refused, what is kept, and what the next run makes of them."""

import duckdb
import polars as pl
import pytest

from linkage.decisions import effective_decisions
from linkage.errors import CheckFailedError
from pipelines.assets.stewardship import decisions_are_honoured
from pipelines.decide import refuse_broken_decisions
from pipelines.resources import CountyWorkspace
from pipelines.run import refresh
from tests.pipelines.commands import familiar_faces
from tests.pipelines.small_county import encounter, person


@pytest.fixture
def clients(county):
    """Pseudonymous ids, written SOURCE:CLIENT_ID, of three delivered jail clients."""

    people = [person(f"J{number}") for number in range(3)]
    bookings = [encounter(f"B{n}", f"J{n}", "booking", "2024-01-03 10:00") for n in range(3)]
    delivered = county.deliver("jail", "2024-01", people, bookings)
    return [f"jail:{each}" for each in pl.read_parquet(delivered / "people.parquet")["client_id"].sort()]


@pytest.fixture
def decide(county):
    def run(*arguments):
        return familiar_faces("decide", "--workspace", county.workspace.root, *arguments)

    return run


def test_a_decision_is_recorded_with_who_and_why_and_can_be_withdrawn(county, clients, decide):
    made = decide("do-not-link", *clients[:2], "--by", "A. Steward", "--note", "both held on one day")
    assert made.code == 0
    (row,) = effective_decisions(county.workspace.stewardship).iter_rows(named=True)
    assert (row["decision"], row["decided_by"], row["note"]) == (
        "do_not_link",
        "A. Steward",
        "both held on one day",
    )
    assert county.workspace.stewardship.stat().st_mode & 0o777 == 0o600
    listed = decide("--list").out
    assert "do_not_link" in listed
    assert clients[0].partition(":")[2] in listed
    assert decide("withdraw", *reversed(clients[:2]), "--by", "B. Steward").code == 0
    assert effective_decisions(county.workspace.stewardship).is_empty()
    assert len(decide("--history").out.splitlines()) == 3
    assert len(decide("--list").out.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param((), "Say one thing", id="nothing"),
        pytest.param(("link", "jail:x"), "--by NAME", id="nobody decides"),
        pytest.param(("link", "jail:x", "--by", "A"), "two clients", id="one client"),
        pytest.param(("link", "jail", "jail:y", "--by", "A"), "SOURCE:CLIENT_ID", id="no client id"),
        pytest.param(("link", "court:x", "jail:y", "--by", "A"), "no source of ours", id="unknown source"),
        pytest.param(
            ("link", "jail:Jane_Roe", "jail:y", "--by", "A"), "no delivery of jail holds", id="unknown client"
        ),
    ],
)
def test_what_cannot_be_recorded_is_said_in_one_sentence(county, decide, arguments, says):
    refused = decide(*arguments)
    assert refused.code == 2
    assert says in refused.complaint
    assert "Jane_Roe" not in refused.err
    assert not county.workspace.stewardship.exists()


def test_a_contradiction_through_a_third_client_is_refused(clients, decide):
    first, second, third = clients
    assert decide("link", first, second, "--by", "A").code == 0
    assert decide("link", second, third, "--by", "A").code == 0
    refused = decide("do-not-link", first, third, "--by", "A")
    assert refused.code == 2
    assert "contradict each other" in refused.complaint


def test_there_must_be_something_to_withdraw(clients, decide):
    refused = decide("withdraw", *clients[:2], "--by", "A")
    assert refused.code == 2
    assert "none to withdraw" in refused.complaint


HEADER = "decision,source_l,client_id_l,source_r,client_id_r,note\n"


def test_a_file_is_recorded_whole_or_not_at_all(county, clients, decide, tmp_path):
    first, second, third = (client.partition(":")[2] for client in clients)
    path = tmp_path / "decisions.csv"
    path.write_text(
        HEADER + f"link,jail,{first},jail,{second},one\ndo-not-link,jail,{first},jail,{third},two\n"
    )
    assert decide("--file", path, "--by", "A").code == 0
    assert effective_decisions(county.workspace.stewardship)["note"].to_list() == ["one", "two"]
    path.write_text(HEADER + f"withdraw,jail,{first},jail,{second},\nlink,jail,{second},jail,nobody,\n")
    refused = decide("--file", path, "--by", "A")
    assert refused.code == 2
    assert "row 2" in refused.complaint
    assert effective_decisions(county.workspace.stewardship).height == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a,b\n", "the columns must be", id="other columns"),
        pytest.param(HEADER, "no row", id="no row"),
        pytest.param(HEADER + "maybe,jail,a,jail,b,\n", "row 1, column decision", id="unknown judgement"),
        pytest.param(HEADER + "link,court,a,jail,b,\n", "row 1, column source_l", id="unknown source"),
        pytest.param(HEADER + "link,jail,a\n", "row 1: expected 6 fields", id="a short row"),
    ],
)
def test_a_file_that_says_something_else_is_refused_by_row_and_column(county, decide, tmp_path, text, says):
    path = tmp_path / "decisions.csv"
    path.write_text(text)
    refused = decide("--file", path, "--by", "A")
    assert refused.code == 2
    assert says in refused.complaint


@pytest.mark.parametrize("together", [True, False], ids=["kept", "broken"])
def test_persons_that_break_a_decision_stop_the_run_and_every_later_release(
    county, clients, decide, together
):
    decide("link", *clients[:2], "--by", "A")
    with duckdb.connect(county.workspace.warehouse) as connection:
        connection.execute(
            "create table person_crosswalk (source varchar, client_id varchar, person_id varchar, "
            "person_id_080 varchar, person_id_095 varchar, person_id_099 varchar)"
        ).fetchall()
        for number, client in enumerate(clients[:2]):
            person_id = "P0" if together else f"P{number}"
            connection.execute(
                "insert into person_crosswalk values (?, ?, ?, ?, ?, ?)",
                [*client.split(":"), *[person_id] * 4],
            ).fetchall()
    found = decisions_are_honoured(CountyWorkspace(root=str(county.workspace.root)))
    assert found.passed is together
    with county.workspace.connect(read_only=True) as connection:
        if together:
            refuse_broken_decisions(connection, county.workspace.stewardship)
        else:
            with pytest.raises(CheckFailedError, match="not honoured"):
                refuse_broken_decisions(connection, county.workspace.stewardship)


@pytest.mark.slow
def test_the_next_runs_keep_to_what_was_decided(tiny_county, tmp_path):
    county = tiny_county.copy(tmp_path / "workspace")
    ((*together,),) = county.rows(
        "select l.source || ':' || l.client_id, r.source || ':' || r.client_id from person_crosswalk as l "
        "join person_crosswalk as r using (person_id) where l.source = 'hospital' and r.source = 'jail' "
        "order by all limit 1"
    )
    apart = [
        f"jail:{client_id}"
        for (client_id,) in county.rows(
            "select min(client_id) from person_crosswalk where source = 'jail' group by person_id order by 1 limit 2"
        )
    ]
    for judgement, pair in (("do-not-link", together), ("link", apart)):
        said = familiar_faces("decide", "--workspace", county.workspace.root, judgement, *pair, "--by", "A")
        assert said.code == 0, said.err
    refresh(county.workspace)
    county.deliver(county.months[2])
    refresh(county.workspace)
    person = dict(county.rows("select source || ':' || client_id, person_id from person_crosswalk"))
    assert person[together[0]] != person[together[1]]
    assert person[apart[0]] == person[apart[1]]
