"""Jail CSV: bookings, aliases and charges as a jail management system exports them, with a mapping file.

There is no national format. The mapping, a TOML file that the agency writes once, says which of its columns is
which, how it writes dates, and what its codes mean; docs/formats/jail-csv.md has a whole one. One booking may
have several rows (one per location): it is one encounter.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import polars as pl

from linkage.encoding.columns import RACES_AND_ETHNICITIES, RAW_PEOPLE_COLUMNS, SEXES, raw_encounter_columns
from linkage.encoding.formats import NativeFormat, TemplateExtract, TemplateTable, within_window
from linkage.encoding.receipt import LEFT_EMPTY, LEFT_OUT, RowProblems
from linkage.encoding.text_tables import ExportFiles, TextTable
from linkage.errors import UsageError
from linkage.source import declared_sources

_JAIL = declared_sources()["jail"]
_CODES = {column.name: column.codes for column in _JAIL.columns if column.type == "code"} | {
    "sex": SEXES,
    "race": RACES_AND_ETHNICITIES,
    "ethnicity": RACES_AND_ETHNICITIES,
}
"""What a mapping's codes may mean, by column; an empty text means: known, and nothing to say."""

_IDENTITY = (
    "first_name", "middle_name", "last_name", "name_suffix", "full_name", "birth_date", "sex", "race", "ethnicity",
    "ssn", "zip",
)  # fmt: skip
_SYMPTOMS = tuple(f"bjmhs_{item}" for item in range(1, 7))
_HISTORY = ("bjmhs_7", "bjmhs_8")
_REFERRAL = "bjmhs_referral"
_SCREEN = (*_SYMPTOMS, *_HISTORY, _REFERRAL)
_SYMPTOMS_FOR_POSITIVE = 2
"""Section 1 of the Brief Jail Mental Health Screen (Policy Research Associates; NIJ 2007)."""

_MAY_NAME = {
    "bookings": (
        "booking_id", "client_id", "started_at", "ended_at", *_IDENTITY, *(column.name for column in _JAIL.columns),
        *_SCREEN,
    ),
    "aliases": ("client_id", *_IDENTITY),
    "charges": ("booking_id", "charge_class"),
}  # fmt: skip
_MUST_NAME = {
    "bookings": ("booking_id", "client_id", "started_at", "ended_at"),
    "aliases": ("client_id",),
    "charges": ("booking_id", "charge_class"),
}
_ENCODINGS = {"utf-8": "utf-8", "windows-1252": "cp1252", "latin-1": "latin-1"}
_DELIMITERS = (",", ";", "\t", "|")
_TABLES = ("bookings", "aliases", "charges")


@dataclass(frozen=True, kw_only=True)
class _Mapping:
    """A checked mapping file: per table its file name and {template column: their column}."""

    path: Path
    files: dict[str, str]
    columns: dict[str, dict[str, str]]
    codes: dict[str, dict[str, str]]
    timestamp_formats: tuple[str, ...]
    date_formats: tuple[str, ...]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    encoding: str
    delimiter: str


def _read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    if mapping is None:
        raise UsageError(
            "Jail CSV needs a mapping file (--mapping), which says what the columns and codes of your export mean; "
            "docs/formats/jail-csv.md has one to start from."
        )
    return _Reader(_read_mapping(mapping), ExportFiles(place=folder)).read(covers_from, covers_to)


