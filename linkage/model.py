"""What is compared, how, and which pairs are compared at all: the only place that names them.

A *comparison* looks at one kind of evidence and puts a pair of source records into one of its *levels*: the
first whose condition holds, from the strongest to the weakest. Evidence that goes together stays inside one
comparison, so that it counts once. A *blocking rule* names what two records must share to be compared.

Conditions are SQL that DuckDB and Spark both speak. Nothing here holds a learned number: those are in the
model file that training writes (`linkage.training`).
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import SettingsCreator
from splink.blocking_rule_library import CustomRule

from linkage.records import FILTER_WORDS

RECORD_ID = "record_number"
"""The column by which Splink knows a record of the table `compared_record`."""

RAREST_NAME = 1e-5
"""A name rarer than one in 100,000 gains no more weight: it is as likely a misspelling as a rare name."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """One degree of agreement. `says` is for people, `when` is SQL over the columns of both records (`_l`,
    `_r`).

    `when` is None for the last level, which takes whatever is left. Pairs in a level that `tells_nothing`
    add no weight either way. `rarity_of` names the token whose frequency among clients adjusts the level's
    weight: to share a rare name says more than to share a common one.
    """

    name: str
    says: str
    when: str | None
    tells_nothing: bool = False
    rarity_of: str | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One kind of evidence and its levels, strongest first."""

    name: str
    says: str
    levels: tuple[Level, ...]

    @property
    def column(self) -> str:
        """The column of `scored_pair` that holds the level's number."""
        return f"gamma_{self.name}"

    def number_of(self, level_name: str) -> int:
        """The number that stands for a level in `scored_pair`: -1 where nothing can be said, 0 for the
        weakest.

        A level that tells nothing has -1, like Splink's null levels, wherever it stands in the list.
        """
        telling = [level.name for level in self.levels if not level.tells_nothing]
        if level_name not in telling:
            return -1
        return len(telling) - 1 - telling.index(level_name)

    def columns_compared(self) -> tuple[str, ...]:
        """The columns of `compared_record` that some level looks at."""
        conditions = " ".join(level.when or "" for level in self.levels)
        return tuple(dict.fromkeys(re.findall(r"\b(\w+?)_[lr]\b", conditions)))

    def columns_needed(self) -> tuple[str, ...]:
        """The columns without which the comparison says nothing of a record."""
        conditions = " ".join(level.when or "" for level in self.levels if level.tells_nothing)
        return tuple(dict.fromkeys(re.findall(r"\b(\w+?)_[lr] is null", conditions)))

    def level_names(self) -> dict[int, str]:
        """Names of the levels that tell something, by number."""
        return {self.number_of(level.name): level.name for level in self.levels if not level.tells_nothing}


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What training learned of one level.

    `m`: among pairs of one person, the share in this level. `u`: among pairs of two people, the share in
    it. `observed` is False where training saw no pair in the level; it then weighs nothing, and says so.
    """

    m: float
    u: float
    observed: bool = True

    @property
    def match_weight(self) -> float:
        """log2(m / u): how much finding a pair in this level speaks for one person."""
        return math.log2(self.m / self.u) if self.observed else 0.0


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Everything the model learned: the share of pairs that are one person, each level's m and u, and the
    match weight that each adjustment adds."""

    prior: float
    levels: Mapping[str, Mapping[str, Learned]]
    adjustments: Mapping[str, float]

    @property
    def prior_weight(self) -> float:
        """log2 odds that two records drawn at random are one person."""
        return math.log2(self.prior / (1 - self.prior))


@dataclass(frozen=True, kw_only=True)
class BlockingRule:
    """Records that agree on every one of `columns` are compared. A token list agrees where it shares a
    token.

    Where `one_lacks` names a column, only pairs of which at least one side has no value in it.
    """

    name: str
    says: str
    columns: tuple[str, ...]
    one_lacks: str | None = None
    rests_on_ssn: bool = False


def _missing(*columns: str) -> str:
    return " or ".join(f"{column}_l is null or {column}_r is null" for column in columns)


def _equal(column: str) -> str:
    return f"{column}_l = {column}_r"


