"""Bonuses are those of the contracts, and keep their bounds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.bonus import (
    StressFee,
    aave_v4_bonus,
    drift_fee,
    dydx_fill_spread,
    morpho_factor,
    pre_liquidation,
    protocol_fee,
    splitting_never_pays,
)

UNIT = st.floats(0, 1)


def test_the_bonus_grows_as_health_falls() -> None:
    """aave/aave-v4, LiquidationLogic.Bonus tests: 1.05 with factor .8 and hfMax .85."""
    bonus = aave_v4_bonus([1, 0.95, 0.85, 0.80], 1.05, factor=0.8, health_for_most=0.85)

    assert bonus == pytest.approx([1.04, 1.043333, 1.05, 1.05], abs=1e-6)


def test_the_bonus_of_another_reserve() -> None:
    """aave/aave-v4, LiquidationLogic.Bonus tests: 1.10 with factor .5 and hfMax .8 gives 1.06 at .96."""
    assert aave_v4_bonus(0.96, 1.10, factor=0.5, health_for_most=0.8) == pytest.approx(1.06, abs=1e-9)


def test_the_protocol_takes_of_the_bonus_alone() -> None:
    """aave-v4's vector: 6,000 seized at a bonus of 1.2 and a fee of a tenth leave the liquidator 5,900."""
    assert 6_000 - protocol_fee(6_000, 1.2, 0.1) == pytest.approx(5_900)


def test_the_live_spokes_are_safe_from_splitting() -> None:
    """Aave v4's Main Spoke (hfMax .9) bears a factor of .85 at 1.05, the correlated one (.99) .97 at 1.0137."""
    holds = splitting_never_pays(
        [1.05, 1.0137, 1.05], collateral_factor=[0.85, 0.97, 0.9], health_for_most=[0.9, 0.99, 0.9]
    )

    assert holds.tolist() == [True, True, False]


def _seized(health: float, parts: list[float], most: float, limit: float, full_at: float) -> float:
    """Liquidate these parts of a debt of 1, one after another, and return the collateral value seized."""
    debt, collateral, seized = 1.0, health / limit, 0.0
    for part in parts:
        now = min(collateral * limit / debt, 1.0)
        taken = part * float(aave_v4_bonus(now, most, factor=0.2, health_for_most=full_at))
        debt, collateral, seized = debt - part, collateral - taken, seized + taken
    return seized


@given(st.floats(0.86, 0.99), st.floats(0.01, 0.4), st.floats(0.01, 0.4), st.floats(0.5, 0.75))
def test_two_halves_seize_no_more_than_the_whole(health: float, one: float, two: float, limit: float) -> None:
    """Where the invariant of aave-v4 holds, nobody gains by liquidating in parts."""
    assert splitting_never_pays(1.1, collateral_factor=limit, health_for_most=0.85)
    parts = _seized(health, [one, two], 1.1, limit, 0.85)

    assert parts <= _seized(health, [one + two], 1.1, limit, 0.85) + 1e-12


def test_without_the_invariant_parts_seize_more() -> None:
    """A collateral factor of .95 at a bonus of 1.1 rewards who liquidates in parts: the check is not idle."""
    assert not splitting_never_pays(1.1, collateral_factor=0.95, health_for_most=0.85)
    assert _seized(0.95, [0.3, 0.3], 1.1, 0.95, 0.85) > _seized(0.95, [0.6], 1.1, 0.95, 0.85) + 1e-4


def test_morphos_factor_is_its_contracts() -> None:
    """morpho-org/morpho-blue, Morpho.sol: the factor of each LLTV that is enabled."""
    factors = morpho_factor([0.385, 0.77, 0.86, 0.915, 0.945, 0.965, 0.98])

    expected = [1.15, 1.074114, 1.043841, 1.026167, 1.016777, 1.010611, 1.006036]
    assert factors == pytest.approx(expected, abs=5e-7)


