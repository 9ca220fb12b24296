"""An event loop that stands still is shown, and in the end ended, from outside of it."""

from __future__ import annotations

import os
import select
from contextlib import suppress

import pytest

from keeper.app.stall import DUMP_SECONDS, EXIT_SECONDS, LEAVE_SECONDS, LOOK_SECONDS, LoopGuard, show_stacks

DUMP_LOOKS = round(DUMP_SECONDS / LOOK_SECONDS)
EXIT_LOOKS = round(EXIT_SECONDS / LOOK_SECONDS)


class Rig:
    """A guard whose thread does not run, and what it did."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.guard = LoopGuard(lambda: self.did.append("dump"), lambda code: self.did.append(f"exit {code}"))

    def look(self, times: int) -> list[str]:
        """Look so many times and return all that was done until now."""
        for _ in range(times):
            self.guard.look()
        return list(self.did)


@pytest.mark.fault(42)
def test_a_loop_that_stands_still_is_shown_once_and_then_ended() -> None:
    """Every stack is written once, and the process ends with 3 when the loop never turns again."""
    rig = Rig()
    rig.guard.tick()
    rig.look(1)
    seen = [rig.look(DUMP_LOOKS - 1), rig.look(1), rig.look(EXIT_LOOKS - DUMP_LOOKS - 1), rig.look(1)]
    assert seen == [[], ["dump"], ["dump"], ["dump", "exit 3"]]


@pytest.mark.fault(42)
def test_a_loop_that_goes_on_is_left_alone() -> None:
    """A stall that passes is shown and nothing more; the next one is shown again."""
    rig = Rig()
    rig.guard.tick()
    rig.look(1 + DUMP_LOOKS)
    rig.guard.tick()
    assert rig.look(1 + DUMP_LOOKS) == ["dump", "dump"]


def test_a_start_may_take_its_time() -> None:
    """Before the loop has turned once nothing is counted: a long journal is restored in one go."""
    assert Rig().look(EXIT_LOOKS) == []


def test_a_stop_that_hangs_is_ended() -> None:
    """Once the process has decided to halt it ends within a bound, although its loop still turns."""
    rig = Rig()
    rig.guard.leave_soon()
    for _ in range(round(LEAVE_SECONDS / LOOK_SECONDS)):
        rig.guard.tick()
        rig.look(1)
    assert rig.did == ["exit 3"]


@pytest.mark.fault(42)
def test_the_stacks_are_not_waited_for() -> None:
    """That nobody reads the log may be why the loop stands: the guard goes on, and a later reader sees all."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writing, b"." * select.PIPE_BUF)
    os.set_blocking(writing, True)

    show_stacks(writing)

    with os.fdopen(reading, "rb") as read:
        shown = b""
        while b"test_the_stacks_are_not_waited_for" not in shown:
            shown += read.read1()
    os.close(writing)
    assert shown.lstrip(b".").startswith(b"the event loop stands still for 5 s; where every thread is:\n")
