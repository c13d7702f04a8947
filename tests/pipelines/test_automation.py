"""What starts runs by itself: deliveries that land, what follows them, and the calendar."""

import datetime as dt
import shutil

import dagster as dg
import pytest

from linkage.errors import UsageError
from linkage.source import declared_sources
from pipelines.assets.freshness import lateness
from pipelines.definitions import defs
from pipelines.operations.automation import landing, monthly_refresh, months_range
from pipelines.operations.history import open_history
from pipelines.operations.settings import Operations, load_operations
from pipelines.resources import CountyWorkspace
from pipelines.workspace import WORKSPACE_VARIABLE
from tests.pipelines.small_county import encounter, person

JAIL = dg.AssetKey("jail_delivery")


@pytest.fixture
def deliver_jail(county):
    """Delivers a month of one jail booking; another `number` makes another delivery."""

    def deliver(month, number=1):
        booking = encounter(f"b{number}", "j1", "booking", f"{month}-03T10:00", f"{month}-04T10:00")
        return county.deliver("jail", month, [person("j1")], [booking])

    return deliver


@pytest.fixture
def look(county):
    """Lets the sensor look, with the cursor it left the last time; returns what it asks for."""
    cursor = None

    def look():
        nonlocal cursor
        resources = {"county": CountyWorkspace(root=str(county.workspace.root))}
        with dg.build_sensor_context(cursor=cursor, resources=resources, definitions=defs) as context:
            found = landing(context)
            cursor = context.cursor
        return [
            (request.asset_selection, *months_of(request)) for request in getattr(found, "run_requests", [])
        ]

    return look


def months_of(request):
    return (
        request.tags["dagster/asset_partition_range_start"][:7],
        request.tags["dagster/asset_partition_range_end"][:7],
    )


def test_a_new_delivery_is_ingested_once_it_lies_still(deliver_jail, look):
    deliver_jail("2025-01")
    assert look() == []
    assert look() == [([JAIL], "2025-01", "2025-01")]
    assert look() == []


def test_a_changed_delivery_is_ingested_again_and_so_is_one_that_is_changed_back(deliver_jail, look):
    deliver_jail("2025-01")
    look(), look()
    for number in (2, 1):
        deliver_jail("2025-01", number)
        assert look() == []
        assert look() == [([JAIL], "2025-01", "2025-01")]


