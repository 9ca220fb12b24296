"""Do forecasts of value at risk hold? Exceptions counted, and three tests of their number and of their order.

An exception is a loss greater than the VaR that was forecast for it. A model that holds has them with probability
``p = 1 - level``, one independent of the other. All tests reject at five per cent.

Sources: P. Kupiec, *Techniques for Verifying the Accuracy of Risk Measurement Models*, Journal of Derivatives 3 (1995);
P. Christoffersen, *Evaluating Interval Forecasts*, International Economic Review 39 (1998); Basel Committee on Banking
Supervision, *Supervisory framework for the use of "backtesting" in conjunction with the internal models approach to
market risk capital requirements* (1996), table 2.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy.special import bdtr, bdtrc, chdtrc, xlog1py, xlogy

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Bools, Floats, history, number, whole
from keeper.risk.tail import checked_level, normal_var_z, residuals, student_var_z
from keeper.risk.volatility import START_DAYS, ewma_variances

SIGNIFICANCE = 0.05
"""A test rejects where what was seen is less likely than this under the model."""
STUDENT_NU = 4.0
"""Degrees of freedom of the model with a fat tail that is not estimated."""
BASEL_DAYS = 250
YELLOW_FROM, RED_FROM = 0.95, 0.9999
"""The zones by the probability of so many exceptions or fewer."""
PLUS_FACTORS = {5: 0.40, 6: 0.50, 7: 0.65, 8: 0.75, 9: 0.85}
"""What the yellow zone of 250 days adds to the multiplier of 3, by exceptions."""


class Model(StrEnum):
    """A way to forecast the VaR of the next day."""

    EWMA_NORMAL = "ewma-normal"
    """EWMA variance and the normal quantile."""
    EWMA_STUDENT = "ewma-student"
    """EWMA variance and the quantile of Student's t with four degrees of freedom."""
    HISTORICAL = "historical"
    """The empirical quantile of the window."""
    FHS = "fhs"
    """Filtered historical simulation: that of the window's residuals, at the EWMA volatility."""


class LikelihoodRatio(NamedTuple):
    """A likelihood-ratio test.

    Attributes:
        statistic: ``-2 ln(L_0 / L_1)``.
        p_value: How likely so much or more is where the model holds.
        rejected: Whether that is less than five per cent.
    """

    statistic: float
    p_value: float
    rejected: bool


class Christoffersen(NamedTuple):
    """Whether exceptions come independently, and whether they do so as often as they should."""

    independence: LikelihoodRatio
    joint: LikelihoodRatio


class Zone(StrEnum):
    """A colour of Basel's traffic light."""

    GREEN = "green"
    YELLOW = "yellow"
    RED = "red"


class TrafficLight(NamedTuple):
    """Basel's verdict on a year.

    Attributes:
        zone: Green below a probability of 95 %, red from 99.99 % on.
        plus_factor: What is added to the multiplier of 3; the yellow zone has it for 250 days alone.
        cumulative_probability: Of so many exceptions or fewer where the model holds.
    """

    zone: Zone
    plus_factor: float | None
    cumulative_probability: float


class Backtest(NamedTuple):
    """A model over a history.

    Attributes:
        model: Which.
        level: Of its VaR.
        exceptions: Days whose loss was greater than forecast.
        n: Days that were forecast.
        coverage: Whether the exceptions are as many as they should be (Kupiec).
        independence: Whether one makes the next no likelier (Christoffersen).
        joint: Both at once.
    """

    model: Model
    level: float
    exceptions: int
    n: int
    coverage: LikelihoodRatio
    independence: LikelihoodRatio
    joint: LikelihoodRatio

    @property
    def rejecting(self) -> tuple[str, ...]:
        """The names of the tests that reject the model; none if it holds."""
        return tuple(name for name in ("coverage", "independence", "joint") if getattr(self, name).rejected)


def kupiec(exceptions: int, n: int, p: float) -> LikelihoodRatio:
    """Return ``2 ln[(1 - m/n)^(n-m) (m/n)^m] - 2 ln[(1 - p)^(n-m) p^m]`` against chi-squared(1), with m exceptions.

    It rejects too few as well as too many; ``0^0`` is 1.

    Args:
        exceptions: m.
        n: Days.
        p: The probability of an exception where the model holds, ``1 - level``.

    Raises:
        RiskInputError: there is no day, there are more exceptions than days, or p is not within (0, 1).
    """
    hits, days, chance = _counts(exceptions, n, p)
    seen = xlogy(hits, hits / days) + xlog1py(days - hits, -hits / days)
    held = xlogy(hits, chance) + xlog1py(days - hits, -chance)
    return _ratio(2 * float(seen - held), 1)