def common_bits(bits: str) -> str:
    """SQL: the number of bits that are set in both records' filters."""
    return " + ".join(
        f"cast(bit_count({bits}_{word}_l & {bits}_{word}_r) as integer)"
        for word in range(1, FILTER_WORDS + 1)
    )


def _dice_at_least(bits: str, hundredths: int) -> str:
    """SQL: Dice's coefficient of two filters, twice the common bits over the sum of both counts, in whole
    numbers.
    """
    return f"200 * ({common_bits(bits)}) >= {hundredths} * (cast({bits}_count_l as integer) + {bits}_count_r)"


def _sounds_alike(name: str) -> str:
    """SQL: one of the two ways to pronounce a name is a way to pronounce the other."""
    return " or ".join(f"{name}_sound_{one}_l = {name}_sound_{other}_r" for one in (1, 2) for other in (1, 2))


_NAMES_SWAPPED = "names_in_order_l = names_in_reverse_r"


@cache
def comparisons() -> tuple[Comparison, ...]:
    """Every comparison of the model, in the order in which its column stands in `scored_pair`."""
    return (
        Comparison(
            name="first_name",
            says="How alike the first names are; also tells exchanged first and last names.",
            levels=(
                Level(
                    name="missing",
                    says="A first name is missing or a placeholder.",
                    when=_missing("first_name_token"),
                    tells_nothing=True,
                ),
                Level(
                    name="equal",
                    says="The same first name; the rarer, the more it says.",
                    when=_equal("first_name_token"),
                    rarity_of="first_name_token",
                ),
                Level(name="swapped", says="First and last name are exchanged.", when=_NAMES_SWAPPED),
                Level(
                    name="nearly_equal",
                    says="Spelt almost the same (Dice .81).",
                    when=_dice_at_least("first_name_bits", 81),
                ),
                Level(
                    name="nickname",
                    says="Forms of one name, such as Bill and William.",
                    when=_equal("first_name_root_token"),
                ),
                Level(
                    name="similar", says="Spelt alike (Dice .66).", when=_dice_at_least("first_name_bits", 66)
                ),
                Level(name="sounds_alike", says="Pronounced alike.", when=_sounds_alike("first_name")),
                Level(
                    name="somewhat_similar",
                    says="Spelt somewhat alike (Dice .51).",
                    when=_dice_at_least("first_name_bits", 51),
                ),
                Level(name="different", says="Different first names.", when=None),
            ),
        ),
        Comparison(
            name="last_name",
            says="How alike the last names are; compound surnames that share a part are no error but a custom.",
            levels=(
                Level(
                    name="missing",
                    says="A last name is missing, or the exchange of names is already counted with the first name.",
                    when=f"{_missing('last_name_token')} or {_NAMES_SWAPPED}",
                    tells_nothing=True,
                ),
                Level(
                    name="equal",
                    says="The same last name; the rarer, the more it says.",
                    when=_equal("last_name_token"),
                    rarity_of="last_name_token",
                ),
                Level(
                    name="nearly_equal",
                    says="Spelt almost the same (Dice .81).",
                    when=_dice_at_least("last_name_bits", 81),
                ),
                Level(
                    name="shares_a_part",
                    says="One is a compound surname and contains a part of the other.",
                    when="(last_name_parts_l > 1 or last_name_parts_r > 1)"
                    " and list_has_any(last_name_part_tokens_l, last_name_part_tokens_r)",
                ),
                Level(
                    name="similar", says="Spelt alike (Dice .66).", when=_dice_at_least("last_name_bits", 66)
                ),
                Level(name="sounds_alike", says="Pronounced alike.", when=_sounds_alike("last_name")),
                Level(
                    name="somewhat_similar",
                    says="Spelt somewhat alike (Dice .51).",
                    when=_dice_at_least("last_name_bits", 51),
                ),
                Level(name="different", says="Different last names.", when=None),
            ),
        ),
        Comparison(
            name="middle_name",
            says="Middle names or initials, where both sides have one.",
            levels=(
                Level(
                    name="missing",
                    says="A middle name is missing.",
                    when=_missing("middle_initial_token"),
                    tells_nothing=True,
                ),
                Level(name="equal", says="The same middle name.", when=_equal("middle_name_token")),
                Level(
                    name="same_initial",
                    says="The same initial; at most one side gives the name in full, or spells it differently.",
                    when=_equal("middle_initial_token"),
                ),
                Level(name="different", says="Different middle initials.", when=None),
            ),
        ),
        Comparison(
            name="suffix",
            says="Generational suffixes (Jr, Sr, III), where both sides have one.",
            levels=(
                Level(
                    name="missing",
                    says="A suffix is missing.",
                    when=_missing("suffix_token"),
                    tells_nothing=True,
                ),
                Level(name="equal", says="The same suffix.", when=_equal("suffix_token")),
                Level(name="different", says="Different suffixes, as father and son.", when=None),
            ),
        ),
        Comparison(
            name="birth_date",
            says="Birth dates, with the ways in which they go wrong; also what an age alone can tell.",
            levels=(
                Level(
                    name="missing",
                    says="No birth year is known.",
                    when=_missing("birth_year"),
                    tells_nothing=True,
                ),
                Level(
                    name="equal",
                    says="The same birth date, and not a likely default.",
                    when=f"{_equal('birth_date_token')} and not birth_date_suspect_l",
                ),
                Level(
                    name="equal_but_suspect",
                    says="The same birth date, but one that is often entered when the true one is unknown (1 January).",
                    when=_equal("birth_date_token"),
                ),
                Level(
                    name="day_and_month_swapped",
                    says="Day and month exchanged.",
                    when="birth_date_token_l = birth_date_swapped_token_r",
                ),
                Level(
                    name="two_parts_equal",
                    says="Two of year, month and day are equal: one part is wrong or missing.",
                    when=" or ".join(
                        _equal(column)
                        for column in (
                            "birth_year_month_token",
                            "birth_year_day_token",
                            "birth_month_day_token",
                        )
                    ),
                ),
                Level(
                    name="year_equal_date_doubtful",
                    says="The same year, where one date is a likely default or only partly known.",
                    when=f"{_equal('birth_year')} and (birth_date_suspect_l or birth_date_suspect_r"
                    " or birth_date_token_l is null or birth_date_token_r is null)",
                ),
                Level(
                    name="years_close",
                    says="At most two years apart.",
                    when="abs(birth_year_l - birth_year_r) <= 2",
                ),
                Level(
                    name="years_apart",
                    says="More than two years apart and no two parts equal, as parent and child are.",
                    when=None,
                ),
            ),
        ),
        Comparison(
            name="ssn",
            says="Social Security numbers, whole or their last four digits, allowing for one part mistyped.",
            levels=(
                Level(
                    name="missing",
                    says="A Social Security number is missing.",
                    when=_missing("ssn4_token"),
                    tells_nothing=True,
                ),
                Level(name="equal", says="The same nine digits.", when=_equal("ssn_token")),
                Level(
                    name="last_four_equal_first_five_differ",
                    says="Both are whole; the last four digits agree and the first five do not.",
                    when=f"{_equal('ssn4_token')} and ssn5_token_l <> ssn5_token_r",
                ),
                Level(
                    name="last_four_equal",
                    says="The last four digits agree, and one side gives no more.",
                    when=_equal("ssn4_token"),
                ),
                Level(
                    name="first_five_equal_last_four_differ",
                    says="Both are whole; the first five digits agree and the last four do not.",
                    when=_equal("ssn5_token"),
                ),
                Level(
                    name="last_four_differ",
                    says="The last four digits differ, and one side gives no more.",
                    when=_missing("ssn_token"),
                ),
                Level(name="conflict", says="Two whole numbers of which neither part agrees.", when=None),
            ),
        ),
        Comparison(
            name="sex",
            says="Sex as recorded.",
            levels=(
                Level(
                    name="missing",
                    says="Sex is not known on one side.",
                    when=_missing("known_sex"),
                    tells_nothing=True,
                ),
                Level(name="equal", says="The same sex.", when=_equal("known_sex")),
                Level(name="different", says="Different sexes.", when=None),
            ),
        ),
        Comparison(
            name="zip3",
            says="The first three digits of the ZIP code: weak, since a county has few of them and people move.",
            levels=(
                Level(
                    name="missing",
                    says="The area is not known on one side.",
                    when=_missing("known_zip3"),
                    tells_nothing=True,
                ),
                Level(
                    name="equal",
                    says="The same area; the smaller, the more it says.",
                    when=_equal("known_zip3"),
                    rarity_of="known_zip3",
                ),
                Level(name="different", says="Different areas.", when=None),
            ),
        ),
    )


