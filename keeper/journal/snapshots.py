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
        fault = snapshot_fault(row, birth, last_sequence)
        if fault is None and row.engine_version != engine_version:
            fault = f"is of engine version {row.engine_version}"
        if fault is None:
            try:
                state = expanded(row.payload)
            except ValueError as error:
                fault = str(error)
            else:
                yield Snapshot(row.sequence, row.engine_version, state, row.state_hash)
        if fault is not None:
            _log.warning("snapshot skipped", sequence=row.sequence, reason=fault)


def snapshot_fault(row: StoredSnapshot, birth: Hash32, last_sequence: int) -> str | None:
    """Tell what is wrong with a stored snapshot, if anything."""
    if content_id(birth, *row[:3], row.payload) != row.hash:
        return "is not what was written"
    if row.sequence > last_sequence:
        return "is newer than the journal"
    return None
