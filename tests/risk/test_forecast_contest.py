"""A challenger takes the championship only by days that it had not seen."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm

from keeper.core.errors import RiskInputError
from keeper.lab.stress.closes import daily_closes
from keeper.risk.forecast_contest import (
    SIGNIFICANT,
    diebold_mariano,
    qlike_losses,
    regime_variances,
    squared_losses,
    walk_forward,
)
from keeper.risk.regimes import fit_regimes


def two_states(days: int) -> np.ndarray:
    """Return returns whose volatility jumps between 1 % and 8 % every tenth day or so, without any trace before."""
    rng = np.random.default_rng(17)
    state = np.cumsum(rng.random(days) < 0.1) % 2
    return np.asarray(rng.standard_normal(days) * np.where(state == 1, 0.08, 0.01))


def test_the_statistic_is_that_of_a_regression_on_a_constant() -> None:
    """Diebold and Mariano's statistic is statsmodels' t-value of a constant with Newey-West errors."""
    rng = np.random.default_rng(2)
    one, other = rng.gamma(2.0, size=500), rng.gamma(2.1, size=500)
    fit = sm.OLS(one - other, np.ones(500)).fit(cov_type="HAC", cov_kwds={"maxlags": 5, "use_correction": False})

    assert diebold_mariano(one, other) == pytest.approx(fit.tvalues[0], rel=1e-9)
    assert diebold_mariano(other, one) == pytest.approx(-fit.tvalues[0], rel=1e-9)
    assert diebold_mariano(one, one) == 0


def test_losses_are_least_at_the_truth() -> None:
    """Both losses of a day are least for the forecast that equals its squared return."""
    variances = np.array([0.0002, 0.0004, 0.0008])

    assert qlike_losses(variances, 0.02).argmin() == 1
    assert squared_losses(variances, 0.02).argmin() == 1
    assert qlike_losses(0.0004, 0.02) == pytest.approx(np.log(0.0004) + 1, rel=1e-12)
    assert squared_losses(0.0002, 0.02) == pytest.approx(4e-8, rel=1e-12)


@pytest.mark.slow
def test_regimes_win_where_there_are_regimes() -> None:
    """On returns that jump between two volatilities the regimes take the championship."""
    contest = walk_forward(two_states(1500), first=500, refit_every=500)

    assert contest.days == 1000
    assert contest.winner == "challenger"
    assert contest.challenger_qlike < contest.champion_qlike
    assert contest.diebold_mariano_qlike > SIGNIFICANT


@pytest.mark.soak
def test_ewma_stays_champion_of_bitcoin() -> None:
    """On the recorded bitcoin closes two regimes do not forecast variance better than EWMA(.94)."""
    contest = walk_forward(np.diff(np.log(daily_closes().btc)), first=500, refit_every=500)

    assert (contest.champion, contest.challenger, contest.days) == ("EWMA(0.94)", "2 regimes", 2648)
    assert contest.winner == "champion"
    assert contest.champion_qlike == pytest.approx(-5.849412, abs=1e-6)
    assert contest.diebold_mariano_qlike < 0


@pytest.mark.slow
def test_no_forecast_knows_its_day() -> None:
    """Another last return changes no forecast but the one after it."""
    returns = two_states(600)
    model = fit_regimes(returns[:500])
    changed = returns.copy()
    changed[-1] = 0.5

    assert np.array_equal(regime_variances(model, returns)[:-1], regime_variances(model, changed)[:-1])
    assert regime_variances(model, changed)[-1] > regime_variances(model, returns)[-1]


def test_too_little_is_no_contest() -> None:
    """A short history, unequal lengths and a constant lead are refused."""
    with pytest.raises(RiskInputError, match="returns: has 109 values"):
        walk_forward(np.zeros(109), first=100)
    with pytest.raises(RiskInputError, match="first"):
        walk_forward(np.zeros(500), first=50)
    with pytest.raises(RiskInputError, match="challenger_losses"):
        diebold_mariano(np.ones(20), np.ones(19))
    with pytest.raises(RiskInputError, match="always by as much"):
        diebold_mariano(np.ones(20), np.zeros(20))
    with pytest.raises(RiskInputError, match="variances"):
        qlike_losses([0.0], [0.1])
