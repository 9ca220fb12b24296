"""GARCH: a textbook's numbers, and the same likelihood and optimum as an independent program."""

from __future__ import annotations

import csv
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from arch import arch_model
from arch.data import sp500
from arch.univariate import GARCH, Normal, StudentsT
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.lab.stress.closes import daily_closes
from keeper.risk import garch
from keeper.risk.garch import (
    GarchParams,
    fit_garch,
    garch_cumulative,
    garch_forecast,
    garch_log_likelihood,
    garch_update,
    garch_variances,
    long_run_variance,
)
from keeper.risk.inputs import Floats
from keeper.risk.volatility import ewma_variances
from tests.risk.nine_years import log_returns

HULL = GarchParams(mu=0.0, omega=2e-6, alpha=0.13, beta=0.86)
PUBLISHED = GarchParams(mu=0.056353, omega=0.017507, alpha=0.10215, beta=0.885206)
PUBLISHED_GJR = GarchParams(mu=0.017505, omega=0.019566, alpha=0.0, beta=0.892236, gamma=0.183069)
BENCHMARK = GarchParams(mu=-0.00619041, omega=0.0107613, alpha=0.153134, beta=0.805974)
"""Fiorentini, Calzolari and Panattoni (1996): the mark against the pound."""
SHARES = st.floats(0, 0.5)


@cache
def sp500_returns() -> Floats:
    """Return the daily per-cent returns of the S&P 500, 1999 to 2018, that ship with arch."""
    closes: Floats = sp500.load()["Adj Close"].to_numpy(dtype=np.float64)
    return np.asarray(100 * np.diff(closes) / closes[:-1])


@cache
def dem_gbp() -> Floats:
    """Return the 1,974 daily per-cent returns of the mark against the pound (Bollerslev and Ghysels 1996)."""
    with (Path(__file__).parent / "data" / "dem_gbp.csv").open(encoding="utf-8", newline="") as file:
        return np.array([float(row["return_percent"]) for row in csv.DictReader(file)])


def archs_backcast(returns: Floats) -> float:
    """Return arch's own start: the mean of the first 75 squared residuals, weighted by powers of 0.94."""
    weights = 0.94 ** np.arange(75)
    residuals = returns - returns.mean()
    return float(weights @ residuals[:75] ** 2 / weights.sum())


def archs_log_likelihood(returns: Floats, params: GarchParams, backcast: float) -> float:
    """Return what arch's recursion and normal law make of the same parameters and start."""
    residuals, variances = returns - params.mu, np.empty(len(returns))
    limits = np.tile([1e-12, 1e12], (len(returns), 1))
    point = np.array([params.omega, params.alpha, params.gamma, params.beta])
    GARCH(p=1, o=1, q=1).compute_variance(point, residuals, variances, backcast, limits)
    return float(Normal().loglikelihood([], residuals, variances))


def test_one_step_is_the_textbooks() -> None:
    """Hull, Options, Futures and Other Derivatives, GARCH example: 1.5335 % next, 1.4142 % in the long run."""
    # The backcast that makes the first variance 0.016 squared.
    backcast = (0.016**2 - HULL.omega) / HULL.persistence
    variances = garch_variances([0.01], HULL, backcast)

    assert variances == pytest.approx([0.016**2, 0.00023516], rel=1e-9)
    assert math.sqrt(variances[-1]) == pytest.approx(0.015335, abs=5e-7)
    assert math.sqrt(long_run_variance(HULL)) == pytest.approx(0.014142, abs=5e-7)


@pytest.mark.parametrize("params", [PUBLISHED, PUBLISHED_GJR])
@pytest.mark.parametrize("start", ["own", "mean"])
def test_the_likelihood_is_archs(params: GarchParams, start: str) -> None:
    """For fixed parameters and either start our log-likelihood is that of arch 8, and of the start that was named."""
    returns = sp500_returns()
    mean = float(np.mean((returns - params.mu) ** 2))
    backcast = archs_backcast(returns) if start == "own" else mean

    assert garch_log_likelihood(returns, params, backcast) == pytest.approx(
        archs_log_likelihood(returns, params, backcast), rel=1e-9
    )
    assert garch_log_likelihood(returns, params) == garch_log_likelihood(returns, params, mean)


