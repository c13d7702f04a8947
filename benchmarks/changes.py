"""What a month costs that adds one record in twenty: scoring the changes alone against scoring everything.

python -m benchmarks.changes WORKSPACE      a workspace with deliveries and a model, as `benchmarks --keep` leaves

Works in a copy of the warehouse. Writes results/changes.json.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from benchmarks.__main__ import RESULTS
from benchmarks.measure import Stopwatch, machine
from linkage.changes import score_changes
from linkage.records import build_source_record
from linkage.scoring import LEAST_WEIGHT_KEPT, ScoringReport, score
from linkage.source import declared_sources
from pipelines.models import chosen_model
from pipelines.workspace import Workspace

NEW_SHARE = 20
"""One record in so many is new."""


def measure(workspace: Workspace) -> dict[str, object]:
    """Seconds of both, the share, and how many records and pairs each looked at."""
    policy = workspace.settings().linkage
    model = chosen_model(workspace, policy.model)
    assert model is not None
    limits = {"lower_weight": LEAST_WEIGHT_KEPT, "largest_block": policy.largest_block}
    watch = Stopwatch()
    with workspace.connect() as con:
        build_source_record(con, list(declared_sources().values()))
        con.execute(
            f"""
            create table next_month as from source_record where source_record_id % {NEW_SHARE} = 0;
            delete from source_record where source_record_id % {NEW_SHARE} = 0;
            """
        ).fetchall()
        score(con, model, **limits)
        con.execute("insert into source_record from next_month").fetchall()
        with watch.part("changes"):
            changes = score_changes(con, model, **limits)
        assert isinstance(changes, ScoringReport), changes
        with watch.part("everything"):
            everything = score(con, model, **limits)
    return {
        **watch.report(),
        "records": everything.records,
        "new_records": everything.records // NEW_SHARE,
        "changed_pairs": changes.candidate_pairs,
        "all_pairs": everything.candidate_pairs,
        "share": round(watch.parts["changes"] / watch.parts["everything"], 3),
        "machine": machine(),
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workspace", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.workspace.parent) as scratch:
        copied = Path(scratch) / "workspace"
        shutil.copytree(chosen.workspace, copied, symlinks=True)
        measured = measure(Workspace(copied))
    (RESULTS / "changes.json").write_text(json.dumps(measured, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(measured, indent=2))


if __name__ == "__main__":
    _main()
