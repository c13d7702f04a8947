import filecmp
import re
import subprocess
import sys
from datetime import date
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from linkage.errors import UsageError
from linkage.source import declared_sources
from sample_data.county import SimulatedCounty, county_file_text, simulate
from sample_data.extracts import encounter_columns
from sample_data.records.columns import PEOPLE_COLUMNS
from sample_data.tiny_county import TINY_COUNTY, write_tiny_county

SOURCES = tuple(declared_sources())
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> SimulatedCounty:
    """A year and two months: long enough for stays to be carried over many months."""
    return simulate(people=12_000, months=14, seed=3, out=tmp_path_factory.mktemp("county"))


def read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False)


def months_of(county: SimulatedCounty, source: str) -> list[Path]:
    return sorted((county.folder / "raw" / source).iterdir())


def deliveries(county: SimulatedCounty, source: str, file: str) -> pl.DataFrame:
    return pl.concat(
        read(folder / f"{file}.csv").with_columns(month=pl.lit(folder.name))
        for folder in months_of(county, source)
    )


def extracts(folder: Path) -> list[Path]:
    return sorted(path.relative_to(folder) for path in folder.rglob("*.csv"))


def assert_same_extracts(one: Path, other: Path) -> None:
    assert extracts(one)
    assert extracts(one) == extracts(other)
    _, differing, unreadable = filecmp.cmpfiles(one, other, map(str, extracts(one)), shallow=False)
    assert not differing
    assert not unreadable
    assert pl.read_parquet(one / "truth.parquet").equals(pl.read_parquet(other / "truth.parquet"))


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "other"):
        simulate(people=1500, months=3, seed=8, out=tmp_path / name)
    assert_same_extracts(tmp_path / "one", tmp_path / "other")


def test_another_seed_writes_another_county(tmp_path: Path) -> None:
    for seed in (1, 2):
        simulate(people=800, months=1, seed=seed, out=tmp_path / str(seed))
    people = Path("raw/hospital/2024-01/people.csv")
    assert (tmp_path / "1" / people).read_bytes() != (tmp_path / "2" / people).read_bytes()


def test_the_committed_tiny_county_is_what_its_recipe_writes(tmp_path: Path) -> None:
    write_tiny_county(tmp_path)
    assert_same_extracts(TINY_COUNTY, tmp_path)


def test_the_committed_tiny_county_is_small() -> None:
    assert sum(path.stat().st_size for path in TINY_COUNTY.rglob("*") if path.is_file()) < 400_000


def test_clock_zone_locale_and_hash_seed_change_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from sample_data.tiny_county import write_tiny_county;"
        "write_tiny_county(pathlib.Path(sys.argv[1]))"
    )
    environment = {"TZ": "Pacific/Auckland", "PYTHONHASHSEED": "77", "LC_ALL": "C", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=environment)
    assert_same_extracts(TINY_COUNTY, tmp_path)


def test_no_module_of_the_simulator_reads_the_clock_or_the_global_random_state() -> None:
    for path in (ROOT / "sample_data").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        found = re.search(
            r"\b(time\.time|\.now\(|\.today\(|import random|np\.random\.(rand|seed|choice))", text
        )
        assert found is None, f"{path.name}: {found and found[0]}"


@pytest.mark.parametrize("source", SOURCES)
def test_files_have_exactly_the_columns_of_the_template(county: SimulatedCounty, source: str) -> None:
    for folder in months_of(county, source):
        assert tuple(read(folder / "people.csv").columns) == PEOPLE_COLUMNS
        assert tuple(read(folder / "encounters.csv").columns) == encounter_columns(declared_sources()[source])
    assert len(months_of(county, source)) == 14


@pytest.mark.parametrize("source", SOURCES)
def test_every_encounter_belongs_to_a_client_of_the_same_delivery_and_every_client_has_one(
    county: SimulatedCounty, source: str
) -> None:
    for folder in months_of(county, source):
        clients = set(read(folder / "people.csv")["client_id"])
        assert clients == set(read(folder / "encounters.csv")["client_id"])


