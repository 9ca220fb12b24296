"""The real clock."""

from __future__ import annotations

import asyncio
import time


class SystemClock:
    """Implements :class:`keeper.core.ports.Clock` with the machine's clocks."""

    def unix_ms(self) -> int:
        """Return the wall clock in milliseconds."""
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        """Return seconds that never go back."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)
