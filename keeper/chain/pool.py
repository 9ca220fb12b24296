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

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from itertools import pairwise
from types import TracebackType
from typing import Self, TypeVar
from weakref import WeakSet

import structlog

from keeper.chain.health import HealthPolicy, ProviderHealth, Standing
from keeper.chain.hedge import QUANTILE, READS, HedgePolicy, Hedges
from keeper.chain.member import Member
from keeper.chain.quorum import Election, as_given, without_wording
from keeper.chain.rpc import Provider, RpcCall, is_limit
from keeper.chain.wire import HeadHint, decode_header
from keeper.core.errors import (
    ConfigError,
    KeeperError,
    NodeError,
    NodeLimited,
    NodeMalformed,
    NodeRefused,
    NodeUnreachable,
    invariant,
)
from keeper.core.ports import Clock, Node

Result = TypeVar("Result")
OnCount = Callable[[str, str], None]
"""Told of what happened and of which kind: ``("bloom_false_positive", "")``."""


def count_nothing(_what: str, _kind: str) -> None:
    """Count nothing."""


class ProviderPool:
    """A :class:`~keeper.core.ports.Node` made of several. Use it as an async context manager; it opens them all.

    Args:
        providers: In the order of preference, at least one.
        clock: Measures cool-downs.
        policy: When a provider is passed over.
        quorum: How many providers must give what is decided on, at most as many as there are.
        hedge: When a read is also asked of a second provider; ``None`` for never.
        on_count: Told of each thing that is worth counting.
    """

    def __init__(
        self,
        providers: Sequence[Provider],
        clock: Clock,
        policy: HealthPolicy | None = None,
        *,
        quorum: int = 1,
        hedge: HedgePolicy | None = None,
        on_count: OnCount = count_nothing,
    ) -> None:
        invariant(0 < quorum <= len(providers), "provider pool", f"{len(providers)} providers, a quorum of {quorum}")
        policy = policy or HealthPolicy()
        self.quorum = quorum
        self.on_count = on_count
        self._hedges = None if hedge is None else Hedges(hedge, clock, self._hedged)
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
        return await self._first_answer(lambda member: member.call(method, params), is_limit, (method,))

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return the results of several requests from the first provider that answers, in order.

        A batch is never divided between providers: when one refuses any of it for a limit, the next is asked for all.

        Raises:
            NodeUnreachable: no answer from any provider.
            NodeMalformed: the last provider's answer is not JSON-RPC, or not one for every request.
            ConfigError: every provider serves another chain.
        """
        return await self._first_answer(
            lambda member: member.batch(calls),
            lambda results: any(is_limit(result) for result in results),
            [method for method, _ in calls],
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
            if error not in self._charged and not isinstance(error, NodeLimited):
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

    async def compare_heads(self) -> HeadHint | None:
        """Ask every provider for its newest block, to know whose head lags.

        What they are compared with is the upper median: one provider that invents a block far ahead must not make all
        others look late.

        Returns:
            That head; ``None`` when nobody answered.
        """
        async with asyncio.TaskGroup() as tasks:
            asked = [(member, tasks.create_task(self._head_of(member))) for member in self._trusted()]
        heads = [(member, head) for member, task in asked if (head := task.result()) is not None]
        if not heads:
            return None
        best = sorted((head for _, head in heads), reverse=True)[(len(heads) - 1) // 2]
        for member, head in heads:
            member.standing.lag_blocks = max(0, best.number - head.number)
        return best

    async def _head_of(self, member: Member) -> HeadHint | None:
        try:
            header = decode_header(await member.call("eth_getBlockByNumber", ("latest", False)))
        except KeeperError:  # it was counted against it
            return None
        return HeadHint(header.number, header.hash)

    def quarantine(self, node: Node, reason: str) -> None:
        """Ask a provider nothing for a long while: what it said cannot be trusted."""
        for member in self._members:
            if node in (member, member.provider) and member.standing.put_in_quarantine(reason):
                self._log.error("provider in quarantine", provider=member.name, reason=reason)

    def statistics(self) -> tuple[ProviderHealth, ...]:
        """Return how each provider stands, in the configured order."""
        return tuple(member.health() for member in self._members)

    async def _first_answer(
        self, ask: Callable[[Member], Awaitable[Result]], limited: Callable[[Result], bool], methods: Sequence[str]
    ) -> Result:
        order = self._order()
        hedged = self._hedges is not None and READS.issuperset(methods)
        for member, backup in pairwise(order):
            try:
                result = await self._answer(member, ask, backup if hedged and member is order[0] else None, limited)
            except (NodeUnreachable, NodeMalformed):
                continue
            except NodeRefused as refusal:
                if not is_limit(refusal):
                    raise
                continue
            if not limited(result):
                return result
        return await self._answered_by(order[-1], ask)

    async def _answer(
        self,
        member: Member,
        ask: Callable[[Member], Awaitable[Result]],
        backup: Member | None,
        limited: Callable[[Result], bool],
    ) -> Result:
        """Ask a provider, and a second one as well when there is a backup and it takes too long."""
        if self._hedges is None or backup is None:
            return await self._answered_by(member, ask)
        return await self._hedges.race(
            lambda: self._answered_by(member, ask),
            lambda: self._answered_by(backup, ask),
            self._hedges.delay_seconds(member.standing.latency(QUANTILE)),
            lambda result: not limited(result),
        )

    async def _answered_by(self, member: Member, ask: Callable[[Member], Awaitable[Result]]) -> Result:
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
        return sorted(trusted, key=_rank)

    def _succeeded(self, member: Member) -> None:
        self._answered = True
        member.standing.succeeded()

    def _failed(self, member: Member, error: NodeError) -> None:
        self._charged.add(error)
        member.standing.failed()

    def _hedged(self, outcome: str) -> None:
        self.on_count("hedge", outcome)

    def _wrong_chain(self, member: Member, error: ConfigError) -> KeeperError:
        """Stop at the start. Later, while another provider is left, only this one is lost."""
        if not self._answered or self.another(member) is member:
            return error
        self.quarantine(member, error.reason)
        return NodeUnreachable(error.thing, error.reason, error.remedy)


def _rank(member: Member) -> tuple[float, bool, int]:
    """Return what providers are sorted by; equal ones stay in the operator's order."""
    standing = member.standing
    return max(standing.down_seconds, member.provider.limit.wait_seconds), standing.lags, standing.band
