"""Invented people, written down by four agencies with the usual mistakes, and encoded.

Small and plain on purpose: the simulated county has the realistic rates, this has one of each kind of
mistake. Tokens are plain MD5 here (the encoder has tests of its own); filters are the real ones.
"""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import polars as pl
from doublemetaphone import doublemetaphone
from duckdb import DuckDBPyConnection

from linkage.encoding.filters import bigram_table, filters_of
from linkage.encoding.nicknames import root_of
from linkage.records import stored_people

SOURCES = ("jail", "shelter", "ems", "hospital")
_TABLE = bigram_table(b"k" * 32)
_FIRST_NAMES = [
    "james",
    "mary",
    "robert",
    "patricia",
    "john",
    "jennifer",
    "michael",
    "linda",
    "david",
    "elizabeth",
    "william",
    "barbara",
    "richard",
    "susan",
    "joseph",
    "jessica",
    "thomas",
    "sarah",
    "charles",
    "karen",
    "christopher",
    "lisa",
    "daniel",
    "nancy",
    "matthew",
    "betty",
    "anthony",
    "sandra",
    "mark",
    "margaret",
    "donald",
    "ashley",
    "steven",
    "kimberly",
    "andrew",
    "emily",
    "paul",
    "donna",
    "joshua",
    "michelle",
    "kenneth",
    "carol",
    "kevin",
    "amanda",
    "brian",
    "melissa",
    "george",
    "deborah",
    "timothy",
    "stephanie",
    "ronald",
    "rebecca",
    "edward",
    "sharon",
    "jason",
    "laura",
    "jeffrey",
    "cynthia",
    "ryan",
    "dorothy",
    "jacob",
    "amy",
    "gary",
    "kathleen",
    "nicholas",
    "angela",
    "eric",
    "shirley",
    "jonathan",
    "emma",
    "stephen",
    "brenda",
    "larry",
    "pamela",
    "justin",
    "nicole",
    "scott",
]
_NICKNAMES = {
    "james": "jim", "robert": "bob", "john": "jack", "jennifer": "jen", "michael": "mike", "elizabeth": "liz",
    "william": "bill", "richard": "rick", "joseph": "joe", "thomas": "tom", "charles": "chuck", "daniel": "dan",
    "matthew": "matt", "anthony": "tony", "margaret": "peggy", "steven": "steve", "andrew": "andy",
}  # fmt: skip
_SYLLABLES = [
    "ba",
    "be",
    "bo",
    "da",
    "do",
    "fi",
    "ga",
    "gu",
    "ha",
    "ko",
    "la",
    "le",
    "lo",
    "ma",
    "mi",
    "mo",
    "na",
    "ne",
    "no",
    "pa",
    "pe",
    "ra",
    "re",
    "ri",
    "ro",
    "sa",
    "se",
    "so",
    "ta",
    "ti",
    "to",
    "va",
    "vi",
    "wa",
]
NEW_YEAR = datetime(2024, 1, 1)  # noqa: DTZ001 - the county's local time
_ENDINGS = ["son", "ez", "man", "er", "ski", "ton", "ley", "well", "berg", "ett", "ins", "ard", "en", "s"]


@dataclass(frozen=True, kw_only=True)
class Identity:
    """Who somebody is, in the clear; None where an agency did not write it down."""

    first_name: str | None = "james"
    last_name: str | None = "rivera"
    middle_name: str | None = None
    suffix: str | None = None
    birth_date: str | None = "1980-04-05"
    ssn: str | None = None
    ssn4: str | None = None
    sex: str = "M"
    zip3: str | None = "980"
    birth_date_suspect: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """One delivered row: which client of which source, in which month, with which identity."""

    source: str
    client_id: str
    identity: Identity
    month: str = "2024-01"
    truth_id: int = 0


def token(value: str | None, field_name: str = "") -> str | None:
    return None if value is None else hashlib.md5(f"{field_name}|{value}".encode()).hexdigest()


