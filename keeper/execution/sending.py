"""Handing signed bytes to a node. Whatever comes back is an answer, never an outcome.

All that a pass sends goes in one batch, lowest nonce first. A node may carry a batch out in any order: it then holds
the higher nonces back until the lower ones have come, or refuses them as too high, and a later pass sends them again.
"""

from __future__ import annotations

from collections.abc import Sequence

from keeper.core.errors import NodeError, NodeRefused
from keeper.core.facts import AttemptPrepared, AttemptSent
from keeper.core.ids import to_hex
from keeper.core.ports import Node
from keeper.execution.classify import Answer, classify_refusal

MESSAGE_CHARACTERS_MAX = 200


async def send(node: Node, provider: str, attempts: Sequence[AttemptPrepared]) -> list[AttemptSent]:
    """Send attempts that are durable already, in the order given, and say what the node answered to each.

    No error leaves here: a batch that failed may have delivered any of the bytes, which is what ``unknown`` says.
    """
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
