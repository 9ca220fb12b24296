"""Snapshots: the engine's state beside the log. They save time and are never the truth: any of them may be deleted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import NamedTuple

import structlog
import zstandard

from keeper.core.ids import HASH_LENGTH, Hash32, content_id
from keeper.journal.expanding import expanded
from keeper.journal.protocol import Snapshot

SNAPSHOTS_MAX = 3
"""How many are kept: one may be bad, one may be of the version before."""

_log = structlog.get_logger(__name__)


class StoredSnapshot(NamedTuple):
    """A snapshot as it is kept. ``hash`` ties every field to the journal it was taken of."""

    sequence: int
    engine_version: str
    state_hash: Hash32
    hash: Hash32
    payload: bytes


def seal_snapshot(birth: Hash32, sequence: int, engine_version: str, state: bytes) -> StoredSnapshot:
    """Compress and seal the state after ``sequence`` of the journal whose birth hash is given."""
    state_hash = Hash32(blake2b(state, digest_size=HASH_LENGTH).digest())
    payload = zstandard.ZstdCompressor().compress(state)
    seal = content_id(birth, sequence, engine_version, state_hash, payload)
    return StoredSnapshot(sequence, engine_version, state_hash, seal, payload)


def good_snapshots(
    stored: Iterable[StoredSnapshot], birth: Hash32, engine_version: str, last_sequence: int
) -> Iterator[Snapshot]:
    """Yield those that can be trusted, in the order given; say why the others cannot."""
    for row in stored:
        try:
            state = _opened(row, birth, engine_version, last_sequence)
        except ValueError as error:
            _log.warning("snapshot skipped", sequence=row.sequence, reason=str(error))
        else:
            yield Snapshot(row.sequence, row.engine_version, state, row.state_hash)


def snapshot_fault(row: StoredSnapshot, birth: Hash32, last_sequence: int) -> str | None:
    """Tell what is wrong with a stored snapshot, if anything."""
    try:
        _opened(row, birth, row.engine_version, last_sequence)
    except ValueError as error:
        return str(error)
    return None


def _opened(row: StoredSnapshot, birth: Hash32, engine_version: str, last_sequence: int) -> bytes:
    """Return the state, or say in a ``ValueError`` what is wrong with it."""
    if content_id(birth, *row[:3], row.payload) != row.hash:
        raise ValueError("is not what was written")
    if row.sequence > last_sequence:
        raise ValueError("is newer than the journal")
    if row.engine_version != engine_version:
        raise ValueError(f"is of engine version {row.engine_version}")
    state = expanded(row.payload)
    if blake2b(state, digest_size=HASH_LENGTH).digest() != row.state_hash:
        raise ValueError("is not the state whose hash it has")
    return state