def _sounds(name: str | None) -> list[str] | None:
    if name is None:
        return None
    spoken = [name.replace(" ", ""), *(name.split(" ") if " " in name else [])]
    codes = dict.fromkeys(code for each in spoken for code in doublemetaphone(each) if code)
    return [str(token(code, "sound")) for code in codes]


def encoded(rows: Sequence[Delivered]) -> pl.DataFrame:
    """The delivered columns of rows, with month and row_number."""
    names = sorted(
        {
            name.replace(" ", "")
            for row in rows
            for name in (row.identity.first_name, row.identity.last_name)
            if name
        }
    )
    bits = dict(zip(names, filters_of(names, _TABLE), strict=True))
    made = []
    for number, row in enumerate(rows, start=1):
        who = row.identity
        first, last, born = who.first_name, who.last_name, who.birth_date
        year, month, day = [*born.split("-"), None, None][:3] if born else (None, None, None)
        swapped = f"{year}-{day}-{month}" if day and int(day) <= 12 else None
        suspect = who.birth_date_suspect
        made.append(
            {
                "client_id": _client_id(row.source, row.client_id),
                "first_name_token": token(first, "name"),
                "last_name_token": token(last and last.replace(" ", ""), "name"),
                "last_name_part_tokens": [token(part, "name") for part in last.split(" ")] if last else None,
                "first_name_root_token": token(first and root_of(first), "root"),
                "first_name_sound_tokens": _sounds(first),
                "last_name_sound_tokens": _sounds(last),
                "first_name_bits": bits.get(first) if first else None,
                "last_name_bits": bits.get(last.replace(" ", "")) if last else None,
                "suffix_token": token(who.suffix, "suffix"),
                "middle_name_token": token(who.middle_name, "middle")
                if who.middle_name and len(who.middle_name) > 1
                else None,
                "middle_initial_token": token(who.middle_name and who.middle_name[0], "initial"),
                "birth_date_token": token(born if day else None, "date"),
                "birth_date_swapped_token": token(swapped, "date"),
                "birth_year_month_token": token(f"{year}-{month}" if month else None, "ym"),
                "birth_month_day_token": token(f"{month}-{day}" if day else None, "md"),
                "birth_year_day_token": token(f"{year}-{day}" if day else None, "yd"),
                "ssn_token": token(who.ssn, "ssn"),
                "ssn5_token": token(who.ssn and who.ssn[:5], "ssn5"),
                "ssn4_token": token(who.ssn[5:] if who.ssn else who.ssn4, "ssn4"),
                "birth_year": int(year) if year else None,
                "sex": who.sex,
                "zip3": who.zip3,
                "race_ethnicity": None,
                "birth_date_suspect": bool(born and born.endswith("-01-01")) if suspect is None else suspect,
                "name_placeholder": first is None or last is None,
                "ssn_quality": "full" if who.ssn else "last4" if who.ssn4 else "none",
                "month": row.month,
                "row_number": number,
            }
        )
    kinds: dict[str, pl.DataType | type[pl.DataType]] = {
        name: pl.List(pl.String)
        for name in ("last_name_part_tokens", "first_name_sound_tokens", "last_name_sound_tokens")
    }
    kinds |= {"first_name_bits": pl.Binary, "last_name_bits": pl.Binary, "birth_year": pl.Int16}
    kinds |= {"row_number": pl.Int32, "birth_date_suspect": pl.Boolean, "name_placeholder": pl.Boolean}
    return pl.DataFrame(made, schema={name: kinds.get(name, pl.String) for name in made[0]} if made else None)


def load(con: DuckDBPyConnection, rows: Sequence[Delivered]) -> None:
    """Create the four `<source>_people` tables in the warehouse, empty where a source has no row."""
    any_row = [Delivered(source="jail", client_id="none", identity=Identity())]
    for source in SOURCES:
        of_source = [row for row in rows if row.source == source]
        frame = encoded(of_source) if of_source else encoded(any_row).clear()
        con.register("delivered_frame", stored_people(frame).to_arrow())
        con.execute(f"create or replace table {source}_people as select * from delivered_frame").fetchall()
        con.unregister("delivered_frame")


