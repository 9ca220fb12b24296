"""First passage: with what probability an account is liquidated within a horizon, not only at its end.

The health factor is a ratio of two prices, so its logarithm moves like a Brownian motion with the volatility of that
ratio. It starts at ``b = ln HF`` and the account is liquidated when it first touches 0. The closed form is that of the
running minimum of a drifted Brownian motion (A. Borodin and P. Salminen, *Handbook of Brownian Motion*, part II,
section 2.1; M. Harrison, *Brownian Motion and Stochastic Flow Systems*, section 1.8). Paths that were seen at steps
alone are corrected by the probability of a Brownian bridge to touch the line between two of them (P. Glasserman,
*Monte Carlo Methods in Financial Engineering*, section 6.4).

Volatilities are annual, a year has 31,536,000 seconds, and the drift is that of the price, so that a drift of 0 is a
price that is fair.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import SECONDS_PER_YEAR, Bools, Floats, aligned, array, number
from keeper.risk.tail import historical_es, spot_losses
from keeper.risk.volatility import SECONDS_PER_DAY

BLOCK = 16_384
"""Accounts at a time: what is computed of them stays in the processor's cache."""
VOL_LEAST = 1e-9
"""Annual volatility of what does not move: the limit without a division by zero."""
EXPONENT_MOST = 600.0
"""Beyond this a factor may overflow while the other underflows, and their logarithms are added instead."""
BARRIERS = 257
"""How many barriers :func:`ruin_probability` computes for a larger book, and interpolates between."""
BRIDGE_REACH = 6.0
"""Beyond the deepest path by so many steps' deviations a bridge touches a line with less than exp(-72)."""


def liquidation_probability(
    health_factor: ArrayLike, vol_annual: ArrayLike, horizon_seconds: float, drift_annual: float = 0.0
) -> Floats:
    """Return the probability that each health factor is at or below 1 at some time of the horizon.

    ``P = N((-b - nu T) / (s sqrt T)) + exp(-2 nu b / s^2) N((-b + nu T) / (s sqrt T))`` with ``b = ln HF`` and
    ``nu = mu - s^2 / 2``.

    Args:
        health_factor: (A,) or a number; at or below 1 the probability is 1, infinite (no debt) it is 0.
        vol_annual: s, of collateral over debt, as :func:`ratio_vol` gives it; of each account, or one for all.
        horizon_seconds: T.
        drift_annual: mu, the expected growth of collateral over debt.

    Returns:
        (A,), in the shape of the health factors.

    Raises:
        RiskInputError: a health factor is negative or NaN, another number is out of range, or shapes differ.
    """
    health, vol, years = _accounts(health_factor, vol_annual, horizon_seconds)
    drift = number("drift_annual", drift_annual)
    touched = np.empty(health.size)
    flat, vols = health.ravel(), np.broadcast_to(vol.ravel(), health.size)
    for start in range(0, health.size, BLOCK):
        block = slice(start, start + BLOCK)
        touched[block] = _touched(flat[block], vols[block], years, drift)
    return touched.reshape(health.shape)


def end_point_probability(
    health_factor: ArrayLike, vol_annual: ArrayLike, horizon_seconds: float, drift_annual: float = 0.0
) -> Floats:
    """Return the probability that each health factor is at or below 1 at the end: ``N((-b - nu T) / (s sqrt T))``.

    Who was liquidated on the way and would have recovered is not in it: about half of all, without drift. Arguments
    and result are those of :func:`liquidation_probability`.

    Raises:
        RiskInputError: a health factor is negative or NaN, another number is out of range, or shapes differ.
    """
    health, vol, years = _accounts(health_factor, vol_annual, horizon_seconds)
    drift = (number("drift_annual", drift_annual) - vol * vol / 2) * years
    distance = np.log(np.maximum(health, np.finfo(np.float64).tiny))
    below: Floats = ndtr((-distance - drift) / (vol * math.sqrt(years)))
    return below


