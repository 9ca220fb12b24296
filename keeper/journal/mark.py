"""The high-water mark: how far the journal is known to have come, kept outside it.

A database that went backwards (an older copy restored, a file system that lost its tail) is a perfectly valid, shorter
journal; nothing inside it can tell. A keeper that acted on it would sign with nonces it had already used. So a small
file beside the journal remembers the identity, sequence and hash of a frame that was durable.

The mark may lag behind the journal, never lead it: it is written after the commit, at most once in a while. Two
checksummed slots on different pages are written in turn, each followed by a sync, so a torn write costs the older half
at most. A missing file is accepted: removing it is how the operator says that a loss was looked at.
"""

from __future__ import annotations

import os
import struct
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from keeper.core.errors import JournalDamaged, OperatorError
from keeper.core.ids import Hash32

SLOT_BYTES = 4096
_FIELDS = struct.Struct(">8s32sQ32s")
_MAGIC = b"keepmrk1"
_CHECKSUM_BYTES = 16


class Mark(NamedTuple):
    """The frame that ends at ``sequence`` had this hash, in the journal with this birth hash."""

    birth: Hash32
    sequence: int
    hash: Hash32


class MarkFile:
    """The two slots of ``path``, open for writing.

    Args:
        path: The file, which is created durably when missing.
        mark: What it must hold when it is created.
    """

    def __init__(self, path: Path, mark: Mark) -> None:
        if not path.exists():
            _create(path, mark)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        first, second = _slots(os.pread(self._file, 2 * SLOT_BYTES, 0))
        self._slot = int(first is None or (second is not None and second.sequence > first.sequence))

    def write(self, mark: Mark) -> None:
        """Make a newer mark durable.

        Raises:
            OSError: it could not be written; the older one still stands.
        """
        self._slot = 1 - self._slot
        os.pwrite(self._file, _pack(mark), self._slot * SLOT_BYTES)
        os.fdatasync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def read_mark(path: Path) -> Mark | None:
    """Return the newest mark in the file, ``None`` when there is no file.

    Raises:
        JournalDamaged: neither slot can be read.
        OperatorError: the file cannot be opened.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(2 * SLOT_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        reason = f"cannot be opened ({error.strerror})"
        raise OperatorError(f"high-water mark {path}", reason, "check what it is, and its permissions") from error
    marks = [mark for mark in _slots(raw) if mark is not None]
    if not marks:
        raise JournalDamaged(
            f"high-water mark {path}",
            "cannot be read, so nothing shows that the journal is complete",
            f"compare the signers' nonces on chain with the journal, then remove {path.name} to go on",
        )
    return max(marks, key=lambda mark: mark.sequence)


def _create(path: Path, mark: Mark) -> None:
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(_pack(mark).ljust(2 * SLOT_BYTES, b"\0"))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _pack(mark: Mark) -> bytes:
    fields = _FIELDS.pack(_MAGIC, *mark)
    return fields + _checksum(fields)


def _checksum(fields: bytes) -> bytes:
    return blake2b(fields, digest_size=_CHECKSUM_BYTES).digest()


def _slots(raw: bytes) -> tuple[Mark | None, Mark | None]:
    return _unpack(raw[:SLOT_BYTES]), _unpack(raw[SLOT_BYTES:])


def _unpack(slot: bytes) -> Mark | None:
    fields = slot[: _FIELDS.size]
    if len(fields) < _FIELDS.size or slot[_FIELDS.size : _FIELDS.size + _CHECKSUM_BYTES] != _checksum(fields):
        return None
    magic, birth, sequence, tip = _FIELDS.unpack(fields)
    if magic != _MAGIC:
        return None
    return Mark(Hash32(birth), sequence, Hash32(tip))
