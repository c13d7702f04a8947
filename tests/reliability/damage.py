"""Ways in which a delivery goes wrong between an agency and the county, each as a function of a seeded generator.

A change is made to the folder of a good delivery. Most changes sign the manifest again afterwards, as a faulty or
hostile encoder would; without that the checksum refuses everything that follows it.
"""

import json
from hashlib import sha256

import polars as pl

PLANTED = ("Quackenbush", "Zebulon", "219-09-9999", "219099999", "zebulon quackenbush")
FILES = ("people.parquet", "encounters.parquet")


def sign_again(folder, *, rows=True):
    """Make the manifest fit the files, as far as they can be read."""
    manifest = read_manifest(folder)
    for name in FILES:
        path = folder / name
        if path.is_file():
            manifest["sha256"][name] = sha256(path.read_bytes()).hexdigest()
            if rows:
                try:
                    manifest["rows"][path.stem] = pl.read_parquet(path, use_statistics=False).height
                except BaseException as error:  # a panic of polars is no Exception
                    if isinstance(error, KeyboardInterrupt):
                        raise
    write_manifest(folder, manifest)


def read_manifest(folder):
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def write_manifest(folder, manifest):
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")


def rewritten(change):
    """A change of one file's rows, made by `change(rng, rows)`; the manifest fits afterwards."""

    def mutate(rng, folder):
        path = folder / rng.choice(FILES)
        change(rng, pl.read_parquet(path)).write_parquet(path)
        sign_again(folder)

    return mutate


def some_column(rng, rows, *kinds):
    return rng.choice([name for name, kind in rows.schema.items() if not kinds or kind.base_type() in kinds])


def dropped_column(rng, rows):
    return rows.drop(some_column(rng, rows))


def renamed_column(rng, rows):
    column = some_column(rng, rows)
    return rows.rename({column: rng.choice([column.upper(), "ssn", PLANTED[0], "", f" {column}", "é" * 300])})


def reordered_columns(rng, rows):
    return rows.select(rng.sample(rows.columns, rows.width))


def extra_column(rng, rows):
    name = rng.choice(["ssn", "last_name", "note", PLANTED[2]])
    return rows.with_columns(pl.lit(rng.choice(PLANTED)).alias(name))


def other_type(rng, rows):
    column = some_column(rng, rows)
    kind = rng.choice(
        [pl.String, pl.Int64, pl.Float64, pl.Binary, pl.Boolean, pl.Date, pl.Categorical, pl.List(pl.String)]
    )
    return rows.with_columns(pl.Series(column, [None] * rows.height, dtype=kind))


def other_time(rng, rows):
    kinds = {"ns": pl.Datetime("ns"), "ms": pl.Datetime("ms"), "zone": pl.Datetime("us", "UTC")}
    kind = kinds[rng.choice(sorted(kinds))]
    return rows.with_columns(pl.col(pl.Datetime).cast(kind))


def repeated_rows(rng, rows):
    return pl.concat([rows, rows.sample(rng.randint(1, rows.height), seed=rng.randint(0, 10**6))])


def missing_rows(rng, rows):
    return rows.head(rng.randint(0, rows.height - 1))


def no_rows(rng, rows):
    return rows.clear()


def nulls(rng, rows):
    column = some_column(rng, rows)
    keep = pl.Series([rng.random() < 0.5 for _ in range(rows.height)])
    return rows.with_columns(pl.when(keep).then(pl.col(column)).alias(column))


def nulls_everywhere(rng, rows):
    return rows.select(pl.lit(None, dtype=kind).alias(name) for name, kind in rows.schema.items())


