"""Our own charts, drawn as SVG where the page is made: they need no script, print well and stand without a network.

Every picture says in words what it shows; the numbers stand in a table beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

_WIDTH, _HEIGHT = 500, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 66, 16, 14, 44
_MARKS = ("circle", "square", "line")


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a picture: its name, its points (x, y) and a number from 1 that chooses colour and mark."""

    name: str
    points: Sequence[tuple[float, float]]
    style: int


def line_picture(
    series: Sequence[Series],
    *,
    says: str,
    x_label: str,
    y_label: str,
    y_range: tuple[float, float] | None = None,
    marked_x: float | None = None,
    marked_label: str = "",
) -> Markup:
    """Lines over a common x axis; `marked_x` draws an upright line there, with its label."""
    xs = [x for each in series for x, _ in each.points] + ([] if marked_x is None else [marked_x])
    ys = [y for each in series for _, y in each.points]
    if not xs or not ys:
        return Markup("")
    x_low, x_high = _widened(min(xs), max(xs))
    y_low, y_high = y_range or _widened(min(ys), max(ys))

    def at(x: float, y: float) -> tuple[float, float]:
        across = _LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT)
        up = _HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM)
        return round(across, 1), round(up, 1)

    drawn = [_axes(x_low, x_high, y_low, y_high, x_label, y_label)]
    if marked_x is not None:
        across, _ = at(marked_x, y_low)
        anchor = "end" if across > _WIDTH / 2 else "start"
        drawn.append(
            f'<line class="marked" x1="{across}" x2="{across}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>'
            f'<text class="marked" x="{across + (-6 if anchor == "end" else 6)}" y="{_HEIGHT - _BOTTOM - 8}" '
            f'text-anchor="{anchor}">{escape(marked_label)}</text>'
        )
    for each in series:
        points = [at(x, y) for x, y in each.points]
        path = " ".join(f"{across},{up}" for across, up in points)
        drawn.append(f'<polyline class="s{each.style}" points="{path}"/>')
        drawn += [_mark(across, up, each.style) for across, up in points]
    legend = "".join(
        f'<li><span class="key k{each.style}" aria-hidden="true"></span>{escape(each.name)}</li>'
        for each in series
    )
    return Markup(  # noqa: S704  (every text in it is escaped above)
        f'<svg role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" aria-label="{escape(says, quote=True)}">'
        f'<title>{escape(says)}</title>{"".join(drawn)}</svg><ul class="legend-line">{legend}</ul>'
    )


def bar(share: float | None, *, style: int = 1) -> Markup:
    """A bar in a table's cell, as wide as a share of 1; nothing where there is none."""
    if share is None:
        return Markup("")
    width = round(100 * min(max(share, 0.0), 1.0), 1)
    return Markup(  # noqa: S704  (numbers only)
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="ground" width="100" height="10"/><rect class="b{style}" width="{width}" height="10"/></svg>'
    )


def _axes(x_low: float, x_high: float, y_low: float, y_high: float, x_label: str, y_label: str) -> str:
    lines = []
    for part in range(5):
        y = y_low + part / 4 * (y_high - y_low)
        up = round(_HEIGHT - _BOTTOM - part / 4 * (_HEIGHT - _TOP - _BOTTOM), 1)
        lines.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{up}" y2="{up}"/>'
            f'<text x="{_LEFT - 6}" y="{up + 4}" text-anchor="end">{_short(y, y_high - y_low)}</text>'
        )
        x = x_low + part / 4 * (x_high - x_low)
        across = round(_LEFT + part / 4 * (_WIDTH - _LEFT - _RIGHT), 1)
        lines.append(
            f'<text x="{across}" y="{_HEIGHT - _BOTTOM + 18}" text-anchor="middle">{_short(x, x_high - x_low)}</text>'
        )
    middle = (_TOP + _HEIGHT - _BOTTOM) / 2
    lines.append(
        f'<text class="axis" x="{(_LEFT + _WIDTH - _RIGHT) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">'
        f"{escape(x_label)}</text>"
        f'<text class="axis" transform="rotate(-90 12 {middle})" x="12" y="{middle}" text-anchor="middle">'
        f"{escape(y_label)}</text>"
    )
    return "".join(lines)


def _mark(across: float, up: float, style: int) -> str:
    if _MARKS[(style - 1) % len(_MARKS)] == "square":
        return f'<rect class="m{style}" x="{across - 3.5}" y="{up - 3.5}" width="7" height="7"/>'
    return f'<circle class="m{style}" cx="{across}" cy="{up}" r="3.5"/>'


def _widened(low: float, high: float) -> tuple[float, float]:
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _short(number: float, span: float) -> str:
    return f"{number:.{0 if span >= 20 else 1 if span >= 2 else 2 if span >= 0.2 else 3}f}"
