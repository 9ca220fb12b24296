"""The engine's only time: what the ``ClockTicked`` facts say."""

from __future__ import annotations

import msgspec


class EngineClock(msgspec.Struct):
    """Wall clock and elapsed time, both in milliseconds.

    ``unix_ms`` is compared with block timestamps only. Everything measured in durations uses ``elapsed_ms``, the sum
    of the forward differences between ticks, so a wall clock that is set back neither freezes a guard nor refunds a
    budget.
    """

    unix_ms: int = 0
    elapsed_ms: int = 0

    def tick(self, unix_ms: int) -> None:
        """Take a new reading of the wall clock."""
        if self.unix_ms:
            self.elapsed_ms += max(0, unix_ms - self.unix_ms)
        self.unix_ms = unix_ms
