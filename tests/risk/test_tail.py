"""VaR and ES: published figures, an independent integral, and what must hold of every portfolio."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import Floats
from keeper.risk.tail import (
    historical_es,
    historical_var,
    normal_es_z,
    normal_var_z,
    parametric_es,
    parametric_var,
    spot_losses,
    student_es_z,
    student_var_z,
    tails,
)

LEVELS = st.floats(0.5, 0.9999)
LOSSES = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=60)

HULL_EXPOSURES_USD = [10e6, 5e6]
HULL_COVARIANCE = [[0.02**2, 0.3 * 0.02 * 0.01], [0.3 * 0.02 * 0.01, 0.01**2]]
"""Hull, Risk Management and Financial Institutions: 10 million USD at 2 % a day, 5 million at 1 %, correlation 0.3."""


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (normal_var_z(0.99), 2.326348),
        (normal_es_z(0.99), 2.665214),
        (normal_es_z(0.975), 2.337803),
        (student_var_z(0.99, 4), 2.649492),
        (student_es_z(0.99, 4), 3.691510),
        (student_var_z(0.99, 5), 2.606464),
        (student_es_z(0.99, 5), 3.448837),
    ],
)
def test_the_multiples_of_a_standard_deviation(figure: float, expected: float) -> None:
    """Quantiles and expected shortfalls of the normal and of the t of unit variance are those of the tables."""
    assert figure == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("level", [0.9, 0.975, 0.99, 0.999])
@pytest.mark.parametrize("nu", [2.5, 4.0, 30.0])
def test_the_shortfall_is_the_integral_of_the_tail(level: float, nu: float) -> None:
    """ES is the mean of the quantiles beyond the level (Acerbi and Tasche), for the t as for the normal."""
    student, _ = integrate.quad(lambda q: stats.t.ppf(q, nu) * math.sqrt((nu - 2) / nu), level, 1, limit=500)
    normal, _ = integrate.quad(stats.norm.ppf, level, 1)

    assert student_es_z(level, nu) == pytest.approx(student / (1 - level), rel=1e-6)
    assert normal_es_z(level) == pytest.approx(normal / (1 - level), rel=1e-6)


def test_a_t_of_many_degrees_is_the_normal() -> None:
    """With a million degrees of freedom nothing is left of the fat tail."""
    assert student_var_z(0.99, 1e6) == pytest.approx(normal_var_z(0.99), rel=1e-5)
    assert student_es_z(0.99, 1e6) == pytest.approx(normal_es_z(0.99), rel=1e-5)


def test_hulls_two_assets_over_a_day() -> None:
    """10 million at 2 % a day and 5 million at 1 %, correlation 0.3, risk 512,325 USD at 99 % (Hull)."""
    var = parametric_var(HULL_EXPOSURES_USD, HULL_COVARIANCE, 0.99)

    assert var.total / normal_var_z(0.99) == pytest.approx(220_227, abs=0.5)
    assert var.standalone == pytest.approx([465_270, 116_317], abs=0.5)
    assert var.total == pytest.approx(512_325, abs=0.5)
    assert var.components == pytest.approx([454_226, 58_099], abs=0.5)


def test_hulls_two_assets_over_ten_days() -> None:
    """Over ten days the same portfolio risks 1,620,114 USD, 219,026 less than its parts alone (Hull)."""
    var = parametric_var(HULL_EXPOSURES_USD, HULL_COVARIANCE, 0.99, horizon_days=10)

    assert var.standalone == pytest.approx([1_471_312, 367_828], abs=0.5)
    assert var.total == pytest.approx(1_620_114, abs=0.5)
    assert var.diversification == pytest.approx(219_026, abs=0.5)


def test_the_parametric_shortfall_and_the_t_scale_the_same_sigma() -> None:
    """VaR and ES of one portfolio, normal or Student, differ by their multiples alone."""
    sigma = parametric_var(HULL_EXPOSURES_USD, HULL_COVARIANCE, 0.99).total / normal_var_z(0.99)

    assert parametric_es(HULL_EXPOSURES_USD, HULL_COVARIANCE, 0.99).total == pytest.approx(
        sigma * normal_es_z(0.99), rel=1e-12
    )
    assert parametric_var(HULL_EXPOSURES_USD, HULL_COVARIANCE, 0.99, nu=4).total == pytest.approx(
        sigma * student_var_z(0.99, 4), rel=1e-12
    )
    assert parametric_es(HULL_EXPOSURES_USD, HULL_COVARIANCE, 0.99, nu=4).total == pytest.approx(
        sigma * student_es_z(0.99, 4), rel=1e-12
    )


@st.composite
def portfolios(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Draw exposures and a covariance that is one."""
    assets = draw(st.integers(1, 6))
    chance = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    factors = chance.normal(0, 0.03, (assets, draw(st.integers(1, 6))))
    return chance.normal(0, 1e6, assets), factors @ factors.T


