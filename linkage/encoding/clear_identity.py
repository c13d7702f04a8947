"""What identity in the clear looks like, for refusing it at the county's door.

These are nets for accidents (the raw file copied to the landing zone, a column of names renamed to tokens),
not for deceit: an unkeyed hash cut to 32 digits looks like any token. The key check value is what proves
the key.
"""

import hashlib
from functools import cache

import polars as pl

_SHAPE_OF_TOKENS = r"^[0-9a-f]{32}$"
_CODE_SHAPE = r"^[a-z0-9_.\-]{1,40}$"

IDENTITY_PATTERNS: dict[str, str] = {
    "an unkeyed hash, which anybody can reverse by trying": r"[0-9A-Fa-f]{40}",
    "a Social Security number": r"(?:^|[^0-9])[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}(?:[^0-9]|$)",
    "a full date": r"[0-9]{4}[-/][0-9]{1,2}[-/][0-9]{1,2}|[0-9]{1,2}[-/][0-9]{1,2}[-/][0-9]{4}",
}
"""What a text column may never hold, and the pattern that finds it."""

RAW_IDENTITY_COLUMNS = frozenset(
    [
        "first_name",
        "middle_name",
        "last_name",
        "name_suffix",
        "full_name",
        "name",
        "alias",
        "birth_date",
        "dob",
        "date_of_birth",
        "ssn",
        "social_security_number",
        "zip",
        "zip_code",
        "postal_code",
        "address",
        "street",
        "phone",
        "email",
        "mrn",
    ]
)
"""Column names that speak of identity in the clear; these, unlike other unknown names, are safe to repeat."""


_COMMON_NAMES = (
    "smith",
    "johnson",
    "williams",
    "garcia",
    "james",
    "john",
    "robert",
    "michael",
    "maria",
    "mary",
)


@cache
def unkeyed_tokens() -> frozenset[str]:
    """What a home-made encoder without a key would write, as a token, for names that any delivery is likely
    to have."""
    spelled = [spelling for name in _COMMON_NAMES for spelling in (name, name.upper(), name.title())]
    return frozenset(
        hashlib.new(algorithm, name.encode(), usedforsecurity=False).hexdigest()[:32]
        for name in spelled
        for algorithm in ("md5", "sha1", "sha256", "sha512")
    )


def is_no_token(column: pl.Expr) -> pl.Expr:
    """True for a text that is not a token; null for null."""
    return ~column.str.contains(_SHAPE_OF_TOKENS)


def is_unkeyed_hash(column: pl.Expr) -> pl.Expr:
    """True for a text as long as an unkeyed SHA-1 or SHA-256 (HUD HashStatus 2 and 4 among them)."""
    return column.str.contains(r"^[0-9A-Fa-f]{40}(?:[0-9A-Fa-f]{24})?(?:[0-9A-Fa-f]{4})?$")


def is_free_text(column: pl.Expr) -> pl.Expr:
    """True for a text that has not the shape of a code of this project: capitals, spaces, too long."""
    return ~column.str.contains(_CODE_SHAPE)
