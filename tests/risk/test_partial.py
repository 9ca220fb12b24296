"""How much a liquidation may take: Derive, Drift, Aave v3 and v4, two steps and linear impact."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.core.units import Bps
from keeper.risk.auctions import SolventAuction
from keeper.risk.partial import (
    AaveV4Account,
    aave_v3_leaves_dust,
    aave_v3_repay_limit_usd,
    aave_v4_slice,
    derive_after_bid,
    derive_buffer_margin,
    derive_fraction,
    drift_base_amount,
    drift_speed_limit,
    linear_impact_reduction,
    qin_two_steps,
    target_repay_usd,
)

AUCTION = SolventAuction(start=0.98, cutoff=0.8, fast_seconds=100.0, slow_seconds=14_400.0, fee_rate=0.02)
"""The parameters of Derive's simulated liquidations."""


@pytest.mark.parametrize(("discount", "fraction"), [(1.0, 0.318182), (0.9, 0.341463)])
def test_derive_fraction(discount: float, fraction: float) -> None:
    """An account worth 300 with a margin of -100 sells 31.8182 %, more at a discount (v2-core, auction tests)."""
    margin = derive_buffer_margin(300.0, -100.0, 0.1)
    assert margin == pytest.approx(-140.0, abs=1e-9)
    assert derive_fraction(300.0, margin, discount) == pytest.approx(fraction, abs=5e-7)


def test_derive_bid() -> None:
    """At a discount of a tenth that fraction is bought for 92.195 (v2-core, auction tests)."""
    fraction = derive_fraction(300.0, -140.0, 0.9)
    bid = SolventAuction(start=0.9, cutoff=0.9).bid(300.0, 0.0, fraction=fraction)
    assert float(bid) == pytest.approx(92.195, abs=5e-4)


def test_derive_first_simulation() -> None:
    """From the fee on, every figure of the first simulation follows (v2-core, PMRM liquidation simulation, Test1)."""
    worth, maintenance = 119.306330181, -103.090619491
    fee = 1.322084630165
    first = derive_fraction(worth + fee, derive_buffer_margin(worth + fee, maintenance + fee, 0.2), 1.0)
    assert float(AUCTION.fee(worth + fee, first)) == pytest.approx(fee, abs=1e-8)
    margin = derive_buffer_margin(worth, maintenance, 0.2)
    assert margin == pytest.approx(-147.570009425, abs=1e-8)
    fraction = derive_fraction(worth, margin, float(AUCTION.discount(0.0)))
    assert fraction == pytest.approx(0.557941285426, abs=1e-10)
    bid = float(AUCTION.bid(worth, 0.0, fraction=fraction))
    assert bid == pytest.approx(65.234608676, abs=1e-8)
    after = [derive_after_bid(figure, fraction, bid) for figure in (worth, maintenance, margin)]
    assert after == pytest.approx([117.975011636, 19.662501939, 0.0], abs=1e-8)


@pytest.mark.parametrize(
    ("worth", "maintenance", "margin", "reserved", "largest", "taken", "bid", "after"),
    [
        (
            119.308718797352435712,
            -103.087867828868841472,
            -147.567185154113110016,
            0.0,
            0.571861527362324864,
            0.1,
            11.047987360634836992,
            (118.425834278252019712, -81.731093685347155968, -121.762479278066974720),
        ),
        (
            118.425834278252019712,
            -81.731093685347155968,
            -121.762479278066974720,
            11.047987360634836992,
            0.524290585958138816,
            0.148888888888888896,
            14.804303063250681856,
            (117.242769022657511424, -53.113016333027983360, -87.184173404165079040),
        ),
        (
            115.942800866837053440,
            -21.667084620558540800,
            -49.189061718037659648,
            2 * 21.059729754440994816,
            0.308069078171682880,
            0.308069078171682880,
            21.059729754440986624,
            (114.259841901579370496, 19.043306983596552192, 0.0),
        ),
    ],
)
def test_derive_keeps_what_earlier_bids_paid(
    worth: float,
    maintenance: float,
    margin: float,
    reserved: float,
    largest: float,
    taken: float,
    bid: float,
    after: tuple[float, float, float],
) -> None:
    """Three bids after 30 seconds: fraction, price and margins to 1e-9 (v2-core aa30333, PMRM_solvent.json)."""
    assert derive_buffer_margin(worth, maintenance, 0.2) == pytest.approx(margin, abs=1e-9)
    discount = float(AUCTION.discount(30.0))
    assert derive_fraction(worth, margin, discount, reserved) == pytest.approx(largest, abs=1e-9)
    assert float(AUCTION.bid(worth, 30.0, reserved_usd=reserved, fraction=taken)) == pytest.approx(bid, abs=1e-9)
    found = [derive_after_bid(figure, taken, bid, reserved) for figure in (worth, maintenance, margin)]
    assert found == pytest.approx(after, abs=1e-9)


