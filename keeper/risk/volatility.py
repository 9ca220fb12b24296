"""How much a price moves: EWMA variance, volatility over a horizon, and the maintenance margin that follows it.

Returns are logarithmic and daily, as fractions; a variance is per day unless its name says otherwise. The year has
:data:`keeper.risk.inputs.DAYS_PER_YEAR` days, since these markets never close.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import DAYS_PER_YEAR, Floats, aligned, array, history, number

DECAY_DAILY = 0.94
"""The decay of daily variance in RiskMetrics (1996)."""
SECONDS_PER_DAY = 86_400
START_DAYS = 30
"""How many squared returns the first variance is the mean of, unless it is given."""


def ewma_variances(returns: ArrayLike, decay: float = DECAY_DAILY, initial: float | None = None) -> Floats:
    """Return the exponentially weighted variance before each return, and the one after the last.

    ``v[0] = initial`` and ``v[t+1] = decay * v[t] + (1 - decay) * returns[t]**2`` (RiskMetrics Technical Document,
    4th edition, 1996, section 5.2), so ``v[t]`` is the one-step forecast for ``returns[t]`` and knows nothing of it,
    and ``v[-1]`` is the forecast for the return to come. The mean is taken as zero.

    Args:
        returns: (n,) returns, oldest first.
        decay: The weight of the past, within (0, 1).
        initial: ``v[0]``. By default the mean of the first 30 squared returns, or of all if there are fewer: the
            first 30 forecasts then know their own returns, and a back-test has to leave them out.

    Returns:
        (n + 1,) variances, all positive.

    Raises:
        RiskInputError: a value is not finite or out of range, there is no return, or those at the start are all zero.
    """
    from scipy.signal import lfilter  # noqa: PLC0415 - a second to import, and a daemon goes a step at a time

    series = history("returns", returns, shortest=1)
    weight = _decay(decay)
    squares = series * series
    first = float(np.mean(squares[:START_DAYS])) if initial is None else number("initial", initial, above=0)
    if first <= 0:
        raise RiskInputError("returns", f"are all zero in the first {START_DAYS}", "give an initial variance")
    driven = np.concatenate(([first], (1 - weight) * squares))
    variances: Floats = lfilter([1.0], [1.0, -weight], driven)
    return variances


def ewma_update(variance: ArrayLike, ret: ArrayLike, decay: float = DECAY_DAILY) -> Floats:
    """Return the variance after one more return: ``decay * variance + (1 - decay) * ret**2``, elementwise.

    Raises:
        RiskInputError: a variance is negative, the decay is not within (0, 1), or a value is not finite.
    """
    weight = _decay(decay)
    before, observed = aligned("variances and returns", array("variance", variance, least=0), array("ret", ret))
    return np.asarray(weight * before + (1 - weight) * observed * observed)


def annualised(vol_daily: ArrayLike) -> Floats:
    """Return ``vol_daily * sqrt(365)``, elementwise.

    Raises:
        RiskInputError: a volatility is negative or not finite.
    """
    return np.asarray(array("vol_daily", vol_daily, least=0) * np.sqrt(DAYS_PER_YEAR))


def horizon_seconds(detection_seconds: float, auction_seconds: float, settlement_seconds: float) -> float:
    """Return how long a position stays exposed once it is unsafe: until seen, sold and settled.

    Raises:
        RiskInputError: a duration is negative or not finite.
    """
    durations = (
        ("detection_seconds", detection_seconds),
        ("auction_seconds", auction_seconds),
        ("settlement_seconds", settlement_seconds),
    )
    return sum(number(name, seconds, least=0) for name, seconds in durations)


def horizon_vol(vol_daily: ArrayLike, horizon_seconds: ArrayLike) -> Floats:
    """Return the volatility over a horizon by the square root of time: ``vol_daily * sqrt(horizon / 1 day)``.

    Raises:
        RiskInputError: a volatility or a horizon is negative or not finite.
    """
    vol, seconds = aligned(
        "volatilities and horizons",
        array("vol_daily", vol_daily, least=0),
        array("horizon_seconds", horizon_seconds, least=0),
    )
    return np.asarray(vol * np.sqrt(seconds / SECONDS_PER_DAY))


def combined_vol(ewma: ArrayLike, garch: ArrayLike, implied: ArrayLike, implied_weight: float) -> Floats:
    """Return the greatest of three opinions, ``max(ewma, garch, implied_weight * implied)``, elementwise.

    All three are volatilities over one and the same span. An opinion that is not held is given as 0.

    Raises:
        RiskInputError: a volatility or the weight is negative or not finite.
    """
    recent, fitted, expected = aligned(
        "volatilities",
        array("ewma", ewma, least=0),
        array("garch", garch, least=0),
        array("implied", implied, least=0),
    )
    weighted = number("implied_weight", implied_weight, least=0) * expected
    return np.asarray(np.maximum(np.maximum(recent, fitted), weighted))


class MaintenanceRule(NamedTuple):
    """A maintenance margin that follows volatility: up at once, down slowly.

    The anti-procyclicality is that of EMIR's regulatory standards for central counterparties (EU 153/2013, article
    28): what calm gives back, it gives back over time, and never below a floor.
    """

    multiplier: float
    """``k``, the safety factor upon the quantile, positive."""
    quantile: float
    """``z``: how many standard deviations to hold. Of a fat-tailed law; the normal's own is too small for coins."""
    floor: float
    """The least fraction ever required."""
    cap: float
    """The greatest fraction ever required, at most 1."""
    half_life_seconds: float
    """How long until half of an excess over the target is given back."""


