"""Handing signed bytes to the providers. Whatever comes back is an answer, never an outcome.

All that a pass sends goes in one batch, lowest nonce first, to every healthy provider at the same time: if one of them
takes a transaction and tells nobody, the others have it. A node may carry a batch out in any order: it then holds the
higher nonces back until the lower ones have come, or refuses them as too high, and a later pass sends them again.

The first clear yes decides, and nobody waits for the slow ones; but they are not cut off, or the bytes might reach only
a provider that tells nobody. Without a yes a refusal that is understood says more than silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from keeper.core.errors import KeeperError, NodeRefused
from keeper.core.facts import AttemptPrepared, AttemptSent
from keeper.core.ids import to_hex
from keeper.core.ports import Node
from keeper.execution.classify import Answer, classify_refusal

MESSAGE_CHARACTERS_MAX = 200
NamedNode = tuple[str, Node]
"""A provider's name in the records, and the provider."""


class Sender:
    """Hands attempts to all providers.

    Args:
        providers: Gives who gets all of them, best first, at least one; asked at each send.
    """

    def __init__(self, providers: Callable[[], Sequence[NamedNode]]) -> None:
        self._providers = providers
        self._slow: set[asyncio.Task[list[AttemptSent]]] = set()

    async def send(self, attempts: Sequence[AttemptPrepared]) -> list[AttemptSent]:
        """Send attempts that are durable already, and say what was answered to each, and by whom.

        No error leaves here: a batch that failed may have delivered any of the bytes, which is what ``unknown`` says.

        Args:
            attempts: Lowest nonce first.
        """
        tasks = [asyncio.create_task(_answers(name, node, attempts)) for name, node in self._providers()]
        waiting = set(tasks)
        while waiting and not any(_all_accepted(task) for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:  # bounded by the provider's own time-out
            self._slow.add(task)
            task.add_done_callback(self._slow.discard)
        answered = [task.result() for task in tasks if task not in waiting]
        return [min(answers, key=_rank) for answers in zip(*answered, strict=True)]


def _all_accepted(task: asyncio.Task[list[AttemptSent]]) -> bool:
    return task.done() and all(sent.answer == "accepted" for sent in task.result())


def _rank(sent: AttemptSent) -> int:
    return {"accepted": 0, "unknown": 2}.get(sent.answer, 1)


async def _answers(provider: str, node: Node, attempts: Sequence[AttemptPrepared]) -> list[AttemptSent]:
    replies: Sequence[object]
    try:
        replies = await node.batch([("eth_sendRawTransaction", [to_hex(attempt.raw)]) for attempt in attempts])
    except KeeperError as error:
        replies = [error] * len(attempts)
    return [_sent(provider, attempt, reply) for attempt, reply in zip(attempts, replies, strict=True)]


def _sent(provider: str, attempt: AttemptPrepared, reply: object) -> AttemptSent:
    answer, message = _answer(attempt, reply)
    return AttemptSent(attempt.intent_id, attempt.tx_hash, provider, answer, message[:MESSAGE_CHARACTERS_MAX])


def _answer(attempt: AttemptPrepared, reply: object) -> tuple[Answer, str]:
    if isinstance(reply, NodeRefused):
        return classify_refusal(reply), reply.message
    if isinstance(reply, KeeperError):
        return "unknown", str(reply)
    if reply != to_hex(attempt.tx_hash):
        return "unknown", f"answered {reply!r:.80}, not the transaction's hash"
    return "accepted", ""
