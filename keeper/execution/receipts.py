"""The receipt of an attempt, read strictly."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.ids import Hash32, parse_hash, to_hex
from keeper.core.units import Wei
from keeper.execution.answers import count, given, quantity


class Receipt(NamedTuple):
    """An attempt in a block, which need not be a canonical one."""

    tx_hash: Hash32
    block_number: int
    block_hash: Hash32
    succeeded: bool
    gas_used: int
    gas_price: Wei


class _Wire(msgspec.Struct, rename="camel"):
    transaction_hash: str
    block_number: str
    block_hash: str
    status: str
    gas_used: str
    effective_gas_price: str


def parse_receipt(answer: object, tx_hash: Hash32) -> Receipt:
    """Read the receipt of one transaction.

    Raises:
        NodeRefused: it is a refusal.
        NodeMalformed: it lacks a field, or is of another transaction.
    """
    method = "eth_getTransactionReceipt"
    try:
        wire = msgspec.convert(given(answer), _Wire)
        named, block_hash = parse_hash(wire.transaction_hash), parse_hash(wire.block_hash)
    except NodeRefused:
        raise
    except (msgspec.ValidationError, ValueError) as error:
        raise NodeMalformed(method, f"answered no receipt: {error}", "check the node") from None
    if named != tx_hash:
        raise NodeMalformed(method, f"answered for {to_hex(named)}, asked for {to_hex(tx_hash)}", "check the node")
    return Receipt(
        tx_hash=tx_hash,
        block_number=count(wire.block_number, method),
        block_hash=block_hash,
        succeeded=quantity(wire.status, method) == 1,
        gas_used=count(wire.gas_used, method),
        gas_price=Wei(quantity(wire.effective_gas_price, method)),
    )
