"""How much was committed within the last hour.

An intent is charged when it is admitted, not when it is mined: a limit that waits for receipts does not limit a burst.
It is released when it ends without effect, and charged again, at its first time, when a reorg brings it back.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import Hash32
from keeper.core.units import BaseAmount

HOUR_MS = 3_600_000


class Charge(msgspec.Struct):
    """What one intent commits, since ``at_ms`` of elapsed time."""

    at_ms: int
    intent_id: Hash32
    spend_base: BaseAmount
    released: bool = False


class SpendWindow:
    """A rolling hour of charges, oldest first."""

    def __init__(self, charges: list[Charge] | None = None) -> None:
        self.charges = charges or []

    def charge(self, intent_id: Hash32, spend_base: BaseAmount, elapsed_ms: int) -> None:
        """Count an admitted intent, and drop what is older than an hour."""
        self.charges = [charge for charge in self.charges if charge.at_ms > elapsed_ms - HOUR_MS]
        self.charges.append(Charge(elapsed_ms, intent_id, spend_base))

    def release(self, intent_id: Hash32, *, released: bool) -> None:
        """Stop counting an intent that ended without effect, or count it again."""
        for charge in self.charges:
            if charge.intent_id == intent_id:
                charge.released = released

    def total(self, elapsed_ms: int) -> BaseAmount:
        """Return what is committed within the hour before ``elapsed_ms``, USD 1e-8."""
        oldest = elapsed_ms - HOUR_MS
        return sum(
            (charge.spend_base for charge in self.charges if charge.at_ms > oldest and not charge.released),
            BaseAmount(0),
        )
