"""Who lives in the county: households, their members, and the confusers that linkage must tell apart.

Twins, fathers and sons of one name, namesakes, changed and compound surnames, people under two sexes. Numbers
only: names are places in the vocabularies of `names`; text is made when an agency writes something down.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sample_data.names import GROUPS, Names, draw_first_names, draw_surnames
from sample_data.parameters import NameParameters, PeopleParameters

Flags = npt.NDArray[np.bool_]
Days = npt.NDArray[np.int32]
DAYS_A_YEAR = 365.25

MALE, FEMALE, X = 0, 1, 2
SEXES = ("M", "F", "X")

NO_SUFFIX, JUNIOR, SENIOR, THIRD = 0, 1, 2, 3

_GROUP_OF_CATEGORY = {
    "white": "general",
    "black_african_american": "black",
    "hispanic_latino": "hispanic",
    "asian": "asian",
    "middle_eastern_north_african": "middle_eastern",
    "native_hawaiian_pacific_islander": "pacific_islander",
    "american_indian_alaska_native": "american_indian",
}


@dataclass
class Population:
    """The residents, one place in every array per person; a person's place is the truth's id.

    Days are days since 1970-01-01. `race` is a place in `races` (semicolon lists of OMB categories), `group`
    one in `GROUPS` (name lists). -1 stands for none in `last_second`, `last_former`, `middle`, `ssn`.
    `relative` is another person of the household, or the person.
    """

    races: tuple[str, ...]
    household: npt.NDArray[np.int32]
    relative: npt.NDArray[np.int32]
    birth: Days
    sex: npt.NDArray[np.int8]
    race: npt.NDArray[np.int8]
    group: npt.NDArray[np.int8]
    first: npt.NDArray[np.int32]
    first_other: npt.NDArray[np.int32]
    has_two_sexes: Flags
    middle: npt.NDArray[np.int32]
    last: npt.NDArray[np.int32]
    last_second: npt.NDArray[np.int32]
    last_former: npt.NDArray[np.int32]
    changed_name_on: Days
    suffix: npt.NDArray[np.int8]
    ssn: npt.NDArray[np.int64]
    zip_before: npt.NDArray[np.int16]
    zip_after: npt.NDArray[np.int16]
    moved_on: Days
    is_twin: Flags

    def __len__(self) -> int:
        """Number of residents."""
        return len(self.birth)

    def age(self, on_day: int) -> npt.NDArray[np.float64]:
        """Age in years on a day, negative for people not yet born."""
        return (on_day - self.birth) / DAYS_A_YEAR


def make_population(
    rng: np.random.Generator,
    people: int,
    first_day: int,
    last_day: int,
    names: Names,
    parameters: PeopleParameters,
    name_parameters: NameParameters,
) -> Population:
    """`people` residents of a county whose window is [first_day, last_day)."""
    household, position, head = _households(rng, people, parameters)
    size = np.bincount(household)[household]
    is_partner = (position == 1) & (rng.random(household.max() + 1) >= parameters.lone_parent)[household]
    is_child = (position > 0) & ~is_partner
    birth = _births(rng, head, is_partner, is_child, first_day, last_day, parameters)
    is_child &= birth > first_day - 30 * DAYS_A_YEAR

    race, group = _race(rng, head, parameters, name_parameters)
    sex = rng.integers(0, 2, people).astype(np.int8)
    opposite = is_partner & (rng.random(people) < 0.94)
    sex[opposite] = 1 - sex[head][opposite]
    sex[rng.random(people) < parameters.sex_x] = X

    last = draw_surnames(rng, names, name_parameters, group=group)
    last_former = np.full(people, -1, dtype=np.int32)
    shares_surname = is_child | (is_partner & (rng.random(people) < parameters.partner_same_surname))
    own_surname = last.copy()
    last[shares_surname] = last[head][shares_surname]
    adult = birth < first_day - 18 * DAYS_A_YEAR
    change_rate = np.where(sex == MALE, parameters.changed_surname_men, parameters.changed_surname_women)
    changed = adult & (rng.random(people) < change_rate)
    last_former[changed] = np.where(
        own_surname[changed] != last[changed], own_surname[changed], np.roll(own_surname, 1)[changed]
    )
    # A third of the changes happen inside the window, the others before it.
    window = last_day - first_day
    changed_name_on = np.where(
        rng.random(people) < 0.33,
        first_day + rng.integers(0, window, people),
        first_day - rng.integers(1, 5000, people),
    ).astype(np.int32)

    is_hispanic = group == GROUPS.index("hispanic")
    compound_rate = np.where(
        is_hispanic, parameters.compound_surname_hispanic, parameters.compound_surname_other
    )
    is_compound = (rng.random(people) < compound_rate) & (last_former < 0)
    second = draw_surnames(rng, names, name_parameters, group=group)
    last_second = np.where(is_compound & (second != last), second, -1).astype(np.int32)
    last_second[shares_surname & is_child] = last_second[head][shares_surname & is_child]

    era = np.select([_year(birth) < 1965, _year(birth) < 1990], [0, 1], 2).astype(np.int8)
    female = np.where(sex == X, rng.integers(0, 2, people), sex == FEMALE).astype(bool)
    first = draw_first_names(rng, names, name_parameters, female=female, group=group, era=era)
    first_other = draw_first_names(rng, names, name_parameters, female=~female, group=group, era=era)
    middle = draw_first_names(rng, names, name_parameters, female=female, group=group, era=era)
    middle[rng.random(people) >= parameters.middle_name] = -1

    elsewhere = (rng.random(household.max() + 1) < parameters.lives_elsewhere)[household]
    home = rng.integers(0, len(parameters.zips), household.max() + 1)[household]
    away = (
        len(parameters.zips) + rng.integers(0, len(parameters.zips_elsewhere), household.max() + 1)[household]
    )
    zip_before = np.where(elsewhere, away, home).astype(np.int16)
    moves = rng.random(people) < parameters.moves_in_a_year * window / DAYS_A_YEAR
    zip_after = np.where(moves, rng.integers(0, len(parameters.zips), people), zip_before).astype(np.int16)

    population = Population(
        races=tuple(parameters.race_ethnicity),
        household=household,
        relative=_relatives(household, head, position, size),
        birth=birth,
        sex=sex,
        race=race,
        group=group,
        first=first,
        first_other=first_other,
        has_two_sexes=rng.random(people) < parameters.two_sexes,
        middle=middle,
        last=last,
        last_second=last_second,
        last_former=last_former,
        changed_name_on=changed_name_on,
        suffix=np.zeros(people, dtype=np.int8),
        ssn=_ssns(rng, people, is_hispanic & adult, parameters),
        zip_before=zip_before,
        zip_after=zip_after,
        moved_on=(first_day + rng.integers(0, window, people)).astype(np.int32),
        is_twin=np.zeros(people, dtype=bool),
    )
    _make_twins(rng, population, names, name_parameters, era, parameters)
    _make_juniors(rng, population, position, first_day, parameters)
    _make_namesakes(rng, population, parameters)
    return population


def _year(day: Days) -> npt.NDArray[np.int64]:
    return (day.astype("datetime64[D]").astype("datetime64[Y]").astype(np.int64)) + 1970


def _households(
    rng: np.random.Generator, people: int, parameters: PeopleParameters
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Household, place in it (0 is its head), and the place of its head in the population, per person."""
    weights = np.array(parameters.household_sizes) / sum(parameters.household_sizes)
    sizes = rng.choice(np.arange(1, len(weights) + 1), size=people, p=weights)
    ends = np.cumsum(sizes)
    count = int(np.searchsorted(ends, people)) + 1
    sizes = sizes[:count]
    starts = ends[:count] - sizes
    household = np.repeat(np.arange(count, dtype=np.int32), sizes)[:people]
    head = starts[household]
    return household, np.arange(people) - head, head


