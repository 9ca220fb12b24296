"""A disk that fails: it is not asked again, nothing more is acknowledged, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import apsw
import pytest

from keeper.core.errors import JournalStopped
from keeper.journal import writer
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.verify import verify
from tests.journal.bodies import ticks
from tests.journal.failing_disk import Failure, failing_disk

CHAINS = [1]
GROUPS = 6
FAILURES: tuple[Failure, ...] = ("full", "io", "short")


async def append_durably(journal: SqliteJournal, count: int) -> None:
    """Append groups of two, each durable before the next."""
    for _ in range(count):
        await journal.wait_durable(journal.append(ticks(2), 0))


@pytest.mark.fault(21)
@pytest.mark.parametrize(("file", "checkpoint_pages"), [("-wal", 1000), (".db", 1)])
async def test_a_failed_sync_stops_the_journal_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, checkpoint_pages: int
) -> None:
    """A commit's or a checkpoint's, the first sync that fails is the last; nothing acknowledged is lost."""
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", checkpoint_pages)
    path = tmp_path / "journal.db"
    with failing_disk() as disk:
        with SqliteJournal(path, CHAINS) as journal:
            await append_durably(journal, 3)
            disk.fail_next("sync", file)
            with pytest.raises(JournalStopped, match=r"the disk failed \(.*\); check the disk, then start again"):
                await append_durably(journal, 3)
            acknowledged = journal.durable_sequence
        assert disk.done_after_failure == []

    with JournalReader(path) as reader:
        assert reader.last_sequence >= acknowledged >= 6


def write_everything(path: Path) -> int | None:
    """Open a journal, append, take a snapshot and close it; return the newest sequence acknowledged, if it opened."""
    acknowledged = None
    try:
        with SqliteJournal(path, CHAINS) as journal:
            acknowledged = 0
            for _ in range(GROUPS):
                asyncio.run(append_durably(journal, 1))
                acknowledged = journal.durable_sequence
            journal.save_snapshot(acknowledged, "1", bytes(9000))
    except (
        JournalStopped,
        apsw.IOError,
        apsw.FullError,
    ):  # SQLite's own: closing, of which only the failing layer tells
        return acknowledged
    return acknowledged


@pytest.fixture
def checkpointing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the writer move the WAL into the database after every few commits."""
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 6)


@pytest.mark.slow
@pytest.mark.fault(21)
@pytest.mark.usefixtures("checkpointing")
@pytest.mark.parametrize("failure", FAILURES)
def test_whichever_operation_fails_is_the_last(tmp_path: Path, failure: Failure) -> None:
    """After the first error of any write, sync or truncation nothing is written, and what was acknowledged is there."""
    with failing_disk() as disk:
        write_everything(tmp_path / "counted.db")
        operations = len(disk.done)
    assert operations > 40
    for number in range(1, operations + 1):
        path = tmp_path / f"{number}.db"
        with failing_disk() as disk:
            disk.fails_at, disk.failure = number, failure
            acknowledged = write_everything(path)
            assert disk.has_failed
        if acknowledged is not None:  # what SQLite undoes while the file is made is its own affair
            assert disk.done_after_failure == []
        with SqliteJournal(path, CHAINS) as journal:
            assert journal.last_sequence >= (acknowledged or 0)
        with JournalReader(path) as reader:
            assert verify(reader).violation is None


@pytest.mark.fault(21)
async def test_a_mark_that_cannot_be_synced_stops_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The high-water mark's file is a disk like any other: its first failure is the last thing that is tried."""
    syncs: list[int] = []

    def refuse(file: int) -> None:
        syncs.append(file)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(writer, "MARK_SECONDS", 0.0)
    with SqliteJournal(tmp_path / "journal.db", CHAINS) as journal:
        monkeypatch.setattr(os, "fdatasync", refuse)
        with pytest.raises(JournalStopped, match="the disk failed"):
            await append_durably(journal, 3)
    assert len(syncs) == 1
