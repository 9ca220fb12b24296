"""What came over a bridge counts for less the longer it may be undone, and the likelier the bridge fails."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.bridges import (
    FINALITY_SECONDS,
    Bridge,
    bridge_counted,
    bridge_multiplier,
    bridged_value,
    finality_factor,
)
from keeper.risk.haircuts import expected_loss, quantile_move
from keeper.risk.tail import normal_var_z

DAY = 86_400
Z = normal_var_z(0.99)
BRIDGE = Bridge(
    name="canonical", failure_intensity_annual=0.03, loss_given_failure=0.8, insurance_usd=1e6, cap_multiple=5.0
)


def test_two_epochs_of_ethereum_cost_little() -> None:
    """``1 - exp(-z sigma sqrt(768 s))`` at 80 % and 99 % is .9142 %, against .9184 % without the exponential."""
    seconds = FINALITY_SECONDS["ethereum"]

    assert seconds == 2 * 32 * 12
    assert 1 - finality_factor(0.8, seconds, Z) == pytest.approx(0.009142, abs=5e-7)
    assert quantile_move(0.8, seconds, Z) == pytest.approx(0.009184, abs=5e-7)


def test_seven_days_of_an_optimistic_withdrawal_cost_much() -> None:
    """``1 - exp(-z sigma sqrt(7 d))`` at 80 % and 99 % is 22.720 %."""
    assert FINALITY_SECONDS["op-stack withdrawal"] == 7 * DAY
    assert 1 - finality_factor(0.8, 7 * DAY, Z) == pytest.approx(0.22720, abs=5e-6)


def test_a_bridge_has_an_expected_loss() -> None:
    """3 % a year with 80 % lost, over 30 days: .197017 %."""
    assert BRIDGE.expected_loss(30 * DAY) == pytest.approx(0.00197017, abs=5e-9)


def test_the_multiplier_has_the_market_the_bridge_and_the_wait() -> None:
    """5 % for the market, .197017 % for the bridge and 768 s of finality leave .939460."""
    multiplier = bridge_multiplier(0.05, BRIDGE.expected_loss(30 * DAY), 0.8, 768, quantile_sigmas=Z)

    assert multiplier == pytest.approx(0.939460, abs=1e-6)


def test_a_deposit_that_is_not_final_opens_nothing() -> None:
    """A pending deposit counts 0 for opening and with its haircut for maintenance; a final one counts for both."""
    counted = bridged_value(
        [1_000.0, 1_000.0],
        [768.0, 0.0],
        BRIDGE,
        market_haircut=0.05,
        vol_annual=0.8,
        held_seconds=30 * DAY,
        quantile_sigmas=Z,
    )

    assert counted.opening_usd == pytest.approx([0.0, 950 * (1 - 0.00197017)], abs=1e-5)
    assert counted.maintenance_usd == pytest.approx([939.460, 950 * (1 - 0.00197017)], abs=1e-3)


def test_a_wait_to_get_out_counts_for_what_is_final_too() -> None:
    """Collateral that can only be sold after a withdrawal of 7 days carries that fall: 22.720 % less."""
    counted = bridged_value(
        100.0,
        0.0,
        BRIDGE,
        market_haircut=0.0,
        vol_annual=0.8,
        held_seconds=0.0,
        quantile_sigmas=Z,
        exit_seconds=7 * DAY,
    )

    assert counted.opening_usd == counted.maintenance_usd == pytest.approx(77.280, abs=5e-4)


SHARES = st.floats(0, 1)


@given(SHARES, st.floats(0, 5), SHARES, st.floats(0, 3), st.floats(0, 1e7), st.floats(0.01, 100))
def test_the_multiplier_falls_with_wait_intensity_and_loss(
    haircut: float, intensity: float, lost: float, vol: float, final_seconds: float, more: float
) -> None:
    """A longer wait, a likelier failure, a larger loss and a larger haircut each leave less, within [0, 1]."""
    plain, likelier, costlier, longer, riskier = bridge_multiplier(
        [haircut, haircut, haircut, haircut, min(haircut + more, 1)],
        expected_loss(
            [intensity, intensity + more, intensity, intensity, intensity],
            30 * DAY,
            [lost, lost, min(lost + more, 1), lost, lost],
        ),
        vol,
        [final_seconds, final_seconds, final_seconds, final_seconds + more, final_seconds],
        quantile_sigmas=Z,
    )

    assert 0 <= plain <= 1
    for less in (likelier, costlier, longer, riskier):
        assert 0 <= less <= plain


@given(st.lists(st.tuples(st.floats(0, 1e9), st.floats(0, 1e6)), min_size=1, max_size=6), SHARES, st.floats(0, 3))
def test_opening_never_counts_more_than_maintenance(
    deposits: list[tuple[float, float]], haircut: float, vol: float
) -> None:
    """What may open a position is at most what maintains it, and that at most what it is worth."""
    values, waits = np.array(deposits).T
    counted = bridged_value(
        values, waits, BRIDGE, market_haircut=haircut, vol_annual=vol, held_seconds=DAY, quantile_sigmas=Z
    )

    assert np.all(counted.opening_usd <= counted.maintenance_usd)
    assert np.all(counted.maintenance_usd <= values)
    assert np.all(counted.opening_usd[waits > 0] == 0)


def test_a_bridge_counts_up_to_its_insurance() -> None:
    """An insurance of 1 M and a multiple of 5 count 5 M of 10 M, half of each account's."""
    small = Bridge(name="small", failure_intensity_annual=0.5, loss_given_failure=1.0, insurance_usd=100.0)
    counted = bridge_counted([[4e6, 10.0], [6e6, 20.0]], [BRIDGE, small])

    assert counted == pytest.approx(np.array([[2e6, 10.0], [3e6, 20.0]]), rel=1e-9)
    with pytest.raises(RiskInputError, match="caps_usd"):
        bridge_counted([[1.0, 2.0]], [BRIDGE])


@pytest.mark.parametrize("wrong", [math.nan, -1.0, 1.5])
def test_what_is_no_share_is_refused(wrong: float) -> None:
    """A loss, a haircut and an expected loss are fractions."""
    with pytest.raises(RiskInputError, match="loss_given_failure"):
        Bridge(name="b", failure_intensity_annual=0.1, loss_given_failure=wrong, insurance_usd=1.0)
    with pytest.raises(RiskInputError, match="market_haircut"):
        bridge_multiplier(wrong, 0.0, 0.8, 0.0, quantile_sigmas=Z)
    with pytest.raises(RiskInputError, match="bridge_loss"):
        bridge_multiplier(0.0, wrong, 0.8, 0.0, quantile_sigmas=Z)
