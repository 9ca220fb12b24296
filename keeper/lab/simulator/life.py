"""One life: the shipped parts, wired as ``keeper.app`` wires them, from restoring the journal to leaving or dying.

Nothing of the keeper is replaced but what stands at its edges: the providers behind the pool, the journal's disk, the
clock, and the source of chance of the retry policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Never, cast

from keeper import __version__
from keeper.chain.audit import Audit
from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.heads import HeadOptions, Heads, HeadSlot
from keeper.chain.limits import RateLimit
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import RetryPolicy
from keeper.chain.rpc import Provider
from keeper.chain.scan import Scan
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.decisions import IntentAdmitted
from keeper.core.errors import KeeperError
from keeper.core.facts import (
    BlockApplied,
    BlockHeader,
    ClockTicked,
    KillSwitchChanged,
    RunStarted,
    RunStopped,
    SignerRead,
)
from keeper.core.ids import content_id
from keeper.core.ports import Node
from keeper.core.runconfig import RunConfig
from keeper.core.venue import Ledger
from keeper.engine.step import ENGINE_VERSION
from keeper.execution.lane import Lane
from keeper.execution.observer import SignerObserver
from keeper.execution.signer import LocalSigner
from keeper.journal.protocol import Journal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.journal.restore import restored
from keeper.lab.simulator.clock import SimulatedClock
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.loop import Process
from keeper.lab.simulator.provider import RpcCall, SimulatedProvider, Transport
from strategies import STRATEGIES

TICK_SECONDS = 3.0
POLL_SECONDS = 4.0
SNAPSHOT_EVERY_RECORDS = 150
AUDIT_EVERY_BLOCKS = 8
DRAIN_SECONDS_MAX = 30.0
DRAIN_POLL_SECONDS = 1.0


@dataclass(kw_only=True)
class Parts:
    """The shipped parts that a life is made of; a negative control replaces one by a broken one."""

    recorder: type[JournalRecorder] = JournalRecorder
    lane: type[Lane] = Lane
    follower: type[Follower] = Follower


@dataclass(kw_only=True)
class Watching:
    """Who is told what a life does: each group that is durable, each request of a provider, each send of the lane."""

    on_settled: Callable[[Life, Settled], None]
    on_request: Callable[[Life, str, Sequence[RpcCall]], None]
    on_send: Callable[[Life, Sequence[RpcCall]], None]


@dataclass(kw_only=True)
class Surroundings:
    """What a life is put into."""

    config: RunConfig
    signer: LocalSigner
    clock: SimulatedClock
    transports: Sequence[Transport]
    chance: Random
    watching: Watching
    parts: Parts = field(default_factory=Parts)


class _WatchedNode:
    """What the lane sends through, so that the oracles see when it chose to."""

    def __init__(self, node: Node, on_send: Callable[[Sequence[RpcCall]], None]) -> None:
        self._node = node
        self._on_send = on_send

    async def call(self, method: str, params: Sequence[object]) -> object:
        """As the port says."""
        return await self._node.call(method, params)

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """As the port says."""
        self._on_send(calls)
        return await self._node.batch(calls)


class Life:
    """A process of the keeper: from its start to its end, of which ``error`` tells the reason when it was not orderly.

    Args:
        around: The world it lives in.
        journal: Open.
        process: Which callbacks are its own.
    """

    def __init__(self, around: Surroundings, journal: Journal, process: Process) -> None:
        self.process = process
        self.journal = journal
        self.slot = HeadSlot()
        self.error: BaseException | None = None
        self.ended = False
        self._around = around
        self._leave = asyncio.Event()
        state = restored(journal, SimulatedLedger, STRATEGIES, around.clock)
        self.engine = state.engine
        providers = [
            SimulatedProvider(
                transport,
                process,
                lambda name, calls: around.watching.on_request(self, name, calls),
                RateLimit(8, around.clock, RetryPolicy(chance=around.chance.random)),
            )
            for transport in around.transports
        ]
        self.pool = ProviderPool(cast("Sequence[Provider]", providers), around.clock)
        self.recorder = around.parts.recorder(
            journal,
            self.engine,
            around.clock,
            on_settled=self._settled,
            snapshot_every_records=SNAPSHOT_EVERY_RECORDS,
            snapshot_sequence=state.snapshot_sequence,
            stepped_seconds=state.seconds,
        )
        self._lane: Lane | None = None
        self._run_id = content_id("run", journal.last_sequence, around.clock.unix_ms(), self.engine.state_hash())

    async def run(self) -> None:
        """Live until asked to leave, or until something ends it."""
        try:
            async with self.pool:
                await self._work()
        except* KeeperError as group:
            self.error = _first(group)
        self.ended = True
        self.journal.close()

    def leave(self) -> None:
        """Ask it to drain and end, as SIGTERM does."""
        self._leave.set()

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            recorder = tasks.create_task(self.recorder.run())
            config, now = self._around.config, self._around.clock.unix_ms()
            await self.recorder.record([RunStarted(self._run_id, __version__, config, "{}", now)])
            await self.recorder.submit([KillSwitchChanged(armed=False, reason="file")])
            workers = self._start(tasks)
            await self._leave.wait()
            await self.recorder.record([KillSwitchChanged(armed=True, reason="draining")])
            await self._drained()
            await _cancelled(workers)
            await self.recorder.record([RunStopped(self._run_id, "drained")])
            self.journal.save_snapshot(self.journal.last_sequence, str(ENGINE_VERSION), self.engine.snapshot())
            await _cancelled([recorder])

    def _start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[Any]]:
        config, clock = self._around.config, self._around.clock
        retry = RetryPolicy(chance=self._around.chance.random)
        heads = Heads(self.pool, (), self._chain_id, self.slot, clock, HeadOptions(poll_interval_seconds=POLL_SECONDS))
        state = self.engine.chains[self._chain_id]
        watch = Watch(self._ledgers())
        follower = self._around.parts.follower(
            self._chain_id,
            self.pool,
            watch,
            self.recorder,
            clock,
            Window.resumed(config.venues[0].from_block, state.recent, state.finalized_number),
            FollowerOptions(range_blocks_max=16, gap_blocks_max=12, group_blocks_max=8, retry=retry),
            observe=self._observe,
        )
        self._observer = SignerObserver(
            node=self.pool,
            chain_id=self._chain_id,
            signer=config.signers[0].name,
            address=self._around.signer.address,
            ledgers=self._ledgers,
        )
        self._lane = self._built_lane()
        works = (self._tick(), heads.run(), follower.run(self.slot), self._lane.run())
        return [tasks.create_task(work) for work in (*works, *self._checks(watch, follower))]

    def _checks(self, watch: Watch, follower: Follower) -> list[Coroutine[Any, Any, Never]]:
        """What runs beside the follower: finality, the scan of final blocks, and the audit of accounts."""
        clock, engine = self._around.clock, self.engine
        scan = Scan(
            self.pool,
            watch,
            self.recorder,
            clock,
            state=lambda: engine.chains[self._chain_id],
            repair=follower.repair,
            blocks_max=16,
        )
        audit = Audit(
            self.pool,
            watch,
            self.recorder,
            clock,
            state=lambda: engine.chains[self._chain_id],
            ledgers=self._ledgers(),
            doubted=engine.doubted,
            every_blocks=AUDIT_EVERY_BLOCKS,
        )
        return [follower.finality.run(), scan.run(), audit.run()]

    def _built_lane(self) -> Lane:
        config = self._around.config
        on_send = self._around.watching.on_send
        return self._around.parts.lane(
            chain_id=self._chain_id,
            spec=config.signers[0],
            signer=self._around.signer,
            node=self.pool,
            providers=lambda: [
                (member.name, _WatchedNode(member, lambda calls: on_send(self, calls)))
                for member in self.pool.healthy()
            ],
            recorder=self.recorder,
            engine=self.engine,
            on_trouble=lambda _: None,
        )

    @property
    def _chain_id(self) -> int:
        return self._around.config.chains[0].chain_id

    def _ledgers(self) -> list[Ledger]:
        return list(self.engine.ledgers.values())

    async def _observe(self, header: BlockHeader) -> Sequence[SignerRead]:
        return [await self._observer.read(header)]

    async def _tick(self) -> Never:
        while True:
            await self.recorder.submit([ClockTicked(self._around.clock.unix_ms())])
            await self._around.clock.sleep(TICK_SECONDS)

    def _settled(self, group: Settled) -> None:
        """Hand durable records to the lane, as the daemon does."""
        self._around.watching.on_settled(self, group)
        if self._lane is None:
            return
        for body in group.bodies:
            match body:
                case BlockApplied(behind_blocks=0) | KillSwitchChanged():
                    self._lane.head()
                case IntentAdmitted(intent=intent):
                    self._lane.admit(intent)
                case _:
                    pass

    async def _drained(self) -> None:
        deadline = self._around.clock.monotonic() + DRAIN_SECONDS_MAX
        while self._in_flight() and self._around.clock.monotonic() < deadline:
            await self._around.clock.sleep(DRAIN_POLL_SECONDS)

    def _in_flight(self) -> int:
        unmined = self.engine.intents.unmined(self._chain_id, self._around.config.signers[0].name)
        return sum(tracked.nonce is not None for tracked in unmined)


async def _cancelled(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        await asyncio.wait([task])


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
