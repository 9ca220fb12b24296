"""Places at which a crash test ends this process, as a power cut would.

``KEEPER_FAILPOINT=after-append:AttemptPrepared:2`` sends this process SIGKILL right after the second group with an
``AttemptPrepared`` was handed to the journal. The grammar is ``before-`` or ``after-``, a step of
:data:`keeper.journal.steps.StepName`, then, where they are wanted, ``:`` and a kind of record (for ``append`` and
``act``) and ``:`` and which time it is, one when it is left out.

Without the variable none of this is built: nothing is wrapped and nothing can be triggered. With it, the process says
so in its log at the start and again at its end.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

import structlog

from keeper.core.codec import AnyBody
from keeper.core.errors import ConfigError
from keeper.core.ports import Node
from keeper.journal.steps import Step, StepName, unwatched

VARIABLE = "KEEPER_FAILPOINT"
_GRAMMAR = re.compile(
    r"(?P<when>before|after)-(?P<step>[a-z]+)(:(?P<kind>[A-Z][A-Za-z]+))?(:(?P<time>[1-9][0-9]{0,8}))?"
)
_STEPS: tuple[str, ...] = get_args(StepName)
_STEPS_OF_RECORDS = ("append", "act")
_KINDS = frozenset(kind.__name__ for kind in get_args(AnyBody))
_REMEDY = f"unset it, or write it as before-commit, after-append:AttemptPrepared:2; the steps are {', '.join(_STEPS)}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to stop: ``when`` is ``before`` or ``after``; an empty ``kind`` means any; ``time`` counts from one."""

    when: str
    step: str
    kind: str
    time: int


def parse(text: str) -> Place:
    """Return the place that a value of the variable names.

    Raises:
        ConfigError: it names none.
    """
    words = _GRAMMAR.fullmatch(text)
    if words is None or words["step"] not in _STEPS:
        raise _wrong(text, "names no place")
    if words["kind"] and (words["kind"] not in _KINDS or words["step"] not in _STEPS_OF_RECORDS):
        raise _wrong(text, "names no kind of record of that step")
    return Place(words["when"], words["step"], words["kind"] or "", int(words["time"] or "1"))


def _wrong(text: str, reason: str) -> ConfigError:
    return ConfigError(f"{VARIABLE}={text!r:.80}", reason, _REMEDY)


class Failpoint:
    """Ends the process at a place."""

    def __init__(self, place: Place, text: str) -> None:
        self._place = place
        self._text = text
        self._times = 0
        self._log = structlog.get_logger()
        self._log.critical("failpoint armed", failpoint=text, effect="this process will kill itself: crash tests only")

    @contextmanager
    def step(self, name: StepName, bodies: Sequence[AnyBody] = ()) -> Iterator[None]:
        """Surround a step."""
        counts = self._counts(name, bodies)
        if counts:
            self._reach("before")
        yield
        if counts:
            self._reach("after")

    def _counts(self, name: StepName, bodies: Sequence[AnyBody]) -> bool:
        kind = self._place.kind
        return name == self._place.step and (not kind or any(type(body).__name__ == kind for body in bodies))

    def _reach(self, when: str) -> None:
        self._times += when == self._place.when
        if when == self._place.when and self._times == self._place.time:
            self._log.critical("failpoint reached", failpoint=self._text)
            os.kill(os.getpid(), signal.SIGKILL)


class SendingNode:
    """A node whose sends are steps; every other request passes unseen."""

    def __init__(self, node: Node, step: Step) -> None:
        self._node = node
        self._step = step

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Pass a request on: nothing is sent by a single call."""
        return await self._node.call(method, params)

    async def batch(self, calls: Sequence[tuple[str, Sequence[object]]]) -> list[object]:
        """Pass several requests on, as a step when one of them sends a transaction."""
        if all(method != "eth_sendRawTransaction" for method, _ in calls):
            return await self._node.batch(calls)
        with self._step("send", ()):
            return await self._node.batch(calls)


def failpoint_step(environ: Mapping[str, str]) -> Step:
    """Return what surrounds the steps of this process: nothing, unless the environment names a place.

    Raises:
        ConfigError: the variable is set and names none.
    """
    text = environ.get(VARIABLE)
    return unwatched if text is None else Failpoint(parse(text), text).step


def sending(node: Node, step: Step) -> Node:
    """Return the node, wrapped only when its sends are watched."""
    return node if step is unwatched else SendingNode(node, step)
