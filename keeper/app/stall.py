"""Sees from outside that the event loop itself stands still, when nothing inside it can tell.

A thread of its own wakes up at intervals and looks whether the loop has ticked since. After a while without a tick it
writes every thread's stack to stderr, once for each stall (no local variables: they hold keys). After a longer while it
ends the process with exit 3, without asking the loop, which cannot answer.

What counts is how often the thread itself woke up, not what the clock says: a process that was stopped, or a machine
that slept, has both of them wake up together, and the loop gets its chance first.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Callable
from typing import Self

LOOK_SECONDS = 0.5
DUMP_SECONDS = 5.0
"""A turn of the loop takes milliseconds; a snapshot of ten thousand accounts thirty of them."""
EXIT_SECONDS = 60.0
"""Longer than any garbage collection, page-in or sleeping disk that was ever seen to pass."""
LEAVE_SECONDS = 15.0
"""How long a stop in order may take once the process has decided to halt: a hanging disk cannot be waited for."""
HALTED = 3
STDERR = 2


class LoopGuard:
    """Watches one event loop from a thread. Use as a context; :meth:`tick` is called from the loop.

    Args:
        dump: Tells where every thread is; must not wait.
        leave: Ends the process, given its exit code; does not return in production.
    """

    def __init__(self, dump: Callable[[], None] | None = None, leave: Callable[[int], None] = os._exit) -> None:
        self._dump = dump or show_stacks
        self._leave = leave
        self._ticked = False
        self._begun = False
        self._still_looks = 0
        self._leaving_looks: int | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="loop-guard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def tick(self) -> None:
        """Say that the loop turns; what blocks it before the first time is a start, which takes what it takes."""
        self._ticked = self._begun = True

    def leave_soon(self) -> None:
        """Give the process a last while to stop in order, whether or not its loop turns."""
        self._leaving_looks = round(LEAVE_SECONDS / LOOK_SECONDS)

    def look(self) -> None:
        """Look once; called by the thread at intervals of :data:`LOOK_SECONDS`."""
        self._still_looks = 0 if self._ticked or not self._begun else self._still_looks + 1
        self._ticked = False
        if self._still_looks == round(DUMP_SECONDS / LOOK_SECONDS):
            self._dump()
        if self._leaving_looks is not None:
            self._leaving_looks -= 1
        if self._still_looks >= round(EXIT_SECONDS / LOOK_SECONDS) or self._leaving_looks == 0:
            self._leave(HALTED)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            self.look()


def show_stacks(file: int = STDERR) -> None:
    """Write every thread's stack to a file, without waiting for it: that nobody reads it may be why the loop stands."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # what does not fit is left out
    faulthandler.dump_traceback(writing, all_threads=True)  # no other thread runs meanwhile, so not to the file itself
    os.close(writing)
    with os.fdopen(reading, "rb") as stacks:
        text = stacks.read()
    said = f"the event loop stands still for {DUMP_SECONDS:.0f} s; where every thread is:\n".encode()
    threading.Thread(target=_write, args=(file, said + text), name="loop-guard-stacks", daemon=True).start()


def _write(file: int, text: bytes) -> None:
    while text:
        text = text[os.write(file, text) :]
