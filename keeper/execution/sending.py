"""Handing signed bytes to the providers. Whatever comes back is an answer, never an outcome.

All that a pass sends goes in one batch, lowest nonce first, to every healthy provider at the same time: if one of them
takes a transaction and tells nobody, the others have it. A node may carry a batch out in any order: it then holds the
higher nonces back until the lower ones have come, or refuses them as too high, and a later pass sends them again.

The first clear yes decides; who is slower than that has a moment more, so that the bytes reach it too. Without a yes a
refusal that is understood says more than silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.core.errors import NodeError, NodeRefused
from keeper.core.facts import AttemptPrepared, AttemptSent
from keeper.core.ids import to_hex
from keeper.core.ports import Node
from keeper.execution.classify import Answer, classify_refusal

MESSAGE_CHARACTERS_MAX = 200
GRACE_SECONDS = 0.25
"""How long the other providers have to answer once one has taken everything."""

NamedNode = tuple[str, Node]
"""A provider's name in the records, and the provider."""


async def send(providers: Sequence[NamedNode], attempts: Sequence[AttemptPrepared]) -> list[AttemptSent]:
    """Send attempts that are durable already, in the order given, and say what was answered to each, and by whom.

    No error leaves here: a batch that failed may have delivered any of the bytes, which is what ``unknown`` says.

    Args:
        providers: Who gets all of them, best first, at least one.
        attempts: Lowest nonce first.
    """
    tasks = [asyncio.create_task(_answers(name, node, attempts)) for name, node in providers]
    try:
        waiting = set(tasks)
        while waiting and not any(_all_accepted(task) for task in tasks):
            _, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        if waiting:
            await asyncio.wait(waiting, timeout=GRACE_SECONDS)
        answered = [task.result() for task in tasks if task.done()]
    finally:
        for task in tasks:
            task.cancel()
    return [min(answers, key=_rank) for answers in zip(*answered, strict=True)]


def _all_accepted(task: asyncio.Task[list[AttemptSent]]) -> bool:
    return task.done() and all(sent.answer == "accepted" for sent in task.result())


def _rank(sent: AttemptSent) -> int:
    return {"accepted": 0, "unknown": 2}.get(sent.answer, 1)


async def _answers(provider: str, node: Node, attempts: Sequence[AttemptPrepared]) -> list[AttemptSent]:
    replies: Sequence[object]
    try:
        replies = await node.batch([("eth_sendRawTransaction", [to_hex(attempt.raw)]) for attempt in attempts])
    except NodeError as error:
        replies = [error] * len(attempts)
    return [_sent(provider, attempt, reply) for attempt, reply in zip(attempts, replies, strict=True)]


def _sent(provider: str, attempt: AttemptPrepared, reply: object) -> AttemptSent:
    answer, message = _answer(attempt, reply)
    return AttemptSent(attempt.intent_id, attempt.tx_hash, provider, answer, message[:MESSAGE_CHARACTERS_MAX])


def _answer(attempt: AttemptPrepared, reply: object) -> tuple[Answer, str]:
    if isinstance(reply, NodeRefused):
        return classify_refusal(reply), reply.message
    if isinstance(reply, NodeError):
        return "unknown", str(reply)
    if reply != to_hex(attempt.tx_hash):
        return "unknown", f"answered {reply!r:.80}, not the transaction's hash"
    return "accepted", ""
