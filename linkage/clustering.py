"""Clusters of source clients that are one person.

Connected components let one false link join two lives. So components are found at a low weight, every pair
inside a component is weighed whether or not a blocking rule brought it, and inside each component clusters
are united by average linkage, the strongest union first, as long as the average weight between two clusters
reaches the link threshold and no constraint forbids the union.

The nodes are clients (source, client_id), not records: that all records of one client are one person is
certain. What speaks for two clients is the strongest of their records' match weights.

Because averages only fall as clusters grow, one run serves every threshold: the clusters at a stricter one
are those of an earlier moment. Ties go to the client that comes first by source and client_id, so that the
result does not depend on the order of rows.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl
from duckdb import DuckDBPyConnection
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from linkage.blocking import build_compared_record_of, workbench
from linkage.calibration import Calibration
from linkage.model import HANDOVER, Parameters, comparison
from linkage.progress import step, track
from linkage.scoring import scored_pairs_sql, tells_sql

if TYPE_CHECKING:
    from linkage.model_file import Model

Integers = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

THRESHOLDS = {"cluster_080": 0.80, "cluster_095": 0.95, "cluster_099": 0.99}
"""Further probabilities at which clusters are published, so that an analyst sees what depends on the
threshold.
"""

HEAVIEST = 12.0
LIGHTEST = -12.0
"""Match weights beyond these count as these in an average: no single pair may outvote all others. (Where a
threshold is higher still, the heaviest is one unit above it.)"""

LARGEST_COMPONENT = 800
"""Clients. Larger components are first cut at higher weights: weighing every pair grows with the square."""

_CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class ClusteringReport:
    """What clustering did.

    `link_weight` is the average match weight down to which clusters were united. `cut_components` counts
    components that were too large and were cut at higher weights first; `weighed_pairs` the pairs of
    records inside components that blocking had not brought; `rejected_unions` the rows of the table of that
    name.
    """

    clients: int
    clusters: int
    largest_cluster: int
    link_weight: float
    component_weight: float
    components: int
    largest_component: int
    cut_components: int
    weighed_pairs: int
    rejected_unions: int


def cluster(
    con: DuckDBPyConnection,
    model: "Model",
    *,
    decisions: pl.DataFrame | None = None,
    max_cluster_size: int = 200,
    link_weight: float | None = None,
    component_weight: float | None = None,
    weigh: Callable[[DuckDBPyConnection, "Model"], None] | None = None,
) -> ClusteringReport:
    """Create or replace the tables `cluster` and `rejected_union` from `source_record` and `scored_pair`.

    `cluster`: one row per client: source, client_id, cluster_id BIGINT (of this run only) and cluster_080,
    cluster_095, cluster_099: the clusters at those calibrated probabilities.

    `rejected_union`: for two clusters that stayed apart although a pair of their clients reaches the link
    weight: that pair (source_l, client_id_l, source_r, client_id_r), its match_weight, and the reason:
    steward_decision, ssn_conflict, too_large or average_too_low. It goes to the review queue.

    Pairs weighed because both records are in one component are added to `scored_pair` with the blocking
    rule `within_component`. `decisions` are the effective steward decisions (`linkage.decisions`):
    source_l, client_id_l, source_r, client_id_r, decision (link or do_not_link). `link_weight` defaults to
    the model's.

    `weigh` adds to `scored_pair` the pairs of the table `unweighed_pair` (source_record_id_l,
    source_record_id_r); by default they are weighed here, and `source_record` must have all its columns.
    """
    link_at = model.calibration.link_weight if link_weight is None else link_weight
    stops = {"cluster_id": link_at} | {
        name: model.calibration.weight_at(probability) for name, probability in THRESHOLDS.items()
    }
    component_at = min(stops.values()) - _COMPONENT_MARGIN if component_weight is None else component_weight
    with step("finding components"):
        clients = _number_clients(con)
        must_link, cannot_link = _decided_pairs(con, decisions)
        pairs = _client_pairs(con, model.parameters)
        component, cut = _components(
            clients, pairs, must_link, component_at, max(component_at, min(stops.values()))
        )
    with step("weighing pairs inside components"):
        weighed = _find_unweighed_pairs(con, component, pairs)
        if weighed:
            (weigh or _weigh_in_workbench)(con, model)
            pairs = _client_pairs(con, model.parameters)
    with step("uniting clusters"):
        labels = _unite(component, pairs, must_link, cannot_link, list(stops.values()), max_cluster_size)
    rejected = _write(
        con, dict(zip(stops, labels, strict=True)), pairs, cannot_link, link_at, max_cluster_size
    )
    _, sizes = np.unique(labels[0], return_counts=True)
    _, component_sizes = np.unique(component, return_counts=True)
    return ClusteringReport(
        clients=clients,
        clusters=len(sizes),
        largest_cluster=int(sizes.max(initial=0)),
        link_weight=link_at,
        component_weight=component_at,
        components=len(component_sizes),
        largest_component=int(component_sizes.max(initial=0)),
        cut_components=cut,
        weighed_pairs=weighed,
        rejected_unions=rejected,
    )


_COMPONENT_MARGIN = 4.0
"""How far below the lowest threshold components are found: a pair that average linkage could still unite
thanks to its neighbours must be in one component with them.
"""


@dataclass(frozen=True, kw_only=True)
class ClientPairs:
    """Pairs of clients a < b by number, the strongest match weight of their records, whether whole Social
    Security numbers contradict each other, whether anything that identifies a person can be compared at all, and
    whether that is nothing but a handover.
    """

    a: Integers
    b: Integers
    weight: Weights
    ssn_conflict: Flags
    tells: Flags
    only_handover: Flags


def _number_clients(con: DuckDBPyConnection) -> int:
    """Create the temporary table `numbered_client`: source, client_id, client BIGINT from 0 in that
    order.
    """
    con.execute(
        """
        create or replace temp table numbered_client as
        select source, client_id, row_number() over (order by source, client_id) - 1 as client
        from (select distinct source, client_id from source_record)
        """
    ).fetchall()
    con.execute(
        """
        create or replace temp table client_of_record as
        select source_record_id, client
        from source_record inner join numbered_client using (source, client_id)
        """
    ).fetchall()
    return int(con.execute("select count(*) from numbered_client").fetchall()[0][0])


MOST_CONFLICTS_OF_CERTAIN_NUMBERS = 0.02
"""Two whole Social Security numbers without a part in common forbid a union only where they are as good as
certain: where the model learned that fewer than one in fifty pairs of records of one person contradict each other so.
In worse data a conflict is evidence like any other, and already in the match weight."""


def _forbidding_conflict(parameters: Parameters) -> str:
    """SQL: whether a pair's whole Social Security numbers contradict each other and that forbids a union. Profiles
    that hide too much to tell have no such level."""
    ssn = comparison("ssn", parameters.profile)
    conflict = parameters.levels["ssn"].get("conflict")
    if conflict is None or conflict.m >= MOST_CONFLICTS_OF_CERTAIN_NUMBERS:
        return "false"
    return f"max({ssn.column}) = {ssn.number_of('conflict')}"


def _client_pairs(con: DuckDBPyConnection, parameters: Parameters) -> ClientPairs:
    found = con.execute(
        f"""
        select least(l.client, r.client) as a, greatest(l.client, r.client) as b,
            max(match_weight) as weight,
            {_forbidding_conflict(parameters)} as ssn_conflict,
            bool_or({tells_sql(parameters.profile)}) as tells,
            not bool_or({tells_sql(parameters.profile, without=HANDOVER.name)}) as only_handover
        from scored_pair
        inner join client_of_record as l on l.source_record_id = source_record_id_l
        inner join client_of_record as r on r.source_record_id = source_record_id_r
        where l.client <> r.client
        group by all
        """
    ).fetchnumpy()
    order = np.lexsort((found["b"], found["a"]))
    return ClientPairs(
        a=np.asarray(found["a"], dtype=np.int64)[order],
        b=np.asarray(found["b"], dtype=np.int64)[order],
        # The last bits differ from engine to engine; rounded, they break no tie.
        weight=np.round(np.asarray(found["weight"], dtype=np.float64)[order], 9),
        ssn_conflict=np.asarray(found["ssn_conflict"], dtype=np.bool_)[order],
        tells=np.asarray(found["tells"], dtype=np.bool_)[order],
        only_handover=np.asarray(found["only_handover"], dtype=np.bool_)[order],
    )


def _decided_pairs(con: DuckDBPyConnection, decisions: pl.DataFrame | None) -> tuple[Integers, Integers]:
    """Client numbers of the pairs that stewards link and of those they keep apart: two arrays of shape (n,
    2).
    """
    if decisions is None or decisions.is_empty():
        return np.empty((0, 2), np.int64), np.empty((0, 2), np.int64)
    con.register("decided_pair", decisions.to_arrow())
    rows = con.execute(
        """
        select decision, least(l.client, r.client), greatest(l.client, r.client)
        from decided_pair
        inner join numbered_client as l on l.source = source_l and l.client_id = client_id_l
        inner join numbered_client as r on r.source = source_r and r.client_id = client_id_r
        order by all
        """
    ).fetchall()
    con.unregister("decided_pair")
    by_decision = {
        decision: np.array([row[1:] for row in rows if row[0] == decision], np.int64).reshape(-1, 2)
        for decision in ("link", "do_not_link")
    }
    return by_decision["link"], by_decision["do_not_link"]


def _components(
    clients: int, pairs: ClientPairs, must_link: Integers, component_at: float, handover_at: float
) -> tuple[Integers, int]:
    """Each client's component, numbered by its first client, and how many components had to be cut.

    Clients of whom nothing but a handover can be compared are in one component from the weight `handover_at`: no
    company can make up for what it lacks, and who may be one of several people must not join them all.

    A component that is too large is found again among its heavier pairs, one unit of weight higher each
    time.
    """
    inside = pairs.tells & (pairs.weight >= np.where(pairs.only_handover, handover_at, component_at))
    component = _connected(
        clients,
        np.concatenate([pairs.a[inside], must_link[:, 0]]),
        np.concatenate([pairs.b[inside], must_link[:, 1]]),
    )
    cut = 0
    weight = component_at
    while weight < HEAVIEST:
        sizes = np.bincount(component, minlength=clients)
        too_large = sizes[component] > LARGEST_COMPONENT
        if not too_large.any():
            break
        if weight == component_at:
            cut = int((sizes > LARGEST_COMPONENT).sum())
        weight += 1.0
        kept = (component[pairs.a] == component[pairs.b]) & (
            (pairs.tells & (pairs.weight >= weight)) | (inside & ~too_large[pairs.a])
        )
        component = _connected(
            clients,
            np.concatenate([pairs.a[kept], must_link[:, 0]]),
            np.concatenate([pairs.b[kept], must_link[:, 1]]),
        )
    return component, cut


def _connected(nodes: int, a: Integers, b: Integers) -> Integers:
    """The connected component of each node, numbered by its smallest node."""
    graph = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(nodes, nodes))
    _, found = connected_components(graph, directed=False)
    first = np.full(found.max(initial=-1) + 1, nodes, np.int64)
    np.minimum.at(first, found, np.arange(nodes))
    numbered: Integers = first[found]
    return numbered


def _find_unweighed_pairs(con: DuckDBPyConnection, component: Integers, pairs: ClientPairs) -> int:
    """Create the temporary table `unweighed_pair`: the pairs of records of two clients of one component that
    have no weight. Returns how many."""
    a, b = _missing_pairs(component, pairs)
    con.register("unweighed_client_pair", pl.DataFrame({"a": a, "b": b}).to_arrow())
    con.execute(
        """
        create or replace temp table unweighed_pair as
        select least(l.source_record_id, r.source_record_id) as source_record_id_l,
            greatest(l.source_record_id, r.source_record_id) as source_record_id_r
        from unweighed_client_pair
        inner join client_of_record as l on l.client = a
        inner join client_of_record as r on r.client = b
        """
    ).fetchall()
    con.unregister("unweighed_client_pair")
    return int(con.execute("select count(*) from unweighed_pair").fetchall()[0][0])


def _weigh_in_workbench(con: DuckDBPyConnection, model: "Model") -> None:
    """Add the pairs of `unweighed_pair` to `scored_pair`, with a workbench that holds just their records."""
    with workbench(con) as warehouse:
        con.execute(
            """
            create table paired_record as
            select source_record_id_l as source_record_id from unweighed_pair
            union select source_record_id_r from unweighed_pair
            """
        ).fetchall()
        build_compared_record_of(con, warehouse, "paired_record")
        _weigh(con, f"{warehouse}.scored_pair", model.parameters, model.calibration)


def _weigh(con: DuckDBPyConnection, into: str, parameters: Parameters, calibration: Calibration) -> None:
    con.execute(
        """
        create or replace table candidate_pair as
        select l.record_number as record_number_l, r.record_number as record_number_r, 255::utinyint as rule
        from unweighed_pair
        inner join compared_record as l on l.source_record_id = source_record_id_l
        inner join compared_record as r on r.source_record_id = source_record_id_r
        """
    ).fetchall()
    con.execute(
        f"insert into {into} by name {scored_pairs_sql(parameters, calibration, lower_weight=-math.inf)}"
    ).fetchall()


@dataclass(frozen=True, kw_only=True)
class LinkEstimate:
    """What linking down to one average match weight would mean, by the calibrated probabilities of all pairs
    of clients that blocking or a component brought: how many pairs would be linked, what share of them is
    one person, and what share of the pairs that are one person would be linked."""

    link_weight: float
    linked_pairs: int
    precision: float
    recall: float


def estimate_links(
    con: DuckDBPyConnection,
    parameters: Parameters,
    calibration: Calibration,
    *,
    link_weights: Sequence[float],
) -> list[LinkEstimate]:
    """For each of `link_weights`, the strictest first, what the clusters would be like.

    A pair that was linked in company is as probable as the average weight at which its two clusters were
    united, or as its own weight, whichever is more: those who are alike to the same third are alike to each
    other.

    The connection's current schema must hold `source_record`, `compared_record` and `scored_pair`, to which
    the unweighed pairs inside components are added.
    """
    clients = _number_clients(con)
    nobody = np.empty((0, 2), np.int64)
    pairs = _client_pairs(con, parameters)
    lowest = min(link_weights)
    component, _ = _components(clients, pairs, nobody, lowest - _COMPONENT_MARGIN, lowest)
    if _find_unweighed_pairs(con, component, pairs):
        _weigh(con, "scored_pair", parameters, calibration)
        pairs = _client_pairs(con, parameters)
    strictest_first = sorted(link_weights, reverse=True)
    labels = _unite(component, pairs, nobody, nobody, strictest_first, clients)
    weight = pairs.weight.copy()
    for stop, label in zip(reversed(strictest_first), reversed(labels), strict=True):
        weight = np.where(label[pairs.a] == label[pairs.b], np.maximum(weight, stop), weight)
    probability = calibration.probability(weight)
    estimates = []
    for stop, label in zip(strictest_first, labels, strict=True):
        linked = label[pairs.a] == label[pairs.b]
        right = float(probability[linked].sum())
        estimates.append(
            LinkEstimate(
                link_weight=round(stop, 3),
                linked_pairs=int(linked.sum()),
                precision=round(right / max(int(linked.sum()), 1), 5),
                recall=round(right / max(float(probability.sum()), 1e-9), 5),
            )
        )
    return estimates


def _missing_pairs(component: Integers, pairs: ClientPairs) -> tuple[Integers, Integers]:
    """The pairs of clients in one component that have no weight."""
    nodes = len(component)
    known = component[pairs.a] == component[pairs.b]
    known_pairs = np.bincount(component[pairs.a[known]], minlength=nodes)
    sizes = np.bincount(component, minlength=nodes)
    incomplete = np.flatnonzero(known_pairs < sizes * (sizes - 1) // 2)
    if not len(incomplete):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    all_a, all_b = [], []
    for members in _members_by_component(component, incomplete):
        a, b = np.triu_indices(members.shape[1], 1)
        all_a.append(members[:, a].ravel())
        all_b.append(members[:, b].ravel())
    keys = np.concatenate(all_a) * nodes + np.concatenate(all_b)
    missing = np.setdiff1d(keys, pairs.a[known] * nodes + pairs.b[known])
    return missing // nodes, missing % nodes


def _members_by_component(component: Integers, wanted: Integers) -> Iterator[Integers]:
    """The clients of the wanted components: for each size one array, a row per component, clients
    ascending.
    """
    order = np.argsort(component, kind="stable")
    sizes = np.bincount(component, minlength=len(component))
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    for size in np.unique(sizes[wanted]):
        of_size = wanted[sizes[wanted] == size]
        yield order[starts[of_size][:, None] + np.arange(size)]


def _unite(
    component: Integers,
    pairs: ClientPairs,
    must_link: Integers,
    cannot_link: Integers,
    stops: list[float],
    max_cluster_size: int,
) -> list[Integers]:
    """Each client's cluster at each of the `stops`, numbered by its first client."""
    nodes = len(component)
    labels = [np.arange(nodes) for _ in stops]
    sizes = np.bincount(component, minlength=nodes)
    position = np.zeros(nodes, np.int64)
    heaviest = max(HEAVIEST, max(stops) + 1.0)
    weight = np.where(pairs.tells, np.clip(pairs.weight, LIGHTEST, heaviest), np.nan)
    within_reach = replace(pairs, weight=weight)
    lookup = _PairLookup(component, within_reach, must_link, cannot_link)
    for members in track(
        list(_members_by_component(component, np.flatnonzero(sizes > 1))), "uniting clusters"
    ):
        size = members.shape[1]
        position[members] = np.arange(size)
        at_once = max(1, _CELLS_AT_ONCE // (size * size))
        for start in range(0, len(members), at_once):
            batch = members[start : start + at_once]
            weights, linked, forbidden = lookup.matrices(batch, position)
            for label, local in zip(
                labels, average_linkage(weights, linked, forbidden, stops, max_cluster_size), strict=True
            ):
                label[batch] = np.take_along_axis(batch, local, axis=1)
    return labels


class _PairLookup:
    """Pairs of clients arranged by component, to fill matrices from."""

    def __init__(
        self, component: Integers, pairs: ClientPairs, must_link: Integers, cannot_link: Integers
    ) -> None:
        inside = component[pairs.a] == component[pairs.b]
        a = np.concatenate([pairs.a[inside], must_link[:, 0], cannot_link[:, 0]])
        b = np.concatenate([pairs.b[inside], must_link[:, 1], cannot_link[:, 1]])
        count, links, bars = int(inside.sum()), len(must_link), len(cannot_link)
        weight = np.concatenate([pairs.weight[inside], np.full(links + bars, np.nan)])
        linked = np.zeros(len(a), np.bool_)
        linked[count : count + links] = True
        forbidden = np.concatenate(
            [pairs.ssn_conflict[inside], np.zeros(links, np.bool_), np.ones(bars, np.bool_)]
        )
        together = component[a] == component[b]
        of = component[a]
        order = np.flatnonzero(together)[np.argsort(of[together], kind="stable")]
        self._a, self._b, self._weight = a[order], b[order], weight[order]
        self._linked, self._forbidden = linked[order], forbidden[order]
        self._component = component
        counts = np.bincount(of[together], minlength=len(component))
        self._stops = np.cumsum(counts)
        self._starts = self._stops - counts

    def matrices(self, batch: Integers, position: Integers) -> tuple[Weights, Flags, Flags]:
        """Symmetric matrices of weights, must-links and cannot-links, one per row of `batch`."""
        rows, size = batch.shape
        components = self._component[batch[:, 0]]
        starts, counts = self._starts[components], (self._stops - self._starts)[components]
        row = np.repeat(np.arange(rows), counts)
        at = np.repeat(starts - np.concatenate([[0], np.cumsum(counts)[:-1]]), counts) + np.arange(
            counts.sum()
        )
        i, j = position[self._a[at]], position[self._b[at]]
        weights = np.full((rows, size, size), np.nan)
        weighed = ~np.isnan(self._weight[at])
        for first, second in ((i, j), (j, i)):
            weights[row[weighed], first[weighed], second[weighed]] = self._weight[at][weighed]
        linked = np.zeros((rows, size, size), np.bool_)
        forbidden = np.zeros((rows, size, size), np.bool_)
        for matrix, flag in ((linked, self._linked[at]), (forbidden, self._forbidden[at])):
            for first, second in ((i, j), (j, i)):
                matrix[row[flag], first[flag], second[flag]] = True
        return weights, linked, forbidden


def average_linkage(
    weights: Weights, linked: Flags, forbidden: Flags, stops: list[float], max_cluster_size: int
) -> list[Integers]:
    """Average linkage in many components of one size at once.

    `weights`, `linked` and `forbidden` have the shape (components, size, size) and are symmetric. Pairs that tell
    nothing have no weight (NaN) and no part in an average; without one that does, two clusters stay apart. Clusters
    are united as long as the average weight between two of them reaches the lowest of `stops`, the heaviest
    average first, the first pair on a tie; pairs in `linked` before all others, whatever they weigh. A
    union with a forbidden pair between its sides, or of more than `max_cluster_size` members, is not made;
    a linked pair is made all the same.

    Returns, for each of `stops`, an array (components, size): for each member the first member of its
    cluster.
    """
    components, size, _ = weights.shape
    members = np.arange(size)
    label = np.tile(members, (components, 1))
    at_stop = [label.copy() for _ in stops]
    weighed = ~np.isnan(weights)
    totals, counts = np.where(weighed, weights, 0.0), weighed.astype(np.float64)
    sizes = np.ones((components, size))
    linked, forbidden = linked.copy(), forbidden & ~linked
    alive = np.ones((components, size), np.bool_)
    open_ = np.arange(components)
    upper = np.triu(np.ones((size, size), np.bool_), 1)
    lowest = min(stops)
    for _ in range(size - 1):
        counted = counts[open_]
        allowed = upper & alive[open_, :, None] & alive[open_, None, :]
        fits = sizes[open_, :, None] + sizes[open_, None, :] <= max_cluster_size
        allowed_average = totals[open_] / np.maximum(counted, 1.0)
        average = np.where(allowed & fits & (counted > 0) & ~forbidden[open_], allowed_average, -np.inf)
        average = np.where(allowed & linked[open_], np.inf, average)
        best = average.reshape(len(open_), -1).argmax(axis=1)
        height = average.reshape(len(open_), -1)[np.arange(len(open_)), best]
        going_on = height >= lowest
        open_, best, height = open_[going_on], best[going_on], height[going_on]
        if not len(open_):
            break
        keep, absorb = best // size, best % size
        totals[open_, keep] += totals[open_, absorb]
        totals[open_, :, keep] = totals[open_, keep]
        counts[open_, keep] += counts[open_, absorb]
        counts[open_, :, keep] = counts[open_, keep]
        forbidden[open_, keep] |= forbidden[open_, absorb]
        forbidden[open_, :, keep] = forbidden[open_, keep]
        linked[open_, keep] |= linked[open_, absorb]
        linked[open_, :, keep] = linked[open_, keep]
        sizes[open_, keep] += sizes[open_, absorb]
        alive[open_, absorb] = False
        label[open_] = np.where(label[open_] == absorb[:, None], keep[:, None], label[open_])
        for found, stop in zip(at_stop, stops, strict=True):
            reached = open_[height >= stop]
            found[reached] = label[reached]
    return at_stop


def _write(
    con: DuckDBPyConnection,
    labels: dict[str, Integers],
    pairs: ClientPairs,
    cannot_link: Integers,
    link_at: float,
    max_cluster_size: int,
) -> int:
    """Write `cluster` and `rejected_union`; returns the number of rejected unions."""
    clusters = labels["cluster_id"]
    con.register("label", pl.DataFrame({"client": np.arange(len(clusters)), **labels}).to_arrow())
    con.execute(
        f"""
        create or replace table cluster as
        select source, client_id, {", ".join(f"label.{name}::bigint as {name}" for name in labels)}
        from numbered_client inner join label using (client) order by client
        """
    ).fetchall()
    con.unregister("label")
    apart = pairs.tells & (pairs.weight >= link_at) & (clusters[pairs.a] != clusters[pairs.b])
    sizes = np.bincount(clusters, minlength=len(clusters))
    kept_apart = set(map(tuple, cannot_link.tolist()))
    a, b = pairs.a[apart], pairs.b[apart]
    rows = pl.DataFrame(
        {
            "a": a,
            "b": b,
            "first_cluster": np.minimum(clusters[a], clusters[b]),
            "second_cluster": np.maximum(clusters[a], clusters[b]),
            "match_weight": pairs.weight[apart],
            "by_steward": np.array(
                [pair in kept_apart for pair in zip(a.tolist(), b.tolist(), strict=True)], np.bool_
            ),
            "by_ssn": pairs.ssn_conflict[apart],
            "by_size": sizes[clusters[a]] + sizes[clusters[b]] > max_cluster_size,
        }
    )
    con.register("apart", rows.to_arrow())
    con.execute(
        """
        create or replace table rejected_union as
        select l.source as source_l, l.client_id as client_id_l,
            r.source as source_r, r.client_id as client_id_r, match_weight, reason
        from (
            select
                arg_min({'a': a, 'b': b}, (-match_weight, a, b)) as strongest,
                max(match_weight) as match_weight,
                case when bool_or(by_steward) then 'steward_decision'
                    when bool_or(by_ssn) then 'ssn_conflict'
                    when bool_or(by_size) then 'too_large'
                    else 'average_too_low' end as reason
            from apart group by first_cluster, second_cluster
        ) as rejected
        inner join numbered_client as l on l.client = strongest.a
        inner join numbered_client as r on r.client = strongest.b
        order by all
        """
    ).fetchall()
    con.unregister("apart")
    return int(con.execute("select count(*) from rejected_union").fetchall()[0][0])
