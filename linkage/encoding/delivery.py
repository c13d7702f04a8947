"""From a raw extract to a delivery in the landing zone: the whole of what an agency runs each month.

Rows are read, encoded and written in batches. A delivery is sorted by its pseudonymous ids, for the order
of an extract tells of its contents (many are sorted by name). It is built in a hidden folder beside its
place and renamed into it when it is whole; the folder is its owner's alone.
"""

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from hashlib import file_digest
from itertools import chain
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from linkage.encoding.code_lists import CodeLists, load_code_lists
from linkage.encoding.columns import (
    CONTRACT_VERSION,
    ENCODING_VERSION,
    ENCOUNTERS_FILE,
    MANIFEST_FILE,
    PEOPLE_FILE,
    RAW_PEOPLE_COLUMNS,
    RETRACTED_FILE,
    PolarsType,
    delivered_encounter_columns,
    raw_encounter_columns,
)
from linkage.encoding.encounters import encode_encounters
from linkage.encoding.extract import BATCH_ROWS, open_raw_file
from linkage.encoding.formats import (
    RawTable,
    TemplateExtract,
    native_format,
    refuse_mapping_of_template,
)
from linkage.encoding.high_profile import HighProfileEncoder
from linkage.encoding.keys import Key
from linkage.encoding.manifest import Manifest
from linkage.encoding.months import is_month, month_window
from linkage.encoding.normalise import PeopleNormaliser
from linkage.encoding.people import NameEncoder, encode_people
from linkage.encoding.profiles import HIGH, STANDARD, Profile
from linkage.encoding.receipt import LEFT_EMPTY, LEFT_OUT, EncodingReceipt, RowProblems
from linkage.encoding.retracted import Retractions, pseudonymous, read_own_retractions, write_retracted
from linkage.errors import UsageError
from linkage.progress import track
from linkage.source import Source

_ENCOUNTERS_ORDER = ("encounter_id", "client_id", "kind", "started_at", "ended_at")


@dataclass
class _Tally:
    """What was counted and listed while the batches went by."""

    read: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    nulled: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: RowProblems = field(default_factory=RowProblems)

    def list_problems(self, table: RawTable, problems: pl.DataFrame, outcome: str) -> None:
        """List problems given as row_number, column, rule, under the names that the table's file has."""
        named = problems.with_columns(pl.col("column").replace(table.native_columns))
        self.problems.add(table.path.name, named, outcome)


