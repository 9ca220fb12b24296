"""Keystore files: the Web3 Secret Storage format, version 3, encrypted with scrypt.

The format is the one that geth, clef and every wallet read, so a key can be taken elsewhere. A file is written whole
or not at all, readable by its owner only, and never over another file: a keystore that is overwritten is money that
is lost. A file that others can read is refused, as ssh does, because the password is then all that is left.

The library is imported where a key is: it brings the curves of the beacon chain, and half a second, with it.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any

import msgspec
from pydantic import SecretStr

from keeper.core.errors import CredentialError
from keeper.core.ids import Address, parse_address
from keeper.execution.signer import KEY_LENGTH, LocalSigner

SCRYPT_WORK_FACTOR = 2**18
"""Iterations N; with r = 8 one try of a password takes 256 MiB and about a second."""

KEYSTORE_BYTES_MAX = 1 << 16
"""A hundred times what one takes."""
SCRYPT_WORK_MAX = 2**23
"""Of N times r times p: 1 GiB, four times what geth's files ask for."""
PBKDF2_ROUNDS_MAX = 10_000_000
"""Ten times what the library writes."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_MALFORMED = (
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    MemoryError,
    RuntimeError,  # nested too deep, or of a kind that the library does not know
    ValueError,
)
"""What the library raises for one; msgspec's own is a ``ValueError``."""
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class _Work(msgspec.Struct):
    """The parameters of either key derivation that decide what one try of a password takes."""

    n: _Positive = 1
    r: _Positive = 1
    p: _Positive = 1
    c: _Positive = 1
    dklen: _Positive = 32

    @property
    def costly(self) -> bool:
        """Whether one try would take gigabytes or minutes."""
        return self.n * self.r * self.p > SCRYPT_WORK_MAX or self.c > PBKDF2_ROUNDS_MAX or self.dklen > KEY_LENGTH


def load_format() -> None:
    """Import the library now: in a thread it would only take turns with what the caller does next."""
    import eth_keyfile.keyfile  # noqa: F401, PLC0415 - see the module


def create_keystore(path: Path, password: str, *, work_factor: int = SCRYPT_WORK_FACTOR) -> Address:
    """Make a new key, keep it in a new keystore file, and return its address.

    Raises:
        CredentialError: the password is empty, the file exists already or cannot be written.
    """
    return _store(path, secrets.token_bytes(KEY_LENGTH), password, work_factor)


def import_keystore(path: Path, key_hex: str, password: str, *, work_factor: int = SCRYPT_WORK_FACTOR) -> Address:
    """Keep an existing key (64 hexadecimal digits, with or without ``0x``) in a new keystore file.

    Raises:
        CredentialError: as :func:`create_keystore`, or it is not a key. No message carries the key.
    """
    return _store(path, _parse_key(key_hex), password, work_factor)


def keystore_address(path: Path) -> Address:
    """Return the address that a keystore file names; the password is not needed.

    Raises:
        CredentialError: the file is missing, readable by others, or not a keystore.
    """
    return _named_address(path, _read(path))


def raw_key_signer(key_hex: str) -> LocalSigner:
    """Return the signer of a key in hexadecimal, for a chain whose coins are worth nothing.

    Raises:
        CredentialError: it is not a key. The message does not carry it.
    """
    return LocalSigner(_parse_key(key_hex))


def unlock_keystore(path: Path, password: str) -> LocalSigner:
    """Return the signer whose key a keystore file holds.

    Raises:
        CredentialError: the file is missing, readable by others or not a keystore, the password is wrong, or the key
            is not that of the address which the file names.
    """
    hidden = SecretStr(password)
    del password  # no traceback from here on has a frame that shows it
    document = _read(path)
    signer = LocalSigner(_decrypt(path, document, hidden))
    if signer.address != _named_address(path, document):
        raise CredentialError(f"keystore {path}", "holds the key of another address", "restore the file from a copy")
    return signer


def _parse_key(key_hex: str) -> bytes:
    """Return the bytes of a key, none when it is not hexadecimal (the signer refuses both with one message)."""
    try:
        return bytes.fromhex(key_hex.strip().removeprefix("0x"))
    except ValueError:
        return b""


def _store(path: Path, key: bytes, password: str, work_factor: int) -> Address:
    if not password:
        raise CredentialError(f"keystore {path}", "the password is empty", "choose a password")
    address = LocalSigner(key).address
    from eth_keyfile.keyfile import create_keyfile_json  # noqa: PLC0415 - see the module

    document = create_keyfile_json(key, password.encode(), kdf="scrypt", iterations=work_factor)
    del key
    _write_new(path, msgspec.json.encode(document))
    return address


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that did not exist, whole or not at all, mode 0600."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".keystore-") as file:  # created with mode 0600
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.link(file.name, path)  # unlike a rename, refuses to replace
        _sync_directory(path.parent)
    except FileExistsError:
        raise CredentialError(f"keystore {path}", "exists already", "choose another file; none is replaced") from None
    except OSError as error:
        raise CredentialError(f"keystore {path}", f"cannot be written: {error.strerror}", "check the folder") from None


def _sync_directory(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> dict[str, Any]:
    """Read a keystore that its owner alone can read."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(KEYSTORE_BYTES_MAX)
    except FileNotFoundError:
        raise CredentialError(f"keystore {path}", "is missing", f"create it with `keeper keys new {path}`") from None
    except OSError as error:
        raise CredentialError(f"keystore {path}", f"cannot be read: {error.strerror}", "check the file") from None
    if mode & _OTHERS:
        raise CredentialError(f"keystore {path}", f"others may use it (mode {mode & 0o777:o})", f"chmod 600 {path}")
    return _parse(path, content)


def _parse(path: Path, content: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(content, type=dict[str, Any])
    except (ValueError, RecursionError):  # msgspec's own is a ValueError, as text that is not UTF-8
        document = {}
    if document.get("version") != 3 or not isinstance(document.get("crypto", document.get("Crypto")), dict):  # noqa: PLR2004 - the format's version
        raise CredentialError(f"keystore {path}", "is not a version 3 keystore", "create it with `keeper keys new`")
    return document


def _named_address(path: Path, document: dict[str, Any]) -> Address:
    try:
        return parse_address("0x" + str(document.get("address", "")).removeprefix("0x"))
    except ValueError:
        raise CredentialError(f"keystore {path}", "names no address", "create it with `keeper keys new`") from None


def _decrypt(path: Path, document: dict[str, Any], password: SecretStr) -> bytes:
    """Return the key. The error is raised outside the handler, so no frame of the decryption hangs on it."""
    from eth_keyfile.keyfile import decode_keyfile_json, normalize_keys  # noqa: PLC0415 - see the module

    costly = wrong_password = False
    try:
        lowered = normalize_keys(document)
        costly = msgspec.convert(lowered["crypto"]["kdfparams"], _Work).costly
        if not costly:
            return bytes(decode_keyfile_json(lowered, password.get_secret_value().encode()))
    except _MALFORMED as error:
        wrong_password = str(error) == "MAC mismatch"
    if costly:
        raise CredentialError(f"keystore {path}", "asks for more work than any wallet's does", "restore it from a copy")
    if wrong_password:
        raise CredentialError(f"keystore {path}", "the password is wrong", "give the one it was made with")
    raise CredentialError(f"keystore {path}", "is damaged: a field is missing or malformed", "restore it from a copy")
