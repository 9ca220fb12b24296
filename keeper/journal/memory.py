"""The journal's in-memory twin, for tests and the simulator: the same frames, durable the moment they are appended."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.core.codec import AnyBody, Record
from keeper.core.errors import JournalStopped, invariant
from keeper.core.ids import HASH_LENGTH, Hash32
from keeper.journal.frames import Frame, FrameDecoder, FrameSealer, check_frame, encode_group
from keeper.journal.protocol import JournalStatistics, Snapshot
from keeper.journal.snapshots import SNAPSHOTS_MAX, StoredSnapshot, good_snapshots, seal_snapshot
from keeper.journal.upcast import UPCASTS, Upcasts

_BIRTH = Hash32(bytes(HASH_LENGTH))
_WHERE = "journal in memory"


class MemoryJournal:
    """Implements :class:`keeper.journal.protocol.Journal` in a list of frames; one append is one frame.

    Args:
        upcasts: How old records are read.
    """

    def __init__(self, *, upcasts: Upcasts = UPCASTS) -> None:
        self._frames: list[Frame] = []
        self._snapshots: list[StoredSnapshot] = []
        self._sealer = FrameSealer(_BIRTH)
        self._decoder = FrameDecoder(upcasts, _WHERE)
        self._stopped: str | None = None

    def fail(self, reason: str) -> None:
        """Behave from now on as a journal whose disk has failed for ``reason``."""
        self._stopped = reason

    @property
    def last_sequence(self) -> int:
        """The newest sequence given out; zero in an empty journal."""
        return self._frames[-1].header.last_sequence if self._frames else 0

    @property
    def durable_sequence(self) -> int:
        """The newest sequence: everything here is durable at once."""
        return self.last_sequence

    def append(self, bodies: Sequence[tuple[AnyBody, int]], unix_ms: int) -> int:
        """Number ``(body, cause)`` pairs, keep them as one frame, and return the last sequence.

        Raises:
            JournalStopped: the journal was made to fail, or is closed.
            InvariantBroken: the group is empty.
        """
        self._refuse_stopped()
        group = encode_group(bodies, self.last_sequence + 1, unix_ms)
        self._frames.append(self._sealer.seal([group]))
        return group.last_sequence

    async def wait_durable(self, sequence: int) -> None:
        """Return at once: what was appended is durable."""
        invariant(sequence <= self.last_sequence, _WHERE, f"a wait for sequence {sequence}, never appended")

    async def wait_room(self) -> None:
        """Return at once: there is always room.

        Raises:
            JournalStopped: the journal was made to fail, or is closed.
        """
        self._refuse_stopped()

    def read(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Yield records in order, ``first`` to ``last`` inclusive, or to the newest at the time of the call.

        Raises:
            JournalForeign: a record of a newer version.
        """
        end = self.last_sequence if last is None else min(last, self.last_sequence)
        previous, sequence = _BIRTH, 1
        for frame in tuple(self._frames):
            check_frame(frame, previous, sequence, _WHERE)
            previous, sequence = frame.hash, frame.header.last_sequence + 1
            if frame.header.first_sequence <= end and first < sequence:
                yield from (record for record in self._decoder.decode(frame) if first <= record.sequence <= end)

    def save_snapshot(self, sequence: int, engine_version: str, state: bytes) -> None:
        """Keep the engine's state after ``sequence``; the newest few are kept.

        Raises:
            JournalStopped: the journal was made to fail, or is closed.
        """
        self._refuse_stopped()
        invariant(sequence <= self.durable_sequence, _WHERE, f"a snapshot of sequence {sequence}, not durable yet")
        taken = seal_snapshot(_BIRTH, sequence, engine_version, state)
        others = [row for row in self._snapshots if row.sequence != sequence]
        self._snapshots = sorted([taken, *others], reverse=True)[:SNAPSHOTS_MAX]

    def snapshots(self, engine_version: str) -> Iterator[Snapshot]:
        """Yield the good snapshots of that engine version, newest first; others are skipped with a warning."""
        return good_snapshots(self._snapshots, _BIRTH, engine_version, self.last_sequence)

    def statistics(self) -> JournalStatistics:
        """Return the journal's counters."""
        last = self.last_sequence
        stored_bytes = sum(len(frame.payload) for frame in self._frames)
        return JournalStatistics(last, last, len(self._frames), 0, 0, 0, self._stopped, stored_bytes)

    def close(self) -> None:
        """Refuse further appends."""
        self._stopped = self._stopped or "is closed"

    def _refuse_stopped(self) -> None:
        if self._stopped is not None:
            raise JournalStopped(_WHERE, self._stopped, "open it again")