def test_derive_third_bid_late_in_the_auction() -> None:
    """At 9,000 seconds the fraction and the price paid for 3/7 agree on the reserve (v2-core, Test6)."""
    worth, maintenance, bid = 107.989712947, -52.917319139, 9.931675129
    discount = float(AUCTION.discount(9_000.0))
    reserved = worth - bid * 7 / 3 / discount
    margin = derive_buffer_margin(worth, maintenance, 0.2)
    assert derive_fraction(worth, margin, discount, reserved) == pytest.approx(0.606027946, abs=1e-9)


@given(st.floats(1.0, 1e6), st.floats(0.01, 2.0), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.floats(0.0, 0.99))
def test_derive_fraction_restores_the_buffer_margin(
    worth: float, short: float, discount: float, buffer: float, reserved_share: float
) -> None:
    """Whatever the discount, buying the largest fraction leaves a buffer margin of zero."""
    reserved = worth * reserved_share
    margin = derive_buffer_margin(worth, -worth * short, buffer)
    fraction = derive_fraction(worth, margin, discount, reserved)
    assert 0 < fraction <= 1
    bid = (worth - reserved) * discount * fraction
    assert derive_after_bid(margin, fraction, bid, reserved) == pytest.approx(0.0, abs=1e-6)


def test_derive_sells_nothing_of_what_holds_its_margin() -> None:
    """An account with a margin left is not for sale, and an insolvent one is sold otherwise."""
    assert derive_fraction(100.0, 0.0, 0.9) == 0.0
    with pytest.raises(RiskInputError, match="mark_to_market_usd"):
        derive_fraction(-1.0, -5.0, 0.9)


@pytest.mark.parametrize(
    ("fee", "insurance", "quote", "amount"),
    [(0.0, 0.0, 1.0, 1.0), (0.0, 0.0, 0.99, 1.010101010), (0.01, 0.0, 1.0, 1.111111), (0.01, 0.01, 1.0, 1.25)],
)
def test_drift_amounts(fee: float, insurance: float, quote: float, amount: float) -> None:
    """A shortage of 10 at a ratio of 10 % and a price of 100 takes one unit, more with fees (Drift's tests)."""
    found = drift_base_amount(10.0, 100.0, 0.10, fee=fee, insurance_fee=insurance, quote_price_usd=quote)
    assert found == pytest.approx(amount, abs=5e-7)


def test_drift_takes_all_where_fees_eat_what_is_freed() -> None:
    """At a fee of the margin ratio or more no amount covers the shortage."""
    assert drift_base_amount(10.0, 100.0, 0.10, fee=0.10) == inf
    assert drift_base_amount(10.0, 100.0, 0.10, fee=0.05, insurance_fee=0.05) == inf


def test_drift_speed_limit() -> None:
    """A tenth at once, half after 40 % of the time, all after it, and all of less than 50 USD (Drift, liquidation)."""
    limits = [
        drift_speed_limit(1000.0, slots, duration_slots=150.0, initial=0.1) for slots in (0.0, 60.0, 150.0, 999.0)
    ]
    assert limits == pytest.approx([0.1, 0.5, 1.0, 1.0], abs=1e-12)
    assert drift_speed_limit(49.99, 0.0, duration_slots=150.0, initial=0.1) == 1.0
    assert drift_speed_limit(50.0, 0.0, duration_slots=150.0, initial=0.1) == pytest.approx(0.1)


def test_drift_counts_what_was_freed() -> None:
    """Of 1,000 half is allowed and 300 is done: 200 of the 700 left; 600 done leaves nothing for now."""
    allowed = drift_speed_limit(700.0, 60.0, duration_slots=150.0, initial=0.1, freed_usd=300.0)
    assert allowed == pytest.approx(200.0 / 700.0, abs=1e-12)
    assert drift_speed_limit(400.0, 60.0, duration_slots=150.0, initial=0.1, freed_usd=600.0) == 0.0


