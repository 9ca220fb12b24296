"""Regimes: the published filter and fits of others, and probabilities that never know the future."""

from __future__ import annotations

import ast
import math
from functools import cache
from importlib.util import find_spec
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hmmlearn.hmm import GaussianHMM
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats
from keeper.risk.regimes import (
    RegimeModel,
    expected_durations,
    fit_regimes,
    gaussian_log_densities,
    hamilton_filter,
    regime_multiplier,
    stationary,
    switching_autoregression,
)

GNP_CHAIN = np.array([[0.754673, 1 - 0.754673], [0.095915, 1 - 0.095915]])
GNP_MEANS = np.array([-0.358811, 1.163516])
GNP_VARIANCE = math.exp(-0.262658) ** 2
GNP_LAGS = np.array([0.013486, -0.057521, -0.246983, -0.212923])
CHAIN = np.array([[0.9, 0.08, 0.02], [0.2, 0.7, 0.1], [0.05, 0.15, 0.8]])
TWO = RegimeModel(
    np.array([0.5, 0.5]), np.array([[0.95, 0.05], [0.2, 0.8]]), np.array([0.0, -0.01]), np.array([0.0004, 0.01])
)
SERIES = st.lists(st.floats(-1, 1), min_size=2, max_size=30)


@cache
def published(module: str, name: str) -> Floats:
    """Return a series that the tests of statsmodels carry; they are read, not run, for they need marks of their own."""
    spec = find_spec(f"statsmodels.tsa.regime_switching.tests.{module}")
    assert spec is not None
    assert spec.origin is not None
    for statement in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return np.array(ast.literal_eval(statement.value), dtype=np.float64)
    raise AssertionError(name)


def gnp() -> Floats:
    """Return the quarterly growth of US real GNP, 1951 to 1984, in per cent (Hamilton 1989)."""
    return published("test_markov_autoregression", "rgnp")


def absolute_returns() -> Floats:
    """Return the 521 absolute weekly returns of the S&P 500 of Stata's manual."""
    return published("test_markov_regression", "areturns")


def normal(value: float, mean: float, variance: float) -> float:
    """Return the density of a normal law."""
    return math.exp(-0.5 * (value - mean) ** 2 / variance) / math.sqrt(2 * math.pi * variance)


def summed_over_paths(series: Floats, lags: Floats) -> tuple[float, Floats]:
    """Return the log-likelihood, and the last regime's probabilities, as a sum over every path of three regimes."""
    means, variances, kept, order = (-1.0, 0.3, 2.0), (0.5, 1.0, 3.0), stationary(CHAIN), len(lags)
    weights = np.zeros(3)
    for path in product(range(3), repeat=len(series)):
        weight = kept[path[0]] * math.prod(CHAIN[now, then] for now, then in pairwise(path))
        for place in range(order, len(series)):
            pulled = sum(lags[i] * (series[place - 1 - i] - means[path[place - 1 - i]]) for i in range(order))
            weight *= normal(series[place], means[path[place]] + pulled, variances[path[place]])
        weights[path[-1]] += weight
    return math.log(weights.sum()), weights / weights.sum()


def test_the_filter_is_hamiltons() -> None:
    """Hamilton (1989), US GNP, AR(4) with a switching mean: log-likelihood -181.2634 and the filtered recessions."""
    known = switching_autoregression(gnp(), GNP_CHAIN, GNP_MEANS, GNP_VARIANCE, GNP_LAGS)
    recessions = 1 - published("test_markov_autoregression", "hamilton_ar4_filtered")

    assert GNP_CHAIN[:, 0] == pytest.approx([0.7547, 0.0959], abs=5e-5)
    assert known.log_likelihood == pytest.approx(-181.26339, abs=5e-6)
    assert known.probabilities[:, 0] == pytest.approx(recessions, abs=1e-5)


