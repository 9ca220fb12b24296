"""The parts that follow one chain, and the lanes that act on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Never

import structlog

from keeper.app.failpoints import sending
from keeper.app.holdings import tokens_of
from keeper.app.reading import bootstrap_of
from keeper.app.watch import watch_providers
from keeper.chain.audit import Audit
from keeper.chain.bootstrap import Bootstrap
from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.heads import HeadOptions, Heads, HeadSlot
from keeper.chain.health import HealthPolicy
from keeper.chain.hedge import HedgePolicy
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError
from keeper.chain.rpc import Provider, ProviderOptions
from keeper.chain.scan import Scan
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.errors import ConfigError, KeeperError, NodeError, NodeRefused, OperatorError
from keeper.core.facts import AnyFact, BlockHeader, SignerRead
from keeper.core.ids import to_hex
from keeper.core.ports import UNWATCHED, Clock, Pulse, Pulses, Recorder
from keeper.core.runconfig import ChainSpec, RunConfig, SignerSpec
from keeper.core.venue import Ledger
from keeper.engine.step import Engine
from keeper.execution.lane import Lane
from keeper.execution.observer import SignerObserver
from keeper.execution.signer import LocalSigner
from keeper.journal.steps import Step, unwatched
from keeper.observe.metrics import Metrics
from keeper.observe.status import ProviderStatus
from keeper.settings import ChainSettings


@dataclass(frozen=True, slots=True)
class Following:
    """One chain being followed."""

    spec: ChainSpec
    pool: ProviderPool
    heads: Heads
    slot: HeadSlot
    follower: Follower
    checks: Mapping[str, Callable[[], Coroutine[Any, Any, None]]]
    """What checks the chain's record beside following it, by name, each to be run for as long as the run lasts."""
    bootstrap: Bootstrap | None
    engine: Engine

    async def follow(self) -> Never:
        """Read the chain's venues at one block, if that is how it begins, and follow it from there.

        Raises:
            Halt: a final block was replaced, or the journal stopped.
            ConfigError: a provider serves another chain.
        """
        if self.bootstrap is not None:
            await self.bootstrap.run(self.slot)
            state = self.engine.chains[self.spec.chain_id]
            self.follower.window = Window.resumed(self.follower.window.start, state.recent, state.finalized_number)
        await self.follower.run(self.slot)


@asynccontextmanager
async def provider_pool(
    spec: ChainSpec, settings: ChainSettings, clock: Clock, metrics: Metrics
) -> AsyncIterator[ProviderPool]:
    """Open the providers of a chain and make first contact with each, so that none is met first in an emergency.

    Raises:
        ConfigError: a provider that answers serves another chain.
        NodeError: none answers.
    """
    options = ProviderOptions(
        batch_size_max=settings.batch_size_max,
        concurrency_max=settings.concurrency_max,
        request_timeout_seconds=settings.request_timeout_seconds,
        response_bytes_max=settings.response_bytes_max,
        response_logs_max=settings.response_logs_max,
    )
    providers = [
        Provider(url.reveal(), spec.chain_id, clock, options, metrics.on_request(spec.name)) for url in settings.http
    ]
    policy = HealthPolicy(quarantine_seconds=settings.quarantine_seconds, lag_blocks_max=settings.head_lag_blocks_max)
    hedge = HedgePolicy(
        seconds_min=settings.hedge_seconds_min,
        seconds_max=settings.hedge_seconds_max,
        share_max=settings.hedge_percent_max / 100,
    )
    opened = ProviderPool(
        providers,
        clock,
        policy,
        quorum=settings.quorum,
        hedge=hedge if hedge.share_max else None,
        on_count=metrics.on_count(spec.name),
    )
    async with opened as pool:
        if len(providers) > 1:
            await asyncio.gather(*(_meet(provider, _Reporter(spec.name)) for provider in providers))
        try:
            await pool.call("eth_chainId", ())
        except NodeRefused as error:
            remedy = "check that the URL and its key are of a JSON-RPC endpoint of this chain"
            raise NodeRefused(error.thing, error.code, error.message, error.data, remedy) from None
        yield pool