def comparison(name: str) -> Comparison:
    """The comparison of that name."""
    return next(each for each in comparisons() if each.name == name)


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """A case in which the comparisons are not independent, so that their sum says too much.

    `when` maps comparisons to the levels in which the pair must be, all of them. `match_weight` is what is
    added, with `because` the reason for that number; where `learned`, calibration replaces it by what the
    labelled pairs say. The unadjusted weight stays beside the adjusted one.
    """

    name: str
    says: str
    when: Mapping[str, frozenset[str]]
    match_weight: float
    because: str
    learned: bool


@cache
def adjustments() -> tuple[Adjustment, ...]:
    """The adjustments; the first that applies is made."""
    return (
        Adjustment(
            name="possible_twins",
            says="The same last name and birth date, different first names, and no Social Security number in"
            " common: siblings born together share everything a family shares.",
            when={
                "first_name": frozenset({"different"}),
                "last_name": frozenset({"equal", "nearly_equal", "shares_a_part"}),
                "birth_date": frozenset({"equal", "equal_but_suspect"}),
                "ssn": frozenset(
                    {"missing", "first_five_equal_last_four_differ", "last_four_differ", "conflict"}
                ),
            },
            match_weight=-4.0,
            because="Supposed: one birth in 60 is of twins, so among pairs with one last name and birth date siblings"
            " are some sixteen times likelier than strangers who happen to share both.",
            learned=True,
        ),
        Adjustment(
            name="number_shared_in_a_family",
            says="The same Social Security number, but different first names and birth dates that do not go"
            " together: one member of a family gave another's number.",
            when={
                "first_name": frozenset({"different"}),
                "birth_date": frozenset({"years_close", "years_apart"}),
                "ssn": frozenset({"equal", "last_four_equal"}),
            },
            match_weight=-12.0,
            because="Supposed: in a family one number in 250 is another member's, where among strangers it would be"
            " one in a million.",
            learned=False,
        ),
    )


