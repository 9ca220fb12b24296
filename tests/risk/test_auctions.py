"""Auctions ask what their contracts ask, and less with time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.auctions import (
    SolventAuction,
    euler_liquidation,
    insolvent_payout,
    linear_decrease,
    stairstep_exponential_decrease,
)
from keeper.risk.inputs import Floats

TIMES = st.lists(st.floats(0, 100_000), min_size=2, max_size=20).map(sorted)
SCHEDULES: list[Callable[[list[float]], Floats]] = [
    lambda times: linear_decrease(1000, times, length_seconds=3600),
    lambda times: stairstep_exponential_decrease(1000, times, cut=0.99, step_seconds=90),
    lambda times: SolventAuction().bid(1000, times, reserved_usd=100),
    lambda times: -insolvent_payout(-100, -300, times),
]


def test_the_linear_auction_asks_what_the_contract_does() -> None:
    """MakerDAO dss, abaci.t.sol: 1000 over an hour asks 900 at 360 s, 800 at 720 s and nothing at the end."""
    prices = linear_decrease(1000, [0, 360, 720, 3600, 4000], length_seconds=3600)

    assert prices == pytest.approx([1000, 900, 800, 0, 0], abs=1e-9)


def test_the_stairs_ask_what_the_contract_does() -> None:
    """MakerDAO dss, abaci.t.sol: one percent less every 90 seconds, and nothing in between."""
    prices = stairstep_exponential_decrease(1000, [0, 89, 90, 900, 1800], cut=0.99, step_seconds=90)

    assert prices == pytest.approx([1000, 1000, 990, 904.382075, 817.906938], abs=1e-6)


def test_the_solvent_auction_is_fast_then_slow() -> None:
    """Derive's mainnet parameters: .95 to .70 in 15 minutes, then to nothing in 12 hours."""
    asked = SolventAuction().discount([0, 450, 900, 22_500, 44_100, 90_000])

    assert asked == pytest.approx([0.95, 0.825, 0.7, 0.35, 0, 0], abs=1e-12)


def test_a_bidder_pays_for_what_is_not_reserved() -> None:
    """(1000 - 200) at .825 for a quarter is 165."""
    assert SolventAuction().bid(1000, 450, reserved_usd=200, fraction=0.25) == pytest.approx(165)


def test_the_start_of_an_auction_pays_the_module() -> None:
    """A tenth of what could be bought at no discount: derivexyz/v2-core, mainnet's liquidatorFeeRate."""
    assert SolventAuction().fee([1000, 500], [0.4, 1]) == pytest.approx([40, 50])


def test_the_insolvent_auction_pays_what_the_contract_does() -> None:
    """derivexyz/v2-core, insolvent auction tests: MtM -100, MM -300, ten minutes."""
    paid = insolvent_payout(-100, -300, [0, 12, 300, 600, 900], length_seconds=600, fraction=[1, 0.5, 1, 1, 1])

    assert paid == pytest.approx([100, 52, 200, 300, 300], abs=1e-9)


def test_euler_seizes_all_of_a_collateral_that_is_short() -> None:
    """euler-vault-kit, liquidation tests: 10 units at .5 and LTV .9 against 5: 4.5 is repaid for all of them."""
    done = euler_liquidation(10 * 0.5 * 0.9, 5, 10 * 0.5)

    assert (done.factor, done.repaid, done.received) == pytest.approx((0.9, 4.5, 5))


def test_euler_gives_the_violation_as_discount() -> None:
    """A health of .98 repays 10 for 10.204082 of collateral; one of .5 is held at the greatest discount."""
    done = euler_liquidation([9.8, 5, 10], 10, [11, 30, 30], most_discount=0.15)

    assert done.factor == pytest.approx([0.98, 0.85, 1])
    assert done.repaid == pytest.approx([10, 10, 0])
    assert done.received == pytest.approx([10.204082, 10 / 0.85, 0], abs=1e-6)


@pytest.mark.parametrize("schedule", SCHEDULES)
@given(times=TIMES)
def test_no_price_rises_with_time(schedule: Callable[[list[float]], Floats], times: list[float]) -> None:
    """Who waits pays less, or is paid more."""
    assert np.all(np.diff(schedule(times)) <= 1e-9)


@given(st.floats(0, 2), st.floats(0, 2), st.floats(0, 3))
def test_a_worse_health_is_never_dearer(health: float, other: float, collateral: float) -> None:
    """Euler's buyer pays per value received no more for an account in a worse state."""
    low, high = sorted((health, other))
    done = euler_liquidation([low, high], 1, collateral)

    assert done.factor[0] <= done.factor[1]
    assert np.all(done.received <= collateral)
    assert done.repaid == pytest.approx(done.received * done.factor)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: linear_decrease(1000, -1, length_seconds=3600),
        lambda: linear_decrease(1000, 1, length_seconds=0),
        lambda: stairstep_exponential_decrease(float("nan"), 1, cut=0.9, step_seconds=90),
        lambda: stairstep_exponential_decrease(1, 1, cut=1.1, step_seconds=90),
        lambda: SolventAuction(start=0.5),
        lambda: SolventAuction().bid(100, 1, reserved_usd=200),
        lambda: insolvent_payout(-300, -100, 1),
        lambda: euler_liquidation(1, 1, 1, most_discount=1),
        lambda: euler_liquidation(1, 0, 1),
    ],
)
def test_an_auction_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No price comes out of a wrong parameter."""
    with pytest.raises(RiskInputError):
        wrong()
