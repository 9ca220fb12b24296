"""The full check."""

from __future__ import annotations

import asyncio
from pathlib import Path

import apsw
import pytest

from keeper.core.ids import to_hex
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.verify import Verification, Violation, verify
from tests.journal.bodies import ticks


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of three frames of two records, with two snapshots."""
    path = tmp_path / "journal.db"
    with SqliteJournal(path, [1]) as journal:
        for _ in range(3):
            asyncio.run(journal.wait_durable(journal.append(ticks(2), 0)))
        journal.save_snapshot(2, "1", b"two")
        journal.save_snapshot(4, "2", b"four")
    return path


def verified(path: Path, *changes: str) -> Verification:
    """Change the file, then verify it."""
    connection = apsw.Connection(str(path))
    for sql in changes:
        connection.execute(sql)
    connection.close()
    with JournalReader(path) as reader:
        return verify(reader)


def test_a_good_journal_is_counted(path: Path) -> None:
    """Everything is read and counted, whatever engine the snapshots are of."""
    with JournalReader(path) as reader:
        tip = to_hex(reader.tip()[1])

    assert verified(path) == Verification(3, 6, 6, tip, 2, (), None)


@pytest.mark.fault(22)
def test_the_first_violation_is_named(path: Path) -> None:
    """Damage is reported by the first sequence that cannot be trusted, with what was good before it."""
    actual = verified(path, "UPDATE frames SET first_block = 7 WHERE first_sequence = 3")

    reason = (
        f"journal {path}: the frame at sequence 3 is not what was written; "
        "restore the file from a copy; do not edit or skip records"
    )
    assert actual.violation == Violation(3, reason)
    assert (actual.frames, actual.records) == (1, 2)


def test_bad_snapshots_are_listed(path: Path) -> None:
    """A bad snapshot is named, and is no violation: nothing depends on it."""
    actual = verified(path, "UPDATE snapshots SET payload = x'00' WHERE sequence = 4")

    assert (actual.snapshots_good, actual.snapshots_bad, actual.violation) == (1, (4,), None)
