"""What the operator asks of the process while it runs."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress


class Signals:
    """SIGTERM or SIGINT asks to leave, a second one hurries; SIGHUP asks to read the configuration again."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.hurried = asyncio.Event()
        self.reload = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number, act in (
            (signal.SIGTERM, self._leave),
            (signal.SIGINT, self._leave),
            (signal.SIGHUP, self.reload.set),
        ):
            with suppress(NotImplementedError):
                loop.add_signal_handler(number, act)

    def _leave(self) -> None:
        (self.hurried if self.asked.is_set() else self.asked).set()
