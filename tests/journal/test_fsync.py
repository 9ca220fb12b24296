"""A sync that fails is never tried again."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.core.errors import JournalStopped
from keeper.journal import writer
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from tests.journal.bodies import ticks
from tests.journal.failing_disk import failing_disk


async def append_durably(journal: SqliteJournal, count: int) -> None:
    """Append groups of two, each durable before the next."""
    for _ in range(count):
        await journal.wait_durable(journal.append(ticks(2), 0))


@pytest.mark.parametrize(("file", "checkpoint_pages"), [("-wal", 1000), (".db", 1)])
async def test_a_failed_sync_stops_the_journal_for_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, checkpoint_pages: int
) -> None:
    """A commit's or a checkpoint's, the first sync that fails is the last; nothing acknowledged is lost."""
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", checkpoint_pages)
    path = tmp_path / "journal.db"
    with failing_disk() as disk:
        with SqliteJournal(path, [1]) as journal:
            await append_durably(journal, 3)
            disk.failing = file
            with pytest.raises(JournalStopped, match=r"the disk failed \(.*\); check the disk, then start again"):
                await append_durably(journal, 3)
            acknowledged = journal.durable_sequence
        assert disk.failures == 1

    with JournalReader(path) as reader:
        assert reader.last_sequence >= acknowledged >= 6
