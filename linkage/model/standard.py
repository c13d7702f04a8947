"""The model under the profile `standard`: every attribute has a token of its own."""

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
    dice_across,
    dice_at_least,
    equal,
    missing,
)


def _sounds_alike(name: str) -> str:
    """SQL: one of the two ways to pronounce a name is a way to pronounce the other."""
    return " or ".join(f"{name}_sound_{one}_l = {name}_sound_{other}_r" for one in (1, 2) for other in (1, 2))


_NAMES_SWAPPED = "names_in_order_l = names_in_reverse_r"


def _crossed(side: str, opposite: str) -> str:
    """SQL: the first name of one side is pronounced like the last name of the other."""
    alike = (
        f"first_name_sound_{one}_{side} = last_name_sound_{other}_{opposite}"
        for one in (1, 2)
        for other in (1, 2)
    )
    return f"({' or '.join(alike)})"


_ONE_NAME_CROSSED = f"{_crossed('l', 'r')} or {_crossed('r', 'l')}"
_SWAPPED_WITH_A_SLIP = " or ".join(
    f"{_crossed(side, opposite)} and {dice_across('last_name_bits', side, 'first_name_bits', opposite, 51)}"
    for side, opposite in ("lr", "rl")
)

COMPARISONS = (
    Comparison(
        name="first_name",
        says="How alike the first names are; also tells exchanged first and last names.",
        levels=(
            Level(
                name="missing",
                says="A first name is missing or a placeholder.",
                when=missing("first_name_token"),
                tells_nothing=True,
            ),
            Level(
                name="equal",
                says="The same first name; the rarer, the more it says.",
                when=equal("first_name_token"),
                rarity_of="first_name_token",
            ),
            Level(name="swapped", says="First and last name are exchanged.", when=_NAMES_SWAPPED),
            Level(
                name="nearly_equal",
                says="Spelt almost the same (Dice .81).",
                when=dice_at_least("first_name_bits", 81),
            ),
            Level(
                name="nickname",
                says="Forms of one name, such as Bill and William.",
                when=equal("first_name_root_token"),
            ),
            Level(name="similar", says="Spelt alike (Dice .66).", when=dice_at_least("first_name_bits", 66)),
            Level(name="sounds_alike", says="Pronounced alike.", when=_sounds_alike("first_name")),
            Level(
                name="somewhat_similar",
                says="Spelt somewhat alike (Dice .51).",
                when=dice_at_least("first_name_bits", 51),
            ),
            Level(
                name="swapped_with_a_slip",
                says="First and last name are exchanged, and one of them is misspelt.",
                when=_SWAPPED_WITH_A_SLIP,
            ),
            Level(
                name="one_name_crossed",
                says="One's first name is pronounced like the other's last name.",
                when=_ONE_NAME_CROSSED,
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
                when=f"{missing('last_name_token')} or {_NAMES_SWAPPED}",
                tells_nothing=True,
            ),
            Level(
                name="equal",
                says="The same last name; the rarer, the more it says.",
                when=equal("last_name_token"),
                rarity_of="last_name_token",
            ),
            Level(
                name="nearly_equal",
                says="Spelt almost the same (Dice .81).",
                when=dice_at_least("last_name_bits", 81),
            ),
            Level(
                name="shares_a_part",
                says="One is a compound surname and contains a part of the other.",
                when="(last_name_parts_l > 1 or last_name_parts_r > 1)"
                " and list_has_any(last_name_part_tokens_l, last_name_part_tokens_r)",
            ),
            Level(name="similar", says="Spelt alike (Dice .66).", when=dice_at_least("last_name_bits", 66)),
            Level(name="sounds_alike", says="Pronounced alike.", when=_sounds_alike("last_name")),
            Level(
                name="somewhat_similar",
                says="Spelt somewhat alike (Dice .51).",
                when=dice_at_least("last_name_bits", 51),
            ),
            Level(
                name="swap_counted",
                says="Different, but a first name like a last name is already counted with the first name.",
                when=_ONE_NAME_CROSSED,
                tells_nothing=True,
            ),
            Level(name="different", says="Different last names.", when=None),
        ),
    ),
    Comparison(
        name="middle_name",
        says="Middle names or initials, where both sides have one.",
        identifies=False,
        levels=(
            Level(
                name="missing",
                says="A middle name is missing.",
                when=missing("middle_initial_token"),
                tells_nothing=True,
            ),
            Level(name="equal", says="The same middle name.", when=equal("middle_name_token")),
            Level(
                name="same_initial",
                says="The same initial; at most one side gives the name in full, or spells it differently.",
                when=equal("middle_initial_token"),
            ),
            Level(name="different", says="Different middle initials.", when=None),
        ),
    ),
    Comparison(
        name="suffix",
        says="Generational suffixes (Jr, Sr, III), where both sides have one.",
        identifies=False,
        levels=(
            Level(
                name="missing",
                says="A suffix is missing.",
                when=missing("suffix_token"),
                tells_nothing=True,
            ),
            Level(name="equal", says="The same suffix.", when=equal("suffix_token")),
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
                when=missing("birth_year"),
                tells_nothing=True,
            ),
            Level(
                name="equal",
                says="The same birth date, and not a likely default.",
                when=f"{equal('birth_date_token')} and not birth_date_suspect_l",
            ),
            Level(
                name="equal_but_suspect",
                says="The same birth date, but one that is often entered when the true one is unknown (1 January).",
                when=equal("birth_date_token"),
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
                    equal(column)
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
                when=f"{equal('birth_year')} and (birth_date_suspect_l or birth_date_suspect_r"
                " or birth_date_token_l is null or birth_date_token_r is null)",
            ),
            Level(
                name="years_differ_date_doubtful",
                says="Different years, where one date is a likely default: it may be nobody's birth date.",
                when="birth_date_suspect_l or birth_date_suspect_r",
                identifies=False,
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
                when=missing("ssn4_token"),
                tells_nothing=True,
            ),
            Level(name="equal", says="The same nine digits.", when=equal("ssn_token")),
            Level(
                name="last_four_equal_first_five_differ",
                says="Both are whole; the last four digits agree and the first five do not.",
                when=f"{equal('ssn4_token')} and ssn5_token_l <> ssn5_token_r",
            ),
            Level(
                name="last_four_equal",
                says="The last four digits agree, and one side gives no more.",
                when=equal("ssn4_token"),
            ),
            Level(
                name="first_five_equal_last_four_differ",
                says="Both are whole; the first five digits agree and the last four do not.",
                when=equal("ssn5_token"),
            ),
            Level(
                name="last_four_differ",
                says="The last four digits differ, and one side gives no more.",
                when=missing("ssn_token"),
            ),
            Level(name="conflict", says="Two whole numbers of which neither part agrees.", when=None),
        ),
    ),
    Comparison(
        name="sex",
        says="Sex as recorded.",
        identifies=False,
        levels=(
            Level(
                name="missing",
                says="Sex is not known on one side.",
                when=missing("known_sex"),
                tells_nothing=True,
            ),
            Level(name="equal", says="The same sex.", when=equal("known_sex")),
            Level(name="different", says="Different sexes.", when=None),
        ),
    ),
    Comparison(
        name="zip3",
        says="The first three digits of the ZIP code: weak, since a county has few of them and people move.",
        identifies=False,
        levels=(
            Level(
                name="missing",
                says="The area is not known on one side.",
                when=missing("known_zip3"),
                tells_nothing=True,
            ),
            Level(
                name="equal",
                says="The same area; the smaller, the more it says.",
                when=equal("known_zip3"),
                rarity_of="known_zip3",
            ),
            Level(name="different", says="Different areas.", when=None),
        ),
    ),
    HANDOVER,
)

