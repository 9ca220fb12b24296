"""``docs/operating.md``: the backup that it shows is one."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from tests.journal.bodies import ticks

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


@pytest.mark.slow
def test_the_copy_of_an_open_journal_is_whole(tmp_path: Path) -> None:
    """A copy that is made while the journal is open, its records in the WAL, holds all of them and the same head."""
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    with SqliteJournal(path, [31337]) as journal:
        asyncio.run(journal.wait_durable(journal.append(ticks(20), 0)))
        subprocess.run([sys.executable, "-c", found[1], str(path), str(copy)], check=True, timeout=60)
        with JournalReader(path) as reader:
            tip = reader.tip()
    with JournalReader(copy) as reader:
        assert (reader.tip(), len(list(reader.read()))) == (tip, 20)
