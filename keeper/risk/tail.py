"""Value at risk and expected shortfall: of a distribution, of a portfolio, of history.

A loss is positive. ``level`` is the confidence, 0.99 for the worst day of a hundred; VaR is the loss that is exceeded
with probability ``1 - level``, ES the mean loss beyond it.

**The empirical quantile.** Of n losses in ascending order x_0 ... x_{n-1} the quantile at ``level`` lies at place
``(n - 1) * level`` and is interpolated linearly between its two neighbours: type 7 of Hyndman and Fan, *Sample
Quantiles in Statistical Packages*, The American Statistician 50 (1996). ES is the mean of all losses at or above that
quantile. So both are within the sample: what never happened is no part of them.

Formulas: J. Hull, *Risk Management and Financial Institutions*, on value at risk and on the model-building approach;
A. McNeil, R. Frey and P. Embrechts, *Quantitative Risk Management*, section 2.3 for the ES of the normal and of
Student's t and section 8.5 for the contributions of components (Euler's allocation).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import beta, ndtri, stdtrit

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, Integers, array, history, number, whole
from keeper.risk.volatility import DECAY_DAILY, ewma_update, ewma_variances

LEVEL_LEAST, LEVEL_MOST = 0.5, 0.99999
"""Confidence: a loss that happens every other day is no tail, and beyond the last nobody has data."""
SYMMETRY = 1e-9
"""How far a covariance may be from symmetric and from positive semidefinite, against its largest entry."""

LOG_MOVE_MOST = 100.0
"""A log return beyond, a factor of 10^43, is one that was given in per cent or as a price."""
WINDOW_DAYS = 500
"""How many of the last residuals filtered historical simulation draws from."""


class ComponentVar(NamedTuple):
    """A portfolio's figure (VaR or ES) and whose it is, in the unit of the exposures.

    Attributes:
        total: Of the portfolio.
        components: Of each position, (k,): they sum to the total; a hedge's is negative.
        standalone: Of each position alone, (k,).
        diversification: By how much the portfolio's is less than the sum of those.
    """

    total: float
    components: Floats
    standalone: Floats
    diversification: float


class Tails(NamedTuple):
    """VaR and ES of many rows of losses, each (A,), in the unit of the losses."""

    var: Floats
    es: Floats


class Residuals(NamedTuple):
    """What is left of returns without their volatility.

    Attributes:
        values: (n,) returns, each over the deviation that was forecast for it.
        vol: The deviation that is forecast for the return to come, in the unit of the returns.
    """

    values: Floats
    vol: float


class Paths(NamedTuple):
    """Simulated log moves and the deviation that was forecast for each, both (S, T)."""

    moves: Floats
    vols: Floats


def checked_level(level: float) -> float:
    """Return a confidence level as a float.

    Raises:
        RiskInputError: it is no number from 0.5 to 0.99999.
    """
    return number("level", level, least=LEVEL_LEAST, most=LEVEL_MOST)


def normal_var_z(level: float) -> float:
    """Return the standard normal quantile ``N^-1(level)``: VaR in standard deviations.

    Raises:
        RiskInputError: the level is out of range.
    """
    return float(ndtri(checked_level(level)))


def normal_es_z(level: float) -> float:
    """Return ``phi(z) / (1 - level)`` at the normal quantile z: ES in standard deviations.

    Raises:
        RiskInputError: the level is out of range.
    """
    z = normal_var_z(level)
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi) / (1 - level)


def student_var_z(level: float, nu: float) -> float:
    """Return the quantile of Student's t of unit variance, ``t_q * sqrt((nu - 2) / nu)``: VaR in standard deviations.

    Args:
        level: The confidence.
        nu: Degrees of freedom, more than 2, else there is no variance.

    Raises:
        RiskInputError: an argument is out of range.
    """
    nu = number("nu", nu, above=2)
    return float(stdtrit(nu, checked_level(level))) * math.sqrt((nu - 2) / nu)


def student_es_z(level: float, nu: float) -> float:
    """Return the ES of Student's t of unit variance, in standard deviations.

    ``f(t_q) / (1 - level) * (nu + t_q^2) / (nu - 1) * sqrt((nu - 2) / nu)``, with f the density of the usual t.

    Raises:
        RiskInputError: an argument is out of range.
    """
    nu = number("nu", nu, above=2)
    t = float(stdtrit(nu, checked_level(level)))
    density = math.exp(-(nu + 1) / 2 * math.log1p(t * t / nu)) / (math.sqrt(nu) * float(beta(0.5, nu / 2)))
    return density / (1 - level) * (nu + t * t) / (nu - 1) * math.sqrt((nu - 2) / nu)


def parametric_var(
    exposures_usd: ArrayLike, covariance: ArrayLike, level: float, horizon_days: float = 1.0, nu: float | None = None
) -> ComponentVar:
    """Return ``z * sqrt(x' S x * T)`` and its components ``z * x_i (S x)_i / sigma * sqrt(T)``, in USD.

    Args:
        exposures_usd: What is held of each asset, (k,); negative is short.
        covariance: Of the daily returns, (k, k), per day.
        level: The confidence.
        horizon_days: T; the variance grows with it.
        nu: Degrees of freedom of Student's t of unit variance; the normal where there are none.

    Raises:
        RiskInputError: a number is out of range, shapes differ, or the matrix is no covariance.
    """
    z = normal_var_z(level) if nu is None else student_var_z(level, nu)
    return _attributed(z, exposures_usd, covariance, horizon_days)


def parametric_es(
    exposures_usd: ArrayLike, covariance: ArrayLike, level: float, horizon_days: float = 1.0, nu: float | None = None
) -> ComponentVar:
    """Return the expected shortfall and its components, in USD: as :func:`parametric_var`, by the z of the ES.

    Raises:
        RiskInputError: a number is out of range, shapes differ, or the matrix is no covariance.
    """
    z = normal_es_z(level) if nu is None else student_es_z(level, nu)
    return _attributed(z, exposures_usd, covariance, horizon_days)


def historical_var(losses: ArrayLike, level: float) -> float:
    """Return the empirical quantile of losses (n,) at ``level``, in their unit; a gain is a negative loss.

    Raises:
        RiskInputError: there are fewer than two losses, one is not finite, or the level is out of range.
    """
    return float(tails([history("losses", losses, shortest=2)], level).var[0])


def historical_es(losses: ArrayLike, level: float) -> float:
    """Return the mean of the losses (n,) at or above their quantile at ``level``, in their unit.

    Raises:
        RiskInputError: there are fewer than two losses, one is not finite, or the level is out of range.
    """
    return float(tails([history("losses", losses, shortest=2)], level).es[0])


def tails(losses: ArrayLike, level: float) -> Tails:
    """Return VaR and ES of each row of losses (A, N): of many accounts over the same scenarios.

    Raises:
        RiskInputError: there are fewer than two scenarios, a loss is not finite, or the level is out of range.
    """
    rows = array("losses", losses, ndim=2)
    if rows.shape[1] < 2:  # noqa: PLR2004 - between fewer there is no quantile
        raise RiskInputError("losses", f"have {rows.shape[1]} scenarios", "give at least 2")
    quantiles: Floats = np.quantile(rows, checked_level(level), axis=1, method="linear")
    beyond = rows >= quantiles[:, None]
    sums: Floats = np.where(beyond, rows, 0.0).sum(axis=1)
    # The mean of equal losses may be rounded to either side of them.
    return Tails(quantiles, np.clip(sums / beyond.sum(axis=1), quantiles, rows.max(axis=1)))


def spot_losses(exposures_usd: ArrayLike, scenarios: ArrayLike) -> Floats:
    """Return what positions in the assets themselves lose in each scenario, ``-X (e^R - 1)``, (A, N), in USD.

    Args:
        exposures_usd: (A, k), of each account in each asset.
        scenarios: R (N, k), log returns, as of :func:`fhs_scenarios`.

    Raises:
        RiskInputError: a value is not finite, a return is in per cent, or the two have not the same assets.
    """
    held, moves = array("exposures_usd", exposures_usd, ndim=2), array("scenarios", scenarios, ndim=2)
    if held.shape[1] != moves.shape[1]:
        raise RiskInputError("exposures_usd", f"has {held.shape[1]} assets", f"give {moves.shape[1]}, as the scenarios")
    array("scenarios", moves, least=-LOG_MOVE_MOST, most=LOG_MOVE_MOST)
    losses: Floats = -held @ np.expm1(moves).T
    return losses


def residuals(returns: ArrayLike, decay: float = DECAY_DAILY) -> Residuals:
    """Return ``r_t / sqrt(v_t)`` by the EWMA variances v, and the deviation of the return to come.

    Args:
        returns: (n,) log returns, oldest first.
        decay: Of the EWMA, per step.

    Raises:
        RiskInputError: there is no variance to start from or none is left, the decay is out of range or a return is not
            finite.
    """
    variances = ewma_variances(returns, decay)
    series = history("returns", returns, shortest=1)
    if not variances.min() > np.finfo(np.float64).tiny:
        raise RiskInputError("returns", "stand still for so long that no volatility is left", "give those that move")
    return Residuals(series / np.sqrt(variances[:-1]), math.sqrt(float(variances[-1])))


def fhs_scenarios(returns: ArrayLike, decay: float = DECAY_DAILY, window: int = WINDOW_DAYS) -> Floats:
    """Return the last ``window`` residuals at today's volatility: equally likely log returns of the day to come.

    A row holds the residuals of all assets on one day of the past, so that their dependence is kept as it was.

    Args:
        returns: (n, k) log returns of k assets, oldest first, or (n,) of one.
        decay: Of the EWMA, per step.
        window: How many of the last days, at least 2.

    Returns:
        R, (window, k), or (window,) for one asset.

    Raises:
        RiskInputError: there are fewer returns than the window, a number is out of range or not finite.
    """
    rows = array("returns", returns)
    if rows.ndim == 1:
        return _rescaled(rows, decay, window)
    rows = array("returns", rows, ndim=2)
    if rows.shape[1] == 0:
        raise RiskInputError("returns", "are of no asset", "give at least one column")
    return np.column_stack([_rescaled(column, decay, window) for column in rows.T])


def fhs_var(returns: ArrayLike, level: float, decay: float = DECAY_DAILY, window: int = WINDOW_DAYS) -> float:
    """Return the VaR of the day to come of a long position, as a log return, by filtered historical simulation.

    Args:
        returns: (n,) log returns, oldest first; with the sign turned, of a short position.
        level: The confidence.
        decay: Of the EWMA, per step.
        window: How many of the last residuals, at least 2.

    Raises:
        RiskInputError: there are fewer returns than the window, a number is out of range or not finite.
    """
    return historical_var(-_rescaled(history("returns", returns, shortest=2), decay, window), level)


def fhs_es(returns: ArrayLike, level: float, decay: float = DECAY_DAILY, window: int = WINDOW_DAYS) -> float:
    """Return the expected shortfall of the day to come, as :func:`fhs_var` its VaR.

    Raises:
        RiskInputError: there are fewer returns than the window, a number is out of range or not finite.
    """
    return historical_es(-_rescaled(history("returns", returns, shortest=2), decay, window), level)


def fhs_paths(returns: ArrayLike, picks: Integers, decay: float = DECAY_DAILY, window: int = WINDOW_DAYS) -> Paths:
    """Return paths of picked residuals, along which the volatility follows each path's own moves.

    ``r_t = z_pick * sqrt(v_t)`` and ``v_{t+1} = decay * v_t + (1 - decay) * r_t^2``. The caller draws the picks, since
    nothing here is left to chance.

    Args:
        returns: (n,) log returns, oldest first.
        picks: (S, T) places in the window, 0 the oldest.
        decay: Of the EWMA, per step.
        window: How many of the last residuals there are to pick from.

    Raises:
        RiskInputError: a pick is outside the window, there are fewer returns than it, or a number is out of range.
    """
    length = whole("window", window, least=2)
    given = array("picks", picks, ndim=2, least=0, most=length - 1)
    places = given.astype(np.int64)
    if not np.array_equal(places, given):
        raise RiskInputError("picks", "are not all whole numbers", "give places in the window")
    drawn = residuals(_long_enough(history("returns", returns, shortest=2), length), decay)
    moves, vols = np.empty(places.shape), np.empty(places.shape)
    variance: Floats = np.full(len(places), drawn.vol**2)
    for step, shocks in enumerate(drawn.values[-length:][places].T):
        vols[:, step] = np.sqrt(variance)
        moves[:, step] = shocks * vols[:, step]
        variance = ewma_update(variance, moves[:, step], decay)
    return Paths(moves, vols)


def _rescaled(returns: Floats, decay: float, window: int) -> Floats:
    drawn = residuals(_long_enough(returns, window), decay)
    rescaled: Floats = drawn.values[-int(window) :] * drawn.vol
    return rescaled


def _long_enough(returns: Floats, window: int) -> Floats:
    """Return returns of which there are as many as the window is long."""
    return history("returns", returns, shortest=whole("window", window, least=2))


def _attributed(z: float, exposures_usd: ArrayLike, covariance: ArrayLike, horizon_days: float) -> ComponentVar:
    held = history("exposures_usd", exposures_usd, shortest=1)
    matrix = _covariance(covariance, len(held))
    scale = z * math.sqrt(number("horizon_days", horizon_days, above=0))
    pull: Floats = matrix @ held
    sigma = math.sqrt(max(float(held @ pull), 0.0))
    components: Floats = scale * held * pull / sigma if sigma > 0 else np.zeros_like(held)
    standalone: Floats = scale * np.abs(held) * np.sqrt(np.diagonal(matrix))
    return ComponentVar(scale * sigma, components, standalone, math.fsum(standalone) - scale * sigma)


def _covariance(covariance: ArrayLike, assets: int) -> Floats:
    """Return a covariance of so many assets, symmetric and positive semidefinite up to rounding."""
    matrix = array("covariance", covariance, ndim=2, length=assets)
    if matrix.shape[1] != assets:
        raise RiskInputError("covariance", f"has shape {matrix.shape}", f"give {assets} rows of {assets}")
    array("variances", np.diagonal(matrix), least=0)
    slack = SYMMETRY * float(np.abs(matrix).max())
    if float(np.abs(matrix - matrix.T).max()) > slack:
        raise RiskInputError("covariance", "is not symmetric", "give that of one sample of returns")
    if float(np.linalg.eigvalsh(matrix)[0]) < -slack * assets:
        raise RiskInputError("covariance", "has a negative eigenvalue", "give that of one sample of returns")
    return matrix
