"""Schedules of Almgren and Chriss."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.trajectory import ImpactModel, optimal_schedule, schedule_cost

PAPER = ImpactModel(sigma_usd=0.95, spread_usd=0.0625, temporary_usd=2.5e-6, permanent_usd=2.5e-7)


def test_the_schedule_of_the_paper() -> None:
    """A million in five days at an aversion of 1e-6: rate, holdings, cost and risk (Almgren, Chriss 2000)."""
    found = optimal_schedule(PAPER, 1e6, 5.0, 5, 1e-6)
    assert found.kappa == pytest.approx(0.607076, abs=5e-7)
    assert found.half_life == pytest.approx(1.6472, abs=5e-5)
    assert list(found.holdings) == pytest.approx([1e6, 541_955.6, 289_854.2, 147_897.5, 62_141.8, 0.0], abs=0.05)
    assert (found.cost_usd, found.risk_usd) == pytest.approx((911_227.0, 603_431.0), abs=0.5)


def test_without_aversion_it_sells_evenly() -> None:
    """At no price of risk the cost is 662,500 and its deviation 1,040,673 (Almgren, Chriss 2000)."""
    found = optimal_schedule(PAPER, 1e6, 5.0, 5, 0.0)
    assert list(found.holdings) == pytest.approx([1e6, 8e5, 6e5, 4e5, 2e5, 0.0], abs=1e-6)
    assert (found.cost_usd, found.risk_usd) == pytest.approx((662_500.0, 1_040_673.0), abs=0.5)
    assert found.half_life == inf


@given(st.floats(0, 1e-5), st.lists(st.floats(-1e5, 1e5), min_size=4, max_size=4))
def test_no_other_schedule_costs_less(aversion: float, moved: list[float]) -> None:
    """Whatever is moved between the intervals, cost and risk together do not fall."""
    found = optimal_schedule(PAPER, 1e6, 5.0, 5, aversion)
    other = found.holdings + np.concatenate([[0.0], moved, [0.0]])
    best, least = (
        cost + aversion * risk**2
        for cost, risk in (schedule_cost(PAPER, other, 1.0), schedule_cost(PAPER, found.holdings, 1.0))
    )
    assert best >= least * (1 - 1e-12)


@given(st.floats(1e-9, 1e-3), st.floats(1.5, 100.0))
def test_more_aversion_sells_sooner(aversion: float, times: float) -> None:
    """A higher price of risk leaves less at every step, costs more and risks less."""
    slow, fast = (optimal_schedule(PAPER, 1e6, 5.0, 20, price) for price in (aversion, aversion * times))
    assert (fast.holdings <= slow.holdings + 1e-6).all()
    assert fast.cost_usd >= slow.cost_usd * (1 - 1e-12)
    assert fast.risk_usd <= slow.risk_usd * (1 + 1e-12)


def test_an_enormous_aversion_does_not_overflow() -> None:
    """At any price of risk the holdings are finite, fall and end at nothing."""
    found = optimal_schedule(PAPER, 1e6, 1e3, 100, 1e6)
    assert np.isfinite(found.holdings).all()
    assert (np.diff(found.holdings) <= 0).all()
    assert found.holdings[-1] == 0.0


def test_a_market_without_temporary_impact_is_refused() -> None:
    """Where selling at once costs nothing, or less than waiting, there is no schedule."""
    with pytest.raises(RiskInputError, match="temporary_usd"):
        ImpactModel(1.0, 0.0, 0.0)
    with pytest.raises(RiskInputError, match="shorter intervals"):
        optimal_schedule(ImpactModel(1.0, 0.0, 1e-6, 1e-6), 1.0, 10.0, 1, 0.0)
