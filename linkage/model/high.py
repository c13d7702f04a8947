"""The model under the profile `high`: tokens of several attributes together, and filters with noise.

Two things differ from the standard model. Filters of one name are not equal, so that names are compared by
Dice's coefficient alone, corrected for the noise, and how common a name is comes in three steps. And that birth
dates, or the last four digits, agree is seen only where something else agrees too. What that something else is
worth is counted by its own comparison; so the share of such a level among strangers is not counted but reckoned
(`Level.among_strangers`), and where nothing can be seen the comparison tells nothing.
"""

from linkage.encoding.noise import FLIPPED_OF_256
from linkage.encoding.profiles import HIGH, RARITIES
from linkage.model.parts import (
    HANDOVER,
    HANDOVER_COMPARED,
    HANDOVER_RULE,
    Adjustment,
    BlockingRule,
    Comparison,
    Level,
    LinkageModel,
    Session,
    common_bits,
    equal,
    missing,
)
from linkage.model.standard import COMPARISONS as STANDARD_COMPARISONS


def _dice_at_least(bits: str, hundredths: int) -> str:
    """SQL: Dice's coefficient of two filters as it was before each of 512 bits was flipped with the
    probability p = 13/256, estimated without bias, in whole numbers.

    Of c common bits and s set ones in both, (c - p s + 512 p p) / (1 - 2p)^2 were common before the noise and
    (s - 1024 p) / (1 - 2p) set (moments of randomised response); Dice is twice the first over the second.
    """
    p, both = FLIPPED_OF_256, f"(cast({bits}_count_l as integer) + {bits}_count_r)"
    common = f"256 * ({common_bits(bits)}) - {p} * {both} + {2 * p * p}"
    return f"100 * ({common}) >= {hundredths * (128 - p)} * ({both} - {4 * p})"


def _share(tokens: str) -> str:
    return f"list_has_any({tokens}_l, {tokens}_r)"


# Measured on names of the shipped table under noise: .90 keeps 97 % of equal names and takes 3 % of those
# with one slip; .72 keeps about half of the slips; .52 takes one pair of strangers in 200.
_EQUAL, _NEARLY_EQUAL, _SIMILAR = 90, 72, 52

# Nicknames, sounds and parts that agree between strangers whose names are spelt otherwise: counted under the standard
# profile, where they are seen, .0034 and .0006 in the simulated county, .0032 and .0008 in FEBRL4.
_KEYS_EQUAL_FIRST_NAMES_NOT, _KEYS_EQUAL_LAST_NAMES_NOT = "0.0033", "0.0007"

_NAMES_GO_TOGETHER = " or ".join(
    _share(tokens) for tokens in ("names_birth_year_tokens", "names_birth_month_day_tokens")
)
_SAME_BIRTH_DATE = " or ".join(
    (
        equal("first_name_birth_date_token"),
        _share("last_name_birth_date_tokens"),
        equal("names_birth_date_token"),
    )
)
_NAMES_SWAPPED = f"{equal('names_birth_date_token')} and not ({_dice_at_least('first_name_bits', _SIMILAR)})"


def _equal_by_step(bits: str, rarity: str) -> tuple[Level, ...]:
    """One level for each step, the rarest first: to share a rare name says more."""
    return tuple(
        Level(
            name=f"equal_{step}",
            says=f"The same name as far as noise lets it be seen; a name that is {step.replace('_', ' ')}.",
            when=f"{rarity}_l = {number} and {rarity}_r = {number} and {_dice_at_least(bits, _EQUAL)}",
        )
        for number, step in reversed(list(enumerate(RARITIES)))
    )


_EQUAL_LEVELS = frozenset(f"equal_{step}" for step in RARITIES)

_DAYS = 365.25
_SAME_YEAR = "birth_year_l = birth_year_r"
_BOTH_SUSPECT = "birth_date_suspect_l and birth_date_suspect_r"
_ONE_SUSPECT = "birth_date_suspect_l or birth_date_suspect_r"
_DOUBTFUL = f"{_ONE_SUSPECT} or not birth_date_known_l or not birth_date_known_r"
_MONTH_OR_DAY = 1 / 12 + 12 / _DAYS - 2 / _DAYS
"""Share of pairs born in one year of which the month or the day agrees, and not both; births are spread about
evenly over a year."""


def _if(condition: str, probability: float) -> str:
    return f"case when {condition} then {probability!r} else 0.0 end"


