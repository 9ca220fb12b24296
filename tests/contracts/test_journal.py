"""What every journal promises, whichever implementation holds it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from structlog.testing import capture_logs

from keeper.core.codec import AnyBody, Record
from keeper.core.errors import InvariantBroken, JournalForeign, JournalStopped
from keeper.core.facts import ClockTicked, Fact
from keeper.journal.memory import MemoryJournal
from keeper.journal.protocol import Journal
from keeper.journal.restore import restored
from keeper.journal.sqlite import SqliteJournal
from keeper.journal.upcast import UPCASTS, Upcast, Upcasts
from keeper.lab.simulator.disk import Disk, SimulatedJournal
from strategies import STRATEGIES
from tests.chain_ingestion.fakes import JumpClock
from tests.engine.history import History, opened_ledger
from tests.journal.bodies import ANY_GROUPS, Group, ticks


class ClockTickedBefore(Fact, frozen=True, tag="ClockTicked/0"):
    """The clock's fact as it was: in seconds."""

    unix_seconds: int


class Invented(Fact, frozen=True, tag="Invented/9"):
    """A fact of a version to come."""

    novelty: int


class ClockTickedLater(Fact, frozen=True, tag="ClockTicked/2"):
    """The clock's fact as it may once be."""

    unix_ns: int


class ClockTickedWithMore(Fact, frozen=True, tag="ClockTicked/1"):
    """The clock's fact with a field that somebody forgot to give a version."""

    unix_ms: int
    leap_seconds: int


class ClockTickedWithLess(Fact, frozen=True, tag="ClockTicked/1"):
    """The clock's fact without its field."""


UPCASTS_WITH_HISTORY = {
    "ClockTicked/0": Upcast(ClockTickedBefore, lambda old: ClockTicked(old.unix_seconds * 1000)),
}


class Kind(NamedTuple):
    """An implementation: how to open one in a folder, and how to make its disk fail."""

    open: Callable[[Path, Upcasts], Journal]
    fail: Callable[[Journal], None]


def _open_sqlite(folder: Path, upcasts: Upcasts) -> Journal:
    return SqliteJournal(folder / "journal.db", [31337], upcasts=upcasts)


def _fail_sqlite(journal: Journal) -> None:
    assert isinstance(journal, SqliteJournal)
    journal._writer._connection.pragma("max_page_count", 1)
    journal.append(ticks(5000), 0)


def _open_memory(folder: Path, upcasts: Upcasts) -> Journal:
    return MemoryJournal(upcasts=upcasts)


def _fail_memory(journal: Journal) -> None:
    assert isinstance(journal, MemoryJournal)
    journal.fail("the disk is full")


def _open_simulated(folder: Path, upcasts: Upcasts) -> Journal:
    return SimulatedJournal(Disk(), upcasts=upcasts)


def _fail_simulated(journal: Journal) -> None:
    assert isinstance(journal, SimulatedJournal)
    journal._disk.failing = lambda: "the disk is full"


