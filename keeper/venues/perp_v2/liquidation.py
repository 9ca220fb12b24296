"""What ``liquidate(trader, baseToken, size)`` would do now: the liquidator takes the position at the mark price.

The trader's position shrinks and its profit is realized; it pays a penalty, half to the liquidator (as a discount on
what the position taken over cost) and half to the insurance fund, all of it to the liquidator when the trader's account
value is below zero. The liquidator must have free collateral for what it then holds.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.core.ids import Address
from keeper.core.units import BigInt
from keeper.venues.perp_v2.margin import (
    Account,
    Figures,
    figures_of,
    is_liquidatable,
    known,
    pending_funding,
    position_value,
)
from keeper.venues.perp_v2.market import NOT_OPEN, Now, Unknown
from keeper.venues.perp_v2.math import DUST, RATIO, WAD, from_settlement, mul_div, mul_ratio, to_settlement
from keeper.venues.perp_v2.state import Position

WHOLE_BELOW = 100 * WAD
"""A position of at most this value (1e-18) is taken over whole."""

NOT_ENOUGH = "CH_NEFCI"
"""The contract's error when the liquidator's free collateral does not carry what it would hold."""


class Side(msgspec.Struct, frozen=True, gc=False):
    """What happens to one party's position, 1e-18: the change, the profit realized, and what it has afterwards."""

    exchanged_size: int
    exchanged_notional: int
    realized: int
    size: int
    open_notional: int


class Foretold(msgspec.Struct, frozen=True, gc=False):
    """A liquidation that goes through; amounts 1e-18, ``account_value_after`` in the settlement token's base units.

    ``penalty`` is what the trader pays: ``to_liquidator`` and ``to_insurance`` together. ``requirement_after`` is the
    trader's, ``free_collateral_after`` the liquidator's: below zero the contract refuses.
    """

    size: int
    notional: int
    penalty: int
    to_liquidator: int
    to_insurance: int
    trader: Side
    liquidator: Side
    account_value_after: int
    requirement_after: int
    free_collateral_after: int


class Refused(msgspec.Struct, frozen=True, gc=False):
    """The contract would revert with this error."""

    error: str


class Parties(msgspec.Struct, frozen=True):
    """The three accounts that a liquidation moves."""

    trader: Account
    liquidator: Account
    insurance: Account


def liquidatable_size(now: Now, account: Account, base: Address, figures: Figures, decimals: int) -> int | Unknown:
    """Return ``getLiquidatablePositionSize``: the most that may be taken over, signed."""
    market = known(now.markets.get(base))
    if isinstance(market, Unknown):
        return market
    size = int(account.positions.get(base, Position()).size)
    value = from_settlement(figures.account_value, decimals)
    if value >= figures.requirement or abs(size) < DUST:
        return 0
    worth = abs(position_value(size, market[0]))
    if worth <= WHOLE_BELOW or value < figures.requirement // 2:
        return size
    return mul_ratio(size, min(RATIO, mul_div(figures.abs_value, RATIO, 2 * worth)))


def foretell(now: Now, parties: Parties, base: Address, asked: int, decimals: int) -> Foretold | Refused | Unknown:
    """Return what a liquidation of ``asked`` (signed as the position; 0 for the most) would do."""
    told = foretell_funded(now, parties, base, asked, decimals)
    return Refused(NOT_ENOUGH) if isinstance(told, Foretold) and told.free_collateral_after < 0 else told


def foretell_funded(
    now: Now, parties: Parties, base: Address, asked: int, decimals: int
) -> Foretold | Refused | Unknown:
    """Return the same as if the liquidator's free collateral were enough."""
    figures, market = figures_of(now, parties.trader, decimals), now.markets.get(base)
    if market is not None and isinstance(market.mark, Unknown) and market.mark.reason == NOT_OPEN:
        return Refused("CH_MNO")
    if isinstance(figures, Unknown):
        return figures
    size = int(parties.trader.positions.get(base, Position()).size)
    if (error := _refusal(figures, size, asked, decimals)) is not None:
        return Refused(error)
    most = liquidatable_size(now, parties.trader, base, figures, decimals)
    if isinstance(most, Unknown):
        return most
    taken = most if asked == 0 or abs(asked) > abs(most) else asked
    return _taken_over(now, parties, base, taken, figures, decimals)


