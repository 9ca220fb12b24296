"""The one retry policy of this package: named errors, bounded in attempts and in total time, jittered, counted.

Only :class:`~keeper.core.errors.NodeError` is retried: an outside system failed and may answer the next time. What
the operator must change, a halt and our own bugs pass straight through.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from keeper.core.errors import KeeperError, NodeError
from keeper.core.ports import Clock

Result = TypeVar("Result")
OnError = Callable[[KeeperError], None]
"""Told of every failure that was survived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How often, how long and how spread out an operation is tried again.

    Attributes:
        attempts_max: Attempts in all; 1 switches retries off.
        total_seconds_max: No further attempt starts after this long.
        wait_seconds_first: The longest wait after the first failure; doubles with each.
        wait_seconds_max: The ceiling of a wait.
        chance: Returns a number in [0, 1): where in the upper half of the wait it falls.
    """

    attempts_max: int = 5
    total_seconds_max: float = 20.0
    wait_seconds_first: float = 0.1
    wait_seconds_max: float = 5.0
    chance: Callable[[], float] = random.random

    def wait_seconds(self, failures: int) -> float:
        """Return how long to wait after that many failures in a row (at least one)."""
        doublings = min(failures - 1, 30)  # a float holds no more than the ceiling needs
        longest = min(self.wait_seconds_max, self.wait_seconds_first * (1 << doublings))
        return longest * (1 + self.chance()) / 2


NO_RETRY = RetryPolicy(attempts_max=1)
"""One attempt: what tests that watch a single failure use."""


def ignore(_: KeeperError) -> None:
    """Tell nobody."""


async def retrying(
    operation: Callable[[], Awaitable[Result]], policy: RetryPolicy, clock: Clock, on_error: OnError = ignore
) -> Result:
    """Return what ``operation`` returns, trying again as ``policy`` allows. ``on_error`` counts the retries.

    Raises:
        NodeError: the last failure, when the policy is exhausted.
    """
    started = clock.monotonic()

    def exhausted(state: RetryCallState) -> bool:
        elapsed = clock.monotonic() - started
        return state.attempt_number >= policy.attempts_max or elapsed >= policy.total_seconds_max

    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, NodeError):
            on_error(error)

    attempts = AsyncRetrying(
        sleep=clock.sleep,
        retry=retry_if_exception_type(NodeError),
        stop=exhausted,
        wait=lambda state: policy.wait_seconds(state.attempt_number),
        before_sleep=report,
        reraise=True,
    )
    return await attempts(operation)
