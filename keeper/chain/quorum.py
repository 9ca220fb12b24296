"""What several providers must say alike before anything is decided on it.

As many providers as the quorum are asked at the same time. One that fails is replaced by the next; one that is slow is
waited for: the quorum is never lowered silently. When they differ further ones are asked, one by one, until a strict
majority that is at least the quorum says the same. Who said otherwise is named, to be put in quarantine. Without such
a majority there is no answer, and nothing may be decided.

What is compared is the meaning of the answers, not their text: providers add fields and word reverts differently.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from keeper.chain.member import Member
from keeper.chain.rpc import RpcCall
from keeper.core.errors import KeeperError, NodeError, NodeMalformed, NodeRefused, NodeUnreachable

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Vote(Generic[Result]):
    """What a provider said, and what of it is compared."""

    member: Member
    value: Result
    key: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Election(Generic[Result]):
    """One question to several providers.

    Attributes:
        calls: The requests, pinned by block hash: what depends on the moment differs without anybody lying.
        quorum: How many must agree.
        read: Decodes the answers of one provider; its :class:`~keeper.core.errors.NodeError` is a failure of it.
        key: What of the decoded answers is compared.
        failed: Told of a provider whose answers could not be decoded.
    """

    calls: Sequence[RpcCall]
    quorum: int
    read: Callable[[list[object]], Result]
    key: Callable[[Result], object]
    failed: Callable[[Member, NodeError], None]

    async def decide(self, candidates: Sequence[Member]) -> tuple[Result, tuple[Member, ...]]:
        """Return what the majority says, and who says otherwise.

        Args:
            candidates: Whom to ask, in this order, no more of them than necessary.

        Raises:
            NodeError: too few answered, or no majority agrees.
            ConfigError: the last provider that is left serves another chain.
        """
        waiting, votes, errors = list(candidates), list[Vote[Result]](), list[KeeperError]()
        while (winners := _majority(votes, self.quorum)) is None and waiting:
            missing = max(1, self.quorum - max((len(party) for party in _parties(votes)), default=0))
            asked, waiting = waiting[:missing], waiting[missing:]
            for answer in await self._ask_all(asked):
                if isinstance(answer, Vote):
                    votes.append(answer)
                else:
                    errors.append(answer)
        if winners is None:
            raise self._undecided(votes, errors)
        return winners[0].value, tuple(vote.member for vote in votes if vote not in winners)

    async def _ask_all(self, members: Sequence[Member]) -> list[Vote[Result] | KeeperError]:
        async with asyncio.TaskGroup() as tasks:
            asked = [tasks.create_task(self._ask(member)) for member in members]
        return [each.result() for each in asked]

    async def _ask(self, member: Member) -> Vote[Result] | KeeperError:
        try:
            answers = await member.batch(self.calls)
        except KeeperError as error:
            return error
        try:
            value = self.read(answers)
        except NodeError as error:
            self.failed(member, error)
            return error
        return Vote(member, value, self.key(value))

    def _undecided(self, votes: Sequence[Vote[Result]], errors: Sequence[KeeperError]) -> KeeperError:
        if len(_parties(votes)) > 1:
            methods = ", ".join(dict.fromkeys(method for method, _ in self.calls))
            reason = f"{', '.join(vote.member.name for vote in votes)} disagree about {methods}"
            return NodeMalformed("quorum", reason, "nothing is decided on it; it is asked again")
        if errors:
            return errors[0]
        reason = f"{len(votes)} of the {self.quorum} providers that must agree can be asked"
        return NodeUnreachable("quorum", reason, "add a provider, or lower the chain's quorum")


def _parties(votes: Sequence[Vote[Result]]) -> list[list[Vote[Result]]]:
    """Return the votes by what they say; keys are compared, not hashed: they hold dictionaries."""
    parties: list[list[Vote[Result]]] = []
    for vote in votes:
        party = next((party for party in parties if party[0].key == vote.key), None)
        if party is None:
            parties.append([vote])
        else:
            party.append(vote)
    return parties


def _majority(votes: Sequence[Vote[Result]], quorum: int) -> list[Vote[Result]] | None:
    largest = max(_parties(votes), key=len, default=[])
    return largest if len(largest) >= quorum and 2 * len(largest) > len(votes) else None


def as_given(answers: list[object]) -> list[object]:
    """Return the answers of a batch. A revert is an answer of the chain; any other refusal is a failure.

    Raises:
        NodeRefused: the node refused a request other than by a revert.
    """
    for answer in answers:
        if isinstance(answer, NodeRefused) and not answer.reverted:
            raise answer
    return answers


def without_wording(answers: list[object]) -> object:
    """Return what to compare of plain answers: a revert by its data, as every client words it differently."""
    return [("reverted", answer.data) if isinstance(answer, NodeRefused) else answer for answer in answers]
