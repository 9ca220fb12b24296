"""Markov-switching regimes: how likely it is, from what has been seen so far, that a market is in distress.

A hidden chain moves between K regimes with ``transition[i, j] = P(next is j | now is i)``; an observation has its own
density in each. Hamilton's filter (1989, Econometrica 57, 357-384) turns densities into the probability of each regime
given the observations up to and including the same one. Those *filtered* probabilities are all that may drive a
margin: smoothed ones know the future, and serve within a fit alone.

Regimes of a fitted model lie in order of their variance, so the last is the one of stress.
"""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats, aligned, array, history, number, whole

SHORTEST = 100
"""A fit to fewer observations finds regimes in noise."""
PATHS_MOST = 1024
"""How many paths of regimes an autoregression may tell apart."""
_STAYS = 0.9
"""The probability, at the start of a fit, that a regime goes on."""
_LEAST_VARIANCE = 1e-6
"""The least variance of a regime, as a share of the sample's: a regime of one observation would have none."""
_LEAST_WEIGHT = 1.0
"""The least number of observations, in expectation, that make a regime."""
_LEAST_CHANCE = 1e-300
"""A regime less likely than that before an observation is not considered for it when the others fit it as badly."""


class Filtered(NamedTuple):
    """What a filter knows."""

    probabilities: Floats
    """(T, K) of each regime, given the observations up to and including that one; rows sum to one."""
    predicted: Floats
    """(T, K) of each regime, given the observations before."""
    following: Floats
    """(K,) of each regime at the observation to come."""
    log_likelihood: float


class RegimeModel(NamedTuple):
    """K Gaussian regimes and the chain between them."""

    initial: Floats
    """(K,) at the first observation."""
    transition: Floats
    """(K, K), each row sums to one."""
    means: Floats
    """(K,)"""
    variances: Floats
    """(K,), positive, ascending when fitted."""

    def filter(self, series: ArrayLike) -> Filtered:
        """Return the filtered probabilities of this model over a series.

        Raises:
            RiskInputError: the series or the model is not well formed.
        """
        return hamilton_filter(
            gaussian_log_densities(series, self.means, self.variances), self.transition, self.initial
        )


def stationary(transition: ArrayLike) -> Floats:
    """Return the (K,) distribution that a chain keeps, ``p = p @ transition``.

    Raises:
        RiskInputError: the matrix is not stochastic, or keeps more than one distribution.
    """
    chain = _chain(transition)
    count = len(chain)
    system = np.vstack((chain.T - np.eye(count), np.ones(count)))
    kept, _, rank, _ = np.linalg.lstsq(system, np.append(np.zeros(count), 1.0), rcond=None)
    if rank < count:
        raise RiskInputError("transition", "keeps more than one distribution", "let every regime be reached")
    kept = np.maximum(kept, 0)
    return np.asarray(kept / kept.sum())


def expected_durations(transition: ArrayLike) -> Floats:
    """Return the (K,) mean number of steps that each regime goes on, ``1 / (1 - transition[k, k])``.

    Raises:
        RiskInputError: the matrix is not stochastic, or a regime never ends.
    """
    leaves = 1 - np.diag(_chain(transition))
    if np.any(leaves <= 0):
        raise RiskInputError("transition", "has a regime that never ends", "give every regime a way out")
    return np.asarray(1 / leaves)


def gaussian_log_densities(series: ArrayLike, means: ArrayLike, variances: ArrayLike) -> Floats:
    """Return the (T, K) logarithms of the normal density of each observation in each regime.

    Args:
        series: (T,) observations.
        means: (K,), or (T, K) when a regime's mean moves with something known before.
        variances: (K,), or one for all.

    Raises:
        RiskInputError: a value is not finite, a variance is not positive, or the shapes do not fit.
    """
    observed = history("series", series, shortest=1)[:, np.newaxis]
    centres, spreads = np.atleast_1d(array("means", means)), array("variances", variances, above=0)
    if (
        centres.ndim > 2  # noqa: PLR2004 - (K,) or (T, K)
        or (centres.ndim > 1 and len(centres) != len(observed))
        or (spreads.ndim and spreads.shape != centres.shape[-1:])
    ):
        raise RiskInputError("means", f"have shape {centres.shape}, variances {spreads.shape}", "give one per regime")
    return np.asarray(-0.5 * (np.log(2 * math.pi * spreads) + (observed - centres) ** 2 / spreads))


def hamilton_filter(log_densities: ArrayLike, transition: ArrayLike, initial: ArrayLike | None = None) -> Filtered:
    """Return the probabilities of the regimes given the past and the present, and the log-likelihood of all.

    ``joint[t, j] = predicted[t, j] * density[t, j]``, filtered is joint over its sum, ``predicted[t+1] = filtered[t] @
    transition``, and the log-likelihood is the sum of the logarithms of those sums (Hamilton 1989).

    Args:
        log_densities: (T, K) as :func:`gaussian_log_densities` gives them.
        transition: (K, K).
        initial: (K,) at the first observation; by default the distribution that the chain keeps.

    Raises:
        RiskInputError: a probability is none, or the shapes do not fit.
    """
    densities, chain = array("log_densities", log_densities, ndim=2), _chain(transition)
    if densities.shape[1] != len(chain) or not len(densities):
        raise RiskInputError("log_densities", f"has shape {densities.shape}", f"give (T, {len(chain)})")
    first = stationary(chain) if initial is None else _distribution("initial", initial, len(chain))
    return _forward(densities, chain, first)[0]


