"""Retries: of node errors only, bounded twice, spread out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.retry import NO_RETRY, RetryPolicy, retrying
from keeper.core.errors import ConfigError, KeeperError, NodeError, NodeUnreachable
from tests.chain_ingestion.fakes import JumpClock, Troubles


class Failing:
    """An operation that fails so many times."""

    def __init__(self, failures: int, error: KeeperError | None = None) -> None:
        self.calls = 0
        self._failures = failures
        self._error = error or NodeUnreachable("node", "down")

    async def __call__(self) -> int:
        """Fail, or return the number of the call."""
        self.calls += 1
        if self.calls <= self._failures:
            raise self._error
        return self.calls


async def test_node_errors_are_tried_again() -> None:
    """A node error is tried again after growing waits, and each is counted."""
    clock, troubles = JumpClock(), Troubles()
    policy = RetryPolicy(wait_seconds_first=1.0, wait_seconds_max=3.0, chance=lambda: 0.5)

    assert await retrying(Failing(3), policy, clock, troubles) == 4
    assert clock.slept == [0.75, 1.5, 2.25]
    assert len(troubles.errors) == 3


async def test_attempts_are_bounded() -> None:
    """After the last attempt its own error is raised."""
    operation = Failing(99)

    with pytest.raises(NodeError):
        await retrying(operation, RetryPolicy(attempts_max=3), JumpClock())
    assert operation.calls == 3


async def test_time_is_bounded() -> None:
    """No attempt starts after the time is over."""
    operation = Failing(99)
    policy = RetryPolicy(attempts_max=99, total_seconds_max=5.0, wait_seconds_first=2.0, chance=lambda: 1.0)

    with pytest.raises(NodeError):
        await retrying(operation, policy, JumpClock())
    assert operation.calls == 3


async def test_other_errors_pass() -> None:
    """What the operator must change is not tried again."""
    operation = Failing(1, ConfigError("chain_id", "wrong"))

    with pytest.raises(ConfigError):
        await retrying(operation, RetryPolicy(), JumpClock())
    assert operation.calls == 1


async def test_retries_can_be_switched_off() -> None:
    """Without retries one failure is the end."""
    operation = Failing(1)

    with pytest.raises(NodeError):
        await retrying(operation, NO_RETRY, JumpClock())
    assert operation.calls == 1


@given(failures=st.integers(1, 10_000), chance=st.floats(0, 1, exclude_max=True))
def test_waits_are_bounded(failures: int, chance: float) -> None:
    """However often it failed, a wait is positive and never above the ceiling."""
    assert 0 < RetryPolicy(wait_seconds_max=5.0, chance=lambda: chance).wait_seconds(failures) <= 5.0