_FIRST_NAME = Comparison(
    name="first_name",
    says="How alike the first names are; also tells exchanged first and last names.",
    levels=(
        Level(
            name="missing",
            says="A first name is missing or a placeholder.",
            when=missing("first_name_bits_count"),
            tells_nothing=True,
        ),
        Level(name="swapped", says="First and last name are exchanged.", when=_NAMES_SWAPPED),
        *_equal_by_step("first_name_bits", "first_name_rarity"),
        Level(
            name="nearly_equal",
            says="Spelt almost the same (Dice .72).",
            when=_dice_at_least("first_name_bits", _NEARLY_EQUAL),
        ),
        Level(
            name="nickname_or_sounds_alike",
            says="Forms of one name or pronounced alike; seen where dates or last names agree too.",
            when=f"{equal('first_name_birth_date_token')} or {_NAMES_GO_TOGETHER}",
            among_strangers=_KEYS_EQUAL_FIRST_NAMES_NOT,
        ),
        Level(
            name="similar",
            says="Spelt alike (Dice .52).",
            when=_dice_at_least("first_name_bits", _SIMILAR),
        ),
        Level(name="different", says="Different first names.", when=None),
    ),
)
_LAST_NAME = Comparison(
    name="last_name",
    says="How alike the last names are; compound surnames that share a part are no error but a custom.",
    levels=(
        Level(
            name="missing",
            says="A last name is missing, or the exchange of names is already counted with the first name.",
            when=f"{missing('last_name_bits_count')} or ({_NAMES_SWAPPED})",
            tells_nothing=True,
        ),
        *_equal_by_step("last_name_bits", "last_name_rarity"),
        Level(
            name="nearly_equal",
            says="Spelt almost the same (Dice .72).",
            when=_dice_at_least("last_name_bits", _NEARLY_EQUAL),
        ),
        Level(
            name="sounds_alike_or_shares_a_part",
            says="Pronounced alike, or one contains a part of the other; seen where dates or first names agree too.",
            when=f"{_share('last_name_birth_date_tokens')} or {_NAMES_GO_TOGETHER}",
            among_strangers=_KEYS_EQUAL_LAST_NAMES_NOT,
        ),
        Level(
            name="similar",
            says="Spelt alike (Dice .52).",
            when=_dice_at_least("last_name_bits", _SIMILAR),
        ),
        Level(name="different", says="Different last names.", when=None),
    ),
)
_BIRTH_DATE = Comparison(
    name="birth_date",
    says="Birth dates, as far as agreeing names let them be seen; years are always seen.",
    levels=(
        Level(
            name="missing",
            says="No birth year is known.",
            when=missing("birth_year"),
            tells_nothing=True,
        ),
        Level(
            name="equal",
            says="The same birth date, or day and month exchanged, and not a likely default.",
            when=f"({_SAME_BIRTH_DATE}) and not birth_date_suspect_l",
            among_strangers=_if(f"{_SAME_YEAR} and not ({_DOUBTFUL})", 1 / _DAYS),
        ),
        Level(
            name="equal_but_suspect",
            says="The same birth date, but one that is often entered when the true one is unknown (1 January).",
            when=_SAME_BIRTH_DATE,
            among_strangers=_if(f"{_SAME_YEAR} and {_BOTH_SUSPECT}", 1.0),
        ),
        Level(
            name="month_or_day_equal",
            says="The same year, and the month or the day.",
            when=f"{_share('names_birth_year_month_tokens')} or {_share('names_birth_year_day_tokens')}",
            among_strangers=_if(f"{_SAME_YEAR} and not ({_DOUBTFUL})", _MONTH_OR_DAY),
        ),
        Level(
            name="birthday_equal",
            says="The same month and day in another year.",
            when=_share("names_birth_month_day_tokens"),
            among_strangers=_if("birth_year_l <> birth_year_r", 1 / _DAYS),
        ),
        Level(
            name="year_equal_date_doubtful",
            says="The same year, where one date is a likely default or only partly known.",
            when=f"{_SAME_YEAR} and ({_DOUBTFUL})",
            among_strangers=_if(f"{_SAME_YEAR} and ({_DOUBTFUL}) and not ({_BOTH_SUSPECT})", 1.0),
        ),
        Level(
            name="year_alone_equal",
            says="The same year and agreeing names, but neither month nor day.",
            when=_share("names_birth_year_tokens"),
            among_strangers=_if(f"{_SAME_YEAR} and not ({_DOUBTFUL})", 1 - 1 / _DAYS - _MONTH_OR_DAY),
        ),
        Level(
            name="hidden",
            says="The same year; the names do not agree enough to let month and day be seen.",
            when=_SAME_YEAR,
            tells_nothing=True,
        ),
        Level(
            name="years_differ_date_doubtful",
            says="Different years, where one date is a likely default: it may be nobody's birth date.",
            when=_ONE_SUSPECT,
            identifies=False,
            among_strangers=_if(f"not ({_SAME_YEAR}) and ({_ONE_SUSPECT})", 1.0),
        ),
        Level(
            name="years_close",
            says="At most two years apart.",
            when="abs(birth_year_l - birth_year_r) <= 2",
            among_strangers=_if(
                f"not ({_SAME_YEAR}) and not ({_ONE_SUSPECT}) and abs(birth_year_l - birth_year_r) <= 2", 1.0
            ),
        ),
        Level(
            name="years_apart",
            says="More than two years apart, as parent and child are.",
            when=None,
            among_strangers=_if(f"not ({_ONE_SUSPECT}) and abs(birth_year_l - birth_year_r) > 2", 1.0),
        ),
    ),
)
_SAME_LAST_FOUR = " or ".join(
    (
        equal("ssn4_birth_year_token"),
        equal("ssn4_birth_month_day_token"),
        equal("ssn4_first_name_token"),
        _share("ssn4_last_name_tokens"),
    )
)
_BOTH_WHOLE = "ssn_token_l is not null and ssn_token_r is not null"
_SSN = Comparison(
    name="ssn",
    says="Social Security numbers, whole or their last four digits, as far as something else agrees.",
    levels=(
        Level(
            name="missing",
            says="A Social Security number is missing.",
            when=missing("ssn_digits"),
            tells_nothing=True,
        ),
        Level(name="equal", says="The same nine digits.", when=equal("ssn_token")),
        Level(
            name="last_four_equal_first_five_differ",
            says="Both are whole; the last four digits agree and the first five do not.",
            when=f"({_SAME_LAST_FOUR}) and {_BOTH_WHOLE}",
            among_strangers=_if(_BOTH_WHOLE, 1e-4),
        ),
        Level(
            name="last_four_equal",
            says="The last four digits agree, and one side gives no more.",
            when=_SAME_LAST_FOUR,
            among_strangers=_if(f"not ({_BOTH_WHOLE})", 1e-4),
        ),
        Level(
            name="first_five_equal_last_four_differ",
            says="Both are whole, the first five digits and the birth date agree and the last four do not.",
            when=equal("ssn5_birth_date_token"),
            among_strangers=_if(_BOTH_WHOLE, 1e-3),
        ),
        Level(
            name="hidden",
            says="One side gives four digits alone, and the birth years differ: the digits cannot be compared.",
            when=f"not ({_BOTH_WHOLE}) and ({missing('birth_year')} or birth_year_l <> birth_year_r)",
            tells_nothing=True,
        ),
        Level(
            name="last_four_differ",
            says="The last four digits differ, and one side gives no more.",
            when=f"not ({_BOTH_WHOLE})",
            among_strangers=_if(f"not ({_BOTH_WHOLE})", 1 - 1e-4),
        ),
        Level(
            name="conflict",
            says="Two whole numbers that do not agree.",
            when=None,
            among_strangers=_if(_BOTH_WHOLE, 1 - 1e-3 - 1e-4),
        ),
    ),
)
_SEX, _ZIP3 = (next(each for each in STANDARD_COMPARISONS if each.name == name) for name in ("sex", "zip3"))

