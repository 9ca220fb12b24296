"""A keystore is written once, whole, for its owner alone, and opens with its password only."""

import traceback
from pathlib import Path

import msgspec
import pytest
from eth_account import Account

from keeper.core.errors import CredentialError
from keeper.core.ids import to_hex
from keeper.execution.keys import (
    SCRYPT_WORK_FACTOR,
    create_keystore,
    import_keystore,
    keystore_address,
    unlock_keystore,
)

KEY_HEX = "0x" + bytes(range(1, 33)).hex()
PASSWORD = "correct horse"
QUICK = 2**4


@pytest.fixture
def keystore(tmp_path: Path) -> Path:
    """A keystore of a known key, made with little work."""
    path = tmp_path / "keys" / "main.json"
    import_keystore(path, KEY_HEX, PASSWORD, work_factor=QUICK)
    return path


def test_opens_with_its_password(keystore: Path) -> None:
    """What was put in comes out: a signer for the same address."""
    assert to_hex(unlock_keystore(keystore, PASSWORD).address) == Account.from_key(KEY_HEX).address.lower()


def test_others_can_open_it(keystore: Path) -> None:
    """The file is the common format: eth-account opens it too."""
    assert Account.decrypt(keystore.read_text(), PASSWORD).hex() == KEY_HEX[2:]


def test_opens_what_others_made(tmp_path: Path) -> None:
    """A file from another tool, with an address without 0x, opens."""
    path = tmp_path / "other.json"
    path.write_bytes(
        msgspec.json.encode(Account.encrypt(bytes.fromhex(KEY_HEX[2:]), PASSWORD, kdf="pbkdf2", iterations=2))
    )
    path.chmod(0o600)
    assert unlock_keystore(path, PASSWORD).address == keystore_address(path)


def test_default_work_is_that_of_geth() -> None:
    """One try of a password costs what geth's standard keystore makes it cost."""
    assert SCRYPT_WORK_FACTOR == 262_144


def test_new_key(tmp_path: Path) -> None:
    """Two new keys differ, and each file names its address."""
    first = create_keystore(tmp_path / "a.json", PASSWORD, work_factor=QUICK)
    second = create_keystore(tmp_path / "b.json", PASSWORD, work_factor=QUICK)
    assert first != second
    assert keystore_address(tmp_path / "a.json") == first == unlock_keystore(tmp_path / "a.json", PASSWORD).address


def test_for_the_owner_alone(keystore: Path) -> None:
    """The file is readable and writable by its owner only, and nothing else is left in the folder."""
    assert keystore.stat().st_mode & 0o777 == 0o600
    assert list(keystore.parent.iterdir()) == [keystore]


def test_never_replaces(keystore: Path) -> None:
    """A keystore is never written over another file."""
    before = keystore.read_bytes()
    with pytest.raises(CredentialError, match="exists already"):
        create_keystore(keystore, PASSWORD, work_factor=QUICK)
    assert keystore.read_bytes() == before
    assert list(keystore.parent.iterdir()) == [keystore]


def test_wrong_password(keystore: Path) -> None:
    """A wrong password is said to be wrong, and the message carries neither password nor key."""
    with pytest.raises(CredentialError, match="the password is wrong") as caught:
        unlock_keystore(keystore, "battery staple")
    printed = "".join(traceback.format_exception(caught.value))
    assert "battery staple" not in printed.replace('unlock_keystore(keystore, "battery staple")', "")
    assert KEY_HEX[2:] not in printed
    assert caught.value.__context__ is None


def test_empty_password(tmp_path: Path) -> None:
    """A key is not kept under an empty password."""
    with pytest.raises(CredentialError, match="password is empty"):
        create_keystore(tmp_path / "a.json", "", work_factor=QUICK)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("key", ["", "0x", "0x12", "zz" * 32, "0" * 64, KEY_HEX + "00"])
def test_not_a_key(tmp_path: Path, key: str) -> None:
    """Text that is no key is refused, and the message does not repeat it."""
    with pytest.raises(CredentialError, match="not a secp256k1 key") as caught:
        import_keystore(tmp_path / "a.json", key, PASSWORD, work_factor=QUICK)
    assert not key.strip("0x") or key not in str(caught.value)