def test_the_fit_is_archs() -> None:
    """The arch documentation, S&P 500 1999-2018, GARCH(1,1) with arch's backcast: parameters and log-likelihood."""
    returns = sp500_returns()
    fit = fit_garch(returns, backcast=archs_backcast(returns))

    assert fit.params == pytest.approx(PUBLISHED, abs=5e-7)
    assert fit.log_likelihood == pytest.approx(-6936.718, abs=5e-4)
    assert fit.variances == pytest.approx(
        garch_variances(returns - fit.params.mu, fit.params, archs_backcast(returns)), rel=1e-12
    )


def test_the_asymmetric_fit_is_archs() -> None:
    """The arch documentation, GJR-GARCH on the same: gamma .183069, log-likelihood -6822.883; only falls count."""
    returns = sp500_returns()
    fit = fit_garch(returns, backcast=archs_backcast(returns), asymmetric=True)

    assert fit.params == pytest.approx(PUBLISHED_GJR, abs=1e-6)
    assert fit.log_likelihood == pytest.approx(-6822.883, abs=5e-4)


def test_the_fit_to_the_benchmark_is_the_published_one() -> None:
    """Fiorentini, Calzolari and Panattoni (1996): every parameter as printed, and no likelihood above ours."""
    returns = dem_gbp()
    fit = fit_garch(returns)

    assert len(returns) == 1_974
    assert fit.params == pytest.approx(BENCHMARK, abs=5e-7)
    assert fit.params.mu == pytest.approx(BENCHMARK.mu, abs=5e-8)
    assert fit.log_likelihood >= garch_log_likelihood(returns, BENCHMARK) > fit.log_likelihood - 1e-7


def test_the_fit_to_the_benchmark_depends_on_the_start() -> None:
    """With the sample's variance as start the likelihood is -1106.60665; with arch's own start alpha is .14548."""
    returns = dem_gbp()
    fixed = fit_garch(returns, backcast=float(np.var(returns)))
    own = fit_garch(returns, backcast=archs_backcast(returns))

    assert fixed.log_likelihood == pytest.approx(-1106.60665, abs=5e-6)
    assert fixed.params == pytest.approx((-0.006173, 0.0107610, 0.1531321, 0.8059774, 0), abs=1e-5)
    assert own.params[2:4] == pytest.approx((0.14548, 0.81684), abs=1e-5)


@pytest.mark.parametrize("nu", [2.1, 3.17, 30.0])
def test_the_likelihood_of_students_t_is_archs(nu: float) -> None:
    """For fixed parameters the log-likelihood under a t of unit variance is that of arch 8, and the normal at last."""
    returns = sp500_returns()
    residuals, variances = returns - PUBLISHED.mu, garch_variances(returns - PUBLISHED.mu, PUBLISHED, 1.0)[:-1]

    assert garch_log_likelihood(returns, PUBLISHED, 1.0, nu) == pytest.approx(
        float(StudentsT().loglikelihood([nu], residuals, variances)), rel=1e-9
    )
    assert garch_log_likelihood(returns, PUBLISHED, 1.0, 1e9) == pytest.approx(
        garch_log_likelihood(returns, PUBLISHED, 1.0), rel=1e-6
    )


@pytest.mark.parametrize(("coin", "nu"), [("btc", 3.17), ("eth", 3.22)])
def test_nine_years_of_coins_have_three_degrees_of_freedom(coin: str, nu: float) -> None:
    """GARCH-t of daily bitcoin and ether: nu 3.17 and 3.22, alpha + beta 1.00, and the likelihood that arch 8 finds."""
    returns = 100 * log_returns(coin)
    fit = fit_garch(returns, backcast=archs_backcast(returns), student=True)
    theirs = arch_model(returns, dist="t").fit(disp="off")

    assert fit.nu == pytest.approx(nu, abs=5e-3)
    assert fit.params.persistence == pytest.approx(1, abs=5e-3)
    assert fit.params.persistence < 1
    assert fit.log_likelihood == pytest.approx(theirs.loglikelihood, abs=1e-5)
    assert fit.log_likelihood > fit_garch(returns, backcast=archs_backcast(returns)).log_likelihood + 100