def christoffersen(hits: ArrayLike, p: float) -> Christoffersen:
    """Test whether an exception makes another on the next day likelier, and that jointly with their number.

    ``LR_ind = 2 ln L(p_01, p_11) - 2 ln L(p_1)`` over the n - 1 transitions, against chi-squared(1); the joint
    statistic is ``LR_uc + LR_ind`` with Kupiec's over all n days, against chi-squared(2).

    Args:
        hits: (n,) whether each day was an exception, oldest first.
        p: The probability of an exception where the model holds, ``1 - level``.

    Raises:
        RiskInputError: there are fewer than two days, one is neither 0 nor 1, or p is not within (0, 1).
    """
    days = _hits(hits)
    before, after = days[:-1], days[1:]
    from_hit, hit_again = int(before.sum()), int((before & after).sum())
    from_calm, hit_anew = len(before) - from_hit, int((~before & after).sum())
    pooled = _likelihood(hit_anew + hit_again, len(before))
    apart = _likelihood(hit_anew, from_calm) + _likelihood(hit_again, from_hit)
    independence = _ratio(2 * (apart - pooled), 1)
    coverage = kupiec(int(days.sum()), len(days), p)
    return Christoffersen(independence, _ratio(coverage.statistic + independence.statistic, 2))


def exceptions_probability(exceptions: int, n: int, p: float) -> float:
    """Return the probability of so many exceptions or more in n days, where the model holds.

    Raises:
        RiskInputError: there is no day, there are more exceptions than days, or p is not within (0, 1).
    """
    hits, days, chance = _counts(exceptions, n, p)
    return 1.0 if hits == 0 else float(bdtrc(hits - 1, days, chance))


def traffic_light(exceptions: int, n: int = BASEL_DAYS, p: float = 0.01) -> TrafficLight:
    """Return Basel's zone and plus-factor of so many exceptions in n days.

    Raises:
        RiskInputError: there is no day, there are more exceptions than days, or p is not within (0, 1).
    """
    hits, days, chance = _counts(exceptions, n, p)
    probability = float(bdtr(hits, days, chance))
    if probability < YELLOW_FROM:
        return TrafficLight(Zone.GREEN, 0.0, probability)
    if probability >= RED_FROM:
        return TrafficLight(Zone.RED, 1.0, probability)
    return TrafficLight(Zone.YELLOW, PLUS_FACTORS.get(hits) if days == BASEL_DAYS else None, probability)


def var_forecasts(returns: ArrayLike, model: Model, level: float, window: int) -> Floats:
    """Return the VaR of each day after the window, of what was known on the day before, as log returns.

    The historical models take the ``window`` days before; the EWMA ones all days before, and the window is the time
    that their variance has to forget its start. That start is the mean of the first 30 squared returns, so a window is
    no shorter: else a forecast would know the day that it is for.

    Args:
        returns: (n,) log returns, oldest first.
        model: Which.
        level: The confidence.
        window: Days, at least 30.

    Returns:
        (n - window,)

    Raises:
        RiskInputError: the history is not longer than the window, or a number is out of range.
    """
    checked_level(level)
    days = whole("window", window, least=START_DAYS)
    series = history("returns", returns, shortest=days + 1)
    deviations: Floats = np.sqrt(ewma_variances(series))[days:-1]
    match model:
        case Model.EWMA_NORMAL:
            return normal_var_z(level) * deviations
        case Model.EWMA_STUDENT:
            return student_var_z(level, STUDENT_NU) * deviations
        case Model.HISTORICAL:
            return _rolling(-series, level, days)
        case Model.FHS:
            return _rolling(-residuals(series).values, level, days) * deviations


def backtest(returns: ArrayLike, model: Model, level: float, window: int) -> Backtest:
    """Forecast the VaR of each day after the window and test its exceptions; arguments as of :func:`var_forecasts`.

    Raises:
        RiskInputError: fewer than two days follow the window, or a number is out of range.
    """
    days = whole("window", window, least=START_DAYS)
    series = history("returns", returns, shortest=days + 2)
    hits = -series[days:] > var_forecasts(series, model, level, days)
    exceptions, p = int(hits.sum()), 1 - level
    return Backtest(model, level, exceptions, len(hits), kupiec(exceptions, len(hits), p), *christoffersen(hits, p))


def _rolling(losses: Floats, level: float, window: int) -> Floats:
    """Return the empirical quantile of the window before each day, by the convention of :mod:`keeper.risk.tail`."""
    quantiles: Floats = np.quantile(sliding_window_view(losses[:-1], window), level, axis=1, method="linear")
    return quantiles


def _likelihood(hits: int, days: int) -> float:
    """Return the logarithm of the greatest likelihood of so many hits in so many days."""
    return float(xlogy(hits, hits / days) + xlog1py(days - hits, -hits / days)) if days else 0.0


def _ratio(statistic: float, degrees: int) -> LikelihoodRatio:
    rounded = max(statistic, 0.0)
    p_value = float(chdtrc(degrees, rounded))
    return LikelihoodRatio(rounded, p_value, p_value < SIGNIFICANCE)


def _counts(exceptions: int, n: int, p: float) -> tuple[int, int, float]:
    days = whole("n", n, least=1)
    chance = number("p", p, above=0)
    if chance >= 1:
        raise RiskInputError("p", f"is {chance:g}", "give a probability below 1")
    return whole("exceptions", exceptions, least=0, most=days), days, chance


def _hits(hits: ArrayLike) -> Bools:
    series = history("hits", hits, shortest=2, least=0, most=1)
    days: Bools = series > 0
    if not np.array_equal(days, series):
        raise RiskInputError("hits", "are not all 0 or 1", "give whether each day was an exception")
    return days
