"""The balance a signer has left for gas, if everything that it has signed costs the most that it may.

Nodes refuse a transaction that its sender could not pay for together with those before it, and one that is refused
stands in the way of all after it. So what is signed must be payable at its worst, before it is signed.
"""

from __future__ import annotations

from collections.abc import Iterable

from keeper.core.facts import AttemptPrepared, SignerRead
from keeper.core.units import Wei
from keeper.engine.gas_budget import committed_wei, worst_cost_wei
from keeper.engine.intents import TrackedIntent


class Purse:
    """Counts what one pass of a lane commits.

    Args:
        wallet: The newest reading of the signer; nothing is there before the first.
        unmined: Its slots that wait for a block.
    """

    def __init__(self, wallet: SignerRead | None, unmined: Iterable[TrackedIntent]) -> None:
        self._balance = wallet.balance_wei if wallet is not None else Wei(0)
        self._committed = sum((committed_wei(tracked) for tracked in unmined), Wei(0))

    def commit(self, attempt: AttemptPrepared, tracked: TrackedIntent) -> bool:
        """Take what an attempt may cost beyond what its slot holds back already; ``False`` when it is not there."""
        held = committed_wei(tracked)
        after = self._committed - held + max(held, worst_cost_wei(attempt))
        if after > max(self._balance, self._committed):  # what costs no more is never refused
            return False
        self._committed = after
        return True
