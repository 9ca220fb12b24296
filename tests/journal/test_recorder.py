"""The recorder: groups become frames, decisions name their cause, and nothing acts ahead of the disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import apsw
import pytest

from keeper.core.codec import Record
from keeper.core.decisions import Decision, IntentAdmitted
from keeper.core.errors import InvariantBroken, JournalStopped
from keeper.core.facts import AnyFact, ClockTicked, KillSwitchChanged
from keeper.engine.replay import replay
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.memory import MemoryJournal
from keeper.journal.protocol import Journal
from keeper.journal.reader import JournalReader
from keeper.journal.recorder import GROUPS_MAX, JournalRecorder, Settled
from keeper.journal.sqlite import SqliteJournal
from tests.chain_ingestion.fakes import JumpClock
from tests.engine.history import CHAIN, History, new_engine

WAIT_SECONDS_MAX = 20.0
NEVER = 10**9
TURNS = 50
"""Turns of the event loop that are enough for whatever can go on to have gone on."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the SQLite journal is."""
    return tmp_path / "journal.db"


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, path: Path) -> Iterator[Journal]:
    """Either journal, empty."""
    opened: Journal = MemoryJournal() if request.param == "memory" else SqliteJournal(path, [CHAIN])
    yield opened
    opened.close()


@pytest.fixture
def on_disk(path: Path) -> Iterator[SqliteJournal]:
    """The SQLite journal, empty."""
    with SqliteJournal(path, [CHAIN]) as opened:
        yield opened


class Bench:
    """A recorder on a journal, and what it handed on."""

    def __init__(
        self,
        journal: Journal,
        snapshot_every_records: int = NEVER,
        *,
        engine: Engine | None = None,
        clock: JumpClock | None = None,
    ) -> None:
        self.journal = journal
        self.engine = engine or new_engine()
        self.settled: list[Settled] = []
        self.ahead: list[int] = []
        self.recorder = JournalRecorder(
            journal,
            self.engine,
            clock or JumpClock(),
            on_settled=self._take,
            snapshot_every_records=snapshot_every_records,
        )

    def _take(self, group: Settled) -> None:
        self.settled.append(group)
        last = group.first_sequence + len(group.bodies) - 1
        if last > self.journal.durable_sequence:
            self.ahead.append(last)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[JournalRecorder]:
        """Run the recorder for the length of the context."""
        task = asyncio.create_task(self.recorder.run())
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                yield self.recorder
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


def breach() -> History:
    """Return a history that ends with an admitted intent, and has decisions of several kinds."""
    history = History()
    history.market()
    history.tick()
    history.breach()
    return history


def facts_of(history: History) -> list[AnyFact]:
    """Return a history's facts alone."""
    return [record.body for record in history.records if not isinstance(record.body, Decision)]


def placed(records: Sequence[Record]) -> list[tuple[int, int, object]]:
    """Return what is told of records but the time."""
    return [(record.sequence, record.cause, record.body) for record in records]


