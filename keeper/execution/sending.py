"""Handing signed bytes to a node. Whatever comes back is an answer, never an outcome."""

from __future__ import annotations

from keeper.core.errors import NodeError, NodeRefused
from keeper.core.facts import AttemptPrepared, AttemptSent
from keeper.core.ids import to_hex
from keeper.core.ports import Node
from keeper.execution.classify import Answer, classify_refusal

MESSAGE_CHARACTERS_MAX = 200


async def send(node: Node, provider: str, attempt: AttemptPrepared) -> AttemptSent:
    """Send an attempt that is durable already, and say what the node answered.

    No error leaves here: a call that failed may have delivered the bytes, which is what ``unknown`` says.
    """
    answer, message = await _answer(node, attempt)
    return AttemptSent(attempt.intent_id, attempt.tx_hash, provider, answer, message[:MESSAGE_CHARACTERS_MAX])


async def _answer(node: Node, attempt: AttemptPrepared) -> tuple[Answer, str]:
    try:
        named = await node.call("eth_sendRawTransaction", [to_hex(attempt.raw)])
    except NodeRefused as refusal:
        return classify_refusal(refusal), refusal.message
    except NodeError as error:
        return "unknown", str(error)
    if named != to_hex(attempt.tx_hash):
        return "unknown", f"answered {named!r:.80}, not the transaction's hash"
    return "accepted", ""