async def _meet(provider: Provider, report: OnError) -> None:
    try:
        await provider.call("eth_chainId", ())
    except NodeError as error:
        report(error)


async def check_code(pool: ProviderPool, spec: ChainSpec, config: RunConfig) -> None:
    """Check that every venue's root contract is there.

    Raises:
        ConfigError: an address has no code.
        NodeError: the node does not answer.
    """
    for venue in config.venues:
        if venue.chain_id == spec.chain_id:
            code = await pool.call("eth_getCode", (to_hex(venue.root), "latest"))
            if code in ("0x", "0x0", None):
                reason = f"{to_hex(venue.root)} has no code on chain {spec.name}"
                raise ConfigError(f"venues.{venue.name}.address", reason, "check address and chain")


def following(
    spec: ChainSpec,
    settings: ChainSettings,
    *,
    pool: ProviderPool,
    config: RunConfig,
    engine: Engine,
    recorder: Recorder,
    clock: Clock,
    watched: Pulses,
) -> Following:
    """Build the follower of a chain, continuing where the engine's fold stands; ``watched`` makes a part's pulse."""
    slot = HeadSlot()
    watch = Watch(_ledgers(engine, spec))
    follower = _follower(spec, settings, pool, config, engine, recorder, clock, watch, watched)
    reading = watched(f"bootstrap {spec.name}")
    return Following(
        spec=spec,
        pool=pool,
        heads=Heads(
            pool,
            [url.reveal() for url in settings.ws],
            spec.chain_id,
            slot,
            clock,
            HeadOptions(poll_interval_seconds=settings.poll_interval_seconds),
            on_error=_Reporter(spec.name),
            watched=lambda part, own_seconds=0.0: watched(f"heads {spec.name} {part}", own_seconds),
        ),
        slot=slot,
        follower=follower,
        checks=_checks(spec, settings, pool, engine, recorder, clock, watch, follower, watched),
        bootstrap=bootstrap_of(
            spec,
            settings,
            pool=pool,
            config=config,
            engine=engine,
            recorder=_Progressing(recorder, reading),
            clock=clock,
            on_error=_Reporter(spec.name, reading),
            pulse=reading,
        ),
        engine=engine,
    )


def _follower(
    spec: ChainSpec,
    settings: ChainSettings,
    pool: ProviderPool,
    config: RunConfig,
    engine: Engine,
    recorder: Recorder,
    clock: Clock,
    watch: Watch,
    watched: Pulses,
) -> Follower:
    pulse = watched(f"follower {spec.name}")
    state = engine.chains[spec.chain_id]
    ledgers = _ledgers(engine, spec)
    start = min(venue.from_block for venue in config.venues if venue.chain_id == spec.chain_id)
    options = FollowerOptions(
        finality_depth_blocks=spec.finality_depth_blocks,
        range_blocks_max=settings.range_blocks_max,
        finality_depth_fallback=settings.finality_depth_fallback,
    )
    observers = [
        SignerObserver(
            node=pool,
            chain_id=spec.chain_id,
            signer=signer.name,
            address=signer.address,
            ledgers=lambda: ledgers,
            tokens=tokens_of(config, signer.name),
        )
        for signer in config.signers
        if signer.name in signers_of(config, spec.chain_id)
    ]

    async def observe(header: BlockHeader) -> Sequence[SignerRead]:
        return [await observer.read(header) for observer in observers]

    return Follower(
        spec.chain_id,
        pool,
        watch,
        _Progressing(recorder, pulse),
        clock,
        Window.resumed(start, state.recent, state.finalized_number),
        options,
        observe=observe,
        on_error=_Reporter(spec.name, pulse),
        pulse=pulse,
        finality_pulse=watched(f"finality {spec.name}"),
    )


