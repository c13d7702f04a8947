"""Keys: made, kept, read and derived; never shown.

Two keys exist. The *project key* is the same at every agency of a project and makes the tokens that let
records of different agencies be compared. The *agency key* is one agency's own and makes the ids that stand
in for its client and encounter ids; nobody else ever holds it. The county data team and the linker hold
neither.

A key is read from a file or from the environment, never from a command line (where other users of the
machine could read it). No message, `repr` or pickle of this module carries a byte of a key.
"""

import hashlib
import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Literal, NoReturn

from linkage.errors import UsageError

KeyKind = Literal["project", "agency"]

KEY_BYTES = 32
ENVIRONMENT_VARIABLE: dict[KeyKind, str] = {
    "project": "FAMILIAR_FACES_KEY",
    "agency": "FAMILIAR_FACES_AGENCY_KEY",
}

_INFO_PREFIX = b"familiar-faces/encoding/v1/"
"""Domain of every derived key. A new encoding version has a new prefix, so that no token of one version can
be compared with a token of another."""

_KEY_LINE = re.compile(r"familiar-faces key v1 (project|agency) ([0-9a-f]{64}) ([0-9a-f]{8})")
_SHORT_KEY_LINE = re.compile(r"familiar-faces key v1 (?:project|agency) [0-9a-fA-F]{0,63}(?:\s|$)")


def hkdf_sha256(key_material: bytes, info: bytes, length: int = KEY_BYTES, salt: bytes = b"") -> bytes:
    """Derive `length` bytes from `key_material` for the purpose `info` (RFC 5869, HKDF with SHA-256).

    Raises ValueError for more than 255 blocks, the limit of the RFC.
    """
    if length > 255 * 32:
        raise ValueError("HKDF-SHA256 gives at most 8160 bytes")
    extracted = hmac.digest(salt or bytes(32), key_material, "sha256")
    block, derived, counter = b"", b"", 0
    while len(derived) < length:
        counter += 1
        block = hmac.digest(extracted, block + info + bytes([counter]), "sha256")
        derived += block
    return derived[:length]


class Key:
    """A project or agency key. Its bytes show in no representation; `derive` gives one key per field."""

    __slots__ = ("_material", "kind")

    def __init__(self, kind: KeyKind, material: bytes) -> None:
        if len(material) != KEY_BYTES:
            raise ValueError(f"a key has {KEY_BYTES} bytes")
        self.kind = kind
        self._material = material

    def derive(self, field: str, length: int = KEY_BYTES) -> bytes:
        """The key of one field (HKDF-SHA256): knowing it tells nothing about this key or about other
        fields."""
        return hkdf_sha256(self._material, _INFO_PREFIX + field.encode("ascii"), length)

    @property
    def key_check(self) -> str:
        """64 hex digits that are equal wherever the same key was used and reveal nothing of it."""
        return self.derive("key-check").hex()

    @property
    def fingerprint(self) -> str:
        """Four groups of four hex digits, short enough for two people to compare over the telephone."""
        digits = self.derive("fingerprint", 8).hex()
        return "-".join(digits[at : at + 4] for at in range(0, 16, 4))

    def as_line(self) -> str:
        """The text of a key file. It is the secret itself; only `write_new_key` has a use for it."""
        return f"familiar-faces key v1 {self.kind} {self._material.hex()} {_checksum(self._material)}\n"

    def __repr__(self) -> str:
        return f"<{self.kind} key {self.fingerprint}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Key):
            return NotImplemented
        return self.kind == other.kind and hmac.compare_digest(self._material, other._material)

    def __hash__(self) -> int:
        return hash((self.kind, self.fingerprint))

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never pickled: it would travel into files and logs")


def _checksum(material: bytes) -> str:
    """Eight hex digits that tell a mistyped key file from a whole one."""
    return hashlib.sha256(_INFO_PREFIX + b"checksum" + material).hexdigest()[:8]


def generate_key(kind: KeyKind) -> Key:
    """A new key from the operating system's random source."""
    return Key(kind, secrets.token_bytes(KEY_BYTES))


def write_new_key(path: Path, kind: KeyKind) -> Key:
    """Generate a key and write it to `path`, readable by its owner alone.

    Raises UsageError when the file exists (a key overwritten is a project lost) or cannot be written.
    """
    key = generate_key(kind)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path} exists and was left as it is: a lost key cannot be had again; name a new file."
        ) from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written ({error.strerror}); name a file in a folder of yours."
        ) from None
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(key.as_line())
    return key


def load_key(kind: KeyKind, path: Path | None = None) -> Key:
    """The key in the file `path` or, without one, in the environment variable of its kind.

    Raises UsageError when it is absent, unreadable, readable by others than the owner, short, malformed, or
    a key of the other kind.
    """
    if path is None:
        variable = ENVIRONMENT_VARIABLE[kind]
        text = os.environ.get(variable)
        if not text:
            raise UsageError(
                f"No {kind} key was given; name its file or set the environment variable {variable}."
            )
        return _parse_key(text, kind, f"The environment variable {variable}")
    return _parse_key(_read_private_text(path), kind, str(path))


def _read_private_text(path: Path) -> str:
    """The text of a file that only its owner may read; the mode is taken from the opened file itself."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UsageError(f"{path} is not a regular file; name the file that keygen wrote.")
            if os.name == "posix" and status.st_mode & 0o077:
                raise UsageError(
                    f"{path} may be read by other users of this machine; run `chmod 600` on it and consider "
                    "whether the key must be replaced."
                )
            content = file.read(4096)
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; name the file that keygen wrote.") from None
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read ({error.strerror}); name the file that keygen wrote."
        ) from None
    return content.decode("ascii", errors="replace")


def _parse_key(text: str, kind: KeyKind, where: str) -> Key:
    line = text.strip()
    if _SHORT_KEY_LINE.match(line):
        raise UsageError(
            f"{where} holds a key that is too short; copy the file again, whole, from its custodian."
        )
    found = _KEY_LINE.fullmatch(line)
    if found is None:
        raise UsageError(f"{where} does not hold a key as keygen writes it; copy the file again, whole.")
    material = bytes.fromhex(found[2])
    if _checksum(material) != found[3]:
        raise UsageError(f"{where} holds a key that was mistyped or damaged; copy the file again, whole.")
    if found[1] != kind:
        raise UsageError(
            f"{where} holds the {found[1]} key where the {kind} key is needed; name the other file."
        )
    return Key(kind, material)