def _read_mapping(path: Path) -> _Mapping:
    """The mapping in `path`; raises UsageError, naming the entry, for anything that has no meaning."""
    try:
        declared: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, RecursionError):
        raise UsageError(f"{path} cannot be read; a mapping file is TOML in UTF-8.") from None
    _refuse_unknown(path, "", declared, (*_TABLES, "codes", "dates", "answers", "encoding", "delimiter"))
    files, columns = {}, {}
    for table in _TABLES:
        if table not in declared:
            continue
        section = _section(path, declared, table)
        _refuse_unknown(path, f"{table}.", section, ("file", "columns"))
        files[table] = _text(path, section, table, "file")
        named = _section(path, section, "columns", f"{table}.columns")
        _refuse_unknown(path, f"{table}.columns.", named, _MAY_NAME[table])
        for column in _MUST_NAME[table]:
            if column not in named:
                raise UsageError(
                    f"{path}: [{table}.columns] lacks {column}; say which of your columns it is."
                )
        columns[table] = {column: _text(path, named, f"{table}.columns", column) for column in named}
    if "bookings" not in files:
        raise UsageError(f"{path}: there is no [bookings]; it is the one table that must be there.")
    dates = _section(path, declared, "dates", optional=True)
    _refuse_unknown(path, "dates.", dates, ("timestamp", "date"))
    answers = _section(path, declared, "answers", optional=True)
    _refuse_unknown(path, "answers.", answers, ("yes", "no"))
    encoding, delimiter = declared.get("encoding", "utf-8"), declared.get("delimiter", ",")
    if encoding not in _ENCODINGS or delimiter not in _DELIMITERS:
        raise UsageError(
            f"{path}: encoding must be one of {', '.join(_ENCODINGS)}, and delimiter a comma, semicolon, tab or bar."
        )
    return _Mapping(
        path=path,
        files=files,
        columns=columns,
        codes=_read_codes(path, _section(path, declared, "codes", optional=True)),
        timestamp_formats=_formats(path, dates, "timestamp", "%Y-%m-%dT%H:%M:%S", is_date=False),
        date_formats=_formats(path, dates, "date", "%Y-%m-%d", is_date=True),
        yes=tuple(
            each.lower() for each in _texts(path, answers, "answers", "yes", ("yes", "y", "true", "1"))
        ),
        no=tuple(each.lower() for each in _texts(path, answers, "answers", "no", ("no", "n", "false", "0"))),
        encoding=_ENCODINGS[encoding],
        delimiter=delimiter,
    )


