"""The last look before a nonce is spent: would the call succeed on the head's state, and with how much gas?

Both requests are pinned to the head's hash, so that the answers and the decision speak of the same state. A revert here
costs nothing; the same revert in a block costs the gas and the slot.
"""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.decisions import Intent
from keeper.core.errors import NodeRefused
from keeper.core.facts import BlockHeader, PreflightSeen, RevertReason
from keeper.core.ids import Address, to_hex
from keeper.execution.answers import Request, at_block, count, data
from keeper.execution.reverts import decode_revert


def simulation(intent: Intent, sender: Address, header: BlockHeader) -> tuple[Request, Request]:
    """Return the two requests that simulate an intent's call on the state of a block."""
    parameters = [call_object(intent, sender), at_block(header.hash)]
    return ("eth_call", parameters), ("eth_estimateGas", parameters)


def read_simulation(
    intent: Intent, header: BlockHeader, called: object, estimated: object, revert_name: Callable[[bytes], str]
) -> PreflightSeen:
    """Read the answers to :func:`simulation`.

    Raises:
        NodeError: the node could not tell, for a reason that is not the contract's.
    """
    revert = _revert_of(called, revert_name) or _revert_of(estimated, revert_name)
    gas = 0
    if revert is None:
        data(called, "eth_call")
        gas = count(estimated, "eth_estimateGas")
    return PreflightSeen(intent.intent_id, header.number, header.hash, gas, revert)


def call_object(intent: Intent, sender: Address) -> dict[str, str]:
    """Return an intent's call as ``eth_call`` takes it."""
    return {"from": to_hex(sender), "to": to_hex(intent.to), "data": to_hex(intent.data)}


def _revert_of(answer: object, revert_name: Callable[[bytes], str]) -> RevertReason | None:
    return decode_revert(answer, revert_name) if isinstance(answer, NodeRefused) else None