def ratio_vol(vol_1: ArrayLike, vol_2: ArrayLike, rho: ArrayLike) -> Floats:
    """Return the volatility of the ratio of two prices, ``sqrt(s1^2 + s2^2 - 2 rho s1 s2)``.

    It is written ``(s1 - s2)^2 + 2 (1 - rho) s1 s2``, which rounding does not make negative.

    Args:
        vol_1: Of the collateral, per any unit of time.
        vol_2: Of the debt, per the same.
        rho: The correlation of their returns.

    Raises:
        RiskInputError: a volatility is negative, a correlation is beyond 1, or shapes differ.
    """
    first, second, together = aligned(
        "vol_1, vol_2 and rho",
        array("vol_1", vol_1, least=0),
        array("vol_2", vol_2, least=0),
        array("rho", rho, least=-1, most=1),
    )
    ratio: Floats = np.sqrt((first - second) ** 2 + 2 * (1 - together) * first * second)
    return ratio


def ruin_probability(paths: ArrayLike, log_health: ArrayLike, vol_step: ArrayLike) -> Floats:
    """Return the probability that each account is liquidated on one of the paths, or between two of their steps.

    With X the running sum of a path and b an account's ``ln HF``, the path survives with
    ``prod_t (1 - exp(-2 (X_{t-1} + b) (X_t + b) / v_t^2))``, or not at all where its running minimum reaches ``-b``.
    The paths are sorted by that minimum once, so a barrier looks only at those above it. Up to 257 accounts get a
    barrier each. More share 257 barriers, closest where accounts are nearest to their line, and are interpolated by a
    monotone cubic: as the probability falls with b, an account's lies between those of its two neighbours.

    Args:
        paths: (S, T) log moves of collateral over debt at each step, as of :func:`keeper.risk.tail.fhs_paths`.
        log_health: b of each account, (A,); at or below 0 the probability is 1, infinite it is 0.
        vol_step: The deviation of a step: one number, (T,) or (S, T). 0 for paths that were seen all the time.

    Returns:
        (A,)

    Raises:
        RiskInputError: there is no path or no step, a number is NaN or out of range, or shapes differ.
    """
    moves = array("paths", paths, ndim=2)
    if moves.size == 0:
        raise RiskInputError("paths", f"has shape {moves.shape}", "give at least one path of one step")
    distance, far = _finite("log_health", log_health)
    if distance.ndim != 1:
        raise RiskInputError("log_health", f"has {distance.ndim} dimensions", "give 1")
    variance = _step_variance(vol_step, moves.shape)
    walked = np.concatenate([np.zeros((len(moves), 1)), np.cumsum(moves, axis=1)], axis=1)
    depth = -walked.min(axis=1)
    order = np.argsort(depth)
    walked, depth, variance = walked[order], depth[order], variance[order]
    reach = float(depth[-1]) + BRIDGE_REACH * math.sqrt(float(variance.max()))
    ruin = _by_barrier(walked, depth, variance, np.clip(distance, 0, reach))
    ruin[distance <= 0] = 1.0
    ruin[far] = 0.0
    return ruin


def inventory_shortfall(
    position_usd: ArrayLike,
    scenarios: ArrayLike,
    horizon_seconds: float,
    level: float,
    scenario_seconds: float = SECONDS_PER_DAY,
) -> float:
    """Return the expected shortfall of what a keeper holds of seized collateral until it is sold, in USD.

    The scenarios' log returns are scaled by the square root of time, and a position loses ``-x (e^r - 1)``: a long one
    never more than itself.

    Args:
        position_usd: Of one asset, or (k,).
        scenarios: (N,) or (N, k) log returns, as of :func:`keeper.risk.tail.fhs_scenarios`.
        horizon_seconds: From the seizure to the sale.
        level: The confidence.
        scenario_seconds: Over which a scenario's return is; a day.

    Raises:
        RiskInputError: a number is out of range, there are fewer than two scenarios, or the assets differ.
    """
    held, moves = np.atleast_1d(array("position_usd", position_usd)), array("scenarios", scenarios)
    if moves.ndim == 1:
        moves = moves[:, None]
    horizon = number("horizon_seconds", horizon_seconds, least=0)
    scale = math.sqrt(horizon / number("scenario_seconds", scenario_seconds, above=0))
    return historical_es(spot_losses(held[None], moves * scale)[0], level)


