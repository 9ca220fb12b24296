"""A share of staked coins is worth what its contract says up to a cap, and less when slashed or doubted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.haircuts import dynamic_haircut
from keeper.risk.yield_bearing import (
    PegParams,
    PegStatus,
    RatioSnapshot,
    capped_price,
    exit_haircut,
    growth_annual,
    peg,
    queue_seconds,
    ratio_cap,
    slashed_ratio,
)

DAY = 86_400
STAKED = RatioSnapshot(ratio=1.15, at_seconds=0, growth_annual=0.0968)


def test_the_ratio_counts_up_to_a_cap_that_grows() -> None:
    """Aave CAPO: 1.15 growing by 9.68 % a year is capped at 1.159150 after 30 days."""
    assert ratio_cap(STAKED, 30 * DAY) == pytest.approx(1.159150, abs=1e-6)


def test_an_inflated_ratio_is_worth_the_cap() -> None:
    """Aave CAPO: a base price of 2,000 and a reported 1.20 make 2,318.299; with the cap cut to six digits 2,318.298."""
    price = float(capped_price(2_000.0, 1.20, STAKED, 30 * DAY))

    assert price == pytest.approx(2_000 * 1.15 * (1 + 0.0968 * 30 / 365), rel=1e-9)
    assert price == pytest.approx(2_318.299178, abs=1e-6)
    assert math.floor(price / 2_000 * 10**6) * 2_000 / 10**6 == pytest.approx(2_318.298, abs=1e-6)


def test_a_ratio_below_the_cap_counts_as_reported() -> None:
    """Slashing is not cut off: what the contract says less counts at once."""
    assert capped_price(2_000.0, [1.155, 0.9], STAKED, 30 * DAY) == pytest.approx([2_310.0, 1_800.0], rel=1e-9)


def test_without_a_ratio_or_a_base_price_there_is_no_value() -> None:
    """Aave CAPO answers 0 where either is zero or negative."""
    assert capped_price([2_000.0, 2_000.0, 0.0, -1.0], [0.0, -1.0, 1.1, 1.1], STAKED, 30 * DAY).tolist() == [0] * 4


def test_a_young_snapshot_is_refused() -> None:
    """A ratio inflated today is no base to grow from: a snapshot is seven days old at least."""
    assert ratio_cap(STAKED, 7 * DAY) > 1.15
    with pytest.raises(RiskInputError, match="snapshot: is 604799 s old; take one at least 604800 s old"):
        ratio_cap(STAKED, 7 * DAY - 1)
    with pytest.raises(RiskInputError, match="snapshot"):
        ratio_cap(STAKED, 10 * DAY, age_seconds_min=14 * DAY)


@given(st.floats(0.01, 10), st.floats(0, 10), st.integers(7 * DAY, 1_000 * DAY), st.integers(0, 1_000 * DAY))
def test_the_capped_price_rises_with_time_and_ratio_up_to_the_cap(
    ratio: float, more: float, now: int, later: int
) -> None:
    """It is never above the cap nor above the report, and never falls when either rises."""
    price, higher = capped_price(1.0, [ratio, ratio + more], STAKED, now)

    assert price <= min(ratio, ratio_cap(STAKED, now))
    assert price <= higher
    assert price <= capped_price(1.0, ratio, STAKED, now + later)


def test_wbeth_grew_within_the_cap() -> None:
    """WBETH / ETH on Binance went from 1.00738 to 1.02284 in the 164.6 days from 2023-07-19: some 3.4 % a year."""
    growth = growth_annual(1.00738, 1.02284, 164.625 * DAY)
    snapshot = RatioSnapshot(ratio=1.00738, at_seconds=0, growth_annual=0.0875)

    assert growth == pytest.approx(0.034, abs=5e-4)
    assert capped_price(1.0, 1.02284, snapshot, round(164.625 * DAY)) == 1.02284


def test_growth_is_what_the_cap_grows_by() -> None:
    """A ratio that follows its cap has the cap's own growth; a slashed one grows negatively."""
    assert growth_annual(1.15, ratio_cap(STAKED, 90 * DAY), 90 * DAY) == pytest.approx(0.0968, rel=1e-9)
    assert growth_annual(1.15, 1.10, 90 * DAY) < 0


