"""A county takes one encoding profile: deliveries of another are refused whole, and a warehouse keeps to its own."""

import datetime as dt

import pytest

from linkage.encoding.keys import write_new_key
from linkage.encoding.profiles import HIGH, STANDARD
from linkage.errors import DeliveryRefusedError, PolicyError, UsageError
from linkage.source import declared_sources
from pipelines.cli import main
from pipelines.ingest import load_candidate, pending_months, prepare_warehouse, promote
from pipelines.settings import load_settings
from tests.pipelines.small_county import encounter, person

JAIL = declared_sources()["jail"]
DELIVERY = (
    "jail",
    "2024-01",
    [person("J1", ssn="123-45-6780")],
    [encounter("B1", "J1", "booking", "2024-01-05")],
)


def take(county, profile):
    text = county.workspace.county_file.read_text()
    county.workspace.county_file.write_text(text.replace('profile = "standard"', f'profile = "{profile}"'))


def ingest(county):
    workspace = county.workspace
    settings = workspace.settings()
    with workspace.connect() as connection:
        prepare_warehouse(connection, settings.profile)
        months = pending_months(connection, workspace.landing, JAIL)
        counts = load_candidate(connection, workspace.landing, JAIL, months, settings, dt.date(2026, 1, 1))
        promote(connection, JAIL)
    return counts


def test_a_county_takes_standard_unless_its_file_says_otherwise(county):
    assert load_settings(county.workspace.county_file).profile is STANDARD
    text = county.workspace.county_file.read_text().replace('[encoding]\nprofile = "standard"\n', "")
    county.workspace.county_file.write_text(text)
    assert load_settings(county.workspace.county_file).profile is STANDARD
    county.workspace.county_file.write_text(text + '\n[encoding]\nprofile = "high"\n')
    assert load_settings(county.workspace.county_file).profile is HIGH


@pytest.mark.parametrize("wrong", ['profile = "highest"', 'profil = "high"'])
def test_a_county_file_with_another_profile_or_key_is_refused(county, wrong):
    text = county.workspace.county_file.read_text().replace('profile = "standard"', wrong)
    county.workspace.county_file.write_text(text)
    with pytest.raises(UsageError, match=r"\[encoding\]"):
        load_settings(county.workspace.county_file)


def test_a_county_of_the_profile_high_takes_its_deliveries(county):
    take(county, "high")
    county.deliver(*DELIVERY, profile=HIGH)
    assert ingest(county).accepted == 2
    with county.workspace.connect() as connection:
        columns = [row[0] for row in connection.execute("describe jail_people").fetchall()]
    assert "names_birth_date_token" in columns
    assert "first_name_token" not in columns


@pytest.mark.parametrize(
    ("taken", "delivered"), [("standard", HIGH), ("high", STANDARD)], ids=["high", "standard"]
)
def test_a_delivery_of_the_other_profile_is_refused_whole(county, taken, delivered):
    take(county, taken)
    county.deliver(*DELIVERY, profile=delivered)
    with pytest.raises(DeliveryRefusedError, match=f"the county takes {taken}.*--profile {taken}"):
        ingest(county)
    with county.workspace.connect() as connection:
        assert connection.execute("select count(*) from jail_people").fetchall() == [(0,)]


def test_a_warehouse_with_people_of_one_profile_takes_no_other(county):
    county.deliver(*DELIVERY)
    ingest(county)
    take(county, "high")
    with pytest.raises(
        PolicyError, match=r"under the encoding profile standard, but county\.toml takes high"
    ):
        ingest(county)
    with county.workspace.connect() as connection:
        assert connection.execute("select count(*) from jail_people").fetchall() == [(1,)]


def test_a_warehouse_without_people_follows_the_county_file(county):
    with county.workspace.connect() as connection:
        prepare_warehouse(connection)
    take(county, "high")
    county.deliver(*DELIVERY, profile=HIGH)
    assert ingest(county).accepted == 2


@pytest.fixture
def agency(county, tmp_path):
    """An extract, two keys, and the arguments of `encode` for them."""
    county.deliver(*DELIVERY)
    project, own = tmp_path / "project.key", tmp_path / "agency.key"
    write_new_key(project, "project")
    write_new_key(own, "agency")
    arguments = ["encode", "jail", "--in", str(county.raw / "jail" / "2024-01"), "--month", "2024-01"]
    arguments += ["--key", str(project), "--agency-key", str(own), "--out", str(tmp_path / "landing")]
    return arguments, tmp_path / "landing" / "jail" / "2024-01"


def code_of(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_encode_takes_the_profile_and_check_shows_it(agency, capsys):
    arguments, delivery = agency
    assert code_of([*arguments, "--profile", "high"]) == 0
    assert "profile high" in capsys.readouterr().out
    assert code_of(["check", str(delivery)]) == 0
    assert "encoding profile high" in capsys.readouterr().out


def test_encode_takes_the_profile_of_the_county_file(agency, county, capsys):
    arguments, _ = agency
    take(county, "high")
    assert code_of([*arguments, "--county", str(county.workspace.county_file)]) == 0
    assert "profile high" in capsys.readouterr().out


def test_encode_with_another_profile_than_the_county_takes_is_refused(agency, county, capsys):
    arguments, delivery = agency
    county_file = str(county.workspace.county_file)
    assert code_of([*arguments, "--profile", "high", "--county", county_file]) == 2
    assert "The county takes the profile standard" in capsys.readouterr().err
    assert not delivery.exists()


def test_encode_with_a_profile_that_does_not_exist_names_those_that_do(agency, capsys):
    arguments, _ = agency
    assert code_of([*arguments, "--profile", "low"]) == 2
    assert "the profiles are standard, high" in capsys.readouterr().err