def test_hamiltons_likelihood_is_at_its_height() -> None:
    """Hamilton (1989): a small step in any of the nine published parameters lowers the likelihood."""

    def likelihood(point: Floats) -> float:
        chain = np.array([[point[0], 1 - point[0]], [point[1], 1 - point[1]]])
        return switching_autoregression(gnp(), chain, point[2:4], point[4], point[5:]).log_likelihood

    best = np.array([*GNP_CHAIN[:, 0], *GNP_MEANS, GNP_VARIANCE, *GNP_LAGS])
    for place in range(len(best)):
        for step in (-0.01, 0.01):
            moved = best.copy()
            moved[place] += step
            assert likelihood(moved) < likelihood(best)


def test_recessions_last_a_year() -> None:
    """Hamilton (1989): a recession lasts 4.076 quarters on average, an expansion 10.426."""
    assert expected_durations(GNP_CHAIN) == pytest.approx([4.076, 10.426], abs=5e-4)


def test_a_switching_regression_is_statas() -> None:
    """Stata 14 manual, tsmswitch, absolute returns with switching variance: log-likelihood -745.7977."""
    returns = absolute_returns()
    means = np.array([0.7641424, 1.972771]) + returns[:-1, np.newaxis] * np.array([0.0790744, 0.527953])
    densities = gaussian_log_densities(returns[1:], means, np.array([0.5895792, 1.605333]) ** 2)
    chain = [[0.7530865, 1 - 0.7530865], [0.6825357, 1 - 0.6825357]]

    assert hamilton_filter(densities, chain).log_likelihood == pytest.approx(-745.7977, abs=5e-5)


@pytest.mark.slow
def test_the_fit_is_hmmlearns() -> None:
    """On the same returns hmmlearn 0.3 finds, seed 0, means 1.0512 and 2.9706, log-likelihood -749.2441."""
    returns = absolute_returns()
    theirs = GaussianHMM(2, random_state=0, n_iter=1000, tol=1e-8, covars_prior=0, covars_weight=1)
    theirs.fit(returns[:, np.newaxis])
    model = fit_regimes(returns, tolerance=1e-8)

    assert model.means == pytest.approx([1.0512, 2.9706], abs=2e-4)
    assert model.variances == pytest.approx([0.6221, 5.0434], abs=2e-4)
    assert model.filter(returns).log_likelihood == pytest.approx(-749.2441, abs=5e-5)
    assert model.filter(returns).log_likelihood == pytest.approx(theirs.score(returns[:, np.newaxis]), abs=1e-6)
    assert model.transition == pytest.approx(theirs.transmat_, abs=1e-4)


@pytest.mark.parametrize("lags", [[], [0.4], [0.3, -0.5]])
def test_the_filter_is_the_sum_over_all_paths(lags: list[float]) -> None:
    """Three regimes, six observations: the recursion gives what adding up all 729 paths gives."""
    series = np.array([0.1, -1.2, 2.5, 1.9, -0.4, 0.8])
    known = switching_autoregression(series, CHAIN, [-1.0, 0.3, 2.0], [0.5, 1.0, 3.0], lags)
    likelihood, last = summed_over_paths(series, np.array(lags))

    assert known.log_likelihood == pytest.approx(likelihood, rel=1e-9)
    assert known.probabilities[-1] == pytest.approx(last, rel=1e-9)
    assert known.following == pytest.approx(last @ CHAIN, rel=1e-9)


@given(SERIES, st.floats(-1, 1))
def test_filtered_probabilities_are_probabilities_and_know_no_future(series: list[float], other: float) -> None:
    """Rows sum to one, and the last observation changes nothing before it."""
    known, changed = TWO.filter(series), TWO.filter([*series[:-1], other])

    assert known.probabilities.shape == (len(series), 2)
    assert np.all(known.probabilities >= 0)
    for rows in (known.probabilities, known.predicted, known.following[np.newaxis]):
        assert rows.sum(axis=1) == pytest.approx(np.ones(len(rows)), abs=1e-12)
    assert np.array_equal(known.probabilities[:-1], changed.probabilities[:-1])
    assert np.array_equal(known.predicted, changed.predicted)


