"""``keeper journal prune``: what goes, what stays provable, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import apsw
import pytest

from keeper.core.codec import AnyBody
from keeper.core.facts import ClockTicked
from keeper.engine.step import ENGINE_VERSION
from keeper.journal.lock import WriterLock
from keeper.journal.prune import prune
from keeper.journal.reader import JournalReader
from keeper.journal.snapshots import seal_snapshot
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.steps import StepName
from tests.cli.conftest import Keeper
from tests.cli.history_file import JournalFile, state_after, write_history
from tests.engine.history import CHAIN, History


@pytest.fixture
def kept(journal: JournalFile, history: History) -> JournalFile:
    """A journal whose newest snapshot is at its end."""
    path = journal.path.with_name("kept.db")
    return write_history(path, history.records, snapshots=[len(history.records)])


def pruned(keeper: Keeper, journal: JournalFile, before: int) -> int:
    """Prune, and return the first sequence that is left."""
    outcome = keeper("journal", "prune", "--journal", journal.url, "--before", str(before), "--json")
    assert outcome.code == 0, outcome.err
    return int(outcome.document["cut_sequence"]) + 1


def test_the_rest_is_proven_as_before(keeper: Keeper, kept: JournalFile) -> None:
    """A pruned journal has the same head and the same state, and verify says from where it looked."""
    before = keeper("verify", "--journal", kept.url, "--json").document
    first = pruned(keeper, kept, 12)
    after = keeper("verify", "--journal", kept.url, "--json").document

    assert {key: after[key] for key in ("tip_hash", "state_hash", "last_sequence", "fault", "first_sequence")} == {
        **{key: before[key] for key in ("tip_hash", "state_hash", "last_sequence", "fault")},
        "first_sequence": first,
    }
    assert 0 < after["decisions"] < before["decisions"]
    assert f"from       sequence {first}" in keeper("verify", "--journal", kept.url).out


def test_a_pruned_journal_can_be_pruned_again(keeper: Keeper, kept: JournalFile) -> None:
    """The next cut begins where the last one ended."""
    first = pruned(keeper, kept, 8)

    assert pruned(keeper, kept, len(kept.records)) > first
    assert keeper("replay", "--journal", kept.url, "--json").document["divergence"] is None


def test_not_past_the_newest_snapshot(keeper: Keeper, history: History, kept: JournalFile) -> None:
    """Nothing is deleted that no compared snapshot lies behind."""
    journal = write_history(kept.path.with_name("early.db"), history.records, snapshots=[4])
    outcome = keeper("journal", "prune", "--journal", journal.url, "--before", str(len(history.records)))

    assert (outcome.code, "past the newest verified snapshot at 4; give --before 5" in outcome.err) == (2, True)
    assert keeper("journal", "stat", "--journal", journal.url, "--json").document["first_sequence"] == 1


def test_not_while_a_daemon_writes(keeper: Keeper, kept: JournalFile) -> None:
    """A journal that is held by a writer is left alone, and the writer is named."""
    lock = WriterLock(kept.path)
    try:
        outcome = keeper("journal", "prune", "--journal", kept.url, "--before", "8")
    finally:
        lock.release()

    assert (outcome.code, "is writing it; stop that one first" in outcome.err) == (2, True)


def test_days_are_counted_from_the_newest_record(keeper: Keeper, kept: JournalFile) -> None:
    """No record is older than a day, so with a day kept there is nothing to delete."""
    outcome = keeper("journal", "prune", "--journal", kept.url, "--keep-days", "365000")

    assert (outcome.code, "has nothing before that" in outcome.err) == (2, True)


def test_one_of_two(keeper: Keeper, kept: JournalFile) -> None:
    """How much is kept is said in one way."""
    assert keeper("journal", "prune", "--journal", kept.url).code == 2


def test_damage_is_not_pruned_away(keeper: Keeper, kept: JournalFile) -> None:
    """A journal that does not verify is not touched."""
    connection = apsw.Connection(str(kept.path))
    connection.execute("UPDATE frames SET last_unix_ms = 1 WHERE first_sequence = 1")
    connection.close()

    assert keeper("journal", "prune", "--journal", kept.url, "--before", "8").code == 4


class Died(Exception):  # noqa: N818 - it names what happened
    """The process ended here."""


@contextmanager
def dies(_name: StepName, _bodies: Sequence[AnyBody] = ()) -> Iterator[None]:
    """Die at the end of a step."""
    yield
    raise Died


def test_a_crash_deletes_nothing(kept: JournalFile) -> None:
    """Everything happens in one transaction."""
    with JournalReader(kept.path) as reader:
        cut, _ = reader.place(12)
        base = seal_snapshot(reader.birth.hash, cut, str(ENGINE_VERSION), state_after(kept.records, cut))
    with pytest.raises(Died):
        prune(kept.path, base, dies)
    with JournalReader(kept.path) as reader:
        assert [*reader.read()] == [*kept.records]


def test_the_state_at_the_cut_outlives_newer_snapshots(keeper: Keeper, kept: JournalFile) -> None:
    """A daemon that goes on with a pruned journal keeps the state that its first record follows from."""
    first = pruned(keeper, kept, 12)
    with SqliteJournal(kept.path, [CHAIN]) as journal:
        for _ in range(5):
            last = journal.append([(ClockTicked(1), 0)], 1)
            asyncio.run(journal.wait_durable(last))
            journal.save_snapshot(last, "0", b"")
    with JournalReader(kept.path) as reader:
        assert first - 1 in [row.sequence for row in reader.stored_snapshots()]
        assert len(reader.stored_snapshots()) == 4
