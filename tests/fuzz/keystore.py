"""A keystore file, with the right password."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from eth_account import Account

from keeper.core.errors import KeeperError
from keeper.execution.keys import import_keystore, keystore_address, unlock_keystore

PASSWORD = "correct horse"
KEY = bytes(range(1, 33))


def _made() -> bytes:
    with TemporaryDirectory() as folder:
        import_keystore(Path(folder) / "key.json", KEY.hex(), PASSWORD, work_factor=16)
        return (Path(folder) / "key.json").read_bytes()


SAMPLES = (_made(), msgspec.json.encode(Account.encrypt(KEY, PASSWORD, kdf="pbkdf2", iterations=2)))


def _with(sample: int, **parameters: object) -> bytes:
    """Return a sample with other parameters of its key derivation."""
    document = msgspec.json.decode(SAMPLES[sample])
    document["crypto"]["kdfparams"] |= parameters
    return msgspec.json.encode(document)


FOUND = (
    b'{"version":3,"crypto":' + b'{"a":' * 900 + b"1" + b"}" * 901,
    b'{"a":' * 3000,
    b'{"\xff":1}',
    _with(0, dklen=1 << 31),
    _with(0, n=1 << 40, r=1 << 10),
    _with(1, prf="x-sha256"),
    _with(1, c=1 << 31),
)
"""Nested too deep for the decoder or the library, no UTF-8, gigabytes or hours of work, an assertion of the library."""


def harness(raw: bytes) -> None:
    """Read the address, and open it."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "key.json"
        path.write_bytes(raw)
        path.chmod(0o600)
        with suppress(KeeperError):
            keystore_address(path)
        with suppress(KeeperError):
            unlock_keystore(path, PASSWORD)