def _read_codes(path: Path, declared: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    _refuse_unknown(path, "codes.", declared, tuple(_CODES))
    codes: dict[str, dict[str, str]] = {}
    for column in declared:
        table = _section(path, declared, column, f"codes.{column}")
        codes[column] = {}
        for number, (theirs, ours) in enumerate(table.items(), start=1):
            if ours not in ("", *_CODES[column]):
                raise UsageError(
                    f"{path}: entry {number} of [codes.{column}] means none of {', '.join(_CODES[column])}, nor "
                    "is it empty."
                )
            codes[column][theirs.strip().lower()] = ours
    return codes


def _refuse_unknown(path: Path, prefix: str, section: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if any(key not in known for key in section):
        where = f"[{prefix.rstrip('.')}]" if prefix else "the top level"
        raise UsageError(f"{path}: {where} has an entry without a meaning; there may be {', '.join(known)}.")


def _section(
    path: Path, declared: Mapping[str, Any], key: str, name: str = "", *, optional: bool = False
) -> Mapping[str, Any]:
    section = declared.get(key, {} if optional else None)
    if not isinstance(section, dict):
        raise UsageError(f"{path}: [{name or key}] must be there, as a table.")
    return section


def _text(path: Path, section: Mapping[str, Any], name: str, key: str) -> str:
    text = section.get(key)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{path}: [{name}] must say {key}, as a text.")
    return text.strip()


def _texts(
    path: Path, section: Mapping[str, Any], name: str, key: str, default: tuple[str, ...]
) -> tuple[str, ...]:
    """One text or several; the default where there is none."""
    said = section.get(key, list(default))
    texts = [said] if isinstance(said, str) else said
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise UsageError(f"{path}: [{name}] must say {key} as one or more texts.")
    return tuple(texts)


def _reads_back(each: str, *, is_date: bool) -> bool:
    """Whether a moment written in the format is read as the same moment."""
    moment = pl.Series([datetime(2023, 11, 22, 13)])  # noqa: DTZ001 (local, as everything in an extract)
    try:
        written = moment.dt.strftime(each)
        if is_date:
            return bool((written.str.to_date(each, strict=False) == moment.dt.date()).all(ignore_nulls=False))
        read = written.str.to_datetime(each, strict=False, time_unit="us")
        return bool((read == moment).all(ignore_nulls=False))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False


def _formats(
    path: Path, dates: Mapping[str, Any], key: str, default: str, *, is_date: bool
) -> tuple[str, ...]:
    formats = _texts(path, dates, "dates", key, (default,))
    for each in formats:
        if not _reads_back(each, is_date=is_date):
            raise UsageError(
                f"{path}: [dates] {key} has a format that cannot be used; write it with %Y %m %d %H %M %S "
                "(or %I and %p)."
            )
    return formats


class _Reader:
    """Reads the tables that a mapping names and keeps what was noticed on the way."""

    def __init__(self, mapping: _Mapping, files: ExportFiles) -> None:
        self.mapping = mapping
        self.files = files
        self.problems = RowProblems()

    def read(self, covers_from: date, covers_to: date) -> TemplateExtract:
        """Bookings that touch the window, and everything their clients are known as."""
        rows = self._table("bookings")
        bookings = within_window(
            self._bookings(rows), covers_from, covers_to, known_at_end=("release_reason",)
        )
        # an assessment after the window is not known at its end
        later = (pl.col("assessed_at") >= covers_to.isoformat()).fill_null(value=False)
        bookings = bookings.with_columns(
            pl.when(~later).then(pl.col(column)).alias(column) for column in ("assessed_at", "smi_assessed")
        )
        is_later = (self._timestamp("started_at") >= covers_to.isoformat()) & (
            self._timestamp("started_at") != _UNREADABLE
        )
        held = rows.rows.filter(~is_later.fill_null(value=False)).filter(
            pl.col("client_id").is_in(bookings.get_column("client_id").unique().implode())
        )
        people = self._people(rows.path, held)
        tables = [self._as_table("bookings", rows, people)]
        if "aliases" in self.mapping.files:
            aliases = self._table("aliases")
            known_as = self._aliases(aliases, people)
            tables.append(self._as_table("aliases", aliases, known_as))
        return TemplateExtract(
            people=tuple(tables),
            encounters=(self._as_table("bookings", rows, bookings),),
            problems=self.problems,
        )

    def _as_table(self, name: str, table: TextTable, rows: pl.DataFrame) -> TemplateTable:
        columns = self.mapping.columns[name]
        return TemplateTable(
            path=table.path,
            frames=lambda: iter((rows,)),
            other_columns=table.other_columns,
            native_columns={
                {"booking_id": "encounter_id"}.get(column, column): theirs
                for column, theirs in columns.items()
            },
        )

    def _table(self, name: str) -> TextTable:
        """A table under the mapping's names; a column that it does not name is empty."""
        columns = self.mapping.columns[name]
        table = self.files.read(
            self.mapping.files[name],
            tuple(dict.fromkeys(columns.values())),
            delimiter=self.mapping.delimiter,
            encoding=self.mapping.encoding,
        )
        return TextTable(
            path=table.path,
            rows=table.rows.select(
                *(
                    (pl.col(columns[column]) if column in columns else pl.lit(None, pl.String)).alias(column)
                    for column in _MAY_NAME[name]
                ),
                "row_number",
            ),
            other_columns=table.other_columns,
        )

    def _bookings(self, table: TextTable) -> pl.DataFrame:
        """One template row per booking: earliest entry, last exit, reasons of the first and the last row."""
        rows = table.rows
        for column in ("started_at", "ended_at", "assessed_at"):
            rows = rows.with_columns(self._timestamp(column))
        for column in ("booking_reason", "release_reason", "charge_class", "smi_screen"):
            rows = self._coded("bookings", table.path, rows, column)
        rows = rows.with_columns(self._answer("smi_assessed").alias("smi_assessed"))
        missing = pl.col("booking_id").is_null()
        self._list(table.path, rows.filter(missing), "bookings", "booking_id", "missing", LEFT_OUT)
        rows = rows.filter(~missing).with_columns(
            several=pl.col("client_id").n_unique().over("booking_id") > 1
        )
        self._list(table.path, rows.filter("several"), "bookings", "client_id", "several_clients", LEFT_OUT)
        rows = rows.filter(~pl.col("several")).sort("started_at", "row_number", nulls_last=False)
        rows = rows.with_columns(
            is_last=pl.col("started_at").eq_missing(pl.col("started_at").last().over("booking_id")),
            screen=self._screen(),
        )
        unreadable = pl.lit(_UNREADABLE)
        end = pl.col("ended_at")
        bookings = rows.group_by("booking_id", maintain_order=True).agg(
            pl.col("client_id").first(),
            pl.when((pl.col("started_at") == _UNREADABLE).any())
            .then(unreadable)
            .otherwise(pl.col("started_at").min())
            .alias("started_at"),
            pl.when((end == _UNREADABLE).any())
            .then(unreadable)
            # open when the latest row has no end: an earlier location's end is a move, not a release
            .when(end.filter("is_last").is_not_null().any())
            .then(end.max())
            .alias("ended_at"),
            pl.col("booking_reason").drop_nulls().first(),
            pl.col("release_reason").drop_nulls().last(),
            pl.col("charge_class").sort_by(_seriousness("charge_class")).first(),
            pl.coalesce(
                pl.col("smi_screen").drop_nulls().first(),
                pl.when((pl.col("screen") == "positive").any())
                .then(pl.lit("positive"))
                .otherwise(pl.col("screen").drop_nulls().last()),
            ).alias("smi_screen"),
            pl.col("assessed_at").drop_nulls().first(),
            pl.col("smi_assessed").drop_nulls().first(),
            pl.col("row_number").first(),
        )
        return self._with_charges(bookings).select(
            pl.col("booking_id").alias("encounter_id"),
            "client_id",
            pl.lit("booking").alias("kind"),
            *raw_encounter_columns(_JAIL)[3:],
            "row_number",
        )

    def _with_charges(self, bookings: pl.DataFrame) -> pl.DataFrame:
        """`bookings` with the most serious class of their charges, where there is a charges file."""
        if "charges" not in self.mapping.files:
            return bookings
        table = self._table("charges")
        charges = self._coded("charges", table.path, table.rows, "charge_class")
        most = (
            charges.drop_nulls()
            .sort(_seriousness("charge_class"), "row_number")
            .unique("booking_id", keep="first", maintain_order=True)
            .select("booking_id", charged="charge_class")
        )
        joined = bookings.join(most, on="booking_id", how="left", maintain_order="left")
        return joined.with_columns(charge_class=pl.coalesce("charged", "charge_class"))

    def _people(self, path: Path, rows: pl.DataFrame) -> pl.DataFrame:
        """Template people: every identity that the bookings of a client give, once."""
        return self._identities("bookings", path, rows).unique(
            RAW_PEOPLE_COLUMNS, keep="first", maintain_order=True
        )

    def _aliases(self, table: TextTable, people: pl.DataFrame) -> pl.DataFrame:
        """Aliases of `people`; what an alias does not say beside a name is the client's own."""
        own = people.unique("client_id", keep="last", maintain_order=True)
        held = table.rows.filter(
            table.rows.get_column("client_id").is_in(own.get_column("client_id").implode())
        )
        aliases = self._identities("aliases", table.path, held)
        joined = aliases.join(
            own.select("client_id", *_NOT_NAMES),
            on="client_id",
            how="left",
            suffix="_own",
            maintain_order="left",
        )
        return joined.with_columns(
            pl.coalesce(column, f"{column}_own").alias(column) for column in _NOT_NAMES
        ).select(*RAW_PEOPLE_COLUMNS, "row_number")

    def _identities(self, name: str, path: Path, rows: pl.DataFrame) -> pl.DataFrame:
        for column in ("sex", "race", "ethnicity"):
            rows = self._coded(name, path, rows, column)
        full = pl.col("full_name")
        family, given = (full.str.splitn(",", 2).struct.field(f"field_{place}") for place in (0, 1))
        words = pl.when(given.is_not_null()).then(given).otherwise(full).str.strip_chars().str.split(" ")
        words = words.list.filter(pl.element() != "")
        middle = (
            pl.when(given.is_not_null())
            .then(words.list.slice(1))
            .otherwise(words.list.slice(1, words.list.len().cast(pl.Int64).sub(2).clip(lower_bound=0)))
        )
        last = pl.when(given.is_not_null()).then(family).when(words.list.len() > 1).then(words.list.last())
        return rows.select(
            "client_id",
            pl.coalesce("first_name", words.list.first()).alias("first_name"),
            pl.coalesce("middle_name", middle.list.join(" ").replace("", None)).alias("middle_name"),
            pl.coalesce("last_name", last).alias("last_name"),
            "name_suffix",
            self._date("birth_date").alias("birth_date"),
            "sex",
            pl.concat_str("race", "ethnicity", separator=";", ignore_nulls=True)
            .replace("", None)
            .alias("race_ethnicity"),
            pl.col("ssn").str.to_uppercase().str.replace_all("[ -]", "").alias("ssn"),
            "zip",
            "row_number",
        )

    def _timestamp(self, column: str) -> pl.Expr:
        """ISO text of a time as the mapping says times are written; `_UNREADABLE` for one that is not."""
        written = pl.col(column)
        return (
            pl.when(written.is_not_null())
            .then(
                pl.coalesce(
                    *(
                        written.str.to_datetime(each, strict=False, time_unit="us").dt.strftime(_ISO)
                        for each in self.mapping.timestamp_formats
                    ),
                    *(
                        written.str.to_date(each, strict=False).dt.strftime("%Y-%m-%d")
                        for each in self.mapping.date_formats
                    ),
                    pl.lit(_UNREADABLE),
                )
            )
            .alias(column)
        )

    def _date(self, column: str) -> pl.Expr:
        """ISO text of a date; as it is where it is written otherwise (a partial date, or an unreadable one)."""
        written = pl.col(column)
        return pl.coalesce(
            *(
                written.str.to_date(each, strict=False).dt.strftime("%Y-%m-%d")
                for each in self.mapping.date_formats
            ),
            written,
        )

    def _answer(self, column: str) -> pl.Expr:
        """`true` or `false`, null where the answer is neither yes nor no."""
        said = pl.col(column).str.to_lowercase()
        return (
            pl.when(said.is_in(list(self.mapping.yes)))
            .then(pl.lit("true"))
            .when(said.is_in(list(self.mapping.no)))
            .then(pl.lit("false"))
        )

    def _screen(self) -> pl.Expr:
        """The result of the eight items, the published rule: positive with two symptoms, or one of the history
        items, or an officer's referral. Null when the answers that are missing could have made it positive."""
        answers = {column: self._answer(column) for column in _SCREEN}
        yes = {column: (each == "true").fill_null(value=False) for column, each in answers.items()}
        unsaid = {column: each.is_null() for column, each in answers.items()}
        symptoms = pl.sum_horizontal(yes[column].cast(pl.Int32) for column in _SYMPTOMS)
        at_most = symptoms + pl.sum_horizontal(unsaid[column].cast(pl.Int32) for column in _SYMPTOMS)
        positive = (symptoms >= _SYMPTOMS_FOR_POSITIVE) | pl.any_horizontal(
            yes[column] for column in (*_HISTORY, _REFERRAL)
        )
        undecided = (at_most >= _SYMPTOMS_FOR_POSITIVE) | pl.any_horizontal(
            unsaid[column] for column in _HISTORY
        )
        has_items = "bjmhs_1" in self.mapping.columns["bookings"]
        return (
            pl.when(positive)
            .then(pl.lit("positive"))
            .when(pl.all_horizontal(unsaid.values()) & has_items)
            .then(pl.lit("not_screened"))
            .when(~undecided)
            .then(pl.lit("negative"))
        )

    def _coded(self, name: str, path: Path, rows: pl.DataFrame, column: str) -> pl.DataFrame:
        """`rows` with the column's codes as the template has them; those without a meaning are listed and left
        empty."""
        meanings = self.mapping.codes.get(column, {code.lower(): code for code in _CODES[column]})
        written = pl.col(column)
        meant = written.str.to_lowercase().replace_strict(meanings, default=None, return_dtype=pl.String)
        unmapped = rows.filter(written.is_not_null() & meant.is_null())
        self._list(path, unmapped, name, column, "code_without_a_meaning_in_the_mapping", LEFT_EMPTY)
        return rows.with_columns(meant.replace("", None).alias(column))

    def _list(self, path: Path, rows: pl.DataFrame, name: str, column: str, rule: str, outcome: str) -> None:
        theirs = self.mapping.columns[name].get(column, column)
        self.problems.add(
            path.name, rows.select("row_number", column=pl.lit(theirs), rule=pl.lit(rule)), outcome
        )


_UNREADABLE = "unreadable"
"""Stands for a time that cannot be read, for the encoder to list: no time may pass for an open end."""

_ISO = "%Y-%m-%dT%H:%M:%S"
_NOT_NAMES = ("birth_date", "sex", "race_ethnicity", "ssn", "zip")


def _seriousness(column: str) -> pl.Expr:
    """Felonies first, then misdemeanors, others, and nothing."""
    return pl.col(column).replace_strict({"F": 0, "M": 1, "other": 2}, default=3, return_dtype=pl.Int32)


FORMAT = NativeFormat(
    name="jail-csv",
    source="jail",
    says="CSV of bookings, aliases and charges, with a mapping file",
    read=_read,
)
