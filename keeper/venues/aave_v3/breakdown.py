"""An account's margin term by term: cross margin, every collateral securing every debt.

The figures are those of :func:`keeper.venues.aave_v3.margin.account_data`: equity is collateral times threshold, the
requirement is the debt. What the contract cuts off the weighted sum stands in a line of its own.
"""

from __future__ import annotations

from collections.abc import Iterator

from keeper.core.margin import ACCOUNT, CUT, Bucket, MarginBreakdown, MarginKind, MarginLine
from keeper.core.units import BaseAmount, BigInt
from keeper.venues.aave_v3.margin import (
    Holding,
    Position,
    UserAccountData,
    account_data,
    debt_of,
    is_member,
    mode_of,
    price_in,
)
from keeper.venues.aave_v3.market import Market, Unknown
from keeper.venues.aave_v3.math import PERCENT, WAD, mul_div_ceil, percent_mul

WAD_PER_BPS = WAD // PERCENT


def breakdown_of(market: Market, position: Position) -> MarginBreakdown:
    """Return an account's margin term by term, in base currency, or the first figure that is missing."""
    data = account_data(market, position)
    if isinstance(data, Unknown):
        return MarginBreakdown(MarginKind.CROSS, (), data.reason)
    lines = [line for holding in position.holdings for line in _lines(market, position, holding)]
    cut = _equity(market, position, data) - sum(int(line.equity) for line in lines)
    if cut:
        lines.append(MarginLine(item=CUT, equity=BigInt(cut)))
    bucket = Bucket(name=ACCOUNT, unit="USD", scale=BigInt(BaseAmount.ONE), lines=tuple(lines))
    return MarginBreakdown(MarginKind.CROSS, (bucket,))


def _equity(market: Market, position: Position, data: UserAccountData) -> int:
    """Return what health is worked out from."""
    if not market.rules.member_lists:
        return percent_mul(data.total_collateral_base, data.current_liquidation_threshold)
    weighted = sum(_value(market, position, each) * _threshold(market, position, each) for each in position.holdings)
    return weighted // PERCENT


def _lines(market: Market, position: Position, holding: Holding) -> Iterator[MarginLine]:
    reserve = holding.reserve
    if holding.collateral:
        value, threshold = _value(market, position, holding), _threshold(market, position, holding)
        yield MarginLine(
            item="collateral",
            asset=reserve.asset,
            amount=BigInt(market.rules.supplied.balance(holding.supplied, reserve.income)),
            value=BigInt(value),
            weight_wad=BigInt(threshold * WAD_PER_BPS),
            equity=BigInt(value * threshold // PERCENT),
            exposure=BigInt(value * threshold // PERCENT),
        )
    owed = debt_of(market, holding)
    if owed:
        value = _owed_value(market, position, holding)
        yield MarginLine(
            item="debt",
            asset=reserve.asset,
            amount=BigInt(-owed),
            value=BigInt(-value),
            requirement=BigInt(value),
            exposure=BigInt(-value),
        )


def _threshold(market: Market, position: Position, holding: Holding) -> int:
    mode = mode_of(market, position)
    return (mode if is_member(mode, holding.reserve) else holding.reserve).threshold


def _price(market: Market, position: Position, holding: Holding) -> int:
    price = price_in(mode_of(market, position), holding.reserve)
    return 0 if isinstance(price, Unknown) else price


def _value(market: Market, position: Position, holding: Holding) -> int:
    """Return what a holding's collateral is worth, rounded as the contract rounds it."""
    reserve = holding.reserve
    if not holding.collateral:
        return 0
    balance = market.rules.supplied.balance(holding.supplied, reserve.income)
    return balance * _price(market, position, holding) // reserve.unit


def _owed_value(market: Market, position: Position, holding: Holding) -> int:
    """Return what a holding's debt counts for: in v3.0 rounded down once, in v3.6 rounded up."""
    price, unit, owed = _price(market, position, holding), holding.reserve.unit, debt_of(market, holding)
    return mul_div_ceil(owed, price, unit) if market.rules.member_lists else owed * price // unit
