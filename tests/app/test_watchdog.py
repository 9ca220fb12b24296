"""A part that hangs is noticed, named, and in the end takes the process down; waiting is not hanging."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from keeper.app.watchdog import HALT_FACTOR, Late, Probe, Watchdog
from keeper.core.errors import InvariantBroken, LoopStuck
from tests.chain_ingestion.fakes import HandClock, JumpClock


class Rig:
    """A watchdog, the clock it looks by, and what it told."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.lags: list[float] = []
        self.told: list[str] = []
        self.watchdog = Watchdog(self.clock, self.lags.append, self.told.append)

    async def run(self, *spans: float) -> list[tuple[Late, ...]]:
        """Let the loop run for spans of time, one look each, and return what was late after each."""
        seen = []
        task = asyncio.create_task(self.watchdog.run())
        await asyncio.sleep(0)
        for span in spans:
            self.clock.advance(span)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            seen.append(self.watchdog.late())
        task.cancel()
        await asyncio.wait([task])
        return seen


async def test_work_that_does_not_end_is_late_and_then_stops_the_process() -> None:
    """A unit past its bound is told of once; past three times the bound the run stops, naming the part."""
    told: list[str] = []
    clock = JumpClock()
    watchdog = Watchdog(clock, lambda _: None, told.append)
    with (
        watchdog.watched("lane", 2.0).working(),
        pytest.raises(LoopStuck, match=r"^lane: got nowhere for 6 s; start again"),
    ):
        await watchdog.run()
    assert (told, clock.now) == (["lane"], 2.0 * HALT_FACTOR + 0.25)


async def test_a_task_cancelled_before_its_turn_leaves_nothing_unawaited() -> None:
    """What it would have done is closed, not left for the interpreter to complain about."""
    rig, work = Rig(), asyncio.sleep(0)
    async with asyncio.TaskGroup() as tasks:
        rig.watchdog.begin(tasks, "clock", work, unwatched="a test").cancel()
    assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED


async def test_waiting_is_never_late() -> None:
    """A loop between two units of work may wait for as long as nothing happens."""
    rig = Rig()
    pulse = rig.watchdog.watched("follower", 1.0)
    with pulse.working():
        pass
    assert await rig.run(*[0.5] * 20) == [()] * 20


async def test_progress_begins_the_time_anew() -> None:
    """A back-fill of hours is not late as long as it gets somewhere."""
    rig = Rig()
    pulse = rig.watchdog.watched("follower", 1.0)
    with pulse.working():
        first = await rig.run(0.5, 0.5)
        pulse.progressed()
        assert (first, await rig.run(0.5, 0.5, 0.5)) == ([(), ()], [(), (), (Late("follower", 1.5),)])


@pytest.mark.fault(18)
async def test_a_pause_of_the_process_makes_nothing_late() -> None:
    """A process that was stopped for an hour in the middle of a unit of work is not late when it wakes up."""
    rig = Rig()
    with rig.watchdog.watched("lane", 2.0).working():
        assert await rig.run(0.5, 3600.0, 0.5) == [(), (), ()]


@pytest.mark.fault(42)
async def test_the_lag_of_the_loop_is_measured() -> None:
    """What a timer comes late by is told at each look."""
    rig = Rig()
    await rig.run(0.25, 1.75)
    assert rig.lags == [0.0, 1.5]


@pytest.mark.fault(21)
async def test_a_writer_that_hangs_is_seen_from_outside() -> None:
    """Records that wait while none becomes durable are late; an idle writer, or one that moves, is not."""
    rig = Rig()
    queue = {"accepted": 0, "durable": 0}
    probe = Probe(lambda: queue["durable"] < queue["accepted"], lambda: queue["durable"])
    rig.watchdog.probe("journal writer", 1.0, probe)
    idle = await rig.run(*[0.5] * 4)
    queue["accepted"] = 9
    queue["durable"] = 1
    moving = await rig.run(0.5, 0.5)
    queue["durable"] = 2
    moving += await rig.run(0.5, 0.5)
    hanging = (await rig.run(0.5, 0.5))[1:]
    assert (idle + moving, hanging) == ([()] * 8, [(Late("journal writer", 1.5),)])


async def test_a_task_that_returns_is_a_bug() -> None:
    """A background task that ends although it runs for ever takes the group down, by its name."""

    async def ends() -> None:
        await asyncio.sleep(0)

    rig = Rig()
    rig.watchdog.watched("heads local poll", 1.0)
    with pytest.raises(ExceptionGroup) as caught:
        async with asyncio.TaskGroup() as tasks:
            rig.watchdog.begin(tasks, "heads local", ends())
    assert [str(error) for error in caught.value.exceptions] == [
        "task heads local: ended although it runs for ever; this is a bug: report it"
    ]
    assert isinstance(caught.value.exceptions[0], InvariantBroken)


async def test_a_task_without_a_pulse_is_a_bug() -> None:
    """No task is begun that nobody would see hang, unless it says why that need not be."""

    async def hangs() -> None:
        await asyncio.Event().wait()

    rig = Rig()
    rig.watchdog.watched("heads local poll", 1.0)
    async with asyncio.TaskGroup() as tasks:
        with pytest.raises(InvariantBroken, match=r"^task head: has no pulse, so nobody would notice that it hangs"):
            rig.watchdog.begin(tasks, "head", hangs())
        begun = [
            rig.watchdog.begin(tasks, "heads local", hangs()),
            rig.watchdog.begin(tasks, "watchdog", hangs(), unwatched="the loop guard sees it"),
        ]
        await asyncio.sleep(0)
        for task in begun:
            task.cancel()
    assert [task.get_name() for task in begun] == ["heads local", "watchdog"]
