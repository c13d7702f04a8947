"""Fixed keys, and deliveries made of small raw extracts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.encoding.receipt import EncodingReceipt
from linkage.source import declared_sources
from tests.linkage.encoding.extracts import BOOKING, PERSON, write_raw


@pytest.fixture
def project_key() -> Key:
    return Key("project", bytes(range(32)))


@pytest.fixture
def agency_key() -> Key:
    return Key("agency", bytes(range(1, 33)))


@pytest.fixture
def encode(tmp_path: Path, project_key: Key, agency_key: Key) -> Callable[..., EncodingReceipt]:
    """Encode rows given as dictionaries (defaults: one person, one booking) for March 2024."""

    def _encode(
        people: list[dict] | None = None,
        encounters: list[dict] | None = None,
        *,
        source: str = "jail",
        landing: str = "landing",
        project: Key = project_key,
        agency: Key = agency_key,
        **options,
    ) -> EncodingReceipt:
        raw = write_raw(
            tmp_path / "raw",
            [PERSON] if people is None else people,
            [BOOKING] if encounters is None else encounters,
            source,
        )
        return encode_extract(
            declared_sources()[source], raw, "2024-03", project, agency, tmp_path / landing, **options
        )

    return _encode
