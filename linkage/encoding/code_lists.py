"""Code lists: which ICD-10-CM diagnoses raise which of the county's flags.

The lists are data, `linkage/code_lists/icd10/<name>.toml`, dated and with their sources; a county chooses
one list per flag. Diagnoses become flags here, at the agency; the codes stay behind.
"""

import re
import tomllib
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from importlib import resources

from linkage.errors import UsageError
from linkage.source import FLAGS

_RANGE = re.compile(r"([A-Z])([0-9]{2})-([A-Z])([0-9]{2})(\.[0-9A-Z?]{1,4})?")
_PATTERN = re.compile(r"[A-Z?][0-9?][0-9A-Z?](?:\.?[0-9A-Z?]{1,4})?")
_CODE = re.compile(r"[A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?")


@dataclass(frozen=True, kw_only=True)
class CodeListChoice:
    """The list that a county uses for each flag, by name. The defaults are the narrow reading of each."""

    smi: str = "smi_strict"
    sud: str = "sud"
    suicidality: str = "suicidality"
    homeless: str = "homeless"
    overdose: str = "overdose"


@dataclass(frozen=True, kw_only=True)
class CodeList:
    """One list: ICD-10-CM categories, prefixes and ranges that count, and those of them that do not after
    all.

    A pattern matches every code that begins with it; dots are ignored; `?` stands for any one character; a
    range such as `F10-F19` spans three-character categories of one letter, and may go on (`T36-T50.??5`).
    """

    name: str
    version: str
    says: str
    source: str
    include: tuple[str, ...]
    exclude: tuple[str, ...]

    @cached_property
    def _including(self) -> re.Pattern[str]:
        return _compiled(self.include)

    @cached_property
    def _excluding(self) -> re.Pattern[str]:
        return _compiled(self.exclude)

    def has(self, code: str) -> bool:
        """Whether an ICD-10-CM code, with or without its dot, is in the list."""
        bare = bare_code(code)
        return bool(self._including.match(bare)) and not self._excluding.match(bare)


def bare_code(code: str) -> str:
    """A code in capitals, without dot and surrounding space."""
    return code.strip().upper().replace(".", "")


def is_icd10_code(code: str) -> bool:
    """Whether the text has the shape of an ICD-10-CM code (whether it is assigned is not asked)."""
    return _CODE.fullmatch(code.strip().upper()) is not None


def _compiled(patterns: tuple[str, ...]) -> re.Pattern[str]:
    prefixes = [prefix for pattern in patterns for prefix in _prefixes(pattern)]
    alternatives = "|".join(prefix.replace("?", ".") for prefix in prefixes)
    return re.compile(alternatives or r"(?!)")


def _prefixes(pattern: str) -> list[str]:
    span = _RANGE.fullmatch(pattern)
    if span is not None and span[1] == span[3] and span[2] <= span[4]:
        rest = bare_code(span[5] or "")
        return [f"{span[1]}{number:02}{rest}" for number in range(int(span[2]), int(span[4]) + 1)]
    if _PATTERN.fullmatch(pattern):
        return [bare_code(pattern)]
    raise ValueError(f"{pattern} is not an ICD-10-CM prefix or range")


def shipped_code_lists() -> tuple[str, ...]:
    """Names of the lists that come with the package."""
    folder = resources.files("linkage") / "code_lists" / "icd10"
    return tuple(
        sorted(file.name.removesuffix(".toml") for file in folder.iterdir() if file.name.endswith(".toml"))
    )


def load_code_list(name: str) -> CodeList:
    """The shipped list of that name; raises UsageError when there is none."""
    if name not in shipped_code_lists():
        raise UsageError(
            f"No code list is called {name}; the shipped ones are {', '.join(shipped_code_lists())}."
        )
    file = resources.files("linkage") / "code_lists" / "icd10" / f"{name}.toml"
    read = tomllib.loads(file.read_text(encoding="utf-8"))
    return CodeList(
        name=name,
        version=read["version"],
        says=read["says"],
        source=read["source"],
        include=tuple(read["include"]),
        exclude=tuple(read.get("exclude", ())),
    )


@dataclass(frozen=True, kw_only=True)
class CodeLists:
    """One code list per flag."""

    smi: CodeList
    sud: CodeList
    suicidality: CodeList
    homeless: CodeList
    overdose: CodeList

    def flags_of(self, codes: list[str]) -> tuple[bool, ...]:
        """For each of `FLAGS`, whether any of the codes raises it."""
        return tuple(any(map(self.of_flag(flag).has, codes)) for flag in FLAGS)

    def of_flag(self, flag: str) -> CodeList:
        """The list that raises `flag`."""
        chosen: CodeList = getattr(self, flag)
        return chosen

    @property
    def version(self) -> str:
        """Date of the newest list, and the first twelve hex digits of the SHA-256 of what the lists hold."""
        lists = [self.of_flag(flag) for flag in FLAGS]
        held = repr([(each.name, each.version, each.include, each.exclude) for each in lists])
        return f"{max(each.version for each in lists)} {sha256(held.encode()).hexdigest()[:12]}"

    def as_manifest(self) -> dict[str, str]:
        """What a manifest says: the version and the name of the list behind each flag."""
        return {"version": self.version} | {flag: self.of_flag(flag).name for flag in FLAGS}


def load_code_lists(choice: CodeListChoice | None = None) -> CodeLists:
    """The chosen lists, or the shipped default; raises UsageError for a name that is not shipped."""
    names: dict[str, str] = asdict(choice or CodeListChoice())
    return CodeLists(**{flag: load_code_list(name) for flag, name in names.items()})