@pytest.mark.parametrize("source", SOURCES)
def test_an_encounter_comes_once_a_month_and_keeps_its_client_kind_and_start(
    county: SimulatedCounty, source: str
) -> None:
    delivered = deliveries(county, source, "encounters")
    assert not delivered.select("encounter_id", "month").is_duplicated().any()
    unchanging = delivered.select("encounter_id", "client_id", "kind", "started_at").unique()
    assert not unchanging.get_column("encounter_id").is_duplicated().any()


@pytest.mark.parametrize("source", SOURCES)
def test_open_encounters_are_delivered_every_month_until_they_are_closed(
    county: SimulatedCounty, source: str
) -> None:
    folders = months_of(county, source)
    carried = 0
    for before, after in pairwise(folders):
        open_then = read(before / "encounters.csv").filter(pl.col("ended_at").is_null())
        now = read(after / "encounters.csv")
        started_earlier = now.filter(pl.col("started_at") < after.name)
        assert set(open_then["encounter_id"]) == set(started_earlier["encounter_id"])
        carried += open_then.height
    if source != "ems":
        assert carried > 0


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_of_a_later_month_is_known(county: SimulatedCounty, source: str) -> None:
    folders = months_of(county, source)
    after_last = county.as_of.isoformat()[:7]
    for folder, following in pairwise([*(folder.name for folder in folders), after_last]):
        encounters = read(county.folder / "raw" / source / folder / "encounters.csv")
        for column in ("started_at", "ended_at", "assessed_at"):
            if column in encounters.columns:
                assert not (encounters[column].str.slice(0, 7) >= following).any()
        is_open = encounters.filter(pl.col("ended_at").is_null())
        for column in ("release_reason", "destination"):
            if column in encounters.columns:
                assert is_open[column].is_null().all()
        if source == "hospital":
            assert (is_open["disposition"] == "still_patient").all()
        assert (
            encounters.filter(pl.col("ended_at").is_not_null())["ended_at"].str.slice(0, 7) >= folder
        ).all()


@pytest.mark.parametrize("source", SOURCES)
def test_encounters_use_declared_kinds_and_codes_and_end_after_they_begin(
    county: SimulatedCounty, source: str
) -> None:
    declared = declared_sources()[source]
    encounters = deliveries(county, source, "encounters")
    assert set(encounters["kind"]) == set(declared.kind_names)
    for column in declared.columns:
        values = encounters[column.name].drop_nulls()
        if column.type == "code":
            assert set(values) <= set(column.codes), column.name
        elif column.type == "boolean":
            assert set(values) <= {"true", "false"}
        elif column.type == "diagnoses":
            assert values.str.contains(
                r"^[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?(;[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?)*$"
            ).all()
    assert (encounters["ended_at"].drop_nulls() > encounters.drop_nulls("ended_at")["started_at"]).all()


def test_truth_has_every_client_id_once_and_no_other(county: SimulatedCounty) -> None:
    truth = pl.read_parquet(county.folder / "truth.parquet")
    assert truth.columns == ["source", "client_id", "truth_id"]
    assert not truth.select("source", "client_id").is_duplicated().any()
    for source in SOURCES:
        delivered = set(deliveries(county, source, "people")["client_id"])
        assert delivered == set(truth.filter(source=source)["client_id"])


def test_one_delivery_holds_everything_under_the_last_month(tmp_path: Path) -> None:
    monthly = simulate(people=1500, months=4, seed=4, out=tmp_path / "monthly")
    whole = simulate(
        people=1500, months=4, seed=4, out=tmp_path / "whole", one_delivery=True, file_format="parquet"
    )
    for source in SOURCES:
        assert [folder.name for folder in months_of(whole, source)] == ["2024-04"]
        encounters = pl.read_parquet(months_of(whole, source)[0] / "encounters.parquet")
        latest = deliveries(monthly, source, "encounters").unique("encounter_id", keep="last")
        assert set(encounters["encounter_id"]) == set(latest["encounter_id"])
        assert encounters["ended_at"].null_count() == latest["ended_at"].null_count()
    assert whole.as_of == monthly.as_of == date(2024, 5, 1)
    assert pl.read_parquet(tmp_path / "whole" / "truth.parquet").equals(
        pl.read_parquet(tmp_path / "monthly" / "truth.parquet")
    )


