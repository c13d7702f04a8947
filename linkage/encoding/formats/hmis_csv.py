"""HUD HMIS CSV, FY2024 and FY2026: shelter stays, bed nights and street outreach contacts.

Read: the columns named here of Export, Project, Client, Enrollment, Exit, Services, CurrentLivingSituation and
Disabilities, and nothing else; HealthAndDV is never opened and rows on HIV/AIDS (DisabilityType 8) are passed
over. docs/formats/hmis-csv.md has every code and its source.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.formats import (
    NativeFormat,
    Retractions,
    TemplateExtract,
    TemplateTable,
    within_window,
)
from linkage.encoding.receipt import LEFT_OUT, RowProblems
from linkage.encoding.text_tables import ExportFiles, TextTable
from linkage.errors import UsageError
from linkage.source import declared_sources

_NIGHT_BY_NIGHT, _STREET_OUTREACH = "1", "4"
_PROJECT_TYPES = {
    "0": "es_entry_exit",
    "1": "es_night_by_night",
    "2": "transitional",
    "3": "permanent_supportive",
    "4": "street_outreach",
    "6": "services_only",
    "7": "other",
    "8": "safe_haven",
    "9": "other",
    "10": "other",
    "11": "services_only",
    "12": "services_only",
    "13": "rapid_rehousing",
    "14": "services_only",
}
_HOUSING = ("3", "9", "10", "13")
"""Permanent housing: the person lives there from MoveInDate on, which may be long after the enrollment."""

_STAYS = ("0", "2", "8", *_HOUSING)
_BED_NIGHT = "200"

_DESTINATIONS = {
    "204": "psychiatric_hospital",
    "205": "treatment",
    "206": "hospital",
    "207": "jail",
    "24": "deceased",
    **dict.fromkeys(("8", "9", "17", "30", "37", "99"), "unknown"),
}
_DESTINATION_GROUPS = {"1": "homeless", "2": "institutional", "3": "temporary", "4": "permanent"}
"""Three-digit living situations by their first digit."""

_RACES = {
    "AmIndAKNative": "american_indian_alaska_native",
    "Asian": "asian",
    "BlackAfAmerican": "black_african_american",
    "HispanicLatinao": "hispanic_latino",
    "MidEastNAfrican": "middle_eastern_north_african",
    "NativeHIPacific": "native_hawaiian_pacific_islander",
    "White": "white",
}
_GENDERS_BEYOND_TWO = ("NonBinary", "CulturallySpecific", "DifferentIdentity")

_YES_TO_DISABILITY = {
    **dict.fromkeys(("5", "6", "7", "9"), ("1",)),
    "10": ("1", "2", "3"),
}
"""Responses that mean yes, by DisabilityType: physical, developmental, chronic, mental health; substance use.
HIV/AIDS (8) is not among them: its rows are passed over, and not even counted."""

_CLIENT_COLUMNS = (
    "PersonalID", "FirstName", "MiddleName", "LastName", "NameSuffix", "NameDataQuality", "SSN", "SSNDataQuality",
    "DOB", "DOBDataQuality", *_RACES,
)  # fmt: skip


def _sex_2024() -> pl.Expr:
    """M, F or X from FY2024's gender columns, which FY2026 replaced; U when they do not say."""
    woman, man = pl.col("Woman") == "1", pl.col("Man") == "1"
    beyond = pl.any_horizontal(
        (pl.col(column) == "1").fill_null(value=False) for column in _GENDERS_BEYOND_TWO
    )
    woman, man = woman.fill_null(value=False), man.fill_null(value=False)
    return (
        pl.when(beyond | (woman & man))
        .then(pl.lit("X"))
        .when(woman)
        .then(pl.lit("F"))
        .when(man)
        .then(pl.lit("M"))
        .otherwise(pl.lit("U"))
    )