def test_an_asymmetric_fit_of_students_t_is_archs() -> None:
    """On the S&P 500 arch 8 finds the same nu, the same weight of falls and the same likelihood."""
    returns = sp500_returns()
    fit = fit_garch(returns, backcast=archs_backcast(returns), asymmetric=True, student=True)
    theirs = arch_model(returns, o=1, dist="t").fit(disp="off", options={"ftol": 1e-12})

    assert (fit.nu, fit.params.gamma) == pytest.approx((theirs.params["nu"], theirs.params["gamma[1]"]), rel=1e-4)
    assert fit.log_likelihood == pytest.approx(theirs.loglikelihood, abs=1e-6)


def test_a_law_without_variance_is_refused() -> None:
    """Two degrees of freedom have no variance, and no number has none."""
    for nu in (2.0, math.nan, -math.inf):
        with pytest.raises(RiskInputError, match="nu"):
            garch_log_likelihood([0.1, 0.2], HULL, 1.0, nu)


def test_ewma_on_the_same_returns_is_archs() -> None:
    """The arch documentation, S&P 500: the EWMA(.94) one-step variance forecast is 3.138324."""
    assert ewma_variances(sp500_returns())[-1] == pytest.approx(3.138324, abs=5e-7)


def test_a_fit_beats_its_neighbours() -> None:
    """No step off the fit to the recorded bitcoin closes raises the likelihood."""
    returns = np.diff(np.log(daily_closes().btc))
    fit = fit_garch(returns)

    for place in range(4):
        for factor in (0.99, 1.01):
            moved = list(fit.params)
            moved[place] *= factor
            assert garch_log_likelihood(returns, GarchParams(*moved)) < fit.log_likelihood


def test_a_fit_knows_no_unit() -> None:
    """Returns in per cent have a hundred times the mean and ten thousand times the variance."""
    returns = sp500_returns()[:1000]
    one, hundred = fit_garch(returns / 100), fit_garch(returns)

    assert hundred.params.mu == pytest.approx(100 * one.params.mu, rel=1e-9)
    assert hundred.params.omega == pytest.approx(1e4 * one.params.omega, rel=1e-9)
    assert hundred.params[2:] == pytest.approx(one.params[2:], rel=1e-9)
    assert hundred.params == fit_garch(returns).params


def test_a_simulated_law_is_found_again() -> None:
    """Twenty thousand returns of a known law give its parameters back."""
    rng, variance, returns = np.random.default_rng(11), 1.0, []
    for shock in rng.standard_normal(20_000):
        returns.append(shock * math.sqrt(variance))
        variance = 0.05 + 0.1 * returns[-1] ** 2 + 0.85 * variance

    assert fit_garch(returns).params[1:] == pytest.approx((0.05, 0.1, 0.85, 0.0), abs=0.02)


def test_what_comes_later_goes_to_the_long_run() -> None:
    """The k-step formula is V + (alpha + beta)^k (v - V), and the recursion applied k times."""
    level, now = long_run_variance(HULL), 0.0004
    steps = np.arange(6)
    expected = [now]
    for _ in steps[1:]:
        expected.append(HULL.omega + HULL.persistence * expected[-1])

    assert garch_forecast(HULL, now, steps) == pytest.approx(level + 0.99**steps * (now - level), rel=1e-9)
    assert garch_forecast(HULL, now, steps) == pytest.approx(expected, rel=1e-9)
    assert garch_forecast(HULL, now, 10_000) == pytest.approx(level, rel=1e-9)
    assert garch_cumulative(HULL, [now, level], 6) == pytest.approx([sum(expected), 6 * level], rel=1e-9)


