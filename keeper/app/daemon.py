"""The daemon: every part under one task group, nothing dies unseen, and leaving is orderly.

The order of a start: nodes, journal, state, then ``RunStarted`` is durable, then heads are listened to. A wrong
node or address is therefore reported before anything is written, and a second daemon stops at the journal's lock.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from keeper import __version__
from keeper.app.chains import Following, check_code, following, lanes, provider_pool
from keeper.app.clock import SystemClock
from keeper.app.keys import Keys
from keeper.app.picture import Picture
from keeper.app.restore import restored_engine
from keeper.app.runconfig import run_config
from keeper.app.watch import tick_clock, watch_kill_switch
from keeper.chain.pool import ProviderPool
from keeper.core.decisions import AuditFailed, Decision, HealthChanged, IntentAdmitted, SignerHalted
from keeper.core.errors import Halt, InvariantBroken, KeeperError
from keeper.core.facts import BlockApplied, ClockTicked, KillSwitchChanged, RunStarted, RunStopped
from keeper.core.ids import content_id
from keeper.core.runconfig import RunConfig
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.execution.lane import Lane
from keeper.execution.signer import LocalSigner
from keeper.journal.protocol import Journal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.journal.urls import open_journal
from keeper.observe.http import serving, web_app
from keeper.observe.lines import summary
from keeper.observe.metrics import Metrics
from keeper.settings import Settings

DRAIN_SECONDS_MAX = 30.0
DRAIN_POLL_SECONDS = 0.05


async def run_daemon(settings: Settings, keys: Keys, *, live: bool) -> None:
    """Run until SIGTERM or SIGINT, then drain and return.

    Args:
        settings: Validated.
        keys: Of its signers.
        live: Send transactions. Otherwise every decision is made and journalled, and nothing is signed.

    Raises:
        KeeperError: why the daemon could not start or go on; its ``exit_code`` is the process's.
    """
    try:
        async with _started(settings, keys, live=live) as daemon:
            await daemon.run()
    except* Exception as group:  # noqa: BLE001 - the supervisor: whatever ended a task is told, then the process stops
        raise _verdict(list(_leaves(group))) from None


def _verdict(errors: Sequence[Exception]) -> KeeperError:
    """Return the error to exit with: a bug before all others, as it may have caused them, then a halt."""
    bug = next((error for error in errors if not isinstance(error, KeeperError)), None)
    if bug is not None:
        structlog.get_logger().error("bug", exc_info=bug)
        return InvariantBroken("the daemon", repr(bug), "this is a bug: keep the journal and report it")
    known = [error for error in errors if isinstance(error, KeeperError)]
    return next((error for error in known if isinstance(error, Halt)), known[0])


def _leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


@asynccontextmanager
async def _started(settings: Settings, keys: Keys, *, live: bool) -> AsyncIterator[_Daemon]:
    config = run_config(settings, live=live, signers=keys.addresses)
    clock = SystemClock()
    metrics = Metrics(CollectorRegistry())
    async with AsyncExitStack() as stack:
        pools = {}
        for spec in config.chains:
            chain_settings = settings.chains[spec.name]
            pools[spec.name] = await stack.enter_async_context(provider_pool(spec, chain_settings, clock, metrics))
            await check_code(pools[spec.name], spec, config)
        journal = open_journal(settings.journal.url, [spec.chain_id for spec in config.chains])
        stack.callback(journal.close)
        engine = restored_engine(journal)
        daemon = _Daemon(settings, config, keys.signers, clock, metrics, journal, engine, pools)
        url = await stack.enter_async_context(
            serving(web_app(metrics, daemon.picture.status), settings.http.listen.host, settings.http.listen.port)
        )
        structlog.get_logger().info("started", live=live, http=url, version=__version__, sequence=journal.last_sequence)
        yield daemon


class _Daemon:
    """The running parts. Everything is built here and nowhere else."""

    def __init__(
        self,
        settings: Settings,
        config: RunConfig,
        signers: Mapping[str, LocalSigner],
        clock: SystemClock,
        metrics: Metrics,
        journal: Journal,
        engine: Engine,
        pools: Mapping[str, ProviderPool],
    ) -> None:
        self._settings = settings
        self._config = config
        self._signers = dict(signers)
        self._clock = clock
        self._metrics = metrics
        self._journal = journal
        self._engine = engine
        self._pools = pools
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._followings: list[Following] = []
        self._log = structlog.get_logger()
        self._recorder = JournalRecorder(
            journal,
            engine,
            clock,
            on_settled=self._settled,
            snapshot_every_records=settings.journal.snapshot_every_records,
        )
        self._run_id = content_id("run", journal.last_sequence, clock.unix_ms(), engine.state_hash())
        self.picture = Picture(self._run_id, config, engine, journal, self._recorder, clock, self._followed)

    async def run(self) -> None:
        """Run every part until a signal, then drain."""
        leaving = _Leaving()
        self._metrics.resume(self._engine.intents.all_open())
        async with asyncio.TaskGroup() as tasks:
            recorder = tasks.create_task(self._recorder.run(), name="recorder")
            await self._recorder.record([self._run_started()])
            switch = watch_kill_switch(self._settings.limits.kill_switch_file, self._recorder, self._clock)
            watcher = tasks.create_task(switch, name="kill switch")
            workers = self._start(tasks)
            await leaving.asked.wait()
            await _cancelled([watcher])  # or its next look would disarm what draining arms
            await self._drain(leaving)
            await _cancelled(workers)
            await self._close_run()
            await _cancelled([recorder])
        self._log.info("stopped", sequence=self._journal.last_sequence)

    def _start(self, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        self._followings = [
            following(
                spec,
                self._settings.chains[spec.name],
                pool=self._pools[spec.name],
                config=self._config,
                engine=self._engine,
                recorder=self._recorder,
                clock=self._clock,
            )
            for spec in self._config.chains
        ]
        self._lanes = lanes(
            self._config,
            engine=self._engine,
            recorder=self._recorder,
            signers=self._signers,
            followings=self._followings,
        )
        workers: list[asyncio.Task[None]] = [tasks.create_task(tick_clock(self._recorder, self._clock), name="clock")]
        for each in self._followings:
            workers.append(tasks.create_task(each.heads.run(), name=f"heads {each.spec.name}"))
            workers.append(tasks.create_task(each.follower.run(each.slot), name=f"follower {each.spec.name}"))
            workers += [
                tasks.create_task(check(), name=f"{name} {each.spec.name}") for name, check in each.checks.items()
            ]
        workers += [
            tasks.create_task(lane.run(), name=f"lane {signer} on {chain_id}")
            for (chain_id, signer), lane in self._lanes.items()
        ]
        return workers

    def _run_started(self) -> RunStarted:
        settings_json = msgspec.json.encode(self._settings.redacted()).decode()
        return RunStarted(self._run_id, __version__, self._config, settings_json, self._clock.unix_ms())

    def _settled(self, group: Settled) -> None:
        """Hand durable records to whoever acts on them or shows them."""
        self._metrics.observe(group.bodies, first_sequence=group.first_sequence, unix_ms=group.unix_ms)
        self._metrics.settled(step_seconds=group.step_seconds, durable_seconds=group.durable_seconds)
        self.picture.settled(group)
        for body in group.bodies:
            match body:
                case BlockApplied(chain_id=chain_id, behind_blocks=0):
                    for (of_chain, _), lane in self._lanes.items():
                        if of_chain == chain_id:
                            lane.head()
                case IntentAdmitted(intent=intent) if (intent.chain_id, intent.signer) in self._lanes:
                    self._lanes[intent.chain_id, intent.signer].admit(intent)
                case KillSwitchChanged():
                    for lane in self._lanes.values():
                        lane.head()  # what is unsigned is given up now, not at the next block
                case ClockTicked():
                    self._measure()
                case _:
                    pass
            if isinstance(body, Decision):
                notable = isinstance(body, SignerHalted | HealthChanged | AuditFailed)
                (self._log.warning if notable else self._log.info)(
                    "decided", kind=type(body).__name__, what=summary(body)
                )

    def _followed(self, chain_id: int) -> bool:
        return any(each.follower.followed for each in self._followings if each.spec.chain_id == chain_id)

    def _measure(self) -> None:
        self._metrics.journal_bytes(self._journal.statistics().stored_bytes)
        for each in self._followings:
            for provider in each.pool.statistics():
                self._metrics.provider(
                    each.spec.name,
                    provider.name,
                    up=provider.up,
                    score=provider.score,
                    quarantined=provider.quarantine is not None,
                )

    async def _drain(self, leaving: _Leaving) -> None:
        """Admit nothing more and wait for what is in flight."""
        self._log.info("draining", in_flight=self._in_flight())
        self.picture.draining = True
        await self._recorder.record([KillSwitchChanged(armed=True, reason="draining")])
        deadline = self._clock.monotonic() + DRAIN_SECONDS_MAX
        while self._in_flight() and self._clock.monotonic() < deadline and not leaving.hurried.is_set():
            await self._clock.sleep(DRAIN_POLL_SECONDS)

    async def _close_run(self) -> None:
        """Write the run's last record, and the state at it: nothing else is recorded any more."""
        await self._recorder.record([RunStopped(self._run_id, f"drained, {self._in_flight()} in flight")])
        self._journal.save_snapshot(self._journal.last_sequence, str(ENGINE_VERSION), self._engine.snapshot())

    def _in_flight(self) -> int:
        """Count the slots that wait for a block. What was admitted but not signed can be given up at any time."""
        waiting = (tracked for key in self._lanes for tracked in self._engine.intents.unmined(*key))
        return sum(tracked.nonce is not None for tracked in waiting)


async def _cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


class _Leaving:
    """SIGTERM or SIGINT asks to leave; a second one hurries."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        (self.hurried if self.asked.is_set() else self.asked).set()
