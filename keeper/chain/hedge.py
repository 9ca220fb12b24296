"""A read that takes too long is asked of a second provider as well, and the first good answer wins.

Too long is longer than nearly all of the provider's recent answers took, within bounds. So that a slow hour does not
double the load, each read earns only a share of a hedge, and a hedge costs a whole one. The loser is cancelled: it is
as slow as it was seen to be, and it has not failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from keeper.core.errors import NodeRefused
from keeper.core.ports import Clock

Result = TypeVar("Result")
QUANTILE = 0.95
BURST = 5.0
"""Hedges that can be saved up."""
READS = frozenset({
    "eth_blockNumber",
    "eth_call",
    "eth_chainId",
    "eth_estimateGas",
    "eth_feeHistory",
    "eth_gasPrice",
    "eth_getBalance",
    "eth_getBlockByHash",
    "eth_getBlockByNumber",
    "eth_getBlockReceipts",
    "eth_getCode",
    "eth_getLogs",
    "eth_getStorageAt",
    "eth_getTransactionByHash",
    "eth_getTransactionCount",
    "eth_getTransactionReceipt",
    "eth_maxPriorityFeePerGas",
})  # fmt: skip
"""What may be asked twice; anything else may have an effect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HedgePolicy:
    """When a second provider is asked.

    Attributes:
        seconds_min: Never sooner than after this long.
        seconds_max: Never later; also before the provider's latency is known.
        share_max: Hedges for each read, in the long run.
    """

    seconds_min: float = 0.1
    seconds_max: float = 2.0
    share_max: float = 0.05


class Hedges:
    """The budget of hedges of one chain.

    Args:
        policy: When, and how many.
        clock: Measures the delay.
        on_hedge: Told of each read that took too long: ``won`` by the second provider, ``lost`` to the first,
            ``failed`` by both, or ``denied`` by the budget.
    """

    def __init__(self, policy: HedgePolicy, clock: Clock, on_hedge: Callable[[str], None]) -> None:
        self._policy = policy
        self._clock = clock
        self._on_hedge = on_hedge
        self._tokens = 1.0

    def delay_seconds(self, usual: float | None) -> float:
        """Return after how long a second provider is asked, given what the first one's answers usually take."""
        if usual is None:
            return self._policy.seconds_max
        return min(self._policy.seconds_max, max(self._policy.seconds_min, usual))

    async def race(
        self,
        first: Callable[[], Awaitable[Result]],
        second: Callable[[], Awaitable[Result]],
        delay_seconds: float,
        good: Callable[[Result], bool],
    ) -> Result:
        """Return the first good answer. A refusal is an answer; when neither is good, the first one's is returned.

        Raises:
            NodeError: what ``first`` raised, when ``second`` gave no good answer either.
        """
        self._tokens = min(BURST, self._tokens + self._policy.share_max)
        main = asyncio.ensure_future(first())
        tasks: list[asyncio.Future[Result]] = [main]
        try:
            if await self._is_late(main, delay_seconds):
                tasks.append(asyncio.ensure_future(second()))
                return await self._winner(tasks, good)
            return await main
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _is_late(self, main: asyncio.Future[Result], delay_seconds: float) -> bool:
        """Wait for the answer or the delay; tell whether the delay came first and a hedge can be paid."""
        timer = asyncio.ensure_future(self._clock.sleep(delay_seconds))
        try:
            await asyncio.wait((main, timer), return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        if main.done():
            return False
        if self._tokens < 1:
            self._on_hedge("denied")
            return False
        self._tokens -= 1
        return True

    async def _winner(self, tasks: list[asyncio.Future[Result]], good: Callable[[Result], bool]) -> Result:
        main, backup = tasks
        pending = set(tasks)
        while pending:
            _, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task, outcome in ((main, "lost"), (backup, "won")):
                if task.done() and _is_answer(task, good):
                    self._on_hedge(outcome)
                    return await task
        self._on_hedge("failed")
        return await main


def _is_answer(task: asyncio.Future[Result], good: Callable[[Result], bool]) -> bool:
    error = task.exception()
    return good(task.result()) if error is None else isinstance(error, NodeRefused)
