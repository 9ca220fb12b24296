"""Whatever a send gives back is an answer; only the transaction's own hash is a yes."""

from __future__ import annotations

import pytest
from msgspec import structs

from keeper.core.errors import NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.facts import AttemptPrepared, AttemptSent
from keeper.core.ids import Hash32, to_hex
from keeper.core.units import Wei
from keeper.execution.sending import MESSAGE_CHARACTERS_MAX, NamedNode, Sender
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
YES = to_hex(ATTEMPT.tx_hash)


async def send(nodes: list[NamedNode], attempts: list[AttemptPrepared]) -> list[AttemptSent]:
    """Send attempts to some nodes."""
    return await Sender(lambda: nodes).send(attempts)


async def answers(*script: object) -> list[str]:
    """Send as many attempts as the script has lines, and return what was answered to each."""
    return [sent.answer for sent in await send([("p", ScriptedNode(*script))], [ATTEMPT] * len(script))]


async def test_accepted() -> None:
    """The transaction's own hash is a yes, and the raw bytes are what was asked with."""
    node = ScriptedNode(YES)
    assert await send([("p", node)], [ATTEMPT]) == [
        AttemptSent(ATTEMPT.intent_id, ATTEMPT.tx_hash, "p", "accepted", "")
    ]
    assert node.asked == [("eth_sendRawTransaction", ["0x02ff"])]


async def test_in_order() -> None:
    """Attempts go out in the order given, and each keeps its own answer."""
    other = structs.replace(ATTEMPT, raw=b"\x02\xfe", tx_hash=Hash32(b"\x0b" * 32))
    node = ScriptedNode(YES, to_hex(other.tx_hash))
    assert [sent.tx_hash for sent in await send([("p", node)], [ATTEMPT, other])] == [ATTEMPT.tx_hash, other.tx_hash]
    assert [params for _, params in node.asked] == [["0x02ff"], ["0x02fe"]]


@pytest.mark.parametrize("answer", [None, True, "", "0x", to_hex(bytes(32)), ["0x"]])
async def test_another_hash(answer: object) -> None:
    """Any other answer says nothing."""
    assert await answers(answer) == ["unknown"]


@pytest.mark.parametrize("error", [NodeUnreachable("p", "timed out"), NodeMalformed("p", "answered HTML")])
async def test_no_clear_answer(error: Exception) -> None:
    """A time-out and a page of HTML say nothing of any transaction of the batch."""
    assert await answers(YES, error, YES) == ["unknown"] * 3


async def test_refusal() -> None:
    """A known refusal is classified and its text kept."""
    node = ScriptedNode(NodeRefused("p", -32000, "nonce too low: next 5"))
    sent = (await send([("p", node)], [ATTEMPT]))[0]
    assert (sent.answer, sent.message) == ("nonce_too_low", "nonce too low: next 5")


async def test_refused_among_others() -> None:
    """A refusal, also one that nobody knows, is of one transaction and says nothing of the others."""
    refusals = (NodeRefused("p", -32603, "oops"), NodeRefused("p", -32000, "transaction underpriced"))
    assert await answers(YES, *refusals, YES) == ["accepted", "unknown", "underpriced", "accepted"]


async def test_long_message() -> None:
    """A node cannot fill the journal with its text."""
    sent = (await send([("p", ScriptedNode(NodeRefused("p", -32000, "x" * 10**6)))], [ATTEMPT]))[0]
    assert len(sent.message) == MESSAGE_CHARACTERS_MAX


@pytest.mark.fault(6)
async def test_every_provider_gets_the_bytes() -> None:
    """One that takes a transaction and tells nobody, or one that is away, keeps it from no other."""
    silent, away, honest = ScriptedNode(YES), ScriptedNode(NodeUnreachable("away", "timed out")), ScriptedNode(YES)
    (sent,) = await send([("silent", silent), ("away", away), ("honest", honest)], [ATTEMPT])
    assert (sent.provider, sent.answer) == ("silent", "accepted")
    assert [len(node.asked) for node in (silent, away, honest)] == [1, 1, 1]


async def test_a_yes_outweighs_refusals_and_those_outweigh_silence() -> None:
    """What is recorded is the clearest answer, with the name of who gave it."""
    refusing, away = NodeRefused("p", -32000, "transaction underpriced"), NodeUnreachable("p", "timed out")
    replies = {"away": away, "refusing": refusing, "taking": YES}
    nodes: list[NamedNode] = [(name, ScriptedNode(reply)) for name, reply in replies.items()]
    (sent,) = await send(nodes, [ATTEMPT])
    assert (sent.provider, sent.answer) == ("taking", "accepted")
    (sent,) = await send([(name, ScriptedNode(replies[name])) for name in ("away", "refusing")], [ATTEMPT])
    assert (sent.provider, sent.answer) == ("refusing", "underpriced")
