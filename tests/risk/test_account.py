"""The account as three figures: sums, tests and rankings of dYdX v4, GMX v2 and Perpetual Protocol v2."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.account import (
    AccountRisk,
    GmxLimits,
    GmxReason,
    compare_risk,
    gmx_counted_impact,
    gmx_liquidatable,
    liquidatable_accounts,
    perp_v2_penalty,
    perp_v2_risk,
    riskiest_first,
    sum_by_account,
)

RISKS = st.builds(
    AccountRisk,
    st.integers(-(10**24), 10**24),
    st.integers(0, 10**24),
    st.integers(0, 3) | st.integers(0, 10**24),
)


def test_an_account_is_the_sum_of_its_positions() -> None:
    """Net collateral and both requirements add up, figure by figure."""
    assert AccountRisk(5, 3, 2) + AccountRisk(-1, 4, 1) == AccountRisk(4, 7, 3)


@pytest.mark.parametrize(
    ("net", "initial", "maintenance", "may_open", "liquidatable"),
    [
        (10, 10, 5, True, False),
        (9, 10, 5, False, False),
        (5, 10, 5, False, False),
        (4, 10, 5, False, True),
        (-4, 0, 0, False, False),
    ],
)
def test_the_bounds_of_dydx(net: int, initial: int, maintenance: int, may_open: bool, liquidatable: bool) -> None:  # noqa: FBT001 - two columns of the table
    """Meeting a requirement exactly is enough, and without a maintenance requirement nothing is liquidated."""
    risk = AccountRisk(net, initial, maintenance)
    assert (risk.initial_ok, risk.liquidatable) == (may_open, liquidatable)


def test_ties_are_broken_as_dydx_breaks_them() -> None:
    """Of equal ratios the larger requirement is first; of none the smaller collateral."""
    assert compare_risk(AccountRisk(2, 0, 4), AccountRisk(1, 0, 2)) == -1
    assert compare_risk(AccountRisk(1, 0, 0), AccountRisk(2, 0, 0)) == -1
    assert compare_risk(AccountRisk(1, 0, 2), AccountRisk(1, 9, 2)) == 0


def test_the_ranking_is_exact_where_a_quotient_is_not() -> None:
    """Two ratios that one float cannot tell apart are told apart."""
    big = 10**30
    left, right = AccountRisk(big, 0, 3 * big + 1), AccountRisk(big, 0, 3 * big)
    assert left.net_collateral / left.maintenance == right.net_collateral / right.maintenance
    assert compare_risk(left, right) == -1


@given(st.lists(RISKS, max_size=8))
def test_the_ranking_is_that_of_the_exact_ratio(risks: list[AccountRisk]) -> None:
    """However accounts are given, they come out by net collateral for each unit of requirement."""
    ranked = [risks[place] for place in riskiest_first(risks)]
    for first, second in pairwise(ranked):
        assert compare_risk(first, second) <= 0
    ratios = [Fraction(int(risk.net_collateral), int(risk.maintenance)) for risk in ranked if risk.maintenance]
    assert ratios == sorted(ratios)


@given(st.lists(st.tuples(st.integers(0, 3), RISKS), min_size=1, max_size=20))
def test_many_accounts_at_once_are_each_by_itself(positions: list[tuple[int, AccountRisk]]) -> None:
    """The vectorised sums and the vectorised test agree with those of one account."""
    owners = [owner for owner, _ in positions]
    figures = [[risk.net_collateral, risk.initial, risk.maintenance] for _, risk in positions]
    totals = sum_by_account(owners, figures, 4)
    singles = [sum((r for o, r in positions if o == owner), AccountRisk(0, 0, 0)) for owner in range(4)]
    expected = np.array([[risk.net_collateral, risk.initial, risk.maintenance] for risk in singles], dtype=np.float64)
    assert np.allclose(totals, expected, rtol=1e-12, atol=1e9)
    floats = [AccountRisk(*map(float, row)) for row in totals]
    assert set(liquidatable_accounts(totals)) == {place for place, risk in enumerate(floats) if risk.liquidatable}


def test_the_riskiest_of_many_comes_first() -> None:
    """The vectorised ranking puts the lower ratio first, then the larger requirement."""
    rows = [[5, 0, 10], [1, 0, 10], [50, 0, 100], [99, 0, 10]]
    assert list(liquidatable_accounts(rows)) == [1, 2, 0]


def test_positions_of_another_shape_are_refused() -> None:
    """A missing column or an unknown account never adds up to something."""
    with pytest.raises(RiskInputError, match="three figures"):
        sum_by_account([0], [[1.0, 2.0]], 1)
    with pytest.raises(RiskInputError, match="accounts"):
        sum_by_account([1], [[1.0, 2.0, 3.0]], 1)
    with pytest.raises(RiskInputError, match="maintenance"):
        AccountRisk(1, 1, -1)


LIMITS = GmxLimits(min_collateral_usd=1.0, min_collateral_factor=0.01, max_impact_factor=0.005)


@pytest.mark.parametrize(
    ("impact", "counted"),
    [(400.0, 0.0), (0.0, 0.0), (-30.0, -30.0), (-50.0, -50.0), (-5000.0, -50.0)],
)
def test_gmx_counts_no_gain_and_no_boundless_loss(impact: float, counted: float) -> None:
    """A positive price impact counts as nothing and a negative one up to its cap (GMX v2, PositionUtils)."""
    assert gmx_counted_impact(impact, 10_000.0, LIMITS) == counted


@pytest.mark.parametrize(
    ("collateral", "pnl", "impact", "fees", "reason"),
    [
        (500.0, 0.0, 0.0, 0.0, None),
        (500.0, -350.0, -5000.0, 0.0, None),
        (500.0, -350.01, -5000.0, 0.0, GmxReason.BELOW_LEVERAGE),
        (500.0, -410.0, 5000.0, 0.0, GmxReason.BELOW_LEVERAGE),
        (500.0, -498.0, 0.0, 1.5, GmxReason.BELOW_MIN_COLLATERAL),
        (500.0, -498.0, 0.0, 2.0, GmxReason.NOTHING_LEFT),
    ],
)
def test_gmx_rules(collateral: float, pnl: float, impact: float, fees: float, reason: GmxReason | None) -> None:
    """A position of 10,000 needs 100 after its capped impact, 1 in any case, and something."""
    assert gmx_liquidatable(collateral, pnl, impact, fees, 10_000.0, LIMITS) is reason


def test_perpetual_protocol_ratios() -> None:
    """Ten percent opens, 6.25 percent keeps, and 2.5 percent of the slice is split in halves."""
    risk = perp_v2_risk(624.0, 10_000.0)
    assert (risk.initial, risk.maintenance) == (1000.0, 625.0)
    assert risk.liquidatable
    assert not perp_v2_risk(625.0, 10_000.0).liquidatable
    assert perp_v2_penalty(624.0, 10_000.0) == (125.0, 125.0)
    assert perp_v2_penalty(-1.0, 10_000.0) == (250.0, 0.0)
