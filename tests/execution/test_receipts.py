"""A receipt is read whole and for the transaction that was asked about, or not at all."""

from __future__ import annotations

import pytest

from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.ids import Hash32, to_hex
from keeper.core.units import Wei
from keeper.execution.receipts import Receipt, parse_receipt

TX = Hash32(b"\x0a" * 32)
BLOCK = Hash32(b"\x0b" * 32)
WIRE = {
    "transactionHash": to_hex(TX),
    "blockNumber": "0x10",
    "blockHash": to_hex(BLOCK),
    "status": "0x1",
    "gasUsed": "0x5208",
    "effectiveGasPrice": "0x3b9aca00",
    "logs": [],
}


@pytest.mark.parametrize(("status", "succeeded"), [("0x1", True), ("0x0", False)])
def test_receipt(status: str, succeeded: bool) -> None:  # noqa: FBT001 - an expected value
    """Every field is read, and a status of zero is a revert."""
    expected = Receipt(TX, 16, BLOCK, succeeded, 21_000, Wei(10**9))
    assert parse_receipt({**WIRE, "status": status}, TX) == expected


@pytest.mark.parametrize("field", [name for name in WIRE if name != "logs"])
@pytest.mark.parametrize("value", [None, "", "0x", "latest", 1])
def test_malformed(field: str, value: object) -> None:
    """A field that is missing or of the wrong form makes the whole receipt malformed."""
    with pytest.raises(NodeMalformed):
        parse_receipt({**WIRE, field: value}, TX)


def test_of_another_transaction() -> None:
    """A receipt of another transaction is malformed."""
    with pytest.raises(NodeMalformed, match="asked for"):
        parse_receipt(WIRE, Hash32(bytes(32)))


def test_refusal() -> None:
    """A refusal stays a refusal."""
    with pytest.raises(NodeRefused):
        parse_receipt(NodeRefused("eth_getTransactionReceipt", -32005, "limit exceeded"), TX)
