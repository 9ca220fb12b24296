"""The operator's second opinion of an account, beside the venue's verdict: how near its line is, by a model of risk.

The venue says when an account may be closed; this says when a move of prices that is to be reckoned with would let it
be. Every figure stands with what it was made of, so that the opinion can be explained and worked out again.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import msgspec

from keeper.core.ids import Address, Hash32
from keeper.core.units import BaseAmount, BigInt, Wad

PPM = 10**6
UNMOVED_SECONDS_MAX = 90_000
"""A price that has moved before and says nothing new for longer is suspect: the slowest of the usual feeds speak once a
day, and an hour is their grace. It is told, and decides nothing: the venue itself goes by that price."""


class AssetPrice(msgspec.Struct, frozen=True):
    """What a margin moves with: an asset, and its price in the venue's own unit; ``None`` while that is not known."""

    asset: Address
    price: BigInt | None


MoveOf = Callable[[Address], float]
"""How far the price of an asset is taken to move, as a share of it: from 0 to below 1."""


class RiskStatus(Enum):
    """How near, in this order; unknown is none of them and never safe."""

    SAFE = "safe"
    """It survives more than the moves that are reckoned with."""
    WARNING = "warning"
    """It survives them, but not the same moves enlarged by the operator's warning factor."""
    CALL = "call"
    """A margin call: it would not survive them."""
    BREACHED = "breached"
    """The venue's own line is passed."""
    UNKNOWN = "unknown"
    """It cannot be told; the reason says why."""


class RiskComponent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What one asset contributes.

    Attributes:
        asset: The asset.
        exposure: How much of what is left moves with its price, in the bucket's unit.
        move_ppm: How far its price is reckoned to move over the horizon, 1e-6 of it.
        loss: What that costs the account, in the bucket's unit; of a portfolio its share of the joint loss.
        sequence: The fact in the journal that told the price.
    """

    asset: Address
    exposure: BigInt
    move_ppm: int
    loss: BigInt
    sequence: int


class RiskHealth(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The second opinion of one account at a block.

    Attributes:
        venue: The venue's name.
        account: Whose.
        status: How near the line is.
        reason: Why it is unknown, else ``None``.
        health_wad: Equity over requirement of the bucket that binds, before any move.
        stressed_wad: The same after the moves: below one it is called.
        surplus: What the bucket that binds has left, in its unit.
        loss: What the moves cost it, in its unit.
        breach_ppm: The probability that the line is touched within the horizon, 1e-6.
        loss_expected_base: What is expected to be owed beyond the collateral at the horizon's end, USD 1e-8.
        bucket: The bucket that binds.
        model: The model's name.
        params: Blake2b-256 of the parameters.
        components: What each asset contributes.
    """

    venue: str
    account: Address
    status: RiskStatus
    reason: str | None
    health_wad: Wad | None
    stressed_wad: Wad | None
    surplus: BigInt
    loss: BigInt
    breach_ppm: int
    loss_expected_base: BaseAmount
    bucket: str
    model: str
    params: Hash32
    components: tuple[RiskComponent, ...]
