"""The configuration file."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from keeper.core.errors import KeeperError
from keeper.settings import load_settings

SHIPPED = (Path(__file__).resolve().parents[2] / "config" / "keeper.toml").read_bytes()
SAMPLES = (SHIPPED, b"\n".join(line for line in SHIPPED.splitlines() if line and not line.startswith(b"#")))


def _with(key: bytes, value: bytes) -> bytes:
    """Return the shipped file with another value of a key."""
    changed = re.sub(rb"(?m)^" + key + rb" = [^\n#]*", lambda _: key + b" = " + value, SHIPPED)
    assert changed != SHIPPED
    return changed


FOUND = (
    b"a = " + b"[" * 3000,
    b"a = " + b"9" * 5000,
    b"a = 1e9999999999999999999",
    _with(b"profit_usd_min", b"1e-99999999"),
    _with(b"attempts_per_account_max", b"0x" + b"f" * 9000),
    _with(b"keystore", b'"a\\u0000b"'),
)
"""Nested without end; numbers that Python does not read, or takes hours to, or does not print; a path with a NUL."""


def harness(raw: bytes) -> None:
    """Read a file as every command does."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "keeper.toml"
        path.write_bytes(raw)
        with suppress(KeeperError):
            load_settings(path, {})
