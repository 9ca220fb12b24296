"""The markets at the block's timestamp: mark prices and funding growth, worked out once for all accounts.

A figure that is missing is carried as the reason why, and makes unknown only the accounts that need it.
"""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address
from keeper.venues.perp_v2.averages import funding_interval, growth_at, sqrt_twap
from keeper.venues.perp_v2.math import price_wad
from keeper.venues.perp_v2.state import ONLY_ROW, Config, Market, ReadRow, State, Terms, Ticks, index_key

MARKET_PRICE_SECONDS = 15
NOT_OPEN = "the market is not open"
NOT_READ = "was not read at this block"


class Unknown(msgspec.Struct, frozen=True, gc=False):
    """A figure is missing."""

    reason: str


class MarketNow(msgspec.Struct, frozen=True, gc=False):
    """A market at a block: mark price (1e-18) and funding growth (2^-96)."""

    mark: int | Unknown
    growth: int | Unknown


class CollateralNow(msgspec.Struct, frozen=True, gc=False):
    """A collateral at a block: ratio and discount (1e-6), its decimals, its price and the decimals of that."""

    ratio: int
    discount: int
    decimals: int
    price: int
    price_decimals: int


class Now(msgspec.Struct, frozen=True):
    """All of it: configuration, terms of a sale, markets by base token, collaterals by token, the fund's wallet."""

    config: Config
    terms: Terms | Unknown
    markets: dict[Address, MarketNow]
    collaterals: dict[Address, CollateralNow | Unknown]
    wallet: int | Unknown


def now_of(state: State) -> Now | Unknown:
    """Return the markets of a state at its block."""
    config = state.figures
    if config is None:
        return Unknown("the configuration was not read yet")
    markets = {base: _market(state, config, base, market) for base, market in state.listed()}
    collaterals = {Address(token): _collateral(state, Address(token)) for token in sorted(state.collaterals.rows)}
    terms = state.sale or Unknown("the terms of a sale were not read yet")
    wallet = _read(state, state.wallet.get(ONLY_ROW), "the insurance fund's balance")
    return Now(config, terms, markets, collaterals, wallet)


def _read(state: State, row: ReadRow | None, thing: str) -> int | Unknown:
    """Return what a view answered at this very block."""
    if row is None or row.at != state.now.number:
        return Unknown(f"{thing} {NOT_READ}")
    return Unknown(row.reason) if row.value is None else int(row.value)


def _market(state: State, config: Config, base: Address, market: Market) -> MarketNow:
    ticks = state.ticks.get(base)
    if market.doubt or market.status or ticks is None:
        reason = Unknown(market.doubt or (NOT_OPEN if market.status else f"the pool's price {NOT_READ}"))
        return MarketNow(reason, reason)
    return MarketNow(_mark(state, config, base, market, ticks), _growth(state, config, base, market, ticks))


def _index(state: State, base: Address, interval: int) -> int | Unknown:
    return _read(state, state.indexes.get(index_key(base, interval)), f"the index price over {interval} s")


def _mark(state: State, config: Config, base: Address, market: Market, ticks: Ticks) -> int | Unknown:
    """Return the median of three, once the contract's own view is known to answer, and to answer the same."""
    theirs = _read(state, state.marks.get(base), "the mark price")
    spot, average = _index(state, base, 0), _index(state, base, config.premium)
    for figure in (theirs, spot, average):
        if isinstance(figure, Unknown):
            return figure
    now = state.now.timestamp
    market_price, market_twap, premium_twap = (
        price_wad(sqrt_twap(market, ticks, now, interval))
        for interval in (MARKET_PRICE_SECONDS, config.mark_twap, config.premium)
    )
    with_premium = spot + premium_twap - average  # type: ignore[operator]  # neither is unknown
    ours = sorted((market_price, market_twap, with_premium))[1]
    return ours if ours == theirs else Unknown(f"the mark price is {theirs}, and {ours} by our own reckoning")


def _growth(state: State, config: Config, base: Address, market: Market, ticks: Ticks) -> int | Unknown:
    now = state.now.timestamp
    if market.settled in (0, now):
        return int(market.growth)
    if funding_interval(market, config, now) != config.twap:
        return Unknown(f"the market has not traded for {config.twap} s")
    index = _index(state, base, config.twap)
    return index if isinstance(index, Unknown) else growth_at(market, ticks, config, now, index)


def _collateral(state: State, token: Address) -> CollateralNow | Unknown:
    row = state.collaterals[token]
    price = _read(state, state.prices.get(token), "the collateral's price")
    if row.decimals is None or row.price_decimals is None:
        return Unknown(f"the collateral's decimals {NOT_READ}")
    return (
        price
        if isinstance(price, Unknown)
        else CollateralNow(row.ratio, row.discount, row.decimals, price, row.price_decimals)
    )
