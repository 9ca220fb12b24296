"""The intent book in canonical order, as snapshots hold it."""

from __future__ import annotations

import msgspec

from keeper.core.decisions import IntentState
from keeper.core.ids import Hash32
from keeper.engine.breaker import VenueBreaker
from keeper.engine.gas_budget import GasBooking
from keeper.engine.intents import TrackedIntent
from keeper.engine.slots import Slots
from keeper.engine.spend import Charge
from keeper.engine.tries import Tries


class Ended(msgspec.Struct, frozen=True):
    """What stays known of an intent that has ended."""

    intent_id: Hash32
    state: IntentState
    nonce: int | None


class BookState(msgspec.Struct, frozen=True):
    """The whole book in canonical order, for snapshots."""

    tracked: list[TrackedIntent]
    ended: list[Ended]
    slots: list[Slots]
    halted: list[tuple[str, str]]
    tries: list[Tries]
    charges: list[Charge]
    breakers: list[VenueBreaker]
    gas: list[GasBooking]