def text_in(rng, rows):
    """A value in a column of text: names, numbers, huge and odd texts."""
    column = some_column(rng, rows, pl.String)
    text = rng.choice(
        [
            *PLANTED,
            f"{PLANTED[0]}, {PLANTED[1]}",
            "x" * 1_000_000,
            "0" * 32,
            "ABCDEF" * 6,
            sha256(PLANTED[0].lower().encode()).hexdigest(),
            "",
            " ",
            "\x00",
            "'; drop table delivery; --",
            "é" * 32,
            "\u202e",
            "\n",
        ]
    )
    row = rng.randrange(rows.height)
    return rows.with_columns(
        pl.when(pl.int_range(pl.len()) == row).then(pl.lit(text)).otherwise(pl.col(column)).alias(column)
    )


def text_in_list(rng, rows):
    if "last_name_part_tokens" not in rows.columns:
        return text_in(rng, rows)
    lists = [[rng.choice(PLANTED)], [], [""], [None], ["f" * 32] * 1000]
    values = [rng.choice(lists) for _ in range(rows.height)]
    return rows.with_columns(pl.Series("last_name_part_tokens", values, dtype=pl.List(pl.String)))


def other_bytes(rng, rows):
    if "first_name_bits" not in rows.columns:
        return far_times(rng, rows)
    values = [
        rng.choice([b"", PLANTED[0].encode(), b"\xff" * 64, b"\x00" * 100_000]) for _ in range(rows.height)
    ]
    return rows.with_columns(pl.Series("first_name_bits", values, dtype=pl.Binary))


def far_times(rng, rows):
    """Times before and after everything that a calendar, polars or DuckDB knows."""
    if "started_at" not in rows.columns:
        year = rng.choice([-32768, 0, 1, 9999, 32767])
        return rows.with_columns(birth_year=pl.lit(year, dtype=pl.Int16))
    column = rng.choice(["started_at", "ended_at"])
    moment = rng.choice(
        [
            -(2**63) + 1,
            2**63 - 1,
            2**63 - 2,
            -(10**18),
            10**18,
            0,
            -62_135_596_800_000_000,
            253_402_300_800_000_000,
        ]
    )
    values = pl.Series([moment] * rows.height, dtype=pl.Int64).cast(pl.Datetime("us"))
    return rows.with_columns(values.alias(column))


def truncated(rng, folder):
    path = folder / rng.choice(FILES)
    whole = path.read_bytes()
    path.write_bytes(whole[: rng.randrange(len(whole))])
    if rng.random() < 0.7:
        sign_again(folder, rows=False)


def flipped_bytes(rng, folder):
    path = folder / rng.choice(FILES)
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 1, 4, 64])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    if rng.random() < 0.9:
        sign_again(folder, rows=False)


def swapped_files(rng, folder):
    people, encounters = (folder / name for name in FILES)
    content = people.read_bytes()
    people.write_bytes(encounters.read_bytes())
    encounters.write_bytes(content)
    sign_again(folder)


def another_format(rng, folder):
    path = folder / rng.choice(FILES)
    rows = pl.read_parquet(path)
    how = rng.choice(["csv", "utf-16", "ipc", "json", "uncompressed", "gzip"])
    if how == "csv":
        path.write_bytes(f"ssn,last_name\n{PLANTED[2]},{PLANTED[0]}\n".encode("latin-1"))
    elif how == "utf-16":
        path.write_bytes(f"{PLANTED[0]},{PLANTED[1]}\n".encode("utf-16"))
    elif how == "ipc":
        rows.write_ipc(path)
    elif how == "json":
        path.write_text(json.dumps({"last_name": PLANTED[0]}), encoding="utf-8")
    else:
        rows.write_parquet(path, compression=how)
    sign_again(folder, rows=False)


def file_gone(rng, folder):
    (folder / rng.choice([*FILES, "manifest.json"])).unlink()


def file_empty(rng, folder):
    (folder / rng.choice([*FILES, "manifest.json"])).write_bytes(b"")
    if (folder / "manifest.json").stat().st_size:
        sign_again(folder, rows=False)


def folder_for_file(rng, folder):
    path = folder / rng.choice([*FILES, "manifest.json"])
    path.unlink()
    path.mkdir()