def test_a_folder_with_another_simulation_is_refused_and_the_same_one_is_written_again(
    tmp_path: Path,
) -> None:
    simulate(people=300, months=2, seed=4, out=tmp_path)
    simulate(people=300, months=2, seed=4, out=tmp_path)
    with pytest.raises(UsageError, match="another simulation"):
        simulate(people=300, months=1, seed=4, out=tmp_path)
    with pytest.raises(UsageError, match="another simulation"):
        simulate(people=300, months=2, seed=4, out=tmp_path, file_format="parquet")


def test_the_county_file_holds_the_key_check_value() -> None:
    assert 'project_key_check = "abc"' in county_file_text(project_key_check="abc")


def test_what_was_written_is_told_in_numbers(county: SimulatedCounty) -> None:
    text = county.as_text()
    assert "12,000 invented people" in text
    assert all(source in text for source in SOURCES)
    rows = sum(read(folder / "people.csv").height for folder in months_of(county, "jail"))
    assert county.people_rows["jail"] == rows


# ---- lives ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """Every encounter of a larger county with its person, each once."""
    folder = tmp_path_factory.mktemp("lived")
    simulate(people=120_000, months=24, seed=2, out=folder, one_delivery=True, file_format="parquet")
    truth = pl.read_parquet(folder / "truth.parquet")
    return {
        source: pl.read_parquet(folder / "raw" / source / "2025-12" / "encounters.parquet").join(
            truth.filter(source=source).select("client_id", "truth_id"), on="client_id"
        )
        for source in SOURCES
    }


def seen_in_2025(lived: dict[str, pl.DataFrame]) -> dict[str, set[str]]:
    events = {
        "jail": lived["jail"],
        "shelter": lived["shelter"],
        "ems": lived["ems"].filter(pl.col("patient_contact")),
        "ed": lived["hospital"].filter(pl.col("kind") == "ed"),
    }
    return {
        name: set(rows.filter(pl.col("started_at") >= "2025")["truth_id"]) for name, rows in events.items()
    }


def test_each_system_reaches_its_share_of_the_county_in_a_year(lived: dict[str, pl.DataFrame]) -> None:
    seen = {system: len(people) / 120_000 for system, people in seen_in_2025(lived).items()}
    assert seen["jail"] == pytest.approx(0.018, rel=0.15)
    assert seen["shelter"] == pytest.approx(0.006, rel=0.20)
    assert seen["ems"] == pytest.approx(0.060, rel=0.15)
    assert seen["ed"] == pytest.approx(0.220, rel=0.10)


def test_systems_overlap_as_they_should(lived: dict[str, pl.DataFrame]) -> None:
    seen = seen_in_2025(lived)
    jail, shelter = seen["jail"], seen["shelter"]
    assert len(jail & seen["ed"]) / len(jail) == pytest.approx(0.45, abs=0.06)
    assert len(jail & shelter) / len(jail) == pytest.approx(0.08, abs=0.025)
    assert len(jail & shelter) / len(shelter) == pytest.approx(0.25, abs=0.07)
    assert len(shelter & seen["ed"]) / len(shelter) == pytest.approx(0.50, abs=0.07)
    assert len(shelter & seen["ems"]) / len(shelter) == pytest.approx(0.30, abs=0.07)
    assert 0.005 < len(jail & shelter & seen["ems"] & seen["ed"]) / len(jail) < 0.04


def test_few_bookers_make_many_of_the_bookings(lived: dict[str, pl.DataFrame]) -> None:
    bookings = lived["jail"].filter(pl.col("started_at") >= "2024")
    counts = bookings.group_by("truth_id").len().get_column("len").sort(descending=True)
    top = counts.head(round(len(counts) * 0.05)).sum() / counts.sum()
    assert top == pytest.approx(0.25, abs=0.04)
    in_2025 = bookings.filter(pl.col("started_at") >= "2025").group_by("truth_id").len().get_column("len")
    assert 0.01 < (in_2025 >= 4).mean() < 0.03
    assert 0.70 < (in_2025 == 1).mean() < 0.86


