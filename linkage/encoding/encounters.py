"""Encounters, encoded: ids under the agency's key, diagnoses turned into flags, nothing undeclared let
through.

Rows that nobody could use are left out and listed by row, column and rule; values that cannot be read are
left empty and listed. What passes here may still be quarantined by the county's row rules.

How a flag is decided, per row: a `diagnoses` column says true or false for every flag when it holds at
least one code, and nothing when it holds none; a column that becomes a flag says what it says; a column
with `homeless_when` says whether its value is among those. A flag is true when any column says true, else
false when any says false, else null: the agency cannot say.
"""

from dataclasses import dataclass

import polars as pl

from linkage.encoding.code_lists import CodeLists, is_icd10_code
from linkage.encoding.columns import delivered_encounter_columns
from linkage.encoding.keys import Key
from linkage.encoding.tokens import token_series
from linkage.source import FLAGS, Source, SourceColumn


@dataclass(frozen=True, kw_only=True)
class EncodedEncounters:
    """A batch: the delivered `rows`, and `left_out` and `problems` with row_number, column, rule.

    `left_out` has one line per row that was left out, `problems` one per value of the other rows left empty.
    """

    rows: pl.DataFrame
    left_out: pl.DataFrame
    problems: pl.DataFrame


_ESSENTIAL = ("encounter_id", "client_id", "kind", "started_at", "ended_at")
"""Without these, readable, a row is of no use; an unreadable end may not pass for a stay that is still
open."""

_RULE = "__rule"


def encode_encounters(
    raw: pl.DataFrame, *, source: Source, code_lists: CodeLists, agency_key: Key, part2_program: bool
) -> EncodedEncounters:
    """Encode raw encounter rows (text columns of the template and `row_number`).

    With `part2_program` a row is marked `part2` unless its flag `sud` is false: what is not known to be
    free of substance-use information is treated as a record of the program (42 CFR 2.11).
    """
    read = raw.with_columns(pl.selectors.string().str.strip_chars().replace("", None))
    read = read.with_columns(*_common_columns(source), *_declared_columns(source))
    read = read.with_columns(
        pl.when(pl.col("ended_at") < pl.col("started_at"))
        .then(pl.lit("before_start"))
        .otherwise(pl.col("ended_at" + _RULE))
        .alias("ended_at" + _RULE)
    )
    breaks = pl.any_horizontal(pl.col(column + _RULE).is_not_null() for column in _ESSENTIAL)
    left_out = _broken_rules(read.filter(breaks), _ESSENTIAL).unique(
        "row_number", keep="first", maintain_order=True
    )
    kept = read.filter(~breaks)
    for column in source.columns:
        if column.type == "diagnoses":
            kept = _with_diagnosed_flags(kept, column, code_lists)
    problems = _broken_rules(kept, tuple(column.name for column in source.columns))
    kept = kept.with_columns(_flag(flag, source) for flag in FLAGS).with_columns(
        token_series(kept.get_column("encounter_id"), agency_key.derive("encounter-id")),
        token_series(kept.get_column("client_id"), agency_key.derive("client-id")),
        part2=pl.col("sud").fill_null(value=True) & part2_program,
    )
    return EncodedEncounters(
        rows=kept.select(
            pl.col(name).cast(kind) for name, kind in delivered_encounter_columns(source).items()
        ),
        left_out=left_out,
        problems=problems,
    )


def _broken_rules(rows: pl.DataFrame, columns: tuple[str, ...]) -> pl.DataFrame:
    """row_number, column and rule of every broken rule of the columns, in the order of rows and columns."""
    return (
        rows.lazy()
        .select("row_number", *(pl.col(column + _RULE).alias(column) for column in columns))
        .unpivot(columns, index="row_number", variable_name="column", value_name="rule")
        .filter(pl.col("rule").is_not_null())
        .sort("row_number", maintain_order=True)
        .collect()
    )


def _common_columns(source: Source) -> list[pl.Expr]:
    kind = pl.col("kind")
    is_declared = kind.is_in(source.kind_names)
    return [
        *(
            pl.when(pl.col(column).is_null()).then(pl.lit("missing")).alias(column + _RULE)
            for column in ("encounter_id", "client_id")
        ),
        pl.when(kind.is_null())
        .then(pl.lit("missing"))
        .when(~is_declared)
        .then(pl.lit("unknown_code"))
        .alias("kind" + _RULE),
        *_read_timestamp("started_at", is_required=True),
        *_read_timestamp("ended_at"),
    ]


