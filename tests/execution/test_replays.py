"""The reason of a revert is looked for on the parent block, then on the block itself."""

from __future__ import annotations

import pytest
from msgspec import structs

from keeper.core.errors import NodeRefused, NodeUnreachable
from keeper.core.facts import RevertReason
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.units import Wei
from keeper.execution.preflight import call_object
from keeper.execution.receipts import Receipt
from keeper.execution.replays import replay
from tests.execution.lever import LeverVenue
from tests.execution.scripted import ScriptedNode
from tests.execution.test_preflight import INTENT, SENDER

TX = Hash32(b"\x0a" * 32)
RECEIPT = Receipt(TX, 16, Hash32(b"\x0b" * 32), succeeded=False, gas_used=21_000, gas_price=Wei(1))
LEDGERS = {INTENT.venue: LeverVenue(INTENT.venue, 1, Address(bytes(20)))}
ONE, TWO = (NodeRefused("eth_call", 3, "execution reverted", data) for data in ("0xbeef", "0xcafe"))
PRUNED = NodeRefused("eth_call", -32000, "missing trie node")


@pytest.mark.parametrize(
    ("parent", "block", "reason"),
    [
        (ONE, TWO, "beef"),
        (ONE, "0x", "beef"),
        ("0x", TWO, "cafe"),
        (PRUNED, TWO, "cafe"),
        ("0x", "0x", None),
        ("0x", PRUNED, None),
    ],
)
async def test_reason(parent: object, block: object, reason: str | None) -> None:
    """The parent's answer comes before the block's, and only when neither reverts is there no reason."""
    expected = {} if reason is None else {TX: RevertReason(reason, bytes.fromhex(reason))}
    assert await replay(ScriptedNode(parent, block), SENDER, [(INTENT, RECEIPT)], LEDGERS) == expected


async def test_where() -> None:
    """The same call is repeated on the parent block's number and on the block's hash."""
    node = ScriptedNode("0x", "0x")
    await replay(node, SENDER, [(INTENT, RECEIPT)], LEDGERS)
    call = call_object(INTENT, SENDER)
    assert node.asked == [
        ("eth_call", [call, "0xf"]),
        ("eth_call", [call, {"blockHash": to_hex(RECEIPT.block_hash)}]),
    ]


async def test_several() -> None:
    """Each transaction gets its own reason."""
    other = RECEIPT._replace(tx_hash=Hash32(b"\x0c" * 32))
    found = [(INTENT, RECEIPT), (structs.replace(INTENT, data=b"\xac"), other)]
    reasons = await replay(ScriptedNode(ONE, "0x", "0x", TWO), SENDER, found, LEDGERS)
    assert [(tx_hash, reason.name) for tx_hash, reason in reasons.items()] == [(TX, "beef"), (other.tx_hash, "cafe")]


async def test_trouble() -> None:
    """A node that does not answer has said nothing."""
    with pytest.raises(NodeUnreachable):
        await replay(ScriptedNode("0x", NodeUnreachable("p", "timed out")), SENDER, [(INTENT, RECEIPT)], LEDGERS)
