"""Unmistakable people, planted in raw extracts: if any of it is found downstream, identity has leaked.

Names that nobody bears, numbers that nobody was given and birth dates before any encounter stand in every
identity field of some clients of every source, the client ids and encounter ids included. The same three
people are planted in every source, so that they are linked and their rows pass through all of the pipeline.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from sample_data.records.columns import PEOPLE_COLUMNS


@dataclass(frozen=True, kw_only=True)
class PlantedPerson:
    """One planted identity, as the template writes it."""

    first_name: str
    middle_name: str
    last_name: str
    name_suffix: str
    birth_date: str
    ssn: str
    zip: str


PLANTED = (
    PlantedPerson(
        first_name="Zzyzxquon",
        middle_name="Quibbleworpe",
        last_name="Vlörbnatz-Qwyxholdt",
        name_suffix="Jr",
        birth_date="1931-07-23",
        ssn="617582943",
        zip="98177",
    ),
    PlantedPerson(
        first_name="Oxxlebrin",
        middle_name="Jaxxquilla",
        last_name="Fjördqvaxxen",
        name_suffix="",
        birth_date="1932-11-19",
        ssn="548713926",
        zip="98178",
    ),
    PlantedPerson(
        first_name="Wyxxolanthe",
        middle_name="Grumbquist",
        last_name="O'Zzkribbage",
        name_suffix="III",
        birth_date="1929-02-14",
        ssn="529846173",
        zip="98188",
    ),
)
"""The people planted. Their zips are not looked for: five digits occur by chance, and three are delivered."""


@dataclass(frozen=True, kw_only=True)
class PlantedIdentity:
    """What must never be seen downstream, in all its written forms.

    `words` are names and ids, to be looked for in any case; `numbers` are birth dates and SSNs, which must
    not stand alone: inside a longer run of hexadecimal digits they are chance. `rows` counts the people rows
    planted, by source.
    """

    words: tuple[str, ...]
    numbers: tuple[str, ...]
    rows: dict[str, int]

    @property
    def forms(self) -> tuple[str, ...]:
        """Every form in lower, upper and title case, each once."""
        cased = [case for word in self.words for case in (word, word.lower(), word.upper(), word.title())]
        return tuple(dict.fromkeys([*cased, *self.numbers]))

    def found_in(self, content: bytes | str) -> list[str]:
        """The forms that `content` (text, or bytes in UTF-8) holds, sorted; none when nothing has leaked.

        A DuckDB file keeps its text compressed: look at the rows of its tables as well as at its bytes.
        """
        text = content if isinstance(content, str) else content.decode("utf-8", errors="replace")
        lowered = text.lower()
        found = [word for word in self.words if word.lower() in lowered]
        found += [
            number
            for number in self.numbers
            if number in text and re.search(rf"(?<![0-9A-Fa-f]){re.escape(number)}(?![0-9A-Fa-f])", text)
        ]
        return sorted(set(found))


def plant(raw_folder: Path) -> PlantedIdentity:
    """Rewrite the extracts in `raw_folder`/<source>/<YYYY-MM>/ with planted people, and say what to look for.

    In each source the first three clients of its first month become planted ones, in all of its months. CSV
    extracts only; sex, race and ethnicity stay as they were, for they are delivered.
    """
    words, rows = list(_name_forms()), {}
    for source in sorted(folder for folder in raw_folder.iterdir() if folder.is_dir()):
        months = sorted(folder for folder in source.iterdir() if folder.is_dir())
        clients = _read(months[0] / "people.csv").get_column("client_id").unique(maintain_order=True)
        new_ids = {
            client: f"ZQCLIENT{source.name.upper()}{number}"
            for number, client in enumerate(clients.head(len(PLANTED)))
        }
        planted_rows = 0
        for month in months:
            planted_rows += _plant_people(month / "people.csv", new_ids)
            _plant_encounters(month / "encounters.csv", new_ids, source.name)
        rows[source.name] = planted_rows
    words += ["ZQCLIENT", "ZQENCOUNTER"]
    return PlantedIdentity(words=tuple(words), numbers=tuple(_number_forms()), rows=rows)


def _read(path: Path) -> pl.DataFrame:
    return pl.read_csv(path, infer_schema=False)


def _plant_people(path: Path, new_ids: dict[str, str]) -> int:
    people = _read(path)
    order = list(new_ids)
    is_planted = pl.col("client_id").is_in(order)
    # Each client is one of the planted people, by its place.
    values = {
        column: {client: getattr(PLANTED[place % len(PLANTED)], column) for place, client in enumerate(order)}
        for column in PEOPLE_COLUMNS[1:]
        if column not in ("sex", "race_ethnicity")
    }
    count = people.filter(is_planted).height
    people.with_columns(
        pl.when(is_planted)
        .then(pl.col("client_id").replace_strict(by_client, default=None, return_dtype=pl.String))
        .otherwise(column)
        .alias(column)
        for column, by_client in values.items()
    ).with_columns(pl.col("client_id").replace(new_ids)).unique(maintain_order=True).write_csv(path)
    return count


def _plant_encounters(path: Path, new_ids: dict[str, str], source: str) -> None:
    is_planted = pl.col("client_id").is_in(list(new_ids))
    renamed = pl.lit(f"ZQENCOUNTER{source.upper()}") + pl.col("encounter_id")
    _read(path).with_columns(
        encounter_id=pl.when(is_planted).then(renamed).otherwise("encounter_id"),
        client_id=pl.col("client_id").replace(new_ids),
    ).write_csv(path)


def _name_forms() -> list[str]:
    """Names whole, without accents and marks, and the parts of compound ones."""
    plain = str.maketrans({"ö": "o"})
    forms: list[str] = []
    for person in PLANTED:
        for name in (person.first_name, person.middle_name, person.last_name):
            unaccented = name.translate(plain)
            letters = re.sub("[^A-Za-z]", "", unaccented)
            parts = [part for part in re.split("[^A-Za-zö]", f"{unaccented}-{name}") if len(part) > 3]
            forms += [name, unaccented, letters, *parts]
    return list(dict.fromkeys(forms))


def _number_forms() -> list[str]:
    """SSNs bare, dashed, spaced and masked; birth dates ISO, compact, as written in the US, and swapped."""
    forms: list[str] = []
    for person in PLANTED:
        area, group, serial = person.ssn[:3], person.ssn[3:5], person.ssn[5:]
        year, month, day = person.birth_date.split("-")
        forms += [
            person.ssn,
            f"{area}-{group}-{serial}",
            f"{area} {group} {serial}",
            f"XXXXX{serial}",
            person.birth_date,
            f"{year}{month}{day}",
            f"{month}/{day}/{year}",
            f"{year}-{day}-{month}",
        ]
    return forms
