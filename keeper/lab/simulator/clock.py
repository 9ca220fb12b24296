"""The clock of a simulated machine: the wall clock may be set, the monotonic one cannot."""

from __future__ import annotations

import asyncio

START_UNIX = 1_700_000_000
"""When every simulated world begins, in seconds."""


class SimulatedClock:
    """Implements :class:`keeper.core.ports.Clock` in virtual time; the wall is off by ``offset_ms``."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.offset_ms = 0

    def unix_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return START_UNIX * 1000 + round(self._loop.time() * 1000) + self.offset_ms

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)