@pytest.mark.parametrize(
    ("market", "discount", "haircut", "status"),
    [
        (1.01, 0.0, 0.0, PegStatus.PEGGED),
        (1.0, 0.0, 0.0, PegStatus.PEGGED),
        (0.996, 0.004, 0.004, PegStatus.PEGGED),
        (0.98, 0.02, 0.035, PegStatus.STRAINED),
        (0.95, 0.05, 0.095, PegStatus.BROKEN),
        (0.0, 1.0, 1.0, PegStatus.BROKEN),
    ],
)
def test_a_depeg_takes_off_more_than_the_discount(
    market: float, discount: float, haircut: float, status: PegStatus
) -> None:
    """The discount counts in full, what is beyond the tolerance of .5 % twice, and 5 % breaks the peg."""
    judged = peg(market * 1.15 * (1 - 1e-15), 1.15, PegParams())

    assert judged.discount == pytest.approx(discount, abs=1e-9)
    assert judged.haircut == pytest.approx(haircut, abs=1e-9)
    assert judged.status is status
    assert judged.usable_for_risk_increase == (status is PegStatus.PEGGED)


@given(st.floats(0, 2), st.floats(0, 1))
def test_a_lower_market_never_means_a_smaller_haircut(market: float, less: float) -> None:
    """The haircut is monotone, covers the discount and stays in [0, 1]."""
    before, after = peg(market, 1.1, PegParams()), peg(max(market - less, 0), 1.1, PegParams())

    assert 0 <= before.haircut <= after.haircut <= 1
    assert before.discount <= before.haircut


def test_a_queue_takes_its_length_and_its_delay() -> None:
    """9,000 before a contract that lets 3,000 out a day, with half a day on top: three and a half days."""
    assert queue_seconds(9_000.0, 3_000.0, DAY / 2) == pytest.approx(3.5 * DAY, rel=1e-9)
    with pytest.raises(RiskInputError, match="processed_daily"):
        queue_seconds(1.0, 0.0)


def test_slashing_takes_its_share() -> None:
    """A tenth of the stake that loses a half of itself takes 5 % off the ratio."""
    assert slashed_ratio(1.2, 0.1, 0.5) == pytest.approx(1.14, rel=1e-9)


def test_the_way_out_is_the_cheaper_one() -> None:
    """A short queue beats a deep discount; a long queue does not; both haircuts are told."""
    sale = dynamic_haircut(0.8, 3_600, 0.01, quantile_sigmas=2.33)
    waits = np.array([1.0, 40.0]) * DAY
    redeemed = dynamic_haircut(0.8, waits, quantile_sigmas=2.33)
    ways = exit_haircut(
        sale,
        redeemed,
        peg_haircut=0.2,
        slashing_intensity_annual=0.1,
        slashing_loss=0.05,
        redemption_seconds=waits,
    )

    expected = 2.33 * 0.8 * math.sqrt(1 / 365) + (1 - math.exp(-0.1 / 365)) * 0.05
    assert ways.total[0] == ways.redemption[0] == pytest.approx(expected, rel=1e-9)
    assert ways.total[1] == ways.market[1] == pytest.approx(float(sale.total) + 0.2, rel=1e-9)


@given(st.floats(0, 3), st.floats(0, 1e7), st.floats(0, 1e7), st.floats(0, 1))
def test_a_longer_queue_never_means_a_smaller_haircut(vol: float, wait: float, longer: float, doubted: float) -> None:
    """The haircut of the way out rises with the queue, and stays in [0, 1]."""
    sale = dynamic_haircut(vol, 3_600, quantile_sigmas=2.33)
    waits = [wait, wait + longer]
    redeemed = dynamic_haircut(vol, waits, quantile_sigmas=2.33)
    total = exit_haircut(
        sale,
        redeemed,
        peg_haircut=doubted,
        slashing_intensity_annual=0.1,
        slashing_loss=0.05,
        redemption_seconds=waits,
    ).total

    assert 0 <= total[0] <= total[1] <= 1


@pytest.mark.parametrize("wrong", [math.nan, -1.0])
def test_what_is_no_ratio_is_refused(wrong: float) -> None:
    """A snapshot, a peg and a slashing start from figures."""
    with pytest.raises(RiskInputError):
        RatioSnapshot(ratio=wrong, at_seconds=0, growth_annual=0.1)
    with pytest.raises(RiskInputError):
        peg(wrong, 1.0, PegParams())
    with pytest.raises(RiskInputError):
        slashed_ratio(wrong, 0.1, 0.1)
    with pytest.raises(RiskInputError, match="limit"):
        PegParams(tolerance=0.1, limit=0.05)
