"""Margins that grow with size: brackets, leverage tiers, the open interest of a market, and factors of collateral.

*Brackets* (the form of Binance and of Hyperliquid). A bracket ``k`` has a rate, and an amount that makes the margin
continuous at its lower bound::

    MM(n) = n · rate_k - amount_k,    amount_k = amount_{k-1} + bound_{k-1} · (rate_k - rate_{k-1})

so amounts are never given, they follow from rates and bounds; where a venue publishes them they can be compared.
Hyperliquid publishes the largest leverage of each tier; the maintenance rate is half of the initial one at that
leverage.

*Open interest* (dydxprotocol/v4-chain 84d4664, ``x/perpetuals/types/liquidity_tier.go``). The initial fraction of a
market rises from its base to one while open interest goes from a lower to an upper cap::

    IMF = min(base + max(OI - lower, 0) / (upper - lower) · (1 - base), 1)

The contract computes with exact fractions and rounds the requirement up; the fraction itself is shown rounded down.
Maintenance is a share of the base requirement and does not move with open interest.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.core.units import Rounding, mul_div
from keeper.risk.inputs import Floats, array, integer, number

PPM = 1_000_000
"""One, in parts per million."""
AMOUNT_TOLERANCE_USD = 1e-6
"""How far a published amount may be from the one that makes brackets continuous."""


@dataclass(frozen=True, slots=True, eq=False)
class Brackets:
    """Margin rates by size.

    Attributes:
        bounds_usd: Where one bracket ends and the next begins, rising, shape (brackets - 1,).
        rates: Of each bracket, rising, shape (brackets,).
        limit_usd: The largest position allowed; infinite where there is none.
        amounts_usd: What each bracket's margin is lowered by, shape (brackets,).
    """

    bounds_usd: Floats
    rates: Floats
    limit_usd: float
    amounts_usd: Floats

    @classmethod
    def of(cls, bounds_usd: ArrayLike, rates: ArrayLike, limit_usd: float = float("inf")) -> Self:
        """Return brackets whose margin is continuous.

        Raises:
            RiskInputError: bounds or rates do not rise, a rate is outside (0, 1], there is not one rate more than
                bounds, or the limit is not above the last bound.
        """
        ends = array("bounds_usd", bounds_usd, ndim=1, above=0)
        shares = array("rates", rates, ndim=1, length=len(ends) + 1, above=0, most=1)
        if (np.diff(ends) <= 0).any() or (np.diff(shares) < 0).any():
            raise RiskInputError("brackets", "have bounds or rates that fall", "give both in rising order")
        if limit_usd != inf:
            number("limit_usd", limit_usd, above=float(ends[-1]) if len(ends) else 0.0)
        amounts = np.concatenate([[0.0], np.cumsum(ends * np.diff(shares))])
        return cls(ends, shares, limit_usd, amounts)

    @classmethod
    def of_leverage(cls, bounds_usd: ArrayLike, leverages: ArrayLike, limit_usd: float = float("inf")) -> Self:
        """Return maintenance brackets from the largest leverage of each tier: half of the initial margin at it.

        Raises:
            RiskInputError: as :meth:`of`, or a leverage is below 1.
        """
        return cls.of(bounds_usd, 0.5 / array("leverages", leverages, ndim=1, least=1), limit_usd)

    def margin_usd(self, notionals_usd: ArrayLike) -> Floats:
        """Return the margin of positions of these sizes, of any shape.

        Raises:
            RiskInputError: a size is negative or above the limit.
        """
        sizes = array("notionals_usd", notionals_usd, least=0, most=self.limit_usd)
        places = np.searchsorted(self.bounds_usd, sizes, side="left")
        margins: Floats = sizes * self.rates[places] - self.amounts_usd[places]
        return margins

    def check_amounts(self, amounts_usd: ArrayLike) -> None:
        """Compare published amounts with those that make the margin continuous.

        Raises:
            RiskInputError: one differs by more than :data:`AMOUNT_TOLERANCE_USD`; the margin would jump at its bound.
        """
        given = array("amounts_usd", amounts_usd, ndim=1, length=len(self.rates))
        wrong = np.flatnonzero(np.abs(given - self.amounts_usd) > AMOUNT_TOLERANCE_USD)
        if len(wrong):
            place = int(wrong[0])
            expected = f"give {self.amounts_usd[place]:g}, at which the margin does not jump"
            raise RiskInputError(f"amounts_usd[{place}]", f"is {given[place]:g}", expected)


BINANCE_2025 = Brackets.of((5e4, 2.5e5, 1e6, 1e7, 2e7), (0.004, 0.005, 0.01, 0.025, 0.05, 0.10), 5e7)
"""The brackets of a large perpetual market at Binance, as published in 2025."""
BINANCE_2025_AMOUNTS_USD = (0.0, 50.0, 1_300.0, 16_300.0, 266_300.0, 1_266_300.0)
"""The amounts published with them."""
HYPERLIQUID_BTC = Brackets.of_leverage((1.5e8,), (40.0, 20.0))
"""Hyperliquid's bitcoin market: 40 times up to 150 million USD, then 20 times."""


