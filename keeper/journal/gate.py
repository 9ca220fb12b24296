"""Coroutines wait here for what the writer thread does.

The thread changes plain attributes and then calls :meth:`Gate.notify`; a coroutine registers first and looks second.
Whichever comes first, the change is either seen by the look or announced to the registered waiter: no lock is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

_Waiter = tuple[Callable[[], bool], "asyncio.Future[None]"]


class Gate:
    """Waiters with conditions, woken on their own event loop from any thread."""

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []

    async def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, and return while it does. It is looked at after every :meth:`notify`."""
        while not condition():  # again after waking: whoever was woken first may have changed it back
            waiter: _Waiter = (condition, asyncio.get_running_loop().create_future())
            self._waiters.append(waiter)
            try:
                if not condition():
                    await waiter[1]
            finally:
                self._waiters.remove(waiter)

    def notify(self) -> None:
        """Have all conditions looked at again. Called from any thread, after the change."""
        for loop in {future.get_loop() for _, future in tuple(self._waiters)}:
            with suppress(RuntimeError):  # the loop was closed meanwhile: nobody is waiting any more
                loop.call_soon_threadsafe(self._release)

    def _release(self) -> None:
        for condition, future in self._waiters:
            if not future.done() and condition():
                future.set_result(None)
