"""A life's connection to a node: requests and answers travel, get lost, and come late.

It stands where :class:`keeper.chain.rpc.Provider` does behind the shipped pool. A request takes effect at the node when
it arrives there, whatever becomes of the process that sent it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from random import Random
from types import TracebackType
from typing import Any, Self

from keeper.chain.limits import RateLimit
from keeper.core.errors import NodeLimited, NodeRefused, NodeUnreachable
from keeper.lab.simulator.faults import Chaos
from keeper.lab.simulator.loop import Process
from keeper.lab.simulator.node import Node

TIMEOUT_SECONDS = 10.0
LIMIT_EXCEEDED = -32005
RpcCall = tuple[str, Sequence[object]]


class Transport:
    """How a node is reached in a run: it outlives the processes that use it. ``down_until`` is in virtual seconds."""

    def __init__(self, node: Node, chaos: Chaos, chance: Random) -> None:
        self.node = node
        self.down_until = 0.0
        self.requests = 0
        self._chaos = chaos
        self._chance = chance
        self._world = Context()

    def send(self, calls: Sequence[RpcCall], answer: asyncio.Future[list[Any]]) -> None:
        """Carry requests to the node and its answers back, or not."""
        loop = asyncio.get_running_loop()
        self.requests += len(calls)
        to_node, back = (self._chance.uniform(0.001, 0.03) for _ in range(2))
        if self.down_until > loop.time() and not self._chaos.is_calm:
            loop.call_later(to_node, _fail, answer, self._unreachable("refused the connection"), context=self._world)
            return
        if self._chaos.strikes("rate-limit"):
            limits = [NodeRefused(self.node.name, LIMIT_EXCEEDED, "limit exceeded") for _ in calls]
            loop.call_later(to_node, _give, answer, limits, context=self._world)
            return
        if self._chaos.strikes("slow-answer"):
            back += self._chance.uniform(0.5, TIMEOUT_SECONDS - 1)
        lost = self._chaos.strikes("lost-request")
        cut = lost or self._chaos.strikes("lost-answer")
        if not lost:
            loop.call_later(to_node, self._arrive, calls, None if cut else answer, back, context=self._world)
        if cut:
            timeout = self._unreachable(f"no answer within {TIMEOUT_SECONDS} s")
            loop.call_later(TIMEOUT_SECONDS, _fail, answer, timeout, context=self._world)

    def _arrive(self, calls: Sequence[RpcCall], answer: asyncio.Future[list[Any]] | None, back: float) -> None:
        results = [self.node.answer(method, params) for method, params in calls]
        if answer is not None:
            asyncio.get_running_loop().call_later(back, _give, answer, results)

    def _unreachable(self, reason: str) -> NodeUnreachable:
        return NodeUnreachable(self.node.name, reason, "it is tried again")


class SimulatedProvider:
    """A :class:`~keeper.core.ports.Node` in one life.

    Args:
        transport: To the node.
        process: Whose connection it is.
        watch: Called with each request as it leaves the process: the oracles look here.
        limit: How much the node lets through; it is kept as the shipped provider keeps it.
    """

    def __init__(
        self,
        transport: Transport,
        process: Process,
        watch: Callable[[str, Sequence[RpcCall]], None],
        limit: RateLimit,
    ) -> None:
        self.name = transport.node.name
        self._transport = transport
        self._process = process
        self._watch = watch
        self.limit = limit

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        """Nothing is held open."""

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Return one result.

        Raises:
            NodeError: as the port says.
        """
        (result,) = await self.batch([(method, params)])
        if isinstance(result, NodeRefused):
            raise result
        return result

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return the results in order, refusals as values.

        Raises:
            NodeUnreachable: as the port says.
        """
        if self.limit.wait_seconds > 0:
            raise NodeLimited(self.name, "asked too often", "lower the request rate")
        answer: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        if not self._process.dead:
            self._watch(self.name, calls)
            self._transport.send(calls, answer)
        results = await answer
        limited = any(isinstance(result, NodeRefused) and result.code == LIMIT_EXCEEDED for result in results)
        (self.limit.limited if limited else self.limit.served)()
        return results


def _give(answer: asyncio.Future[list[Any]], results: list[Any]) -> None:
    if not answer.done():
        answer.set_result(results)


def _fail(answer: asyncio.Future[list[Any]], error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
