"""Names as people write them, brought to the one form that tokens and filters are made from.

The form is: letters a to z, parts apart by one space, generational suffix taken off. What is not a name (a
placeholder, another script than Latin, a number, a paragraph) becomes nothing and is counted by kind; what
kind of nothing it was is all that is ever said about it. The placeholders are data:
`linkage/code_lists/name_placeholders.toml`.

These rules are part of encoding version 1. A rule changed is a new version: two agencies with different
rules would silently stop finding each other's people.
"""

import re
import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import NamedTuple

LONGEST_NAME = 60
"""Letters. Anything longer is a sentence in the wrong field."""

_LONGEST_TEXT = 200
_APOSTROPHES = "`´‘’‛ʹʻʼʽʾʿˈ＇"  # noqa: RUF001
_FOLDED_LATIN = str.maketrans(
    {
        "æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ð": "d", "ħ": "h", "\u0131": "i", "ĸ": "k", "ł": "l",
        "ŋ": "n", "þ": "th", "ŧ": "t", "ə": "a", "ƒ": "f", "ɓ": "b", "ɗ": "d", "ƙ": "k", "ƴ": "y", "ɔ": "o",
        "ɛ": "e", "“": '"', "”": '"',
    }
    | dict.fromkeys(_APOSTROPHES, "'")
)  # fmt: skip
"""Latin letters that Unicode does not take apart into a letter and a mark, and the many apostrophes and
quotes."""

_ASCII_SEPARATORS = str.maketrans(
    {chr(code): " " for code in range(128) if not chr(code).isalnum()} | {"'": None, "`": None}
)
"""An apostrophe joins (O'Brien is obrien); every other sign parts."""

_PLAIN = re.compile(r"[A-Za-z]+")
_ASIDE = re.compile(r"\([^)]*\)|\"[^\"]*\"")
_NOT_APPLICABLE = re.compile(r"n\s*[/\\.]\s*a\.?")

_SUFFIXES = {
    "jr": "jr", "sr": "sr", "ii": "ii", "iii": "iii", "iv": "iv", "2nd": "ii", "3rd": "iii", "4th": "iv",
}  # fmt: skip
"""Generational suffixes, recognised at the end of a name."""

_SUFFIXES_IN_THEIR_COLUMN = _SUFFIXES | {
    "junior": "jr", "jnr": "jr", "senior": "sr", "snr": "sr", "second": "ii", "third": "iii", "fourth": "iv",
    "2": "ii", "3": "iii", "4": "iv", "i": "i", "1st": "i", "v": "v", "5th": "v", "vi": "vi",
}  # fmt: skip
"""In a suffix column a word or a lone letter can only be a suffix; at the end of a name it may be a name."""

_TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "rev"})

PARTICLES = frozenset(
    [
        "al",
        "ap",
        "ben",
        "bin",
        "bint",
        "da",
        "das",
        "de",
        "degli",
        "dei",
        "del",
        "della",
        "den",
        "der",
        "des",
        "di",
        "do",
        "dos",
        "du",
        "e",
        "el",
        "ibn",
        "la",
        "las",
        "le",
        "les",
        "lo",
        "los",
        "mac",
        "mc",
        "o",
        "san",
        "santa",
        "st",
        "ter",
        "van",
        "vom",
        "von",
        "y",
        "zu",
    ]
)
"""Parts of a surname that join and do not name: sharing `de la` is no sign of kinship."""


class NormalisedName(NamedTuple):
    """A name in normal form.

    `name` has letters a to z with one space between parts, or is None; `kind` says why it is None when
    something was written (a placeholder's kind, `other_script`, `digits`, `too_long`, `no_letters`), else
    None. `suffix` and `middle` were found inside the name.
    """

    name: str | None
    kind: str | None = None
    suffix: str | None = None
    middle: str | None = None


_NOTHING = NormalisedName(None)


@dataclass(frozen=True, kw_only=True)
class _Placeholders:
    kind_of_whole: dict[str, str]
    kinds_of_first_words: dict[str, tuple[tuple[str, str], ...]]
    """By the first of the words: the words and their kind."""

    beside: dict[str, frozenset[str]]


@cache
def _placeholders() -> _Placeholders:
    file = resources.files("linkage") / "code_lists" / "name_placeholders.toml"
    kinds = tomllib.loads(file.read_text(encoding="utf-8"))["kind"]
    first_words: dict[str, list[tuple[str, str]]] = {}
    for kind, names in kinds.items():
        for words in names.get("first_words", ()):
            first_words.setdefault(words.split(" ")[0], []).append((words + " ", kind))
    return _Placeholders(
        kind_of_whole={name: kind for kind, names in kinds.items() for name in names["whole"]},
        kinds_of_first_words={word: tuple(each) for word, each in first_words.items()},
        beside={kind: frozenset(names["beside"]) for kind, names in kinds.items() if "beside" in names},
    )


def placeholder_kinds() -> tuple[str, ...]:
    """Kinds of name that stand for no name; other kinds (`digits` and so on) are names that could not be
    read."""
    return tuple(sorted(set(_placeholders().kind_of_whole.values())))


