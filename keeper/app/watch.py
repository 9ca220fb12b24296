"""What the process itself observes: the clock, the operator's kill switch, and which providers answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NoReturn

from keeper.chain.health import ProviderHealth
from keeper.core.facts import ClockTicked, KillSwitchChanged, ProviderChanged
from keeper.core.ports import UNWATCHED, Clock, Pulse, Recorder

TICK_SECONDS = 1.0


async def tick_clock(recorder: Recorder, clock: Clock, pulse: Pulse = UNWATCHED) -> NoReturn:
    """Give the engine the time once a second; it has no other."""
    while True:
        with pulse.working():
            await recorder.submit([ClockTicked(clock.unix_ms())])
        await clock.sleep(TICK_SECONDS)


async def watch_kill_switch(path: Path | None, recorder: Recorder, clock: Clock, pulse: Pulse = UNWATCHED) -> NoReturn:
    """Record the kill switch at start and whenever its file appears or goes away.

    A path that cannot be looked at counts as armed: unknown is never "go".
    """
    last: bool | None = None
    while True:
        armed = path is not None and is_armed(path)
        if armed is not last:
            with pulse.working():
                await recorder.submit([KillSwitchChanged(armed, "file")])
            last = armed
        await clock.sleep(TICK_SECONDS)


async def watch_providers(
    chain_id: int,
    providers: Callable[[], Iterable[ProviderHealth]],
    recorder: Recorder,
    clock: Clock,
    pulse: Pulse = UNWATCHED,
) -> NoReturn:
    """Record each provider of a chain that goes down or comes up; requests that failed leave no other trace."""
    down: set[str] = set()
    while True:
        changed = [each for each in providers() if each.up is (each.name in down)]
        if changed:
            with pulse.working():
                await recorder.submit([ProviderChanged(chain_id, each.name, each.up, _why(each)) for each in changed])
            down ^= {each.name for each in changed}
        await clock.sleep(TICK_SECONDS)


def _why(provider: ProviderHealth) -> str:
    """Say why a provider is passed over; nothing of one that is up."""
    return "" if provider.up else provider.quarantine or f"{provider.failures} failures in a row"


def is_armed(path: Path) -> bool:
    """Tell whether the kill switch file exists, or cannot be looked at."""
    try:
        path.stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True
