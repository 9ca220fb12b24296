"""The SQLite journal: its file, its mark, its lock, its limits."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import apsw
import pytest
from structlog.testing import capture_logs

from keeper.core.errors import (
    InvariantBroken,
    JournalDamaged,
    JournalForeign,
    JournalStopped,
    OperatorError,
)
from keeper.journal import sqlite, writer
from keeper.journal.mark import read_mark
from keeper.journal.reader import JournalReader, mark_path
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.tables import FORMAT
from tests.journal.bodies import ticks

CHAINS = [31337]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal.db"


def append(path: Path, *counts: int) -> None:
    """Open the journal, append groups of these sizes, each in its own frame, and close it."""
    with SqliteJournal(path, CHAINS) as journal:
        for count in counts:
            asyncio.run(journal.wait_durable(journal.append(ticks(count), 0)))


@contextmanager
def busy(path: Path) -> Iterator[None]:
    """Keep the writer waiting in its commit."""
    blocker = apsw.Connection(str(path))
    blocker.execute("BEGIN IMMEDIATE")
    yield
    blocker.execute("ROLLBACK")
    blocker.close()


def edit(path: Path, sql: str) -> None:
    """Change the database behind the journal's back."""
    connection = apsw.Connection(str(path))
    connection.execute(sql)
    connection.close()


def test_every_commit_is_synced(path: Path) -> None:
    """The writing connection runs in WAL mode with ``synchronous=FULL``, and SQLite says so itself."""
    with SqliteJournal(path, CHAINS) as journal:
        connection = journal._writer._connection
        assert (connection.pragma("journal_mode"), connection.pragma("synchronous")) == ("wal", 2)


def test_a_journal_goes_on_where_it_ended(path: Path) -> None:
    """Opened again, a journal continues its numbers and its chain of hashes."""
    append(path, 2, 3)
    append(path, 1)

    with JournalReader(path) as reader:
        assert [record.sequence for record in reader.read()] == [1, 2, 3, 4, 5, 6]


def test_what_is_queued_is_written_at_closing(path: Path) -> None:
    """Closing commits everything that was appended before."""
    with SqliteJournal(path, CHAINS) as journal:
        for _ in range(100):
            journal.append(ticks(10), 0)

    with JournalReader(path) as reader:
        assert reader.last_sequence == 1000


def test_appends_share_a_frame(path: Path) -> None:
    """What is queued while a commit is on its way goes into the next frames, whole groups up to the bound."""
    with SqliteJournal(path, CHAINS) as journal, busy(path):
        for _ in range(90):
            journal.append(ticks(100), 0)

    with JournalReader(path) as reader:
        ends = [frame.header.last_sequence for frame in reader.frames(1, 9000)]
    sizes = [end - start for start, end in pairwise([0, *ends])]
    assert len(sizes) <= 11
    assert max(sizes) <= writer.FRAME_RECORDS_MAX
    assert [size % 100 for size in sizes] == [0] * len(sizes)


def test_an_oversized_group_stays_whole(path: Path) -> None:
    """A group beyond the bound of a frame is one frame all the same."""
    append(path, 1, 2 * writer.FRAME_RECORDS_MAX, 1)

    with JournalReader(path) as reader:
        assert reader.summary().frames == 3


def test_another_chains_journal_is_foreign(path: Path) -> None:
    """A journal belongs to the chains it was born with, in any order."""
    SqliteJournal(path, [10, 1]).close()
    SqliteJournal(path, [1, 10]).close()

    with pytest.raises(JournalForeign, match=r"is of chains \(1, 10\), not \(1,\); give these chains"):
        SqliteJournal(path, [1])


@pytest.mark.fault(43)
def test_a_newer_format_is_foreign(path: Path) -> None:
    """A journal of a later format is not touched."""
    append(path, 1)
    edit(path, f"PRAGMA user_version={FORMAT + 1}")
    before = path.read_bytes()

    for opening in (lambda: SqliteJournal(path, CHAINS), lambda: JournalReader(path)):
        with pytest.raises(JournalForeign, match="has format 2, this version reads 1; upgrade margin-keeper"):
            opening()
    assert path.read_bytes() == before


