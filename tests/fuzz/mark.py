"""The high-water mark's file."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from keeper.core.errors import KeeperError
from keeper.core.ids import Hash32
from keeper.journal.mark import Mark, MarkFile, read_mark

NEWEST = Mark(Hash32(b"\1" * 32), 9, Hash32(b"\2" * 32))


def _written() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mark"
        file = MarkFile(path, NEWEST._replace(sequence=8))
        file.write(NEWEST)
        file.close()
        return path.read_bytes()


SAMPLES = (_written(),)
FOUND: tuple[bytes, ...] = ()


def harness(raw: bytes) -> None:
    """Read the mark, then go on with it as a daemon does."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mark"
        path.write_bytes(raw)
        with suppress(KeeperError):
            assert read_mark(path) in (NEWEST, NEWEST._replace(sequence=8))
            file = MarkFile(path, NEWEST)
            file.write(NEWEST._replace(sequence=10))
            file.close()
            assert read_mark(path) == NEWEST._replace(sequence=10)