def switching_autoregression(
    series: ArrayLike, transition: ArrayLike, means: ArrayLike, variances: ArrayLike, coefficients: ArrayLike
) -> Filtered:
    """Filter an autoregression about a mean that switches (Hamilton 1989).

    ``y[t] - m[s[t]] = sum_i c[i] * (y[t-i] - m[s[t-i]]) + e[t]``, ``e[t]`` normal with the variance of ``s[t]``. The
    chain of paths ``(s[t], ..., s[t-p])`` is filtered from the distribution it keeps, given the first p observations.

    Args:
        series: (T,) observations, oldest first.
        transition: (K, K).
        means: (K,).
        variances: (K,), or one for all.
        coefficients: (p,) of lags 1 to p.

    Returns:
        Probabilities of regimes for the T - p observations after the first p.

    Raises:
        RiskInputError: an input is not well formed, the series is too short, or there are too many paths.
    """
    chain, lags = _chain(transition), array("coefficients", coefficients, ndim=1)
    count, order = len(chain), len(lags)
    observed = history("series", series, shortest=order + 1)
    levels = array("means", means, ndim=1, length=count)
    _, spreads = aligned("means and variances", levels, array("variances", variances, above=0))
    array("variances", spreads, ndim=1)
    if count ** (order + 1) > PATHS_MOST:
        raise RiskInputError(
            "coefficients", f"make {count ** (order + 1)} paths", f"at most {PATHS_MOST} are told apart"
        )
    paths = np.array(list(product(range(count), repeat=order + 1)))
    polynomial = np.concatenate(([1.0], -lags))
    filtered_series = np.convolve(observed, polynomial, mode="valid")
    densities = gaussian_log_densities(filtered_series, levels[paths] @ polynomial, spreads[paths[:, 0]])
    follows = np.all(paths[np.newaxis, :, 1:] == paths[:, np.newaxis, :-1], axis=2)
    between = np.where(follows, chain[paths[:, :1], paths[np.newaxis, :, 0]], 0.0)
    first = stationary(chain)[paths[:, -1]] * np.prod(chain[paths[:, 1:], paths[:, :-1]], axis=1)
    found = _forward(densities, between, first / first.sum())[0]
    ends = np.eye(count)[paths[:, 0]]
    return Filtered(found.probabilities @ ends, found.predicted @ ends, found.following @ ends, found.log_likelihood)