def _births(
    rng: np.random.Generator,
    head: npt.NDArray[np.int64],
    is_partner: Flags,
    is_child: Flags,
    first_day: int,
    last_day: int,
    parameters: PeopleParameters,
) -> Days:
    people = len(head)
    weights = np.array(parameters.adult_ages) / sum(parameters.adult_ages)
    age = 18 + 5 * rng.choice(len(weights), size=people, p=weights) + 5 * rng.random(people)
    # Households with children are headed by people of an age to have them, most of the time.
    has_children = np.zeros(people, dtype=bool)
    has_children[head[is_child]] = True
    young = has_children & (rng.random(people) < parameters.heads_of_an_age_with_children)
    age = np.where(young, rng.triangular(22, 36, 52, people), age)
    age = np.where(is_partner, np.clip(age[head] + rng.normal(-1, 4.5, people), 18.0, 100.0), age)
    child_age = age[head] - rng.uniform(19, 38, people)
    youngest = -(last_day - first_day - 1) / DAYS_A_YEAR
    # Who would be too old or too young for a child of the house is another adult who lives there.
    fits = is_child & (child_age > youngest) & (child_age < 26)
    age = np.where(fits, child_age, age)
    return np.floor(first_day - age * DAYS_A_YEAR).astype(np.int32)


