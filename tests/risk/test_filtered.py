"""Filtered historical simulation: nine years of bitcoin and ether, and what must hold of every history."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.passage import ruin_probability
from keeper.risk.tail import (
    fhs_es,
    fhs_paths,
    fhs_scenarios,
    fhs_var,
    historical_es,
    historical_var,
    residuals,
    spot_losses,
    tails,
)
from keeper.risk.volatility import ewma_variances
from tests.risk.nine_years import log_returns

SEEDS = st.integers(0, 2**32 - 1)


# From the daily closes of 2017-08-18 to 2026-04-01, computed once by other code than this.
@pytest.mark.parametrize(
    ("asset", "var_99", "es_975", "es_99"), [("btc", 0.1046, 0.1102, 0.1455), ("eth", 0.1338, 0.1439, 0.1907)]
)
def test_the_tails_of_nine_years(asset: str, var_99: float, es_975: float, es_99: float) -> None:
    """Over the whole file the worst day of a hundred lost 10.46 % of bitcoin and 13.38 % of ether, as log returns."""
    losses = -log_returns(asset)

    assert historical_var(losses, 0.99) == pytest.approx(var_99, abs=5e-5)
    assert historical_es(losses, 0.975) == pytest.approx(es_975, abs=5e-5)
    assert historical_es(losses, 0.99) == pytest.approx(es_99, abs=5e-5)


def test_both_assets_move_together() -> None:
    """The daily log returns of bitcoin and ether have a correlation of 0.7967."""
    assert np.corrcoef(log_returns("btc"), log_returns("eth")).min() == pytest.approx(0.7967, abs=5e-5)


def test_scenarios_are_residuals_at_the_volatility_of_today() -> None:
    """A scenario is a past return, over the volatility forecast for it, times that forecast for the day to come."""
    returns = log_returns("btc")
    variances = ewma_variances(returns)
    scenarios = fhs_scenarios(returns)

    assert len(scenarios) == 500
    assert scenarios[0] == pytest.approx(returns[-500] * math.sqrt(variances[-1] / variances[-501]), rel=1e-12)
    assert fhs_var(returns, 0.99) == historical_var(-scenarios, 0.99)
    assert fhs_es(returns, 0.99) == historical_es(-scenarios, 0.99)


def test_several_assets_keep_their_days() -> None:
    """A row of joint scenarios is the same day of every asset, each by its own volatility."""
    both = np.column_stack([log_returns("btc"), log_returns("eth")])
    joint = fhs_scenarios(both, window=400)

    assert joint.shape == (400, 2)
    for column in (0, 1):
        assert np.array_equal(joint[:, column], fhs_scenarios(both[:, column], window=400))
    assert np.corrcoef(joint, rowvar=False).min() > 0.7


def test_a_book_of_two_assets_risks_less_than_its_parts() -> None:
    """Of joint scenarios VaR and ES of a long book are less than its parts' sum, and of a spread less yet."""
    scenarios = fhs_scenarios(np.column_stack([log_returns("btc"), log_returns("eth")]))
    book = tails(spot_losses([[1e6, 0], [0, 1e6], [1e6, 1e6], [1e6, -1e6]], scenarios), 0.99)

    for figure in book:
        assert figure[3] < figure[2] < figure[0] + figure[1]


@settings(max_examples=40)
@given(SEEDS, st.floats(0.1, 10))
def test_the_unit_of_returns_is_that_of_the_figure(seed: int, times: float) -> None:
    """VaR and ES are homogeneous in the returns, ES is no less, and history before the window still moves both."""
    returns = np.random.default_rng(seed).standard_t(4, 120) * 0.03
    var, es = fhs_var(returns, 0.95, window=60), fhs_es(returns, 0.95, window=60)

    assert es >= var
    assert fhs_var(times * returns, 0.95, window=60) == pytest.approx(times * var, rel=1e-9)
    assert fhs_es(times * returns, 0.95, window=60) == pytest.approx(times * es, rel=1e-9)


def test_a_storm_raises_the_figure_at_once() -> None:
    """After a fall of 30 % the VaR of the next day is several times what it was."""
    returns = log_returns("btc")[:900]

    assert fhs_var(np.append(returns, -0.3), 0.99) > 2 * fhs_var(np.append(returns, 0.0), 0.99)


def test_a_path_carries_its_own_volatility() -> None:
    """Each move is its pick at the volatility that the moves before it left."""
    returns = log_returns("eth")
    drawn = residuals(returns)
    paths = fhs_paths(returns, np.array([[3, 499], [0, 0]]))
    second = math.sqrt(0.94 * drawn.vol**2 + 0.06 * paths.moves[0, 0] ** 2)

    assert paths.vols[:, 0].tolist() == [drawn.vol] * 2
    assert float(paths.vols[0, 1]) == pytest.approx(second, rel=1e-12)
    assert paths.moves[0].tolist() == pytest.approx([drawn.values[-497] * drawn.vol, drawn.values[-1] * second])


def test_a_first_step_is_a_scenario() -> None:
    """Paths of one step, one for each place of the window, are the scenarios of the day to come."""
    returns = log_returns("btc")
    paths = fhs_paths(returns, np.arange(500)[:, None])

    assert paths.moves[:, 0] == pytest.approx(fhs_scenarios(returns), rel=1e-12)


def test_paths_ruin_the_nearest_most() -> None:
    """A week of bridged paths of ether liquidates accounts the more, the nearer they are."""
    picks = np.random.default_rng(11).integers(0, 500, (4_000, 7))
    paths = fhs_paths(log_returns("eth"), picks)
    ruin = ruin_probability(paths.moves, np.log([1.02, 1.1, 1.25, 2.0]), paths.vols)

    assert np.all(np.diff(ruin) < 0)
    assert ruin[0] > 0.5
    assert ruin[3] < 0.01


def test_histories_that_give_no_scenario_are_refused() -> None:
    """A window longer than the history, none at all, a pick outside it and a book of nothing are named."""
    returns = [0.01, -0.02, 0.03]
    with pytest.raises(RiskInputError, match="returns: has 3 values; give at least 500"):
        fhs_var(returns, 0.99)
    with pytest.raises(RiskInputError, match="window: is 1; give"):
        fhs_scenarios(returns, window=1)
    with pytest.raises(RiskInputError, match="returns: are of no asset"):
        fhs_scenarios(np.empty((3, 0)), window=2)
    with pytest.raises(RiskInputError, match="returns: has 3 dimensions"):
        fhs_scenarios(np.zeros((3, 1, 1)), window=2)
    with pytest.raises(RiskInputError, match=r"picks\[0\]\[1\]: is 2"):
        fhs_paths(returns, np.array([[0, 2]]), window=2)
    with pytest.raises(RiskInputError, match="picks: are not all whole numbers"):
        fhs_paths(returns, np.array([[0, 0.5]]), window=2)
    with pytest.raises(RiskInputError, match="returns: are all zero"):
        fhs_es([0.0, 0.0], 0.99, window=2)
