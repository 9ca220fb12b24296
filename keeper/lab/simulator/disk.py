"""The journal on a simulated disk: the shipped frames in one file of bytes, of which a crash keeps what was synced.

What was written and not synced may be there after a crash, or not, or in part: a frame that is cut off at the end of
the file was never acknowledged and is dropped when the journal is opened. Any other wrong frame is damage.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from keeper.core.codec import AnyBody, Record
from keeper.core.errors import JournalDamaged, JournalStopped, invariant
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import HASH_LENGTH, Hash32
from keeper.journal.frames import RESTORE, Frame, FrameDecoder, FrameSealer, Group, check_frame, encode_group
from keeper.journal.protocol import JournalStatistics, Snapshot
from keeper.journal.snapshots import SNAPSHOTS_MAX, StoredSnapshot, good_snapshots, seal_snapshot
from keeper.journal.upcast import UPCASTS, Upcasts

BIRTH = Hash32(bytes(HASH_LENGTH))
WHERE = "simulated journal"
QUEUED_RECORDS_MAX = 4096
_LENGTH_BYTES = 4
_FRAMES = msgspec.msgpack.Decoder(Frame)


class Disk:
    """What outlives a process. ``attempts`` are the transactions whose preparation is synced: for the oracles.

    Args:
        sync_seconds: How long each sync takes.
        failing: Why the next sync fails, ``None`` when it does not.
    """

    def __init__(
        self,
        sync_seconds: Callable[[], float] = lambda: 0.001,
        failing: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.content = bytearray()
        self.synced_bytes = 0
        self.snapshots: list[StoredSnapshot] = []
        self.attempts: set[Hash32] = set()
        self.syncs = 0
        self.sync_seconds = sync_seconds
        self.failing = failing

    def cut_power(self, kept_bytes: int) -> None:
        """Lose what was not synced, but for its first so many bytes."""
        del self.content[self.synced_bytes + kept_bytes :]

    @property
    def unsynced_bytes(self) -> int:
        """How much a crash may take."""
        return len(self.content) - self.synced_bytes

    def frames(self) -> list[Frame]:
        """Return the frames that are there, dropping one that is torn at the end of the file.

        Raises:
            JournalDamaged: a frame is not what was written, and it is not the tail that a crash tears.
        """
        frames: list[Frame] = []
        previous, sequence, at = BIRTH, 1, 0
        while at < len(self.content):
            end = at + _LENGTH_BYTES + int.from_bytes(self.content[at : at + _LENGTH_BYTES], "big")
            try:
                frame = _FRAMES.decode(self.content[at + _LENGTH_BYTES : end])
                check_frame(frame, previous, sequence, WHERE)
            except (msgspec.MsgspecError, JournalDamaged):
                if end < len(self.content) or at < self.synced_bytes:
                    raise JournalDamaged(
                        WHERE, f"the frame at sequence {sequence} is not what was written", RESTORE
                    ) from None
                del self.content[at:]
                break
            frames.append(frame)
            previous, sequence, at = frame.hash, frame.header.last_sequence + 1, end
        self.synced_bytes = len(self.content)
        return frames


class _Written(NamedTuple):
    """What one sync makes durable."""

    frame: Frame | None
    snapshots: list[StoredSnapshot]
    prepared: list[Hash32]


class SimulatedJournal:
    """Implements :class:`keeper.journal.protocol.Journal` on a :class:`Disk`.

    Args:
        disk: Where the bytes are.
        upcasts: How old records are read.
    """

    def __init__(self, disk: Disk, *, upcasts: Upcasts = UPCASTS) -> None:
        self._disk = disk
        recovering = disk.unsynced_bytes > 0
        self._frames = disk.frames()
        tip = self._frames[-1].hash if self._frames else BIRTH
        self._sealer = FrameSealer(tip)
        self._decoder = FrameDecoder(upcasts, WHERE)
        self._last = self._durable = self._frames[-1].header.last_sequence if self._frames else 0
        self._queue: list[Group] = []
        self._prepared: list[Hash32] = []
        self._snapshots: list[StoredSnapshot] = []
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._under_way: _Written | None = None
        self.fault: str | None = None
        if recovering:
            disk.attempts.update(
                record.body.tx_hash for record in self.read() if isinstance(record.body, AttemptPrepared)
            )

    @property
    def last_sequence(self) -> int:
        """The newest sequence given out; zero in an empty journal."""
        return self._last

    @property
    def durable_sequence(self) -> int:
        """The newest sequence that a crash cannot take back."""
        return self._durable

    def append(self, bodies: Sequence[tuple[AnyBody, int]], unix_ms: int) -> int:
        """Number ``(body, cause)`` pairs, queue them as one atomic group, and return the last sequence.

        Raises:
            JournalStopped: an earlier commit failed.
            InvariantBroken: the group is empty.
        """
        self._refuse_stopped()
        group = encode_group(bodies, self._last + 1, unix_ms)
        self._last = group.last_sequence
        self._queue.append(group)
        self._prepared += [body.tx_hash for body, _ in bodies if isinstance(body, AttemptPrepared)]
        if self._under_way is None:
            self._commit()
        return self._last

    async def wait_durable(self, sequence: int) -> None:
        """Wait until a record that was appended cannot be lost.

        Raises:
            JournalStopped: it could not be made durable.
        """
        invariant(sequence <= self._last, WHERE, f"a wait for sequence {sequence}, never appended")
        while self._durable < sequence:
            self._refuse_failed()
            await self._next_sync(sequence)

    async def wait_room(self) -> None:
        """Wait until the queue has room for an append.

        Raises:
            JournalStopped: an earlier commit failed.
        """
        self._refuse_stopped()
        while self._last - self._durable > QUEUED_RECORDS_MAX:
            await self._next_sync(self._durable + 1)
            self._refuse_stopped()

    def read(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Yield durable records in order, ``first`` to ``last`` inclusive, or to the newest at the time of the call."""
        end = self._durable if last is None else min(last, self._durable)
        for frame in tuple(self._frames):
            if frame.header.first_sequence <= end and first <= frame.header.last_sequence:
                yield from (record for record in self._decoder.decode(frame) if first <= record.sequence <= end)

    def save_snapshot(self, sequence: int, engine_version: str, state: bytes) -> None:
        """Queue the engine's state after ``sequence``, which is durable; the newest few are kept.

        Raises:
            JournalStopped: an earlier commit failed.
        """
        self._refuse_stopped()
        invariant(sequence <= self._durable, WHERE, f"a snapshot of sequence {sequence}, not durable yet")
        self._snapshots.append(seal_snapshot(BIRTH, sequence, engine_version, state))

    def snapshots(self, engine_version: str) -> Iterator[Snapshot]:
        """Yield the good snapshots of that engine version, newest first; others are skipped with a warning."""
        return good_snapshots(self._disk.snapshots, BIRTH, engine_version, self._durable)

    def statistics(self) -> JournalStatistics:
        """Return the journal's counters."""
        queued = self._last - self._durable
        stored = len(self._disk.content)
        return JournalStatistics(
            self._last, self._durable, len(self._frames), queued, queued, queued, self.fault, stored
        )

    def close(self) -> None:
        """Write what is queued and release the journal."""
        if self.fault is None:
            for written in (self._under_way, self._write()):
                if written is not None:
                    self._keep(written)
            self._under_way = None
            self.fault = "is closed"
            self._wake()

    def _commit(self) -> None:
        """Begin to write what is queued; whoever appends meanwhile goes into the next frame."""
        self._under_way = self._write()
        asyncio.get_running_loop().call_later(self._disk.sync_seconds(), self._synced)

    def _write(self) -> _Written:
        """Write a frame without syncing it."""
        frame = None
        if self._queue:
            frame = self._sealer.seal(self._queue)
            packed = msgspec.msgpack.encode(frame)
            self._disk.content += len(packed).to_bytes(_LENGTH_BYTES, "big") + packed
        written = _Written(frame, self._snapshots, self._prepared)
        self._queue, self._snapshots, self._prepared = [], [], []
        return written

    def _synced(self) -> None:
        written, self._under_way = self._under_way, None
        if written is None:
            return
        reason = self._disk.failing()
        if reason is None:
            self._keep(written)
        self.fault = self.fault or reason
        if self._queue and self.fault is None:
            self._commit()
        self._wake()

    def _keep(self, written: _Written) -> None:
        disk = self._disk
        disk.syncs += 1
        if written.frame is not None:
            self._frames.append(written.frame)
            self._durable = written.frame.header.last_sequence
        disk.synced_bytes = len(disk.content)
        disk.attempts.update(written.prepared)
        for taken in written.snapshots:
            others = [row for row in disk.snapshots if row.sequence != taken.sequence]
            disk.snapshots = sorted([taken, *others], reverse=True)[:SNAPSHOTS_MAX]

    async def _next_sync(self, sequence: int) -> None:
        waiter = (sequence, asyncio.get_running_loop().create_future())
        self._waiters.append(waiter)
        try:
            await waiter[1]
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _wake(self) -> None:
        for sequence, future in self._waiters:
            if not future.done() and (self.fault is not None or sequence <= self._durable):
                future.set_result(None)

    def _refuse_failed(self) -> None:
        if self.fault is not None and self.fault != "is closed":
            raise JournalStopped(WHERE, self.fault, "free the disk and start again")

    def _refuse_stopped(self) -> None:
        if self.fault is not None:
            raise JournalStopped(WHERE, self.fault, "open it again")
