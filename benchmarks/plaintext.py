"""The yardstick: bare Splink 5 on the same people in plain text, as its documentation would have one do it.

python -m benchmarks.plaintext prepare COUNTY PEOPLE.parquet   normal forms and blocking columns
python -m benchmarks.plaintext link PEOPLE.parquet FOLDER      train with capped pairs, predict, cluster

`prepare` is no part of any measured time. Blocking is the encoded model's own: each rule of `linkage.model` over
columns in plain text that are equal exactly where its tokens are; but for handovers, which rest on encounters.
"""

import argparse
import logging
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.blocking_rule_library import CustomRule

from benchmarks.county import AS_OF, raw_folders
from benchmarks.measure import Stopwatch, print_report
from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.extract import open_raw_file
from linkage.encoding.nicknames import root_of
from linkage.encoding.normalise import PeopleNormaliser
from linkage.encoding.people import sounds_of
from linkage.model import HANDOVER, TOKEN_LIST_COLUMNS, blocking_rules
from linkage.source import Source

SEED = 7
MAX_PAIRS = 1_000_000
LEAST_WEIGHT_KEPT = -5.0
"""The threshold of predict in the getting-started example of Splink's documentation."""
CLUSTER_AT = 0.95

_IDENTITY = (
    "first_name",
    "last_name",
    "suffix",
    "middle_name",
    "birth_date",
    "birth_year_month",
    "birth_year",
    "ssn",
    "ssn4",
    "sex",
    "zip3",
)


def prepare(county: Path, out: Path) -> None:
    """Write one row per source, client and identity: what the encoder makes tokens of, left in plain text.

    record_number and client_number INTEGER number rows and clients; the other columns are named like the columns of
    `compared_record` (`linkage.blocking`), without `_token`.
    """
    prepare_people(raw_folders(county), out)


def prepare_people(folders: Mapping[Source, Path], out: Path, *, covers_to: date = AS_OF) -> None:
    """`prepare` for raw extracts of the template anywhere, up to and not including the day `covers_to`."""
    frames = []
    for source, folder in folders.items():
        normaliser = PeopleNormaliser(covers_to=covers_to)
        for batch in open_raw_file(folder, "people", RAW_PEOPLE_COLUMNS).batches():
            rows = normaliser.normalise(batch).rows
            frames.append(rows.with_columns(pl.lit(source.name).alias("source")))
    people = pl.concat(frames)
    either_way = pl.min_horizontal("birth_date", "birth_date_swapped")
    people = people.with_columns(
        first_name_sounds=_of_each(people["first_name"], sounds_of, pl.List(pl.String)),
        last_name_sounds=_of_each(people["last_name"], sounds_of, pl.List(pl.String)),
        sex=pl.col("sex").replace("U", None),
        zip3=pl.col("zip3").replace("000", None),
        **{
            column: pl.col(column).str.replace_all(" ", "")
            for column in ("first_name", "last_name", "middle_name")
        },
        birth_date_either_way=pl.when(pl.col("birth_date").is_not_null()).then(either_way),
    )
    people = people.unique(["source", "client_id", *_IDENTITY], maintain_order=True, keep="first")
    first_sounds = [pl.col(column).list.first() for column in ("first_name_sounds", "last_name_sounds")]
    people = people.select(
        "source",
        "client_id",
        *_IDENTITY,
        "birth_month_day",
        "birth_year_day",
        "birth_date_either_way",
        "ssn5",
        record_number=pl.int_range(pl.len(), dtype=pl.Int32),
        client_number=pl.concat_str("source", "client_id", separator="|").rank("dense").cast(pl.Int32),
        first_name_root=_of_each(people["first_name"], root_of, pl.String()),
        first_name_sound_1=pl.col("first_name_sounds").list.first(),
        last_name_sounds=pl.when(pl.col("last_name_sounds").list.len() > 0).then("last_name_sounds"),
        name_sounds=pl.concat_list(
            pl.col(column).fill_null([]) for column in ("last_name_sounds", "first_name_sounds")
        ).list.unique(maintain_order=True),
        middle_initial=pl.col("middle_name").str.slice(0, 1),
        whole_middle_name=pl.when(pl.col("middle_name").str.len_bytes() > 1).then("middle_name"),
        name_sounds_either_way=pl.when(
            pl.all_horizontal(sounds.is_not_null() for sounds in first_sounds)
        ).then(
            pl.concat_str(pl.min_horizontal(*first_sounds), pl.max_horizontal(*first_sounds), separator=" ")
        ),
    )
    people.write_parquet(out)
    print_report({"records": people.height})


