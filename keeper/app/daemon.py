"""The daemon: every part under one task group, nothing dies unseen, and leaving is orderly.

The order of a start: nodes, journal, state, keys, then ``RunStarted`` is durable, then heads are listened to. A wrong
node, address or password is therefore reported before anything is recorded, and a second daemon stops at the journal's
lock. Keystores open in a thread meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Never

import msgspec
import structlog
from prometheus_client import CollectorRegistry

from keeper import __version__
from keeper.app.chains import Following, check_code, following, lanes, provider_pool, provider_statuses
from keeper.app.clock import SystemClock
from keeper.app.failpoints import failpoint_step
from keeper.app.keys import Keys
from keeper.app.picture import Picture
from keeper.app.release import check_release, released
from keeper.app.reload import check_reload
from keeper.app.restore import restored
from keeper.app.runconfig import run_config
from keeper.app.service import ServiceManager
from keeper.app.signals import Signals
from keeper.app.stall import LoopGuard
from keeper.app.telling import Telling
from keeper.app.verdict import leaves, verdict
from keeper.app.watch import tick_clock, watch_kill_switch
from keeper.app.watchdog import Watchdog, Watched, cancelled, journal_writer
from keeper.chain.pool import ProviderPool
from keeper.core.decisions import IntentAdmitted
from keeper.core.errors import ConfigError, KeeperError, LoopStuck
from keeper.core.facts import BlockApplied, ClockTicked, KillSwitchChanged, RunStarted, RunStopped, SettingsReloaded
from keeper.core.ids import content_id
from keeper.core.ports import Pulse
from keeper.core.runconfig import RunConfig
from keeper.engine.step import ENGINE_VERSION
from keeper.execution.lane import Lane
from keeper.journal.protocol import Journal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.journal.restore import Restored
from keeper.journal.steps import Step
from keeper.journal.urls import has_journal, open_journal
from keeper.observe.access import Guard
from keeper.observe.http import serving, web_app
from keeper.observe.metrics import Metrics
from keeper.settings import Settings, Withheld

DRAIN_SECONDS_MAX = 30.0
DRAIN_POLL_SECONDS = 0.05


Reread = Callable[[], Settings]
"""Reads the configuration again, as the command line did."""


async def run_daemon(
    settings: Settings,
    keys: Keys,
    *,
    live: bool,
    reread: Reread,
    release: Sequence[str] = (),
    secrets: Withheld,
) -> None:
    """Run until SIGTERM or SIGINT, then drain and return.

    Args:
        settings: Validated.
        keys: Of its signers.
        reread: For SIGHUP; raises a ConfigError when the configuration is wrong now.
        live: Send transactions. Otherwise every decision is made and journalled, and nothing is signed.
        release: Halted signers that the operator lets go on.
        secrets: The HTTP server's token, and the webhooks.

    Raises:
        KeeperError: why the daemon could not start or go on; its ``exit_code`` is the process's.
    """
    try:
        async with _started(settings, keys, live=live, reread=reread, secrets=secrets) as daemon:
            await daemon.run(release)
    except* Exception as group:  # noqa: BLE001 - the supervisor: whatever ended a task is told, then the process stops
        raise verdict(list(leaves(group))) from None


@asynccontextmanager
async def _started(
    settings: Settings, keys: Keys, *, live: bool, reread: Reread, secrets: Withheld
) -> AsyncIterator[_Daemon]:
    async with AsyncExitStack() as stack:
        guard = stack.enter_context(LoopGuard())  # before the journal, whose closing may hang
        try:
            daemon = await _restored(stack, settings, keys, live=live, reread=reread, guard=guard)
        except KeeperError:
            await asyncio.wrap_future(keys.signers)  # a wrong password is told first: no node's trouble hides it
            raise
        await daemon.serve(stack, secrets)
        yield daemon


async def _restored(
    stack: AsyncExitStack, settings: Settings, keys: Keys, *, live: bool, reread: Reread, guard: LoopGuard
) -> _Daemon:
    """Reach the nodes, then load the journal; ``stack`` closes both."""
    step = failpoint_step(os.environ)
    config = run_config(settings, live=live, signers=keys.addresses)
    clock, metrics, pools = SystemClock(), Metrics(CollectorRegistry()), {}
    for spec in config.chains:
        chosen = provider_pool(spec, settings.chains[spec.name], clock, metrics)
        pool = pools[spec.name] = await stack.enter_async_context(chosen)
        await check_code(pool, spec, config)
    if not has_journal(settings.journal.url):
        await asyncio.wrap_future(keys.signers)  # none is made for a run that cannot begin
    journal = open_journal(settings.journal.url, [spec.chain_id for spec in config.chains], step)
    stack.callback(journal.close)
    state = restored(journal, clock)
    await asyncio.wrap_future(keys.signers)
    return _Daemon(settings, config, keys, clock, metrics, journal, state, pools, guard, reread, step=step)


class _Daemon:
    """The running parts. Everything is built here and nowhere else."""

    def __init__(
        self,
        settings: Settings,
        config: RunConfig,
        keys: Keys,
        clock: SystemClock,
        metrics: Metrics,
        journal: Journal,
        state: Restored,
        pools: Mapping[str, ProviderPool],
        guard: LoopGuard,
        reread: Reread,
        *,
        step: Step,
    ) -> None:
        self._settings = settings
        self._config = config
        self._keys = keys
        self._clock = clock
        self._metrics = metrics
        self._journal = journal
        self._engine = engine = state.engine
        self._pools = pools
        self._step = step
        self._lanes: dict[tuple[int, str], Lane] = {}
        self._followings: list[Following] = []
        self._log = structlog.get_logger()
        self._guard = guard
        self._reread = reread
        self._telling = Telling(clock, metrics)
        self._peaks: dict[str, int] = {}
        self._manager = ServiceManager(os.environ)
        self._watchdog = Watchdog(clock, self._ticked, metrics.part_late)
        self._watchdog.probe("journal writer", self._disk_seconds, journal_writer(journal))
        self._recorder = JournalRecorder(
            journal,
            engine,
            clock,
            on_settled=self._settled,
            snapshot_every_records=settings.journal.snapshot_every_records,
            snapshot_sequence=state.snapshot_sequence,
            stepped_seconds=state.seconds,
            step_pulse=self._waits_for_disk("recorder step"),
            settle_pulse=self._waits_for_disk("recorder settle"),
            step=step,
        )
        self._run_id = content_id("run", journal.last_sequence, clock.unix_ms(), engine.state_hash())
        self.picture = Picture(
            self._run_id,
            config,
            engine,
            journal,
            self._recorder,
            clock,
            self._followed,
            self._watchdog.late,
            partial(provider_statuses, pools),
        )

    async def serve(self, stack: AsyncExitStack, secrets: Withheld) -> None:
        """Show the page, metrics, health and status until ``stack`` closes."""
        listen, file = self._settings.http.listen, self._settings.limits.kill_switch_file
        guard = Guard(secrets.token.get_secret_value() if secrets.token else None, loopback=listen.is_loopback)
        serve = serving(web_app(self._metrics, self.picture.status, guard, file), listen.host, listen.port)
        url = await stack.enter_async_context(serve)
        live, sequence = self._config.live, self._journal.last_sequence
        await stack.enter_async_context(self._telling.reaching(secrets.notify))
        self._log.info("started", live=live, http=url, version=__version__, sequence=sequence)

    async def run(self, release: Sequence[str]) -> None:
        """Run every part until a signal, then drain; ``release`` names the halted signers that may go on."""
        check_release(self._config, self._engine, release)
        lifted = await released(self._config, self._pools, release)
        signals = Signals()  # a start can be left at any time; from here on there is something to drain
        self._metrics.resume(self._engine.intents.all_open())
        async with asyncio.TaskGroup() as tasks:
            begin = self._watchdog.begin
            watchdog = begin(tasks, "watchdog", self._watch(), unwatched="the loop guard sees when it stands still")
            recorder = begin(tasks, "recorder", self._recorder.run())
            tellers = self._telling.begin(tasks, self._watchdog)
            await self._recorder.record([self._run_started(), *lifted])
            file, pulse = self._settings.limits.kill_switch_file, self._waits_for_disk("kill switch")
            watcher = begin(tasks, "kill switch", watch_kill_switch(file, self._recorder, self._clock, pulse))
            reload = self._reload_when_asked(signals, self._waits_for_disk("reload"))
            workers = [*self._start(tasks), begin(tasks, "reload", reload)]
            self._manager.ready()
            await signals.asked.wait()
            self._manager.stopping()
            await cancelled([watcher])  # or its next look would disarm what draining arms
            await self._drain(signals)
            await cancelled(workers)
            await self._close_run()
            await self._telling.drain(hurried=signals.hurried.is_set())
            await cancelled([recorder, watchdog, *tellers])
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
                watched=self._waits_for_node,
            )
            for spec in self._config.chains
        ]
        self._lanes = lanes(
            self._config,
            engine=self._engine,
            recorder=self._recorder,
            signers=dict(self._keys.signers.result()),
            followings=self._followings,
            watched=self._waits_for_node,
            step=self._step,
        )
        begin, names = self._watchdog.begin, {spec.chain_id: spec.name for spec in self._config.chains}
        ticking = tick_clock(self._recorder, self._clock, self._waits_for_disk("clock"))
        workers = [begin(tasks, "clock", ticking)]
        for each in self._followings:
            workers.append(begin(tasks, f"heads {each.spec.name}", each.heads.run()))
            workers.append(begin(tasks, f"follower {each.spec.name}", each.follow()))
            workers += [begin(tasks, f"{name} {each.spec.name}", check()) for name, check in each.checks.items()]
        workers += [
            begin(tasks, f"lane {signer} on {names[chain_id]}", lane.run())
            for (chain_id, signer), lane in self._lanes.items()
        ]
        return workers

    def _run_started(self) -> RunStarted:
        return RunStarted(self._run_id, __version__, self._config, _json(self._settings), self._clock.unix_ms())

    async def _reload_when_asked(self, signals: Signals, pulse: Pulse) -> Never:
        while True:
            await signals.reload.wait()
            signals.reload.clear()
            try:
                with pulse.working():
                    await self._reload()
            except ConfigError as error:
                self._log.error("not reloaded", reason=str(error))

    async def _reload(self) -> None:
        """Go on by the configuration as it is now: all of it, durable before anything is decided by it, or nothing.

        Raises:
            ConfigError: it is wrong, or differs in what cannot change while the daemon runs.
        """
        read = self._reread()
        changed = check_reload(self._settings, read)
        config = run_config(read, live=self._config.live, signers=self._keys.addresses)
        await self._recorder.record([SettingsReloaded(config, _json(read), self._clock.unix_ms())])
        self._settings, self._config = read, config
        self._telling.reload(read.notify)
        logging.getLogger().setLevel(read.log.level.upper())
        self._log.info("reloaded", changed=", ".join(changed) or "nothing")

    # What hangs.

    @property
    def _disk_seconds(self) -> float:
        return self._settings.supervision.disk_seconds_max

    def _waits_for_disk(self, name: str) -> Watched:
        return self._watchdog.watched(name, self._disk_seconds)

    def _waits_for_node(self, part: str, own_seconds: float = 0.0) -> Watched:
        return self._watchdog.watched(part, self._settings.supervision.node_seconds_max + own_seconds)

    async def _watch(self) -> None:
        try:
            await self._watchdog.run()
        except LoopStuck:
            self._guard.leave_soon()  # what hangs may hang the stop as well
            raise

    def _ticked(self, lag_seconds: float) -> None:
        self._guard.tick()
        self._manager.tick()
        self._metrics.loop_lag(lag_seconds)
        self.picture.loop_lag_seconds = lag_seconds
        for name, depth in self._queues().items():
            self._peaks[name] = max(self._peaks.get(name, 0), depth)

    def _queues(self) -> dict[str, int]:
        """Return what waits in every bounded queue: groups, records, heads and intents."""
        depths = {f"recorder {name}": queue.depth for name, queue in self._recorder.queues().items()}
        depths["journal records"] = self._journal.last_sequence - self._journal.durable_sequence
        depths |= {f"heads {each.spec.name}": each.slot.depth for each in self._followings}
        depths |= self._telling.depths()
        unmined = self._engine.intents.unmined
        return depths | {f"lane {name} on {chain}": len(list(unmined(chain, name))) for chain, name in self._lanes}

    def _measure_queues(self) -> None:
        exact = {f"recorder {name}": queue.peak for name, queue in self._recorder.queues().items()}
        for name, depth in self._queues().items():
            self._metrics.queue(name, depth, exact.get(name, max(depth, self._peaks.get(name, 0))))
        figures = self._journal.statistics()
        self._metrics.queue("journal bytes", figures.queued_bytes, figures.peak_queued_bytes)

    # What became durable.

    def _settled(self, group: Settled) -> None:
        """Hand durable records to whoever acts on them or shows them."""
        self._metrics.observe(group.bodies, first_sequence=group.first_sequence, unix_ms=group.unix_ms)
        self._metrics.settled(step_seconds=group.step_seconds, durable_seconds=group.durable_seconds)
        self.picture.settled(group)
        self._telling.settled(group)
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

    def _followed(self, chain_id: int) -> bool:
        return any(each.follower.followed for each in self._followings if each.spec.chain_id == chain_id)

    def _measure(self) -> None:
        figures = self._journal.statistics()
        self._metrics.journal_bytes(figures.stored_bytes, figures.disk_free_bytes)
        self._measure_queues()
        for each in self._followings:
            self._metrics.heads_degraded(each.spec.name, degraded=each.heads.degraded)
            for provider in each.pool.statistics():
                self._metrics.provider(
                    each.spec.name,
                    provider.name,
                    up=provider.up,
                    score=provider.score,
                    quarantined=provider.quarantine is not None,
                )

    async def _drain(self, signals: Signals) -> None:
        """Admit nothing more and wait for what is in flight."""
        self._log.info("draining", in_flight=self._in_flight())
        self.picture.draining = True
        await self._recorder.record([KillSwitchChanged(armed=True, reason="draining")])
        deadline = self._clock.monotonic() + DRAIN_SECONDS_MAX
        while self._in_flight() and self._clock.monotonic() < deadline and not signals.hurried.is_set():
            await self._clock.sleep(DRAIN_POLL_SECONDS)

    async def _close_run(self) -> None:
        """Write the run's last record, and the state at it: nothing else is recorded any more."""
        await self._recorder.record([RunStopped(self._run_id, f"drained, {self._in_flight()} in flight")])
        self._journal.save_snapshot(self._journal.last_sequence, str(ENGINE_VERSION), self._engine.snapshot())

    def _in_flight(self) -> int:
        """Count the slots that wait for a block. What was admitted but not signed can be given up at any time."""
        waiting = (tracked for key in self._lanes for tracked in self._engine.intents.unmined(*key))
        return sum(tracked.nonce is not None for tracked in waiting)


def _json(settings: Settings) -> str:
    return msgspec.json.encode(settings.redacted()).decode()
