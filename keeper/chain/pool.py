"""Several providers of one chain behind one :class:`~keeper.core.ports.Node`: failover, and pinning.

The order is the operator's: the first healthy provider serves. A provider that failed several times in a row goes to
the end until its cool-down is over; when all are cooling down they are still tried, because refusing to ask helps
nobody. A refusal (an error object) is an answer and moves nothing, except a rate limit.

One block's header, logs and reads must come from one provider, or a load balancer of our own making would serve an
empty answer from a node that lags: :meth:`ProviderPool.pinned` gives one for the length of an operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from keeper.chain.rpc import Provider, RpcCall
from keeper.core.errors import NodeError, NodeMalformed, NodeRefused, NodeUnreachable, invariant
from keeper.core.ports import Clock, Node

Result = TypeVar("Result")
LIMIT_CODES = (-32005, -32007, 429)
"""The request exceeds a limit of this provider; another may have a higher one. EIP-1474; QuickNode; Alchemy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthPolicy:
    """When a provider is passed over: after ``failures_max`` failures in a row, for ``cool_down_seconds``."""

    failures_max: int = 2
    cool_down_seconds: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderHealth:
    """How a provider stands: ``up`` is false while it cools down."""

    name: str
    up: bool
    failures: int


@dataclass(slots=True)
class _Member:
    provider: Provider
    failures: int = 0
    down_until: float = 0.0


class ProviderPool:
    """A :class:`~keeper.core.ports.Node` made of several. Use it as an async context manager; it opens them all.

    Args:
        providers: In the order of preference, at least one.
        clock: Measures cool-downs.
        policy: When a provider is passed over.
    """

    def __init__(self, providers: Sequence[Provider], clock: Clock, policy: HealthPolicy | None = None) -> None:
        invariant(providers, "provider pool", "no provider")
        self._members = [_Member(provider) for provider in providers]
        self._clock = clock
        self._policy = policy or HealthPolicy()
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for member in self._members:
            await self._open.enter_async_context(member.provider)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        await self._open.aclose()

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Return the ``result`` of one request from the first provider that answers.

        Raises:
            NodeUnreachable: no answer from any provider; the request may still have been carried out.
            NodeMalformed: the last provider's answer is not JSON-RPC.
            NodeRefused: a JSON-RPC error object.
            ConfigError: a provider serves another chain.
        """
        return await self._first_answer(lambda provider: provider.call(method, params), _is_limit)

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return the results of several requests from the first provider that answers, in order.

        A batch is never divided between providers: when one refuses any of it for a limit, the next is asked for all.

        Raises:
            NodeUnreachable: no answer from any provider.
            NodeMalformed: the last provider's answer is not JSON-RPC, or not one for every request.
            ConfigError: a provider serves another chain.
        """
        return await self._first_answer(
            lambda provider: provider.batch(calls), lambda results: any(_is_limit(result) for result in results)
        )

    @contextmanager
    def pinned(self) -> Iterator[Node]:
        """Give one provider for the length of an operation. A :class:`NodeError` that leaves it counts against it."""
        member = self._order()[0]
        try:
            yield member.provider
        except NodeError:
            self._failed(member)
            raise
        self._succeeded(member)

    def another(self, node: Node) -> Node:
        """Return the best provider that is not ``node``; ``node`` itself when it is the only one."""
        others = [member.provider for member in self._order() if member.provider is not node]
        return others[0] if others else node

    def statistics(self) -> tuple[ProviderHealth, ...]:
        """Return how each provider stands, in the configured order."""
        now = self._clock.monotonic()
        return tuple(
            ProviderHealth(name=member.provider.name, up=member.down_until <= now, failures=member.failures)
            for member in self._members
        )

    async def _first_answer(
        self, ask: Callable[[Provider], Awaitable[Result]], limited: Callable[[Result], bool]
    ) -> Result:
        *others, last = self._order()
        for member in others:
            try:
                result = await self._answer(member, ask)
            except (NodeUnreachable, NodeMalformed):
                continue
            except NodeRefused as refusal:
                if not _is_limit(refusal):
                    raise
                continue
            if not limited(result):
                return result
        return await self._answer(last, ask)

    async def _answer(self, member: _Member, ask: Callable[[Provider], Awaitable[Result]]) -> Result:
        try:
            result = await ask(member.provider)
        except NodeRefused:
            self._succeeded(member)
            raise
        except NodeError:
            self._failed(member)
            raise
        self._succeeded(member)
        return result

    def _order(self) -> list[_Member]:
        now = self._clock.monotonic()
        return sorted(self._members, key=lambda member: max(0.0, member.down_until - now))

    def _failed(self, member: _Member) -> None:
        member.failures += 1
        if member.failures >= self._policy.failures_max:
            member.down_until = self._clock.monotonic() + self._policy.cool_down_seconds

    def _succeeded(self, member: _Member) -> None:
        member.failures = 0
        member.down_until = 0.0


def _is_limit(answer: object) -> bool:
    return isinstance(answer, NodeRefused) and answer.code in LIMIT_CODES
