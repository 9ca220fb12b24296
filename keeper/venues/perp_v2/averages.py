"""Averages of a pool's price over time, and the growth of funding that follows from them."""

from __future__ import annotations

from keeper.venues.perp_v2.math import Q96, WAD, divide, mul_ratio, price_x96, sqrt_ratio_at_tick
from keeper.venues.perp_v2.state import Checkpoint, Config, Market, Ticks

SPOT_SECONDS = 10
"""Below this the contracts take the pool's price instead of an average."""


def begun(tick: int) -> Ticks:
    """Return the history of a pool that has stood at a tick so far, however long that is."""
    return Ticks((Checkpoint(0, 0, tick),))


def moved(ticks: Ticks, timestamp: int, tick: int, kept_seconds: int) -> Ticks:
    """Return a history after a swap, without what is older than ``kept_seconds`` needs."""
    points = ticks.points
    last = points[-1]
    new = Checkpoint(timestamp, last.integral + last.tick * (timestamp - last.timestamp), tick)
    points = (*(points if timestamp > last.timestamp else points[:-1]), new)
    first = 0
    while first + 1 < len(points) and points[first + 1].timestamp <= timestamp - kept_seconds:
        first += 1
    return Ticks(points[first:])


def sqrt_twap(market: Market, ticks: Ticks, now: int, interval: int) -> int:
    """Return ``getSqrtMarketTwapX96``: the price averaged over the seconds before ``now``, its root in 2^-96."""
    if interval < SPOT_SECONDS:
        return int(market.sqrt_price or 0)
    grown = _integral(ticks, now) - _integral(ticks, now - interval)
    return sqrt_ratio_at_tick(divide(grown, interval))


def _integral(ticks: Ticks, timestamp: int) -> int:
    """Return the integral at a time that is not before what was kept."""
    point = next((each for each in reversed(ticks.points) if each.timestamp <= timestamp), ticks.points[0])
    return point.integral + point.tick * (timestamp - point.timestamp)


def funding_interval(market: Market, config: Config, now: int) -> int:
    """Return the seconds that funding averages over: fewer while the market is younger than that."""
    return min(config.twap, now - market.first_trade) if market.first_trade else 0


def growth_at(market: Market, ticks: Ticks, config: Config, now: int, index: int) -> int:
    """Return the funding growth (2^-96) at a time, with the index price (1e-18) over the same interval."""
    if market.settled in (0, now):
        return int(market.growth)
    mark_x96 = price_x96(sqrt_twap(market, ticks, now, funding_interval(market, config, now)))
    index_x96 = index * Q96 // WAD
    most = mul_ratio(index_x96, config.funding_max)
    premium = max(-most, min(most, mark_x96 - index_x96))
    return int(market.growth) + premium * (now - market.settled)
