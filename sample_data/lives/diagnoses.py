"""What a visit is about, and the ICD-10-CM codes that are written for it."""

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.lives.conditions import SUD_CODES, Conditions
from sample_data.people import Flags

MEDICAL, INJURY, PSYCHIATRIC, SUBSTANCE, OVERDOSE, ELECTIVE, NEWBORN = range(7)

_SMI_DIAGNOSES = ("F20.9", "F25.0", "F31.9", "F33.2", "F29")
_SUD_DIAGNOSES = {
    "alcohol": ("F10.20", "F10.10", "F10.129", "F10.239", "F10.920"),
    "opioid": ("F11.20", "F11.23", "F11.10", "F11.90"),
    "stimulant": ("F15.20", "F15.10", "F14.20", "F15.959", "F15.929"),
    "other": ("F12.20", "F12.10", "F19.20", "F13.20"),
}
_OVERDOSES = {
    "alcohol": ("T51.0X1A", "T42.4X1A"),
    "opioid": ("T40.1X1A", "T40.411A", "T40.2X1A", "T40.601A"),
    "stimulant": ("T43.621A", "T40.5X1A", "T40.411A"),
    "other": ("T50.901A", "T42.4X1A", "T39.1X2A"),
}
_ANXIETY_AND_MOOD = (
    "F41.9",
    "F32.A",
    "F32.9",
    "F41.1",
    "F43.10",
    "F43.20",
    "F41.0",
    "F33.1",
    "F33.2",
    "F32.2",
)
_MEDICAL = (
    "R07.9", "R10.9", "J06.9", "R51.9", "N39.0", "M54.50", "R11.2", "J20.9", "I10", "R05.9", "E11.9",
    "J18.9", "R42", "R55", "K52.9", "L03.90", "J45.901", "J44.1", "R06.02", "I50.9", "A41.9", "N20.0",
    "K59.00", "H66.90", "R50.9", "J02.9", "B34.9", "I48.91", "E11.65", "K35.80", "K80.20", "K92.2", "N17.9",
    "I63.9", "I21.4", "G40.909", "R56.9", "G43.909", "L02.91", "L03.115", "K85.90", "K70.30", "E86.0",
    "E87.6", "D64.9", "M79.604", "M25.561", "R53.1", "R41.82", "U07.1", "J10.1", "O26.891", "Z76.0",
    "R00.2", "H10.9", "K08.89", "T78.40XA", "N93.9", "R31.9",
)  # fmt: skip
_INJURY = (
    "S09.90XA", "S01.01XA", "S61.209A", "S93.401A", "S63.501A", "S00.83XA", "S80.01XA", "S62.90XA",
    "S82.891A", "S20.219A", "S16.1XXA", "S39.012A", "S06.0X0A", "S72.001A", "S52.501A", "T14.90XA",
    "W19.XXXA", "V89.2XXA", "Y04.0XXA", "T30.0", "S05.01XA", "T15.91XA",
)  # fmt: skip
_NEWBORN_CODES = ("Z38.00", "Z38.01", "P59.9", "P07.39")
_ELECTIVE_CODES = (
    "Z51.11",
    "M17.11",
    "O80",
    "O34.211",
    "M16.11",
    "I25.10",
    "C50.919",
    "K40.90",
    "Z47.1",
    "D25.9",
)


def draw_themes(
    rng: np.random.Generator, person: npt.NDArray[np.int32], conditions: Conditions
) -> npt.NDArray[np.int8]:
    """What each visit is about, by the person's conditions."""
    smi, sud = conditions.smi[person], conditions.sud[person]
    draw = rng.random(len(person))
    psychiatric = np.where(smi, 0.26, 0.012)
    substance = np.where(sud >= 0, 0.20, 0.003)
    overdose = np.select([sud == 1, sud == 2, sud >= 0], [0.09, 0.05, 0.015], 0.0015)
    injury = 0.24
    edges = np.cumsum([psychiatric, substance, overdose, np.full(len(person), injury)], axis=0)
    return np.select(
        [draw < edges[0], draw < edges[1], draw < edges[2], draw < edges[3]],
        [PSYCHIATRIC, SUBSTANCE, OVERDOSE, INJURY],
        MEDICAL,
    ).astype(np.int8)