def test_a_pre_liquidation_offers_by_its_depth() -> None:
    """Closed form: LTV .83 halfway from .80 to .86."""
    offer = pre_liquidation(0.83, zone=(0.80, 0.86), incentive=(1.01, 1.0438), close_factor=(0.05, 0.50))

    assert (offer.depth, offer.incentive, offer.close_factor) == pytest.approx((0.5, 1.0269, 0.275), abs=1e-9)


def test_drifts_fee_waits_then_rises_to_its_most() -> None:
    """drift-labs/protocol-v2: base within 1,500 slots, then .01 bp for each slot since the activity, then the most."""
    fees = drift_fee(0.01, 0.02, [0, 1_499, 1_500, 5_000, 50_000])

    assert fees == pytest.approx([0.01, 0.01, 0.0115, 0.015, 0.02], abs=1e-12)


def test_dydx_sells_further_below_the_worse_the_account_is() -> None:
    """dydxprotocol/v4-chain, GetFillablePrice tests (SMMR .1): 0.1 BTC at 50,000 of notional 5,000 and PMMR 500."""
    spread = dydx_fill_spread([499, 500, 0, -100], 500, 500, spread_to_maintenance=0.1)
    doubled = dydx_fill_spread(499, 500, 500, bankruptcy_adjustment=2, spread_to_maintenance=0.1)

    assert 50_000 - spread / 0.1 == pytest.approx([49_999, 50_000, 49_500, 49_500])
    assert 50_000 - doubled / 0.1 == pytest.approx(49_998)


def test_a_calm_market_pays_the_least_and_a_panic_the_most() -> None:
    """Volatility alone, congestion alone, and half of each: 1 - .5 * .5 = three quarters of the way."""
    fee = StressFee(0.01, 0.05, calm_vol_annual=0.5, panic_vol_annual=1.5)

    assert fee.at([0.2, 2.0, 0.5, 1.0], [0, 0, 1, 0.5]) == pytest.approx([0.01, 0.05, 0.05, 0.04])


@given(st.floats(0, 3), st.floats(0, 3), UNIT, UNIT)
def test_the_stress_fee_grows_with_either_stress(vol: float, other: float, full: float, fuller: float) -> None:
    """More volatility or more congestion never lowers the fee, which stays within its bounds."""
    fee = StressFee(0.01, 0.05, calm_vol_annual=0.4, panic_vol_annual=1.6)
    low = fee.at(min(vol, other), min(full, fuller))
    high = fee.at(max(vol, other), max(full, fuller))

    assert 0.01 - 1e-15 <= low <= high + 1e-15 <= 0.05 + 2e-15


@given(UNIT, UNIT)
def test_a_worse_health_never_has_a_smaller_bonus(health: float, other: float) -> None:
    """The bonus falls with health, between its least and its most."""
    bonus = aave_v4_bonus(sorted((health, other)), 1.1, factor=0.3, health_for_most=0.7)

    assert 1.1 + 1e-15 >= bonus[0] >= bonus[1] >= 1.03 - 1e-15


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: aave_v4_bonus(1.2, 1.05, factor=0.8, health_for_most=0.85),
        lambda: aave_v4_bonus(0.9, 1.05, factor=0.8, health_for_most=1.0),
        lambda: aave_v4_bonus(0.9, 0.95, factor=0.8, health_for_most=0.9),
        lambda: morpho_factor(1.2),
        lambda: pre_liquidation(0.79, zone=(0.8, 0.86), incentive=(1.01, 1.04), close_factor=(0.05, 0.5)),
        lambda: pre_liquidation(0.83, zone=(0.8, 0.86), incentive=(1.04, 1.01), close_factor=(0.05, 0.5)),
        lambda: drift_fee(0.02, 0.01, 0),
        lambda: dydx_fill_spread(1, 0, 1),
        lambda: StressFee(0.05, 0.01, 0.5, 1.5),
        lambda: StressFee(0.01, 0.05, 1.5, 0.5),
        lambda: StressFee(0.01, 0.05, 0.5, 1.5).at(np.nan, 0),
    ],
)
def test_a_bonus_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No bonus comes out of a wrong parameter."""
    with pytest.raises(RiskInputError):
        wrong()
