"""The full check of a journal file: every frame, every record, the mark, every snapshot.

That the decisions follow from the facts is the engine's replay to show; this shows that the records are those that were
written.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from keeper.core.errors import JournalDamaged
from keeper.core.ids import to_hex
from keeper.journal.frames import REDACTED
from keeper.journal.reader import JournalReader
from keeper.journal.snapshots import snapshot_fault


class Violation(msgspec.Struct, frozen=True):
    """The first thing that does not hold, and the first sequence that cannot be trusted."""

    sequence: int
    reason: str


class Verification(msgspec.Struct, frozen=True):
    """What was checked before the end, or before the violation. ``tip_hash`` is that of the last good frame.

    ``snapshots_bad`` are the sequences of snapshots that would be skipped: no violation, as nothing depends on them.
    """

    frames: int
    records: int
    last_sequence: int
    tip_hash: str
    snapshots_good: int
    snapshots_bad: tuple[int, ...]
    violation: Violation | None
    first_sequence: int = 1
    frames_redacted: int = 0


def verify(reader: JournalReader, advance: Callable[[int], None] | None = None) -> Verification:
    """Read everything. Opening the reader has already compared the journal with its high-water mark.

    ``advance`` takes how many records were read.
    """
    first = reader.first_sequence
    frames, redacted, records = 0, 0, 0
    last, tip = reader.place(first)
    violation = None
    try:
        for frame in reader.frames(1, reader.last_sequence):
            decoded = len(reader.decode(frame))
            records += decoded
            redacted += bool(frame.header.codec & REDACTED)
            frames, last, tip = frames + 1, frame.header.last_sequence, frame.hash
            if advance is not None:
                advance(decoded)
    except JournalDamaged as error:
        violation = Violation(last + 1, str(error))
    rows = reader.stored_snapshots()
    bad = tuple(row.sequence for row in rows if snapshot_fault(row, reader.birth.hash, last) is not None)
    good = len(rows) - len(bad)
    return Verification(frames, records, last, to_hex(tip), good, bad, violation, first, redacted)
