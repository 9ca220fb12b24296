"""The last look before a nonce is spent: would the call succeed on the head's state, and with how much gas?

One batch, pinned to the head's hash, so that both answers and the decision speak of the same state. A revert here costs
nothing; the same revert in a block costs the gas and the slot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keeper.core.decisions import Intent
from keeper.core.errors import NodeRefused
from keeper.core.facts import BlockHeader, PreflightSeen, RevertReason
from keeper.core.ids import Address, to_hex
from keeper.core.ports import Node
from keeper.core.units import Wei
from keeper.execution.answers import at_block, data, quantity
from keeper.execution.reverts import decode_revert


class Preflight(NamedTuple):
    """What the simulation showed, and the tip that the node suggests for each unit of gas."""

    seen: PreflightSeen
    tip: Wei


async def simulate(
    node: Node, intent: Intent, sender: Address, header: BlockHeader, revert_name: Callable[[bytes], str]
) -> Preflight:
    """Simulate an intent's call on the state of a block.

    Raises:
        NodeError: the node could not tell, for a reason that is not the contract's.
    """
    call = call_object(intent, sender)
    pinned = at_block(header.hash)
    called, estimated, tip = await node.batch(
        [("eth_call", [call, pinned]), ("eth_estimateGas", [call, pinned]), ("eth_maxPriorityFeePerGas", [])]
    )
    revert = _revert_of(called, revert_name) or _revert_of(estimated, revert_name)
    gas = 0
    if revert is None:
        data(called, "eth_call")
        gas = quantity(estimated, "eth_estimateGas")
    seen = PreflightSeen(intent.intent_id, header.number, header.hash, gas, revert)
    return Preflight(seen, Wei(quantity(tip, "eth_maxPriorityFeePerGas")))


def call_object(intent: Intent, sender: Address) -> dict[str, str]:
    """Return an intent's call as ``eth_call`` takes it."""
    return {"from": to_hex(sender), "to": to_hex(intent.to), "data": to_hex(intent.data)}


def _revert_of(answer: object, revert_name: Callable[[bytes], str]) -> RevertReason | None:
    return decode_revert(answer, revert_name) if isinstance(answer, NodeRefused) else None