def test_another_programs_database_is_foreign(path: Path) -> None:
    """A database that is not a journal is refused and left as it is."""
    edit(path, "CREATE TABLE theirs (x)")
    before = path.read_bytes()

    with pytest.raises(JournalForeign, match="a database of another program"):
        SqliteJournal(path, CHAINS)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_damage(path: Path) -> None:
    """A file of anything else is refused in one line."""
    path.write_bytes(b"not a database, but long enough to be taken for one" * 99)

    with pytest.raises(JournalDamaged, match="file is not a database"):
        SqliteJournal(path, CHAINS)


def test_a_changed_identity_is_damage(path: Path) -> None:
    """The chain ids in the file cannot be edited."""
    append(path, 1)
    edit(path, "UPDATE birth SET chain_ids='1'")

    with pytest.raises(JournalDamaged, match="its identity is not what was written"):
        SqliteJournal(path, [1])


def test_a_missing_folder_is_the_operators(tmp_path: Path) -> None:
    """A journal does not invent its folder."""
    with pytest.raises(OperatorError, match=r"cannot be locked \(No such file or directory\)"):
        SqliteJournal(tmp_path / "nowhere" / "journal.db", CHAINS)


@pytest.mark.fault(17)
def test_a_second_writer_is_refused(path: Path) -> None:
    """While one keeper writes, another is refused with the first one's pid; then it may."""
    first = SqliteJournal(path, CHAINS)
    with pytest.raises(
        OperatorError, match=rf"another keeper \(pid {os.getpid()}\) is writing it; stop that one first"
    ):
        SqliteJournal(path, CHAINS)
    first.close()

    SqliteJournal(path, CHAINS).close()


@pytest.mark.slow
def test_a_killed_writer_frees_the_journal(path: Path) -> None:
    """The lock dies with the process that held it."""
    command = [sys.executable, "-m", "tests.journal.appender", str(path), "1", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(OperatorError, match=f"pid {process.pid}"):
            SqliteJournal(path, CHAINS)
        process.send_signal(signal.SIGKILL)

    with SqliteJournal(path, CHAINS) as journal:
        assert journal.last_sequence > 0


def test_a_reader_sees_a_prefix_while_the_daemon_writes(path: Path) -> None:
    """A reader that is half way through is not disturbed by new commits, and a new one sees them."""
    with SqliteJournal(path, CHAINS) as journal, JournalReader(path) as reader:
        asyncio.run(journal.wait_durable(journal.append(ticks(5), 0)))
        reading = reader.read()
        seen = [next(reading).sequence]
        asyncio.run(journal.wait_durable(journal.append(ticks(5), 0)))
        seen += [record.sequence for record in reading]

        assert seen == [1, 2, 3, 4, 5]
        assert reader.last_sequence == 10


def restored(path: Path) -> None:
    """Put an older copy of the file in the place of the newer."""
    shutil.copy(path, path.with_suffix(".old"))
    append(path, 2)
    shutil.move(path.with_suffix(".old"), path)


def rewritten(path: Path) -> None:
    """Replace the journal by another history of the same length."""
    append(path.with_name("other.db"), 3)
    shutil.copy(path.with_name("other.db"), path)


def refilled(path: Path) -> None:
    """Let the old copy of the journal go on differently to beyond where it was."""
    restored(path)
    mark = path.with_name("journal.db.mark").rename(path.with_name("kept"))
    append(path, 1, 1, 1)
    mark.rename(path.with_name("journal.db.mark"))


def test_a_mark_left_behind_is_brought_up(path: Path) -> None:
    """After a crash the mark is behind; opening and closing the journal is enough to level it."""
    append(path, 1)
    behind = mark_path(path).read_bytes()
    append(path, 1)
    mark_path(path).write_bytes(behind)
    append(path)

    mark = read_mark(mark_path(path))
    assert mark is not None
    assert mark.sequence == 2


def blanked(path: Path) -> None:
    """Put a database without anything in it in the place of the journal."""
    path.unlink()
    edit(path, "PRAGMA journal_mode = wal")
    assert path.stat().st_size > 0


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (restored, "ends at sequence 3, but it was durable up to 5: it went backwards"),
        (rewritten, "its high-water mark is of another journal"),
        (refilled, "is not the one that was durable at sequence 5"),
        (blanked, "is gone or empty, but it was durable up to sequence 3"),
        (Path.unlink, "is gone or empty, but it was durable up to sequence 3"),
        (lambda path: path.write_bytes(b""), "is gone or empty, but it was durable up to sequence 3"),
    ],
)
def test_amnesia_is_noticed(path: Path, loss: Callable[[Path], object], reason: str) -> None:
    """A journal that is older than it was, or another one, stops the daemon until the operator has looked."""
    append(path, 3)
    loss(path)

    with pytest.raises(JournalDamaged, match=f"{reason}; restore the newer file.*then remove journal.db.mark"):
        SqliteJournal(path, CHAINS)


