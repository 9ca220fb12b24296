"""A simulation tells a revert from a node's trouble, and speaks of one block."""

from __future__ import annotations

import pytest

from keeper.core.decisions import Intent
from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.facts import BlockHeader, PreflightSeen, RevertReason, TokenSpend
from keeper.core.ids import ZERO_ADDRESS, Address, Hash32, to_hex
from keeper.core.units import BaseAmount, TokenAmount, Wei
from keeper.core.venue import Epoch
from keeper.execution.preflight import read_simulation, simulation

SENDER = Address(b"\x22" * 20)
HEADER = BlockHeader(9, Hash32(b"\x09" * 32), Hash32(b"\x08" * 32), 0, 0, b"")
REVERTED = NodeRefused("eth_call", 3, "execution reverted", "0xbeef")
INTENT = Intent(
    intent_id=Hash32(b"\x01" * 32),
    kind="liquidation",
    venue="aave",
    chain_id=1,
    signer="main",
    account=ZERO_ADDRESS,
    epoch=Epoch(1, 0),
    to=Address(b"\x33" * 20),
    data=b"\xab",
    spend=TokenSpend(ZERO_ADDRESS, TokenAmount(0)),
    spend_base=BaseAmount(0),
    profit_base=BaseAmount(0),
    gas_price_wei_max=Wei(1),
    admitted_at_block=9,
    valid_until_block=19,
)


def read(called: object, estimated: object) -> PreflightSeen:
    """Read two answers."""
    return read_simulation(INTENT, HEADER, called, estimated, bytes.hex)


def test_success() -> None:
    """A call that succeeds gives its gas."""
    assert read("0x", "0x5208") == PreflightSeen(INTENT.intent_id, 9, HEADER.hash, 21_000, None)


def test_pinned() -> None:
    """Both requests are from the signer and on the state of the block's hash."""
    call = {"from": to_hex(SENDER), "to": to_hex(INTENT.to), "data": "0xab"}
    parameters = [call, {"blockHash": to_hex(HEADER.hash)}]
    assert simulation(INTENT, SENDER, HEADER) == (("eth_call", parameters), ("eth_estimateGas", parameters))


@pytest.mark.parametrize("answers", [(REVERTED, "0x5208"), ("0x", REVERTED), (REVERTED, REVERTED)])
def test_revert(answers: tuple[object, object]) -> None:
    """A revert of either answer is a revert."""
    assert read(*answers).revert == RevertReason("beef", b"\xbe\xef")


@pytest.mark.parametrize("place", [0, 1])
def test_trouble(place: int) -> None:
    """A refusal that is no revert is raised, whichever request it answers."""
    answers: list[object] = ["0x", "0x5208"]
    answers[place] = NodeRefused("eth_call", -32000, "header not found")
    with pytest.raises(NodeRefused):
        read(*answers)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("nonsense", [None, 1, "", "0xzz", "ok", []])
def test_nonsense(place: int, nonsense: object) -> None:
    """An answer of the wrong form is malformed, never a zero."""
    answers: list[object] = ["0x", "0x5208"]
    answers[place] = nonsense
    with pytest.raises(NodeMalformed):
        read(*answers)
