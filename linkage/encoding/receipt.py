"""The receipt that an agency keeps of what it encoded: counts, checksums and problems by row, never a
value."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RETRACTED_FILE, delivered_encounter_columns
from linkage.encoding.manifest import Manifest
from linkage.encoding.profiles import profile_named
from linkage.encoding.retracted import Retractions
from linkage.source import Source

MOST_PROBLEMS_LISTED = 10_000
"""Problems are counted without limit and listed up to this many, so that a broken export does not fill
memory."""


LEFT_OUT = "row left out"
LEFT_EMPTY = "value left empty"


@dataclass(frozen=True, kw_only=True)
class RowProblem:
    """One row's problem. `row` is 1-based and does not count the header; `outcome` is what was done about
    it."""

    file: str
    row: int
    column: str
    rule: str
    outcome: str


@dataclass
class RowProblems:
    """Problems of rows: counted by file, column, rule and outcome, the first ones listed."""

    counts: Counter[tuple[str, str, str, str]] = field(default_factory=Counter)
    listed: list[RowProblem] = field(default_factory=list)

    def add(self, file: str, problems: pl.DataFrame, outcome: str) -> None:
        """Add `problems` (row_number, column, rule) of the file of that name; `outcome` is LEFT_OUT or
        LEFT_EMPTY."""
        for column, rule, rows in (
            problems.group_by("column", "rule").len().sort("column", "rule").iter_rows()
        ):
            self.counts[file, column, rule, outcome] += rows
        room = MOST_PROBLEMS_LISTED - len(self.listed)
        for row, column, rule in problems.select("row_number", "column", "rule").head(room).iter_rows():
            self.listed.append(RowProblem(file=file, row=row, column=column, rule=rule, outcome=outcome))


@dataclass(frozen=True, kw_only=True)
class EncodingReceipt:
    """What one run of `encode_extract` read, kept, left out and wrote.

    Rows read are rows encoded plus rows left out, for each file. `other_columns` counts columns of the raw
    files that the template does not have (they are not named: a file without a header would name a person).
    `dropped_on_purpose` counts, by reason, what a native format's reader did not take. What is `retracted`
    has pseudonymous ids.
    """

    folder: Path
    manifest: Manifest
    source: Source
    rows_read: dict[str, int]
    other_columns: dict[str, int]
    project_key_fingerprint: str
    problem_counts: dict[tuple[str, str, str, str], int]
    problems: tuple[RowProblem, ...]
    dropped_on_purpose: dict[str, int] = field(default_factory=dict)
    retracted: Retractions = field(default_factory=Retractions)

    @property
    def rows_encoded(self) -> dict[str, int]:
        """Rows that were delivered, by file stem."""
        return self.manifest.rows

    @property
    def rows_left_out(self) -> dict[str, int]:
        """Rows that were not delivered, by file stem."""
        return self.manifest.left_out

    def as_text(self) -> str:
        """The receipt for a person to read and file."""
        manifest = self.manifest
        lines = [
            f"Receipt: {manifest.source}, {manifest.month}, written to {self.folder}",
            f"Encoded at {manifest.created_at} with encoding {manifest.encoding['version']}, profile "
            f"{manifest.encoding['profile']}, project key {self.project_key_fingerprint}",
            f"Covers {manifest.covers_from} up to and not including {manifest.covers_to}",
            "",
        ]
        for name, read in self.rows_read.items():
            lines.append(
                f"{name}: {read:,} rows read, {self.rows_encoded[name]:,} encoded, "
                f"{self.rows_left_out[name]:,} left out"
            )
        if self.dropped_on_purpose:
            lines += ["", "Read and not taken, on purpose:"]
            lines += [f"  {reason}: {rows:,}" for reason, rows in self.dropped_on_purpose.items()]
        if self.retracted:
            lines += [
                "",
                f"Taken back: {len(self.retracted.client_ids):,} clients and "
                f"{len(self.retracted.encounter_ids):,} encounters, named in {RETRACTED_FILE} by "
                "pseudonymous id; the county's next run takes them out of all that it holds",
            ]
        lines += ["", "Not kept, because it stands for no value or could not be read:"]
        lines += [
            f"  {column}: {rows:,} {kind.replace('_', ' ')}"
            for column, kinds in manifest.nulled.items()
            for kind, rows in kinds.items()
        ] or ["  nothing"]
        lines += ["", "Problems that you could mend at the source:"]
        lines += [
            f"  {file}, column {column}, {rule.replace('_', ' ')}: {rows:,} rows, {outcome}"
            for (file, column, rule, outcome), rows in self.problem_counts.items()
        ] or ["  none"]
        lines += [
            "",
            f"Columns that did not leave: {', '.join(manifest.dropped)}",
            *(
                f"{name}: {count} further columns that the template does not have were not read"
                for name, count in self.other_columns.items()
                if count
            ),
            f"Columns that left, people: {', '.join(profile_named(str(manifest.encoding['profile'])).people_columns)}",
            f"Columns that left, encounters: {', '.join(delivered_encounter_columns(self.source))}",
            "Code lists: " + ", ".join(f"{name} {value}" for name, value in manifest.code_lists.items()),
            *(f"SHA-256 of {name}: {checksum}" for name, checksum in manifest.sha256.items()),
        ]
        return "\n".join(lines) + "\n"

    def problems_as_csv(self) -> str:
        """The listed problems as CSV: file, row, column, rule, outcome."""
        lines = ["file,row,column,rule,outcome"]
        lines += [
            f"{each.file},{each.row},{each.column},{each.rule},{each.outcome}" for each in self.problems
        ]
        return "\n".join(lines) + "\n"
