"""Jail CSV: bookings, aliases and charges as a jail management system exports them, with a mapping file.

There is no national format. The mapping, a TOML file that the agency writes once, says which of its columns is
which, how it writes dates, and what its codes mean; docs/formats/jail-csv.md has a whole one. One booking may
have several rows (one per location): it is one encounter.
"""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.formats import NativeFormat, TemplateExtract, TemplateTable, within_window
from linkage.encoding.formats.jail_csv.mapping import (
    CODES,
    HISTORY,
    JAIL,
    MAY_NAME,
    REFERRAL,
    SCREEN,
    SYMPTOMS,
    JailMapping,
    read_jail_mapping,
)
from linkage.encoding.formats.text_tables import ExportFiles, TextTable
from linkage.encoding.receipt import LEFT_EMPTY, LEFT_OUT, RowProblems
from linkage.errors import UsageError

_SYMPTOMS_FOR_POSITIVE = 2
"""Section 1 of the Brief Jail Mental Health Screen (Policy Research Associates; NIJ 2007)."""


def _read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    return _reader(folder, mapping).read(covers_from, covers_to)


def _client_ids(folder: Path, *, mapping: Path | None) -> Iterator[pl.Series]:
    return _reader(folder, mapping).client_ids()


def _reader(folder: Path, mapping: Path | None) -> "_Reader":
    if mapping is None:
        raise UsageError(
            "Jail CSV needs a mapping file (--mapping), which says what the columns and codes of your export mean; "
            "docs/formats/jail-csv.md has one to start from."
        )
    return _Reader(read_jail_mapping(mapping), ExportFiles(place=folder))


