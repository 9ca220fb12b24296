"""Which slice a keeper takes."""

from __future__ import annotations

from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.core.units import BaseAmount, Bps
from keeper.margin.sizing import Slippage, leaves_bad_debt
from keeper.risk.partial import target_repay_usd
from keeper.risk.slice_choice import MILLIONTH, Liquidatable, Selling, best_slice, health_after

SHALLOW = Selling(Slippage(Bps(30), Bps(500)), gas_usd=20.0)
"""Selling at .3 % and 5 % more for each million."""


def account(health: float = 0.95, debt: float = 1e6, bonus: int = 10_500, threshold: int = 8_000) -> Liquidatable:
    """Return an account of one collateral."""
    collateral = debt * health / threshold * 1e4
    return Liquidatable(debt, debt * health, collateral, Bps(bonus), Bps(threshold), debt)


def profit(case: Liquidatable, selling: Selling, repaid: float) -> float:
    """Return what a cover earns, in float64 and by hand."""
    bonus = int(case.bonus) / 1e4
    seized = repaid * bonus
    share = int(selling.slippage.bps) / 1e4 + int(selling.slippage.bps_per_million) / 1e4 * seized / 1e6
    held = selling.charge_sigmas * selling.vol_annual * sqrt(selling.holding_seconds / 31_536_000)
    return repaid * (bonus - 1) - seized * (share + held) - selling.gas_usd


CASES = st.builds(
    account,
    st.floats(0.5, 0.999),
    st.floats(1e4, 1e8),
    st.integers(10_100, 11_500),
    st.integers(5_000, 8_600),
)
SELLINGS = st.builds(
    Selling,
    st.builds(Slippage, st.integers(0, 300).map(Bps), st.integers(0, 2_000).map(Bps)),
    st.floats(0, 1_000),
    st.floats(0, 2),
    st.floats(0, 86_400),
    st.floats(0, 3),
)


def test_the_bonus_pays_until_the_next_unit_earns_nothing() -> None:
    """In a market of finite depth the best slice is the closed form's, less than all that may be taken."""
    found = best_slice(account(), SHALLOW)
    assert found is not None
    bonus, share, depth = 1.05, 0.003, 0.05 / 1e6
    assert found.repaid_usd == pytest.approx((bonus - 1 - share * bonus) / (2 * depth * bonus**2), rel=1e-6)
    assert found.profit_usd == pytest.approx(profit(account(), SHALLOW, found.repaid_usd), abs=1e-6)


def test_a_target_beyond_the_peak_is_met_at_its_least_cover() -> None:
    """Where the target asks for more than earns most, the slice is the least that reaches it."""
    thin = Selling(Slippage(Bps(30), Bps(2_000)), gas_usd=20.0)
    free, bound = best_slice(account(), thin), best_slice(account(), thin, 1.05)
    assert free is not None
    assert bound is not None
    assert free.repaid_usd < bound.repaid_usd
    least = target_repay_usd(1e6, 0.95, 1.05, Bps(10_500), Bps(8_000))
    assert bound.repaid_usd == pytest.approx(least, abs=1e-6)
    assert bound.health_after == pytest.approx(1.05, abs=1e-9)


@pytest.mark.slow
@given(CASES, SELLINGS, st.none() | st.floats(0.9, 1.3))
def test_no_slice_by_brute_force_earns_more(case: Liquidatable, selling: Selling, target: float | None) -> None:
    """Of 200 slices that reach the target none earns more, and where none reaches it none is taken."""
    found = best_slice(case, selling, target)
    most = min(case.limit_usd, case.collateral_usd / int(case.bonus) * 1e4) * (1 - 1e-9)
    tries = [most * step / 200 for step in range(1, 201)]
    wanted = -inf if target is None else target + 1e-9
    earned = [profit(case, selling, repaid) for repaid in tries if health_after(case, repaid) >= wanted]
    if found is None:
        assert not earned
        return
    assert found.profit_usd >= max(earned, default=-inf) - case.debt_usd / MILLIONTH
    assert target is None or found.health_after >= target - 1e-9


@given(CASES, st.floats(0.001, 0.5))
def test_a_slice_lowers_health_only_where_the_account_is_toxic(case: Liquidatable, share: float) -> None:
    """Health falls just where the debt is more than 1/bonus of the collateral (Warmuz et al., arXiv 2212.07306)."""
    before, after = case.weighted_usd / case.debt_usd, health_after(case, case.debt_usd * share)
    base = [BaseAmount(round(usd * 1e8)) for usd in (case.collateral_usd, case.debt_usd)]
    if leaves_bad_debt(base[0], base[1], case.bonus):
        assert after <= before + 1e-12
    else:
        assert after >= before - 1e-12


def test_price_risk_makes_the_slice_smaller() -> None:
    """The longer the collateral is held the less is taken, until nothing is worth its risk."""
    taken = []
    for seconds in (0.0, 600.0, 3_600.0, 86_400.0):
        found = best_slice(account(), SHALLOW._replace(vol_annual=0.8, holding_seconds=seconds, charge_sigmas=1.645))
        assert found is not None
        taken.append(found.repaid_usd)
    assert taken == sorted(taken, reverse=True)
    assert taken[0] > 100_000.0
    assert taken[-1] < 1.0


def test_the_limit_and_the_collateral_bind() -> None:
    """No slice repays more than one call may, nor seizes more than there is."""
    deep = Selling(Slippage(Bps(0)))
    limited = best_slice(account()._replace(limit_usd=5e5), deep)
    assert limited is not None
    assert limited.repaid_usd == pytest.approx(5e5)
    poor = best_slice(account()._replace(collateral_usd=2.1e5), deep)
    assert poor is not None
    assert (poor.repaid_usd, poor.seized_usd) == pytest.approx((2e5, 2.1e5))


def test_a_debt_that_is_no_whole_number_of_units_can_be_repaid() -> None:
    """Repaying everything repays the debt itself, not the debt rounded, and leaves no health to speak of."""
    for debt in (10_000.854382658377, 10_000.854382651234):
        found = best_slice(account(debt=debt), Selling(Slippage(Bps(0))))
        assert found is not None
        assert (found.repaid_usd, found.health_after) == (debt, inf)


def test_where_no_slice_reaches_the_target_none_is_taken() -> None:
    """A toxic account and an empty limit have no slice, and bad figures no answer."""
    assert best_slice(account(health=0.7), SHALLOW, 1.0) is None
    assert best_slice(account()._replace(limit_usd=0.0), SHALLOW) is None
    with pytest.raises(RiskInputError, match="debt_usd"):
        best_slice(account()._replace(debt_usd=-1.0), SHALLOW)
