"""Deleting the records behind a state that a full check has made again.

A frame of the chain is kept without its records as the first: its hash is what the rest is checked against, so the head
of the journal stays the one that was written down elsewhere. The state after it is kept as a snapshot that is never
deleted, because from now on it is no shortcut but the past itself.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw

from keeper.journal import tables
from keeper.journal.frames import CUT
from keeper.journal.lock import WriterLock
from keeper.journal.mark import Mark, MarkFile
from keeper.journal.reader import JournalReader, mark_path
from keeper.journal.snapshots import StoredSnapshot
from keeper.journal.steps import Step, unwatched

_STUB = "UPDATE frames SET codec = ?, payload = x'' WHERE last_sequence = ?"
_BEHIND = ("DELETE FROM frames WHERE last_sequence < ?", "DELETE FROM snapshots WHERE sequence < ?")
_BASE = "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?, ?, ?)"


def hold(path: Path) -> WriterLock:
    """Keep daemons from writing a journal while it is pruned.

    Raises:
        OperatorError: one is writing it.
    """
    with tables.translated(path):
        return WriterLock(path)


def prune(path: Path, base: StoredSnapshot, step: Step = unwatched) -> None:
    """Delete every record up to that of a state, in one transaction, and give the space back.

    Args:
        path: The journal, which the caller holds (:func:`hold`) and has verified.
        base: The state after a frame, sealed for this journal.
        step: Surrounds the commit.

    Raises:
        JournalStopped: the disk is full or fails; nothing was deleted.
        OperatorError: another program has it open.
    """
    with JournalReader(path) as reader:
        newest = Mark(reader.birth.hash, *reader.tip())
    with tables.translated(path):
        with closing(MarkFile(mark_path(path), newest)) as mark:  # an older one could name a frame that goes
            mark.write(newest)
        with closing(tables.connect(path, apsw.SQLITE_OPEN_READWRITE)) as connection:
            tables.make_durable(connection, path)
            with connection:
                connection.execute(_STUB, (CUT, base.sequence))
                for sql in _BEHIND:
                    connection.execute(sql, (base.sequence,))
                connection.execute(_BASE, base)
                with step("commit", ()):
                    pass
            connection.execute("VACUUM")
            connection.pragma("wal_checkpoint", "truncate")
