"""Why a call reverted in its block: it is repeated, and what it says now is taken for what it said then.

A receipt says that a call failed, never why. Its cause is either in the state that its block began with, or came to be
within the block: somebody was faster, or a price recovered. The first is seen by repeating the call on the parent
block, the second on the block itself. The parent's answer comes first, because the block's may be the work of a later
transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from keeper.core.decisions import Intent
from keeper.core.errors import NodeRefused
from keeper.core.facts import RevertReason
from keeper.core.ids import Address, Hash32
from keeper.core.ports import Node
from keeper.core.venue import Ledger
from keeper.execution.answers import Request, at_block
from keeper.execution.preflight import call_object
from keeper.execution.receipts import Receipt
from keeper.execution.reverts import decode_revert


async def replay(
    node: Node, sender: Address, reverted: Sequence[tuple[Intent, Receipt]], ledgers: Mapping[str, Ledger]
) -> dict[Hash32, RevertReason]:
    """Repeat reverted calls, in one batch.

    Returns:
        The reasons by transaction; none for a call that succeeds on both blocks, or that the node cannot repeat.

    Raises:
        NodeError: no answer to any of them.
    """
    answers = await node.batch([request for each in reverted for request in _repeats(*each, sender)])
    reasons: dict[Hash32, RevertReason] = {}
    for (intent, receipt), parent, block in zip(reverted, answers[::2], answers[1::2], strict=True):
        revert_name = ledgers[intent.venue].revert_name
        reason = _reason(parent, revert_name) or _reason(block, revert_name)
        if reason is not None:
            reasons[receipt.tx_hash] = reason
    return reasons


def _repeats(intent: Intent, receipt: Receipt, sender: Address) -> tuple[Request, Request]:
    call = call_object(intent, sender)
    parent = hex(receipt.block_number - 1)
    return ("eth_call", [call, parent]), ("eth_call", [call, at_block(receipt.block_hash)])


def _reason(answer: object, revert_name: Callable[[bytes], str]) -> RevertReason | None:
    return decode_revert(answer, revert_name) if isinstance(answer, NodeRefused) else None
