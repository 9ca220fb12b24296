"""The market at one timestamp: what every account's figures are computed from, worked out once.

Interest is accrued to the timestamp as the contract would accrue it in a transaction there (``_accrueInterest``). A
figure that is missing is carried as the reason why.
"""

from __future__ import annotations

import msgspec
from msgspec.structs import replace

from keeper.core.ids import ZERO_ADDRESS
from keeper.core.units import BaseAmount, BigInt
from keeper.venues.morpho_blue.math import (
    ORACLE_PRICE_SCALE,
    UINT128_MAX,
    WAD,
    liquidation_incentive_factor,
    mul_div_down,
    taylor_compounded,
    to_assets_up,
    to_shares_down,
)
from keeper.venues.morpho_blue.rate import average_rate, utilization
from keeper.venues.morpho_blue.state import ONLY_ROW, Params, RateRow, State, Totals


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A figure is missing."""

    reason: str


class Market(msgspec.Struct, frozen=True):
    """The market at ``timestamp`` (seconds): totals with the interest up to there, ``price`` in 1e-36 loan tokens.

    ``bonus`` is the liquidation incentive factor in wad; ``doubt`` is set when nothing can be said of anybody. A whole
    loan token is ``unit`` base units and counts as ``loan_price`` (USD, 1e-8).
    """

    timestamp: int
    params: Params | None
    totals: Totals
    price: int
    bonus: int
    doubt: Unknown | None
    loan_price: int
    unit: int

    def value(self, loan_assets: int) -> BaseAmount:
        """Value an amount of the loan token, rounded down."""
        return BaseAmount(loan_assets * self.loan_price // self.unit)


class Position(msgspec.Struct, frozen=True, gc=False):
    """What an account has in the market, as the contract keeps it."""

    supply_shares: int
    borrow_shares: int
    collateral: int


def position_of(state: State, account: bytes) -> Position:
    """Return an account's position."""
    shares, owed, collateral = state.supply_shares.rows, state.borrow_shares.rows, state.collateral.rows
    return Position(shares.get(account, 0), owed.get(account, 0), collateral.get(account, 0))


def market_at(state: State, loan_price: int, timestamp: int) -> Market:
    """Return the market of a state at a timestamp (seconds, not before the state's block)."""
    params = state.params.get(ONLY_ROW)
    if params is None:
        doubt = Unknown("the market's creation was not seen; from_block must not be after it")
        return Market(timestamp, None, state.market, 0, WAD, doubt, loan_price, 1)
    totals, price, unit = accrued_at(state, timestamp), price_of(state), _unit(state)
    missing = next((each for each in (totals, price, unit) if isinstance(each, Unknown)), None)
    return Market(
        timestamp,
        params,
        state.market if isinstance(totals, Unknown) else totals,
        0 if isinstance(price, Unknown) else price,
        liquidation_incentive_factor(params.lltv),
        missing,
        loan_price,
        1 if isinstance(unit, Unknown) else unit,
    )


def _unit(state: State) -> int | Unknown:
    row = state.decimals.get(ONLY_ROW)
    return Unknown("the loan token's decimals are not known") if row is None else int(10**row.loan)


def price_of(state: State) -> int | Unknown:
    """Return the oracle's price; one that is zero, unreadable or of an earlier block is unknown."""
    row = state.price.get(ONLY_ROW)
    if row is None:
        return Unknown("the oracle's price was never read")
    if row.at != state.now.number:
        return Unknown(f"the oracle's price was last read at block {row.at}")
    if row.value is None:
        return Unknown(f"the oracle's price is unknown: {row.reason}")
    return int(row.value) or Unknown("the oracle's price is zero")


def accrued_at(state: State, timestamp: int) -> Totals | Unknown:
    """Return the totals with the interest up to a timestamp, or why it cannot be told."""
    totals, params = state.market, state.params[ONLY_ROW]
    if totals.doubt:
        return Unknown(totals.doubt)
    if params.irm == ZERO_ADDRESS or timestamp == totals.last_update:
        return replace(totals, last_update=timestamp)
    if not totals.borrow_assets:
        return replace(totals, last_update=timestamp)  # no interest on nothing, whatever the rate
    rate = rate_at(state, timestamp)
    if isinstance(rate, Unknown):
        return rate
    try:
        return accrued(totals, rate, timestamp)
    except OverflowError:
        return Unknown("its interest does not fit the contract's integers")


def rate_at(state: State, timestamp: int) -> int | Unknown:
    """Return the rate that an accrual at a timestamp would be charged at, wad per second."""
    totals, row = state.market, state.rate.get(ONLY_ROW)
    if row is None:
        return Unknown("the interest rate was never read")
    if row.at != state.now.number:
        return Unknown(f"the interest rate was last read at block {row.at}")
    if row.value is None:
        return Unknown(f"the interest rate is unknown: {row.reason}")
    return rate_of(row, totals, timestamp)


def rate_of(row: RateRow, totals: Totals, timestamp: int) -> int:
    """Return the rate that an answer of the model means at a timestamp; ``row`` has a value."""
    answer = int(row.value or 0)
    if not row.adaptive:
        return answer
    used = utilization(totals.supply_assets, totals.borrow_assets)
    return average_rate(used, answer, timestamp - totals.last_update)


def accrued(totals: Totals, rate: int, timestamp: int) -> Totals:
    """Return the totals after an accrual (Morpho._accrueInterest).

    Raises:
        OverflowError: the contract would panic.
    """
    growth = taylor_compounded(rate, timestamp - totals.last_update)
    interest = mul_div_down(totals.borrow_assets, growth, WAD)
    supply_assets, supply_shares = totals.supply_assets + interest, int(totals.supply_shares)
    if totals.fee:
        fee_assets = mul_div_down(interest, totals.fee, WAD)
        supply_shares += to_shares_down(fee_assets, supply_assets - fee_assets, supply_shares)
    if max(supply_assets, supply_shares) > UINT128_MAX:
        raise OverflowError
    return replace(
        totals,
        supply_assets=BigInt(supply_assets),
        supply_shares=BigInt(supply_shares),
        borrow_assets=BigInt(totals.borrow_assets + interest),
        last_update=timestamp,
    )


class Figures(msgspec.Struct, frozen=True, gc=False):
    """An account's figures, in loan tokens: its debt rounded up, what it may owe, what its collateral is worth.

    It is healthy while ``debt_max >= debt`` (Morpho._isHealthy); ``health`` is their ratio in wad rounded down, which
    is below one exactly when the account may be liquidated. Without debt it is ``None``.
    """

    debt: int
    debt_max: int
    collateral_value: int
    health: int | None


def figures(market: Market, position: Position) -> Figures | Unknown:
    """Return an account's figures, or why there are none. Without debt nothing is needed to call it healthy."""
    if market.doubt is not None:
        return market.doubt if position.borrow_shares or market.params is None else Figures(0, 0, 0, None)
    try:
        return _figures(market, position)
    except OverflowError:
        return Unknown("its figures do not fit the contract's integers")


def _figures(market: Market, position: Position) -> Figures:
    totals, params = market.totals, market.params
    debt = to_assets_up(position.borrow_shares, totals.borrow_assets, totals.borrow_shares)
    value = mul_div_down(position.collateral, market.price, ORACLE_PRICE_SCALE)
    debt_max = mul_div_down(value, 0 if params is None else params.lltv, WAD)
    return Figures(debt, debt_max, value, debt_max * WAD // debt if debt else None)