def _refusal(figures: Figures, size: int, asked: int, decimals: int) -> str | None:
    """Return the error of the checks that come before anything moves, in the contract's order."""
    if not is_liquidatable(figures, decimals):
        return "CH_EAV"
    if abs(size) < DUST:
        return "CH_PSZ"
    return "CH_WLD" if size * asked < 0 else None


def _taken_over(
    now: Now, parties: Parties, base: Address, size: int, figures: Figures, decimals: int
) -> Foretold | Refused | Unknown:
    market = known(now.markets.get(base))
    if isinstance(market, Unknown):
        return market
    mark, growth = market
    notional = mul_div(size, mark, WAD)
    penalty = mul_ratio(abs(notional), now.config.penalty)
    to_liquidator = penalty if figures.account_value < 0 else penalty // 2
    to_insurance = penalty - to_liquidator
    trader, trader_side = _traded(parties.trader, base, growth, -size, notional)
    trader = replace(trader, owed=trader.owed - penalty)
    after = figures_of(now, trader, decimals)
    if isinstance(after, Unknown):
        return after
    insurance = replace(parties.insurance, owed=parties.insurance.owed + to_insurance)
    if (short := _short_of_insurance(now, insurance, after, decimals)) is not None:
        return short
    liquidator, liquidator_side = _traded(parties.liquidator, base, growth, size, to_liquidator - notional)
    held = figures_of(now, liquidator, decimals)
    if isinstance(held, Unknown):
        return held
    return Foretold(
        *(abs(size), abs(notional), penalty, to_liquidator, to_insurance),
        *(trader_side, liquidator_side, after.account_value, after.requirement, held.free_collateral),
    )


def _short_of_insurance(now: Now, insurance: Account, after: Figures, decimals: int) -> Refused | Unknown | None:
    """Tell whether the insurance fund can bear what the trader would owe."""
    if after.account_value >= 0:
        return None
    fund = figures_of(now, insurance, decimals)
    if isinstance(fund, Unknown):
        return fund
    if isinstance(now.wallet, Unknown):
        return now.wallet
    capacity = to_settlement(fund.settlement_value, decimals) + now.wallet
    return Refused("CH_IIC") if capacity < -after.account_value else None


def _traded(account: Account, base: Address, growth: int, size: int, notional: int) -> tuple[Account, Side]:
    """Settle an account's funding in a market and exchange a size for a notional there."""
    before = account.positions.get(base, Position(growth=BigInt(growth)))
    realized = _realized(before, size, notional)
    after_size, after_notional = before.size + size, before.open_notional + notional - realized
    positions = dict(account.positions)
    if abs(after_size) < DUST and abs(after_notional) < DUST:
        positions.pop(base, None)
        after_size = after_notional = 0
    else:
        positions[base] = Position(BigInt(after_size), BigInt(after_notional), BigInt(growth))
    owed = account.owed - pending_funding(before, growth) + realized
    return replace(account, positions=positions, owed=owed), Side(size, notional, realized, after_size, after_notional)


def _realized(position: Position, size: int, notional: int) -> int:
    """Return ``getPnlToBeRealized``: nothing unless the position is reduced or turned round."""
    if not position.size or (position.size < 0) == (size < 0):
        return 0
    closed = abs(size) * WAD // abs(position.size)
    if closed <= WAD:
        return notional + mul_div(position.open_notional, closed, WAD)
    return int(position.open_notional) + mul_div(notional, WAD, closed)