@pytest.mark.slow
@given(st.floats(0, 1), st.floats(0, 1), st.floats(1, 10))
def test_regimes_only_raise_margins(one: float, other: float, most: float) -> None:
    """The multiplier is at least 1, at most its limit, and rises with the probability of stress."""
    low, high = regime_multiplier(sorted((one, other)), most)

    assert 1 <= low <= high <= most * (1 + 1e-15)
    assert regime_multiplier([0, 1], most) == pytest.approx([1, most])


@pytest.mark.slow
def test_iterations_only_climb() -> None:
    """A fit begun from a worse model ends at a likelihood that is no lower, and knows its regimes by their variance."""
    rng = np.random.default_rng(5)
    calm, wild = rng.normal(0.001, 0.02, 400), rng.normal(-0.01, 0.09, 100)
    series = np.concatenate((calm, wild, calm[::-1]))
    model = fit_regimes(series)

    assert model.filter(series).log_likelihood > TWO.filter(series).log_likelihood
    assert fit_regimes(series, start=TWO).variances == pytest.approx(model.variances, rel=1e-3)
    assert np.sqrt(model.variances) == pytest.approx([0.02, 0.09], rel=0.15)
    assert model.filter(series).probabilities[399:500, 1].mean() > 0.9
    assert fit_regimes(series, 3).variances.tolist() == sorted(fit_regimes(series, 3).variances)


def test_an_observation_that_only_a_hopeless_regime_explains_still_counts() -> None:
    """When what could be dense has no way in, the regimes with one share the observation, and nothing is undefined."""
    chain = np.array([[1.0, 0.0], [0.5, 0.5]])
    known = hamilton_filter([[-2000.0, -1.0], [-1.0, -1.0]], chain, [1.0, 0.0])

    assert known.probabilities.tolist() == [[1.0, 0.0], [1.0, 0.0]]
    assert known.log_likelihood == pytest.approx(-2001)


def test_a_chain_keeps_its_stationary_distribution() -> None:
    """The distribution sums to one and stays the same after a step."""
    kept = stationary(CHAIN)

    assert kept.sum() == pytest.approx(1)
    assert kept @ CHAIN == pytest.approx(kept, rel=1e-12)


def test_what_is_no_model_is_refused() -> None:
    """Rows that do not sum to one, shapes that do not fit, histories that hold no regimes: all named."""
    with pytest.raises(RiskInputError, match="row that does not sum"):
        stationary([[0.9, 0.2], [0.1, 0.9]])
    with pytest.raises(RiskInputError, match="more than one distribution"):
        stationary(np.eye(2))
    with pytest.raises(RiskInputError, match="never ends"):
        expected_durations([[1.0, 0.0], [0.5, 0.5]])
    with pytest.raises(RiskInputError, match="log_densities"):
        hamilton_filter([[0.0, 0.0, 0.0]], GNP_CHAIN)
    with pytest.raises(RiskInputError, match="initial: sums to"):
        hamilton_filter([[0.0, 0.0]], GNP_CHAIN, [0.9, 0.9])
    with pytest.raises(RiskInputError, match="means"):
        gaussian_log_densities([0.0, 1.0], [0.0, 1.0], [1.0, 1.0, 1.0])
    with pytest.raises(RiskInputError, match="paths"):
        switching_autoregression(np.zeros(20), CHAIN, [0.0, 1.0, 2.0], 1.0, np.zeros(8))
    with pytest.raises(RiskInputError, match="does not vary"):
        fit_regimes(np.zeros(200))
    with pytest.raises(RiskInputError, match="has 99 values"):
        fit_regimes(np.zeros(99))
    with pytest.raises(RiskInputError, match="not converge in 1 steps"):
        fit_regimes(np.sin(np.arange(200.0)), iterations_most=1)
    with pytest.raises(RiskInputError, match="without observations"):
        fit_regimes(np.sin(np.arange(200.0)), start=TWO._replace(means=np.array([0.0, 1e6])))
    with pytest.raises(RiskInputError, match="multiplier_max"):
        regime_multiplier(0.5, 0.9)
    with pytest.raises(RiskInputError, match="probability_of_stress"):
        regime_multiplier(1.5, 2)