def _race(
    rng: np.random.Generator,
    head: npt.NDArray[np.int64],
    parameters: PeopleParameters,
    name_parameters: NameParameters,
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
    people = len(head)
    shares = np.array(list(parameters.race_ethnicity.values()))
    cumulative = np.cumsum(shares / shares.sum())
    cumulative[-1] = 1.0
    own = np.searchsorted(cumulative, rng.random(people), side="right").astype(np.int8)
    race = np.where(rng.random(people) < parameters.same_race_in_household, own[head], own)
    first_listed = [
        GROUPS.index(_GROUP_OF_CATEGORY[race.split(";")[0]]) for race in parameters.race_ethnicity
    ]
    is_multiple = np.array([";" in race for race in parameters.race_ethnicity])
    group = np.array(first_listed, dtype=np.int8)[race]
    as_general = is_multiple[race] & (rng.random(people) >= name_parameters.multiracial_own_group)
    return race.astype(np.int8), np.where(as_general, 0, group).astype(np.int8)


def _relatives(
    household: npt.NDArray[np.int32],
    head: npt.NDArray[np.int64],
    position: npt.NDArray[np.int64],
    size: npt.NDArray[np.int64],
) -> npt.NDArray[np.int32]:
    return (head + (position + 1) % size).astype(np.int32)


_ASSIGNABLE_AREAS = np.array([area for area in range(1, 900) if area != 666], dtype=np.int64)
_SSN_COUNT = len(_ASSIGNABLE_AREAS) * 99 * 9999


def _ssns(
    rng: np.random.Generator, people: int, less_often: Flags, parameters: PeopleParameters
) -> npt.NDArray[np.int64]:
    """A distinct valid number for everyone but those without one (SSA POMS RM 10201.035)."""
    step = 387_420_479  # shares no factor with the count of assignable numbers, so no number comes twice
    places = (np.arange(people, dtype=np.int64) * step + int(rng.integers(_SSN_COUNT))) % _SSN_COUNT
    serial = places % 9999 + 1
    group = places // 9999 % 99 + 1
    area = _ASSIGNABLE_AREAS[places // (9999 * 99)]
    number = area * 1_000_000 + group * 10_000 + serial
    without = rng.random(people) < np.where(less_often, parameters.no_ssn_hispanic, parameters.no_ssn)
    return np.where(without, -1, number)


def _make_twins(
    rng: np.random.Generator,
    population: Population,
    names: Names,
    name_parameters: NameParameters,
    era: npt.NDArray[np.int8],
    parameters: PeopleParameters,
) -> None:
    """Neighbours in the array become twins: one birth date, one surname, usually one sex, two first names."""
    people = len(population)
    elder = 2 * np.flatnonzero(rng.random(people // 2) < parameters.twins)
    younger = elder + 1
    for values in (
        population.birth, population.race, population.group, population.last, population.last_second,
        population.zip_before, population.household,
    ):  # fmt: skip
        values[younger] = values[elder]
    population.last_former[younger] = -1
    same_sex = rng.random(len(elder)) < parameters.twins_same_sex
    population.sex[younger] = np.where(same_sex, population.sex[elder], population.sex[younger])
    female = population.sex[younger] == FEMALE
    drawn = draw_first_names(
        rng, names, name_parameters, female=female, group=population.group[younger], era=era[elder]
    )
    again = draw_first_names(
        rng, names, name_parameters, female=female, group=population.group[younger], era=era[elder]
    )
    population.first[younger] = np.where(drawn == population.first[elder], again, drawn)
    population.is_twin[elder] = population.is_twin[younger] = True


def _make_juniors(
    rng: np.random.Generator,
    population: Population,
    position: npt.NDArray[np.int64],
    first_day: int,
    parameters: PeopleParameters,
) -> None:
    """A child of the house becomes his father's namesake: same first, middle and last name, Sr and Jr.

    Enough fathers are chosen for `junior_senior` of all households; sons keep the wanted distance of years.
    """
    households = int(population.household.max()) + 1
    wanted = rng.random(households) < parameters.junior_senior
    head = np.arange(len(population)) - position
    is_son = (position == 1) & wanted[population.household] & ~population.is_twin & ~population.is_twin[head]
    sons = np.flatnonzero(is_son)
    fathers = head[sons]
    least, most = (int(years * DAYS_A_YEAR) for years in parameters.junior_senior_years)
    gap = rng.integers(least, most, len(sons))
    population.sex[sons] = population.sex[fathers] = MALE
    population.birth[sons] = population.birth[fathers] + gap
    # A young father's son would not be born yet: both are made older.
    unborn = np.maximum(population.birth[sons] - (first_day - 365), 0)
    population.birth[sons] -= unborn
    population.birth[fathers] -= unborn
    for values in (
        population.first, population.middle, population.last, population.last_second, population.race,
        population.group,
    ):  # fmt: skip
        values[sons] = values[fathers]
    population.last_former[sons] = population.last_former[fathers] = -1
    is_third = rng.random(len(sons)) < 0.08
    population.suffix[fathers] = np.where(is_third, JUNIOR, SENIOR)
    population.suffix[sons] = np.where(is_third, THIRD, JUNIOR)


def _make_namesakes(rng: np.random.Generator, population: Population, parameters: PeopleParameters) -> None:
    """Strangers take the name, sex and birth year of somebody else; the day differs."""
    people = len(population)
    chosen = np.flatnonzero(
        (rng.random(people) < parameters.namesakes) & ~population.is_twin & (population.suffix == NO_SUFFIX)
    )
    models = rng.integers(0, people, len(chosen))
    for values in (
        population.first, population.last, population.sex, population.race, population.group,
        population.last_second,
    ):  # fmt: skip
        values[chosen] = values[models]
    year_start = (population.birth[models].astype("datetime64[D]").astype("datetime64[Y]")).astype(
        "datetime64[D]"
    )
    # Day 1 to 364 of the year: 1 January stays the default date that it is.
    population.birth[chosen] = year_start.astype(np.int32) + rng.integers(1, 365, len(chosen))
    population.last_former[chosen] = -1
