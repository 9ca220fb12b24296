"""What gas costs: booked from receipts, and the most that intents in flight may still cost.

A receipt is booked once, whatever its transaction did: a revert costs as much as a success. A reorg takes its intent's
booking back.

Until there is a receipt an intent holds back its worst case, the dearest of its attempts at its highest fee: any one
of a slot can be mined, and a cancel, though newest, has less gas than the call before it. Before any attempt it is what
the venue expects at the head's price; the lane weighs what it really signs against the signer's balance.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Hash32
from keeper.core.units import Wei
from keeper.engine.intents import TrackedIntent
from keeper.engine.spend import HOUR_MS


class GasBooking(msgspec.Struct, frozen=True):
    """What one mined intent cost its signer, at a time of elapsed milliseconds."""

    at_ms: int
    signer: str
    intent_id: Hash32
    cost_wei: Wei


class GasWindow:
    """A rolling hour of bookings, oldest first."""

    def __init__(self, bookings: list[GasBooking] | None = None) -> None:
        self.bookings = bookings or []

    def book(self, booking: GasBooking) -> None:
        """Count a receipt, instead of an earlier one of the same intent, and drop what is older than an hour."""
        oldest = booking.at_ms - HOUR_MS
        self.take_back(booking.intent_id)
        self.bookings = [*(each for each in self.bookings if each.at_ms > oldest), booking]

    def take_back(self, intent_id: Hash32) -> None:
        """Forget an intent's booking."""
        self.bookings = [each for each in self.bookings if each.intent_id != intent_id]

    def spent(self, signer: str, elapsed_ms: int) -> Wei:
        """Return what a signer's gas has cost within the hour before ``elapsed_ms``."""
        oldest = elapsed_ms - HOUR_MS
        return sum((each.cost_wei for each in self.bookings if each.signer == signer and each.at_ms > oldest), Wei(0))


def worst_cost_wei(attempt: AttemptPrepared) -> Wei:
    """Return the most that an attempt may cost, beside any value."""
    return attempt.fee_wei_max * attempt.gas_limit


def committed_wei(tracked: TrackedIntent) -> Wei:
    """Return the most that an intent's slot may cost, zero without one."""
    return max((worst_cost_wei(sent.attempt) for sent in tracked.sent), default=Wei(0))


def reserved_wei(unmined: Iterable[TrackedIntent], gas_price: Wei) -> Wei:
    """Return what unmined intents may still cost together; ``gas_price`` is that of the unsigned."""
    return sum(
        (committed_wei(tracked) if tracked.sent else gas_price * tracked.intent.gas for tracked in unmined), Wei(0)
    )
