"""How good the links are, against the truth of a simulated or labelled county.

The units are clients (source, client_id). A *pair* is two clients; it is true when both are one human being
and found when both have one person id. Small errors in pairs grow in what is counted per person, so cohorts
are compared as well.
"""

from dataclasses import dataclass
from itertools import combinations_with_replacement

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.errors import UsageError
from linkage.model import linkage_model
from linkage.records import recorded_profile


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Counts of right, found and true things, and what follows from them.

    >>> pairs = Agreement(right=8, found=10, true=16)
    >>> pairs.precision, pairs.recall, round(pairs.f1, 4)
    (0.8, 0.5, 0.6154)
    >>> Agreement(right=0, found=0, true=0).f1
    1.0
    """

    right: float
    found: float
    true: float

    @property
    def precision(self) -> float:
        """Of what was found, the share that is right; 1 where nothing was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Of what is true, the share that was found; 1 where there is nothing to find."""
        return self.right / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Agreement of found persons with true people.

    `pairs`: over pairs of clients. `b_cubed_precision` and `b_cubed_recall`: for the average client, what
    share of their person are the same human being, and what share of that human being's clients are in
    their person (Bagga and Baldwin 1998). `exact_people`: of the true people, those whose clients are one
    person and nobody else's. `by_source_pair` and `by_group` (attribute, value) hold pairs; a group's pairs
    are those with a member of it, counted once for each such member.
    """

    clients: int
    people: int
    persons: int
    pairs: Agreement
    b_cubed_precision: float
    b_cubed_recall: float
    exact_people: int
    by_source_pair: dict[tuple[str, str], Agreement]
    by_group: dict[tuple[str, str], Agreement]

    @property
    def b_cubed_f1(self) -> float:
        """The harmonic mean of both B-cubed numbers."""
        both = self.b_cubed_precision + self.b_cubed_recall
        return 2 * self.b_cubed_precision * self.b_cubed_recall / both if both else 0.0

    def as_text(self) -> str:
        """The evaluation as a table to print."""
        lines = [
            f"{self.clients:,} clients, {self.people:,} people, {self.persons:,} persons found; "
            f"{self.exact_people:,} people ({self.exact_people / max(self.people, 1):.1%}) found exactly",
            "",
            f"{'':34} {'precision':>9} {'recall':>9} {'F1':>9} {'true':>12}",
            _line("pairs", self.pairs),
            f"{'B-cubed':34} {self.b_cubed_precision:9.4f} {self.b_cubed_recall:9.4f} {self.b_cubed_f1:9.4f}",
        ]
        lines += [_line(f"{left} to {right}", pairs) for (left, right), pairs in self.by_source_pair.items()]
        lines += [
            _line(f"{attribute}: {value}", pairs) for (attribute, value), pairs in self.by_group.items()
        ]
        return "\n".join(lines)


def _line(what: str, agreement: Agreement) -> str:
    return f"{what:34} {agreement.precision:9.4f} {agreement.recall:9.4f} {agreement.f1:9.4f} {agreement.true:12,.0f}"


def evaluate(
    con: DuckDBPyConnection,
    truth: pl.DataFrame,
    *,
    person_column: str = "person_id",
    groups: pl.DataFrame | None = None,
) -> Evaluation:
    """Compare `person_crosswalk` with the truth: columns source, client_id (as delivered) and truth_id.

    `person_column` chooses the threshold. `groups` has source, client_id and any attributes by which pairs
    are counted apart, such as sex or age band. Clients without truth are left out and must be few: raises
    UsageError when the truth knows fewer than half of the clients.
    """
    con.register("truth_frame", truth.select("source", "client_id", "truth_id").to_arrow())
    clients = con.sql(
        f"""
        select source, client_id, {person_column} as person_id, truth_id
        from person_crosswalk inner join truth_frame using (source, client_id) order by all
        """
    ).pl()
    delivered = con.execute("select count(*) from person_crosswalk").fetchall()[0][0]
    con.unregister("truth_frame")
    if clients.height < delivered / 2:
        raise UsageError(
            f"The truth knows {clients.height:,} of {delivered:,} clients. Give the truth of the same deliveries, with "
            "client ids as they were delivered."
        )
    return compare(clients, groups=groups)


AGE_BANDS = ((0, "under 18"), (18, "18 to 24"), (25, "25 to 34"), (35, "35 to 44"), (45, "45 to 54"), (55, "55 to 64"),
             (65, "65 and over"))  # fmt: skip