async def let_run() -> None:
    """Let whatever can go on go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_decisions_follow_their_fact_and_name_it(journal: Journal) -> None:
    """The journal holds each fact, then the decisions that follow from it with its sequence as their cause."""
    history = breach()
    bench = Bench(journal)
    async with bench.running() as recorder:
        await recorder.record(facts_of(history))

    assert placed(list(journal.read())) == placed(history.records)


async def test_a_group_is_one_frame(on_disk: SqliteJournal, path: Path) -> None:
    """A group and its decisions are one frame, so a crash leaves all of it or nothing."""
    history = breach()
    bench = Bench(on_disk)
    async with bench.running() as recorder:
        await recorder.record(facts_of(history))

    with JournalReader(path) as reader:
        assert [frame.header[:2] for frame in reader.frames(1, reader.last_sequence)] == [(1, len(history.records))]


async def test_groups_settle_in_the_order_of_the_journal(journal: Journal) -> None:
    """What is handed on is the journal, body for body, in its order, and never ahead of what is durable."""
    history = breach()
    bench = Bench(journal)
    async with bench.running() as recorder:
        for fact in facts_of(history):
            await recorder.submit([fact])
        await recorder.record([ClockTicked(1)])

    handed_on = [(group.first_sequence + place, body) for group in bench.settled for place, body in enumerate(group[1])]
    assert handed_on == [(record.sequence, record.body) for record in journal.read()]
    assert bench.ahead == []


async def test_nothing_is_handed_on_before_it_is_durable(on_disk: SqliteJournal, path: Path) -> None:
    """While the disk is busy the engine goes on, and neither a decision nor a waiter does."""
    facts = facts_of(breach())
    bench = Bench(on_disk)
    blocker = apsw.Connection(str(path))
    async with bench.running() as recorder:
        blocker.execute("BEGIN IMMEDIATE")
        waiting = asyncio.create_task(recorder.record(facts))
        await let_run()
        before = (bench.engine.sequence > 0, len(bench.settled), waiting.done())
        blocker.execute("ROLLBACK")
        blocker.close()
        await waiting

    assert before == (True, 0, False)
    assert any(isinstance(body, IntentAdmitted) for group in bench.settled for body in group.bodies)


async def test_a_full_inbox_makes_producers_wait(journal: Journal) -> None:
    """Beyond the bound a producer waits, and nothing is dropped."""
    bench = Bench(journal)
    await bench.recorder.submit([facts_of(breach())[0]])
    for number in range(GROUPS_MAX - 1):
        await bench.recorder.submit([ClockTicked(number)])
    one_more = asyncio.create_task(bench.recorder.submit([KillSwitchChanged(armed=True, reason="file")]))
    await let_run()
    waited = not one_more.done()
    async with bench.running() as recorder:
        await one_more
        await recorder.record([ClockTicked(GROUPS_MAX)])

    ticks = [record.body.unix_ms for record in journal.read() if isinstance(record.body, ClockTicked)]
    assert waited
    assert ticks == [*range(GROUPS_MAX - 1), GROUPS_MAX]
    assert journal.last_sequence == GROUPS_MAX + 2


async def stopped(bench: Bench, facts: Sequence[AnyFact], waiters: int) -> list[BaseException | None]:
    """Run the recorder to its end with that many waiters; return the waiters' errors, then the recorder's own."""
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        *outcomes, own = await asyncio.gather(
            *(bench.recorder.record(facts) for _ in range(waiters)), bench.recorder.run(), return_exceptions=True
        )
    assert isinstance(own, ExceptionGroup)
    return [*outcomes, own.exceptions[0]]


async def test_a_failed_journal_ends_the_run() -> None:
    """When the journal has failed, the recorder and everyone who waits for it hear of it; nobody hangs."""
    journal = MemoryJournal()
    bench = Bench(journal)
    journal.fail("the disk is gone")

    errors = await stopped(bench, [ClockTicked(1)], waiters=4)

    assert [type(error) for error in errors] == [JournalStopped] * 5
    assert {"the disk is gone" in str(error) for error in errors} == {True}
    assert bench.settled == []


async def test_a_full_disk_ends_the_run(on_disk: SqliteJournal, path: Path) -> None:
    """When the disk is full, what was acknowledged stays, what was not is never handed on, and nobody hangs."""
    bench = Bench(on_disk)
    history = breach()
    async with bench.running() as recorder:
        await recorder.record(facts_of(history))
    again = Bench(on_disk)
    again.engine.load(bench.engine.snapshot())
    on_disk._writer._connection.pragma("max_page_count", 1)

    errors = await stopped(again, [ClockTicked(number) for number in range(20_000)], waiters=3)

    assert [type(error) for error in errors] == [JournalStopped] * 4
    assert {"the disk is full" in str(error) for error in errors} == {True}
    assert again.settled == []
    with JournalReader(path) as reader:
        assert placed(list(reader.read())) == placed(history.records)


async def test_a_broken_invariant_ends_the_run(journal: Journal) -> None:
    """A fact that cannot be is our own bug: the run ends with it, it is not journalled, and its sender is told."""
    bench = Bench(journal)

    told, bug = await stopped(bench, [KillSwitchChanged(armed=True, reason="file"), *facts_of(breach())[1:]], waiters=1)

    assert isinstance(bug, InvariantBroken)
    assert isinstance(told, JournalStopped)
    assert journal.last_sequence == 0


@pytest.mark.parametrize("producers", [1, 3 * GROUPS_MAX])
async def test_producers_that_wait_for_room_are_told(producers: int) -> None:
    """However many wait for room in the queue, all of them hear that the recorder has ended."""
    journal = MemoryJournal()
    bench = Bench(journal)
    journal.fail("the disk is gone")
    for number in range(GROUPS_MAX):
        await bench.recorder.submit([ClockTicked(number)])
    waiting = [asyncio.create_task(bench.recorder.submit([ClockTicked(1)])) for _ in range(producers)]
    await let_run()

    await stopped(bench, [ClockTicked(1)], waiters=1)
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)

    refused = [outcome for outcome in outcomes if isinstance(outcome, JournalStopped)]
    assert len(refused) >= producers - 1  # the first may have taken the place of the group that met the fault


async def test_an_ended_recorder_refuses(journal: Journal) -> None:
    """A recorder that was cancelled takes nothing more."""
    bench = Bench(journal)
    async with bench.running():
        await let_run()

    for attempt in (bench.recorder.record, bench.recorder.submit):
        with pytest.raises(JournalStopped, match="the recorder: has ended"):
            await attempt([ClockTicked(1)])


async def test_a_cancelled_waiter_takes_nothing_back(journal: Journal) -> None:
    """A group whose sender stopped waiting is recorded all the same."""
    facts = facts_of(breach())
    bench = Bench(journal)
    sender = asyncio.create_task(bench.recorder.record(facts[:1]))
    await let_run()
    sender.cancel()
    async with bench.running() as recorder:
        await recorder.record([ClockTicked(1)])

    assert [record.body for record in journal.read()] == [facts[0], ClockTicked(1)]


@pytest.mark.parametrize("every", [1, 4])
async def test_snapshots_are_the_state_at_their_sequence(journal: Journal, every: int) -> None:
    """A saved state is the one after the record it names, and the tail leads from it to the same state."""
    bench = Bench(journal, snapshot_every_records=every)
    async with bench.running() as recorder:
        for fact in facts_of(breach()):
            await recorder.record([fact])
        await recorder.record([ClockTicked(1)])

    snapshots = list(journal.snapshots(str(ENGINE_VERSION)))
    assert len(snapshots) >= 2
    for snapshot in snapshots:
        assert restored(snapshot.state).state_hash() == replayed(journal, snapshot.sequence).state_hash()
        engine = restored(snapshot.state)
        assert replay(journal.read(engine.sequence + 1), engine).divergence is None
        assert engine.state_hash() == bench.engine.state_hash()


async def test_snapshots_are_as_far_apart_as_asked(journal: Journal) -> None:
    """A state is saved when that many records came since the last one, and not before."""
    bench = Bench(journal, snapshot_every_records=10)
    async with bench.running() as recorder:
        await recorder.record(facts_of(breach())[:1])
        for number in range(30):
            await recorder.record([ClockTicked(number)])

    assert [snapshot.sequence for snapshot in journal.snapshots(str(ENGINE_VERSION))] == [30, 20, 10]


class SteppingClock(JumpClock):
    """Every look at it costs an eighth of a second, so that stepping a group does too."""

    def monotonic(self) -> float:
        """Let time pass."""
        self.now += 0.125
        return self.now


async def test_a_state_that_took_long_to_step_is_saved(journal: Journal) -> None:
    """A state is saved after half a second of stepping, or ten times what saving takes if that is more."""
    bench = Bench(journal, clock=SteppingClock())
    async with bench.running() as recorder:
        await recorder.record(facts_of(breach())[:1])
        for number in range(30):
            await recorder.record([ClockTicked(number)])

    assert [snapshot.sequence for snapshot in journal.snapshots(str(ENGINE_VERSION))] == [24, 14, 4]


async def test_short_lives_leave_snapshots_too(journal: Journal) -> None:
    """Processes that each end before a snapshot is due leave one together, so no tail grows for ever."""
    engine = new_engine()
    for life in range(3):
        async with Bench(journal, snapshot_every_records=10, engine=engine).running() as recorder:
            await recorder.record(facts_of(breach())[:1] if life == 0 else [ClockTicked(life)])
            for number in range(3):
                await recorder.record([ClockTicked(number)])
        engine = replayed(journal, journal.last_sequence)

    assert [snapshot.sequence for snapshot in journal.snapshots(str(ENGINE_VERSION))] == [10]


def restored(state: bytes) -> Engine:
    """Return an engine with a saved state."""
    engine = new_engine()
    engine.load(state)
    return engine


def replayed(journal: Journal, last: int) -> Engine:
    """Return an engine that stepped the journal from its beginning to a record."""
    engine = new_engine()
    assert replay(journal.read(1, last), engine).divergence is None
    return engine