@cache
def blocking_rules() -> dict[str, BlockingRule]:
    """Blocking rules by name, in order. A pair is filed under the first rule that brings it.

    The rules that rest on the Social Security number come last, so that calibration can tell which pairs
    only they brought (`linkage.calibration`). `birth_date_either_way_token` is the same for a date and for
    the date with day and month exchanged; `names_either_way` is the same for a name and for its exchange.
    """
    rules = (
        BlockingRule(
            name="last_name_and_birth_date",
            says="A last name, or a part of it, pronounced alike, and the birth date.",
            columns=("last_name_sound_tokens", "birth_date_either_way_token"),
        ),
        BlockingRule(
            name="first_name_and_birth_date",
            says="The first name or a nickname of it, and the birth date: finds changed last names.",
            columns=("first_name_root_token", "birth_date_either_way_token"),
        ),
        BlockingRule(
            name="first_sound_and_birth_date",
            says="A first name pronounced alike, and the birth date: finds a misspelt first name with a new last name.",
            columns=("first_name_sound_1", "birth_date_either_way_token"),
        ),
        BlockingRule(
            name="swapped_names_and_birth_date",
            says="First and last names exchanged, and the birth date.",
            columns=("names_either_way", "birth_date_either_way_token"),
        ),
        BlockingRule(
            name="names_and_birth_year_month",
            says="Both names pronounced alike, born in the same month: finds a wrong day.",
            columns=("last_name_sound_tokens", "first_name_sound_1", "birth_year_month_token"),
        ),
        BlockingRule(
            name="names_and_birth_year_day",
            says="Both names pronounced alike, born in the same year on the same day of a month: finds a wrong month.",
            columns=("last_name_sound_tokens", "first_name_sound_1", "birth_year_day_token"),
        ),
        BlockingRule(
            name="names_and_birth_month_day",
            says="Both names pronounced alike, with the same birthday: finds a wrong year.",
            columns=("last_name_sound_tokens", "first_name_sound_1", "birth_month_day_token"),
        ),
        BlockingRule(
            name="whole_name_without_birth_date",
            says="First and last name the same or exchanged, where one side has no whole birth date.",
            columns=("names_either_way",),
            one_lacks="birth_date_token",
        ),
        BlockingRule(
            name="nickname_and_birth_year",
            says="The last name, a form of the first name and the birth year: finds default dates such as 1 January.",
            columns=("last_name_token", "first_name_root_token", "birth_year"),
        ),
        BlockingRule(
            name="ssn4_and_birth_year",
            says="The last four digits of the Social Security number and the birth year.",
            columns=("ssn4_token", "birth_year"),
            rests_on_ssn=True,
        ),
        BlockingRule(
            name="ssn4_and_birthday",
            says="The last four digits of the Social Security number and the birthday: finds a wrong birth year.",
            columns=("ssn4_token", "birth_month_day_token"),
            rests_on_ssn=True,
        ),
        BlockingRule(
            name="ssn4_and_first_name",
            says="The last four digits of the Social Security number and a form of the first name.",
            columns=("ssn4_token", "first_name_root_token"),
            rests_on_ssn=True,
        ),
        BlockingRule(
            name="ssn4_and_last_name",
            says="The last four digits of the Social Security number and a last name pronounced alike.",
            columns=("ssn4_token", "last_name_sound_tokens"),
            rests_on_ssn=True,
        ),
        BlockingRule(
            name="ssn5_and_birth_date",
            says="The first five digits of the Social Security number and the birth date.",
            columns=("ssn5_token", "birth_date_either_way_token"),
            rests_on_ssn=True,
        ),
        BlockingRule(
            name="ssn",
            says="The whole Social Security number.",
            columns=("ssn_token",),
            rests_on_ssn=True,
        ),
    )
    return {rule.name: rule for rule in rules}