def link(people: Path, out: Path) -> None:
    """Train, predict and cluster, timed; then write pair.parquet and cluster.parquet into the folder `out`.

    pair: client_number_l, client_number_r, match_weight, a row per pair of records; cluster: source, client_id,
    client_number, cluster_id, a row per record.
    """
    logging.getLogger("splink").setLevel(logging.ERROR)
    watch = Stopwatch()
    with watch.part("read"):
        connection = duckdb.connect()
        connection.execute(f"create table person as from '{people}'").fetchall()
        linker = Linker(DuckDBAPI(connection).register("person"), _settings(), log_level=logging.ERROR)
    with watch.part("train"):
        training = linker.training
        deterministic = [_rule(("first_name", "last_name", "birth_date")), _rule(("ssn",))]
        training.estimate_probability_two_random_records_match(deterministic, recall=0.7)
        training.estimate_u_using_random_sampling(max_pairs=MAX_PAIRS, seed=SEED)
        for columns in (("birth_date",), ("first_name", "last_name"), ("ssn",)):
            training.estimate_parameters_using_expectation_maximisation(
                _rule(columns), max_pairs=MAX_PAIRS, record_sample_proportion=0.1
            )
    with watch.part("predict"):
        pairs = linker.inference.predict(threshold_match_weight=LEAST_WEIGHT_KEPT)
    with watch.part("cluster"):
        clusters = linker.clustering.cluster_pairwise_predictions_at_threshold(
            pairs, threshold_match_probability=CLUSTER_AT
        )
    figures = watch.report()
    scored = connection.execute(f"select count(*) from {pairs.physical_name}").fetchall()[0][0]
    out.mkdir()
    connection.execute(
        f"""
        copy (
            select l.client_number as client_number_l, r.client_number as client_number_r, match_weight
            from {pairs.physical_name}
            inner join person as l on l.record_number = record_number_l
            inner join person as r on r.record_number = record_number_r
        ) to '{out / "pair.parquet"}'
        """
    ).fetchall()
    connection.execute(
        f"""
        copy (
            select source, client_id, client_number, cluster_id from {clusters.physical_name}
        ) to '{out / "cluster.parquet"}'
        """
    ).fetchall()
    print_report({**figures, "scored_pairs": scored})


def _settings() -> SettingsCreator:
    """Splink's ready-made comparisons with their default levels, and the encoded model's blocking rules."""
    return SettingsCreator(
        link_type="dedupe_only",
        unique_id_column_name="record_number",
        comparisons=[
            cl.NameComparison("first_name"),
            cl.NameComparison("last_name"),
            cl.DateOfBirthComparison("birth_date", input_is_string=True, datetime_format="%Y-%m-%d"),
            cl.CustomComparison(
                [
                    cll.NullLevel("ssn4"),
                    cll.ExactMatchLevel("ssn"),
                    cll.LevenshteinLevel("ssn", 2),
                    cll.ExactMatchLevel("ssn4"),
                    cll.ElseLevel(),
                ],
                "ssn",
            ),
            cl.CustomComparison(
                [
                    cll.NullLevel("middle_initial"),
                    cll.ExactMatchLevel("whole_middle_name"),
                    cll.ExactMatchLevel("middle_initial"),
                    cll.ElseLevel(),
                ],
                "middle_name",
            ),
            cl.ExactMatch("suffix"),
            cl.ExactMatch("sex"),
            cl.ExactMatch("zip3").configure(term_frequency_adjustments=True),
        ],
        blocking_rules_to_generate_predictions=[
            _rule(rule.columns, one_lacks=rule.one_lacks)
            for name, rule in blocking_rules().items()
            if name != HANDOVER.name
        ],
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
        additional_columns_to_retain=["client_number"],
    )


def _rule(columns: tuple[str, ...], *, one_lacks: str | None = None) -> CustomRule:
    """Pairs of records of two clients that agree on columns, named as tokens or in plain text."""
    conditions = [f"l.{_in_plain_text(column)} = r.{_in_plain_text(column)}" for column in columns]
    conditions.append("l.client_number <> r.client_number")
    if one_lacks:
        lacking = _in_plain_text(one_lacks)
        conditions.append(f"(l.{lacking} is null or r.{lacking} is null)")
    lists = [_in_plain_text(column) for column in columns if column in TOKEN_LIST_COLUMNS]
    return CustomRule(" and ".join(conditions), arrays_to_explode=lists or None)


def _in_plain_text(column: str) -> str:
    return column.replace("_tokens", "s").replace("_token", "")


def _of_each(values: pl.Series, made_of: Callable[[str], object], kind: pl.DataType) -> pl.Series:
    """What is made of each value, which is worked out once for every distinct one."""
    distinct = values.drop_nulls().unique()
    made = pl.Series("made", [made_of(value) for value in distinct], dtype=kind)
    table = pl.DataFrame({"value": distinct, "made": made})
    return values.alias("value").to_frame().join(table, on="value", how="left", maintain_order="left")["made"]


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_prepare = commands.add_parser("prepare")
    of_prepare.add_argument("county", type=Path)
    of_prepare.add_argument("people", type=Path)
    of_link = commands.add_parser("link")
    of_link.add_argument("people", type=Path)
    of_link.add_argument("out", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "prepare":
        prepare(chosen.county, chosen.people)
    else:
        link(chosen.people, chosen.out)


if __name__ == "__main__":
    _main()
