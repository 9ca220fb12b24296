"""The first step of a chain whose venues are read at one block: built from the settings, and told of in log lines."""

from __future__ import annotations

import structlog

from keeper.chain.bootstrap import Bootstrap, BootstrapOptions, Progress
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import OnError
from keeper.core.ports import Clock, Pulse, Recorder
from keeper.core.runconfig import ChainSpec, RunConfig
from keeper.engine.step import Engine
from keeper.settings import ChainSettings

PROGRESS_SECONDS_MIN = 5.0


def bootstrap_of(
    spec: ChainSpec,
    settings: ChainSettings,
    *,
    pool: ProviderPool,
    config: RunConfig,
    engine: Engine,
    recorder: Recorder,
    clock: Clock,
    on_error: OnError,
    pulse: Pulse,
) -> Bootstrap | None:
    """Return what reads a chain's venues; ``None`` when they are folded from logs, or the chain was begun already."""
    venues = [venue for venue in config.venues if venue.chain_id == spec.chain_id and venue.bootstrap == "snapshot"]
    ledgers = [engine.ledgers[venue.name] for venue in venues]
    readings = {ledger.name: ledger.reading for ledger in ledgers if ledger.reading is not None}
    if engine.chains[spec.chain_id].tip is not None or not readings:
        return None
    options = BootstrapOptions(
        finality_depth_blocks=spec.finality_depth_blocks,
        range_blocks_max=settings.range_blocks_max,
        batch_size_max=settings.batch_size_max,
        concurrency_max=settings.concurrency_max,
    )
    told = _ProgressLog(spec.name, clock)
    return Bootstrap(
        spec.chain_id, pool, readings, recorder, clock, options, on_error=on_error, on_progress=told, pulse=pulse
    )


class _ProgressLog:
    """Logs how far the reading is, every few seconds."""

    def __init__(self, chain: str, clock: Clock) -> None:
        self._log = structlog.get_logger().bind(chain=chain)
        self._clock = clock
        self._told_at: float | None = None

    def __call__(self, progress: Progress) -> None:
        now = self._clock.monotonic()
        if self._told_at is not None and now - self._told_at < PROGRESS_SECONDS_MIN:
            return
        self._told_at = now
        reading = progress.reading
        self._log.info(
            "reading venue",
            venue=progress.venue,
            block=progress.block,
            searched_to=reading.searched_to,
            holders=reading.holders,
            unread=reading.unread,
        )