def _declared_columns(source: Source) -> list[pl.Expr]:
    expressions: list[pl.Expr] = []
    for column in source.columns:
        written = pl.col(column.name)
        if column.type == "timestamp":
            expressions += _read_timestamp(column.name)
        elif column.type == "boolean":
            lowered = written.str.to_lowercase()
            value = pl.when(lowered.is_in(["true", "false"])).then(lowered == "true")
            expressions += _read_value(column.name, value, "unreadable")
        elif column.type == "code":
            value = pl.when(written.is_in(column.codes)).then(written)
            expressions += _read_value(column.name, value, "unknown_code")
    return expressions


def _read_value(column: str, value: pl.Expr, rule: str) -> list[pl.Expr]:
    """A column's read value, and the rule it breaks where something was written that could not be read."""
    is_lost = value.is_null() & pl.col(column).is_not_null()
    return [value.alias(column), pl.when(is_lost).then(pl.lit(rule)).alias(column + _RULE)]


_TIMESTAMP = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?$"


def _read_timestamp(column: str, *, is_required: bool = False) -> list[pl.Expr]:
    """A local timestamp from ISO text, a date alone as its midnight.

    A text with a zone is not read: what is local is the agency's to say. Fractions of a second are dropped.
    """
    written = pl.col(column)
    whole_seconds = written.str.slice(0, 19).str.replace("T", " ", literal=True)
    padded = whole_seconds + pl.lit(" 00:00:00").str.slice(whole_seconds.str.len_chars() - 10)
    value = pl.when(written.str.contains(_TIMESTAMP)).then(
        padded.str.to_datetime("%Y-%m-%d %H:%M:%S", time_unit="us", strict=False)
    )
    read, rule = _read_value(column, value, "unreadable")
    if is_required:
        rule = pl.when(written.is_null()).then(pl.lit("missing")).otherwise(rule).alias(column + _RULE)
    return [read, rule]


def _said_by(flag: str, column: SourceColumn) -> str:
    """Name of the working column that holds what `column` says of `flag`."""
    return f"{column.name}__{flag}"


def _with_diagnosed_flags(rows: pl.DataFrame, column: SourceColumn, code_lists: CodeLists) -> pl.DataFrame:
    """`rows` with what a `diagnoses` column says of each flag, each distinct list of codes looked at once."""
    written = rows.get_column(column.name).drop_nulls().unique()
    schema = {**{_said_by(flag, column): pl.Boolean for flag in FLAGS}, column.name + _RULE: pl.String}
    said: list[tuple[bool | str | None, ...]] = []
    known: dict[str, tuple[bool, ...]] = {}
    for text in written:
        parts = [part.strip() for part in text.split(";") if part.strip()]
        codes = [part for part in parts if is_icd10_code(part)]
        for code in codes:
            if code not in known:
                known[code] = code_lists.flags_of([code])
        flags = tuple(any(raised) for raised in zip(*(known[code] for code in codes), strict=True))
        said.append((*(flags or (None,) * len(FLAGS)), None if len(codes) == len(parts) else "unreadable"))
    table = pl.DataFrame(said, schema=schema, orient="row") if said else pl.DataFrame(schema=schema)
    return rows.join(table.with_columns(written), on=column.name, how="left", maintain_order="left")


def _flag(flag: str, source: Source) -> pl.Expr:
    """A flag from everything in the row that speaks of it (see the module's charter)."""
    says: list[pl.Expr] = []
    for column in source.columns:
        if column.type == "diagnoses":
            says.append(pl.col(_said_by(flag, column)))
        if column.becomes_flag == flag:
            says.append(pl.col(column.name))
        if flag == "homeless" and column.homeless_when:
            says.append(pl.col(column.name).is_in(column.homeless_when))
    if not says:
        return pl.lit(None, pl.Boolean).alias(flag)
    any_true = pl.any_horizontal(each.fill_null(value=False) for each in says)
    any_said = pl.any_horizontal(each.is_not_null() for each in says)
    return pl.when(any_said).then(any_true).alias(flag)
