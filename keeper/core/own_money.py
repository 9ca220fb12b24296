"""What strategies propose for the operator's own money, beside slices of others' positions."""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address
from keeper.core.protection import ProtectionAction
from keeper.core.units import BaseAmount, BigInt, TokenAmount, Wad
from keeper.core.venue import Epoch


class ProtectionAlternative(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An action that was considered and beaten, and by what. ``health_after`` is ``None`` when no debt is left."""

    action: ProtectionAction
    asset: Address
    amount: TokenAmount
    health_after: Wad | None
    why_not: str


class ProtectionProposal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What would be done for one own account, with everything it was weighed by.

    Attributes:
        strategy: Which proposes it.
        venue: Where the account is.
        account: Whose health is too low.
        epoch: The version of its position.
        health_before: At the head.
        floor_health: Below which something is done.
        target_health: What is to be restored.
        action: What is done.
        asset: With which token.
        amount: The most of it that may be used.
        amount_base: What that is worth, USD 1e-8, rounded down.
        health_after: At the head's time, by the contract's arithmetic; ``None`` when no debt is left.
        gas_cost_base: What the gas is expected to cost, USD 1e-8.
        rationale: Why this one.
        alternatives: What it beat.
    """

    strategy: str
    venue: str
    account: Address
    epoch: Epoch
    health_before: Wad
    floor_health: Wad
    target_health: Wad
    action: ProtectionAction
    asset: Address
    amount: TokenAmount
    amount_base: BaseAmount
    health_after: Wad | None
    gas_cost_base: BaseAmount
    rationale: str
    alternatives: tuple[ProtectionAlternative, ...]

    @property
    def spent(self) -> tuple[TokenAmount, BaseAmount]:
        """What leaves the signer's wallet at most, as tokens and as their value; a reduction takes nothing of it."""
        if self.action == "reduce":
            return TokenAmount(0), BaseAmount(0)
        return self.amount, self.amount_base


class HedgeExposure(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What there is of a token at one place, ``"wallet"`` or a venue; amount and value are below zero for a debt."""

    token: Address
    where: str
    account: Address
    amount: BigInt
    value_base: BaseAmount


class HedgePlan(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How an exposure could be neutralised, or that it need not be.

    Attributes:
        strategy: Which proposes it.
        venue: The exchange.
        market: The base token.
        account: Whose position it would be.
        exposures: What the delta is made of, beside the position.
        position: What own accounts hold in the market already, signed, 1e-18.
        delta_base: The value of both, USD 1e-8: what the hedge neutralises.
        band_base: Within which nothing is done.
        size: What to trade, signed (below zero: sell), 1e-18; zero for nothing.
        size_base: Its value at the mark price.
        mark_base: The mark price of a whole base token.
        bound_base: The worst price that is accepted.
        why: In words.
    """

    strategy: str
    venue: str
    market: Address
    account: Address
    exposures: tuple[HedgeExposure, ...]
    position: BigInt
    delta_base: BaseAmount
    band_base: BaseAmount
    size: BigInt
    size_base: BaseAmount
    mark_base: BaseAmount
    bound_base: BaseAmount
    why: str