def file_too_many(rng, folder):
    (folder / rng.choice(["people.csv", f"{PLANTED[0]}.txt", "encounters (1).parquet"])).write_text(
        PLANTED[2]
    )


def manifest_entry(rng, folder):
    manifest = read_manifest(folder)
    entry = rng.choice(sorted(manifest))
    if rng.random() < 0.3:
        del manifest[entry]
    else:
        manifest[entry] = rng.choice(
            [
                None,
                PLANTED[0],
                PLANTED[2],
                -1,
                10**40,
                1.5,
                True,
                [],
                {},
                [PLANTED[0]],
                {PLANTED[0]: PLANTED[2]},
                "9" * 70,
            ]
        )
    write_manifest(folder, manifest)


def manifest_inside(rng, folder):
    """Something inside an entry: a name where a word of ours must stand, a wrong window, wrong counts."""
    manifest = read_manifest(folder)
    words = rng.choice([*PLANTED, "2031-02", "0001-01-01", "9999-12-31", "2024-13", "9999-12"])
    place = rng.choice(
        [
            "code_lists",
            "version",
            "no version",
            "nulled",
            "dropped",
            "covers",
            "month",
            "rows",
            "key",
            "profile",
            "created",
        ]
    )
    if place == "code_lists":
        manifest["code_lists"][rng.choice(sorted(manifest["code_lists"]))] = words
    elif place == "version":
        manifest["code_lists"]["version"] = words
    elif place == "no version":
        manifest["code_lists"].pop(rng.choice(["version", *sorted(manifest["code_lists"])]))
    elif place == "nulled":
        manifest["nulled"][words] = {words: 1}
    elif place == "dropped":
        manifest["dropped"].append(words)
    elif place == "covers":
        manifest[rng.choice(["covers_from", "covers_to"])] = rng.choice(
            ["0001-01-01", "9999-12-31", "2024-02-30", "2024-01-15", words]
        )
    elif place == "month":
        manifest["month"] = words
    elif place == "rows":
        manifest["rows"][rng.choice(["people", "encounters"])] = rng.choice([0, 10**30, 7])
    elif place == "key":
        manifest["key_check"] = "ab" * 32
    elif place == "profile":
        manifest["encoding"]["profile"] = rng.choice(["high", words])
    else:
        manifest["created_at"] = words
    write_manifest(folder, manifest)


def manifest_text(rng, folder):
    path = folder / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_bytes(
        rng.choice(
            [
                text.encode("utf-16"),
                text.encode("utf-8-sig"),
                b"\xff\xfe" + text.encode(),
                text[: rng.randrange(len(text))].encode(),
                b"[" * 100_000,
                f'"{PLANTED[0]}"'.encode(),
                text.replace("2", "\u0662").encode(),
                f"{{{PLANTED[0]}: {PLANTED[2]}}}".encode("latin-1"),
                text.replace("false", "NaN").encode(),
            ]
        )
    )


def other_month(rng, folder):
    target = folder.with_name(rng.choice(["2031-02", "1999-12", "2024-13", "2024-1", "march"]))
    folder.rename(target)
    if rng.random() < 0.5:
        manifest = read_manifest(target)
        manifest["month"] = target.name
        write_manifest(target, manifest)


def nothing(rng, folder):
    """The delivery as it was; it must be accepted."""


CHANGES = {
    **{
        change.__name__: rewritten(change)
        for change in (
            dropped_column, renamed_column, reordered_columns, extra_column, other_type, other_time, repeated_rows,
            missing_rows, no_rows, nulls, nulls_everywhere, text_in, text_in_list, other_bytes, far_times,
        )
    },
    **{
        change.__name__: change
        for change in (
            truncated, flipped_bytes, swapped_files, another_format, file_gone, file_empty, folder_for_file,
            file_too_many, manifest_entry, manifest_inside, manifest_text, other_month, nothing,
        )
    },
}  # fmt: skip
"""Every way, by name."""