def fit_regimes(
    series: ArrayLike,
    regimes: int = 2,
    *,
    start: RegimeModel | None = None,
    tolerance: float = 1e-6,
    iterations_most: int = 2000,
) -> RegimeModel:
    """Fit Gaussian regimes by expectation and maximisation (Baum et al. 1970; Hamilton 1990).

    There is no chance in it: unless a start is given, one fit starts from quantiles of the level and one from
    quantiles of the distance from the median, and the likelier counts. Each iteration raises the likelihood.

    Args:
        series: (T,) observations, oldest first; at least 100.
        regimes: K, at least 2.
        start: A model to start from instead, such as that of the day before.
        tolerance: The gain in log-likelihood below which the fit ends.
        iterations_most: How many iterations it may take.

    Returns:
        The model, its regimes in order of variance.

    Raises:
        RiskInputError: the series is too short or does not vary, a regime vanishes, or the fit does not converge.
    """
    observed = history("series", series, shortest=SHORTEST)
    count = whole("regimes", regimes, least=2, most=len(observed) // 10)
    if float(np.ptp(observed)) <= 0:
        raise RiskInputError("series", "does not vary", "give a history in which something happens")
    number("tolerance", tolerance, above=0)
    whole("iterations_most", iterations_most, least=1)
    if start is not None:
        start.filter(observed[:1])  # refuses a model that is none
    distances = np.abs(observed - np.median(observed))
    starts = [_start(observed, scores, count) for scores in (observed, distances)] if start is None else [start]
    fits = [_climb(observed, model, tolerance, iterations_most) for model in starts]
    model = max(fits, key=lambda fit: fit[1])[0]
    order = np.argsort(model.variances, kind="stable")
    return RegimeModel(
        model.initial[order], model.transition[np.ix_(order, order)], model.means[order], model.variances[order]
    )


def regime_multiplier(probability_of_stress: ArrayLike, multiplier_max: float) -> Floats:
    """Return what margins are multiplied by, ``1 + (multiplier_max - 1) * probability``: from 1 up, never below.

    Args:
        probability_of_stress: Filtered probabilities, of any shape.
        multiplier_max: What certain stress multiplies by, at least 1.

    Raises:
        RiskInputError: a probability lies outside [0, 1], or the greatest multiplier below 1.
    """
    likely = array("probability_of_stress", probability_of_stress, least=0, most=1)
    return np.asarray(1 + (number("multiplier_max", multiplier_max, least=1) - 1) * likely)


def _chain(transition: ArrayLike) -> Floats:
    chain = array("transition", transition, ndim=2, least=0, most=1)
    if chain.shape[0] != chain.shape[1] or not len(chain):
        raise RiskInputError("transition", f"has shape {chain.shape}", "give a square matrix")
    if not np.allclose(chain.sum(axis=1), 1, rtol=0, atol=1e-9):
        raise RiskInputError("transition", "has a row that does not sum to 1", "give P(next | now) in rows")
    return chain


def _distribution(name: str, values: ArrayLike, count: int) -> Floats:
    chances = array(name, values, ndim=1, length=count, least=0, most=1)
    if abs(float(chances.sum()) - 1) > 1e-9:  # noqa: PLR2004 - room for rounding
        raise RiskInputError(name, f"sums to {float(chances.sum()):g}", "give probabilities that sum to 1")
    return chances


def _forward(log_densities: Floats, chain: Floats, first: Floats) -> tuple[Filtered, Floats, Floats]:
    """Return the filter, the densities as shares of each row's greatest, and the sums that scaled them."""
    peaks = log_densities.max(axis=1)
    shares = np.exp(log_densities - peaks[:, np.newaxis])
    filtered, predicted = np.empty_like(shares), np.empty_like(shares)
    sums = np.empty(len(shares))
    prior = first
    for place in range(len(shares)):
        predicted[place] = prior
        joint = prior * shares[place]
        total = joint.sum()
        if total <= 0:
            shares[place], peaks[place] = _rescaled(prior, log_densities[place])
            joint = prior * shares[place]
            total = joint.sum()
        sums[place] = total
        filtered[place] = joint / total
        prior = filtered[place] @ chain
    likelihood = float(np.sum(np.log(sums)) + np.sum(peaks))
    return Filtered(filtered, predicted, prior, likelihood), shares, sums


def _rescaled(prior: Floats, log_density: Floats) -> tuple[Floats, float]:
    """Return the shares and the peak of an observation whose only dense regimes are those that nothing leads to."""
    reached = prior > _LEAST_CHANCE
    peak = float(np.max(np.log(prior[reached]) + log_density[reached]))
    shares = np.zeros_like(prior)
    shares[reached] = np.exp(log_density[reached] - peak)
    return shares, peak


def _start(observed: Floats, scores: Floats, count: int) -> RegimeModel:
    """Return the regimes of equal numbers of observations, in order of their scores."""
    groups = np.array_split(np.argsort(scores, kind="stable"), count)
    least = _LEAST_VARIANCE * float(np.var(observed))
    chain = np.full((count, count), (1 - _STAYS) / (count - 1))
    np.fill_diagonal(chain, _STAYS)
    return RegimeModel(
        np.full(count, 1 / count),
        chain,
        np.array([observed[group].mean() for group in groups]),
        np.array([max(observed[group].var(), least) for group in groups]),
    )


def _climb(observed: Floats, start: RegimeModel, tolerance: float, iterations_most: int) -> tuple[RegimeModel, float]:
    model, before = start, -math.inf
    for _ in range(iterations_most):
        better, likelihood = _iteration(observed, model)
        if likelihood - before < tolerance:
            return model, likelihood
        model, before = better, likelihood
    raise RiskInputError("series", f"let the fit not converge in {iterations_most} steps", "give fewer regimes")


def _iteration(observed: Floats, model: RegimeModel) -> tuple[RegimeModel, float]:
    """Return the model of one more iteration, and the log-likelihood of the one given."""
    densities = gaussian_log_densities(observed, model.means, model.variances)
    filtered, shares, sums = _forward(densities, model.transition, model.initial)
    onward = np.ones_like(shares)
    scaled = shares / sums[:, np.newaxis]
    for place in range(len(observed) - 1, 0, -1):
        onward[place - 1] = model.transition @ (scaled[place] * onward[place])
    smoothed = filtered.probabilities * onward
    moves = model.transition * (filtered.probabilities[:-1].T @ (scaled[1:] * onward[1:]))
    weights, leaving = smoothed.sum(axis=0), moves.sum(axis=1)
    if np.any(weights < _LEAST_WEIGHT) or np.any(leaving <= 0):
        raise RiskInputError("series", "leaves a regime without observations", "give fewer regimes")
    means = observed @ smoothed / weights
    spreads = np.sum(smoothed * (observed[:, np.newaxis] - means) ** 2, axis=0) / weights
    least = _LEAST_VARIANCE * float(np.var(observed))
    better = RegimeModel(
        smoothed[0] / smoothed[0].sum(), moves / leaving[:, np.newaxis], means, np.maximum(spreads, least)
    )
    return better, filtered.log_likelihood
