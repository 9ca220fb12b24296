"""The one way in: facts become records, the engine steps them, decisions become records, then they may be acted on.

Producers (the follower, the lanes, the clock) hand over *groups* of facts. A group is stepped at once and appended
together with its decisions as one unit, so a crash leaves all of it or nothing. The engine may run ahead of the disk:
it is a fold in memory that a failed commit takes down with the process. What must never run ahead of the disk is an
act, so decisions reach their reader (``on_settled``) only when they are durable, in the order of the journal.

A recorder that ended, whatever the reason, refuses: nobody waits for a group that will never be recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

from keeper.core.codec import AnyBody
from keeper.core.errors import JournalStopped
from keeper.core.facts import AnyFact
from keeper.core.ports import UNWATCHED, Clock, Pulse
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.protocol import Journal
from keeper.journal.steps import Step, unwatched

GROUPS_MAX = 256
"""Groups that may wait to be stepped, and to be durable; producers wait beyond it."""

STEPPED_SECONDS_MAX = 0.5
"""A state is saved after so much stepping too, so that a start takes no longer, however much a record is to step."""
SNAPSHOT_SHARE_MAX = 0.1
"""But a large state, which takes long to save, not so often that saving costs more than this share of stepping."""


class Settled(NamedTuple):
    """One durable group: its bodies in journal order, the first one's sequence, and how long it took."""

    first_sequence: int
    bodies: tuple[AnyBody, ...]
    unix_ms: int
    step_seconds: float
    durable_seconds: float


class QueueFigures(NamedTuple):
    """How much a queue holds, now and at worst."""

    depth: int
    peak: int


class _Pending(NamedTuple):
    group: Settled
    appended_at: float
    waiter: asyncio.Future[None] | None
    snapshot: bytes | None


