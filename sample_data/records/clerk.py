"""The clerk's hand: slips, capitals, stray spaces, names in the wrong box, and people who gave no name."""

import numpy as np
import polars as pl

from sample_data.parameters import RecordParameters
from sample_data.people import Flags
from sample_data.records.columns import PEOPLE_COLUMNS, chosen_from, nothing

_NAME_COLUMNS = ("first_name", "last_name")


def as_typed(
    rng: np.random.Generator, source: str, people: pl.DataFrame, parameters: RecordParameters
) -> pl.DataFrame:
    """Names as they were typed: with slips of the hand, in the wrong box, in capitals, with stray spaces."""
    count = people.height
    first, last = (people.get_column(column) for column in _NAME_COLUMNS)
    slip = rng.random(count) < parameters.typo[source]
    in_first = rng.random(count) < 0.5
    first = _with_slips(rng, first, slip & in_first)
    last = _with_slips(rng, last, slip & ~in_first)
    swapped = rng.random(count) < parameters.names_swapped[source]
    first, last = chosen_from(swapped, last, first), chosen_from(swapped, first, last)
    lost = rng.random(count) < parameters.punctuation_lost[source]
    by_space = rng.random(count) < 0.4
    has_mark = last.str.contains("['-]").to_numpy()
    closed, spaced = last.str.replace_all("['-]", ""), last.str.replace_all("['-]", " ")
    last = chosen_from(lost & has_mark, chosen_from(by_space, spaced, closed), last)
    upper = rng.random(count) < parameters.upper_case[source]
    lower = ~upper & (rng.random(count) < parameters.lower_case[source])
    stray = rng.random(count) < parameters.stray_space[source]
    middle = people.get_column("middle_name")
    suffix = people.get_column("name_suffix")
    first = chosen_from(stray, first + " ", first)
    typed = {
        "first_name": first,
        "middle_name": middle,
        "last_name": chosen_from(stray & in_first, " " + last, last),
        "name_suffix": suffix,
    }
    return people.with_columns(
        chosen_from(upper, text.str.to_uppercase(), chosen_from(lower, text.str.to_lowercase(), text)).alias(
            column
        )
        for column, text in typed.items()
    )


_LETTERS = "aeiounrstlmdchyvkgbpw"


def _with_slips(rng: np.random.Generator, text: pl.Series, which: Flags) -> pl.Series:
    """`text` with one letter dropped, doubled, replaced or turned round with the next, where `which`."""
    places = np.flatnonzero(which)
    count = len(places)
    slips = pl.DataFrame(
        {
            "text": text.gather(places),
            "draw": rng.random(count),
            "kind": rng.integers(0, 4, count),
            "letter": pl.Series(list(_LETTERS)).gather(rng.integers(0, len(_LETTERS), count)),
        }
    )
    length = pl.col("text").str.len_chars().cast(pl.Int64)
    # Slips fall after the first letter four times in five: the first is looked at.
    at = (pl.col("draw") * length).floor().cast(pl.Int64).clip(0, length - 1)
    slips = slips.with_columns(
        at=pl.when((at == 0) & (pl.col("letter") < "t")).then(length // 2).otherwise(at)
    )
    at = pl.col("at")
    head, letter, tail = (
        pl.col("text").str.slice(0, at),
        pl.col("text").str.slice(at, 1),
        pl.col("text").str.slice(at + 1),
    )
    following = pl.col("text").str.slice(at + 1, 1)
    slipped = slips.select(
        pl.when(length < 3)
        .then("text")
        .when(pl.col("kind") == 0)
        .then(head + tail)
        .when(pl.col("kind") == 1)
        .then(head + letter + letter.str.to_lowercase() + tail)
        .when(pl.col("kind") == 2)
        .then(head + pl.col("letter") + tail)
        .otherwise(head + following + letter + pl.col("text").str.slice(at + 2))
    ).to_series()
    return text.scatter(places, slipped) if count else text


_UNIDENTIFIED: dict[str, list[tuple[str | None, str | None]]] = {
    "jail": [("JOHN", "DOE"), ("JOHN", "DOE"), ("JANE", "DOE"), ("UNKNOWN", "UNKNOWN"), ("DOE", "REFUSED")],
    "shelter": [
        ("Unknown", "Unknown"), ("Client", "Refused"), ("Refused", "Refused"), ("Anonymous", "Anonymous"),
        ("Jane", "Doe"), ("John", "Doe"),
    ],
    "ems": [
        ("Unknown", "Unknown"), ("John", "Doe"), ("Jane", "Doe"), ("UNK", "UNK"), ("Male", "Unknown"),
        ("Female", "Unknown"), ("Unable to Complete", "Unable to Complete"),
        ("Refused", "Refused"), (None, None),
    ],
    "hospital": [
        ("Trauma", "Alpha"), ("Trauma", "Bravo"), ("Trauma", "Tango"), ("Trauma", "Zulu"),
        ("Unidentified", "Male"), ("Unidentified", "Female"), ("John", "Doe"), ("Jane", "Doe"),
        ("Disaster", "Seven"),
    ],
    "crisis_line": [
        ("Anonymous", "Anonymous"), ("Anonymous", None), ("Unknown", "Unknown"), ("Refused", "Refused"),
        (None, None), (None, None),
    ],
}  # fmt: skip


def unidentified(
    rng: np.random.Generator,
    source: str,
    people: pl.DataFrame,
    is_unknown: Flags,
    nobody: Flags,
) -> pl.DataFrame:
    """Registered rows of people who could not or would not say who they are, and of runs that found nobody.

    The birth date is a default of the software, 1 January of the year the person looked like, or absent.
    """
    count = people.height
    place = people.get_column("client_place").to_numpy()
    main = people.get_column("ordinal").to_numpy() == 0
    empty = main & nobody[place]
    unknown = main & is_unknown[place]
    templates = _UNIDENTIFIED[source]
    pick = rng.integers(0, len(templates), count)
    first, last = (
        pl.Series([template[part] for template in templates], dtype=pl.String).gather(pick) for part in (0, 1)
    )
    seen_year = pl.from_epoch(people.get_column("known_from"), time_unit="s").dt.year()
    looked = (seen_year - pl.Series(18 + rng.integers(0, 60, count))).cast(pl.String) + "-01-01"
    arrival = seen_year.cast(pl.String) + "-01-01"
    draw = rng.random(count)
    written = people.get_column("birth_date")
    fake = chosen_from(
        draw < 0.35,
        pl.Series(["1900-01-01"]).new_from_index(0, count),
        chosen_from(draw < 0.5, arrival, chosen_from(draw < 0.75, looked, nothing(count))),
    )
    blank = nothing(count)
    gone = empty | unknown
    # A suffix or a number would be a strange thing to know of a stranger; the sex can be seen.
    changes = {
        "first_name": chosen_from(unknown, first, people.get_column("first_name")),
        "last_name": chosen_from(unknown, last, people.get_column("last_name")),
        "birth_date": chosen_from(unknown, fake, written),
        **{
            column: chosen_from(gone, blank, people.get_column(column))
            for column in ("middle_name", "name_suffix", "ssn", "zip")
        },
    }
    people = people.with_columns(values.alias(column) for column, values in changes.items())
    everything = [column for column in PEOPLE_COLUMNS[1:] if column != "sex"]
    return people.with_columns(
        *(chosen_from(empty, blank, people.get_column(column)).alias(column) for column in everything),
        chosen_from(empty, pl.Series(["U"]).new_from_index(0, count), people.get_column("sex")).alias("sex"),
    )