_SEEN_APART = frozenset({"missing", "hidden"})
_ADJUSTMENTS = (
    Adjustment(
        name="possible_twins",
        says="The same last name and birth date, different first names, and no Social Security number in common:"
        " siblings born together share everything a family shares.",
        when={
            "first_name": frozenset({"different"}),
            "last_name": _EQUAL_LEVELS | {"nearly_equal", "sounds_alike_or_shares_a_part"},
            "birth_date": frozenset({"equal", "equal_but_suspect"}),
            "ssn": _SEEN_APART | {"first_five_equal_last_four_differ", "last_four_differ", "conflict"},
        },
        match_weight=-4.0,
        because="Supposed, as in the standard model: among pairs with one last name and birth date siblings are some"
        " sixteen times likelier than strangers who happen to share both.",
        learned_from="agreement",
    ),
    Adjustment(
        name="number_shared_in_a_family",
        says="The same Social Security number, but different first names and birth dates that do not go together:"
        " one member of a family gave another's number.",
        when={
            "first_name": frozenset({"different"}),
            "birth_date": frozenset({"years_close", "years_apart"}),
            "ssn": frozenset({"equal", "last_four_equal"}),
        },
        match_weight=-12.0,
        because="Supposed, as in the standard model: in a family one number in 250 is another member's, where among"
        " strangers it would be one in a million.",
        learned_from="excess",
    ),
)

