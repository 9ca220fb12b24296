"""What the rest of the program may ask of a journal, whichever implementation holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

import msgspec

from keeper.core.codec import AnyBody, Record
from keeper.core.ids import Hash32


class Snapshot(msgspec.Struct, frozen=True):
    """The engine's state after ``sequence``. ``state_hash`` is blake2b-256 of ``state``."""

    sequence: int
    engine_version: str
    state: bytes
    state_hash: Hash32


class JournalStatistics(msgspec.Struct, frozen=True):
    """How much a journal holds and how much waits to be written, now and at worst.

    ``fault`` says why it was stopped, ``None`` while it can be written. ``stored_bytes`` is what it takes on disk,
    ``disk_free_bytes`` what that disk has left for whoever is not root, ``None`` without a disk.
    """

    last_sequence: int
    durable_sequence: int
    frames_committed: int
    queued_records: int
    queued_bytes: int
    peak_queued_bytes: int
    fault: str | None
    stored_bytes: int
    disk_free_bytes: int | None = None


class Journal(Protocol):
    """An append-only log of records, open for writing. Calls come from one thread: the event loop's."""

    @property
    def last_sequence(self) -> int:
        """The newest sequence given out; zero in an empty journal."""

    @property
    def durable_sequence(self) -> int:
        """The newest sequence that a crash cannot take back."""

    def append(self, bodies: Sequence[tuple[AnyBody, int]], unix_ms: int) -> int:
        """Number ``(body, cause)`` pairs, queue them as one atomic group, and return the last sequence.

        Raises:
            JournalStopped: an earlier commit failed.
            InvariantBroken: the group is empty, or the queue is full (:meth:`wait_room` was not awaited).
        """

    async def wait_durable(self, sequence: int) -> None:
        """Wait until a record that was appended cannot be lost.

        Raises:
            JournalStopped: it could not be made durable.
        """

    async def wait_room(self) -> None:
        """Wait until the queue has room for an append.

        Raises:
            JournalStopped: an earlier commit failed.
        """

    def read(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Yield durable records in order, ``first`` to ``last`` inclusive, or to the newest at the time of the call.

        Raises:
            JournalDamaged: what is stored is not what was written; names the sequence. Everything yielded before
                it is right.
            JournalForeign: a record of a newer version.
        """

    def save_snapshot(self, sequence: int, engine_version: str, state: bytes) -> None:
        """Queue the engine's state after ``sequence``, which is durable; the newest few are kept.

        Raises:
            JournalStopped: an earlier commit failed.
        """

    def snapshots(self, engine_version: str) -> Iterator[Snapshot]:
        """Yield the good snapshots of that engine version, newest first; others are skipped with a warning."""

    def statistics(self) -> JournalStatistics:
        """Return the journal's counters."""

    def close(self) -> None:
        """Write what is queued and release the journal. What could not be written is not reported here."""
