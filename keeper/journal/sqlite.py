"""The embedded journal: one SQLite file, one process that writes it, any number that read it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import apsw

from keeper.core.codec import AnyBody, Record
from keeper.core.errors import JournalDamaged, JournalForeign, JournalStopped, OperatorError, invariant
from keeper.journal import tables
from keeper.journal.frames import Group, encode_group
from keeper.journal.gate import Gate
from keeper.journal.lock import WriterLock
from keeper.journal.mark import Mark, MarkFile, read_mark
from keeper.journal.protocol import JournalStatistics, Snapshot
from keeper.journal.reader import JournalReader, amnesia_remedy, mark_path
from keeper.journal.steps import Step, unwatched
from keeper.journal.upcast import UPCASTS, Upcasts
from keeper.journal.writer import FrameWriter, TakenSnapshot

QUEUED_RECORDS_MAX = 100_000
QUEUED_BYTES_MAX = 32 << 20
"""Appends beyond either wait in :meth:`SqliteJournal.wait_room`."""


class SqliteJournal:
    """Implements :class:`keeper.journal.protocol.Journal` in a file, its WAL, a lock and a high-water mark beside it.

    Args:
        path: The file; created when missing, its folder is not.
        chain_ids: The chains whose facts it holds. The first opening fixes them.
        upcasts: How old records are read.
        step: Surrounds each durable step.

    Raises:
        OperatorError: the folder is missing or not writable, or another process writes this journal.
        JournalForeign: of other chains, of a newer format, or not a journal.
        JournalDamaged: its end is not what was written, or it is older than its high-water mark.
    """

    def __init__(
        self, path: Path, chain_ids: Sequence[int], *, upcasts: Upcasts = UPCASTS, step: Step = unwatched
    ) -> None:
        self._path = path
        self._where = f"journal {path}"
        self._gate = Gate()
        with ExitStack() as undo:
            undo.callback(_take_lock(path).release)
            connection = _open_for_writing(path, chain_ids)
            undo.callback(connection.close)
            self._reader = undo.enter_context(JournalReader(path, upcasts=upcasts))
            self._check_chains(chain_ids)
            birth, tip = self._reader.birth.hash, self._reader.tip()
            with tables.translated(path):
                mark = MarkFile(mark_path(path), Mark(birth, *tip))
            undo.callback(mark.close)
            self._writer = FrameWriter(connection, self._where, birth, tip, mark, self._gate, step)
            undo.callback(self._writer.close)
            self._held = undo.pop_all()
        self._last_sequence = self._writer.durable_sequence
        self._accepted_bytes = 0
        self._peak_queued_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def last_sequence(self) -> int:
        """The newest sequence given out; zero in an empty journal."""
        return self._last_sequence

    @property
    def durable_sequence(self) -> int:
        """The newest sequence that a crash cannot take back."""
        return self._writer.durable_sequence

    def append(self, bodies: Sequence[tuple[AnyBody, int]], unix_ms: int) -> int:
        """Number ``(body, cause)`` pairs, queue them as one atomic group, and return the last sequence.

        Raises:
            JournalStopped: an earlier commit failed.
            InvariantBroken: the group is empty, or the queue is full (:meth:`wait_room` was not awaited).
        """
        self._refuse_stopped()
        invariant(self._has_room(), self._where, "an append without waiting for room")
        group = encode_group(bodies, self._last_sequence + 1, unix_ms)
        self._accept(group, len(group.body))
        self._last_sequence = group.last_sequence
        return group.last_sequence

    async def wait_durable(self, sequence: int) -> None:
        """Wait until a record that was appended cannot be lost.

        Raises:
            JournalStopped: it could not be made durable.
        """
        invariant(sequence <= self._last_sequence, self._where, f"a wait for sequence {sequence}, never appended")
        writer = self._writer
        await self._gate.wait_until(lambda: writer.durable_sequence >= sequence or writer.stopped is not None)
        if writer.durable_sequence < sequence:
            self._refuse_stopped()

    async def wait_room(self) -> None:
        """Wait until the queue has room for an append.

        Raises:
            JournalStopped: an earlier commit failed.
        """
        if not self._has_room():
            await self._gate.wait_until(lambda: self._has_room() or self._writer.stopped is not None)
        self._refuse_stopped()

    def read(self, first: int = 1, last: int | None = None) -> Iterator[Record]:
        """Yield durable records in order, ``first`` to ``last`` inclusive, or to the newest at the time of the call.

        Raises:
            JournalDamaged: what is stored is not what was written; everything yielded before is right.
            JournalForeign: a record of a newer version.
        """
        return self._reader.read(first, last)

    def save_snapshot(self, sequence: int, engine_version: str, state: bytes) -> None:
        """Queue the engine's state after ``sequence``, which is durable; the newest few are kept.

        Raises:
            JournalStopped: an earlier commit failed.
        """
        self._refuse_stopped()
        invariant(sequence <= self.durable_sequence, self._where, f"a snapshot of sequence {sequence}, not durable yet")
        self._accept(TakenSnapshot(sequence, engine_version, state), len(state))

    def snapshots(self, engine_version: str) -> Iterator[Snapshot]:
        """Yield the good snapshots of that engine version, newest first; others are skipped with a warning."""
        return self._reader.snapshots(engine_version)

    def statistics(self) -> JournalStatistics:
        """Return the journal's counters.

        Raises:
            JournalStopped: the file is not there any more; what is written now would be lost with this process.
        """
        return JournalStatistics(
            self._last_sequence,
            self.durable_sequence,
            self._writer.frames_committed,
            self._last_sequence - self.durable_sequence,
            self._accepted_bytes - self._writer.settled_bytes,
            self._peak_queued_bytes,
            None if self._writer.stopped is None else str(self._writer.stopped),
            self._stored_bytes(),
            self._disk_free_bytes(),
        )

    def close(self) -> None:
        """Write what is queued and release the journal. What could not be written is not reported here."""
        self._held.close()

    def _check_chains(self, chain_ids: Sequence[int]) -> None:
        born, wanted = self._reader.birth.chain_ids, tuple(sorted(chain_ids))
        if born != wanted:
            raise JournalForeign(
                self._where, f"is of chains {born}, not {wanted}", "give these chains a journal of their own"
            )

    def _stored_bytes(self) -> int:
        try:
            return sum(file.stat().st_size for file in (self._path, self._path.with_name(f"{self._path.name}-wal")))
        except FileNotFoundError:
            remedy = "put it back, then start again"
            raise JournalStopped(self._where, "was moved or removed", remedy) from None

    def _disk_free_bytes(self) -> int:
        disk = os.statvfs(self._path.parent)
        return disk.f_bavail * disk.f_frsize

    def _accept(self, item: Group | TakenSnapshot, size: int) -> None:
        self._accepted_bytes += size
        self._peak_queued_bytes = max(self._peak_queued_bytes, self._accepted_bytes - self._writer.settled_bytes)
        self._writer.submit(item)

    def _has_room(self) -> bool:
        queued_bytes = self._accepted_bytes - self._writer.settled_bytes
        return queued_bytes < QUEUED_BYTES_MAX and self._last_sequence - self.durable_sequence < QUEUED_RECORDS_MAX

    def _refuse_stopped(self) -> None:
        if self._writer.stopped is not None:
            raise JournalStopped(*self._writer.stopped.args) from self._writer.stopped


def _take_lock(path: Path) -> WriterLock:
    try:
        return WriterLock(path)
    except OSError as error:
        raise OperatorError(f"journal {path}", f"cannot be locked ({error.strerror})", "check its folder") from error


def _open_for_writing(path: Path, chain_ids: Sequence[int]) -> apsw.Connection:
    if not path.exists() or path.stat().st_size == 0:
        _refuse_loss(path)
    elif not os.access(path, os.R_OK | os.W_OK):
        raise OperatorError(f"journal {path}", "cannot be written by this user", "check its owner and permissions")
    with ExitStack() as undo, tables.translated(path):
        connection = tables.connect(path, apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE)
        undo.callback(connection.close)
        if tables.is_blank(connection):
            _refuse_loss(path)
            tables.make_durable(connection, path)
            tables.create(connection, tables.new_birth(chain_ids))
        else:
            tables.read_birth(connection, path)  # what is not ours is not touched
            tables.refuse_imported(connection, path)
            tables.make_durable(connection, path)
        undo.pop_all()
    return connection


def _refuse_loss(path: Path) -> None:
    """Do not start a new journal where there was one."""
    mark = read_mark(mark_path(path))
    if mark is not None:
        reason = f"is gone or empty, but it was durable up to sequence {mark.sequence}"
        raise JournalDamaged(f"journal {path}", reason, amnesia_remedy(path))