def _sex_2026() -> pl.Expr:
    """M or F from FY2026's Sex; U for everything else."""
    return (
        pl.when(pl.col("Sex") == "0")
        .then(pl.lit("F"))
        .when(pl.col("Sex") == "1")
        .then(pl.lit("M"))
        .otherwise(pl.lit("U"))
    )


@dataclass(frozen=True, kw_only=True)
class _Version:
    """What differs between versions: the columns that tell the sex, and how."""

    sex_columns: tuple[str, ...]
    sex: Callable[[], pl.Expr]


_VERSIONS = {
    "2024": _Version(sex_columns=("Woman", "Man", *_GENDERS_BEYOND_TWO), sex=_sex_2024),
    "2026": _Version(sex_columns=("Sex",), sex=_sex_2026),
}


def _read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    if mapping is not None:
        raise UsageError("HMIS CSV needs no mapping file: its columns are HUD's.")
    files = ExportFiles(place=folder)
    version, export_id = _checked_export(files, covers_from, covers_to)
    return _Reader(files, export_id).read(version, covers_from, covers_to)


def _checked_export(files: ExportFiles, covers_from: date, covers_to: date) -> tuple[_Version, str]:
    """The version and ExportID of an export that can be read and covers the window."""
    export = files.read(
        "Export.csv", ("ExportID", "CSVVersion", "HashStatus", "ExportStartDate", "ExportEndDate")
    )
    if export.rows.height != 1:
        raise UsageError(f"{export.path} must have exactly one row; export again, one export at a time.")
    said = export.rows.row(0, named=True)
    versions = [version for year, version in _VERSIONS.items() if year in (said["CSVVersion"] or "")]
    if len(versions) != 1:
        raise UsageError(
            f"{export.path}, row 1, column CSVVersion: it is neither FY2024 nor FY2026; export HMIS CSV in "
            "one of these versions."
        )
    if said["HashStatus"] != "1":
        raise UsageError(
            f"{export.path}, row 1, column HashStatus: the export is hashed. HUD's hashes have no key, so they can "
            "be looked up (they protect nobody) and cannot be compared with other agencies' records; export "
            "HashStatus 1 (unhashed) on your own machine and encode that, and it will not leave in the clear."
        )
    if said["ExportID"] is None:
        raise UsageError(f"{export.path}, row 1, column ExportID: it is empty; export again.")
    start, end = (_day_of(export, said, column) for column in ("ExportStartDate", "ExportEndDate"))
    if start > covers_from or end.toordinal() + 1 < covers_to.toordinal():
        raise UsageError(
            f"{export.path}: the export does not cover {covers_from} to {covers_to} (not including it); "
            "export a reporting period that does, or name another month or --covers-from."
        )
    return versions[0], said["ExportID"]


def _day_of(export: TextTable, said: dict[str, str | None], column: str) -> date:
    try:
        return date.fromisoformat((said[column] or "")[:10])
    except ValueError:
        raise UsageError(
            f"{export.path}, row 1, column {column}: it is no date written YYYY-MM-DD; export again."
        ) from None


_CLIENT_NAMES = {
    "client_id": "PersonalID", "first_name": "FirstName", "middle_name": "MiddleName", "last_name": "LastName",
    "name_suffix": "NameSuffix", "birth_date": "DOB", "ssn": "SSN",
}  # fmt: skip


