"""Each confuser that linkage must withstand is there, at about the rate that the parameter file gives."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from sample_data.county import simulate
from sample_data.lives.timing import DAY
from sample_data.names import GROUPS, load_names
from sample_data.parameters import read_parameters, shipped_parameters
from sample_data.people import FEMALE, JUNIOR, MALE, SENIOR, Population, make_population
from sample_data.records.names import kin_of

FIRST_DAY, LAST_DAY = 19_723, 19_723 + 730  # 2024-01-01 and two years on
ROOT = Path(__file__).parents[2] / "sample_data"


@pytest.fixture(scope="module")
def population() -> Population:
    parameters = shipped_parameters()
    return make_population(
        np.random.default_rng(7),
        60_000,
        FIRST_DAY,
        LAST_DAY,
        load_names(parameters.names),
        parameters.people,
        parameters.names,
    )


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    """People rows of each source with the person they are about and what is true of him."""
    folder = tmp_path_factory.mktemp("records")
    simulate(people=100_000, months=12, seed=6, out=folder, one_delivery=True, file_format="parquet")
    truth = pl.read_parquet(folder / "truth.parquet")
    return {
        source: pl.read_parquet(folder / "raw" / source / "2024-12" / "people.parquet").join(
            truth.filter(source=source).select("client_id", "truth_id"), on="client_id"
        )
        for source in ("jail", "shelter", "ems", "hospital")
    }


def share(values: pl.Series) -> float:
    return float(values.fill_null(value=False).mean())


# ---- people ------------------------------------------------------------------------------------------


def test_twins_share_surname_and_birth_date_and_differ_in_first_name(population: Population) -> None:
    twins = np.flatnonzero(population.is_twin)
    assert len(twins) / len(population) == pytest.approx(0.012, rel=0.2)
    elder, younger = twins[::2], twins[1::2]
    for values in (population.birth, population.last, population.household):
        assert (values[elder] == values[younger]).all()
    assert (population.first[elder] != population.first[younger]).mean() > 0.98
    assert (population.sex[elder] == population.sex[younger]).mean() > 0.7


def test_fathers_and_sons_share_a_whole_name_18_to_35_years_apart(population: Population) -> None:
    sons = np.flatnonzero((population.suffix != 0) & (np.roll(population.suffix, 1) != 0))
    sons = sons[population.household[sons] == population.household[sons - 1]]
    fathers = sons - 1
    assert 0.001 < len(sons) / len(population) < 0.01
    assert set(population.suffix[fathers]) <= {SENIOR, JUNIOR}
    years = (population.birth[sons] - population.birth[fathers]) / 365.25
    assert (years > 17.9).all()
    assert (years < 35.1).all()
    assert (population.sex[sons] == MALE).all()


def test_numbers_are_distinct_and_assignable(population: Population) -> None:
    numbers = population.ssn[population.ssn >= 0]
    assert len(np.unique(numbers)) == len(numbers)
    area, group, serial = numbers // 1_000_000, numbers // 10_000 % 100, numbers % 10_000
    assert ((area >= 1) & (area < 900) & (area != 666) & (group > 0) & (serial > 0)).all()


def test_compound_surnames_are_mostly_hispanic(population: Population) -> None:
    hispanic = population.group == GROUPS.index("hispanic")
    compound = population.last_second >= 0
    assert 0.3 < compound[hispanic].mean() < 0.5
    assert compound[~hispanic].mean() < 0.1
    assert hispanic[compound].mean() > 0.5


def test_names_differ_between_groups_and_have_a_long_tail(population: Population) -> None:
    last = pl.Series(population.last).value_counts(sort=True)
    assert last.height > 5000
    assert 0.003 < last["count"][0] / len(population) < 0.012
    once = (last["count"] == 1).sum()
    assert once / last.height > 0.2
    asian = population.last[population.group == GROUPS.index("asian")]
    white = population.last[population.group == 0]
    assert len(set(asian[:1000]) & set(white[:1000])) < 150


def test_women_change_surnames_more_often_than_men(population: Population) -> None:
    adult = population.birth < FIRST_DAY - 18 * 365
    changed = population.last_former >= 0
    assert changed[adult & (population.sex == FEMALE)].mean() == pytest.approx(0.10, abs=0.02)
    assert changed[adult & (population.sex == MALE)].mean() < 0.02
    assert (population.last_former[changed] != population.last[changed]).mean() > 0.95


def test_namesakes_share_name_sex_and_birth_year_without_being_one(population: Population) -> None:
    year = population.birth.astype("datetime64[D]").astype("datetime64[Y]").astype(int)
    rows = pl.DataFrame(
        {"first": population.first, "last": population.last, "sex": population.sex, "year": year}
    )
    assert 0.004 < rows.is_duplicated().mean() < 0.03


def test_a_borrowed_identity_is_that_of_kin_of_the_same_sex_and_surname(population: Population) -> None:
    person = np.arange(len(population), dtype=np.int32)
    kin = kin_of(population, person)
    assert (population.sex[kin] == population.sex).all()
    assert (population.last[kin] == population.last).all()
    assert (kin != person).mean() > 0.8


# ---- records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "absent", "last_four"),
    [("jail", 0.25, 0.01), ("shelter", 0.35, 0.30), ("ems", 0.65, 0.03), ("hospital", 0.15, 0.02)],
)
def test_numbers_are_absent_or_cut_short_at_each_agency_s_rate(
    records: dict[str, pl.DataFrame], source: str, absent: float, last_four: float
) -> None:
    ssn = records[source].filter(pl.col("truth_id").str.starts_with("person")).get_column("ssn")
    invalid = share(ssn.str.contains("^(9|000|123456789|111111111|078051120)"))
    assert ssn.is_null().mean() + invalid == pytest.approx(absent, abs=0.05)
    assert share(ssn.str.starts_with("XXXXX")) == pytest.approx(last_four, abs=0.07)
    assert invalid > 0
    assert ssn.drop_nulls().str.contains("^([0-9]{9}|XXXXX[0-9]{4})$").all()


@pytest.mark.parametrize(
    ("source", "rate"), [("jail", 0.003), ("shelter", 0.03), ("ems", 0.06), ("hospital", 0.01)]
)
def test_some_people_have_no_name_and_a_made_up_birth_date(
    records: dict[str, pl.DataFrame], source: str, rate: float
) -> None:
    known = records[source].filter(pl.col("truth_id").str.starts_with("person"))
    written = known["first_name"].fill_null("none").str.to_lowercase().str.strip_chars()
    surname = known["last_name"].fill_null("none").str.to_lowercase().str.strip_chars()
    unnamed = known.filter(
        written.is_in(
            ["unknown", "unk", "refused", "none", "trauma", "unidentified", "disaster", "anonymous", "client"]
        )
        | surname.is_in(["doe", "unknown", "unk"])
        | written.str.starts_with("unable")
    )
    assert unnamed.height / known.height == pytest.approx(rate, rel=0.6, abs=0.003)
    if source in ("ems", "hospital"):
        dates = unnamed["birth_date"]
        assert 0.25 < share(dates == "1900-01-01") < 0.45
        assert share(dates.str.ends_with("-01-01")) > 0.6


def test_newborns_are_registered_as_baby_boy_or_baby_girl(records: dict[str, pl.DataFrame]) -> None:
    first = records["hospital"]["first_name"].str.to_lowercase()
    assert first.str.starts_with("baby boy").sum() > 20
    assert first.str.starts_with("baby girl").sum() > 20


@pytest.mark.parametrize(
    ("source", "absent", "first_of_january"),
    [("jail", 0.005, 0.012), ("shelter", 0.02, 0.03), ("ems", 0.08, 0.03), ("hospital", 0.005, 0.008)],
)
def test_birth_dates_are_absent_or_the_first_of_january_at_each_agency_s_rate(
    records: dict[str, pl.DataFrame], source: str, absent: float, first_of_january: float
) -> None:
    known = records[source].filter(pl.col("truth_id").str.starts_with("person") & pl.col("zip").is_not_null())
    dates = known["birth_date"]
    assert dates.is_null().mean() == pytest.approx(absent, rel=0.5, abs=0.015)
    # One birthday in 365 is the first of January.
    assert share(dates.str.ends_with("-01-01")) == pytest.approx(
        first_of_january + 1 / 365, rel=0.6, abs=0.015
    )
    assert dates.drop_nulls().str.contains(r"^[0-9]{4}(-[0-9]{2}(-[0-9]{2})?)?$").all()


def test_some_birth_dates_are_partial_and_all_whole_ones_exist(records: dict[str, pl.DataFrame]) -> None:
    dates = pl.concat(rows["birth_date"] for rows in records.values()).drop_nulls()
    lengths = dates.str.len_chars()
    assert 0.0005 < share(lengths == 4) < 0.01
    assert 0.0002 < share(lengths == 7) < 0.01
    assert dates.filter(lengths == 10).str.to_date("%Y-%m-%d", strict=True).len() > 0


def test_one_person_s_birth_date_differs_by_a_swap_or_a_digit_somewhere(
    records: dict[str, pl.DataFrame],
) -> None:
    rows = pl.concat(frame.select("truth_id", "birth_date") for frame in records.values()).filter(
        (pl.col("birth_date").str.len_chars() == 10) & ~pl.col("birth_date").str.ends_with("-01-01")
    )
    usual = rows.group_by("truth_id").agg(usual=pl.col("birth_date").mode().sort().first(), count=pl.len())
    several = rows.join(usual.filter(pl.col("count") > 2), on="truth_id")
    parts = several.with_columns(
        swapped=pl.format(
            "{}-{}-{}",
            pl.col("usual").str.slice(0, 4),
            pl.col("usual").str.slice(8, 2),
            pl.col("usual").str.slice(5, 2),
        )
    )
    other = parts.filter(pl.col("birth_date") != pl.col("usual"))
    swapped = (other["birth_date"] == other["swapped"]).sum() / parts.height
    assert 0.001 < swapped < 0.01
    assert 0.005 < (other.height / parts.height - swapped) < 0.04


def test_jail_writes_capitals_without_accents_and_others_as_people_do(
    records: dict[str, pl.DataFrame],
) -> None:
    jail = records["jail"]["last_name"].drop_nulls()
    assert (jail == jail.str.to_uppercase()).all()
    assert not jail.str.contains("[ÁÉÍÓÚÑ]").any()
    hospital = records["hospital"]["last_name"].drop_nulls()
    assert share(hospital.str.contains("[áéíóúñ]")) > 0.02
    assert share(hospital.str.contains("'")) > 0.005
    assert share(hospital.str.contains("-")) > 0.01
    assert share(hospital.str.contains("^ ")) > 0.0005
    assert share(records["shelter"]["last_name"] == records["shelter"]["last_name"].str.to_lowercase()) > 0.03


@pytest.mark.parametrize(("source", "rate"), [("jail", 0.04), ("shelter", 0.06), ("hospital", 0.05)])
def test_some_people_have_two_client_ids_in_one_source(
    records: dict[str, pl.DataFrame], source: str, rate: float
) -> None:
    clients = records[source].group_by("truth_id").agg(pl.col("client_id").n_unique())
    assert share(clients["client_id"] > 1) == pytest.approx(rate, abs=0.015)


def test_every_ambulance_report_is_its_own_client(records: dict[str, pl.DataFrame]) -> None:
    ems = records["ems"]
    assert not ems["client_id"].is_duplicated().any()
    empty = ems.filter(pl.col("truth_id").str.starts_with("nobody"))
    assert empty.height > 100
    assert (
        empty.select("first_name", "last_name", "birth_date", "ssn", "zip").null_count().row(0)
        == (empty.height,) * 5
    )


def test_aliases_and_changed_names_are_further_rows_of_one_client(records: dict[str, pl.DataFrame]) -> None:
    jail = records["jail"]
    surnames = jail.group_by("client_id").agg(pl.col("last_name").n_unique(), pl.len())
    assert 0.03 < share(surnames["len"] > 1) < 0.12
    assert 0.02 < share(surnames["last_name"] > 1) < 0.10
    assert not jail.select(pl.exclude("truth_id")).is_duplicated().any()


def test_an_overlaid_client_has_the_names_of_two_people(records: dict[str, pl.DataFrame]) -> None:
    hospital = records["hospital"]
    born = hospital.group_by("client_id").agg(pl.col("birth_date").n_unique(), pl.col("ssn").n_unique())
    assert 0.0005 < share((born["birth_date"] > 1) & (born["ssn"] > 1)) < 0.008


def test_a_few_numbers_are_shared_by_two_people(records: dict[str, pl.DataFrame]) -> None:
    hospital = records["hospital"].filter(
        pl.col("ssn").str.contains("^[0-8][0-9]{8}$")
        & ~pl.col("ssn").str.contains("^(000|111111111|123456789|0780)")
    )
    owners = hospital.group_by("ssn").agg(pl.col("truth_id").n_unique())
    assert 0.0003 < share(owners["truth_id"] > 1) < 0.01


def test_one_person_is_known_under_two_sexes_now_and_then(records: dict[str, pl.DataFrame]) -> None:
    rows = pl.concat(frame.select("truth_id", "sex") for frame in records.values())
    sexes = (
        rows.filter(pl.col("sex").is_in(["M", "F"]))
        .group_by("truth_id")
        .agg(pl.col("sex").n_unique(), pl.len())
    )
    assert 0.002 < share(sexes.filter(pl.col("len") > 1)["sex"] > 1) < 0.05
    assert {"M", "F", "X", "U"} <= set(rows["sex"])


def test_nicknames_are_written_for_formal_names(records: dict[str, pl.DataFrame]) -> None:
    shelter, hospital = (
        records[source]["first_name"].str.to_lowercase().is_in(["mike", "bob", "dave", "jim", "liz", "kathy"])
        for source in ("shelter", "hospital")
    )
    assert share(shelter) > share(hospital) > 0


def test_race_and_ethnicity_are_omb_categories(records: dict[str, pl.DataFrame]) -> None:
    allowed = {part for race in shipped_parameters().people.race_ethnicity for part in race.split(";")}
    for rows in records.values():
        seen = {part for race in rows["race_ethnicity"].drop_nulls() for part in race.split(";")}
        assert seen <= allowed
    assert records["ems"]["race_ethnicity"].is_null().mean() > 0.2


# ---- parameters ------------------------------------------------------------------------------------------


def test_every_parameter_says_whether_it_is_sourced_or_assumed() -> None:
    labelled_block = False
    for line in (ROOT / "parameters.toml").read_text(encoding="utf-8").splitlines():
        if re.match(r"#\s*(sourced|assumed)\b", line):
            labelled_block = True
        elif not line.strip() or line.startswith("# The rest"):
            labelled_block = False
        elif re.match(r'["\w;]+\s*=', line) and not line.startswith("zips"):
            assert labelled_block or re.search(r"# (sourced|assumed)", line), line


def test_an_unknown_parameter_is_refused() -> None:
    text = (ROOT / "parameters.toml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match=r"section people: .*surprise"):
        read_parameters(text.replace("[people]", "[people]\nsurprise = 1"))


def test_days_are_whole_seconds() -> None:
    assert DAY == 24 * 60 * 60
