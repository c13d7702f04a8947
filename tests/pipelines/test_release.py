"""A release is complete, immutable, described, and swapped in by one rename."""

import grp
import os
import stat

import duckdb
import pytest

from linkage.errors import CheckFailedError, UsageError
from pipelines.releases.release import (
    current_release,
    list_releases,
    publish,
    read_release,
    releases_of_the_same_day,
    table_checksum,
    verify,
)
from pipelines.workspace import Workspace

STATE = {"as_of": "2026-01-01", "model": "m1"}


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "county.toml").write_text("")
    workspace = Workspace(tmp_path)
    workspace.prepare()
    with workspace.connect() as connection:
        connection.execute("create table person (person_id varchar, visits integer)").fetchall()
        connection.execute("insert into person values ('P2', 3), ('P1', 5)").fetchall()
        connection.execute("comment on table person is 'One row per person; it''s small.'").fetchall()
        connection.execute("comment on column person.person_id is 'Opaque id.'").fetchall()
        connection.execute("comment on column person.visits is 'Visits.'").fetchall()
    return workspace


def publish_state(workspace, state=STATE, readers_group=None):
    with workspace.connect() as connection:
        return publish(
            workspace,
            connection,
            relations={"person": "person_id"},
            state=state,
            details={},
            readers_group=readers_group,
        )


def test_the_released_file_holds_the_table_in_order_with_its_comments(workspace):
    release = publish_state(workspace)
    with duckdb.connect(release.database, read_only=True) as connection:
        assert connection.execute("select * from person").fetchall() == [("P1", 5), ("P2", 3)]
        assert connection.execute("select comment from duckdb_tables()").fetchall() == [
            ("One row per person; it's small.",)
        ]
        assert connection.execute(
            "select comment from duckdb_columns() where table_name = 'person'"
        ).fetchall() == [
            ("Opaque id.",),
            ("Visits.",),
        ]


def test_older_versions_of_duckdb_open_the_released_file(workspace):
    release = publish_state(workspace)
    with duckdb.connect() as connection:
        connection.execute(f"attach '{release.database}' as released (read_only)").fetchall()
        assert connection.execute(
            "select tags['storage_version'] from duckdb_databases() where database_name = 'released'"
        ).fetchall() == [("v1.4.0+",)]


def test_current_points_at_the_newest_and_old_releases_stay(workspace):
    first = publish_state(workspace)
    second = publish_state(workspace, {**STATE, "model": "m2"})
    assert current_release(workspace).release_id == second.release_id
    assert {release.release_id for release in list_releases(workspace)} == {
        first.release_id,
        second.release_id,
    }


def test_releases_of_the_same_day_are_the_others_that_count_up_to_it(workspace):
    own = publish_state(workspace)
    other = publish_state(workspace, {**STATE, "model": "m2"})
    publish_state(workspace, {**STATE, "as_of": "2025-12-01"})
    found = releases_of_the_same_day(workspace, as_of="2026-01-01", beside=own.release_id)
    assert [release.release_id for release in found] == [other.release_id]


def test_the_same_state_is_the_same_release(workspace):
    first = publish_state(workspace)
    written = first.database.stat().st_mtime_ns
    again = publish_state(workspace)
    assert again.release_id == first.release_id
    assert again.database.stat().st_mtime_ns == written


def test_the_countys_group_can_reach_a_release_and_nobody_else(workspace):
    group = grp.getgrgid(os.getgid()).gr_name
    release = publish_state(workspace, readers_group=group)
    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (*release.folder.iterdir(), release.folder)
    }
    assert set(modes.values()) == {0o440, 0o550}
    assert stat.S_IMODE(workspace.releases.stat().st_mode) == 0o750
    assert release.folder.stat().st_gid == workspace.releases.stat().st_gid == os.getgid()


def test_a_group_that_is_named_later_can_reach_what_was_published_before(workspace):
    published = publish_state(workspace)
    assert stat.S_IMODE(published.database.stat().st_mode) == 0o400
    group = grp.getgrgid(os.getgid()).gr_name
    publish_state(workspace, {**STATE, "model": "m2"}, readers_group=group)
    assert stat.S_IMODE(published.database.stat().st_mode) == 0o440
    publish_state(workspace, {**STATE, "model": "m2"})
    assert stat.S_IMODE(published.database.stat().st_mode) == 0o400
    assert stat.S_IMODE(workspace.releases.stat().st_mode) == 0o700


def test_a_reader_keeps_the_release_it_opened_while_the_next_is_published(workspace):
    publish_state(workspace)
    with duckdb.connect(workspace.releases / "current" / "familiar_faces.duckdb", read_only=True) as reader:
        with workspace.connect() as connection:
            connection.execute("delete from person where person_id = 'P1'").fetchall()
        publish_state(workspace, {**STATE, "model": "m2"})
        assert reader.execute("select count(*) from person").fetchall() == [(2,)]
    with duckdb.connect(workspace.releases / "current" / "familiar_faces.duckdb", read_only=True) as reader:
        assert reader.execute("select count(*) from person").fetchall() == [(1,)]


def test_nothing_in_a_release_can_be_written_by_others(workspace):
    release = publish_state(workspace)
    for path in (release.folder, *release.folder.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o277 == 0, path


def test_a_table_without_a_comment_is_not_released_and_current_stays(workspace):
    before = publish_state(workspace)
    with workspace.connect() as connection:
        connection.execute("alter table person add column extra integer").fetchall()
    with pytest.raises(CheckFailedError, match="column extra has no comment"):
        publish_state(workspace, {**STATE, "model": "m2"})
    assert current_release(workspace).release_id == before.release_id


def test_a_leftover_draft_of_a_killed_publish_is_replaced(workspace):
    released = publish_state(workspace)
    draft = workspace.releases / f".{released.release_id}.draft"
    released.folder.chmod(0o700)
    released.folder.rename(draft)
    os.truncate(draft / "familiar_faces.duckdb", 100)
    again = publish_state(workspace)
    assert verify(again) == []
    assert not draft.exists()


def test_verify_notices_a_changed_file(workspace):
    release = publish_state(workspace)
    release.database.chmod(0o600)
    with release.database.open("r+b") as file:
        file.seek(5000)
        file.write(b"tampered")
    assert "differs from the checksum" in verify(read_release(release.folder))[0]


def test_a_folder_without_manifest_is_no_release(workspace):
    (workspace.releases / "2020-01-01-x").mkdir()
    with pytest.raises(UsageError, match="is not a release"):
        read_release(workspace.releases / "2020-01-01-x")
    assert list_releases(workspace) == []


def test_a_table_checksum_ignores_order_and_notices_every_change():
    with duckdb.connect() as connection:
        connection.execute("create table a as select range as x from range(100)").fetchall()
        connection.execute("create table b as from a order by x desc").fetchall()
        connection.execute("create table c as select if(x = 7, 8, x) as x from a").fetchall()
        assert table_checksum(connection, "a") == table_checksum(connection, "b")
        assert table_checksum(connection, "a") != table_checksum(connection, "c")
