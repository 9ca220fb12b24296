"""Whatever a send gives back is an answer; only the transaction's own hash is a yes."""

from __future__ import annotations

import pytest

from keeper.core.errors import NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.facts import AttemptPrepared, AttemptSent
from keeper.core.ids import Hash32, to_hex
from keeper.core.units import Wei
from keeper.execution.sending import MESSAGE_CHARACTERS_MAX, send
from tests.execution.scripted import ScriptedNode

ATTEMPT = AttemptPrepared(
    intent_id=Hash32(b"\x01" * 32),
    chain_id=1,
    signer="main",
    nonce=0,
    attempt=1,
    kind="call",
    tx_hash=Hash32(b"\x0a" * 32),
    raw=b"\x02\xff",
    gas_limit=21_000,
    fee_wei_max=Wei(1),
    priority_fee_wei_max=Wei(1),
    at_block=1,
)


async def test_accepted() -> None:
    """The transaction's own hash is a yes, and the raw bytes are what was asked with."""
    node = ScriptedNode(to_hex(ATTEMPT.tx_hash))
    assert await send(node, "p", ATTEMPT) == AttemptSent(ATTEMPT.intent_id, ATTEMPT.tx_hash, "p", "accepted", "")
    assert node.asked == [("eth_sendRawTransaction", ["0x02ff"])]


@pytest.mark.parametrize("answer", [None, True, "", "0x", to_hex(bytes(32)), ["0x"]])
async def test_another_hash(answer: object) -> None:
    """Any other answer says nothing."""
    assert (await send(ScriptedNode(answer), "p", ATTEMPT)).answer == "unknown"


@pytest.mark.parametrize(
    "error", [NodeUnreachable("p", "timed out"), NodeMalformed("p", "answered HTML"), NodeRefused("p", -32603, "oops")]
)
async def test_no_clear_answer(error: Exception) -> None:
    """A time-out, a page of HTML and an error nobody knows are all unknown."""
    assert (await send(ScriptedNode(error), "p", ATTEMPT)).answer == "unknown"


async def test_refusal() -> None:
    """A known refusal is classified and its text kept."""
    sent = await send(ScriptedNode(NodeRefused("p", -32000, "nonce too low: next 5")), "p", ATTEMPT)
    assert (sent.answer, sent.message) == ("nonce_too_low", "nonce too low: next 5")


async def test_long_message() -> None:
    """A node cannot fill the journal with its text."""
    sent = await send(ScriptedNode(NodeRefused("p", -32000, "x" * 10**6)), "p", ATTEMPT)
    assert len(sent.message) == MESSAGE_CHARACTERS_MAX
