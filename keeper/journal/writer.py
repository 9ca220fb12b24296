"""The one thread that writes, and the one connection that writes and checkpoints.

Group commit: whatever was queued while the last commit synced goes into the next frame, up to a bound, so durability
costs one sync for many appends and one append alone waits for nobody. After the first error nothing is written again,
nothing is retried and the WAL is left as it is for the next start to recover: a sync that failed once may report
success the second time over pages that the kernel has thrown away.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple

import apsw

from keeper.core.errors import JournalStopped
from keeper.core.ids import Hash32
from keeper.journal import tables
from keeper.journal.frames import FrameSealer, Group
from keeper.journal.gate import Gate
from keeper.journal.mark import Mark, MarkFile
from keeper.journal.snapshots import SNAPSHOTS_MAX, seal_snapshot
from keeper.journal.steps import Step

FRAME_RECORDS_MAX = 1024
FRAME_BYTES_MAX = 1 << 20
"""A frame ends before it passes these, unless a single group does; bytes before compression.

Longer frames save little on writing and no longer fit a processor's cache when they are decoded.
"""
CHECKPOINT_PAGES = 4096
MARK_SECONDS = 1.0
"""How far the high-water mark may trail behind."""

_INSERT_FRAME = "INSERT INTO frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_SNAPSHOT = "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)"
_PRUNE_SNAPSHOTS = """DELETE FROM snapshots WHERE sequence NOT IN
    (SELECT sequence FROM snapshots ORDER BY sequence DESC LIMIT ?)
    AND sequence NOT IN (SELECT last_sequence FROM frames WHERE codec = 8)"""


class TakenSnapshot(NamedTuple):
    """An engine state on its way to the disk."""

    sequence: int
    engine_version: str
    state: bytes


class _Close:
    """Ends the thread after everything queued before it."""


_Item = Group | TakenSnapshot | _Close


class FrameWriter:
    """Has the writing connection to itself until closed; everything it does happens in its own thread.

    Plain attributes are written by this thread alone and may be read by any other.

    Args:
        connection: Opened for writing, WAL, ``synchronous=FULL``.
        where: The journal's name, for errors.
        birth: The journal's birth hash.
        tip: The newest sequence and its hash.
        mark: The high-water mark's file.
        gate: Told after every change of an attribute.
        step: Surrounds each durable step.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        where: str,
        birth: Hash32,
        tip: tuple[int, Hash32],
        mark: MarkFile,
        gate: Gate,
        step: Step,
    ) -> None:
        self.durable_sequence = tip[0]
        self.frames_committed = 0
        self.settled_bytes = 0
        self.stopped: JournalStopped | None = None
        self._connection = connection
        self._where = where
        self._birth = birth
        self._sealer = FrameSealer(tip[1])
        self._mark = mark
        self._marked_sequence = -1  # whatever the file says, it is brought up to the tip once
        self._marked_at = monotonic()
        self._gate = gate
        self._step = step
        self._queue: SimpleQueue[_Item] = SimpleQueue()
        self._carried: _Item | None = None
        self._wal_pages = 0
        connection.set_wal_hook(self._count_wal)  # takes the place of the automatic checkpoint
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def submit(self, item: Group | TakenSnapshot) -> None:
        """Queue something to be written, in order."""
        self._queue.put(item)

    def close(self) -> None:
        """Write what is queued, bring the mark up to it and end the thread."""
        self._queue.put(_Close())
        self._thread.join()

    def _run(self) -> None:
        ending = JournalStopped(self._where, "its writer died", "this is a bug: keep the journal and report it")
        try:
            self._write_until_closed()
            ending = JournalStopped(self._where, "is closed", "open it again")
        except (apsw.Error, OSError) as error:
            self._connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
            ending = tables.stopped(self._where, error)
        finally:
            self.stopped = ending
            self._gate.notify()

    def _write_until_closed(self) -> None:
        while not isinstance(item := self._next(), _Close):
            if isinstance(item, Group):
                self._commit(self._with_company(item))
            elif item is not None:
                self._keep(item)
            self._housekeep()
        self._advance_mark()

    def _next(self) -> _Item | None:
        """Return the next item, ``None`` when the mark is due before there is one."""
        if self._carried is not None:
            item, self._carried = self._carried, None
            return item
        if self._marked_sequence == self.durable_sequence:
            return self._queue.get()
        try:
            return self._queue.get(timeout=max(0.0, self._marked_at + MARK_SECONDS - monotonic()))
        except Empty:
            return None

    def _with_company(self, group: Group) -> list[Group]:
        """Take what else is queued and fits into the frame; carry over the first that does not."""
        groups = [group]
        records, size = group.record_count, len(group.body)
        while not self._queue.empty():
            item = self._queue.get()
            if not isinstance(item, Group):
                self._carried = item
                break
            records += item.record_count
            size += len(item.body)
            if records > FRAME_RECORDS_MAX or size > FRAME_BYTES_MAX:
                self._carried = item
                break
            groups.append(item)
        return groups

    def _commit(self, groups: Sequence[Group]) -> None:
        frame = self._sealer.seal(groups)
        with self._step("commit", ()):
            self._connection.execute(_INSERT_FRAME, (*frame.header, frame.hash, frame.payload))
        self.frames_committed += 1
        self.settled_bytes += sum(len(group.body) for group in groups)
        self.durable_sequence = frame.header.last_sequence
        self._gate.notify()

    def _keep(self, taken: TakenSnapshot) -> None:
        with self._step("snapshot", ()), self._connection:
            self._connection.execute(_INSERT_SNAPSHOT, seal_snapshot(self._birth, *taken))
            self._connection.execute(_PRUNE_SNAPSHOTS, (SNAPSHOTS_MAX,))
        self.settled_bytes += len(taken.state)
        self._gate.notify()

    def _housekeep(self) -> None:
        if self._wal_pages >= CHECKPOINT_PAGES:
            self._wal_pages = 0
            with self._step("checkpoint", ()):
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        if monotonic() - self._marked_at >= MARK_SECONDS:
            self._advance_mark()

    def _advance_mark(self) -> None:
        if self._marked_sequence != self.durable_sequence:
            with self._step("mark", ()):
                self._mark.write(Mark(self._birth, self.durable_sequence, self._sealer.tip))
            self._marked_sequence = self.durable_sequence
        self._marked_at = monotonic()

    def _count_wal(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK
