"""One page about each run, and whom it is told to; neither ever holds a value from a record."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import duckdb
import pytest

from linkage.errors import FamiliarFacesError
from pipelines import run
from pipelines.definitions import defs
from pipelines.operations.automation import months_range, summary_of_failure
from pipelines.operations.history import open_history
from pipelines.operations.run_summary import write_summary
from pipelines.resources import CountyWorkspace
from pipelines.workspace import WORKSPACE_VARIABLE
from tests.pipelines.small_county import encounter, person

PLANTED = "Zebulon"


@pytest.fixture
def delivered(county):
    """A county with one delivery, of a person with the planted name."""
    booking = encounter("b1", "j1", "booking", "2025-01-03T10:00", "2025-01-04T10:00")
    county.deliver("jail", "2025-01", [person("j1", first_name=PLANTED)], [booking])
    return county


@pytest.fixture
def breaks(monkeypatch):
    """Makes the ingest fail with an error whose message quotes a record."""

    def breaks(error_class):
        def fail(*_):
            raise error_class(f"cannot convert '{PLANTED}' to a date")

        monkeypatch.setattr("pipelines.assets.deliveries.load_candidate", fail)

    return breaks


def pages(county):
    return [path.read_text() for path in sorted((county.workspace.root / "run_summaries").glob("*.md"))]


def test_a_failed_command_has_a_page_that_says_why_and_quotes_nothing(delivered, breaks):
    breaks(ValueError)
    with pytest.raises(FamiliarFacesError) as failed:
        run.train_model(delivered.workspace)
    (page,) = pages(delivered)
    assert "train_linkage_model: failed" in page
    assert str(failed.value) in page
    assert "What to do:" in page
    assert PLANTED not in page


def test_what_the_database_said_is_not_repeated(delivered, breaks):
    breaks(duckdb.ConversionException)
    ingested(delivered)
    (page,) = pages(delivered)
    assert "The warehouse refused a statement (ConversionException" in page
    assert PLANTED not in page


def test_a_step_that_may_use_too_little_memory_says_what_to_raise(delivered, breaks, monkeypatch):
    monkeypatch.setenv("FAMILIAR_FACES_MEMORY_LIMIT", "6GB")
    breaks(duckdb.OutOfMemoryException)
    ingested(delivered)
    (page,) = pages(delivered)
    assert "needs more memory than FAMILIAR_FACES_MEMORY_LIMIT, which is 6GB, allows" in page
    assert PLANTED not in page


def test_a_run_that_succeeds_has_a_page_with_its_checks_steps_and_counts(delivered):
    ingested(delivered)
    (page,) = pages(delivered)
    assert "succeeded" in page
    assert "jail_delivery.still_delivers" in page
    assert "rows_delivered 2, rows_accepted 2, rows_quarantined 0" in page
    assert PLANTED not in page


def test_the_daemons_sensor_writes_the_page_of_a_failure_unless_it_is_there(delivered, breaks):
    breaks(ValueError)
    failed = ingested(delivered)
    (page,) = (delivered.workspace.root / "run_summaries").glob("*.md")
    for there_already in (True, False):
        page.write_text("read before")
        if not there_already:
            page.unlink()
        with (
            open_history(delivered.workspace) as history,
            dg.build_run_status_sensor_context(
                sensor_name="summary_of_failure",
                dagster_instance=history,
                dagster_run=failed.dagster_run,
                dagster_event=failed.all_events[-1],
                resources={"county": CountyWorkspace(root=str(delivered.workspace.root))},
            ).for_run_failure() as context,
        ):
            summary_of_failure(context)
        assert (page.read_text() == "read before") is there_already
    assert "failed" in page.read_text()
    assert PLANTED not in page.read_text()


def test_the_command_of_the_county_is_told_of_a_failure(delivered, breaks, tmp_path):
    told = tmp_path / "told"
    notify(delivered, f'command = ["tee", "{told}"]')
    breaks(ValueError)
    ingested(delivered)
    assert "A bug stopped the run in jail_delivery (ValueError)" in told.read_text()
    assert PLANTED not in told.read_text()


def test_a_webhook_is_told_in_json(delivered, breaks):
    heard = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Listener) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        notify(delivered, f'webhook = "http://127.0.0.1:{server.server_port}/"')
        breaks(ValueError)
        ingested(delivered)
    (notice,) = heard
    assert (notice["job"], notice["succeeded"]) == ("ingest", False)
    assert PLANTED not in json.dumps(notice)


@pytest.mark.parametrize(
    "nobody",
    ['command = ["/no/such/program"]', 'webhook = "http://127.0.0.1:9/"'],
    ids=["command", "webhook"],
)
def test_that_nobody_can_be_told_is_said_and_hides_nothing(delivered, breaks, nobody, capsys):
    notify(delivered, nobody)
    breaks(ValueError)
    ingested(delivered)
    assert "nobody was told" in capsys.readouterr().err
    assert len(pages(delivered)) == 1


def ingested(county):
    """Ingest the delivery as the daemon does, and write the page."""
    with open_history(county.workspace) as history, pytest.MonkeyPatch.context() as environment:
        environment.setenv(WORKSPACE_VARIABLE, str(county.workspace.root))
        result = defs.resolve_job_def("ingest").execute_in_process(
            instance=history,
            asset_selection=[dg.AssetKey("jail_delivery")],
            tags=months_range("2025-01", "2025-01"),
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            raise_on_error=False,
        )
        write_summary(history, result.run_id, county.workspace)
    return result


def notify(county, line):
    (county.workspace.root / "operations.toml").write_text(f"[notify]\n{line}\n")
