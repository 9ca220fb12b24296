"""Nonce slots: one signer on one chain, counted by the fold; the chain only checks the count.

A slot belongs to one intent for ever, and slots are contiguous. The next nonce is one more than the highest slot, so it
is known before any node is asked and is the same after a crash. Without any slot yet it is the mined count that the
chain reported first in this run.
"""

from __future__ import annotations

import msgspec

from keeper.core.errors import invariant
from keeper.core.ids import Hash32, to_hex

RECEIPT_GRACE_BLOCKS = 16
"""How long after a passed nonce the lane may look for a receipt before the slot counts as lost."""


class Slots(msgspec.Struct):
    """The slots of one signer on one chain. Every nonce up to ``highest`` has had its intent."""

    chain_id: int
    signer: str
    highest: int | None = None
    first_read: int | None = None

    @property
    def next_nonce(self) -> int | None:
        """The nonce of the next slot, ``None`` before the chain's count is known."""
        return self.first_read if self.highest is None else self.highest + 1

    def claim(self, nonce: int, intent_id: Hash32) -> None:
        """Bind the next slot to an intent.

        Raises:
            InvariantBroken: it is not the next slot.
        """
        name = f"nonce {nonce} of signer {self.signer} on chain {self.chain_id}"
        invariant(nonce == self.next_nonce, name, f"is not the next slot {self.next_nonce} for {to_hex(intent_id)}")
        self.highest = nonce

    def read(self, nonce: int) -> bool:
        """Take the chain's mined count; ``False`` when it is ahead of every slot we know."""
        if self.next_nonce is None:
            self.first_read = nonce
        expected = self.next_nonce
        return expected is not None and nonce <= expected

    def restart(self) -> None:
        """A new run reads the count afresh while no slot depends on it."""
        self.first_read = None
