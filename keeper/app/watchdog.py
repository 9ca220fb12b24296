"""Notices a part that hangs: says which, fails the health check, and in the end stops the process.

A loop tells its :class:`Watched` pulse when a unit of work begins, gets somewhere and ends; waiting for work is never
late. What has no loop of its own (the journal's writer thread) is looked at from outside by a *probe*. One task looks
at all of them, several times a second. A unit under way for longer than its bound is logged with its name, counted and
shown by ``/healthz``; after :data:`HALT_FACTOR` times the bound the process stops with exit 3. A service manager starts
it again, and a start resumes whatever was in flight; a process that hangs for ever helps nobody.

Time counts only while this process runs: a process that was stopped, or a machine that slept, is not late with anything
when it wakes up. Nor is anything late because the event loop stalled: :mod:`keeper.app.stall` sees that from outside.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Never

import structlog

from keeper.core.errors import InvariantBroken, LoopStuck, invariant
from keeper.core.ports import Clock
from keeper.journal.protocol import Journal

LOOK_SECONDS = 0.25
"""How often all are looked at; also how finely the event loop's lag is measured."""
RAN_SECONDS_MAX = 2 * LOOK_SECONDS
"""What one look can add to the time that the process ran, however long ago the last one was."""
HALT_FACTOR = 3.0
"""A unit that takes this many times its bound will not end by itself."""


class Late(NamedTuple):
    """A part whose unit of work is under way for too long."""

    name: str
    seconds: float


class Watched:
    """The pulse of one part; implements :class:`keeper.core.ports.Pulse`.

    Units may overlap; the part is as old as the last begin, progress or end of any of them.

    Args:
        name: Of the part, in logs and metrics.
        seconds_max: How long a unit may take without progress.
        now: Time that the process ran, in seconds.
    """

    def __init__(self, name: str, seconds_max: float, now: Callable[[], float]) -> None:
        self.name = name
        self.seconds_max = seconds_max
        self._now = now
        self._units = 0
        self._at = 0.0

    def begin(self) -> None:
        """Begin a unit of work."""
        self._units += 1
        self._at = self._now()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Return the context of one unit of work."""
        self.begin()
        try:
            yield
        finally:
            self._units -= 1
            self._at = self._now()

    def progressed(self) -> None:
        """Say that the unit under way got somewhere: its time begins anew."""
        self._at = self._now()

    def busy_seconds(self) -> float:
        """Return for how long the unit under way got nowhere, zero while there is none."""
        return self._now() - self._at if self._units else 0.0


class Probe(NamedTuple):
    """A part seen from outside: whether it has work, and a figure that moves when it gets somewhere."""

    is_busy: Callable[[], bool]
    place: Callable[[], int]


@dataclass(slots=True)
class _Probing:
    probe: Probe
    watched: Watched
    place: int = -1

    def look(self) -> None:
        """Begin the part's time anew whenever it is idle or has moved."""
        place = self.probe.place()
        if not self.probe.is_busy() or place != self.place:
            self.watched.progressed()
        self.place = place


def journal_writer(journal: Journal) -> Probe:
    """Return the probe of a journal's writer: it hangs when records wait and none becomes durable."""
    return Probe(lambda: journal.durable_sequence < journal.last_sequence, lambda: journal.durable_sequence)


class Watchdog:
    """Looks at every part of a run.

    Args:
        clock: Paces the looks and measures the loop's lag.
        on_tick: Called at each look with how late it came, in seconds.
        on_late: Called once for each unit that passes its bound, with the part's name.
    """

    def __init__(self, clock: Clock, on_tick: Callable[[float], None], on_late: Callable[[str], None]) -> None:
        self._clock = clock
        self._on_tick = on_tick
        self._on_late = on_late
        self._ran_seconds = 0.0
        self._watched: list[Watched] = []
        self._probes: list[_Probing] = []
        self._told: set[str] = set()
        self._log = structlog.get_logger()

    def watched(self, name: str, seconds_max: float) -> Watched:
        """Return the pulse of a part with a loop of its own."""
        watched = Watched(name, seconds_max, lambda: self._ran_seconds)
        self._watched.append(watched)
        return watched

    def probe(self, name: str, seconds_max: float, probe: Probe) -> None:
        """Look at a part from outside."""
        watched = self.watched(name, seconds_max)
        watched.begin()
        self._probes.append(_Probing(probe, watched))

    def begin(
        self, tasks: asyncio.TaskGroup, name: str, work: Coroutine[Any, Any, object], *, unwatched: str = ""
    ) -> asyncio.Task[None]:
        """Start a background task by name: the one place where they are made, so that none ends or hangs unseen.

        Args:
            tasks: Owns it.
            name: Also that of its pulse, or the beginning of the names of the pulses of its parts.
            work: What must not end before it is cancelled.
            unwatched: Why it needs no pulse.

        Raises:
            InvariantBroken: it has no pulse, and no reason is given.
        """
        has_pulse = any(each.name == name or each.name.startswith(f"{name} ") for each in self._watched)
        if not (has_pulse or unwatched):
            work.close()
        invariant(has_pulse or unwatched, f"task {name}", "has no pulse, so nobody would notice that it hangs")
        task = tasks.create_task(for_ever(name, work), name=name)
        task.add_done_callback(lambda _: work.close())  # it never began where the task was cancelled before its turn
        return task

    def late(self) -> tuple[Late, ...]:
        """Return the parts that are late now."""
        ages = [(each, each.busy_seconds()) for each in self._watched]
        return tuple(Late(each.name, age) for each, age in ages if age > each.seconds_max)

    async def run(self) -> Never:
        """Look until cancelled.

        Raises:
            LoopStuck: a part hangs for so long that only a new process helps.
        """
        looked_at = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            now = self._clock.monotonic()
            self._on_tick(max(0.0, now - looked_at - LOOK_SECONDS))
            self._ran_seconds += min(now - looked_at, RAN_SECONDS_MAX)
            looked_at = now
            self._look()

    def _look(self) -> None:
        for probing in self._probes:
            probing.look()
        late = self.late()
        for name, seconds in late:
            if name not in self._told:
                self._log.error("late", part=name, seconds=round(seconds, 1), what="a unit of work does not end")
                self._on_late(name)
        self._told = {each.name for each in late}
        for each in self._watched:
            if each.busy_seconds() > HALT_FACTOR * each.seconds_max:
                reason = f"got nowhere for {each.busy_seconds():.0f} s"
                raise LoopStuck(
                    each.name, reason, "start again: nothing acknowledged is lost; report what it waited for"
                )


async def for_ever(name: str, work: Coroutine[Any, Any, object]) -> Never:
    """Run what must not end before it is cancelled.

    Raises:
        InvariantBroken: it returned.
    """
    await work
    raise InvariantBroken(f"task {name}", "ended although it runs for ever", "this is a bug: report it")


async def cancelled(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel tasks and wait until they are gone."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