def test_a_removed_mark_accepts_the_loss(path: Path) -> None:
    """The operator who removed the mark may go on from the older copy."""
    append(path, 3)
    restored(path)
    path.with_name("journal.db.mark").unlink()

    append(path, 1)
    with JournalReader(path) as reader:
        assert reader.last_sequence == 4


@pytest.mark.parametrize(("mark_seconds", "trailing"), [(0.0, {1, 2}), (3600.0, {0})])
def test_the_mark_trails_and_catches_up(
    path: Path, monkeypatch: pytest.MonkeyPatch, mark_seconds: float, trailing: set[int]
) -> None:
    """While the journal is written its mark is behind by as much as it may, and level with it at closing."""
    monkeypatch.setattr(writer, "MARK_SECONDS", mark_seconds)
    with SqliteJournal(path, CHAINS) as journal:
        for _ in range(2):
            asyncio.run(journal.wait_durable(journal.append(ticks(1), 0)))
        during = read_mark(mark_path(path))
    after = read_mark(mark_path(path))

    assert during is not None
    assert during.sequence in trailing
    assert after is not None
    assert after.sequence == 2


@pytest.mark.fault(22)
@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE frames SET payload = zeroblob(9) WHERE first_sequence = 3", "sequence 3 is not what was written"),
        ("UPDATE frames SET last_unix_ms = 9 WHERE first_sequence = 3", "sequence 3 is not what was written"),
        ("DELETE FROM frames WHERE first_sequence = 3", "records from sequence 3 are missing"),
        ("UPDATE frames SET first_sequence = 4 WHERE first_sequence = 3", "records from sequence 3 are missing"),
    ],
)
def test_damage_is_named_by_sequence(path: Path, sql: str, reason: str) -> None:
    """Reading gives what is good before the damage, then says where it is; nothing after it is read."""
    append(path, 2, 2, 2, 2)
    edit(path, sql)
    seen: list[int] = []

    with JournalReader(path) as reader, pytest.raises(JournalDamaged, match=reason):
        seen.extend(record.sequence for record in reader.read())
    assert seen == [1, 2]


@pytest.mark.fault(22)
def test_a_damaged_end_is_noticed_at_opening(path: Path) -> None:
    """The newest frames are checked before anything is added to them."""
    append(path, 2, 2)
    edit(path, "UPDATE frames SET payload = zeroblob(9) WHERE first_sequence = 3")

    with pytest.raises(JournalDamaged, match="sequence 3 is not what was written"):
        SqliteJournal(path, CHAINS)


def test_without_a_mark_everything_is_checked(path: Path) -> None:
    """A journal whose mark was removed is checked from its first frame before anything is added to it."""
    append(path, 2, 2, 2)
    edit(path, "UPDATE frames SET payload = zeroblob(9) WHERE first_sequence = 1")
    mark_path(path).unlink()

    with pytest.raises(JournalDamaged, match="sequence 1 is not what was written"):
        SqliteJournal(path, CHAINS)


