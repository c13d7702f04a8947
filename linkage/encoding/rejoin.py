"""Back home: an agency turns the pseudonymous ids of a return file into its own client ids.

Only the holder of the agency key can do this, and only for clients whose ids it has: nothing is decrypted,
the agency's own ids are encoded again and looked up. It works without a network.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.encoding.extract import open_raw_file
from linkage.encoding.formats import native_format, refuse_mapping_of_template
from linkage.encoding.keys import Key
from linkage.encoding.tokens import token_series, tokens_of
from linkage.errors import UsageError
from linkage.source import Source


def client_id_of(raw_client_id: str, agency_key: Key) -> str:
    """The delivered client_id (32 hex digits) of one of the agency's own client ids."""
    return str(tokens_of([raw_client_id.strip()], agency_key.derive("client-id"))[0])


def client_ids_of(raw_client_ids: pl.Series, agency_key: Key) -> pl.Series:
    """The delivered client_ids of a column of the agency's own client ids; null and blank give null."""
    return token_series(raw_client_ids.str.strip_chars().replace("", None), agency_key.derive("client-id"))


@dataclass(frozen=True, kw_only=True)
class Rejoined:
    """A return file with the agency's own client ids in `client_id`, and how many rows found none.

    Rows that found none keep their place with a null client_id.
    """

    rows: pl.DataFrame
    unmatched: int


def rejoin(
    return_file: Path,
    people_folder: Path,
    agency_key: Key,
    *,
    source: Source,
    extract_format: str = "template",
    mapping: Path | None = None,
) -> Rejoined:
    """Replace the pseudonymous `client_id` of a return file (CSV or Parquet) by the agency's own.

    `people_folder` holds what the deliveries of `source` were made from: a raw people file or the export of a
    native format (with its `mapping` file, where it has one), or one of them per month. Raises UsageError when
    a file is not as described, or when no row at all finds its client: then the key or the folder is another
    one's.
    """
    if agency_key.kind != "agency":
        raise UsageError("Rejoining needs the agency key, not the project key; name the other file.")
    rows = _read_return_file(return_file)
    own = _distinct(_own_client_ids(people_folder, source, extract_format, mapping))
    table = pl.DataFrame({"client_id": client_ids_of(own, agency_key), "own_client_id": own})
    joined = rows.join(table, on="client_id", how="left", maintain_order="left")
    unmatched = joined.get_column("own_client_id").null_count()
    if rows.height and unmatched == rows.height:
        raise UsageError(
            f"{return_file}: none of its {rows.height} rows is a client of {people_folder} under this "
            "agency key; name the key and the people that the delivery was made with."
        )
    return Rejoined(
        rows=joined.with_columns(client_id=pl.col("own_client_id")).drop("own_client_id"), unmatched=unmatched
    )


def _read_return_file(path: Path) -> pl.DataFrame:
    try:
        rows = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        raise UsageError(f"{path} cannot be read; it must be a return file as the county sent it.") from None
    if rows.schema.get("client_id") != pl.String:
        raise UsageError(
            f"{path} has no column client_id of text; it must be a return file as the county sent it."
        )
    return rows


def _own_client_ids(
    folder: Path, source: Source, extract_format: str, mapping: Path | None
) -> Iterator[pl.Series]:
    """The raw client ids of every extract in `folder`, some thousands at a time."""
    if extract_format == "template":
        refuse_mapping_of_template(mapping)
        for each in _template_folders(folder):
            for batch in open_raw_file(each, "people", ("client_id",)).batches():
                yield batch.get_column("client_id")
    else:
        native = native_format(extract_format, source)
        for each in _exports(folder):
            yield from native.client_ids(each, mapping=mapping)


def _template_folders(folder: Path) -> list[Path]:
    """A raw folder, or every raw folder directly inside `folder`."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    folders = [each for each in (folder, *inner) if any(each.glob("people.*"))]
    if not folders:
        raise UsageError(
            f"{folder} has no raw people file, nor has a folder directly inside it; name the raw folder, or "
            "the --format of the export that is there."
        )
    return folders


def _exports(place: Path) -> list[Path]:
    """An export, or every export in a folder that has nothing but folders and archives in it."""
    if not place.is_dir():
        return [place]
    inside = sorted(path for path in place.iterdir() if not path.name.startswith("."))
    is_shelf = all(path.is_dir() or path.suffix.lower() == ".zip" for path in inside)
    return inside if inside and is_shelf else [place]


def _distinct(ids: Iterator[pl.Series]) -> pl.Series:
    stripped = [each.str.strip_chars().replace("", None).drop_nulls().unique().alias("") for each in ids]
    return pl.concat([pl.Series("", [], dtype=pl.String), *stripped]).unique(maintain_order=True)