def test_a_delivery_that_is_still_being_copied_is_waited_for(deliver_jail, look):
    people = deliver_jail("2025-01") / "people.parquet"
    whole = people.read_bytes()
    for share in (10, 5, 1):
        people.write_bytes(whole[: len(whole) // share])
        assert look() == []
    assert look() == [([JAIL], "2025-01", "2025-01")]


def test_neighbouring_months_are_one_run_and_a_gap_begins_another(deliver_jail, look):
    for month in ("2024-11", "2024-12", "2025-01", "2025-03"):
        deliver_jail(month)
    look()
    assert look() == [([JAIL], "2024-11", "2025-01"), ([JAIL], "2025-03", "2025-03")]


def test_a_month_that_cannot_be_delivered_yet_is_left_lying(deliver_jail, look):
    folder = deliver_jail("2025-01")
    shutil.copytree(folder, folder.with_name("2199-01"))
    look()
    assert look() == [([JAIL], "2025-01", "2025-01")]


def test_an_ingest_is_followed_by_all_it_feeds_but_never_by_a_release(county, deliver_jail, monkeypatch):
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(county.workspace.root))
    deliver_jail("2025-01")
    deliver_jail("2025-02")
    with open_history(county.workspace) as history:
        before = dg.evaluate_automation_conditions(defs, history)
        assert before.total_requested == 0
        ingested = defs.resolve_job_def("ingest").execute_in_process(
            instance=history, asset_selection=[JAIL], tags=months_range("2025-01", "2025-02")
        )
        assert ingested.success
        assert history.get_materialized_partitions(JAIL) == {"2025-01-01", "2025-02-01"}
        after = dg.evaluate_automation_conditions(defs, history, cursor=before.cursor)
        asked_for = {result.key.to_user_string() for result in after.results if result.true_subset.size}
        again = dg.evaluate_automation_conditions(defs, history, cursor=after.cursor)
    everything = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    deliveries = {f"{source}_delivery" for source in declared_sources()}
    assert asked_for == everything - deliveries - {"release"}
    assert again.total_requested == 0


def test_the_refresh_covers_every_landed_month_in_the_countys_time_zone(county, deliver_jail, monkeypatch):
    monkeypatch.setenv(WORKSPACE_VARIABLE, str(county.workspace.root))
    (county.workspace.root / "operations.toml").write_text('[refresh]\ncron = "30 4 9 * *"\n')
    schedule = monthly_refresh()
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("30 4 9 * *", "America/Los_Angeles")
    assert schedule.job_name == "refresh"
    resources = {"county": CountyWorkspace()}
    with dg.build_schedule_context(resources=resources) as context:
        assert not schedule.evaluate_tick(context).run_requests
    for month in ("2024-11", "2025-02"):
        deliver_jail(month)
    with dg.build_schedule_context(resources=resources) as context:
        (request,) = schedule.evaluate_tick(context).run_requests
    assert months_of(request) == ("2024-11", "2025-02")


def test_nothing_starts_until_somebody_turns_it_on_but_every_run_gets_its_page():
    repository = defs.get_repository_def()
    running = {
        sensor.name
        for sensor in repository.sensor_defs
        if sensor.default_status == dg.DefaultSensorStatus.RUNNING
    }
    assert running == {"summary_of_failure", "summary_of_success"}
    assert {schedule.name for schedule in repository.schedule_defs} == {"monthly_refresh", "daily_freshness"}
    assert all(
        schedule.default_status == dg.DefaultScheduleStatus.STOPPED for schedule in repository.schedule_defs
    )


def test_one_run_at_a_time_and_only_a_run_whose_process_died_is_started_again(county):
    with open_history(county.workspace) as history:
        pools = history.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert pools.pool_granularity == dg._core.instance.config.PoolGranularity.RUN
        assert history.get_concurrency_config().run_queue_config.max_concurrent_runs == 1
        assert history.run_retries_max_retries == 1
        assert not history.run_retries_retry_on_asset_or_op_failure
        assert not history.telemetry_enabled


def test_a_run_of_dagster_waits_for_one_of_the_command_line(county, monkeypatch):
    monkeypatch.setattr("pipelines.resources._PATIENCE_SECONDS", 0)
    resource = CountyWorkspace(root=str(county.workspace.root))
    with county.workspace.only_run(), pytest.raises(UsageError, match="Another run"), resource.warehouse():
        pass
    with resource.warehouse():
        pass
    with pytest.raises(UsageError, match="Another run"), county.workspace.only_run():
        pass
    resource.teardown_after_execution(dg.build_init_resource_context())
    with county.workspace.only_run():
        pass


def test_a_source_is_late_by_its_own_days():
    covered = {"jail": dt.date(2025, 1, 1), "hospital": dt.date(2025, 1, 1)}
    operations = Operations(late_after_days={"hospital": 60})
    found = lateness(covered, operations, dt.date(2025, 2, 16))
    assert found["jail"] == (False, 46)
    assert found["hospital"] == (True, 46)
    assert found["ems"] == (False, None)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param('[refresh]\ncron = "often"', "[refresh] cron", id="no cron expression"),
        pytest.param("[late_after_days]\nlibrary = 3", "[late_after_days]", id="no such source"),
        pytest.param("[late_after_days]\njail = 0", "[late_after_days] jail", id="no days"),
        pytest.param('[notify]\nafter = "lunch"', "[notify] after", id="no such occasion"),
        pytest.param('[notify]\ncommand = "mail"', "[notify] command", id="a command for a shell"),
        pytest.param('[notify]\nwebhook = "ftp://x"', "[notify] webhook", id="no web address"),
        pytest.param("[retention]\ndays = 3", "[retention]", id="no such section"),
        pytest.param("refresh = 3", "[refresh]", id="no table"),
        pytest.param("[", "TOML", id="no TOML"),
    ],
)
def test_an_operations_file_is_refused_by_section_and_key(tmp_path, text, named):
    (tmp_path / "operations.toml").write_text(text)
    with pytest.raises(UsageError) as refused:
        load_operations(tmp_path)
    assert named in str(refused.value)


def test_the_sample_operations_file_says_the_defaults(tmp_path):
    assert load_operations(tmp_path) == Operations()
    shutil.copy("sample_data/operations.toml", tmp_path / "operations.toml")
    sample = load_operations(tmp_path)
    assert (sample.refresh_cron, sample.tell, sample.command) == (Operations().refresh_cron, "failure", ())
    assert sample.late_after("hospital") == 60
