"""The spiral that can be checked by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.lab.stress.toy import Toy, sold_to_pool, spiral
from keeper.risk.toxicity import cp_amm_slippage, toxic_frontier

TABLE = [
    (1e9, 2, 2, 198_426.33, 10.00, 0.0),
    (50_000, 2, 2, 198_426.33, 10.42, 0.0),
    (10_000, 2, 3, 272_087.05, 12.81, 0.0),
    (5_000, 4, 5, 468_994.81, 19.44, 0.0),
    (2_000, 7, 20, 1_969_169.21, 77.50, 326_236.84),
]


@pytest.mark.parametrize(("depth", "rounds", "accounts", "repaid", "drop", "bad_debt"), TABLE)
def test_the_spiral_is_that_of_the_table(
    depth: float, rounds: int, accounts: int, repaid: float, drop: float, bad_debt: float
) -> None:
    """Twenty accounts and a shock of 10 % come to these figures in pools of five depths."""
    found = spiral(depth)
    assert (found.rounds, found.accounts) == (rounds, accounts)
    assert found.repaid_usd == pytest.approx(repaid, abs=0.005)
    assert 100 * found.drop == pytest.approx(drop, abs=0.005)
    assert found.bad_debt_usd == pytest.approx(bad_debt, abs=0.005)


def test_everything_falls_between_two_depths() -> None:
    """Between 5,000 and 2,000 coins of depth the spiral turns from five accounts to all of them: a phase change."""
    assert spiral(5_000).accounts == 5
    assert spiral(2_000).accounts == 20


def test_a_sale_of_the_whole_depth_quarters_the_price() -> None:
    """Two thousand coins sold into a pool of two thousand take the price from 1,800 to 450."""
    assert sold_to_pool(1800.0, 2_000.0, 2_000.0) == pytest.approx(450.0)


@given(st.floats(1e3, 1e6), st.floats(1.01, 100.0))
def test_a_deeper_pool_never_has_more_bad_debt(depth: float, deeper: float) -> None:
    """Bad debt does not rise with the depth of the pool, nor does the fall of the price."""
    shallow, deep = spiral(depth), spiral(depth * deeper)
    assert deep.bad_debt_usd <= shallow.bad_debt_usd + 1e-6
    assert deep.drop <= shallow.drop + 1e-12


def test_without_a_fall_nothing_happens() -> None:
    """Accounts that are all safe are left alone."""
    found = spiral(2_000, Toy(shock=0.0))
    assert (found.rounds, found.accounts, found.repaid_usd, found.bad_debt_usd) == (0, 0, 0.0, 0.0)
    assert found.drop == pytest.approx(0.0)


@pytest.mark.parametrize("loan_to_value", [0.670, 0.690])
def test_the_frontier_is_where_repaying_turns(loan_to_value: float) -> None:
    """Selling a little into the pool worsens the loan-to-value just above the frontier, and betters it just below."""
    collateral, pool, incentive = 1e6, 5e6, 0.05
    price = sold_to_pool(1.0, pool, 1.0 + incentive)
    after = (loan_to_value * collateral - 1.0) / ((collateral - 1.0 - incentive) * price)
    frontier = float(toxic_frontier(incentive, cp_amm_slippage(collateral, pool)))
    assert (after > loan_to_value) is (loan_to_value > frontier)


@pytest.mark.parametrize("depth", [0.0, -1.0, float("nan"), float("inf")])
def test_a_depth_that_is_none_is_refused(depth: float) -> None:
    """A pool has a positive, finite depth."""
    with pytest.raises(RiskInputError, match="depth"):
        spiral(depth)