"""First age of each band, and its name."""


def client_groups(con: DuckDBPyConnection, *, as_of_year: int | None = None) -> pl.DataFrame:
    """Groups by which to evaluate, from `source_record`: source, client_id, sex, race_ethnicity (a list: a
    client of several categories is in each), missing and, where `as_of_year` is given, age_band.

    `missing` names what none of a client's records has (name, birth date, number: any digits of a Social Security
    number). A client without a whole name and without a number is linked by a handover or by nobody.
    Ages are from the year of birth, so up to a year too high.
    """
    known = linkage_model(recorded_profile(con, "source_record").name).known
    missing = ", ".join(f"if(bool_or({is_known}), null, '{what}')" for what, is_known in known.items())
    bands = " ".join(
        f"when {as_of_year} - max(birth_year) >= {least} then '{name}'" for least, name in reversed(AGE_BANDS)
    )
    age_band = "" if as_of_year is None else f", case {bands} else 'not known' end as age_band"
    groups: pl.DataFrame = con.sql(
        f"""
        select source, client_id, coalesce(max(sex), 'U') as sex,
            coalesce(
                list_sort(list_distinct(flatten(list(string_split(race_ethnicity, ';'))
                    filter (race_ethnicity is not null)))), ['not known']) as race_ethnicity,
            coalesce(nullif(concat_ws(', ',
                {missing}
            ), ''), 'nothing') as missing
            {age_band}
        from source_record group by source, client_id order by source, client_id
        """
    ).pl()
    return groups


def compare(clients: pl.DataFrame, *, groups: pl.DataFrame | None = None) -> Evaluation:
    """Compare found persons with true people: columns source, client_id, person_id, truth_id, a row per
    client.

    >>> clients = pl.DataFrame({
    ...     "source": ["jail", "ems", "ems", "jail"], "client_id": ["a", "b", "c", "d"],
    ...     "person_id": ["P1", "P1", "P2", "P1"], "truth_id": [1, 1, 1, 2]})
    >>> found = compare(clients)
    >>> found.pairs
    Agreement(right=1.0, found=3.0, true=3.0)
    >>> round(found.b_cubed_precision, 4), round(found.b_cubed_recall, 4), found.exact_people
    (0.6667, 0.6667, 0)
    >>> found.by_source_pair["ems", "jail"]
    Agreement(right=1.0, found=2.0, true=2.0)
    """
    counted = clients.with_columns(
        both=pl.len().over("person_id", "truth_id"),
        in_person=pl.len().over("person_id"),
        in_truth=pl.len().over("truth_id"),
    )
    people = counted.group_by("truth_id").agg(
        exact=(pl.col("both") == pl.col("in_truth")).all() & (pl.col("both") == pl.col("in_person")).all()
    )
    share = counted.select(
        precision=(pl.col("both") / pl.col("in_person")).mean(),
        recall=(pl.col("both") / pl.col("in_truth")).mean(),
    ).row(0)
    return Evaluation(
        clients=clients.height,
        people=people.height,
        persons=clients.get_column("person_id").n_unique(),
        pairs=Agreement(
            right=_pairs_within(clients, "person_id", "truth_id"),
            found=_pairs_within(clients, "person_id"),
            true=_pairs_within(clients, "truth_id"),
        ),
        b_cubed_precision=float(share[0] or 0.0),
        b_cubed_recall=float(share[1] or 0.0),
        exact_people=int(people.get_column("exact").sum()),
        by_source_pair=_by_source_pair(clients),
        by_group={} if groups is None else _by_group(counted, groups),
    )


def _pairs_within(clients: pl.DataFrame, *columns: str) -> float:
    """The number of pairs of clients that agree on the columns: the sum of n (n - 1) / 2 over their
    groups.
    """
    sizes = clients.group_by(columns).len().get_column("len").cast(pl.Float64)
    return float((sizes * (sizes - 1) / 2).sum())


