"""What is lost is borne, by the layers in their order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.waterfall import loss_waterfall, reserve_deficits, socialise, withdrawals_blocked

AMOUNTS = st.floats(0, 1e9)
ACCOUNTS = st.lists(st.tuples(AMOUNTS, st.floats(-1e9, 1e9), AMOUNTS), min_size=1, max_size=20)


def test_the_layers_are_used_in_their_order() -> None:
    """By hand: 100 of loss each against 30 and 0 of equity, 5 of bonus, 80 of fund and 50 of winners."""
    borne = loss_waterfall([100, 100], equities_usd=[30, -20], bonuses_usd=5, fund_usd=80, deleverage_usd=50)

    assert borne.equity_usd.tolist() == [30, 0]
    assert borne.bonus_usd.tolist() == [5, 5]
    assert borne.fund_usd.tolist() == [65, 15]
    assert borne.deleveraged_usd.tolist() == [0, 50]
    assert borne.socialised_usd.tolist() == [0, 30]


@given(ACCOUNTS, AMOUNTS, AMOUNTS)
def test_what_is_lost_is_what_is_borne(accounts: list[tuple[float, float, float]], fund: float, winners: float) -> None:
    """The layers conserve value, bear nothing negative and never more than they hold."""
    losses, equities, bonuses = np.array(accounts).T
    borne = loss_waterfall(losses, equities_usd=equities, bonuses_usd=bonuses, fund_usd=fund, deleverage_usd=winners)

    assert borne.total_usd == pytest.approx(losses, rel=1e-9, abs=1e-9)
    assert borne.total_usd.sum() == pytest.approx(losses.sum(), rel=1e-9, abs=1e-9)
    for layer in (borne.equity_usd, borne.bonus_usd, borne.fund_usd, borne.deleveraged_usd, borne.socialised_usd):
        assert np.all(layer >= 0)
    assert np.all(borne.equity_usd <= np.maximum(equities, 0))
    assert np.all(borne.bonus_usd <= bonuses)
    assert borne.fund_usd.sum() <= fund * (1 + 1e-12)
    assert borne.deleveraged_usd.sum() <= winners * (1 + 1e-12)


@given(ACCOUNTS, AMOUNTS, AMOUNTS)
def test_a_layer_is_reached_only_when_the_one_before_is_empty(
    accounts: list[tuple[float, float, float]], fund: float, winners: float
) -> None:
    """Nobody is deleveraged while the fund has cash, and nothing is socialised while winners can give."""
    losses, equities, bonuses = np.array(accounts).T
    borne = loss_waterfall(losses, equities_usd=equities, bonuses_usd=bonuses, fund_usd=fund, deleverage_usd=winners)

    assert borne.deleveraged_usd.sum() <= 1e-3 or borne.fund_usd.sum() == pytest.approx(fund, rel=1e-9)
    assert borne.socialised_usd.sum() <= 1e-3 or borne.deleveraged_usd.sum() == pytest.approx(winners, rel=1e-9)


@given(st.lists(st.floats(0.01, 1e6), min_size=1, max_size=20), st.floats(0, 1))
def test_a_socialised_loss_takes_the_same_share_of_everybody(balances: list[float], share: float) -> None:
    """The haircut is one rate, and its sum the loss."""
    loss = share * sum(balances)
    lost = socialise(min(loss, float(np.sum(balances))), balances)

    assert lost / balances == pytest.approx(share, rel=1e-9, abs=1e-12)
    assert lost.sum() == pytest.approx(loss, rel=1e-9, abs=1e-12)


def test_withdrawals_wait_for_the_module() -> None:
    """derivexyz/v2-core, withdrawal block tests: margins missing of 300, then 600, until 600 are deposited."""
    assert withdrawals_blocked([300], 0)
    assert not withdrawals_blocked([300], 300)
    assert withdrawals_blocked([300, 300], 300)
    assert withdrawals_blocked([300, 300], 599.99)
    assert not withdrawals_blocked([300, 300], 600)
    assert not withdrawals_blocked([], 0)


def test_a_deficit_is_a_debt_without_collateral() -> None:
    """Aave v3.3: of three accounts only the two without any collateral leave their debts to the reserves."""
    deficits = reserve_deficits([0, 1e-9, 0], [[10, 0, 2], [99, 99, 99], [0, 0, 3]])

    assert deficits.tolist() == [10, 0, 5]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: loss_waterfall([-1], equities_usd=[1]),
        lambda: loss_waterfall([], equities_usd=[]),
        lambda: loss_waterfall([1, 2], equities_usd=[1]),
        lambda: loss_waterfall([1], equities_usd=[1], fund_usd=-1),
        lambda: loss_waterfall([1], equities_usd=[1], deleverage_usd=float("inf")),
        lambda: socialise(11, [5, 5]),
        lambda: withdrawals_blocked([-300], 0),
        lambda: reserve_deficits([0, 0], [[1]]),
    ],
)
def test_a_waterfall_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No layer bears what is not a number."""
    with pytest.raises(RiskInputError):
        wrong()
