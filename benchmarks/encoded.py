"""Our side: the same people on encoded identity, as a county's workspace holds them.

python -m benchmarks.encoded ingest WORKSPACE    landing into the warehouse
python -m benchmarks.encoded train WORKSPACE     train the county's model and store it
python -m benchmarks.encoded link WORKSPACE LEAST_WEIGHT    source records, scores, clusters and person ids

Each step is what the pipeline's assets call, without the orchestrator. `link` is what is measured against the
yardstick; it finds the trained model in the workspace.
"""

import argparse
from datetime import date
from pathlib import Path

from benchmarks.county import project_key
from benchmarks.measure import Stopwatch, print_report
from linkage.source import declared_sources
from pipelines.workspace import Workspace
from sample_data.county import county_file_text

REGISTRY_SEED = bytes(32)
_TODAY = date(2026, 1, 15)  # the sample county's agreements are valid then


def write_county_file(workspace: Workspace, *, profile: str = "standard") -> None:
    """Make the folder a workspace of the sample county, with the benchmark's project key and a profile."""
    workspace.root.mkdir(parents=True, exist_ok=True)
    text = county_file_text(project_key_check=project_key().key_check)
    workspace.county_file.write_text(
        text.replace('profile = "standard"', f'profile = "{profile}"'), encoding="utf-8"
    )
    workspace.prepare()


def ingest(workspace: Workspace, sources: tuple[str, ...] = tuple(declared_sources())) -> None:
    """Load what has landed of each source into the warehouse."""
    from pipelines.ingest import landed_months, load_candidate, prepare_warehouse, promote

    if not workspace.county_file.exists():
        write_county_file(workspace)
    watch = Stopwatch()
    with watch.part("ingest"), workspace.connect() as connection:
        prepare_warehouse(connection, workspace.settings().profile)
        for source in map(declared_sources().get, sources):
            assert source is not None
            months = landed_months(workspace.landing, source)
            if not months:
                continue
            load_candidate(connection, workspace.landing, source, months, workspace.settings(), _TODAY)
            promote(connection, source)
    with workspace.connect(read_only=True) as connection:
        counts = connection.execute(
            "select sum(accepted_people)::bigint, sum(quarantined_people)::bigint, "
            "sum(accepted_encounters)::bigint, sum(quarantined_encounters)::bigint from delivery"
        ).fetchall()[0]
    names = ("accepted_people", "quarantined_people", "accepted_encounters", "quarantined_encounters")
    print_report({**watch.report(), **dict(zip(names, counts, strict=True))})


def train(workspace: Workspace) -> None:
    """Train as the pipeline does and store the model; also report the least weight of pairs that it keeps."""
    from linkage.records import build_source_record
    from linkage.scoring import LEAST_WEIGHT_KEPT
    from linkage.training import train as train_model
    from pipelines.assets.linkage import TRAINING_SEED
    from pipelines.models import keep_model

    watch = Stopwatch()
    with watch.part("train"), workspace.connect() as connection:
        build_source_record(connection, list(declared_sources().values()))
        model = train_model(
            connection, seed=TRAINING_SEED, largest_block=workspace.settings().linkage.largest_block
        )
    keep_model(workspace, model)
    print_report(
        {
            **watch.report(),
            "model": model.version,
            "calibration": model.calibration.because,
            "link_weight": model.calibration.link_weight,
            "least_weight_kept": LEAST_WEIGHT_KEPT,
        }
    )


def link(workspace: Workspace, least_weight_kept: float) -> None:
    """Everything from delivered rows to person ids, with the stored model."""
    from linkage.clustering import cluster
    from linkage.records import build_source_record
    from linkage.registry import update_registry
    from linkage.scoring import score
    from pipelines.models import chosen_model

    watch = Stopwatch()
    policy = workspace.settings().linkage
    with workspace.connect() as connection:
        with watch.part("source records"):
            records = build_source_record(connection, list(declared_sources().values()))
        with watch.part("score"):
            model = chosen_model(workspace, policy.model)
            assert model is not None
            scored = score(
                connection, model, lower_weight=least_weight_kept, largest_block=policy.largest_block
            )
        with watch.part("cluster"):
            clustered = cluster(connection, model, max_cluster_size=policy.max_cluster_size)
        with watch.part("registry"):
            registered = update_registry(connection, REGISTRY_SEED)
    print_report(
        {
            **watch.report(),
            "records": records,
            "candidate_pairs": scored.candidate_pairs,
            "scored_pairs": scored.scored_pairs,
            "dropped_blocks": sum(rule.dropped_blocks for rule in scored.rules),
            "dropped_pairs": sum(rule.dropped_pairs for rule in scored.rules),
            "largest_component": clustered.largest_component,
            "weighed_pairs": clustered.weighed_pairs,
            "persons": registered.persons,
        }
    )


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ingest", "train", "link"):
        commands.add_parser(name).add_argument("workspace", type=Path)
    commands.choices["link"].add_argument("least_weight", type=float)
    chosen = parser.parse_args()
    workspace = Workspace(chosen.workspace)
    if chosen.command == "link":
        link(workspace, chosen.least_weight)
    elif chosen.command == "train":
        train(workspace)
    else:
        ingest(workspace)


if __name__ == "__main__":
    _main()
