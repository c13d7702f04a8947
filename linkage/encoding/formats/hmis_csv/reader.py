"""The files of one export, brought together: enrollments that are stays, bed nights, outreach contacts."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from linkage.encoding.columns import raw_encounter_columns
from linkage.encoding.formats import TemplateExtract, TemplateTable, within_window
from linkage.encoding.formats.hmis_csv.clients import CLIENT_COLUMNS, CLIENT_NAMES, Version, people_of
from linkage.encoding.formats.hmis_csv.codes import (
    BED_NIGHT,
    DESTINATION_GROUPS,
    DESTINATIONS,
    HOUSING,
    NIGHT_BY_NIGHT,
    PROJECT_TYPES,
    STAYS,
    STREET_OUTREACH,
    YES_TO_DISABILITY,
)
from linkage.encoding.formats.text_tables import ExportFiles, TextTable
from linkage.encoding.receipt import LEFT_OUT, RowProblems
from linkage.encoding.retracted import Retractions
from linkage.errors import UsageError
from linkage.source import declared_sources

_IS_DELETED = pl.col("DateDeleted").is_not_null()


class ExportReader:
    """Reads the files of one export and keeps what was noticed on the way."""

    def __init__(self, files: ExportFiles, export_id: str) -> None:
        self.files = files
        self.export_id = export_id
        self.problems = RowProblems()
        self.dropped: Counter[str] = Counter()
        deleted = self._rows(
            self._open("Client", ("PersonalID",)), lambda rows: rows.filter(_IS_DELETED).select("PersonalID")
        )
        self.deleted_clients = _ids(deleted, "PersonalID")

    def _open(self, name: str, columns: tuple[str, ...]) -> TextTable:
        """`columns` of a file, with DateDeleted; every row must be of this export."""
        table = self.files.open(f"{name}.csv", (*columns, "DateDeleted", "ExportID"))

        def frames() -> Iterator[pl.DataFrame]:
            for frame in table.frames():
                other = frame.filter(pl.col("ExportID").ne_missing(pl.lit(self.export_id)))
                if other.height:
                    raise UsageError(
                        f"{table.path}, row {other.item(0, 'row_number')}, column ExportID: it is not that of "
                        "Export.csv, so the file is damaged or of another export; export all files together."
                    )
                yield frame.drop("ExportID")

        return TextTable(path=table.path, other_columns=table.other_columns, frames=frames)

    def _rows(self, table: TextTable, keep: Callable[[pl.DataFrame], pl.DataFrame]) -> pl.DataFrame:
        """What `keep` keeps of each frame of a file: the rest of the file is only passed through."""
        return pl.concat(keep(frame) for frame in table.frames())

    def read(self, version: Version, covers_from: date, covers_to: date) -> TemplateExtract:
        """Stays, bed nights and outreach contacts that touch the window, and their clients."""
        window = partial(
            within_window, covers_from=covers_from, covers_to=covers_to, known_at_end=("destination",)
        )
        enrollments, rows, deleted_enrollments = self._enrollments()
        nights, night_rows, deleted_nights = self._dated(_BED_NIGHTS, rows, window)
        contacts, contact_rows, deleted_contacts = self._dated(_CONTACTS, rows, window)
        stays = window(self._stays(rows, self._exits()))
        encounters = ((enrollments, stays), (nights, night_rows), (contacts, contact_rows))
        seen = pl.concat([each.get_column("client_id") for _, each in encounters]).unique()
        clients = self._open("Client", (*CLIENT_COLUMNS, *version.sex_columns))

        def people() -> Iterator[pl.DataFrame]:
            for frame in clients.frames():
                of_encounters = frame.get_column("PersonalID").is_in(seen.implode())
                yield people_of(
                    frame.filter(~frame.select(_IS_DELETED).to_series(), of_encounters), version, self.dropped
                )

        return TemplateExtract(
            people=(
                TemplateTable(
                    path=clients.path,
                    frames=people,
                    other_columns=clients.other_columns,
                    native_columns=CLIENT_NAMES,
                ),
            ),
            encounters=tuple(
                TemplateTable(
                    path=table.path,
                    frames=partial(iter, (each,)),
                    other_columns=table.other_columns,
                    native_columns=names,
                )
                for (table, each), names in zip(encounters, _ENCOUNTER_NAMES, strict=True)
            ),
            problems=self.problems,
            dropped=self.dropped,
            retractions=Retractions(
                client_ids=self.deleted_clients,
                encounter_ids=(
                    *(_ENROLLMENT + each for each in deleted_enrollments),
                    *deleted_nights,
                    *deleted_contacts,
                ),
            ),
        )

    def _enrollments(self) -> tuple[TextTable, pl.DataFrame, tuple[str, ...]]:
        """Enrollments, with the code of their project's type and what is known of a disabling condition, and the
        ids of the deleted ones."""
        table = self._open(
            "Enrollment",
            ("EnrollmentID", "PersonalID", "ProjectID", "EntryDate", "MoveInDate", "DisablingCondition"),
        )
        every_row = table.read()
        deleted = _ids(every_row.filter(_IS_DELETED), "EnrollmentID")
        rows = every_row.filter(~_IS_DELETED)
        gone = pl.col("PersonalID").is_in(list(self.deleted_clients))
        self._count("enrollments of deleted clients", rows.filter(gone.fill_null(value=False)))
        rows = rows.filter(~gone.fill_null(value=False))
        rows = self._once(table.path, rows, "EnrollmentID")
        # a project that closed and was deleted still sheltered people
        projects = self._open("Project", ("ProjectID", "ProjectType"))
        rows = rows.join(
            self._once(projects.path, projects.read(), "ProjectID").select("ProjectID", "ProjectType"),
            on="ProjectID",
            how="left",
            maintain_order="left",
        )
        known = pl.col("ProjectType").is_in(list(PROJECT_TYPES)).fill_null(value=False)
        self._left_out(table.path, rows.filter(~known), "ProjectID", "unknown_project")
        said = pl.col("DisablingCondition").replace_strict({"1": "true", "0": "false"}, default=None)
        rows = rows.filter(known).join(self._disabled(), on="EnrollmentID", how="left", maintain_order="left")
        rows = rows.with_columns(disabling_condition=pl.coalesce(said, pl.col("disabled")))
        return table, rows, deleted

    def _disabled(self) -> pl.DataFrame:
        """Enrollments of which a disability other than HIV/AIDS is recorded that impairs for long."""
        table = self._open(
            "Disabilities", ("EnrollmentID", "DisabilityType", "DisabilityResponse", "IndefiniteAndImpairs")
        )
        yes = pl.any_horizontal(
            (pl.col("DisabilityType") == kind) & pl.col("DisabilityResponse").is_in(list(responses))
            for kind, responses in YES_TO_DISABILITY.items()
        )
        # a developmental disability is disabling by definition (HUD 3.08)
        lasts = (pl.col("IndefiniteAndImpairs") == "1") | (pl.col("DisabilityType") == "6")
        return self._rows(
            table,
            lambda rows: rows.filter(~_IS_DELETED, yes & lasts).select(
                "EnrollmentID", disabled=pl.lit("true")
            ),
        ).unique()

    def _exits(self) -> pl.DataFrame:
        table = self._open("Exit", ("EnrollmentID", "ExitDate", "Destination"))
        rows = self._once(
            table.path, self._rows(table, lambda rows: rows.filter(~_IS_DELETED)), "EnrollmentID"
        )
        code = pl.col("Destination")
        group = pl.when(code.str.contains("^[1-4][0-9]{2}$")).then(
            code.str.slice(0, 1).replace_strict(DESTINATION_GROUPS, default=None)
        )
        # an exit without a date must not pass for a stay that goes on
        return rows.select(
            "EnrollmentID",
            pl.col("ExitDate").fill_null("unreadable"),
            destination=pl.coalesce(
                code.replace_strict(DESTINATIONS, default=None),
                group,
                # left as it is, an unknown code would be listed by the encoder: here it has no place
                pl.when(code.is_not_null()).then(pl.lit("unknown")),
            ),
        )

    def _stays(self, enrollments: pl.DataFrame, exits: pl.DataFrame) -> pl.DataFrame:
        kind = pl.col("ProjectType")
        self._count(
            "enrollments in night-by-night shelters (their bed nights count)",
            enrollments.filter(kind == NIGHT_BY_NIGHT),
        )
        self._count(
            "enrollments in street outreach (their contacts count)",
            enrollments.filter(kind == STREET_OUTREACH),
        )
        self._count(
            "enrollments in services only, day shelter, prevention, coordinated entry and other projects",
            enrollments.filter(~kind.is_in([*STAYS, NIGHT_BY_NIGHT, STREET_OUTREACH])),
        )
        stays = enrollments.filter(kind.is_in(list(STAYS)))
        is_housing = kind.is_in(list(HOUSING))
        waits = is_housing & pl.col("MoveInDate").is_null()
        self._count("enrollments in housing without a move-in date", stays.filter(waits))
        return (
            stays.filter(~waits)
            .join(exits, on="EnrollmentID", how="left", maintain_order="left")
            .with_columns(
                encounter_id=pl.lit(_ENROLLMENT) + pl.col("EnrollmentID"),
                kind=pl.lit("stay"),
                started_at=pl.when(is_housing).then(pl.col("MoveInDate")).otherwise(pl.col("EntryDate")),
                ended_at=pl.col("ExitDate"),
            )
            .pipe(_as_template)
        )

    def _dated(
        self, what: "_Dated", enrollments: pl.DataFrame, window: Callable[[pl.DataFrame], pl.DataFrame]
    ) -> tuple[TextTable, pl.DataFrame, tuple[str, ...]]:
        """Template rows of one file of dated events, and the encounter ids of the deleted ones."""
        table = self._open(
            what.file, (what.id_column, "EnrollmentID", what.date_column, *what.filter_columns)
        )
        deleted: list[str] = []
        day = pl.col(what.date_column).str.slice(0, 10)
        next_day = day.str.to_date("%Y-%m-%d", strict=False).dt.offset_by("1d").dt.strftime("%Y-%m-%d")

        def keep(rows: pl.DataFrame) -> pl.DataFrame:
            if what.filter_columns:
                is_night = (pl.col("RecordType") == BED_NIGHT).fill_null(value=False)
                self._count("Services: rows that are no bed nights", rows.filter(~is_night))
                rows = rows.filter(is_night)
            deleted.extend(what.prefix + each for each in _ids(rows.filter(_IS_DELETED), what.id_column))
            return window(
                rows.filter(~_IS_DELETED).with_columns(
                    started_at=day,
                    ended_at=next_day if what.is_night else day,
                    destination=pl.lit(None, pl.String),
                )
            )

        joined = self._once(table.path, self._rows(table, keep), what.id_column).join(
            enrollments.select("EnrollmentID", "PersonalID", "ProjectType", "disabling_condition"),
            on="EnrollmentID",
            how="left",
            maintain_order="left",
        )
        self._count(
            f"{what.file}: rows whose enrollment is deleted, left out or not in the export",
            joined.filter(pl.col("ProjectType").is_null()),
        )
        self._count(
            f"{what.file}: {what.elsewhere}",
            joined.filter((pl.col("ProjectType") != what.project_type).fill_null(value=False)),
        )
        events = joined.filter(pl.col("ProjectType") == what.project_type).with_columns(
            encounter_id=pl.lit(what.prefix) + pl.col(what.id_column), kind=pl.lit(what.kind)
        )
        return table, _as_template(events), tuple(dict.fromkeys(deleted))

    def _once(self, path: Path, rows: pl.DataFrame, id_column: str) -> pl.DataFrame:
        """The first row of each id; the others are listed, and so are rows without one."""
        missing = pl.col(id_column).is_null()
        self._left_out(path, rows.filter(missing), id_column, "missing")
        repeated = ~pl.col(id_column).is_first_distinct()
        present = rows.filter(~missing)
        self._left_out(path, present.filter(repeated), id_column, "repeated_id")
        return present.filter(~repeated)

    def _left_out(self, path: Path, rows: pl.DataFrame, column: str, rule: str) -> None:
        self.problems.add(
            path.name, rows.select("row_number", column=pl.lit(column), rule=pl.lit(rule)), LEFT_OUT
        )

    def _count(self, reason: str, rows: pl.DataFrame) -> None:
        if rows.height:
            self.dropped[reason] += rows.height


_ENCOUNTER_NAMES = (
    {
        "encounter_id": "EnrollmentID", "client_id": "PersonalID", "started_at": "EntryDate",
        "ended_at": "ExitDate", "disabling_condition": "DisablingCondition",
    },
    {"encounter_id": "ServicesID", "client_id": "PersonalID", "started_at": "DateProvided"},
    {"encounter_id": "CurrentLivingSitID", "client_id": "PersonalID", "started_at": "InformationDate"},
)  # fmt: skip
"""HUD's names of the template's columns, of stays, bed nights and contacts."""


@dataclass(frozen=True, kw_only=True)
class _Dated:
    """A file of dated events of which one kind, in one type of project, are encounters."""

    file: str
    id_column: str
    date_column: str
    filter_columns: tuple[str, ...]
    project_type: str
    kind: str
    is_night: bool
    prefix: str
    elsewhere: str


_ENROLLMENT = "enrollment-"
"""Ids are unique within a HUD file only, so an encounter's says which file it is of."""

_BED_NIGHTS = _Dated(
    file="Services",
    id_column="ServicesID",
    date_column="DateProvided",
    filter_columns=("RecordType",),
    project_type=NIGHT_BY_NIGHT,
    kind="bed_night",
    is_night=True,
    prefix="service-",
    elsewhere="bed nights of projects that are not night-by-night shelters",
)

_CONTACTS = _Dated(
    file="CurrentLivingSituation",
    id_column="CurrentLivingSitID",
    date_column="InformationDate",
    filter_columns=(),
    project_type=STREET_OUTREACH,
    kind="outreach_contact",
    is_night=False,
    prefix="contact-",
    elsewhere="rows of projects that are not street outreach",
)


def _as_template(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        client_id=pl.col("PersonalID"),
        project_type=pl.col("ProjectType").replace_strict(PROJECT_TYPES),
    ).select(*raw_encounter_columns(declared_sources()["shelter"]), "row_number")


def _ids(rows: pl.DataFrame, column: str) -> tuple[str, ...]:
    return tuple(rows.get_column(column).drop_nulls().unique(maintain_order=True))