def _accounts(health_factor: ArrayLike, vol_annual: ArrayLike, horizon_seconds: float) -> tuple[Floats, Floats, float]:
    """Return health factors, volatilities that go with them, and the horizon in years."""
    health, far = _finite("health_factor", health_factor, least=0.0)
    vol = np.maximum(array("vol_annual", vol_annual, least=0), VOL_LEAST)
    if vol.ndim > 0 and vol.shape != health.shape:
        raise RiskInputError("vol_annual", f"has shape {vol.shape}", f"give one, or {health.shape}")
    health = np.where(far, math.inf, health)
    return health, vol, number("horizon_seconds", horizon_seconds, above=0) / SECONDS_PER_YEAR


def _finite(name: str, values: ArrayLike, least: float = -math.inf) -> tuple[Floats, Bools]:
    """Return an array that may hold positive infinity, with 1 in its place, and where it was."""
    given: Floats = np.asarray(values, dtype=np.float64)
    far: Bools = np.isposinf(given)
    return array(name, np.where(far, 1.0, given), least=least), far


def _touched(health: Floats, vol: Floats, years: float, drift: float) -> Floats:
    distance = np.log(np.maximum(health, 1.0))
    far = np.isinf(distance)
    distance[far] = 1.0
    deviation = vol * math.sqrt(years)
    nu = drift - vol * vol / 2
    exponent = -2 * nu * distance / (vol * vol)
    away = (nu * years - distance) / deviation
    reflected = np.exp(np.minimum(exponent, EXPONENT_MOST)) * ndtr(away)
    large = exponent > EXPONENT_MOST
    if large.any():
        reflected[large] = np.exp(exponent[large] + log_ndtr(away[large]))
    touched: Floats = np.minimum(ndtr((-distance - nu * years) / deviation) + reflected, 1.0)
    touched[health <= 1] = 1.0
    touched[far] = 0.0
    return touched


def _step_variance(vol_step: ArrayLike, shape: tuple[int, ...]) -> Floats:
    """Return the variance of each step of each path, positive."""
    vol = array("vol_step", vol_step, least=0)
    try:
        variance: Floats = np.broadcast_to(np.maximum(vol * vol, np.finfo(np.float64).tiny), shape)
    except ValueError:
        raise RiskInputError("vol_step", f"has shape {vol.shape}", f"give one, {shape[1:]} or {shape}") from None
    return variance


def _by_barrier(walked: Floats, depth: Floats, variance: Floats, distance: Floats) -> Floats:
    """Return the ruin of each barrier, each alone where they are few."""
    if len(distance) <= BARRIERS:
        return np.array([_ruin(walked, depth, variance, each) for each in distance.tolist()])
    nearest, farthest = float(distance.min()), float(distance.max())
    if nearest == farthest:
        return np.full(len(distance), _ruin(walked, depth, variance, nearest))
    from scipy.interpolate import PchipInterpolator  # noqa: PLC0415 - slow to import, and a daemon asks one account

    nodes = nearest + (farthest - nearest) * np.linspace(0, 1, BARRIERS) ** 2
    ruin = np.array([_ruin(walked, depth, variance, each) for each in nodes.tolist()])
    between: Floats = PchipInterpolator(nodes, ruin)(np.clip(distance, nodes[0], nodes[-1]))
    return np.clip(between, 0.0, 1.0)


def _ruin(walked: Floats, depth: Floats, variance: Floats, distance: float) -> float:
    """Return one less the mean survival of the paths above a barrier; they are the first of those sorted by depth."""
    above = int(np.searchsorted(depth, distance, side="left"))
    gaps = walked[:above] + distance
    with np.errstate(over="ignore"):  # a step without volatility: no bridge touches
        exponents = 2 * gaps[:, :-1] * gaps[:, 1:] / variance[:above]
    survived = np.prod(-np.expm1(-exponents), axis=1)
    return 1.0 - math.fsum(survived) / len(depth)
