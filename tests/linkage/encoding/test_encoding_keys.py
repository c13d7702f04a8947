"""Keys: derived as the RFC says, kept private, refused with a sentence when anything is wrong."""

import pickle
from pathlib import Path

import pytest

from linkage.encoding.keys import Key, generate_key, hkdf_sha256, load_key, write_new_key
from linkage.errors import UsageError

SECRET = bytes(range(32))


@pytest.mark.parametrize(
    ("material", "salt", "info", "length", "derived"),
    [
        pytest.param(
            "0b" * 22,
            "000102030405060708090a0b0c",
            "f0f1f2f3f4f5f6f7f8f9",
            42,
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
            id="RFC 5869, A.1",
        ),
        pytest.param(
            "".join(f"{byte:02x}" for byte in range(0x50)),
            "".join(f"{byte:02x}" for byte in range(0x60, 0xB0)),
            "".join(f"{byte:02x}" for byte in range(0xB0, 0x100)),
            82,
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
            id="RFC 5869, A.2",
        ),
        pytest.param(
            "0b" * 22,
            "",
            "",
            42,
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
            id="RFC 5869, A.3",
        ),
    ],
)
def test_hkdf_gives_the_vectors_of_the_rfc(material, salt, info, length, derived):
    made = hkdf_sha256(bytes.fromhex(material), bytes.fromhex(info), length, bytes.fromhex(salt))
    assert made.hex() == derived


def test_hkdf_refuses_more_than_the_rfc_allows():
    with pytest.raises(ValueError, match="8160"):
        hkdf_sha256(SECRET, b"", 8161)


def test_a_key_file_is_the_owners_alone_and_reads_back(tmp_path: Path):
    path = tmp_path / "key"
    written = write_new_key(path, "project")
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key("project", path) == written


def test_keygen_overwrites_nothing(tmp_path: Path):
    path = tmp_path / "key"
    write_new_key(path, "agency")
    before = path.read_bytes()
    with pytest.raises(UsageError, match="was left as it is"):
        write_new_key(path, "agency")
    assert path.read_bytes() == before


def test_keygen_says_when_the_folder_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be written"):
        write_new_key(tmp_path / "absent" / "key", "agency")


def test_every_key_is_new():
    assert generate_key("project") != generate_key("project")


def test_a_key_comes_from_the_environment_too(monkeypatch):
    key = Key("agency", SECRET)
    monkeypatch.setenv("FAMILIAR_FACES_AGENCY_KEY", key.as_line())
    assert load_key("agency") == key


def test_no_key_at_all_says_where_one_may_come_from(monkeypatch):
    monkeypatch.delenv("FAMILIAR_FACES_KEY", raising=False)
    with pytest.raises(UsageError, match="FAMILIAR_FACES_KEY"):
        load_key("project")


LINE = Key("project", SECRET).as_line()
OTHER_LINE = Key("project", bytes([1]) + SECRET[1:]).as_line()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param("", "does not hold a key", id="empty"),
        pytest.param(SECRET.hex(), "does not hold a key", id="bare hexadecimal"),
        pytest.param(LINE[:60], "too short", id="cut off"),
        pytest.param("familiar-faces key v1 project 00ff 12345678", "too short", id="short key"),
        pytest.param(LINE.replace("v1", "v2"), "does not hold a key", id="another version"),
        pytest.param(LINE.rsplit(" ", 1)[0] + " 00000000", "mistyped", id="wrong checksum"),
        pytest.param(
            LINE.replace(SECRET.hex(), OTHER_LINE.split()[4]), "mistyped", id="one byte of the key changed"
        ),
        pytest.param(
            Key("agency", SECRET).as_line(), "agency key where the project key", id="the other kind"
        ),
        pytest.param(LINE + LINE, "does not hold a key", id="two keys"),
        pytest.param("familiar-faces key v1 project \xff\x00", "too short|does not hold", id="not text"),
    ],
)
def test_a_bad_key_file_is_refused_without_its_contents(tmp_path: Path, content, says):
    path = tmp_path / "key"
    path.write_text(content, encoding="latin-1")
    path.chmod(0o600)
    with pytest.raises(UsageError, match=says) as refused:
        load_key("project", path)
    assert str(path) in str(refused.value)
    assert SECRET.hex()[:16] not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o644, 0o666])
def test_a_key_file_that_others_may_use_is_refused(tmp_path: Path, mode):
    path = tmp_path / "key"
    write_new_key(path, "project")
    path.chmod(mode)
    with pytest.raises(UsageError, match="chmod 600"):
        load_key("project", path)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        pytest.param(lambda path: None, "does not exist", id="absent"),
        pytest.param(Path.mkdir, "cannot be read|regular", id="a folder"),
    ],
)
def test_an_unreadable_key_file_is_refused(tmp_path: Path, make, says):
    make(tmp_path / "key")
    with pytest.raises(UsageError, match=says):
        load_key("project", tmp_path / "key")


def test_nothing_that_may_be_printed_shows_the_key():
    key = Key("project", SECRET)
    for shown in (repr(key), str(key), f"{key}", key.fingerprint, key.key_check, str(vars(Key))):
        for at in range(0, 64, 8):
            assert SECRET.hex()[at : at + 8] not in shown.replace("-", "")
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(key)


def test_field_keys_differ_from_field_to_field_and_project_to_project():
    key, other = Key("project", SECRET), Key("project", SECRET[::-1])
    derived = {
        each.derive(field) for each in (key, other) for field in ("name", "ssn", "key-check", "name-bits")
    }
    assert len(derived) == 8
    assert key.key_check != other.key_check
    assert key.fingerprint != other.fingerprint


def test_a_key_has_256_bits():
    with pytest.raises(ValueError, match="32 bytes"):
        Key("project", b"short")