@pytest.mark.parametrize("column", ["sequence", "state_hash", "hash", "payload", "engine_version"])
def test_a_bad_snapshot_is_skipped(path: Path, column: str) -> None:
    """A snapshot of which anything was changed is passed over for the one before it, with a warning."""
    with SqliteJournal(path, CHAINS) as journal:
        asyncio.run(journal.wait_durable(journal.append(ticks(3), 0)))
        journal.save_snapshot(1, "1", b"good")
        journal.save_snapshot(2, "1", b"bad")
    value = {"sequence": "3", "engine_version": "'1 '"}.get(column, "x'00'")
    edit(path, f"UPDATE snapshots SET {column} = {value} WHERE sequence = 2")

    with capture_logs() as logs, JournalReader(path) as reader:
        assert [snapshot.state for snapshot in reader.snapshots("1")] == [b"good"]
    assert [(log["event"], log["reason"]) for log in logs] == [("snapshot skipped", "is not what was written")]


def test_a_snapshot_beyond_the_end_is_skipped(path: Path) -> None:
    """A snapshot of records that the journal no longer has is never trusted."""
    with SqliteJournal(path, CHAINS) as journal:
        asyncio.run(journal.wait_durable(journal.append(ticks(1), 0)))
        asyncio.run(journal.wait_durable(journal.append(ticks(1), 0)))
        journal.save_snapshot(2, "1", b"state")
    edit(path, "DELETE FROM frames WHERE first_sequence = 2")
    path.with_name("journal.db.mark").unlink()

    with capture_logs() as logs, JournalReader(path) as reader:
        assert list(reader.snapshots("1")) == []
    assert [log["reason"] for log in logs] == ["is newer than the journal"]


async def test_the_queue_is_bounded(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An append into a full queue is a bug, and waiting for room prevents it."""
    monkeypatch.setattr(sqlite, "QUEUED_RECORDS_MAX", 1)
    with SqliteJournal(path, CHAINS) as journal:
        with busy(path):
            journal.append(ticks(3), 0)
            with pytest.raises(InvariantBroken, match="an append without waiting for room"):
                journal.append(ticks(1), 0)
        await journal.wait_room()
        assert journal.append(ticks(1), 0) == 4
        assert journal.statistics().peak_queued_bytes > 0


def test_a_journal_that_was_taken_away_is_no_bug(path: Path) -> None:
    """When the file is moved under its writer, who counts it is told that the journal stopped, and what to do."""
    with SqliteJournal(path, CHAINS) as journal:
        path.rename(path.with_name("elsewhere.db"))

        with pytest.raises(JournalStopped, match="was moved or removed; put it back, then start again"):
            journal.statistics()


@pytest.mark.fault(21)
async def test_every_waiter_hears_of_the_failure(path: Path) -> None:
    """When a commit fails, all who wait for it are told why, and the same is told ever after."""
    with SqliteJournal(path, CHAINS) as journal:
        await journal.wait_durable(journal.append(ticks(2), 0))
        journal._writer._connection.pragma("max_page_count", 1)
        last = journal.append(ticks(5000), 0)
        waits = await asyncio.gather(*(journal.wait_durable(last) for _ in range(5)), return_exceptions=True)

        expected = f"journal {path}: the disk is full; free space, then start again: nothing acknowledged is lost"
        assert [str(error) for error in waits] == [expected] * 5
        assert {type(error) for error in waits} == {JournalStopped}
        with pytest.raises(JournalStopped):
            await journal.wait_room()
        await journal.wait_durable(2)

    with JournalReader(path) as reader:
        assert reader.last_sequence == 2


def test_the_wal_is_checkpointed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer moves the WAL into the database by itself, so the WAL stays small."""
    monkeypatch.setattr(writer, "CHECKPOINT_PAGES", 20)
    with SqliteJournal(path, CHAINS) as journal:
        for _ in range(60):
            asyncio.run(journal.wait_durable(journal.append(ticks(1), 0)))

        assert path.with_name("journal.db-wal").stat().st_size < 30 * 4200
        assert path.stat().st_size > 4096


def test_opening_errors_release_the_lock(path: Path) -> None:
    """A journal that could not be opened is not held."""
    append(path, 1)
    for _ in range(2):
        with pytest.raises(JournalForeign):
            SqliteJournal(path, [7])

    append(path, 1)