def _draw_by_rank(
    rng: np.random.Generator, codes: tuple[str, ...], count: int, power: float = 0.7
) -> npt.NDArray[Any]:
    """Codes drawn with the first ones more often."""
    weights = np.arange(1, len(codes) + 1) ** -power
    return np.array(codes, dtype=object)[rng.choice(len(codes), size=count, p=weights / weights.sum())]


def write_diagnoses(
    rng: np.random.Generator, encounters: pl.DataFrame, conditions: Conditions, *, how_many: float
) -> pl.Series:
    """Semicolon lists of ICD-10-CM codes: the reason first, then what else is known of the person.

    `how_many` scales how often the further codes are written; 0 leaves the reason alone.
    """
    person = encounters.get_column("person").to_numpy()
    theme = encounters.get_column("theme").to_numpy()
    started = encounters.get_column("started").to_numpy()
    count = len(person)
    smi, sud = conditions.smi[person], conditions.sud[person]
    smi_code = np.array(_SMI_DIAGNOSES, dtype=object)[conditions.smi_diagnosis[person]]
    sud_code = np.full(count, None, dtype=object)
    poison = _draw_by_rank(rng, _OVERDOSES["other"], count)
    for place, kind in enumerate(SUD_CODES):
        chosen = np.flatnonzero(sud == place)
        sud_code[chosen] = _draw_by_rank(rng, _SUD_DIAGNOSES[kind], len(chosen))
        poison[chosen] = _draw_by_rank(rng, _OVERDOSES[kind], len(chosen))
    medical = _draw_by_rank(rng, _MEDICAL, count)
    primary = np.select(
        [
            theme == PSYCHIATRIC,
            theme == SUBSTANCE,
            theme == OVERDOSE,
            theme == INJURY,
            theme == ELECTIVE,
            theme == NEWBORN,
        ],
        [
            np.where(smi, smi_code, _draw_by_rank(rng, _ANXIETY_AND_MOOD, count, 0.9)),
            np.where(
                sud >= 0, sud_code, _draw_by_rank(rng, ("F10.129", "F10.920", "F12.90", "F10.10"), count)
            ),
            poison,
            _draw_by_rank(rng, _INJURY, count),
            _draw_by_rank(rng, _ELECTIVE_CODES, count),
            _draw_by_rank(rng, _NEWBORN_CODES, count, 1.5),
        ],
        medical,
    )
    homeless = (
        conditions.homeless[person]
        & (conditions.homeless_from[person] <= started)
        & (started < conditions.homeless_to[person])
    )
    newborn = theme == NEWBORN

    def sometimes(share: float, when: Flags, codes: npt.NDArray[Any]) -> pl.Series:
        written = when & (rng.random(count) < share * how_many) & (codes != primary) & ~newborn
        return pl.select(
            pl.when(pl.Series(written)).then(pl.Series(codes.tolist(), dtype=pl.String))
        ).to_series()

    everyone = np.ones(count, dtype=bool)
    slots = [
        pl.Series(primary.tolist(), dtype=pl.String),
        sometimes(0.50, smi, smi_code),
        sometimes(0.55, sud >= 0, sud_code),
        sometimes(0.22, theme == PSYCHIATRIC, np.full(count, "R45.851", dtype=object)),
        sometimes(0.45, homeless, _draw_by_rank(rng, ("Z59.00", "Z59.02", "Z59.01"), count)),
        sometimes(0.10, everyone, np.full(count, "F17.210", dtype=object)),
        sometimes(0.40, theme != PSYCHIATRIC, _draw_by_rank(rng, _MEDICAL, count, 0.4)),
    ]
    return pl.select(pl.concat_str(slots, separator=";", ignore_nulls=True)).to_series()
