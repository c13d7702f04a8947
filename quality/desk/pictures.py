"""Drawings made at the server as SVG: two timelines over one axis, and the waterfall of match weights.

They carry classes, never styles, so that the desk's Content-Security-Policy can forbid inline styles. Whatever a
drawing shows stands beside it in words or in a table.
"""

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from linkage.source import declared_sources
from quality.desk.snapshot import ShownEncounter

_WIDTH = 620.0
_LABELS = 130.0
_ROW = 14.0
_MONTHS_BETWEEN_TICKS = (1, 2, 3, 6, 12, 24, 60)
_MOST_TICKS = 9
_DAY_TICKS = 4
_TICK_ROOM = 25.0
_SHORT_LABELS = {"ems": "Ambulance", "shelter": "Shelter"}


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One encounter as drawn: a bar from x over `width`, or a dot where that is None; y is the row's middle."""

    x: float
    y: float
    width: float | None
    is_open: bool
    title: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    """One source of one side: its label, the y of its middle, and its encounters."""

    side: str
    label: str
    y: float
    marks: tuple[Mark, ...]


@dataclass(frozen=True, kw_only=True)
class Timelines:
    """Both sides' lanes over one time axis; `ticks` are positions with their labels."""

    width: float
    height: float
    divider: float
    lanes: tuple[Lane, ...]
    ticks: tuple[tuple[float, str], ...]


def timelines(encounters: Sequence[ShownEncounter]) -> Timelines | None:
    """The encounters of both sides; None when there are none."""
    if not encounters:
        return None
    spans = [(each, *_span(each)) for each in encounters]
    first = min(start for _, start, _ in spans)
    last = max(end for _, _, end in spans)
    margin = max((last - first) * 0.02, dt.timedelta(days=1))
    first, last = first - margin, last + margin

    def x_of(moment: dt.datetime) -> float:
        return round(_LABELS + (_WIDTH - _LABELS) * ((moment - first) / (last - first)), 1)

    lanes: list[Lane] = []
    y = _ROW
    divider = 0.0
    for side in ("l", "r"):
        for source in sorted({each.source for each, *_ in spans if each.side == side}):
            marks = [
                Mark(
                    x=x_of(start),
                    y=y,
                    width=max(round(x_of(end) - x_of(start), 1), 3.0) if each.is_stay else None,
                    is_open=each.is_open,
                    title=_in_words(each),
                )
                for each, start, end in spans
                if each.side == side and each.source == source
            ]
            lanes.append(
                Lane(
                    side=side,
                    label=_SHORT_LABELS.get(source, declared_sources()[source].label),
                    y=y,
                    marks=tuple(marks),
                )
            )
            y += _ROW * 1.4
        if side == "l":
            divider = y - _ROW * 0.5
            y += _ROW * 0.6
    return Timelines(
        width=_WIDTH, height=y + _ROW, divider=divider, lanes=tuple(lanes), ticks=_ticks(first, last, x_of)
    )


def _span(encounter: ShownEncounter) -> tuple[dt.datetime, dt.datetime]:
    start = dt.datetime.fromisoformat(encounter.started_at)
    end = dt.datetime.fromisoformat(encounter.ended_at) if encounter.ended_at else start
    return start, max(start, end)


def _in_words(encounter: ShownEncounter) -> str:
    kinds = {kind.name: kind.label for kind in declared_sources()[encounter.source].kinds}
    until = " to " + encounter.ended_at[:10] if encounter.ended_at and encounter.is_stay else ""
    return f"{kinds.get(encounter.kind, encounter.kind)}, {encounter.started_at[:10]}{until}"


def _ticks(
    first: dt.datetime, last: dt.datetime, x_of: Callable[[dt.datetime], float]
) -> tuple[tuple[float, str], ...]:
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    step = next(
        (each for each in _MONTHS_BETWEEN_TICKS if months / each <= _MOST_TICKS), _MONTHS_BETWEEN_TICKS[-1]
    )
    ticks = []
    for number in range(first.year * 12 + first.month - 1, last.year * 12 + last.month, 1):
        year, month = divmod(number, 12)
        at = dt.datetime(year, month + 1, 1)  # noqa: DTZ001  (local times without a zone)
        if number % step == 0 and first <= at <= last and x_of(at) < _WIDTH - _TICK_ROOM:
            ticks.append((x_of(at), at.strftime("%Y-%m")))
    if len(ticks) > 1:
        return tuple(ticks)
    # A few days or weeks: days instead of months.
    days = {
        (first + (last - first) * part / _DAY_TICKS).replace(hour=0, minute=0, second=0, microsecond=0)
        for part in range(_DAY_TICKS + 1)
    }
    return tuple(
        (x_of(at), at.strftime("%Y-%m-%d"))
        for at in sorted(days)
        if first <= at and x_of(at) < _WIDTH - _TICK_ROOM
    )


@dataclass(frozen=True, kw_only=True)
class Step:
    """One bar of the waterfall: what it stands for, its weight, and the bar from `x` over `width`."""

    label: str
    weight: float
    x: float
    width: float
    y: float
    kind: str


@dataclass(frozen=True, kw_only=True)
class Waterfall:
    """Bars in order, from the prior to the sum; `labels` (their right end),
    `zero` and `threshold` are x positions."""

    width: float
    height: float
    labels: float
    zero: float
    threshold: float
    steps: tuple[Step, ...]


def waterfall(
    parts: Sequence[tuple[str, float]], *, prior: float, total: float, threshold: float
) -> Waterfall:
    """From the prior's weight through each part's to the sum; all in log2 units."""
    sums = [prior]
    for _, weight in parts:
        sums.append(sums[-1] + weight)
    lowest, highest = min([0.0, threshold, *sums]), max([0.0, threshold, *sums])
    left, right = 165.0, 50.0
    scale = (_WIDTH - left - right) / max(highest - lowest, 1.0)

    def x_of(weight: float) -> float:
        return round(left + (weight - lowest) * scale, 1)

    bars = [("Any two records", prior, 0.0, prior, "prior")]
    for (label, weight), start in zip(parts, sums, strict=False):
        bars.append(
            (
                label,
                weight,
                start,
                start + weight,
                "for" if weight > 0 else "against" if weight < 0 else "none",
            )
        )
    bars.append(("Match weight", total, 0.0, total, "total"))
    steps = [
        Step(
            label=label,
            weight=weight,
            x=x_of(min(start, end)),
            width=max(round(abs(end - start) * scale, 1), 1.5),
            y=number * _ROW * 1.3 + _ROW,
            kind=kind,
        )
        for number, (label, weight, start, end, kind) in enumerate(bars)
    ]
    return Waterfall(
        width=_WIDTH,
        height=steps[-1].y + _ROW * 2,
        labels=left - 8.0,
        zero=x_of(0.0),
        threshold=x_of(threshold),
        steps=tuple(steps),
    )
