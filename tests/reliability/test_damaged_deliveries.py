"""A thousand damaged deliveries: each is accepted, quarantined in part or refused with one sentence; never more."""

import datetime as dt
import random
import shutil
from collections import Counter

import duckdb
import pytest

from linkage.errors import FamiliarFacesError
from linkage.source import declared_sources
from pipelines.ingest import load_candidate, pending_months, prepare_warehouse, promote
from pipelines.quarantine import write_quarantine_files
from pipelines.workspace import Workspace
from sample_data.county import county_file_text
from tests.pipelines.simulated_county import tables
from tests.pipelines.small_county import PROJECT_KEY, SmallCounty, encounter, person
from tests.reliability.damage import CHANGES, PLANTED

pytestmark = pytest.mark.slow

MONTH = "2024-03"
DELIVERIES = 1000
CLIENTS = 6


@pytest.fixture(scope="module")
def delivered(tmp_path_factory):
    """A workspace with one good delivery of two sources, whose raw extract named the planted person."""
    folder = tmp_path_factory.mktemp("damaged")
    workspace = Workspace(folder / "county")
    workspace.root.mkdir()
    workspace.county_file.write_text(
        county_file_text(project_key_check=PROJECT_KEY.key_check), encoding="utf-8"
    )
    workspace.prepare()
    county = SmallCounty(workspace=workspace, raw=folder / "raw")
    people = [
        person(
            f"c{number}",
            "Zebulon",
            "Quackenbush",
            f"1980-02-0{number + 1}",
            ssn="219-09-9999",
            zip="98101",
            sex="M",
        )
        for number in range(CLIENTS)
    ]
    for source, kind in (("jail", "booking"), ("hospital", "ed")):
        county.deliver(
            source,
            MONTH,
            people,
            [
                encounter(f"e{number}", f"c{number % CLIENTS}", kind, f"2024-03-{number + 1:02}T08:00")
                for number in range(2 * CLIENTS)
            ],
        )
    return workspace


def test_every_damaged_delivery_is_accepted_quarantined_or_refused_in_one_sentence(
    delivered, tmp_path, capfd
):
    settings = delivered.settings()
    sources = [declared_sources()[name] for name in ("jail", "hospital")]
    names = sorted(CHANGES)
    ended = Counter()
    problems = []
    with duckdb.connect() as connection:
        connection.execute("set preserve_insertion_order = false").fetchall()
        prepare_warehouse(connection, settings.profile)
        for number in range(DELIVERIES):
            rng = random.Random(number)
            source = rng.choice(sources)
            landing = tmp_path / "landing"
            folder = landing / source.name / MONTH
            shutil.copytree(delivered.landing / source.name / MONTH, folder)
            made = [names[number % len(names)]]
            CHANGES[made[0]](rng, folder)
            what = f"delivery {number} ({made[0]})"
            try:
                ending = ingested(connection, landing, source, settings, delivered, what)
            except AssertionError as error:
                problems.append(str(error))
                ending = "wrong"
            ended[ending] += 1
            shutil.rmtree(landing)
            if made[0] == "nothing":
                assert ending == "accepted", what
        said = capfd.readouterr()
        for table in tables(connection):
            rows = str(connection.execute(f"select * from {table}").fetchall()).lower()
            assert not [text for text in PLANTED if text.lower() in rows], table
    assert not problems, f"{len(problems)}: {problems[:20]}"
    for text in PLANTED:
        assert text.lower() not in (said.out + said.err).lower()
    assert "Traceback" not in said.out + said.err
    assert min(ended[ending] for ending in ("accepted", "quarantined", "refused")) > DELIVERIES / 50, ended


def ingested(connection, landing, source, settings, workspace, what):
    """Take one delivery in as a run does; says how it ended, and fails where anything but that happened."""
    before = connection.execute("from delivery order by all").fetchall()
    try:
        months = pending_months(connection, landing, source)
        counts = load_candidate(connection, landing, source, months, settings, dt.date(2024, 6, 1))
        write_quarantine_files(workspace, connection, source, settings.profile, months)
        promote(connection, source)
    except FamiliarFacesError as error:
        sentence = str(error)
        assert "\n" not in sentence, what
        assert len(sentence) < 1_000, what
        for text in PLANTED:
            assert text.lower() not in sentence.lower().replace(str(landing).lower(), ""), (
                f"{what}: {sentence}"
            )
        assert connection.execute("from delivery order by all").fetchall() == before, what
        return "refused"
    except BaseException as error:
        raise AssertionError(f"{what}: {type(error).__name__}: {error}") from error
    assert counts.delivered == counts.accepted + counts.quarantined, what
    ((people, encounters, quarantined, accepted),) = connection.execute(
        f"select (select count(*) from {source.name}_people), (select count(*) from {source.name}_encounter), "
        f"(select count(*) from quarantined_row where source = '{source.name}'), "
        f"(select sum(accepted_people + accepted_encounters) from delivery where source = '{source.name}')"
    ).fetchall()
    kept = str([connection.execute(f"from {table}").fetchall() for table in ("delivery", "quarantined_row")])
    assert not [text for text in PLANTED if text.lower() in kept.lower()], what
    if months:
        assert (people + encounters, quarantined) == (counts.accepted, counts.quarantined), what
        assert people + encounters == accepted, what
    return "quarantined" if counts.quarantined else "accepted"