def scaled_maintenance(rule: MaintenanceRule, vol_horizon: ArrayLike) -> Floats:
    """Return the maintenance fraction of one instant: ``clip(k * z * vol_horizon, floor, cap)``, elementwise.

    Args:
        rule: The parameters.
        vol_horizon: Volatility over the horizon of a liquidation, as :func:`horizon_vol` gives it.

    Raises:
        RiskInputError: a parameter is out of range, or a volatility is negative or not finite.
    """
    floor = number("floor", rule.floor, least=0, most=1)
    cap = number("cap", rule.cap, least=floor, most=1)
    scale = number("multiplier", rule.multiplier, above=0) * number("quantile", rule.quantile, above=0)
    return np.asarray(np.clip(scale * array("vol_horizon", vol_horizon, least=0), floor, cap))


def decayed(previous: ArrayLike, target: ArrayLike, elapsed_seconds: ArrayLike, half_life_seconds: float) -> Floats:
    """Return what is in force after ``elapsed_seconds``: the target if it is higher, else on the way down to it.

    ``target + max(previous - target, 0) * 2**(-elapsed / half_life)``, elementwise: never below the target, never
    above the greater of the two, and the same in one step as in several.

    Raises:
        RiskInputError: a duration is negative, the half-life is not positive, or a value is not finite.
    """
    before, aim, elapsed = aligned(
        "fractions and durations",
        array("previous", previous),
        array("target", target),
        array("elapsed_seconds", elapsed_seconds, least=0),
    )
    left = np.exp2(-elapsed / number("half_life_seconds", half_life_seconds, above=0))
    highest = np.maximum(before, aim)
    return np.asarray(np.clip(aim + (highest - aim) * left, aim, highest))


def next_maintenance(
    rule: MaintenanceRule, previous: ArrayLike, vol_horizon: ArrayLike, elapsed_seconds: ArrayLike
) -> Floats:
    """Return the maintenance fraction in force ``elapsed_seconds`` after ``previous`` was, elementwise.

    Raises:
        RiskInputError: as :func:`scaled_maintenance` and :func:`decayed` do.
    """
    return decayed(previous, scaled_maintenance(rule, vol_horizon), elapsed_seconds, rule.half_life_seconds)


def _decay(decay: float) -> float:
    weight = number("decay", decay, above=0)
    if weight >= 1:
        raise RiskInputError("decay", f"is {weight:g}", "give a number within (0, 1)")
    return weight