def test_integrated_variance_only_grows() -> None:
    """With a persistence of 1 there is no long run, and each step adds omega."""
    integrated = GarchParams(0.0, 1e-6, 0.25, 0.75)

    assert garch_forecast(integrated, 1e-4, [0, 1, 10]) == pytest.approx([1e-4, 1.01e-4, 1.1e-4], rel=1e-9)
    nearly = integrated._replace(beta=0.75 - 1e-12)
    assert garch_forecast(nearly, 1e-4, 10) == pytest.approx(1.1e-4, rel=1e-9)
    assert garch_forecast(GarchParams(0.0, 1e-6, 0.0, 0.0), 1e-4, [0, 1]) == pytest.approx([1e-4, 1e-6], rel=1e-9)
    with pytest.raises(RiskInputError, match="persistence"):
        long_run_variance(integrated)


@pytest.mark.slow
@given(st.lists(st.floats(-1, 1), min_size=1, max_size=40), SHARES, SHARES, st.floats(1e-6, 1), st.floats(-0.5, 0.5))
def test_variances_are_positive_and_follow_the_recursion(
    residuals: list[float], alpha: float, beta: float, omega: float, skew: float
) -> None:
    """Every variance is at least omega, and each is made of the one before it."""
    params = GarchParams(0.0, omega, alpha, beta, 2 * skew * min(alpha, 1 - alpha - beta))
    variances = garch_variances(residuals, params, 0.5)

    assert np.all(variances >= omega)
    assert variances[0] == pytest.approx(omega + params.persistence * 0.5)
    for before, residual, after in zip(variances[:-1], residuals, variances[1:], strict=True):
        weight = alpha + (params.gamma if residual < 0 else 0)
        assert after == pytest.approx(omega + weight * residual**2 + beta * before)
    assert garch_update(params, variances[:-1], residuals) == pytest.approx(variances[1:], rel=1e-12)


@pytest.mark.parametrize(
    ("params", "wrong"),
    [
        (HULL._replace(omega=0.0), "omega"),
        (HULL._replace(alpha=-0.1), "alpha"),
        (HULL._replace(beta=math.nan), "beta"),
        (HULL._replace(gamma=-0.2), "gamma"),
        (HULL._replace(beta=0.88), "persistence"),
    ],
)
def test_parameters_that_explode_are_refused(params: GarchParams, wrong: str) -> None:
    """A variance that could turn negative or grow for ever is none."""
    with pytest.raises(RiskInputError, match=wrong):
        garch_variances([0.1], params, 1.0)


def test_one_more_residual_is_checked_as_all_are() -> None:
    """A step from a negative variance, by no number, or with parameters that explode is refused."""
    with pytest.raises(RiskInputError, match="variance"):
        garch_update(HULL, -1e-9, 0.1)
    with pytest.raises(RiskInputError, match="residual"):
        garch_update(HULL, 1e-4, math.nan)
    with pytest.raises(RiskInputError, match="persistence"):
        garch_update(HULL._replace(beta=0.88), 1e-4, 0.1)


def test_histories_that_fit_nothing_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too short, constant, holed, or not converged: no parameters come out of it."""
    with pytest.raises(RiskInputError, match="has 99 values"):
        fit_garch(np.ones(99))
    with pytest.raises(RiskInputError, match="do not vary"):
        fit_garch(np.full(200, 0.01))
    with pytest.raises(RiskInputError, match=r"returns\[3\]: is nan"):
        fit_garch([0.1, 0.2, 0.1, math.nan] * 50)
    with pytest.raises(RiskInputError, match="backcast"):
        garch_variances([0.1], HULL, "first")  # type: ignore[arg-type] # a name nobody knows
    monkeypatch.setattr(garch, "_STEPS_MOST", 1)
    with pytest.raises(RiskInputError, match="not converge"):
        fit_garch(sp500_returns())