_ADJUSTMENTS = (
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
        learned_from="agreement",
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
        learned_from="excess",
    ),
)

_BLOCKING_RULES = (
    BlockingRule(
        name="name_sound_and_birth_date",
        says="A name pronounced like a name of the other, first, last or part of one, and the birth date: finds a"
        " misspelt name, a changed other name, and exchanged names.",
        columns=("name_sound_tokens", "birth_date_either_way_token"),
    ),
    BlockingRule(
        name="first_name_and_birth_date",
        says="The first name or a nickname of it, and the birth date: finds changed last names.",
        columns=("first_name_root_token", "birth_date_either_way_token"),
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
        name="names_without_birth_date",
        says="Both names pronounced alike, or exchanged, where one side has no whole birth date.",
        columns=("name_sounds_either_way",),
        one_lacks="birth_date_token",
    ),
    BlockingRule(
        name="nickname_and_birth_year",
        says="The last name, a form of the first name and the birth year: finds default dates such as 1 January.",
        columns=("last_name_token", "first_name_root_token", "birth_year"),
    ),
    HANDOVER_RULE,
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
        name="ssn5_and_names",
        says="The first five digits of the Social Security number, and both names pronounced alike, or exchanged.",
        columns=("ssn5_token", "name_sounds_either_way"),
        rests_on_ssn=True,
    ),
    BlockingRule(
        name="ssn",
        says="The whole Social Security number.",
        columns=("ssn_token",),
        rests_on_ssn=True,
    ),
)

