"""Which parts of a sum may be shown beside it."""

from collections.abc import Sequence


def is_few(count: float, least: int) -> bool:
    """Whether a count, or what it has changed by, is of people, but of fewer than `least`."""
    return 0 < abs(count) < least


def shown_parts(
    parts: Sequence[int],
    least: int,
    *,
    earlier: Sequence[Sequence[int]] = (),
    sums: Sequence[Sequence[int]] | None = None,
) -> list[bool]:
    """Which disjoint counts of people may be shown beside their `sums` (places of parts; without it, that of all).

    Counts from 1 to `least` - 1 are withheld, and counts that have changed by so few since one of the `earlier` times.
    Where of one sum a part alone is withheld, or the withheld ones together are fewer than `least` people or have
    changed by fewer, the next smallest goes as well, so that no subtraction gives a small count away.
    """
    shown = [
        not 0 < part < least and not any(is_few(part - before[place], least) for before in earlier)
        for place, part in enumerate(parts)
    ]

    def tells(places: Sequence[int]) -> bool:
        hidden = [at for at in places if not shown[at]]
        changes = [sum(parts[at] - before[at] for at in hidden) for before in earlier]
        return bool(hidden) and (
            len(hidden) == 1
            or sum(parts[at] for at in hidden) < least
            or any(is_few(change, least) for change in changes)
        )

    def next_to_go(places: Sequence[int]) -> list[int]:
        return [at for at in places if shown[at] and (parts[at] or any(before[at] for before in earlier))]

    of_sums = [range(len(parts))] if sums is None else sums
    while beside := next(
        (left for places in of_sums if tells(places) and (left := next_to_go(places))), None
    ):
        shown[min(beside, key=lambda at: (parts[at], at))] = False
    return shown
