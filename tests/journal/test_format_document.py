"""``docs/journal_format.md`` says enough: its reader, which knows nothing of ours, reads what the keeper wrote."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from tests.journal.bodies import ticks

PAGE = Path(__file__).parents[2] / "docs" / "journal_format.md"


def written(folder: Path) -> Path:
    """Return a journal of frames that are plain and frames that are compressed."""
    path = folder / "journal.db"
    with SqliteJournal(path, [1, 31337]) as journal:
        for count in (1, 3, 400):
            asyncio.run(journal.wait_durable(journal.append(ticks(count), 1_700_000_000_000)))
    return path


def read(path: Path) -> subprocess.CompletedProcess[str]:
    """Run the page's reader on a journal."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    command = [sys.executable, "-c", found[1], str(path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.slow
def test_the_page_is_enough_to_read_a_journal(tmp_path: Path) -> None:
    """The page's reader finds every record, by sequence and tag, and the head of the chain."""
    path = written(tmp_path)
    with JournalReader(path) as reader:
        _, head = reader.tip()
    lines = read(path).stdout.splitlines()

    assert lines == [*(f"{sequence} ClockTicked/1" for sequence in range(1, 405)), f"404 {head.hex()}"]


@pytest.mark.slow
def test_the_page_is_enough_to_see_a_change(tmp_path: Path) -> None:
    """The page's reader refuses a journal in which one time of one frame was changed."""
    path = written(tmp_path)
    with apsw.Connection(str(path)) as connection:
        connection.execute("UPDATE frames SET last_unix_ms = 0 WHERE first_sequence = 2")

    assert "the frame at 2 is not what was written" in read(path).stderr