KINDS = {
    "sqlite": Kind(_open_sqlite, _fail_sqlite),
    "memory": Kind(_open_memory, _fail_memory),
    "simulated": Kind(_open_simulated, _fail_simulated),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """Each implementation."""
    return KINDS[request.param]


@pytest.fixture
def journal(kind: Kind, tmp_path: Path) -> Iterator[Journal]:
    """An open, empty journal of each implementation."""
    opened = kind.open(tmp_path, UPCASTS_WITH_HISTORY)
    yield opened
    opened.close()


async def append_durably(journal: Journal, *groups: Group) -> None:
    """Append groups and wait for the last."""
    for group in groups:
        await journal.wait_room()
        last = journal.append(group, 5)
    await journal.wait_durable(last)


async def test_an_empty_journal_has_nothing(journal: Journal) -> None:
    """A new journal stands at sequence zero and holds no record."""
    assert (journal.last_sequence, journal.durable_sequence, list(journal.read())) == (0, 0, [])


async def test_sequences_are_consecutive(journal: Journal) -> None:
    """Records are numbered from one, without a gap, across groups."""
    assert [journal.append(ticks(count), 0) for count in (1, 3, 2)] == [1, 4, 6]
    assert journal.last_sequence == 6


async def test_records_come_back_as_given(journal: Journal) -> None:
    """A record carries its body, its cause and the time it was recorded at."""
    await append_durably(journal, [(ClockTicked(7), 0), (ClockTicked(8), 1)])

    assert list(journal.read()) == [Record(1, 5, 0, ClockTicked(7)), Record(2, 5, 1, ClockTicked(8))]


@pytest.mark.parametrize(("first", "last"), [(1, None), (3, 3), (2, 5), (6, 7), (4, 99), (9, None), (5, 4)])
async def test_any_range_can_be_read(journal: Journal, first: int, last: int | None) -> None:
    """Reading gives exactly the records asked for, wherever the frames begin."""
    await append_durably(journal, ticks(2), ticks(3), ticks(3))

    expected = [sequence for sequence in range(1, 9) if first <= sequence <= (last or 8)]
    assert [record.sequence for record in journal.read(first, last)] == expected


async def test_what_was_waited_for_is_there(journal: Journal) -> None:
    """After wait_durable the record can be read."""
    last = journal.append(ticks(3), 0)
    await journal.wait_durable(last)

    assert journal.durable_sequence >= last
    assert [record.sequence for record in journal.read(last)] == [last]


async def test_many_may_wait(journal: Journal) -> None:
    """Every waiter is woken, whatever order they wait in; one that gives up disturbs nobody."""
    last = [journal.append(ticks(1), 0) for _ in range(50)][-1]
    async with asyncio.TaskGroup() as tasks:
        for sequence in range(last, 0, -1):
            tasks.create_task(journal.wait_durable(sequence))
        tasks.create_task(journal.wait_durable(last)).cancel()

    assert journal.durable_sequence == last


async def test_an_empty_append_is_a_bug(journal: Journal) -> None:
    """A group holds at least one record."""
    with pytest.raises(InvariantBroken, match="without records"):
        journal.append([], 0)


async def test_waiting_for_the_unwritten_is_a_bug(journal: Journal) -> None:
    """Nobody can wait for a sequence that was not given out."""
    with pytest.raises(InvariantBroken, match="never appended"):
        await journal.wait_durable(1)


async def test_a_snapshot_of_the_future_is_a_bug(journal: Journal) -> None:
    """A snapshot is of a sequence that is durable."""
    with pytest.raises(InvariantBroken, match="not durable"):
        journal.save_snapshot(1, "1", b"state")


async def test_the_newest_snapshots_are_kept(journal: Journal) -> None:
    """Snapshots come newest first, and three are kept."""
    await append_durably(journal, ticks(5))
    for sequence in (1, 2, 4, 5):
        journal.save_snapshot(sequence, "1", b"state %d" % sequence)
    await append_durably(journal, ticks(1))

    actual = [(snapshot.sequence, snapshot.state) for snapshot in journal.snapshots("1")]
    assert actual == [(5, b"state 5"), (4, b"state 4"), (2, b"state 2")]


async def test_a_second_snapshot_of_a_sequence_replaces_the_first(journal: Journal) -> None:
    """A sequence has one snapshot: the newest."""
    await append_durably(journal, ticks(1))
    journal.save_snapshot(1, "1", b"first")
    journal.save_snapshot(1, "1", b"second")
    await append_durably(journal, ticks(1))

    assert [snapshot.state for snapshot in journal.snapshots("1")] == [b"second"]


async def test_snapshots_of_another_engine_are_skipped(journal: Journal) -> None:
    """A snapshot of another engine version is passed over with a warning."""
    await append_durably(journal, ticks(2))
    journal.save_snapshot(1, "1", b"old")
    journal.save_snapshot(2, "2", b"new")
    await append_durably(journal, ticks(1))

    with capture_logs() as logs:
        assert [snapshot.state for snapshot in journal.snapshots("1")] == [b"old"]
    assert logs == [
        {"event": "snapshot skipped", "log_level": "warning", "sequence": 2, "reason": "is of engine version 2"}
    ]


async def test_a_failed_journal_does_nothing_more(journal: Journal, kind: Kind) -> None:
    """After its disk failed, a journal refuses everything but reading, and what was durable is still there."""
    await append_durably(journal, ticks(3))
    kind.fail(journal)

    with pytest.raises(JournalStopped, match="the disk is full"):
        await append_durably(journal, ticks(1))
    with pytest.raises(JournalStopped):
        journal.append(ticks(1), 0)
    with pytest.raises(JournalStopped):
        journal.save_snapshot(1, "1", b"state")
    assert [record.sequence for record in journal.read(1, 3)] == [1, 2, 3]


async def test_a_closed_journal_refuses(journal: Journal) -> None:
    """Nothing can be appended after closing."""
    journal.close()

    with pytest.raises(JournalStopped, match="is closed"):
        journal.append(ticks(1), 0)


async def test_old_records_are_upgraded(journal: Journal) -> None:
    """A record of an old version is read as the current one, among current ones."""
    await append_durably(journal, [(ClockTicked(1), 0), (ClockTickedBefore(2), 1)])  # type: ignore[list-item] # as it was

    assert [record.body for record in journal.read()] == [ClockTicked(1), ClockTicked(2000)]
    assert [record.cause for record in journal.read()] == [0, 1]


@pytest.mark.fault(43)
@pytest.mark.parametrize(
    ("body", "tag"),
    [
        (Invented(1), "Invented/9"),
        (ClockTickedLater(1), "ClockTicked/2"),
        (ClockTickedWithMore(1, 0), "ClockTicked/1"),
        (ClockTickedWithLess(), "ClockTicked/1"),
    ],
)
async def test_an_unknown_record_stops_the_reader(journal: Journal, body: AnyBody, tag: str) -> None:
    """A record that this version cannot read in full is refused by name and sequence; nothing after it is read."""
    await append_durably(journal, ticks(2), [(ClockTicked(1), 0), (body, 0)], ticks(1))
    read: list[Record] = []

    with pytest.raises(JournalForeign, match=rf"^journal record 4: a {tag} that .*; upgrade margin-keeper"):
        read.extend(journal.read())
    assert [record.sequence for record in read] in ([], [1, 2])  # of whole frames, before it


@pytest.mark.fault(43)
async def test_an_unknown_record_stops_the_engine(journal: Journal) -> None:
    """A keeper that starts on a record it cannot read does not start, even when everything else would fit."""
    history = History()
    history.start()
    bodies = [(record.body, record.cause) for record in history.records]
    await append_durably(journal, bodies, [(ClockTickedWithMore(1, 0), 0)])  # type: ignore[list-item] # to come

    with pytest.raises(JournalForeign, match=r"^journal record 2: a ClockTicked/1 that"):
        restored(journal, opened_ledger, STRATEGIES, JumpClock())


async def test_statistics_count(journal: Journal) -> None:
    """The counters tell what is stored, and that nothing waits."""
    await append_durably(journal, ticks(2))
    await append_durably(journal, ticks(3))

    statistics = journal.statistics()
    assert (statistics.last_sequence, statistics.durable_sequence, statistics.frames_committed) == (5, 5, 2)
    assert (statistics.queued_records, statistics.queued_bytes) == (0, 0)
    assert statistics.stored_bytes > 0


@given(groups=ANY_GROUPS)
@settings(max_examples=30, deadline=None)
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.slow
def test_any_groups_come_back(name: str, groups: list[Group]) -> None:
    """Whatever is appended in whatever groups is read back in order, equal to the last bit."""
    with TemporaryDirectory() as folder:
        journal = KINDS[name].open(Path(folder), UPCASTS)
        try:
            asyncio.run(append_durably(journal, *groups))
            flat = [pair for group in groups for pair in group]
            expected = [Record(sequence, 5, cause, body) for sequence, (body, cause) in enumerate(flat, 1)]
            assert list(journal.read()) == expected
        finally:
            journal.close()