def _people(clients: pl.DataFrame, version: _Version, dropped: Counter[str]) -> pl.DataFrame:
    """Template people, with what the data-quality codes allow; counts what they do not."""
    names = ("FirstName", "MiddleName", "LastName", "NameSuffix")
    is_named = pl.col("NameDataQuality").is_in(["1", "2"]).fill_null(value=False)
    is_born, about_born = (pl.col("DOBDataQuality").eq_missing(pl.lit(code)) for code in ("1", "2"))
    is_numbered, partly_numbered = (pl.col("SSNDataQuality").eq_missing(pl.lit(code)) for code in ("1", "2"))
    has_name = pl.any_horizontal(pl.col(column).is_not_null() for column in names)
    counted = {
        "Client: names whose NameDataQuality is not 1 or 2": has_name & ~is_named,
        "Client: birth dates whose DOBDataQuality is not 1 or 2": pl.col("DOB").is_not_null()
        & ~is_born
        & ~about_born,
        "Client: month and day of birth dates whose DOBDataQuality is 2": pl.col("DOB").is_not_null()
        & about_born,
        "Client: SSNs whose SSNDataQuality is not 1 or 2": pl.col("SSN").is_not_null()
        & ~is_numbered
        & ~partly_numbered,
    }
    for reason, count in (
        clients.select(**{why: which.sum() for why, which in counted.items()}).row(0, named=True).items()
    ):
        if count:
            dropped[reason] += count
    ssn = pl.col("SSN").str.to_uppercase().str.replace_all("[^0-9A-Z]", "")
    races = [
        pl.when(pl.col(column) == "1").then(pl.lit(category)).otherwise(None)
        for column, category in _RACES.items()
    ]
    return clients.select(
        pl.col("PersonalID").alias("client_id"),
        *(
            pl.when(is_named).then(pl.col(native)).alias(column)
            for column, native in (
                ("first_name", "FirstName"),
                ("middle_name", "MiddleName"),
                ("last_name", "LastName"),
                ("name_suffix", "NameSuffix"),
            )
        ),
        pl.when(is_born)
        .then(pl.col("DOB").str.slice(0, 10))
        .when(about_born)
        .then(pl.col("DOB").str.slice(0, 4))
        .alias("birth_date"),
        version.sex().alias("sex"),
        pl.concat_str(races, separator=";", ignore_nulls=True).replace("", None).alias("race_ethnicity"),
        pl.when(is_numbered)
        .then(ssn)
        .when(partly_numbered & ssn.str.contains("[0-9]{4}$"))
        .then(pl.lit("XXXXX") + ssn.str.slice(-4))
        .alias("ssn"),
        pl.lit(None, pl.String).alias("zip"),
        "row_number",
    ).select(*RAW_PEOPLE_COLUMNS, "row_number")


