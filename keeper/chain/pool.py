"""Several providers of one chain behind one :class:`~keeper.core.ports.Node`: order, failover, pinning, quarantine.

Who behaves best of late is asked first, and among equals the operator's first choice (:mod:`keeper.chain.health`). A
provider that failed several times in a row goes to the end until its cool-down is over; when all are cooling down
they are still tried, because refusing to ask helps nobody. A refusal (an error object) is an answer and moves nothing,
except a rate limit. A provider that was caught lying is in quarantine and is not asked at all: no answer is better
than a wrong one.

One block's header, logs and reads must come from one provider, or a load balancer of our own making would serve an
empty answer from a node that lags: :meth:`ProviderPool.pinned` gives one for the length of an operation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Self, TypeVar
from weakref import WeakSet

import structlog

from keeper.chain.health import HealthPolicy, ProviderHealth, Standing
from keeper.chain.member import Member
from keeper.chain.quorum import Election, as_given, without_wording
from keeper.chain.rpc import Provider, RpcCall
from keeper.core.errors import (
    ConfigError,
    KeeperError,
    NodeError,
    NodeMalformed,
    NodeRefused,
    NodeUnreachable,
    invariant,
)
from keeper.core.ports import Clock, Node

Result = TypeVar("Result")
OnCount = Callable[[str, str], None]
"""Told of what happened and of which kind: ``("bloom_false_positive", "")``."""
LIMIT_CODES = (-32005, -32007, 429)
"""The request exceeds a limit of this provider; another may have a higher one. EIP-1474; QuickNode; Alchemy."""


def count_nothing(_what: str, _kind: str) -> None:
    """Count nothing."""


class ProviderPool:
    """A :class:`~keeper.core.ports.Node` made of several. Use it as an async context manager; it opens them all.

    Args:
        providers: In the order of preference, at least one.
        clock: Measures cool-downs.
        policy: When a provider is passed over.
        quorum: How many providers must give what is decided on, at most as many as there are.
        on_count: Told of each thing that is worth counting.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        clock: Clock,
        policy: HealthPolicy | None = None,
        *,
        quorum: int = 1,
        on_count: OnCount = count_nothing,
    ) -> None:
        invariant(0 < quorum <= len(providers), "provider pool", f"{len(providers)} providers, a quorum of {quorum}")
        policy = policy or HealthPolicy()
        self.quorum = quorum
        self.on_count = on_count
        self._members = [
            Member(provider, Standing(clock, policy), clock, self._failed, self._wrong_chain) for provider in providers
        ]
        self._charged: WeakSet[NodeError] = WeakSet()
        self._answered = False
        self._open = AsyncExitStack()
        self._log = structlog.get_logger()

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
            ConfigError: every provider serves another chain.
        """
        return await self._first_answer(lambda member: member.call(method, params), _is_limit)

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return the results of several requests from the first provider that answers, in order.

        A batch is never divided between providers: when one refuses any of it for a limit, the next is asked for all.

        Raises:
            NodeUnreachable: no answer from any provider.
            NodeMalformed: the last provider's answer is not JSON-RPC, or not one for every request.
            ConfigError: every provider serves another chain.
        """
        return await self._first_answer(
            lambda member: member.batch(calls), lambda results: any(_is_limit(result) for result in results)
        )

    @contextmanager
    def pinned(self) -> Iterator[Member]:
        """Give one provider for the length of an operation. A :class:`NodeError` that leaves it counts against it.

        Raises:
            NodeUnreachable: all providers are in quarantine.
        """
        member = self._order()[0]
        failures = member.standing.failures
        try:
            yield member
        except NodeError as error:
            if error not in self._charged:
                self._failed(member, error)
            raise
        if member.standing.failures == failures:  # else it failed meanwhile, and others answered in its place
            member.standing.succeeded()

    async def agreed(self, calls: Sequence[RpcCall], quorum: int) -> list[object]:
        """Return answers that ``quorum`` providers gave alike; reverts are values in their place.

        Args:
            calls: The requests, pinned by block hash.
            quorum: How many must agree.

        Raises:
            NodeError: too few answered, one refused other than by a revert, or no majority agrees: decide nothing.
            ConfigError: every provider serves another chain.
        """
        return await self.agreed_on(calls, quorum, as_given, without_wording)

    async def agreed_on(
        self,
        calls: Sequence[RpcCall],
        quorum: int,
        read: Callable[[list[object]], Result],
        key: Callable[[Result], object],
        first: Node | None = None,
    ) -> Result:
        """Return what ``quorum`` providers say alike; who says otherwise than the majority goes into quarantine.

        Args:
            calls: The requests, pinned by block hash.
            quorum: How many must agree.
            read: Decodes one provider's answers.
            key: What of the decoded answers is compared.
            first: Who is asked before all others.

        Raises:
            NodeError: too few answered, or no majority agrees: decide nothing.
            ConfigError: every provider serves another chain.
        """
        candidates = sorted(self._order(), key=lambda member: member is not first)
        election = Election(calls=calls, quorum=quorum, read=read, key=key, failed=self._failed)
        try:
            value, others = await election.decide(candidates)
        except NodeError as error:
            self._charged.add(error)  # whoever failed was charged; a dispute is nobody's alone
            raise
        for member in others:
            methods = ", ".join(dict.fromkeys(method for method, _ in calls))
            self.quarantine(member, f"answered {methods} otherwise than the majority")
        return value

    def healthy(self) -> tuple[Member, ...]:
        """Return the providers that neither cool down nor are in quarantine, best first.

        When there is none, all that are not in quarantine.
        """
        trusted = self._trusted()
        return tuple([member for member in trusted if member.standing.is_up] or trusted)

    def another(self, node: Node) -> Node:
        """Return the best provider that is not ``node``; ``node`` itself when it is the only one."""
        others = [member for member in self._trusted() if member is not node]
        return others[0] if others else node

    def lacks(self, node: Node, method: str) -> bool:
        """Tell whether a provider is known not to have a method."""
        return any(node is member and method in member.lacks for member in self._members)

    def remember_lack(self, node: Node, method: str) -> None:
        """Remember that a provider does not have a method."""
        for member in self._members:
            if node is member:
                member.lacks.add(method)

    def quarantine(self, node: Node, reason: str) -> None:
        """Ask a provider nothing for a long while: what it said cannot be trusted."""
        for member in self._members:
            if node in (member, member.provider) and member.standing.put_in_quarantine(reason):
                self._log.error("provider in quarantine", provider=member.name, reason=reason)

    def statistics(self) -> tuple[ProviderHealth, ...]:
        """Return how each provider stands, in the configured order."""
        return tuple(member.health() for member in self._members)

    async def _first_answer(
        self, ask: Callable[[Member], Awaitable[Result]], limited: Callable[[Result], bool]
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

    async def _answer(self, member: Member, ask: Callable[[Member], Awaitable[Result]]) -> Result:
        try:
            result = await ask(member)
        except NodeRefused:
            self._succeeded(member)
            raise
        self._succeeded(member)
        return result

    def _order(self) -> list[Member]:
        """Return whom to ask, best first.

        Raises:
            NodeUnreachable: all providers are in quarantine.
        """
        trusted = self._trusted()
        if not trusted:
            reasons = "; ".join(f"{member.name}: {member.standing.quarantine}" for member in self._members)
            raise NodeUnreachable(
                "providers", f"all are in quarantine ({reasons})", "add a provider that can be trusted"
            )
        return trusted

    def _trusted(self) -> list[Member]:
        trusted = [member for member in self._members if member.standing.quarantine is None]
        return sorted(trusted, key=lambda member: _rank(member.standing))

    def _succeeded(self, member: Member) -> None:
        self._answered = True
        member.standing.succeeded()

    def _failed(self, member: Member, error: NodeError) -> None:
        self._charged.add(error)
        member.standing.failed()

    def _wrong_chain(self, member: Member, error: ConfigError) -> KeeperError:
        """Stop at the start. Later, while another provider is left, only this one is lost."""
        if not self._answered or self.another(member) is member:
            return error
        self.quarantine(member, error.reason)
        return NodeUnreachable(error.thing, error.reason, error.remedy)


def _rank(standing: Standing) -> tuple[float, bool, int]:
    """Return what providers are sorted by; equal ones stay in the operator's order."""
    return standing.down_seconds, standing.lags, standing.band


def _is_limit(answer: object) -> bool:
    return isinstance(answer, NodeRefused) and answer.code in LIMIT_CODES