def _by_source_pair(clients: pl.DataFrame) -> dict[tuple[str, str], Agreement]:
    sources = sorted(clients.get_column("source").unique().to_list())
    counts = {}
    for name, columns in {
        "right": ["person_id", "truth_id"],
        "found": ["person_id"],
        "true": ["truth_id"],
    }.items():
        counts[name] = clients.group_by(columns).agg(
            (pl.col("source") == source).sum().cast(pl.Float64).alias(source) for source in sources
        )
    found: dict[tuple[str, str], Agreement] = {}
    for left, right in combinations_with_replacement(sources, 2):
        numbers = {}
        for name, table in counts.items():
            n, m = table.get_column(left), table.get_column(right)
            numbers[name] = float((n * (n - 1) / 2).sum()) if left == right else float((n * m).sum())
        found[left, right] = Agreement(**numbers)
    return found


def _by_group(counted: pl.DataFrame, groups: pl.DataFrame) -> dict[tuple[str, str], Agreement]:
    joined = counted.join(groups, on=["source", "client_id"], how="left")
    found: dict[tuple[str, str], Agreement] = {}
    for attribute in (column for column in groups.columns if column not in ("source", "client_id")):
        of_group = joined.explode(attribute) if groups.schema[attribute] == pl.List else joined
        sums = (
            of_group.group_by(pl.col(attribute).cast(pl.String).fill_null("not known").alias("value"))
            .agg(
                right=(pl.col("both") - 1).sum(),
                found=(pl.col("in_person") - 1).sum(),
                true=(pl.col("in_truth") - 1).sum(),
            )
            .sort("value")
        )
        for value, right, of_found, of_true in sums.iter_rows():
            found[attribute, value] = Agreement(
                right=float(right), found=float(of_found), true=float(of_true)
            )
    return found


@dataclass(frozen=True, kw_only=True)
class CohortAgreement:
    """One cohort: found members, how many of them are right, true members, how many of them were found."""

    found: int
    found_right: int
    true: int
    true_found: int

    @property
    def precision(self) -> float:
        """Of the found members, the share that are right; 1 where there are none."""
        return self.found_right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Of the true members, the share that were found; 1 where there are none."""
        return self.true_found / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def compare_cohorts(
    *, found: pl.DataFrame, true: pl.DataFrame, clients: pl.DataFrame
) -> dict[str, CohortAgreement]:
    """Compare cohort membership by found persons with membership by true people, cohort by cohort.

    `found` has cohort and person_id, `true` has cohort and truth_id, `clients` has person_id and truth_id,
    a row per client. A found member is right when the human being that most of its clients are is a true
    member; a true member was found when the person that holds most of their clients is a found member (ties
    to the smaller id).

    >>> clients = pl.DataFrame({"person_id": ["P1", "P1", "P2"], "truth_id": [1, 1, 2]})
    >>> found = pl.DataFrame({"cohort": ["frequent", "frequent"], "person_id": ["P1", "P2"]})
    >>> true = pl.DataFrame({"cohort": ["frequent"], "truth_id": [1]})
    >>> compare_cohorts(found=found, true=true, clients=clients)["frequent"]
    CohortAgreement(found=2, found_right=1, true=1, true_found=1)
    """
    truth_of = _mostly(clients, "person_id", "truth_id")
    person_of = _mostly(clients, "truth_id", "person_id")
    cohorts = sorted({*found.get_column("cohort"), *true.get_column("cohort")})
    compared: dict[str, CohortAgreement] = {}
    for cohort in cohorts:
        persons = set(found.filter(pl.col("cohort") == cohort).get_column("person_id"))
        people = set(true.filter(pl.col("cohort") == cohort).get_column("truth_id"))
        compared[cohort] = CohortAgreement(
            found=len(persons),
            found_right=sum(truth_of.get(person) in people for person in persons),
            true=len(people),
            true_found=sum(person_of.get(each) in persons for each in people),
        )
    return compared


def _mostly(clients: pl.DataFrame, of: str, what: str) -> dict[object, object]:
    """For each value of `of`, the value of `what` that most of its clients have."""
    counts = clients.group_by(of, what).len().sort(of, "len", what, descending=[False, True, False])
    return dict(counts.group_by(of, maintain_order=True).first().select(of, what).iter_rows())


def cohorts_as_text(compared: dict[str, CohortAgreement]) -> str:
    """Cohort agreement as a table to print."""
    lines = [f"{'':34} {'precision':>9} {'recall':>9} {'F1':>9} {'found':>8} {'true':>8}"]
    lines += [
        f"{cohort:34} {each.precision:9.4f} {each.recall:9.4f} {each.f1:9.4f} {each.found:8,} {each.true:8,}"
        for cohort, each in compared.items()
    ]
    return "\n".join(lines)