@given(portfolios(), LEVELS, st.floats(0.1, 100))
def test_components_sum_to_the_total(portfolio: tuple[Floats, Floats], level: float, days: float) -> None:
    """Whatever is held, the components of VaR sum to VaR and those of ES to ES, and ES is no less."""
    var, es = parametric_var(*portfolio, level, days), parametric_es(*portfolio, level, days)

    for figure in (var, es):
        assert math.fsum(figure.components) == pytest.approx(figure.total, rel=1e-9, abs=1e-6)
        assert figure.diversification >= -1e-9 * figure.standalone.sum()
    assert es.total >= var.total


@given(portfolios(), LEVELS, st.floats(0.01, 100))
def test_twice_the_book_is_twice_the_risk(portfolio: tuple[Floats, Floats], level: float, times: float) -> None:
    """VaR and every component are homogeneous of degree one, and a book sold short risks what it risks long."""
    held, covariance = portfolio
    one, many, short = (parametric_var(held * factor, covariance, level) for factor in (1, times, -1))

    assert many.total == pytest.approx(times * one.total, rel=1e-9)
    assert many.components == pytest.approx(times * one.components, rel=1e-9, abs=1e-9 * many.total)
    assert short.total == pytest.approx(one.total, rel=1e-12)


def test_an_empty_book_risks_nothing() -> None:
    """No exposure, no risk, and no division by it."""
    assert parametric_var([0.0, 0.0], HULL_COVARIANCE, 0.99).total == 0
    assert parametric_var([0.0, 0.0], HULL_COVARIANCE, 0.99).components.tolist() == [0, 0]


def test_the_empirical_quantile_is_interpolated_between_ranks() -> None:
    """Of the losses 1 ... 101 the one at 99 % is 100, and ES the mean of 100 and 101; of 1 ... 11 it lies between."""
    assert historical_var(np.arange(1.0, 102.0), 0.99) == 100
    assert historical_es(np.arange(1.0, 102.0), 0.99) == 100.5
    assert historical_var(np.arange(1.0, 12.0), 0.95) == 10.5
    assert historical_es(np.arange(1.0, 12.0), 0.95) == 11


@given(LOSSES, LEVELS)
def test_the_shortfall_is_never_less_than_the_quantile(losses: list[float], level: float) -> None:
    """ES is at least VaR, both are within the sample, and the order of days is all the same."""
    var, es = historical_var(losses, level), historical_es(losses, level)

    assert min(losses) <= var <= es <= max(losses)
    assert historical_var(losses[::-1], level) == var


@given(LOSSES, LEVELS, LEVELS)
def test_a_higher_level_is_a_larger_loss(losses: list[float], first: float, second: float) -> None:
    """VaR and ES rise with the confidence."""
    low, high = sorted((first, second))
    slack = 1e-9 * max(map(abs, losses))

    assert historical_var(losses, low) <= historical_var(losses, high) + slack
    assert historical_es(losses, low) <= historical_es(losses, high) + slack


def test_accounts_in_rows_are_as_each_alone() -> None:
    """VaR and ES of many accounts at once are those of one after the other."""
    losses = np.random.default_rng(5).standard_t(4, (7, 300))
    found = tails(losses, 0.99)

    assert found.var.tolist() == [historical_var(row, 0.99) for row in losses]
    assert found.es.tolist() == [historical_es(row, 0.99) for row in losses]


def test_a_spot_position_loses_by_the_simple_return() -> None:
    """At a log return of ln(1/2) a long position loses its half, and a short one of two doubles."""
    losses = spot_losses([[100.0, 0.0], [0.0, -50.0]], [[math.log(0.5), math.log(2.0)]])

    assert losses == pytest.approx(np.array([[50.0], [50.0]]), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [[math.nan]], 0.99), r"covariance\[0\]\[0\]: is nan"),
        (([1.0, 2.0], [[1.0, 0.5]], 0.99), "covariance: has shape"),
        (([1.0, 2.0], [[1.0], [1.0]], 0.99), "give 2 rows of 2"),
        (([1.0, 2.0], [[1.0, 0.5], [0.2, 1.0]], 0.99), "covariance: is not symmetric"),
        (([1.0, 2.0], [[1.0, 2.0], [2.0, 1.0]], 0.99), "covariance: has a negative eigenvalue"),
        (([1.0], [[-1.0]], 0.99), r"variances\[0\]: is -1"),
        (([], [[1.0]], 0.99), "exposures_usd: has 0 values"),
        (([1.0], [[1.0]], 1.0), "level: is 1; give a number of at least 0.5 and at most 0.99999"),
        (([1.0], [[1.0]], 0.99, 0.0), "horizon_days: is 0"),
        (([1.0], [[1.0]], 0.99, 1.0, 2.0), "nu: is 2; give a number of more than 2"),
    ],
)
def test_a_portfolio_that_gives_no_figure_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    """A hole, another shape and a matrix that is no covariance are named."""
    with pytest.raises(RiskInputError, match=message):
        parametric_var(*arguments)


def test_losses_that_give_no_figure_are_refused() -> None:
    """One loss is no history, and two kinds of assets are no book."""
    with pytest.raises(RiskInputError, match="losses: has 1 values"):
        historical_var([1.0], 0.99)
    with pytest.raises(RiskInputError, match="losses: have 1 scenarios"):
        tails([[1.0]], 0.99)
    with pytest.raises(RiskInputError, match="has 1 assets; give 2"):
        spot_losses([[1.0]], [[0.1, 0.2]])