def test_missing(tmp_path: Path) -> None:
    """A file that is not there is named, with the command that makes one."""
    with pytest.raises(CredentialError, match=r"none\.json: is missing; create it with `keeper keys new .*none\.json`"):
        unlock_keystore(tmp_path / "none.json", PASSWORD)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_readable_by_others(keystore: Path, mode: int) -> None:
    """A keystore that others may read or write is refused with the command that mends it."""
    keystore.chmod(mode)
    with pytest.raises(CredentialError, match=r"others may use it .*; chmod 600 "):
        unlock_keystore(keystore, PASSWORD)


@pytest.mark.parametrize(
    "content", [b"", b"not json", b"[]", b"{}", b'{"version": 4}', b'{"version": 3}', b'{"version": 3, "crypto": 1}']
)
def test_not_a_keystore(keystore: Path, content: bytes) -> None:
    """A file of another kind is refused."""
    keystore.write_bytes(content)
    with pytest.raises(CredentialError, match="not a version 3 keystore"):
        unlock_keystore(keystore, PASSWORD)


@pytest.mark.parametrize(("field", "value"), [("kdf", "rot13"), ("mac", 1), ("mac", "xx"), ("kdfparams", {})])
def test_damaged(keystore: Path, field: str, value: object) -> None:
    """A keystore with a field missing or malformed is said to be damaged."""
    document = msgspec.json.decode(keystore.read_bytes())
    document["crypto"][field] = value
    keystore.write_bytes(msgspec.json.encode(document))
    with pytest.raises(CredentialError, match="is damaged"):
        unlock_keystore(keystore, PASSWORD)


@pytest.mark.parametrize("cost", [{"n": 2**21}, {"p": 2**30}, {"n": 2**60}, {"dklen": 2**31}, {"c": 10**9}])
def test_too_costly(keystore: Path, cost: dict[str, int]) -> None:
    """A keystore that would take gigabytes or hours to try is refused before the try."""
    document = msgspec.json.decode(keystore.read_bytes())
    document["crypto"]["kdfparams"] |= {"n": 2**18, **cost}
    keystore.write_bytes(msgspec.json.encode(document))
    with pytest.raises(CredentialError, match="asks for more work than any wallet's does; restore it from a copy"):
        unlock_keystore(keystore, PASSWORD)


def test_another_address(keystore: Path) -> None:
    """A keystore whose key is not that of the address it names is refused."""
    document = msgspec.json.decode(keystore.read_bytes())
    document["address"] = "11" * 20
    keystore.write_bytes(msgspec.json.encode(document))
    with pytest.raises(CredentialError, match="the key of another address"):
        unlock_keystore(keystore, PASSWORD)


@pytest.mark.parametrize("spoil", ["password", "missing", "others", "damaged", "address"])
def test_no_frame_shows_the_password(keystore: Path, spoil: str) -> None:
    """However opening fails, its traceback with every local printed shows neither password nor key."""
    document = msgspec.json.decode(keystore.read_bytes())
    given = ["battery staple" if spoil == "password" else PASSWORD]
    match spoil:
        case "missing":
            keystore.unlink()
        case "others":
            keystore.chmod(0o644)
        case "damaged":
            document["crypto"]["kdfparams"] = {}
            keystore.write_bytes(msgspec.json.encode(document))
        case "address":
            document["address"] = "11" * 20
            keystore.write_bytes(msgspec.json.encode(document))
    with pytest.raises(CredentialError) as caught:
        unlock_keystore(keystore, given[0])
    tail = caught.value.__traceback__
    assert tail is not None  # the first frame is this test's
    frames = traceback.TracebackException(CredentialError, caught.value, tail.tb_next, capture_locals=True)
    printed = "".join(frames.format())
    assert "hidden = SecretStr" in printed
    assert [secret for secret in (given[0], KEY_HEX[2:], repr(bytes.fromhex(KEY_HEX[2:]))) if secret in printed] == []
