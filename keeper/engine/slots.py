"""Nonce slots: one signer on one chain, counted by the fold; the chain only checks the count.

A slot belongs to one intent for ever, and slots are contiguous. The next nonce is one more than the highest slot, so it
is known before any node is asked and is the same after a crash. Without any slot yet it is the mined count that the
chain reported first in this run.

A count above the next nonce, mined or waiting in a pool, is somebody else's work with our key, or ours that the journal
has lost: bytes leave the process only after their slot is durable. The operator alone can say that it is understood.
"""

from __future__ import annotations

import msgspec

from keeper.core.errors import invariant
from keeper.core.ids import Hash32, to_hex


class Slots(msgspec.Struct):
    """The slots of one signer on one chain. Every nonce up to ``highest`` has had its intent.

    Below ``released`` the operator knows of transactions that are not ours.
    """

    chain_id: int
    signer: str
    highest: int | None = None
    first_read: int | None = None
    released: int = 0

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

    def read(self, nonce: int, pending_nonce: int | None) -> str | None:
        """Take the chain's mined count, and with what waits in pools.

        Returns:
            What is ahead of every slot that we know, ``None`` when nothing is.
        """
        if self.next_nonce is None:
            self.first_read = nonce
        expected = self.next_nonce or 0
        if nonce > expected:
            return f"{nonce} transactions of its key are mined, and the journal knows of {expected}"
        if pending_nonce is not None and pending_nonce > expected:
            return f"{pending_nonce} transactions of its key are mined or pending, and the journal knows of {expected}"
        return None

    def release(self, nonce: int) -> None:
        """Go on from the chain's mined count, which the operator has looked into."""
        self.released = nonce
        if self.highest is None:
            self.first_read = nonce
        else:
            self.highest = max(self.highest, nonce - 1)

    def pass_over(self, nonce: int) -> None:
        """Count a slot as spent by an attempt that is not told here: what if asks about such histories.

        An intent that sits in it is lost to that attempt in the end, which is no stranger's.
        """
        if self.highest is not None and nonce <= self.highest:
            self.released = max(self.released, nonce + 1)
        self.highest = nonce if self.highest is None else max(self.highest, nonce)

    def restart(self) -> None:
        """A new run reads the count afresh while no slot depends on it."""
        self.first_read = None