def test_an_admission_follows_the_ed_visit_that_made_it(lived: dict[str, pl.DataFrame]) -> None:
    hospital = lived["hospital"]
    admitted = hospital.filter((pl.col("kind") == "ed") & (pl.col("disposition") == "admitted"))
    stays = hospital.filter(pl.col("kind").is_in(["inpatient", "observation", "psychiatric"])).select(
        "truth_id", stay_from=pl.col("started_at").str.to_datetime()
    )
    left = admitted.with_columns(left=pl.col("ended_at").str.to_datetime()).sort("left")
    followed = left.join_asof(
        stays.sort("stay_from"),
        left_on="left",
        right_on="stay_from",
        by="truth_id",
        strategy="forward",
        tolerance="30m",
        check_sortedness=False,
    )
    # The last few are admitted after the window, or died of what came before.
    assert followed["stay_from"].is_not_null().mean() > 0.99


def test_an_ambulance_ride_is_met_by_an_ed_visit_of_the_same_person(lived: dict[str, pl.DataFrame]) -> None:
    visits = lived["hospital"].filter((pl.col("kind") == "ed") & (pl.col("admit_origin") == "ambulance"))
    rides = (
        lived["ems"]
        .filter(pl.col("transported"))
        .select("truth_id", called=pl.col("started_at").str.to_datetime())
    )
    met = (
        visits.with_columns(arrived=pl.col("started_at").str.to_datetime())
        .filter(pl.col("started_at") > "2024-01-01T02")
        .sort("arrived")
        .join_asof(
            rides.sort("called"),
            left_on="arrived",
            right_on="called",
            by="truth_id",
            tolerance="2h",
            check_sortedness=False,
        )
    )
    assert met["called"].is_not_null().mean() > 0.99


def test_people_in_jail_are_not_seen_elsewhere_but_for_errors(lived: dict[str, pl.DataFrame]) -> None:
    custody = lived["jail"].select(
        "truth_id",
        held_from=pl.col("started_at").str.to_datetime(),
        held_to=pl.col("ended_at").str.to_datetime().fill_null(date(2030, 1, 1)),
    )
    visits = (
        lived["hospital"]
        .filter(pl.col("kind") == "ed")
        .select("truth_id", at=pl.col("started_at").str.to_datetime())
    )
    inside = visits.join(custody, on="truth_id").filter(
        (pl.col("at") > pl.col("held_from")) & (pl.col("at") < pl.col("held_to"))
    )
    of_bookers = visits.join(custody.select("truth_id").unique(), on="truth_id").height
    assert inside.height / of_bookers < 0.01


def test_responses_include_cancelled_calls_transfers_and_second_crews(lived: dict[str, pl.DataFrame]) -> None:
    ems = lived["ems"]
    no_contact = (~ems["patient_contact"]).mean()
    assert 0.08 < no_contact < 0.20
    assert 0.005 < (ems["service_requested"] == "interfacility_transfer").mean() < 0.05
    assert ems.filter(~pl.col("patient_contact"))["transported"].any() is False
    emergency = ems.filter(pl.col("service_requested") == "emergency")
    known = emergency.filter(pl.col("truth_id").str.starts_with("person"))
    per_hour = known.group_by("truth_id", pl.col("started_at").str.slice(0, 13)).len()
    assert 0.05 < (per_hour["len"] > 1).mean() < 0.12


def test_stays_overlap_now_and_then(lived: dict[str, pl.DataFrame]) -> None:
    for source, kinds, least, most in (("jail", ["booking"], 0.0005, 0.01), ("shelter", ["stay"], 0.01, 0.6)):
        stays = (
            lived[source]
            .filter(pl.col("kind").is_in(kinds))
            .sort("truth_id", "started_at")
            .with_columns(earlier=pl.col("ended_at").fill_null("2030").cum_max().shift(1).over("truth_id"))
        )
        assert least < (stays["started_at"] < stays["earlier"]).fill_null(value=False).mean() < most, source


def test_assessments_follow_positive_screens_and_mostly_find_what_is_there(
    lived: dict[str, pl.DataFrame],
) -> None:
    jail = lived["jail"]
    assert 0.08 < (jail["smi_screen"] == "positive").mean() < 0.22
    assessed = jail.filter(pl.col("assessed_at").is_not_null())
    assert (assessed["smi_screen"] == "positive").all()
    assert (assessed["assessed_at"] > assessed["started_at"]).all()
    assert assessed["smi_assessed"].is_not_null().all()
    assert 0.55 < assessed["smi_assessed"].mean() < 0.95