def _checks(
    spec: ChainSpec,
    settings: ChainSettings,
    pool: ProviderPool,
    engine: Engine,
    recorder: Recorder,
    clock: Clock,
    watch: Watch,
    follower: Follower,
    watched: Pulses,
) -> dict[str, Callable[[], Coroutine[Any, Any, None]]]:
    """Return what is to run beside the follower: scan and audit only where they are configured."""
    seen = watched(f"providers {spec.name}")
    checks: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "finality": follower.finality.run,
        "providers": lambda: watch_providers(spec.chain_id, pool.statistics, recorder, clock, seen),
    }
    if spec.scanned:
        pulse = watched(f"scan {spec.name}")
        checks["scan"] = Scan(
            pool,
            watch,
            recorder,
            clock,
            state=lambda: engine.chains[spec.chain_id],
            repair=follower.repair,
            blocks_max=settings.range_blocks_max,
            on_error=_Reporter(spec.name, pulse),
            pulse=pulse,
        ).run
    if settings.audit_every_blocks:
        pulse = watched(f"audit {spec.name}")
        checks["audit"] = Audit(
            pool,
            watch,
            _Progressing(recorder, pulse),
            clock,
            state=lambda: engine.chains[spec.chain_id],
            ledgers=_ledgers(engine, spec),
            doubted=engine.doubted,
            every_blocks=settings.audit_every_blocks,
            on_error=_Reporter(spec.name, pulse),
            pulse=pulse,
        ).run
    return checks


def lanes(
    config: RunConfig,
    *,
    engine: Engine,
    recorder: Recorder,
    signers: dict[str, LocalSigner],
    followings: Sequence[Following],
    watched: Pulses,
    step: Step = unwatched,
) -> dict[tuple[int, str], Lane]:
    """Build a lane for every signer on every chain that a strategy uses it on; ``step`` surrounds its sends."""

    def lane(each: Following, spec: SignerSpec) -> Lane:
        pulse = watched(f"lane {spec.name} on {each.spec.name}")
        return Lane(
            chain_id=each.spec.chain_id,
            spec=spec,
            signer=signers[spec.name],
            node=each.pool,
            providers=lambda: [(provider.name, sending(provider, step)) for provider in each.pool.healthy()],
            recorder=_Progressing(recorder, pulse),
            engine=engine,
            on_trouble=_Reporter(each.spec.name, pulse),
            pulse=pulse,
        )

    return {
        (each.spec.chain_id, spec.name): lane(each, spec)
        for each in followings
        for spec in config.signers
        if spec.name in signers and spec.name in signers_of(config, each.spec.chain_id)
    }


def signers_of(config: RunConfig, chain_id: int) -> tuple[str, ...]:
    """Return the signers that strategies use on a chain."""
    chain_of = {venue.name: venue.chain_id for venue in config.venues}
    used = [
        signer
        for strategy in config.strategies
        for venue in strategy.venues
        if chain_of[venue] == chain_id
        for signer in strategy.signers
    ]
    return tuple(dict.fromkeys(used))


def _ledgers(engine: Engine, spec: ChainSpec) -> list[Ledger]:
    return [ledger for ledger in engine.ledgers.values() if ledger.chain_id == spec.chain_id]


class _Progressing:
    """A recorder that tells a pulse of each group it took: whoever records gets somewhere."""

    def __init__(self, recorder: Recorder, pulse: Pulse) -> None:
        self._recorder = recorder
        self._pulse = pulse

    async def submit(self, facts: Sequence[AnyFact]) -> None:
        await self._recorder.submit(facts)
        self._pulse.progressed()

    async def record(self, facts: Sequence[AnyFact]) -> None:
        await self._recorder.record(facts)
        self._pulse.progressed()


class _Reporter:
    """Logs what was survived; trouble that was noticed is progress, the opposite of hanging."""

    def __init__(self, chain: str, pulse: Pulse = UNWATCHED) -> None:
        self._log = structlog.get_logger().bind(chain=chain)
        self._pulse = pulse

    def __call__(self, error: KeeperError) -> None:
        self._pulse.progressed()
        say = self._log.error if isinstance(error, OperatorError) else self._log.warning
        say("survived", reason=str(error), error=type(error).__name__)


def provider_statuses(pools: Mapping[str, ProviderPool]) -> Iterator[ProviderStatus]:
    """Yield how each provider stands, for people."""
    for chain, pool in pools.items():
        for each in pool.statistics():
            yield ProviderStatus(
                chain=chain,
                name=each.name,
                up=each.up,
                failures=each.failures,
                seconds=each.score,
                lag_blocks=each.lag_blocks,
                quarantine=each.quarantine,
            )
