"""The second way to liquidate: ``Vault.liquidateCollateral`` sells a trader's collateral for the debt it has.

Whoever owes settlement tokens (unrealized losses count) and has deposited other tokens may lose some of those: anybody
pays settlement tokens and gets a token at its price less a discount. That is open when the account's value is below a
requirement somewhat higher than that of the positions, when the debt is more than a share of what the deposits count
for, or when it is more than an account may owe. The amount is said in either token; asking for more than the most is
refused, not cut. A share of what is paid goes to the insurance fund, which takes over the rest of the debt when neither
collateral nor a position is left.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.core.units import BigInt
from keeper.venues.perp_v2.liquidation import Refused
from keeper.venues.perp_v2.margin import Figures, collateral_value
from keeper.venues.perp_v2.market import CollateralNow, Now
from keeper.venues.perp_v2.math import (
    RATIO,
    WAD_DIGITS,
    from_settlement,
    mul_div,
    mul_div_up,
    mul_ratio,
    to_settlement,
)
from keeper.venues.perp_v2.state import Most, Terms

PAUSED = "Pausable: paused"
NOT_LIQUIDATABLE = "V_NL"
NOT_A_COLLATERAL = "V_TINAC"
SETTLEMENT_EXCEEDED = "V_MSAE"
COLLATERAL_EXCEEDED = "V_MCAE"
INSURANCE_FUND = "V_CSI"
BARE_REVERT = "0x"


class Sale(msgspec.Struct, frozen=True, gc=False):
    """A sale that goes through: base units; ``paid`` by the liquidator, of which ``fee`` to the insurance fund."""

    paid: int
    fee: int
    collateral: int


def debt_of(figures: Figures) -> int:
    """Return what an account owes in settlement tokens, unrealized losses included, 1e-18."""
    return max(-figures.settlement_value, 0)


def is_open(now: Now, terms: Terms, figures: Figures, threshold: int, decimals: int) -> bool:
    """Return ``isLiquidatable`` of an account that has deposited other tokens and may owe ``threshold``."""
    if figures.settlement_value + figures.pledged < mul_ratio(figures.abs_value, now.config.mm + terms.buffer):
        return True
    debt = debt_of(figures)
    return debt > mul_ratio(figures.pledged, terms.debt_ratio) or to_settlement(debt, decimals) > threshold


def is_sellable(terms: Terms, collateral: CollateralNow) -> bool:
    """Tell whether the contract can work out anything: it divides by discounted price and by what a fee leaves."""
    return terms.fee < RATIO and discounted(collateral).price > 0


def most_of(terms: Terms, collateral: CollateralNow, figures: Figures, held: int, decimals: int) -> Most:
    """Return ``getMaxRepaidSettlementAndLiquidatableCollateral`` of a sellable token of which so much is held."""
    owed = max(debt_of(figures), figures.initial)
    part = mul_ratio(owed, terms.sold) if owed > from_settlement(int(terms.dust), decimals) else owed
    repaid = mul_div(part, RATIO, RATIO - terms.fee)
    bought = bought_for(collateral, repaid)
    if bought > held:
        bought, repaid = held, collateral_value(discounted(collateral), held)
    return Most(BigInt(to_settlement(repaid, decimals)), BigInt(bought))


def discounted(collateral: CollateralNow) -> CollateralNow:
    """Return a collateral at the price that it is sold at."""
    return replace(collateral, price=mul_ratio(collateral.price, RATIO - collateral.discount))


def bought_for(collateral: CollateralNow, value: int) -> int:
    """Return what a value (1e-18) buys of a token at its discount; the order of the divisions is the contract's."""
    price, scale = discounted(collateral).price, 10**collateral.price_decimals
    finer: int = 10 ** max(collateral.decimals - WAD_DIGITS, 0)
    coarser: int = 10 ** max(WAD_DIGITS - collateral.decimals, 0)
    return mul_div_up(value * finer, scale, price) // coarser


def sale_of(
    terms: Terms, collateral: CollateralNow, most: Most, amount: int, decimals: int, *, in_settlement: bool
) -> Sale | Refused:
    """Return what an allowed sale comes to: ``amount`` is to be paid, or else is what is wanted of the token."""
    if amount > (most.repaid if in_settlement else most.collateral):
        return Refused(SETTLEMENT_EXCEEDED if in_settlement else COLLATERAL_EXCEEDED)
    paid, got = int(most.repaid), int(most.collateral)
    if in_settlement and amount < paid:
        paid, got = amount, bought_for(collateral, from_settlement(amount, decimals))
    elif not in_settlement and amount < got:
        paid, got = to_settlement(collateral_value(discounted(collateral), amount), decimals), amount
    return Sale(paid, mul_ratio(paid, terms.fee), got)