def load_encounters(con: DuckDBPyConnection, rows: Sequence[Delivered]) -> None:
    """Create `ems_encounter` and `hospital_encounter`: most runs end at the hospital as their patient arrives.

    What happens to a client hangs on nothing but who it is.
    """
    runs, visits = [], []
    at_hospital = {row.truth_id: row.client_id for row in rows if row.source == "hospital"}
    for row in {(row.source, row.client_id): row for row in rows if row.source == "ems"}.values():
        dice = random.Random(row.client_id)
        ended = NEW_YEAR + timedelta(minutes=dice.randrange(366 * 24 * 60))
        runs.append(Encounter(client_id=row.client_id, at=ended, told=dice.random() < 0.7))
        if row.truth_id in at_hospital:
            client_id, arrived = at_hospital[row.truth_id], ended - timedelta(minutes=dice.randint(4, 25))
            visits.append(Encounter(client_id=client_id, at=arrived, told=dice.random() < 0.9))
    write_encounters(con, runs, visits)


@dataclass(frozen=True, kw_only=True)
class Encounter:
    """A run that ends or a visit that starts `at` a time; `told`: to a hospital, by ambulance."""

    client_id: str
    at: datetime
    told: bool = True
    month: str = "2024-01"
    encounter_id: str | None = None


def write_encounters(con: DuckDBPyConnection, runs: Sequence[Encounter], visits: Sequence[Encounter]) -> None:
    """Create `ems_encounter` of runs and `hospital_encounter` of visits, with the columns that a handover rests on."""
    for source, encounters in (("ems", runs), ("hospital", visits)):
        told = [each.told for each in encounters]
        frame = pl.DataFrame(
            {
                "encounter_id": [each.encounter_id or f"{each.client_id}|{each.at}" for each in encounters],
                "client_id": [_client_id(source, each.client_id) for each in encounters],
                "started_at": [each.at - timedelta(hours=source == "ems") for each in encounters],
                "ended_at": [each.at + timedelta(hours=2 * (source != "ems")) for each in encounters],
                "month": [each.month for each in encounters],
                "row_number": range(1, len(encounters) + 1),
            }
        ).with_columns(
            pl.Series("transported", told),
            pl.Series("destination_type", ["hospital_ed"] * len(told), pl.String),
            pl.Series(
                "admit_origin", ["ambulance" if by_ambulance else "home" for by_ambulance in told], pl.String
            ),
        )
        con.register("encounter_frame", frame.to_arrow())
        con.execute(f"create or replace table {source}_encounter as from encounter_frame").fetchall()
        con.unregister("encounter_frame")


def _client_id(source: str, client_id: str) -> str:
    return hashlib.md5(f"{source}|{client_id}".encode()).hexdigest()


def truth(rows: Sequence[Delivered]) -> pl.DataFrame:
    """Columns source, client_id (as delivered), truth_id; one row per client."""
    clients = {(row.source, _client_id(row.source, row.client_id)): row.truth_id for row in rows}
    return pl.DataFrame(
        [(source, client, who) for (source, client), who in clients.items()],
        schema={"source": pl.String, "client_id": pl.String, "truth_id": pl.Int64},
        orient="row",
    )


