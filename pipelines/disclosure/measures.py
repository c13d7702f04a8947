"""What published measures have to do with one another: which are nested, exclude each other, or count people once."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Nesting:
    """Measures of one family: how far each looks, and whether it counts every kind (`is_any`) or one of them.

    `measures` maps a measure to (how far, kind); what looks less far and is of the same kind, or of one kind where the
    other is of any, is nested in the other.
    """

    measures: Mapping[str, tuple[int, str]]
    any_kind: str

    def is_within(self, one: str, other: str) -> bool:
        """Whether everybody that `one` counts is counted by `other`."""
        (near, kind), (far, of_kind) = self.measures[one], self.measures[other]
        return one != other and near <= far and of_kind in (kind, self.any_kind)

    def by_preference(self) -> list[str]:
        """The measures, what is rather shown first: any kind, the farthest, the nearest, the others."""
        reach = sorted({how_far for how_far, _ in self.measures.values()})
        rank = {how_far: place for place, how_far in enumerate([reach[-1], *reach[:-1]])}
        return sorted(
            self.measures,
            key=lambda name: (
                self.measures[name][1] != self.any_kind, rank[self.measures[name][0]], self.measures[name][1],
            ),
        )  # fmt: skip


NESTINGS = (
    Nesting(measures={f"connected_{days}_days": (days, "") for days in (7, 14, 30)}, any_kind=""),
    Nesting(
        measures={
            f"rebooked_{months}_months_{kind}": (months, kind)
            for months in (12, 24, 36)
            for kind in ("any", "new_charge", "technical")
        },
        any_kind="any",
    ),
    Nesting(
        measures={
            f"released_then_{kind}_{name}": (hours, kind)
            for name, hours in (("72_hours", 72), ("14_days", 336))
            for kind in ("either", "ems", "ed")
        },
        any_kind="either",
    ),
    Nesting(
        measures={
            f"booked_after_{kind}_{days}_days": (days, kind)
            for days in (7, 30)
            for kind in ("either", "ems", "ed")
        },
        any_kind="either",
    ),
    *(
        Nesting(
            measures={
                f"{contact}_then_{target}_{name}": (hours, target)
                for name, hours in (("24_hours", 24), ("72_hours", 72), ("7_days", 168))
                for target in ("ems", "ed", "booking")
            },
            any_kind="",
        )
        for contact in ("call", "mobile_response", "stabilization_stay")
    ),
)
"""The measures that are nested in one another."""

ENDINGS = (
    (
        "call_resolved_without_dispatch",
        "call_sent_mobile_crisis",
        "call_handed_to_ems",
        "call_sent_police",
    ),
    (
        "mobile_response_resolved_in_field",
        "mobile_response_taken_to_stabilization",
        "mobile_response_taken_to_ed",
        "mobile_response_handed_to_police",
    ),
)
"""Measures that exclude each other, of one denominator: what they leave of it is told by all of them."""

COUNTED_ONCE = ("people_booked", "rebooked_")
"""Beginnings of measures that count people once in a period, so that months do not add up to their year."""


def family(measure: str) -> str:
    """The name under which measures go that tell of one another."""
    for together in (*(nesting.measures for nesting in NESTINGS), *ENDINGS):
        if measure in together:
            return min(together)
    return measure
