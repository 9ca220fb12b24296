"""An event loop in virtual time, in which a process can die between any two callbacks.

Time stands still while anything is ready to run and then jumps to the next timer; nothing here waits for real.

What belongs to a process is told by the context its callbacks run in: a task inherits it, and so does everything that
a task starts. A *kill* is what SIGKILL is: no callback of the process runs any more. Its coroutines are then closed,
which runs their ``finally`` blocks; whatever those start belongs to the dead process too, whose disk and providers are
gone, so nothing they do can be seen.
"""

from __future__ import annotations

import asyncio
from asyncio.events import Handle
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from heapq import heappop
from typing import Any

from keeper.core.errors import InvariantBroken

CLOSES_MAX = 32
"""How often a coroutine that awaits while it is closed is closed again."""


class Process:
    """What the loop knows of one life: whether it lives, and how many callbacks it has run.

    Args:
        dies_at: The callback after which it is killed; ``None`` for never.
    """

    def __init__(self, dies_at: int | None = None) -> None:
        self.dead = False
        self.callbacks = 0
        self.dies_at = dies_at
        self.held_until = 0.0
        self.on_death: Callable[[], None] | None = None
        self._context = copy_context()
        self._context.run(_PROCESS.set, self)
        self._tasks: list[asyncio.Task[Any]] = []

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start a task of this process."""
        return asyncio.get_running_loop().create_task(work, context=self._context)

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Remember a task that runs in this process."""
        self._tasks.append(task)

    def kill(self) -> None:
        """Let nothing of it run any more, and close what it was doing."""
        if not self.dead:
            self.dead = True
            self._context.run(self._close)
            if self.on_death is not None:
                self.on_death()

    def _close(self) -> None:
        for task in self._tasks:
            if not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it is meant to stay so
                _close(task.get_coro())


_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


def _close(coroutine: Any) -> None:  # noqa: ANN401 - asyncio says no more of it
    """Close a coroutine, also one that awaits in its ``finally`` blocks."""
    for _ in range(CLOSES_MAX):
        try:
            coroutine.close()
        except (RuntimeError, asyncio.CancelledError):  # it awaited once more, or was entered already
            continue
        except BaseExceptionGroup:  # a task group wraps what closes it, with what else went wrong in it
            pass
        return


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop. Use it with ``run_until_complete``; it has no sockets, no signals and no threads."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._ready: deque[Handle]
        self._scheduled: list[asyncio.TimerHandle]
        self.set_task_factory(_adopting)  # type: ignore[arg-type] # the stubs of 3.11 know no context

    def time(self) -> float:
        """Return seconds since the loop was made."""
        return self._now

    def hold(self, process: Process, seconds: float) -> None:
        """Let no callback of a process run for so long, as SIGSTOP does or a starved machine."""
        process.held_until = self._now + seconds

    def _run_once(self) -> None:
        if not self._ready:
            self._jump()
        self._collect_due()
        if self._ready:
            self._run_one(self._ready.popleft())

    def _jump(self) -> None:
        if self._stopping:  # type: ignore[attr-defined] # of the base class
            return
        while self._scheduled and self._scheduled[0].cancelled():
            heappop(self._scheduled)
        if not self._scheduled:
            raise InvariantBroken("the virtual loop", "waits for something that nothing will bring about")
        self._now = max(self._now, self._scheduled[0].when())

    def _collect_due(self) -> None:
        while self._scheduled and self._scheduled[0].when() <= self._now:
            handle = heappop(self._scheduled)
            handle._scheduled = False  # type: ignore[attr-defined] # noqa: SLF001 - as the base class does
            self._ready.append(handle)

    def _run_one(self, handle: Handle) -> None:
        if handle.cancelled():
            return
        process = handle._context.get(_PROCESS)  # type: ignore[attr-defined] # noqa: SLF001 - nothing else tells whose it is
        if process is None:
            handle._run()  # noqa: SLF001 - as the base class does
        elif process.held_until > self._now:
            self._postpone(handle, process)
        elif not process.dead:
            process.callbacks += 1
            handle._run()  # noqa: SLF001 - as above
            if process.callbacks == process.dies_at:
                process.kill()

    def _postpone(self, handle: Handle, process: Process) -> None:
        """Run a callback when its process wakes, in the order in which they would have run."""
        callback, args, context = handle._callback, handle._args, handle._context  # type: ignore[attr-defined] # noqa: SLF001
        self.call_at(process.held_until, callback, *args, context=context)

    def _process_events(self, event_list: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody sleeps."""

    def _asyncgen_finalizer_hook(self, agen: object) -> None:
        """A generator that a dead process left is dropped, not closed."""


def _adopting(
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any],
    context: Any = None,  # noqa: ANN401 - asyncio's
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(work, loop=loop, context=context)
    process = _PROCESS.get() if context is None else context.get(_PROCESS)
    if process is not None:
        process.adopt(task)
    return task