class JournalRecorder:
    """Steps and appends groups of facts; implements :class:`keeper.core.ports.Recorder`.

    Args:
        journal: Open for writing.
        engine: Restored to the journal's last sequence.
        clock: Stamps records; the stamp explains and never orders.
        on_settled: Called for every durable group, in order.
        snapshot_every_records: How often the engine's state is saved beside the journal.
        snapshot_sequence: Of the snapshot that the engine was restored from, zero without one. It counts from there,
            or a process that never lives long would leave its successors an ever longer tail.
        stepped_seconds: How long the engine has stepped since that snapshot.
        step_pulse: Told of each group that is stepped and appended.
        settle_pulse: Told of each group that becomes durable and is handed on.
        step: Surrounds handing a group to the journal, and to those who act on it.
    """

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        clock: Clock,
        *,
        on_settled: Callable[[Settled], None],
        snapshot_every_records: int,
        snapshot_sequence: int = 0,
        stepped_seconds: float = 0.0,
        step_pulse: Pulse = UNWATCHED,
        settle_pulse: Pulse = UNWATCHED,
        step: Step = unwatched,
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._clock = clock
        self._on_settled = on_settled
        self._snapshot_every_records = snapshot_every_records
        self._step = step
        self._snapshot_sequence = snapshot_sequence
        self._stepped_seconds = stepped_seconds
        self._stepped_seconds_max = STEPPED_SECONDS_MAX
        self._inbox: asyncio.Queue[tuple[tuple[AnyFact, ...], asyncio.Future[None] | None]] = asyncio.Queue(GROUPS_MAX)
        self._outbox: asyncio.Queue[_Pending] = asyncio.Queue(GROUPS_MAX)
        self._waiting: dict[asyncio.Future[None], None] = {}
        self._peaks = {"inbox": 0, "outbox": 0}
        self._step_pulse = step_pulse
        self._settle_pulse = settle_pulse
        self._ended = False
        self.progressed_at = clock.monotonic()

    async def submit(self, facts: Sequence[AnyFact]) -> None:
        """Queue a group; waits while the queue is full (never drops).

        Raises:
            JournalStopped: the recorder has ended.
        """
        await self._enqueue(facts, None)

    async def record(self, facts: Sequence[AnyFact]) -> None:
        """Queue a group and wait until it is durable and the engine has stepped it.

        Raises:
            JournalStopped: the recorder has ended, before or meanwhile.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._enqueue(facts, waiter)
        self._waiting[waiter] = None
        try:
            await waiter
        finally:
            del self._waiting[waiter]

    def queues(self) -> dict[str, QueueFigures]:
        """Return how many groups wait to be stepped (``inbox``) and to be durable (``outbox``)."""
        depths = {"inbox": self._inbox.qsize(), "outbox": self._outbox.qsize()}
        return {name: QueueFigures(depth, self._peaks[name]) for name, depth in depths.items()}

    async def run(self) -> None:
        """Take groups until cancelled, once.

        Raises:
            ExceptionGroup: holding a JournalStopped, when a commit failed: nothing after it was acted on; or whatever
                else a fact made the engine raise.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._settle(), name="recorder.settle")
                while True:
                    facts, waiter = await self._inbox.get()
                    with self._step_pulse.working():
                        await self._journal.wait_room()
                        await self._outbox.put(self._take(facts, waiter))
                    self._reached("outbox", self._outbox.qsize())
        finally:
            self._end()

    async def _enqueue(self, facts: Sequence[AnyFact], waiter: asyncio.Future[None] | None) -> None:
        await self._inbox.put((tuple(facts), waiter))
        self._reached("inbox", self._inbox.qsize())
        if self._ended:
            self._inbox.get_nowait()  # makes room for the next who waits to be told
            raise self._refusal()

    def _end(self) -> None:
        """Refuse all who wait, for a record or for room."""
        self._ended = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(self._refusal())
        while not self._inbox.empty():
            self._inbox.get_nowait()

    def _refusal(self) -> JournalStopped:
        fault = self._journal.statistics().fault
        return JournalStopped("the recorder", fault or "has ended", "start again: nothing acknowledged is lost")

    def _take(self, facts: tuple[AnyFact, ...], waiter: asyncio.Future[None] | None) -> _Pending:
        started = self._clock.monotonic()
        first = self._journal.last_sequence + 1
        entries: list[tuple[AnyBody, int]] = []
        for fact in facts:
            sequence = first + len(entries)
            entries.append((fact, 0))
            entries.extend((decision, sequence) for decision in self._engine.step(fact, sequence))
        stepped = self._clock.monotonic()
        unix_ms = self._clock.unix_ms()
        settled = Settled(first, tuple(body for body, _ in entries), unix_ms, stepped - started, 0.0)
        with self._step("append", settled.bodies):
            last = self._journal.append(entries, unix_ms)
        self.progressed_at = stepped
        self._stepped_seconds += stepped - started
        return _Pending(settled, stepped, waiter, self._snapshot_due(last))

    def _snapshot_due(self, sequence: int) -> bytes | None:
        few = sequence - self._snapshot_sequence < self._snapshot_every_records
        if few and self._stepped_seconds < self._stepped_seconds_max:
            return None
        self._snapshot_sequence, self._stepped_seconds = sequence, 0.0
        begun = self._clock.monotonic()
        snapshot = self._engine.snapshot()
        seconds = self._clock.monotonic() - begun
        self._stepped_seconds_max = max(STEPPED_SECONDS_MAX, seconds / SNAPSHOT_SHARE_MAX)
        return snapshot

    async def _settle(self) -> None:
        while True:
            pending = await self._outbox.get()
            with self._settle_pulse.working():
                await self._settle_one(pending)

    async def _settle_one(self, pending: _Pending) -> None:
        group = pending.group
        last = group.first_sequence + len(group.bodies) - 1
        await self._journal.wait_durable(last)
        if pending.snapshot is not None:
            self._journal.save_snapshot(last, str(ENGINE_VERSION), pending.snapshot)
        with self._step("act", group.bodies):
            self._on_settled(group._replace(durable_seconds=self._clock.monotonic() - pending.appended_at))
        if pending.waiter is not None and not pending.waiter.done():
            pending.waiter.set_result(None)

    def _reached(self, queue: str, depth: int) -> None:
        self._peaks[queue] = max(self._peaks[queue], depth)