@cache
def whole_placeholders() -> tuple[str, ...]:
    """Names in normal form without spaces, sorted, that stand for no name when they are the whole of it."""
    return tuple(sorted(_placeholders().kind_of_whole))


def names_beside_placeholder(kind: str) -> frozenset[str]:
    """Names that are invented too when the person's other name is a placeholder of this kind; `*` means
    any."""
    return _placeholders().beside.get(kind, frozenset())


def placeholder_kind(name: str) -> str | None:
    """The kind of placeholder that a name in normal form is, or None when it is a name."""
    placeholders = _placeholders()
    letters = name.replace(" ", "")
    kind = placeholders.kind_of_whole.get(letters)
    if kind is not None:
        return kind
    first_word, parted, _ = name.partition(" ")
    if parted:
        for words, kind in placeholders.kinds_of_first_words.get(first_word, ()):
            if name.startswith(words):
                return kind
    is_one_letter_repeated = len(letters) >= 3 and letters == letters[0] * len(letters)
    return "filler" if is_one_letter_repeated else None


def normalise_first_name(text: str) -> NormalisedName:
    """A first name in normal form; a title is taken off, and a lone last letter (`Mary J`) is the middle
    initial."""
    found = _normalise(text, takes_off_titles=True)
    if found.name is not None and found.name[-2:-1] == " " and len(found.name) > 3:
        return found._replace(name=found.name[:-2], middle=found.name[-1])
    return found


def normalise_middle_name(text: str) -> NormalisedName:
    """A middle name or initial in normal form."""
    return _normalise(text)


def normalise_last_name(text: str) -> NormalisedName:
    """A last name in normal form, with all its parts."""
    return _normalise(text)


def normalise_suffix(text: str) -> str | None:
    """The generational suffix (`jr`, `sr`, `i` to `vi`) of a suffix column, None for anything else (a
    degree)."""
    letters = "".join(letter for letter in text.casefold() if letter.isalnum())
    return _SUFFIXES_IN_THEIR_COLUMN.get(letters)


def naming_parts(name: str) -> list[str]:
    """The parts of a name in normal form that name a family: no particles, unless it has nothing else."""
    if " " not in name:
        return [name]
    parts = name.split(" ")
    return [part for part in dict.fromkeys(parts) if part not in PARTICLES and len(part) > 1] or [
        "".join(parts)
    ]


def _normalise(text: str, *, takes_off_titles: bool = False) -> NormalisedName:
    if _PLAIN.fullmatch(text) and len(text) <= LONGEST_NAME:
        letters = text.lower()
        kind = placeholder_kind(letters)
        return NormalisedName(letters) if kind is None else NormalisedName(None, kind)
    if len(text) > _LONGEST_TEXT:
        return NormalisedName(None, "too_long")
    folded = text.strip().casefold()
    if not folded:
        return _NOTHING
    if _NOT_APPLICABLE.fullmatch(folded):
        return NormalisedName(None, "unknown")
    return _name_of_parts(folded, takes_off_titles=takes_off_titles)


def _name_of_parts(folded: str, *, takes_off_titles: bool) -> NormalisedName:
    if not folded.isascii():
        latin = _in_ascii(folded)
        if latin is None:
            return NormalisedName(None, "other_script")
        folded = latin
    if "(" in folded or '"' in folded:
        folded = _ASIDE.sub(" ", folded) if _ASIDE.sub("", folded).strip() else folded
    parts = folded.translate(_ASCII_SEPARATORS).split()
    if takes_off_titles and len(parts) > 1 and parts[0] in _TITLES:
        parts = parts[1:]
    suffix = None
    if len(parts) > 1 and parts[-1] in _SUFFIXES:
        suffix = _SUFFIXES[parts.pop()]
    return _lettered(parts, suffix)


def _in_ascii(folded: str) -> str | None:
    """Latin letters without their marks, other signs as a space; None when a letter of another script is
    there."""
    written: list[str] = []
    taken_apart = unicodedata.normalize("NFKD", folded.translate(_FOLDED_LATIN)).casefold()  # styled capitals
    for letter in taken_apart.translate(_FOLDED_LATIN):
        if letter.isascii():
            written.append(letter)
        elif unicodedata.combining(letter):
            continue
        elif letter.isalpha():
            return None
        else:
            written.append(" ")
    return "".join(written)


def _lettered(parts: list[str], suffix: str | None) -> NormalisedName:
    """The name that the letters of `parts` make, digits dropped; nothing where digits are half of it or
    more."""
    written = sum(map(len, parts))
    named = [letters for letters in ("".join(filter(str.isalpha, part)) for part in parts) if letters]
    letters = sum(map(len, named))
    name = " ".join(named)
    if written == 0:
        return NormalisedName(None, "no_letters")
    kind = placeholder_kind(name) if named else "digits"
    if kind is None and 2 * letters <= written:
        kind = "digits"
    if kind is None and letters > LONGEST_NAME:
        kind = "too_long"
    return NormalisedName(None, kind) if kind else NormalisedName(name, suffix=suffix)