def encode_extract(
    source: Source,
    raw_folder: Path,
    month: str,
    project_key: Key,
    agency_key: Key,
    landing: Path,
    *,
    profile: Profile = STANDARD,
    extract_format: str = "template",
    mapping: Path | None = None,
    code_lists: CodeLists | None = None,
    part2_program: bool = False,
    covers_from: date | None = None,
    covers_to: date | None = None,
    created_at: datetime | None = None,
    retracted_file: Path | None = None,
    batch_rows: int = BATCH_ROWS,
) -> EncodingReceipt:
    """Encode the raw extract in `raw_folder` and put it at `landing/<source>/<month>/`, replacing what was
    there.

    `profile` says which people columns leave. `extract_format` is `template` or the name of a native
    format, and `mapping` that format's mapping file, if it has one. `retracted_file` lists what the agency takes
    back, in its own ids (retracted.py), beside what a native format marks as deleted. The extract covers `covers_from`
    to `covers_to` (half open), without them the month. `part2_program` says that the agency is a program under
    42 CFR Part 2. Raises UsageError when the month, the keys, a
    file or a column is not as documented, or the landing zone cannot be written; then nothing has changed.
    """
    if not is_month(month):
        raise UsageError("The month must be written YYYY-MM, such as 2024-03.")
    if (project_key.kind, agency_key.kind) != ("project", "agency"):
        raise UsageError(
            "Encoding needs the project key and the agency key, in their places; name the right files."
        )
    first_day, next_first_day = month_window(month)
    covers_from, covers_to = covers_from or first_day, covers_to or next_first_day
    if not (covers_from < covers_to and first_day < covers_to <= next_first_day):
        raise UsageError(
            "The window that the extract covers must begin before it ends and end in its month or on the "
            "day after."
        )
    extract = _open_extract(source, raw_folder, extract_format, mapping, covers_from, covers_to)
    taken_back = read_own_retractions(retracted_file) if retracted_file else Retractions()
    lists = code_lists or load_code_lists()
    tally = _Tally(problems=extract.problems)
    encode = _people_encoder(profile, project_key, agency_key)
    encoded_people = _people_batches(extract.people, tally, encode, covers_to, batch_rows)
    encoded_encounters = _encounter_batches(
        extract.encounters, tally, source, lists, agency_key, part2_program, batch_rows
    )
    place = landing / source.name / month
    draft = _empty_draft(place)
    try:
        rows = {
            "people": _write_sorted(
                encoded_people, profile.people_columns, profile.people_order, draft / PEOPLE_FILE
            ),
            "encounters": _write_sorted(
                encoded_encounters,
                delivered_encounter_columns(source),
                _ENCOUNTERS_ORDER,
                draft / ENCOUNTERS_FILE,
            ),
        }
        retracted = pseudonymous(
            Retractions(
                client_ids=taken_back.client_ids + extract.retractions.client_ids,
                encounter_ids=taken_back.encounter_ids + extract.retractions.encounter_ids,
            ),
            agency_key,
        )
        files = [PEOPLE_FILE, ENCOUNTERS_FILE]
        if retracted:
            files.append(RETRACTED_FILE)
            with _writing(place):
                write_retracted(draft / RETRACTED_FILE, retracted)
        manifest = Manifest(
            contract_version=CONTRACT_VERSION,
            encoding={"version": ENCODING_VERSION, "profile": profile.name},
            source=source.name,
            month=month,
            covers_from=covers_from,
            covers_to=covers_to,
            rows=rows,
            left_out={name: tally.left_out[name] for name in rows},
            sha256={name: _sha256_of(draft / name) for name in files},
            key_check=project_key.key_check,
            code_lists=lists.as_manifest(),
            part2_program=part2_program,
            nulled=_by_column(tally.nulled),
            dropped=_columns_that_stay(source),
            created_at=(created_at or datetime.now(UTC)).astimezone(UTC).isoformat(timespec="seconds"),
        )
        with _writing(place):
            (draft / MANIFEST_FILE).write_text(manifest.as_json(), encoding="utf-8")
            _put_in_place(draft, place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return EncodingReceipt(
        folder=place,
        manifest=manifest,
        source=source,
        rows_read={name: tally.read[name] for name in rows},
        other_columns={
            "people": sum(table.other_columns for table in extract.people),
            "encounters": sum(table.other_columns for table in extract.encounters),
        },
        project_key_fingerprint=project_key.fingerprint,
        problem_counts=dict(sorted(tally.problems.counts.items())),
        problems=tuple(tally.problems.listed),
        dropped_on_purpose=dict(sorted(extract.dropped.items())),
        retracted=retracted,
    )


def _open_extract(
    source: Source,
    raw_folder: Path,
    extract_format: str,
    mapping: Path | None,
    covers_from: date,
    covers_to: date,
) -> TemplateExtract:
    if extract_format == "template":
        refuse_mapping_of_template(mapping)
        return TemplateExtract(
            people=(open_raw_file(raw_folder, "people", RAW_PEOPLE_COLUMNS),),
            encounters=(open_raw_file(raw_folder, "encounters", raw_encounter_columns(source)),),
        )
    native = native_format(extract_format, source)
    return native.read(raw_folder, covers_from=covers_from, covers_to=covers_to, mapping=mapping)


def _batches(tables: tuple[RawTable, ...], batch_rows: int) -> Iterator[tuple[RawTable, pl.DataFrame]]:
    for table in tables:
        for batch in table.batches(batch_rows):
            yield table, batch


def _people_encoder(
    profile: Profile, project_key: Key, agency_key: Key
) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """What makes the profile's people columns of rows in normal form, row for row."""
    if profile is HIGH:
        return HighProfileEncoder(project_key=project_key, agency_key=agency_key).encode
    return partial(
        encode_people, names=NameEncoder(project_key), project_key=project_key, agency_key=agency_key
    )


def _people_batches(
    people: tuple[RawTable, ...],
    tally: _Tally,
    encode: Callable[[pl.DataFrame], pl.DataFrame],
    covers_to: date,
    batch_rows: int,
) -> Iterator[pl.DataFrame]:
    normaliser = PeopleNormaliser(covers_to)
    for table, raw in track(_batches(people, batch_rows), "encoding people, batches"):
        tally.read["people"] += raw.height
        stripped = raw.with_columns(pl.col(RAW_PEOPLE_COLUMNS).str.strip_chars().replace("", None))
        has_client = pl.col("client_id").is_not_null()
        left_out = stripped.filter(~has_client).select(
            "row_number", column=pl.lit("client_id"), rule=pl.lit("missing")
        )
        tally.left_out["people"] += left_out.height
        tally.list_problems(table, left_out, LEFT_OUT)
        normalised = normaliser.normalise(stripped.filter(has_client))
        for column, kind, rows in normalised.nulled.iter_rows():
            tally.nulled[column, kind] += rows
        tally.list_problems(table, normalised.problems, LEFT_EMPTY)
        yield encode(normalised.rows)


def _encounter_batches(
    encounters: tuple[RawTable, ...],
    tally: _Tally,
    source: Source,
    lists: CodeLists,
    agency_key: Key,
    part2_program: bool,
    batch_rows: int,
) -> Iterator[pl.DataFrame]:
    for table, raw in track(_batches(encounters, batch_rows), "encoding encounters, batches"):
        tally.read["encounters"] += raw.height
        encoded = encode_encounters(
            raw, source=source, code_lists=lists, agency_key=agency_key, part2_program=part2_program
        )
        tally.left_out["encounters"] += encoded.left_out.height
        tally.list_problems(table, encoded.left_out, LEFT_OUT)
        tally.list_problems(table, encoded.problems, LEFT_EMPTY)
        yield encoded.rows


def _by_column(nulled: Counter[tuple[str, str]]) -> dict[str, dict[str, int]]:
    by_column: dict[str, dict[str, int]] = {}
    for (column, kind), rows in sorted(nulled.items()):
        by_column.setdefault(column, {})[kind] = rows
    return by_column


def _columns_that_stay(source: Source) -> tuple[str, ...]:
    """Raw columns of the template that leave in no readable form."""
    return (
        "first_name", "middle_name", "last_name", "name_suffix", "birth_date", "ssn", "zip",
        *(column.name for column in source.columns if not column.is_delivered),
    )  # fmt: skip


@contextmanager
def _writing(place: Path) -> Iterator[None]:
    """Turn a full disk or a forbidden folder into a sentence."""
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise UsageError(
            f"{place} cannot be written{reason}; the delivery that was there before, if any, is as it was."
        ) from None


def _write_sorted(
    batches: Iterator[pl.DataFrame], schema: Mapping[str, PolarsType], order: tuple[str, ...], target: Path
) -> int:
    """Write the batches, sorted by `order` (whose first column is pseudonymous ids); return how many rows.

    One batch is sorted in memory. More are spread over sixteen shares by the first digit of the id, each of
    which is sorted in memory: memory is bounded by the larger of a batch and a sixteenth of the delivery.
    """
    first = next(batches, pl.DataFrame(schema=schema))
    second = next(batches, None)
    if second is None:
        write_delivered(first.sort(order, maintain_order=True).lazy(), target)
        return first.height
    scratch = target.with_suffix(".parts")
    with _writing(scratch):
        scratch.mkdir(mode=0o700)
    rows = 0
    for number, batch in enumerate(chain((first, second), batches)):
        _spread(batch, order[0], scratch, number)
        rows += batch.height
    # unstable in polars, and its one way of writing a file piece by piece; the lock file pins the version
    write_delivered(register_io_source(partial(_sorted_shares, scratch, order), schema=schema), target)
    shutil.rmtree(scratch)
    return rows


def _spread(batch: pl.DataFrame, column: str, scratch: Path, number: int) -> None:
    """Write a batch as up to sixteen pieces by the first digit of the ids in `column`."""
    for (digit,), piece in batch.group_by(pl.col(column).str.slice(0, 1), maintain_order=True):
        with _writing(scratch):
            piece.write_ipc(scratch / f"{digit}-{number:06}.arrow", compression="uncompressed")


def _sorted_shares(scratch: Path, order: tuple[str, ...], *_: object) -> Iterator[pl.DataFrame]:
    """The pieces, digit by digit, each digit's sorted by `order`; nothing is selected from them."""
    for digit in "0123456789abcdef":
        pieces = sorted(scratch.glob(f"{digit}-*"))
        if pieces:
            yield pl.scan_ipc(pieces).collect().sort(order, maintain_order=True)


_ROWS_PER_GROUP = 131_072


def write_delivered(rows: pl.LazyFrame, target: Path) -> None:
    """Write one Parquet file: the ranges of tokens tell nothing, so none are written."""
    with _writing(target.parent):
        rows.sink_parquet(
            target,
            compression="zstd",
            compression_level=1,
            statistics=False,
            row_group_size=_ROWS_PER_GROUP,
        )


def _sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _empty_draft(place: Path) -> Path:
    """The hidden folder beside `place` in which it is built, empty and private; one left by a killed run is
    cleared."""
    draft = place.with_name(f".{place.name}.draft")
    with _writing(place):
        for folder in (place.parent.parent, place.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
    return draft


def _put_in_place(draft: Path, place: Path) -> None:
    """Rename the finished draft to `place`; a delivery that was there stands until the moment of the
    renaming."""
    for file in draft.iterdir():
        file.chmod(0o600)
    replaced = place.with_name(f".{place.name}.replaced")
    shutil.rmtree(replaced, ignore_errors=True)
    if place.exists():
        place.replace(replaced)
    try:
        draft.replace(place)
    except OSError:
        if replaced.exists():
            replaced.replace(place)
        raise
    shutil.rmtree(replaced, ignore_errors=True)
    _flush_folder(place.parent)


def _flush_folder(folder: Path) -> None:
    """Have the renaming survive a loss of power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
