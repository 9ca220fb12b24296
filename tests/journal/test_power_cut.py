"""The power goes while the journal is written: what it acknowledged is there afterwards."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from keeper.core.errors import JournalDamaged
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.verify import verify
from tests.journal.power import Disk, own_disk
from tests.journal.test_crash import appender, whole_groups

pytestmark = pytest.mark.soak

SEED = 20_260_708
CUTS = 8
CUTS_WITHOUT_SYNC = 8
NORMAL = 1
"""SQLite's ``synchronous`` setting that does not sync a commit."""


def acknowledged_before_cut(disk: Disk, chance: random.Random, *, synchronous: int | None = None) -> int:
    """Let a program append as fast as it can, cut the power, and return the last sequence it acknowledged.

    The power goes for the program too: it is stopped, perhaps in the middle of a sync, an instant before its disk is.
    What a sync that the cut overtakes would return (the file system does not promise an error) nobody is told.
    """
    with appender(disk.path / "journal.db", chance.getrandbits(32), synchronous=synchronous) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(chance.randint(20, 800))]
        process.send_signal(signal.SIGSTOP)
        disk.cut_power()
        process.kill()
        lines += process.stdout.readlines()
    disk.disconnect()
    disk.connect()
    return int([line for line in lines if line.endswith("\n") and line.strip().isdecimal()][-1])


@pytest.mark.fault(20)
def test_a_power_cut_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Cut off many times at random moments, the journal keeps every acknowledged group, whole, and reaches its mark."""
    chance = random.Random(SEED)
    with own_disk(tmp_path) as disk:
        path = disk.path / "journal.db"
        for _ in range(CUTS):
            acknowledged = acknowledged_before_cut(disk, chance)
            with JournalReader(path) as reader:
                kept = reader.last_sequence
                assert kept >= acknowledged
                assert whole_groups(reader)
                assert verify(reader).violation is None
            print(f"acknowledged {acknowledged}, kept {kept}")  # noqa: T201 - the figures of the run
            SqliteJournal(path, [31337]).close()


@pytest.mark.fault(20)
def test_without_a_sync_at_each_commit_a_power_cut_loses_what_was_acknowledged(tmp_path: Path) -> None:
    """The same cuts under ``synchronous=NORMAL`` lose records, so the cut is a real one; the mark notices."""
    chance = random.Random(SEED)
    with own_disk(tmp_path) as disk:
        lost = [records_lost(disk, chance) for _ in range(CUTS_WITHOUT_SYNC)]
    print(f"lost {lost}")  # noqa: T201 - the figures of the run
    if not any(lost):
        pytest.skip(f"{CUTS_WITHOUT_SYNC} cuts lost nothing although nothing was synced: the cut could not be shown")


def records_lost(disk: Disk, chance: random.Random) -> int:
    """Cut the power under a journal that does not sync; return how many acknowledged records are gone with it."""
    path = disk.path / "journal.db"
    acknowledged = acknowledged_before_cut(disk, chance, synchronous=NORMAL)
    path.with_name("journal.db.mark").unlink(missing_ok=True)
    try:
        with JournalReader(path) as reader:
            kept = reader.last_sequence
    except JournalDamaged:
        kept = 0
    for file in disk.path.glob("journal.db*"):
        file.unlink()
    return max(0, acknowledged - kept)