class _Reader:
    """Reads the files of one export and keeps what was noticed on the way."""

    def __init__(self, files: ExportFiles, export_id: str) -> None:
        self.files = files
        self.export_id = export_id
        self.problems = RowProblems()
        self.dropped: Counter[str] = Counter()
        deleted = self.table("Client", ("PersonalID",), keep_deleted=True).rows
        self.deleted_clients = _ids(deleted.filter(pl.col("DateDeleted").is_not_null()), "PersonalID")

    def table(self, name: str, columns: tuple[str, ...], *, keep_deleted: bool = False) -> TextTable:
        """`columns` of the rows of a file that are not deleted; every row must be of this export."""
        table = self.files.read(f"{name}.csv", (*columns, "DateDeleted", "ExportID"))
        other = table.rows.filter(pl.col("ExportID").ne_missing(pl.lit(self.export_id)))
        if other.height:
            raise UsageError(
                f"{table.path}, row {other.item(0, 'row_number')}, column ExportID: it is not that of Export.csv, "
                "so the file is damaged or of another export; export all files together."
            )
        rows = table.rows if keep_deleted else table.rows.filter(pl.col("DateDeleted").is_null())
        return TextTable(path=table.path, rows=rows, other_columns=table.other_columns)

    def read(self, version: _Version, covers_from: date, covers_to: date) -> TemplateExtract:
        """Stays, bed nights and outreach contacts that touch the window, and their clients."""
        enrollments, deleted_enrollments = self._enrollments()
        nights, deleted_nights = self._dated(_BED_NIGHTS, enrollments.rows)
        contacts, deleted_contacts = self._dated(_CONTACTS, enrollments.rows)
        stays = TextTable(
            path=enrollments.path,
            rows=self._stays(enrollments.rows, self._exits()),
            other_columns=enrollments.other_columns,
        )
        kept = [
            TextTable(
                path=table.path,
                rows=within_window(table.rows, covers_from, covers_to, known_at_end=("destination",)),
                other_columns=table.other_columns,
            )
            for table in (stays, nights, contacts)
        ]
        seen = pl.concat([table.rows.get_column("client_id") for table in kept]).unique()
        clients = self.table("Client", (*_CLIENT_COLUMNS, *version.sex_columns))
        people = _people(
            clients.rows.filter(clients.rows.get_column("PersonalID").is_in(seen.implode())),
            version,
            self.dropped,
        )
        return TemplateExtract(
            people=(_as_table(clients, people, _CLIENT_NAMES),),
            encounters=tuple(
                _as_table(table, table.rows, names)
                for table, names in zip(kept, _ENCOUNTER_NAMES, strict=True)
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

    def _enrollments(self) -> tuple[TextTable, tuple[str, ...]]:
        """Enrollments with the code of their project's type and what is known of a disabling condition."""
        table = self.table(
            "Enrollment",
            ("EnrollmentID", "PersonalID", "ProjectID", "EntryDate", "MoveInDate", "DisablingCondition"),
            keep_deleted=True,
        )
        deleted = _ids(table.rows.filter(pl.col("DateDeleted").is_not_null()), "EnrollmentID")
        rows = table.rows.filter(pl.col("DateDeleted").is_null())
        gone = pl.col("PersonalID").is_in(list(self.deleted_clients))
        self._count("enrollments of deleted clients", rows.filter(gone.fill_null(value=False)))
        rows = rows.filter(~gone.fill_null(value=False))
        rows = self._once(table.path, rows, "EnrollmentID")
        # a project that closed and was deleted still sheltered people
        projects = self.table("Project", ("ProjectID", "ProjectType"), keep_deleted=True)
        rows = rows.join(
            self._once(projects.path, projects.rows, "ProjectID").select("ProjectID", "ProjectType"),
            on="ProjectID",
            how="left",
            maintain_order="left",
        )
        known = pl.col("ProjectType").is_in(list(_PROJECT_TYPES)).fill_null(value=False)
        self._left_out(table.path, rows.filter(~known), "ProjectID", "unknown_project")
        said = pl.col("DisablingCondition").replace_strict({"1": "true", "0": "false"}, default=None)
        rows = rows.filter(known).join(self._disabled(), on="EnrollmentID", how="left", maintain_order="left")
        rows = rows.with_columns(disabling_condition=pl.coalesce(said, pl.col("disabled")))
        return TextTable(path=table.path, rows=rows, other_columns=table.other_columns), deleted

    def _disabled(self) -> pl.DataFrame:
        """Enrollments of which a disability other than HIV/AIDS is recorded that impairs for long."""
        rows = self.table(
            "Disabilities", ("EnrollmentID", "DisabilityType", "DisabilityResponse", "IndefiniteAndImpairs")
        ).rows
        yes = pl.any_horizontal(
            (pl.col("DisabilityType") == kind) & pl.col("DisabilityResponse").is_in(list(responses))
            for kind, responses in _YES_TO_DISABILITY.items()
        )
        # a developmental disability is disabling by definition (HUD 3.08)
        lasts = (pl.col("IndefiniteAndImpairs") == "1") | (pl.col("DisabilityType") == "6")
        return rows.filter(yes & lasts).select("EnrollmentID", disabled=pl.lit("true")).unique()

    def _exits(self) -> pl.DataFrame:
        table = self.table("Exit", ("EnrollmentID", "ExitDate", "Destination"))
        rows = self._once(table.path, table.rows, "EnrollmentID")
        code = pl.col("Destination")
        group = pl.when(code.str.contains("^[1-4][0-9]{2}$")).then(
            code.str.slice(0, 1).replace_strict(_DESTINATION_GROUPS, default=None)
        )
        # an exit without a date must not pass for a stay that goes on
        return rows.select(
            "EnrollmentID",
            pl.col("ExitDate").fill_null("unreadable"),
            destination=pl.coalesce(
                code.replace_strict(_DESTINATIONS, default=None),
                group,
                # left as it is, an unknown code would be listed by the encoder: here it has no place
                pl.when(code.is_not_null()).then(pl.lit("unknown")),
            ),
        )

    def _stays(self, enrollments: pl.DataFrame, exits: pl.DataFrame) -> pl.DataFrame:
        kind = pl.col("ProjectType")
        self._count(
            "enrollments in night-by-night shelters (their bed nights count)",
            enrollments.filter(kind == _NIGHT_BY_NIGHT),
        )
        self._count(
            "enrollments in street outreach (their contacts count)",
            enrollments.filter(kind == _STREET_OUTREACH),
        )
        self._count(
            "enrollments in services only, day shelter, prevention, coordinated entry and other projects",
            enrollments.filter(~kind.is_in([*_STAYS, _NIGHT_BY_NIGHT, _STREET_OUTREACH])),
        )
        stays = enrollments.filter(kind.is_in(list(_STAYS)))
        is_housing = kind.is_in(list(_HOUSING))
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

    def _dated(self, what: "_Dated", enrollments: pl.DataFrame) -> tuple[TextTable, tuple[str, ...]]:
        """Template rows of one file of dated events, and the encounter ids of the deleted ones."""
        columns = (what.id_column, "EnrollmentID", what.date_column, *what.filter_columns)
        table = self.table(what.file, columns, keep_deleted=True)
        rows = table.rows
        if what.filter_columns:
            is_night = (pl.col("RecordType") == _BED_NIGHT).fill_null(value=False)
            self._count("Services: rows that are no bed nights", rows.filter(~is_night))
            rows = rows.filter(is_night)
        gone = pl.col("DateDeleted").is_not_null()
        deleted = tuple(what.prefix + each for each in _ids(rows.filter(gone), what.id_column))
        joined = self._once(table.path, rows.filter(~gone), what.id_column).join(
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
        day = pl.col(what.date_column).str.slice(0, 10)
        next_day = day.str.to_date("%Y-%m-%d", strict=False).dt.offset_by("1d").dt.strftime("%Y-%m-%d")
        events = joined.filter(pl.col("ProjectType") == what.project_type).with_columns(
            encounter_id=pl.lit(what.prefix) + pl.col(what.id_column),
            kind=pl.lit(what.kind),
            started_at=day,
            ended_at=next_day if what.is_night else day,
            destination=pl.lit(None, pl.String),
        )
        return TextTable(
            path=table.path, rows=_as_template(events), other_columns=table.other_columns
        ), deleted

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
    project_type=_NIGHT_BY_NIGHT,
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
    project_type=_STREET_OUTREACH,
    kind="outreach_contact",
    is_night=False,
    prefix="contact-",
    elsewhere="rows of projects that are not street outreach",
)


def _as_template(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(
        client_id=pl.col("PersonalID"),
        project_type=pl.col("ProjectType").replace_strict(_PROJECT_TYPES),
    ).select(*raw_encounter_columns(declared_sources()["shelter"]), "row_number")


def _as_table(table: TextTable, rows: pl.DataFrame, native_columns: dict[str, str]) -> TemplateTable:
    return TemplateTable(
        path=table.path,
        frames=lambda: iter((rows,)),
        other_columns=table.other_columns,
        native_columns=native_columns,
    )


def _ids(rows: pl.DataFrame, column: str) -> tuple[str, ...]:
    return tuple(rows.get_column(column).drop_nulls().unique(maintain_order=True))


FORMAT = NativeFormat(
    name="hmis-csv",
    source="shelter",
    says="HUD HMIS CSV, FY2024 or FY2026: the folder or the .zip",
    read=_read,
)