"""The rules that rest on the Social Security number come last, so that calibration can tell which pairs only
they brought (`linkage.calibration`). `birth_date_either_way_token` is the same for a date and for the date with
day and month exchanged; `name_sounds_either_way` is the same for names and for their
exchange."""

_WHOLE_NAME = "first_name_token is null or last_name_token is null"
_COMPARED_COLUMNS = (
    "first_name_token",
    "last_name_token",
    "first_name_root_token",
    "last_name_part_tokens",
    "len(last_name_part_tokens)::tinyint as last_name_parts",
    "last_name_sound_tokens",
    "list_concat(coalesce(last_name_sound_tokens, []), coalesce(first_name_sound_tokens, [])) as name_sound_tokens",
    *(
        f"{name}_sound_tokens[{number}] as {name}_sound_{number}"
        for name in ("first_name", "last_name")
        for number in (1, 2)
    ),
    f"if({_WHOLE_NAME}, null, (hash(first_name_token, last_name_token) >> 1)::bigint) as names_in_order",
    f"if({_WHOLE_NAME}, null, (hash(last_name_token, first_name_token) >> 1)::bigint) as names_in_reverse",
    "if(first_name_sound_1 is null or last_name_sound_1 is null, null,"
    " (hash(least(first_name_sound_1, last_name_sound_1), greatest(first_name_sound_1, last_name_sound_1)) >> 1)"
    "::bigint) as name_sounds_either_way",
    "suffix_token",
    "middle_name_token",
    "middle_initial_token",
    "birth_date_token",
    "birth_date_swapped_token",
    "if(birth_date_token is null, null, least(birth_date_token, birth_date_swapped_token))"
    " as birth_date_either_way_token",
    "birth_year_month_token",
    "birth_month_day_token",
    "birth_year_day_token",
    "ssn_token",
    "ssn5_token",
    "ssn4_token",
    *HANDOVER_COMPARED,
)

STANDARD_MODEL = LinkageModel(
    profile="standard",
    compared_columns=_COMPARED_COLUMNS,
    comparisons=COMPARISONS,
    adjustments=_ADJUSTMENTS,
    blocking_rules=_BLOCKING_RULES,
    sessions=(
        Session(pairs_with_the="same birth date", columns=("birth_date_token",)),
        Session(pairs_with_the="same first and last name", columns=("first_name_token", "last_name_token")),
        Session(pairs_with_the="same Social Security number", columns=("ssn_token",)),
    ),
    names_and_birth_date=("names_in_order", "birth_date_token"),
    known={
        "name": "first_name_token is not null and last_name_token is not null",
        "birth date": "birth_date_token is not null",
        "number": "ssn4_token is not null",
    },
)