class _Reader:
    """Reads the tables that a mapping names and keeps what was noticed on the way."""

    def __init__(self, mapping: JailMapping, files: ExportFiles) -> None:
        self.mapping = mapping
        self.files = files
        self.problems = RowProblems()

    def read(self, covers_from: date, covers_to: date) -> TemplateExtract:
        """Bookings that touch the window, and everything their clients are known as.

        The file of bookings is read three times (which bookings may touch the window, all their rows, all that
        their clients were ever booked as), so that never more than the window's is held.
        """
        table = self._table("bookings")
        may_touch = (
            self._kept(table, lambda rows: rows.filter(self._may_end_after(covers_from)).select("booking_id"))
            .get_column("booking_id")
            .unique()
        )
        rows = self._kept(
            table,
            lambda rows: rows.filter(
                pl.col("booking_id").is_in(may_touch.implode())
                | (pl.col("booking_id").is_null() & self._may_end_after(covers_from))
            ),
        )
        bookings = within_window(
            self._bookings(table.path, rows), covers_from, covers_to, known_at_end=("release_reason",)
        )
        # an assessment after the window is not known at its end
        later = (pl.col("assessed_at") >= covers_to.isoformat()).fill_null(value=False)
        bookings = bookings.with_columns(
            pl.when(~later).then(pl.col(column)).alias(column) for column in ("assessed_at", "smi_assessed")
        )
        clients = bookings.get_column("client_id").unique()
        is_later = (self._timestamp("started_at") >= covers_to.isoformat()) & (
            self._timestamp("started_at") != _UNREADABLE
        )
        people = self._identities(
            "bookings",
            table,
            lambda rows: rows.filter(
                ~is_later.fill_null(value=False), pl.col("client_id").is_in(clients.implode())
            ),
        ).unique(RAW_PEOPLE_COLUMNS, keep="first", maintain_order=True)
        tables = [self._as_template("bookings", table, people)]
        if "aliases" in self.mapping.files:
            aliases = self._table("aliases")
            tables.append(self._as_template("aliases", aliases, self._aliases(aliases, people)))
        return TemplateExtract(
            people=tuple(tables),
            encounters=(self._as_template("bookings", table, bookings),),
            problems=self.problems,
        )

    def client_ids(self) -> Iterator[pl.Series]:
        """The client ids of all bookings, a frame at a time."""
        return (rows.get_column("client_id") for rows in self._table("bookings").frames())

    def _may_end_after(self, covers_from: date) -> pl.Expr:
        """Rows without an end, and with one that is not certainly before the window; one such row is enough
        for its booking to be looked at."""
        end = self._timestamp("ended_at")
        return end.is_null() | (end == _UNREADABLE) | (end >= covers_from.isoformat())

    def _as_template(self, name: str, table: TextTable, rows: pl.DataFrame) -> TemplateTable:
        return TemplateTable(
            path=table.path,
            frames=partial(iter, (rows,)),
            other_columns=table.other_columns,
            native_columns={
                {"booking_id": "encounter_id"}.get(column, column): theirs
                for column, theirs in self.mapping.columns[name].items()
            },
        )

    def _table(self, name: str) -> TextTable:
        """A table under the mapping's names; a column that it does not name is empty."""
        columns = self.mapping.columns[name]
        table = self.files.open(
            self.mapping.files[name],
            tuple(dict.fromkeys(columns.values())),
            delimiter=self.mapping.delimiter,
            encoding=self.mapping.encoding,
        )
        renamed = [
            (pl.col(columns[column]) if column in columns else pl.lit(None, pl.String)).alias(column)
            for column in MAY_NAME[name]
        ]
        return TextTable(
            path=table.path,
            other_columns=table.other_columns,
            frames=lambda: (frame.select(*renamed, "row_number") for frame in table.frames()),
        )

    def _kept(self, table: TextTable, keep: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        """What `keep` keeps of each frame: the rest of the file is only passed through."""
        return pl.concat(keep(frame) for frame in table.frames())

    def _bookings(self, path: Path, rows: pl.DataFrame) -> pl.DataFrame:
        """One template row per booking: earliest entry, last exit, reasons of the first and the last row."""
        for column in ("started_at", "ended_at", "assessed_at"):
            rows = rows.with_columns(self._timestamp(column))
        for column in ("booking_reason", "release_reason", "charge_class", "smi_screen"):
            rows = self._coded("bookings", path, rows, column)
        rows = rows.with_columns(self._answer("smi_assessed").alias("smi_assessed"))
        missing = pl.col("booking_id").is_null()
        self._list(path, rows.filter(missing), "bookings", "booking_id", "missing", LEFT_OUT)
        rows = rows.filter(~missing).with_columns(
            several=pl.col("client_id").n_unique().over("booking_id") > 1
        )
        self._list(path, rows.filter("several"), "bookings", "client_id", "several_clients", LEFT_OUT)
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
            *raw_encounter_columns(JAIL)[3:],
            "row_number",
        )

    def _with_charges(self, bookings: pl.DataFrame) -> pl.DataFrame:
        """`bookings` with the most serious class of their charges, where there is a charges file."""
        if "charges" not in self.mapping.files:
            return bookings
        table = self._table("charges")
        of_bookings = pl.col("booking_id").is_in(bookings.get_column("booking_id").implode())
        charges = self._kept(
            table,
            lambda rows: self._coded("charges", table.path, rows.filter(of_bookings), "charge_class"),
        )
        most = (
            charges.drop_nulls()
            .sort(_seriousness("charge_class"), "row_number")
            .unique("booking_id", keep="first", maintain_order=True)
            .select("booking_id", charged="charge_class")
        )
        joined = bookings.join(most, on="booking_id", how="left", maintain_order="left")
        return joined.with_columns(charge_class=pl.coalesce("charged", "charge_class"))

    def _aliases(self, table: TextTable, people: pl.DataFrame) -> pl.DataFrame:
        """Aliases of `people`; what an alias does not say beside a name is the client's own."""
        own = people.unique("client_id", keep="last", maintain_order=True)
        of_people = pl.col("client_id").is_in(own.get_column("client_id").implode())
        aliases = self._identities("aliases", table, lambda rows: rows.filter(of_people))
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

    def _identities(
        self, name: str, table: TextTable, keep: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> pl.DataFrame:
        """Template people of what `keep` keeps, each frame's identities once."""
        return self._kept(
            table,
            lambda rows: self._template_people(name, table.path, keep(rows)).unique(
                RAW_PEOPLE_COLUMNS, keep="first", maintain_order=True
            ),
        )

    def _template_people(self, name: str, path: Path, rows: pl.DataFrame) -> pl.DataFrame:
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
        answers = {column: self._answer(column) for column in SCREEN}
        yes = {column: (each == "true").fill_null(value=False) for column, each in answers.items()}
        unsaid = {column: each.is_null() for column, each in answers.items()}
        symptoms = pl.sum_horizontal(yes[column].cast(pl.Int32) for column in SYMPTOMS)
        at_most = symptoms + pl.sum_horizontal(unsaid[column].cast(pl.Int32) for column in SYMPTOMS)
        positive = (symptoms >= _SYMPTOMS_FOR_POSITIVE) | pl.any_horizontal(
            yes[column] for column in (*HISTORY, REFERRAL)
        )
        undecided = (at_most >= _SYMPTOMS_FOR_POSITIVE) | pl.any_horizontal(
            unsaid[column] for column in HISTORY
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
        meanings = self.mapping.codes.get(column, {code.lower(): code for code in CODES[column]})
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
    client_ids=_client_ids,
)
