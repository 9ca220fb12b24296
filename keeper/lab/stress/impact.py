"""What forced sales do to a price, and how it comes back.

The market's price is the path's times what sales have displaced it by. Two models:

* *pool*: a constant-product pool of ``x`` coins. Selling ``q`` pays ``P·q·x/(x+q)`` and leaves ``P·(x/(x+q))²``.
* *square-root*: selling ``q`` moves the price by ``Y·s·sqrt(q/V)`` of itself, with ``s`` the volatility and ``V`` the
  volume of a day (Almgren, Thum, Hauptmann and Li 2005; Tóth et al. 2011); the average paid is two thirds of the way.

Arbitrage brings the displacement back at a rate, and depth is least when the market moves most.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np

from keeper.risk.inputs import Floats, number

FALL_MAX = 0.95
"""The most of its price that one sale may take a coin down by the square-root model."""


class ImpactModel(msgspec.Struct, frozen=True, kw_only=True):
    """The market's parameters.

    Attributes:
        kind: Which model.
        depth_share: Coins in the pool (or traded in a day), as a share of all coins that are collateral at the start;
            infinite for a market that no sale moves.
        half_life_seconds: How long until arbitrage has taken back half of a displacement.
        depth_elasticity: Depth is divided by the stress index to this power.
        impact: ``Y`` of the square-root model.
        vol_daily: ``s`` of it.
    """

    kind: Literal["pool", "square-root"] = "pool"
    depth_share: float = 0.5
    half_life_seconds: float = 1800.0
    depth_elasticity: float = 0.5
    impact: float = 1.0
    vol_daily: float = 0.05


class Impact:
    """The displaced market of a run.

    Args:
        model: Its parameters.
        collateral: (2,) coins that are collateral at the start.
    """

    def __init__(self, model: ImpactModel, collateral: Floats) -> None:
        number("half_life_seconds", model.half_life_seconds, above=0)
        share = model.depth_share
        self._depth = collateral * (share if math.isinf(share) else number("depth_share", share, above=0))
        self._model = model
        self._stress = 1.0
        self.displaced = np.zeros(len(collateral))
        """(2,) the logarithm of what sales have done to each price, never above zero."""

    def begin_step(self, seconds: float, stress: float) -> None:
        """Let arbitrage work for a while; depth follows the stress index from here on."""
        self.displaced *= 2.0 ** (-seconds / self._model.half_life_seconds)
        self._stress = stress

    def reserve(self, coin: int) -> float:
        """Return the coins in the pool at its displaced price, or traded in a day."""
        depth: float = float(self._depth[coin]) / self._stress**self._model.depth_elasticity
        return depth * math.exp(-float(self.displaced[coin]) / 2) if self._model.kind == "pool" else depth

    def quoted(self, coin: int, price_usd: float, quantity: float) -> float:
        """Return what a sale would be paid, at a price of the market before it."""
        reserve = self.reserve(coin)
        if quantity <= 0 or math.isinf(reserve):
            return price_usd * max(0.0, quantity)
        if self._model.kind == "pool":
            return price_usd * quantity * reserve / (reserve + quantity)
        return price_usd * quantity * (1 - 2 * self._fall(quantity / reserve) / 3)

    def sell(self, coin: int, price_usd: float, quantity: float) -> float:
        """Sell coins into the market; return what is paid, and displace the price."""
        paid, reserve = self.quoted(coin, price_usd, quantity), self.reserve(coin)
        if quantity > 0 and not math.isinf(reserve):
            if self._model.kind == "pool":
                self.displaced[coin] += 2 * math.log(reserve / (reserve + quantity))
            else:
                self.displaced[coin] += math.log1p(-self._fall(quantity / reserve))
        return paid

    def _fall(self, share: float) -> float:
        """Return the square-root model's fall for a sale of that share of a day's volume."""
        return min(FALL_MAX, self._model.impact * self._model.vol_daily * math.sqrt(share))

    def best_sale(self, coin: int, price_usd: float, cost_usd: float) -> float:
        """Return how many coins earn most when each costs ``cost_usd``: until the next pays no more than that."""
        if price_usd <= cost_usd:
            return 0.0
        reserve = self.reserve(coin)
        if math.isinf(reserve):
            return math.inf
        if self._model.kind == "pool":
            return reserve * (math.sqrt(price_usd / cost_usd) - 1)
        return reserve * ((1 - cost_usd / price_usd) / (self._model.impact * self._model.vol_daily)) ** 2

    def cost_per_million(self, coin: int, price_usd: float) -> float:
        """Return what each million USD sold at once adds to the cost of selling, as a share: exact for the first."""
        share = 1e6 / (self.reserve(coin) * price_usd)
        if self._model.kind == "pool":
            return share / (1 + share)
        return 2 / 3 * self._fall(share)
