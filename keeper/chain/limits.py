"""How fast one provider may be asked: as fast as it lets us, and not at all while it asks us to wait.

A provider says that it is asked too often by HTTP status 429 or by a JSON-RPC error code. It is then left alone for as
long as its ``Retry-After`` says, else for a time that doubles with each limit in a row. That is no failure of it.
The number of requests in flight is halved each time, and grows by one for each round that is served (additive
increase, multiplicative decrease).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import parsedate_to_datetime

from keeper.chain.retry import RetryPolicy
from keeper.core.ports import Clock

RETRY_AFTER_SECONDS_MAX = 120.0
"""No header makes us wait longer: it may be wrong, and the provider may be our only one."""
BACKOFF = RetryPolicy(wait_seconds_first=1.0, wait_seconds_max=60.0)
"""How long to wait when the provider does not say it."""


class RateLimit:
    """What one provider lets through.

    Args:
        concurrency_max: Requests in flight while the provider never complains.
        clock: Measures waits.
        backoff: How long to wait when the provider does not say it.
    """

    def __init__(self, concurrency_max: int, clock: Clock, backoff: RetryPolicy = BACKOFF) -> None:
        self._concurrency_max = concurrency_max
        self._clock = clock
        self._backoff = backoff
        self._allowed = float(concurrency_max)
        self._running = 0
        self._freed = asyncio.Event()
        self._until = 0.0
        self._in_a_row = 0

    @property
    def wait_seconds(self) -> float:
        """How long the provider is still to be left alone."""
        return max(0.0, self._until - self._clock.monotonic())

    @property
    def concurrency(self) -> int:
        """How many requests may be in flight now."""
        return int(self._allowed)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait until one more request may be in flight, and hold its place."""
        while self._running >= self.concurrency:
            self._freed.clear()
            await self._freed.wait()
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1
            self._freed.set()

    def served(self) -> None:
        """Take note of a request that was served."""
        if self.wait_seconds == 0:
            self._in_a_row = 0
        self._allowed = min(float(self._concurrency_max), self._allowed + 1 / self._allowed)
        self._freed.set()

    def limited(self, retry_after: str | None = None) -> None:
        """Take note that the provider asks us to wait. What was under way at the same time is one complaint.

        Args:
            retry_after: The header of that name, when there was one: seconds or an HTTP date.
        """
        if self.wait_seconds == 0:
            self._in_a_row += 1
            self._allowed = max(1.0, self._allowed / 2)
            self._until = self._clock.monotonic() + self._backoff.wait_seconds(self._in_a_row)
        asked = self._seconds(retry_after or "")
        if asked is not None:
            self._until = self._clock.monotonic() + min(asked, RETRY_AFTER_SECONDS_MAX)

    def _seconds(self, retry_after: str) -> float | None:
        """Read a ``Retry-After`` header (RFC 9110, section 10.2.3); ``None`` when it says nothing."""
        text = retry_after.strip()
        if text.isascii() and text.isdigit():
            return float(text[:9])
        try:
            at = parsedate_to_datetime(text)
            return max(0.0, at.timestamp() - self._clock.unix_ms() / 1000)
        except (ValueError, OverflowError):
            return None
