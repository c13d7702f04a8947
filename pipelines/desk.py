"""The review desk and the pipeline: what a run leaves for it, and how it is started."""

import datetime as dt
from collections.abc import Sequence

import click
import duckdb
import polars as pl

from linkage.decisions import effective_decisions
from linkage.errors import CheckFailedError, UsageError
from linkage.review_cases import PAIR, find_review_cases
from pipelines.models import chosen_model
from pipelines.retraction import releases_to_recall
from pipelines.workspace import Workspace
from quality.desk.queue import Pair, pairs_for_the_next_queue
from quality.desk.reviews import by_case, standing_reviews
from quality.desk.serve import listening_socket, server_of
from quality.desk.snapshot import write_snapshot
from quality.desk.stewards import issue_token
from quality.desk.visit import Desk

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def prepare_cases(workspace: Workspace, connection: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """Write the desk's snapshot from what the last linkage left in the warehouse; returns the cases by kind.

    Raises CheckFailedError when no linkage has been finished.
    """
    settings = workspace.settings()
    try:
        ((version, link_weight),) = connection.execute(
            "select model_version, link_weight from linkage_run"
        ).fetchall()
        ((as_of,),) = connection.execute("select as_of from run_parameter").fetchall()
    except duckdb.CatalogException:
        raise CheckFailedError(
            f"{workspace.root} holds no finished linkage. Run `familiar-faces run` first."
        ) from None
    model = chosen_model(workspace, version)
    assert model is not None
    decided = {
        ((row[0], row[1]), (row[2], row[3]))
        for row in effective_decisions(workspace.stewardship).select(PAIR).iter_rows()
    }
    settled, wanted = pairs_for_the_next_queue(
        by_case(standing_reviews(workspace.stewardship)),
        decided=decided,
        double_review_share=settings.review.double_review_share,
    )
    found = find_review_cases(
        connection,
        model,
        link_weight=link_weight,
        queue_size=settings.review.queue_size,
        settled=_frame(settled),
        wanted=_frame(wanted),
    )
    write_snapshot(workspace.review_cases, found, as_of=str(as_of))
    return {
        str(kind): int(count) for kind, count in found.cases.group_by("kind").len().sort("kind").iter_rows()
    }


def desk_of(workspace: Workspace, *, host: str, blind: bool) -> Desk:
    """The desk of one county. Raises UsageError when no run has prepared cases yet."""
    settings = workspace.settings()
    if not workspace.review_cases.is_file():
        raise UsageError(
            f"{workspace.root} has nothing to review yet. Run `familiar-faces run` first, which prepares cases."
        )
    return Desk(
        stewardship=workspace.stewardship,
        snapshot=workspace.review_cases,
        county=settings.name,
        double_review_share=settings.review.double_review_share,
        prepared=workspace.prepared_release,
        current_release=workspace.releases / "current",
        to_recall=lambda: [
            release.release_id for release in releases_to_recall(workspace, dt.datetime.now(dt.UTC).date())
        ],
        blind=blind,
        hosts=_LOOPBACK[:2] if host in _LOOPBACK else (*_LOOPBACK[:2], host),
    )


def serve_desk(workspace: Workspace, *, host: str, port: int, steward: str | None, blind: bool) -> None:
    """Serve the desk until interrupted, saying where; with a steward's name, an address that opens it once."""
    desk = desk_of(workspace, host=host, blind=blind)
    listener = listening_socket(host, port)
    named = f"[{host}]" if ":" in host else host
    address = f"http://{named}:{listener.getsockname()[1]}"
    if steward is not None:
        token = issue_token(workspace.stewardship, steward, now=dt.datetime.now(dt.UTC), one_time=True)
        click.echo(f"Open within 15 minutes, once: {address}/sign-in?token={token}")
    else:
        click.echo(f"The review desk is at {address}/ (each steward signs in with a token of their own).")
    if host not in _LOOPBACK:
        click.echo("It can be reached from other machines, and speaks plain HTTP: put it behind a TLS proxy.")
    click.echo("Press Ctrl+C to close it.")
    server_of(desk).run(sockets=[listener])


def _frame(pairs: Sequence[Pair]) -> pl.DataFrame:
    return pl.DataFrame(
        [(*left, *right) for left, right in pairs], schema=dict.fromkeys(PAIR, pl.String), orient="row"
    )
