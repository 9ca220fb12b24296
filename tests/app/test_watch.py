"""The clock's ticks and the operator's kill switch become facts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from keeper.app.clock import SystemClock
from keeper.app.watch import TICK_SECONDS, is_armed, tick_clock, watch_kill_switch, watch_providers
from keeper.chain.health import ProviderHealth
from keeper.core.facts import AnyFact, ClockTicked, KillSwitchChanged, ProviderChanged
from tests.chain_ingestion.fakes import HandClock, Journal

ARMED = KillSwitchChanged(armed=True, reason="file")
DISARMED = KillSwitchChanged(armed=False, reason="file")


@asynccontextmanager
async def running(work: Coroutine[Any, Any, Any]) -> AsyncIterator[None]:
    """Run something endless for the length of the context."""
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def seen(path: Path | None, *changes: Callable[[], object]) -> list[AnyFact]:
    """Watch a kill switch, make one change a tick, and return what was recorded."""
    clock, journal = HandClock(), Journal()
    async with running(watch_kill_switch(path, journal, clock)):
        for change in changes:
            change()
            await tick(clock)
    return journal.facts


async def tick(clock: HandClock) -> None:
    """Let one tick pass and whoever waited for it act."""
    clock.advance(TICK_SECONDS)
    for _ in range(5):
        await asyncio.sleep(0)


def nothing() -> None:
    """Change nothing."""


async def test_the_switch_is_recorded_at_the_start(tmp_path: Path) -> None:
    """Every run begins with how the switch stands, so a switch left armed by draining is disarmed."""
    assert await seen(tmp_path / "STOP") == [DISARMED]


async def test_a_switch_that_is_there_already_is_armed(tmp_path: Path) -> None:
    """A file that was there before the run arms it from the beginning."""
    (tmp_path / "STOP").touch()

    assert await seen(tmp_path / "STOP") == [ARMED]


async def test_the_switch_follows_its_file(tmp_path: Path) -> None:
    """The file arms when it appears and disarms when it goes away; while nothing changes nothing is recorded."""
    path = tmp_path / "STOP"

    assert await seen(path, nothing, path.touch, nothing, path.unlink, nothing) == [DISARMED, ARMED, DISARMED]


async def test_no_file_is_never_armed() -> None:
    """Without a configured file there is no switch."""
    assert await seen(None, nothing) == [DISARMED]


async def test_what_cannot_be_looked_at_is_armed(tmp_path: Path) -> None:
    """Unknown is never "go": a path through something that is no folder arms the switch."""
    folder = tmp_path / "run"
    folder.mkdir()

    def replace_folder_by_file() -> None:
        folder.rmdir()
        folder.touch()

    assert await seen(folder / "STOP", nothing, replace_folder_by_file) == [DISARMED, ARMED]


@pytest.mark.parametrize("name", ["x" * 5000, "loop/STOP"])
def test_an_impossible_path_is_armed(tmp_path: Path, name: str) -> None:
    """A name too long for the system, or a link to itself, cannot be looked at, hence arms."""
    (tmp_path / "loop").symlink_to("loop")

    assert is_armed(tmp_path / name) is True


def test_a_folder_arms_too(tmp_path: Path) -> None:
    """Whatever has the switch's name arms it."""
    assert is_armed(tmp_path) is True


async def test_the_clock_ticks_once_a_second() -> None:
    """The engine is told the time at once and then with every second."""
    clock, journal = HandClock(), Journal()
    async with running(tick_clock(journal, clock)):
        await tick(clock)
        await tick(clock)

    assert journal.facts == [ClockTicked(0), ClockTicked(1000), ClockTicked(2000)]


async def test_the_system_clock_goes_forward() -> None:
    """The real clock gives Unix milliseconds, and its steady hand never goes back."""
    clock = SystemClock()
    first = clock.monotonic()
    await clock.sleep(0)

    assert clock.monotonic() >= first
    assert clock.unix_ms() > 1_700_000_000_000


def provider(*, up: bool, quarantine: str | None = None) -> ProviderHealth:
    """Return how a provider stands."""
    return ProviderHealth(name="http://node", up=up, failures=2, score=0.1, lag_blocks=0, quarantine=quarantine)


async def test_a_provider_is_recorded_when_it_goes_and_when_it_comes_back() -> None:
    """One that is up from the beginning leaves no record, and each change one, with why it is passed over."""
    clock, journal = HandClock(), Journal()
    stands = [provider(up=True)]
    async with running(watch_providers(7, lambda: stands, journal, clock)):
        await tick(clock)
        for now in (provider(up=False), provider(up=False), provider(up=True), provider(up=False, quarantine="lied")):
            stands[0] = now
            await tick(clock)

    assert journal.facts == [
        ProviderChanged(7, "http://node", up=False, reason="2 failures in a row"),
        ProviderChanged(7, "http://node", up=True, reason=""),
        ProviderChanged(7, "http://node", up=False, reason="lied"),
    ]