def invented_county(people: int, seed: int = 1) -> list[Delivered]:
    """A county of so many people, each seen by some agencies, some of them often."""
    dice = random.Random(seed)
    surnames = [
        "".join(dice.choice(_SYLLABLES) for _ in range(dice.randint(1, 3))) + dice.choice(_ENDINGS)
        for _ in range(max(200, people // 4))
    ]
    rows: list[Delivered] = []
    before = _born(dice, surnames)
    for number in range(people):
        who = _born(dice, surnames)
        if number % 80 == 1:  # the twin of the person before
            who = replace(who, last_name=before.last_name, birth_date=before.birth_date, sex=before.sex)
        if number % 90 == 2:  # the child of the person before, and named alike
            who = replace(who, first_name=before.first_name, last_name=before.last_name, sex=before.sex)
        before = who
        seen_by = [source for source in SOURCES if dice.random() < 0.5] or ["hospital"]
        for source in seen_by:
            times = dice.choice((1, 1, 1, 2, 6)) if source == "ems" else 2 if dice.random() < 0.05 else 1
            for again in range(times):
                rows.append(
                    Delivered(
                        source=source,
                        client_id=f"{number}-{again}",
                        identity=_written_down(dice, who, source, surnames),
                        truth_id=number,
                        month=f"2024-{dice.randint(1, 12):02d}",
                    )
                )
    return rows


def _born(dice: random.Random, surnames: list[str]) -> Identity:
    last = surnames[min(int(dice.paretovariate(0.6)) - 1, len(surnames) - 1)]
    if dice.random() < 0.08:
        last = f"{last} {dice.choice(surnames)}"
    return Identity(
        first_name=dice.choice(_FIRST_NAMES) if dice.random() < 0.6 else _rarer_first_name(dice),
        last_name=last,
        middle_name=dice.choice(_FIRST_NAMES) if dice.random() < 0.8 else None,
        birth_date=f"{dice.randint(1945, 2004)}-{dice.randint(1, 12):02d}-{dice.randint(1, 28):02d}",
        ssn=f"{dice.randint(100, 660):03d}{dice.randint(1, 99):02d}{dice.randint(1, 9999):04d}",
        sex=dice.choice("MF"),
        zip3=dice.choice(("980", "981", "981")),
    )


def _rarer_first_name(dice: random.Random) -> str:
    return "".join(dice.choice(_SYLLABLES) for _ in range(dice.randint(2, 3)))


def _written_down(dice: random.Random, who: Identity, source: str, surnames: list[str]) -> Identity:
    def chance(share: float) -> bool:
        return dice.random() < share

    if chance({"jail": 0.25, "shelter": 0.35, "ems": 0.65, "hospital": 0.15}[source]):
        who = replace(who, ssn=None)
    elif source == "shelter" and chance(0.4) and who.ssn:
        who = replace(who, ssn4=who.ssn[5:], ssn=None)
    elif chance(0.02) and who.ssn:
        who = replace(who, ssn=_typo(dice, who.ssn, "0123456789"))
    if chance(0.05):
        who = replace(who, first_name=_NICKNAMES.get(str(who.first_name), who.first_name))
    if chance(0.03) and who.first_name:
        who = replace(who, first_name=_typo(dice, who.first_name))
    if chance(0.03) and who.last_name:
        who = replace(who, last_name=_typo(dice, who.last_name))
    if who.last_name and " " in who.last_name and chance(0.4):
        who = replace(who, last_name=dice.choice(who.last_name.split(" ")))
    if chance(0.03):
        who = replace(who, last_name=dice.choice(surnames))
    if chance(0.01):
        who = replace(who, first_name=who.last_name and who.last_name.split(" ")[0], last_name=who.first_name)
    if who.middle_name and chance(0.5):
        who = replace(who, middle_name=who.middle_name[0] if chance(0.5) else None)
    year, month, day = str(who.birth_date).split("-")
    if chance(0.02):
        who = replace(who, birth_date=f"{year}-01-01")
    elif chance(0.01) and int(day) <= 12:
        who = replace(who, birth_date=f"{year}-{day}-{month}")
    elif chance(0.02):
        who = replace(who, birth_date=f"{year}-{month}-{dice.randint(1, 28):02d}")
    elif source == "ems" and chance(0.06):
        who = replace(who, birth_date=None)
    if source == "ems" and chance(0.05):
        who = replace(who, first_name=None, last_name=None, ssn=None, ssn4=None)
    return who


def _typo(dice: random.Random, text: str, alphabet: str = "abcdefghijklmnopqrstuvwxyz") -> str:
    at = dice.randrange(len(text))
    return text[:at] + dice.choice([letter for letter in alphabet if letter != text[at]]) + text[at + 1 :]