def share_ppm(amount: int, ppm: int, rounding: Rounding) -> int:
    """Return a share of an amount in parts per million, rounded as named.

    Raises:
        RiskInputError: the amount or the share is negative.
    """
    return mul_div(_natural("amount", amount), _natural("ppm", ppm), PPM, rounding)


class LiquidityTier(NamedTuple):
    """A tier of dYdX v4.

    Attributes:
        initial_ppm: The base initial fraction.
        maintenance_ppm: The share of the base requirement that is to be maintained.
        open_interest_lower: Up to where the fraction stays at its base, in quote quantums (1e-6 USD).
        open_interest_upper: From where it is one; zero when open interest does not count.
    """

    initial_ppm: int
    maintenance_ppm: int
    open_interest_lower: int = 0
    open_interest_upper: int = 0

    def initial_fraction_ppm(self, open_interest: int) -> int:
        """Return the initial fraction at an open interest, in parts per million, rounded down.

        Raises:
            RiskInputError: a parameter or the open interest is no natural number.
        """
        numerator, denominator = self._fraction(open_interest)
        return mul_div(PPM, numerator, denominator, Rounding.FLOOR)

    def initial(self, notional: int, open_interest: int = 0) -> int:
        """Return what must be secured to open positions of that size, in quote quantums, rounded up.

        Raises:
            RiskInputError: a parameter, the size or the open interest is no natural number.
        """
        return mul_div(_natural("notional", notional), *self._fraction(open_interest), Rounding.CEIL)

    def maintenance(self, notional: int) -> int:
        """Return what must be secured to be left alone: the share of the base requirement, each rounded up.

        Raises:
            RiskInputError: a parameter or the size is no natural number.
        """
        base = share_ppm(notional, self.initial_ppm, Rounding.CEIL)
        return share_ppm(base, self.maintenance_ppm, Rounding.CEIL)

    def _fraction(self, open_interest: int) -> tuple[int, int]:
        """Return the initial fraction as numerator and denominator, exactly."""
        integer("initial_ppm", self.initial_ppm, least=0, most=PPM)
        lower, upper = self.open_interest_lower, self.open_interest_upper
        _natural("open_interest", open_interest)
        if not upper or open_interest <= lower < upper:
            return self.initial_ppm, PPM
        if open_interest >= upper:
            return 1, 1
        width = upper - lower
        return self.initial_ppm * width + (open_interest - lower) * (PPM - self.initial_ppm), PPM * width


def _million(count: float) -> int:
    return round(count * PPM) * PPM


DYDX_GENESIS_TIERS = {
    "Large-Cap": LiquidityTier(20_000, 600_000),
    "Small-Cap": LiquidityTier(100_000, 500_000, _million(20), _million(50)),
    "Long-Tail": LiquidityTier(200_000, 500_000, _million(5), _million(10)),
    "Safety": LiquidityTier(1_000_000, 200_000, _million(2), _million(5)),
    "Isolated": LiquidityTier(50_000, 600_000, _million(0.5), _million(1)),
    "Mid-Cap": LiquidityTier(50_000, 600_000, _million(40), _million(100)),
    "FX": LiquidityTier(10_000, 500_000, _million(0.5), _million(1)),
}
"""The tiers of dYdX v4's genesis; open interest in quote quantums."""


class CollateralFactor(NamedTuple):
    """What share of a base asset's value secures (Derive's standard margin).

    Attributes:
        maintenance: The share that counts for maintenance.
        initial_scale: By what that is multiplied for the initial margin, at most one.
    """

    maintenance: float
    initial_scale: float = 1.0

    def secures_usd(self, value_usd: float, *, initial: bool) -> float:
        """Return what a value counts for.

        Raises:
            RiskInputError: a value is negative, or a share is none.
        """
        share = number("maintenance", self.maintenance, least=0, most=1)
        scale = number("initial_scale", self.initial_scale, least=0, most=1)
        return number("value_usd", value_usd, least=0) * share * (scale if initial else 1.0)


DERIVE_COLLATERAL = {
    "ETH": CollateralFactor(0.80, 0.9375),
    "BTC": CollateralFactor(0.75, 0.93),
    "USDT": CollateralFactor(0.98, 0.98),
    "wstETH": CollateralFactor(0.80, 0.9375),
    "LRT": CollateralFactor(0.65, 0.77),
    "sDAI": CollateralFactor(0.875, 0.915),
    "USDe": CollateralFactor(0.80, 0.875),
}
"""Derive's factors on its main network (lyra-finance/v2-core d69b557, ``scripts/config-mainnet.sol``); ``LRT`` stands
for each liquid restaking token."""


def _natural(name: str, value: int) -> int:
    return integer(name, value, least=0)
