"""Implied volatility by expiry and strike, between quotes and a stated way beyond them, and refused elsewhere.

Within an expiry, variance is linear in log-moneyness ``k = ln(strike / forward)``. Between expiries, total variance
``w = vol**2 * t`` is linear in time at the same ``k``, so that the variance between any two dates is never negative as
long as w does not fall with time (Gatheral 2006, The Volatility Surface, chapter 3). Since w is piecewise linear in k,
to look at the quotes is to look everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import SECONDS_PER_YEAR, Bools, Floats, Integers, array, history, number

MONEYNESS_MARGIN = 0.1
"""How far beyond its lowest and highest quote, in log-moneyness, an expiry's volatility is taken as flat."""
EXPIRY_MARGIN_YEARS = 7 / 365
"""How far before the first and after the last expiry volatility is taken as flat."""
CALENDAR_SLACK = 0.005
"""By what share total variance may fall from one expiry to the next: what volatilities quoted to a tenth of a point
leave open. A real chain of marks falls by some ten-thousandths where smiles nearly touch."""
_ROUNDING = 1e-9
"""By how much a point may lie outside of what the margins allow."""


class Smile(NamedTuple):
    """The quotes of one expiry."""

    log_moneyness: Floats
    """(n,), ascending."""
    variances: Floats
    """(n,) annual."""


class VolSurface:
    """A surface without holes and without calendar arbitrage.

    Args:
        expiries_years: (E,) ascending and positive, in years of option time.
        forwards: (E,) forward prices, in the unit of the strikes.
        strikes: For each expiry its own ascending strikes, at least two.
        vols: For each expiry the annual volatilities at those strikes.
        moneyness_margin: See :data:`MONEYNESS_MARGIN`.
        expiry_margin_years: See :data:`EXPIRY_MARGIN_YEARS`.
        calendar_slack: See :data:`CALENDAR_SLACK`.

    Raises:
        RiskInputError: a quote is missing (NaN), not positive or out of order; an expiry has fewer than two; or total
            variance falls with time, by more than the slack, at some log-moneyness that two neighbouring expiries
            both quote, or at the money.
    """

    def __init__(
        self,
        expiries_years: ArrayLike,
        forwards: ArrayLike,
        strikes: Sequence[ArrayLike],
        vols: Sequence[ArrayLike],
        *,
        moneyness_margin: float = MONEYNESS_MARGIN,
        expiry_margin_years: float = EXPIRY_MARGIN_YEARS,
        calendar_slack: float = CALENDAR_SLACK,
    ) -> None:
        self._expiries = _ascending("expiries_years", history("expiries_years", expiries_years, shortest=1, above=0))
        count = len(self._expiries)
        self._log_forwards = np.log(array("forwards", forwards, ndim=1, length=count, above=0))
        if len(strikes) != count or len(vols) != count:
            raise RiskInputError(
                "surface", f"has {len(strikes)} rows of strikes and {len(vols)} of vols", f"give {count}"
            )
        self._moneyness_margin = number("moneyness_margin", moneyness_margin, least=0)
        self._expiry_margin = number("expiry_margin_years", expiry_margin_years, least=0)
        self._smiles = [
            _smile(place, log_forward, row, vols[place])
            for place, (log_forward, row) in enumerate(zip(self._log_forwards, strikes, strict=True))
        ]
        self._lowest = np.array([smile.log_moneyness[0] for smile in self._smiles])
        self._highest = np.array([smile.log_moneyness[-1] for smile in self._smiles])
        slack = number("calendar_slack", calendar_slack, least=0, most=1)
        for later in range(1, count):
            _no_calendar_arbitrage(later, self._expiries, self._smiles, slack)

    def forward(self, expiry_years: ArrayLike) -> Floats:
        """Return the forward price: log-linear in time between expiries, that of the nearest expiry beyond.

        Raises:
            RiskInputError: an expiry is not positive or not finite.
        """
        times = array("expiry_years", expiry_years, above=0)
        return np.asarray(np.exp(np.interp(times, self._expiries, self._log_forwards)))

    def vol(self, expiry_years: ArrayLike, strike: ArrayLike) -> Floats:
        """Return the annual volatility at each expiry and strike, which are broadcast.

        Raises:
            RiskInputError: a value is not positive, or lies further outside of the quotes than the margins allow.
        """
        times, strikes = array("expiry_years", expiry_years, above=0), array("strike", strike, above=0)
        try:
            times, strikes = np.broadcast_arrays(times, strikes)
        except ValueError:
            raise RiskInputError("strike", f"has shape {strikes.shape}", f"give one that fits {times.shape}") from None
        return self._at(times, np.log(strikes / self.forward(times)))

    def atm_vol(self, horizon_seconds: ArrayLike) -> Floats:
        """Return the annual volatility at the money forward, for each horizon.

        Raises:
            RiskInputError: a horizon is not positive, or lies further outside of the expiries than the margin allows.
        """
        times = array("horizon_seconds", horizon_seconds, above=0) / SECONDS_PER_YEAR
        return self._at(times, np.zeros_like(times))

    def _at(self, times: Floats, moneyness: Floats) -> Floats:
        first, last = self._expiries[0], self._expiries[-1]
        _inside("expiry_years", times, first - self._expiry_margin, last + self._expiry_margin)
        above = np.clip(np.searchsorted(self._expiries, times), 0, len(self._expiries) - 1)
        # Outside of the expiries, and upon one of them, a single smile speaks.
        alone = (times <= first) | (times >= last) | (self._expiries[above] == times)
        below = np.where(alone, above, above - 1)
        near, far = self._variances(below, moneyness), self._variances(above, moneyness)
        start, end = self._expiries[below], self._expiries[above]
        share = np.where(alone, 0.0, (times - start) / np.where(alone, 1.0, end - start))
        total = (1 - share) * near * start + share * far * end
        return np.asarray(np.sqrt(np.where(alone, near, total / times)))

    def _variances(self, places: Integers, moneyness: Floats) -> Floats:
        """Return the annual variance of the smile at each place, at each log-moneyness."""
        margin = self._moneyness_margin
        _inside("log_moneyness", moneyness, self._lowest[places] - margin, self._highest[places] + margin)
        variances = np.empty(moneyness.shape)
        for place in np.unique(places):
            asked: Bools = places == place
            smile = self._smiles[place]
            variances[asked] = np.interp(moneyness[asked], smile.log_moneyness, smile.variances)
        return variances