@pytest.mark.parametrize(
    ("health", "total", "reserve", "collateral", "limit"),
    [
        (0.951, 10_000.0, 8_000.0, 9_000.0, 5_000.0),
        (0.951, 10_000.0, 4_000.0, 9_000.0, 4_000.0),
        (0.95, 10_000.0, 8_000.0, 9_000.0, 8_000.0),
        (0.99, 10_000.0, 1_999.0, 9_000.0, 1_999.0),
        (0.99, 10_000.0, 8_000.0, 1_999.0, 8_000.0),
        (0.99, 2_000.0, 2_000.0, 2_000.0, 1_000.0),
    ],
)
def test_aave_v3_close_factor(health: float, total: float, reserve: float, collateral: float, limit: float) -> None:
    """Half of the total debt, but all where health is .95 or a side is below 2,000 (Aave v3.3, LiquidationLogic)."""
    assert aave_v3_repay_limit_usd(health, total, reserve, collateral) == limit


@pytest.mark.parametrize(
    ("debt", "collateral", "dust"),
    [
        (0.0, 0.0, False),
        (0.0, 5.0, False),
        (5.0, 0.0, False),
        (1_000.0, 1_000.0, False),
        (999.0, 5_000.0, True),
        (5_000.0, 999.0, True),
    ],
)
def test_aave_v3_dust(debt: float, collateral: float, dust: bool) -> None:  # noqa: FBT001 - a column of the table
    """What is left is nothing of one side, or at least 1,000 of both (Aave v3.3, LiquidationLogic)."""
    assert aave_v3_leaves_dust(debt, collateral) is dust


@pytest.mark.parametrize(
    ("target", "bonus", "repaid"), [(1.25, 15_000, 9_000.0), (1.0, 15_000, 4 * 2_000.0), (1.0, 12_000, 2.5 * 2_000.0)]
)
def test_aave_v4_target(target: float, bonus: int, repaid: float) -> None:
    """10,000 at a health of .8: 9,000 to 1.25, four ether of 2,000 to 1, and 2.5 at a lower bonus (Aave v4's tests)."""
    assert target_repay_usd(10_000.0, 0.8, target, Bps(bonus), Bps(5_000)) == pytest.approx(repaid, abs=1e-6)


def v4(debt_reserve_usd: float = 10_000.0, collateral_usd: float = 16_000.0) -> AaveV4Account:
    """Return the account of Aave v4's tests: 10,000 owed at a health of .8, a bonus of 20 %, a fee of a tenth of it."""
    return AaveV4Account(10_000.0, debt_reserve_usd, collateral_usd, 0.8, 1.0, Bps(12_000), Bps(5_000), 0.1)


def test_aave_v4_amounts() -> None:
    """5,000 repaid seize 6,000, of which 100 are the protocol's and 5,900 the liquidator's (Aave v4's tests)."""
    found = aave_v4_slice(v4())
    assert found is not None
    assert (*found, found.liquidator_usd) == pytest.approx((5_000.0, 6_000.0, 100.0, 5_900.0), abs=1e-6)


def test_aave_v4_ends_with_the_collateral() -> None:
    """3,000 of collateral pay 2,500 of debt, 1.25 ether, and the liquidator receives 2,950 (Aave v4's tests)."""
    found = aave_v4_slice(v4(collateral_usd=3_000.0))
    assert found is not None
    assert (found.repaid_usd / 2_000.0, found.seized_usd, found.liquidator_usd) == pytest.approx(
        (1.25, 3_000.0, 2_950.0), abs=1e-6
    )


def test_aave_v4_leaves_no_dust() -> None:
    """What would be left below 1,000 of debt or collateral goes too, and a cover that would leave it is refused."""
    debt_dust = aave_v4_slice(v4(debt_reserve_usd=5_900.0))
    assert debt_dust is not None
    assert debt_dust.repaid_usd == pytest.approx(5_900.0)
    collateral_dust = aave_v4_slice(v4(collateral_usd=6_600.0))
    assert collateral_dust is not None
    assert (collateral_dust.repaid_usd, collateral_dust.seized_usd) == pytest.approx((5_500.0, 6_600.0))
    assert aave_v4_slice(v4(debt_reserve_usd=5_900.0), 5_500.0) is None
    assert aave_v4_slice(v4(), 2_000.0) == pytest.approx((2_000.0, 2_400.0, 40.0))