_BLOCKING_RULES = (
    BlockingRule(
        name="last_name_and_birth_date",
        says="A last name, or a part of it, pronounced alike, and the birth date.",
        columns=("last_name_birth_date_tokens",),
    ),
    BlockingRule(
        name="first_name_and_birth_date",
        says="A first name pronounced alike, nicknames included, and the birth date: finds changed last names.",
        columns=("first_name_birth_date_token",),
    ),
    BlockingRule(
        name="swapped_names_and_birth_date",
        says="First and last names exchanged, and the birth date.",
        columns=("names_birth_date_token",),
    ),
    BlockingRule(
        name="names_and_birth_year_month",
        says="Both names pronounced alike, born in the same month: finds a wrong day.",
        columns=("names_birth_year_month_tokens",),
    ),
    BlockingRule(
        name="names_and_birth_year_day",
        says="Both names pronounced alike, born in the same year on the same day of a month: finds a wrong month.",
        columns=("names_birth_year_day_tokens",),
    ),
    BlockingRule(
        name="names_and_birth_month_day",
        says="Both names pronounced alike, with the same birthday: finds a wrong year.",
        columns=("names_birth_month_day_tokens",),
    ),
    BlockingRule(
        name="names_and_birth_year",
        says="Both names pronounced alike and the birth year: finds default dates such as 1 January.",
        columns=("names_birth_year_tokens",),
    ),
    HANDOVER_RULE,
    BlockingRule(
        name="ssn4_and_birth_year",
        says="The last four digits of the Social Security number and the birth year.",
        columns=("ssn4_birth_year_token",),
        rests_on_ssn=True,
    ),
    BlockingRule(
        name="ssn4_and_birthday",
        says="The last four digits of the Social Security number and the birthday: finds a wrong birth year.",
        columns=("ssn4_birth_month_day_token",),
        rests_on_ssn=True,
    ),
    BlockingRule(
        name="ssn4_and_first_name",
        says="The last four digits of the Social Security number and a first name pronounced alike.",
        columns=("ssn4_first_name_token",),
        rests_on_ssn=True,
    ),
    BlockingRule(
        name="ssn4_and_last_name",
        says="The last four digits of the Social Security number and a last name pronounced alike.",
        columns=("ssn4_last_name_tokens",),
        rests_on_ssn=True,
    ),
    BlockingRule(
        name="ssn5_and_birth_date",
        says="The first five digits of the Social Security number and the birth date.",
        columns=("ssn5_birth_date_token",),
        rests_on_ssn=True,
    ),
    BlockingRule(
        name="ssn",
        says="The whole Social Security number.",
        columns=("ssn_token",),
        rests_on_ssn=True,
    ),
)

_HAS_BIRTH_DATE = "first_name_birth_date_token is not null or last_name_birth_date_tokens is not null"

_STEP_NUMBERS = " ".join(f"when '{step}' then {number}" for number, step in enumerate(RARITIES))

HIGH_MODEL = LinkageModel(
    profile=HIGH.name,
    compared_columns=(
        *HIGH.token_columns,
        *HIGH.token_list_columns,
        "last_name_birth_date_tokens[1] as last_name_birth_date_1",
        *(
            f"(case {name}_rarity {_STEP_NUMBERS} end)::tinyint as {name}_rarity"
            for name in ("first_name", "last_name")
        ),
        f"coalesce({_HAS_BIRTH_DATE}, false) as birth_date_known",
        "(case ssn_quality when 'full' then 9 when 'last4' then 4 end)::tinyint as ssn_digits",
        *HANDOVER_COMPARED,
    ),
    comparisons=(_FIRST_NAME, _LAST_NAME, _BIRTH_DATE, _SSN, _SEX, _ZIP3, HANDOVER),
    adjustments=_ADJUSTMENTS,
    blocking_rules=_BLOCKING_RULES,
    sessions=(
        Session(
            pairs_with_the="same first name and birth date",
            columns=("first_name_birth_date_token",),
            leaves_out=("first_name_bits_count",),
        ),
        Session(
            pairs_with_the="same last name and birth date",
            columns=("last_name_birth_date_1",),
            leaves_out=("last_name_bits_count", "last_name_birth_date_tokens"),
        ),
        Session(pairs_with_the="same Social Security number", columns=("ssn_token",)),
    ),
    names_and_birth_date=("names_birth_date_token",),
    # No level stands for a name with a birth date, so the share could not follow from the prior; begun at the
    # prior itself, learning takes every pair with a wrong number for two people and never comes back from it.
    sessions_begin_at=0.5,
    known={
        "name": "first_name_bits_count is not null and last_name_bits_count is not null",
        "birth date": _HAS_BIRTH_DATE,
        "number": "ssn_quality in ('full', 'last4')",
    },
)
