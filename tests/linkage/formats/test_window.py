"""What a delivery may know: encounters that touch its window, as they stood when it ended."""

from datetime import date

import polars as pl
import pytest

from linkage.encoding.formats import within_window


@pytest.mark.parametrize(
    ("started", "ended", "kept", "why"),
    [
        ("2026-03-05", "2026-03-09", "2026-03-09", "inside"),
        ("2026-02-05", "2026-03-01", "2026-03-01", "ended on the first day"),
        ("2026-02-05", "2026-02-28T23:59:59", "out", "ended before"),
        ("2026-02-05T10:00:00", None, None, "open"),
        ("2026-03-31T23:59:59", "2026-04-01T08:00:00", None, "its end is not known yet"),
        ("2026-04-01", None, "out", "begins after"),
        ("2026-04-01T00:00:00", None, "out", "begins after"),
        ("unreadable", None, None, "for the encoder to list"),
        ("2026-03-05", "unreadable", "unreadable", "for the encoder to list"),
        (None, None, None, "for the encoder to list"),
    ],
)
def test_encounters_within_the_window(started, ended, kept, why):
    rows = pl.DataFrame(
        {"started_at": [started], "ended_at": [ended], "reason": ["bond"]},
        schema_overrides={"started_at": pl.String, "ended_at": pl.String},
    )
    left = within_window(rows, date(2026, 3, 1), date(2026, 4, 1), known_at_end=("reason",))
    assert left.get_column("ended_at").to_list() == ([] if kept == "out" else [kept]), why
    if left.height and ended is not None and kept is None:
        assert left.get_column("reason").to_list() == [None], why
