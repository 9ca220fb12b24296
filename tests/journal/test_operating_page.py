"""``docs/operating.md``: the backup that it shows is one."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from tests.journal.bodies import ticks

PAGE = Path(__file__).parents[2] / "docs" / "operating.md"


def shown() -> list[str]:
    """Return the one backup command of the page, split as a shell would."""
    (found,) = re.findall(r"^keeper journal backup .*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return shlex.split(found)


@pytest.mark.slow
def test_the_copy_of_an_open_journal_is_whole(tmp_path: Path) -> None:
    """The page's command, run while the journal is open and its records in the WAL, copies them all and the head."""
    path, copy = tmp_path / "journal.db", tmp_path / "copy.db"
    url, output = f"sqlite://{path}", str(copy)
    command = shown()
    places = {command[command.index("--journal") + 1]: url, command[command.index("-o") + 1]: output}
    with SqliteJournal(path, [31337]) as journal:
        asyncio.run(journal.wait_durable(journal.append(ticks(20), 0)))
        here = [places.get(word, word) for word in command[1:]]
        subprocess.run([sys.executable, "-m", "keeper.cli", *here], check=True, timeout=60, stdout=subprocess.DEVNULL)
        with JournalReader(path) as reader:
            tip = reader.tip()
    with JournalReader(copy) as reader:
        assert (reader.tip(), len(list(reader.read()))) == (tip, 20)
