"""Where a crash test may end the process, and that nobody else can."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

import pytest

from keeper.app.failpoints import VARIABLE, Place, failpoint_step, parse, sending
from keeper.core.errors import ConfigError
from keeper.core.facts import ClockTicked
from keeper.core.ports import Node
from keeper.journal.steps import unwatched

KILLED = -signal.SIGKILL
STEPS = """
import asyncio, os
from keeper.app.failpoints import failpoint_step, sending
from keeper.core.facts import ClockTicked, KillSwitchChanged
from keeper.journal.steps import unwatched

class Answering:
    async def call(self, method, params):
        return None
    async def batch(self, calls):
        print("answered", flush=True)
        return []

step = failpoint_step(os.environ)
node = sending(Answering(), step)
for number in range(2):
    with step("append", [ClockTicked(1), KillSwitchChanged(True, "file")]):
        print("appended", flush=True)
    asyncio.run(node.batch([("eth_getCode", ())]))
    asyncio.run(node.batch([("eth_getCode", ()), ("eth_sendRawTransaction", ())]))
"""


class Silent:
    """A node that is never asked."""

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Refuse."""
        raise AssertionError(method, params)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Refuse."""
        raise AssertionError(calls)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("before-commit", Place("before", "commit", "", 1)),
        ("after-send:3", Place("after", "send", "", 3)),
        ("before-act:ReceiptSeen", Place("before", "act", "ReceiptSeen", 1)),
        ("after-append:AttemptPrepared:2", Place("after", "append", "AttemptPrepared", 2)),
    ],
)
def test_a_place_is_read(text: str, place: Place) -> None:
    """When, step, kind of record and time."""
    assert parse(text) == place


@pytest.mark.parametrize(
    "text",
    [
        "",
        "commit",
        "during-commit",
        "after-sync",
        "after-append:Nothing",
        "after-commit:ClockTicked",
        "after-append:ClockTicked:0",
        "after-append:ClockTicked:-1",
        "after-append:ClockTicked:two",
        "after-append:ClockTicked:1:1",
        "after-append:1:ClockTicked",
        "after-append:²",
        "after-append:",
        "after-append:" + "9" * 5000,
    ],
)
def test_what_names_no_place_is_refused(text: str) -> None:
    """A failpoint that would never be reached is an error of the operator, in one line."""
    with pytest.raises(ConfigError, match=rf"^{VARIABLE}=.*; unset it, or write it as") as caught:
        failpoint_step({VARIABLE: text})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


def test_without_the_variable_nothing_is_there() -> None:
    """Unless the environment asks for it nothing is wrapped and no step is looked at."""
    node: Node = Silent()
    step = failpoint_step({"KEEPER_FAILPOINTS": "before-commit", "FAILPOINT": "before-commit"})

    assert step is unwatched
    assert sending(node, step) is node
    assert unwatched("commit", ()) is unwatched("append", (ClockTicked(1),))


def ended(failpoint: str) -> tuple[int, list[str]]:
    """Run the program of steps; return its exit code and what it printed, the log's lines by their event."""
    environment = {**os.environ, VARIABLE: failpoint}
    done = subprocess.run([sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=False)
    events = ("failpoint armed", "failpoint reached")
    said = [next((event for event in events if event in line), line) for line in done.stdout.splitlines()]
    return done.returncode, said


@pytest.mark.slow
@pytest.mark.parametrize(
    ("failpoint", "said"),
    [
        ("before-append", []),
        ("after-append:KillSwitchChanged", ["appended"]),
        ("before-send", ["appended", "answered"]),
        ("after-send", ["appended", "answered", "answered"]),
        ("before-append:ClockTicked:2", ["appended", "answered", "answered"]),
    ],
)
def test_the_process_ends_there_and_says_so(failpoint: str, said: list[str]) -> None:
    """It is killed at the place, at that time and not before, and its log names the failpoint twice."""
    assert ended(failpoint) == (KILLED, ["failpoint armed", *said, "failpoint reached"])


@pytest.mark.slow
def test_a_place_that_is_not_reached_ends_nothing() -> None:
    """A step of other records, or one that comes less often, kills nobody; the log said that it might."""
    code, said = ended("after-append:RunStopped")

    assert (code, said) == (0, ["failpoint armed", *["appended", "answered", "answered"] * 2])
