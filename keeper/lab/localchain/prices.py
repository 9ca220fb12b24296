"""Move prices on the local chain, and the seeded crash that the demo walks."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, Receipt, encode_call, submit

VOLATILE = ("WETH", "WBTC")
FALL_MIN = 0.25
FALL_MAX = 0.30
TROUGH_AT = 0.8
RECOVERED = 0.25
NOISE = 0.006


def price_call(market: AaveMarket, feed: str, price: int) -> Call:
    """Return the call that sets a feed's answer (1e-8 USD); it emits ``AnswerUpdated``."""
    return Call(market.admin, feed, encode_call("set(int256)", price))


def price_calls(market: AaveMarket, prices: Mapping[str, int]) -> list[Call]:
    """Return the calls that set prices by ticker (1e-8 USD)."""
    return [price_call(market, market.asset(symbol).feed, price) for symbol, price in prices.items()]


async def move_prices(
    rpc: LabRpc, market: AaveMarket, prices: Mapping[str, int], *, mine: bool = True
) -> list[Receipt]:
    """Set prices by ticker (1e-8 USD), in one block; see :func:`~keeper.lab.localchain.transactions.submit`."""
    return await submit(rpc, price_calls(market, prices), mine=mine)


def price_walk(market: AaveMarket, seed: int, steps: int = 30) -> list[dict[str, int]]:
    """Return the crash: for each step the prices (1e-8 USD) of the volatile assets, by ticker.

    Each falls by its own 25 to 30 % until four fifths of the way and then recovers a quarter of the fall, with noise
    on the way that vanishes at the trough and at the end.
    """
    chance = random.Random(seed)  # noqa: S311 - a reproducible scenario, not a secret
    depths = {symbol: chance.uniform(FALL_MIN, FALL_MAX) for symbol in VOLATILE}
    return [
        {
            symbol: round(
                market.asset(symbol).price * (1 - depth * _fallen(step / steps)) * _wobble(chance, step / steps)
            )
            for symbol, depth in depths.items()
        }
        for step in range(1, steps + 1)
    ]


def _fallen(progress: float) -> float:
    """Return the share of the fall that has happened at this share of the way: a smooth drop, a straight recovery."""
    if progress < TROUGH_AT:
        return (1 - math.cos(math.pi * progress / TROUGH_AT)) / 2
    return 1 - RECOVERED * (progress - TROUGH_AT) / (1 - TROUGH_AT)


def _wobble(chance: random.Random, progress: float) -> float:
    """Return a noise factor around one, upwards only near the trough, so that the depth is what was drawn."""
    distance = abs(progress - TROUGH_AT) * (1 - progress)
    return 1 + chance.gauss(0, NOISE) * min(1.0, 5 * distance)