TOKEN_LIST_COLUMNS = ("last_name_sound_tokens",)
"""Columns of `compared_record` that hold lists; a blocking rule on one is exploded."""


def splink_settings(
    *, prior: float = 1e-4, strangers: Mapping[str, Mapping[str, float]] | None = None
) -> SettingsCreator:
    """The untrained model as Splink settings, made anew on every call: Splink changes what it is given.

    `prior` is the share of pairs that are one person, `strangers` the u of each comparison's levels, where
    they are known. The table to compare is `compared_record` (`linkage.blocking`).
    """
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name=RECORD_ID,
        probability_two_random_records_match=prior,
        comparisons=[
            _splink_comparison(each, (strangers or {}).get(each.name, {})) for each in comparisons()
        ],
        max_iterations=100,
        blocking_rules_to_generate_predictions=[_splink_rule(rule) for rule in blocking_rules().values()],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
    )


def _splink_rule(rule: BlockingRule) -> CustomRule:
    conditions = [f"l.{column} = r.{column}" for column in rule.columns]
    if rule.one_lacks:
        conditions.append(f"(l.{rule.one_lacks} is null or r.{rule.one_lacks} is null)")
    exploded = [column for column in rule.columns if column in TOKEN_LIST_COLUMNS]
    return CustomRule(" and ".join(conditions), arrays_to_explode=exploded or None)


def rarity_columns() -> tuple[str, ...]:
    """The columns whose values' frequencies adjust the weight of a level."""
    return tuple(
        dict.fromkeys(level.rarity_of for each in comparisons() for level in each.levels if level.rarity_of)
    )


def _splink_comparison(each: Comparison, strangers: Mapping[str, float]) -> cl.CustomComparison:
    return cl.CustomComparison(
        comparison_levels=[
            _splink_level(level).configure(u_probability=strangers[level.name])
            if level.name in strangers
            else _splink_level(level)
            for level in each.levels
        ],
        output_column_name=each.name,
        comparison_description=each.says,
    )


def _splink_level(level: Level) -> cll.CustomLevel | cll.ElseLevel:
    if level.when is None:
        return cll.ElseLevel().configure(label_for_charts=level.name)
    made = cll.CustomLevel(level.when, label_for_charts=level.name)
    if level.tells_nothing:
        return made.configure(is_null_level=True)
    if level.rarity_of:
        return made.configure(
            tf_adjustment_column=level.rarity_of, tf_adjustment_weight=1.0, tf_minimum_u_value=RAREST_NAME
        )
    return made