@given(
    st.floats(1.0, 1e6), st.floats(0.3, 0.99), st.floats(1.0, 1.3), st.integers(10_100, 11_500), st.integers(1, 8_500)
)
def test_the_target_is_reached_exactly(debt: float, health: float, target: float, bonus: int, factor: int) -> None:
    """Repaying what the closed form says leaves the target health."""
    weight = bonus * factor / 1e8
    repaid = target_repay_usd(debt, health, target, Bps(bonus), Bps(factor))
    assert (debt * health - repaid * weight) == pytest.approx(target * (debt - repaid), rel=1e-6, abs=1e-5)


def test_no_repayment_reaches_a_target_below_what_it_takes() -> None:
    """Where each unit repaid takes at least the target in weighted collateral, the amount is infinite."""
    assert target_repay_usd(100.0, 0.9, 1.0, Bps(12_500), Bps(8_000)) == inf
    with pytest.raises(RiskInputError, match="target"):
        target_repay_usd(100.0, 1.0, 1.0, Bps(10_500), Bps(8_000))


def test_qin_two_steps() -> None:
    """136,000 against 110,000: 7,500 and then 51,250 earn 2,937.5, not 2,750 (Qin et al. 2021, section 5)."""
    found = qin_two_steps(110_000.0, 136_000.0, Bps(8_000), Bps(10_500), 0.5)
    assert found is not None
    assert found == pytest.approx((7_500.0, 51_250.0, 2_937.5, 2_750.0), abs=1e-6)
    assert found.gain == pytest.approx(0.068182, abs=5e-7)


@given(st.floats(0.9, 0.999), st.floats(0.1, 0.9), st.integers(10_100, 11_000), st.integers(5_000, 8_500))
def test_qin_gain_in_closed_form(health: float, close_factor: float, bonus: int, threshold: int) -> None:
    """Two steps earn (1 - H)/(1 - LT(1 + LS)) times (1 - CF)/CF more than one, wherever they exist."""
    debt = 1e6
    found = qin_two_steps(debt, debt * health / threshold * 1e4, Bps(threshold), Bps(bonus), close_factor)
    slack = 1 - threshold * bonus / 1e8
    if found is None:
        assert slack <= 0 or (1 - health) / slack > close_factor * (1 - 1e-6)
        return
    assert found.gain == pytest.approx((1 - health) / slack * (1 - close_factor) / close_factor, rel=1e-6, abs=1e-9)


def test_two_steps_gain_nothing_where_the_close_factor_does_not_bind() -> None:
    """With a close factor of one there is no second step, and a healthy account has none."""
    assert qin_two_steps(110_000.0, 136_000.0, Bps(8_000), Bps(10_500), 1.0) is None
    with pytest.raises(RiskInputError, match="healthy"):
        qin_two_steps(100_000.0, 136_000.0, Bps(8_000), Bps(10_500), 0.5)


def test_linear_impact() -> None:
    """One unit at 1.4, a ratio of .1, an equity of .0386 and an impact of .01: .744058 (arXiv 2512.01112)."""
    assert linear_impact_reduction(1.4, 1.0, 0.1, 0.0386, 0.01) == pytest.approx(0.744058, abs=5e-7)


@given(st.floats(0.1, 10.0), st.floats(0.1, 10.0), st.floats(0.01, 0.5), st.floats(0.0, 1.0), st.floats(0.0, 0.1))
def test_linear_impact_restores_the_margin(price: float, held: float, ratio: float, share: float, slope: float) -> None:
    """After the sale equity less its cost is what the rest needs; where there is none, no sale would do."""
    equity = price * held * ratio * share
    sold = linear_impact_reduction(price, held, ratio, equity, slope)
    if sold is None:
        tries = [held * step / 50 for step in range(51)]
        assert max(equity - slope / 2 * dq**2 - ratio * price * (held - dq) for dq in tries) <= 1e-9
        return
    assert equity - slope / 2 * sold**2 == pytest.approx(ratio * price * (held - sold), abs=1e-9)


def test_linear_impact_sells_nothing_of_what_holds() -> None:
    """An account with its margin sells nothing, and one too deep finds no sale that helps."""
    assert linear_impact_reduction(1.4, 1.0, 0.1, 0.2, 0.01) == 0.0
    assert linear_impact_reduction(1.4, 1.0, 0.1, 0.0386, 0.2) is None