def _smile(place: int, log_forward: float, strikes: ArrayLike, vols: ArrayLike) -> Smile:
    name = f"strikes[{place}]"
    levels = _ascending(name, history(name, strikes, shortest=2, above=0))
    quotes = array(f"vols[{place}]", vols, ndim=1, length=len(levels), above=0)
    return Smile(np.log(levels) - log_forward, quotes**2)


def _ascending(name: str, values: Floats) -> Floats:
    if np.any(np.diff(values) <= 0):
        place = int(np.argmax(np.diff(values) <= 0)) + 1
        raise RiskInputError(
            f"{name}[{place}]", f"is {values[place]:g}, not above the one before", "give them ascending"
        )
    return values


def _no_calendar_arbitrage(later: int, expiries: Floats, smiles: list[Smile], slack: float) -> None:
    near, far = smiles[later - 1], smiles[later]
    quoted = np.concatenate((near.log_moneyness, far.log_moneyness))
    lowest = max(near.log_moneyness[0], far.log_moneyness[0])
    highest = min(near.log_moneyness[-1], far.log_moneyness[-1])
    points = np.append(quoted[(quoted >= lowest) & (quoted <= highest)], 0.0)
    before = np.interp(points, *near) * expiries[later - 1]
    after = np.interp(points, *far) * expiries[later]
    falls = after < before * (1 - slack) * (1 - _ROUNDING)
    if np.any(falls):
        place = int(np.argmax(falls))
        raise RiskInputError(
            f"vols[{later}]",
            f"let total variance fall from {before[place]:g} to {after[place]:g} at log-moneyness {points[place]:g}",
            "drop the stale quote: a calendar spread there would be free",
        )


def _inside(name: str, values: Floats, lowest: ArrayLike, highest: ArrayLike) -> None:
    low, high = np.broadcast_to(lowest, values.shape), np.broadcast_to(highest, values.shape)
    outside = (values < low - _ROUNDING) | (values > high + _ROUNDING)
    if np.any(outside):
        place = tuple(np.argwhere(outside)[0])
        raise RiskInputError(
            name, f"is {values[place]:g}", f"the surface answers from {low[place]:g} to {high[place]:g} there"
        )
