"""What the chain says of open slots: receipts of every attempt, what the pool still knows, the mined count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Address, Hash32, parse_hash, to_hex
from keeper.core.ports import Node
from keeper.core.units import Wei
from keeper.engine.intents import TrackedIntent
from keeper.execution.answers import given, quantity


class Receipt(NamedTuple):
    """An attempt in a block, which need not be a canonical one."""

    tx_hash: Hash32
    block_number: int
    block_hash: Hash32
    succeeded: bool
    gas_used: int
    gas_price: Wei


class SlotsSeen(NamedTuple):
    """The chain's side of some slots, by intent.

    ``receipts`` has an entry for every intent that was asked about. ``pooled`` are the newest attempts that the node
    holds. ``mined_count`` is the signer's nonce after the node's newest block, ``tip`` the suggested priority fee.
    """

    receipts: Mapping[Hash32, tuple[Receipt, ...]]
    pooled: frozenset[Hash32]
    mined_count: int
    tip: Wei


class _Wire(msgspec.Struct, rename="camel"):
    transaction_hash: str
    block_number: str
    block_hash: str
    status: str
    gas_used: str
    effective_gas_price: str


async def look_up(node: Node, sender: Address, slots: Sequence[TrackedIntent]) -> SlotsSeen:
    """Ask one provider, in one batch, about every attempt of every slot.

    Raises:
        NodeError: no answer, or one that cannot be read. Nothing is then known of any slot.
    """
    attempts = [sent.attempt for tracked in slots for sent in tracked.sent]
    newest = [tracked.sent[-1].attempt for tracked in slots]
    answers = await node.batch(
        [
            ("eth_getTransactionCount", [to_hex(sender), "latest"]),
            ("eth_maxPriorityFeePerGas", []),
            *(("eth_getTransactionByHash", [to_hex(attempt.tx_hash)]) for attempt in newest),
            *(("eth_getTransactionReceipt", [to_hex(attempt.tx_hash)]) for attempt in attempts),
        ]
    )
    known, receipts = answers[2 : 2 + len(newest)], answers[2 + len(newest) :]
    pairs = zip(newest, known, strict=True)
    return SlotsSeen(
        receipts=_by_intent(slots, attempts, receipts),
        pooled=frozenset(attempt.tx_hash for attempt, answer in pairs if given(answer) is not None),
        mined_count=quantity(answers[0], "eth_getTransactionCount"),
        tip=Wei(quantity(answers[1], "eth_maxPriorityFeePerGas")),
    )


def _by_intent(
    slots: Sequence[TrackedIntent], attempts: Sequence[AttemptPrepared], answers: Sequence[object]
) -> dict[Hash32, tuple[Receipt, ...]]:
    found: dict[Hash32, tuple[Receipt, ...]] = {tracked.intent.intent_id: () for tracked in slots}
    for attempt, answer in zip(attempts, answers, strict=True):
        if given(answer) is not None:
            found[attempt.intent_id] += (parse_receipt(answer, attempt.tx_hash),)
    return found


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
        block_number=quantity(wire.block_number, method),
        block_hash=block_hash,
        succeeded=quantity(wire.status, method) == 1,
        gas_used=quantity(wire.gas_used, method),
        gas_price=Wei(quantity(wire.effective_gas_price, method)),
    )
