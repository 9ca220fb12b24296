"""The fund pays and earns what dYdX's does, and is as large as its costs say."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keeper.core.errors import RiskInputError
from keeper.risk.bonus import dydx_fill_spread
from keeper.risk.insurance import (
    USDC,
    BlockLimits,
    Closing,
    bankruptcy_quote,
    fillable_price,
    fund_delta,
    fund_inflow,
    fund_path,
    fund_size_empirical,
    fund_size_lognormal,
)

TENTH_OF_BTC = 10_000_000
HALF_PERCENT = 5_000
AMOUNTS = st.floats(0, 1e6)


def _closed(balance_usd: int, size_tenths: int, *, part: int | None = None, price: int = 50_000) -> int:
    """Return the bankruptcy quote of tenths of a bitcoin at a maintenance requirement of a tenth, closed or in part."""
    quantums = size_tenths * TENTH_OF_BTC
    after = 0 if part is None else quantums - part
    worth = price * USDC // (10 * TENTH_OF_BTC)
    closing = Closing(quantums * worth, after * worth, abs(quantums) * worth // 10, -(-abs(after) * worth // 10))
    collateral = balance_usd * USDC + quantums * worth
    return bankruptcy_quote(closing, net_collateral=collateral, maintenance_total=abs(quantums) * worth // 10)


@pytest.mark.parametrize(
    ("balance", "tenths", "quote"), [(-4_501, 1, 4_501), (-5_100, 1, 5_100), (4_900, -1, -4_900), (-5_000, 1, 5_000)]
)
def test_a_single_position_closes_for_its_debt(balance: int, tenths: int, quote: int) -> None:
    """dydxprotocol/v4-chain, GetBankruptcyPriceInQuoteQuantums tests: all the collateral is that position's."""
    assert _closed(balance, tenths) == quote * USDC


@pytest.mark.parametrize(("balance", "tenths", "part", "quote"), [(-13, 10, 21_347, 2_776), (13, -10, -21_347, -2_775)])
def test_the_bankruptcy_quote_is_rounded_up(balance: int, tenths: int, part: int, quote: int) -> None:
    """v4-chain's vectors: 2,775.11 becomes 2,776 for a sale of 21,347 quantums, and -2,775 for a purchase."""
    assert _closed(balance, tenths, part=part) == quote


@pytest.mark.parametrize(
    ("price", "tenths", "balance", "delta_usd"),
    [
        (56_100, 1, -5_100, "28.05"),
        (51_051, 1, -5_100, "5.10"),
        (51_000, 1, -5_100, "0"),
        (50_490, 1, -5_100, "-51"),
        (44_100, -1, 4_900, "22.05"),
        (49_490, -1, 4_900, "-49"),
    ],
)
def test_the_fund_earns_a_capped_fee_or_pays_the_gap(price: int, tenths: int, balance: int, delta_usd: str) -> None:
    """v4-chain, GetLiquidationInsuranceFundDelta tests: half a percent of the proceeds at most."""
    proceeds = price * tenths * USDC // 10
    delta = fund_delta(proceeds, _closed(balance, tenths), fee_ppm=HALF_PERCENT)

    assert delta == Fraction(delta_usd) * USDC


@pytest.mark.parametrize(
    ("collateral", "adjustment", "price"), [(499, 1, 49_999), (499, 2, 49_998), (0, 1, 49_500), (600, 1, 50_000)]
)
def test_a_bitcoin_is_offered_below_its_notional(collateral: int, adjustment: int, price: int) -> None:
    """v4-chain, GetFillablePrice tests: a tenth of a bitcoin, a tenth of spread to maintenance."""
    found = fillable_price(
        TENTH_OF_BTC,
        notional=5_000 * USDC,
        maintenance=500 * USDC,
        net_collateral=collateral * USDC,
        maintenance_total=500 * USDC,
        adjustment_ppm=adjustment * 1_000_000,
        spread_ppm=100_000,
    )

    assert found * 10 * TENTH_OF_BTC == price * USDC


def test_the_spread_of_one_of_two_longs_is_of_its_own_requirement() -> None:
    """v4-chain: TNC 10 and TMMR 50 sell a tenth of ether at 2,976; in float64 it is the same spread."""
    found = fillable_price(
        100, notional=300, maintenance=30, net_collateral=10, maintenance_total=50, spread_ppm=100_000
    )

    assert found * 1_000 == 2_976
    assert 300 - dydx_fill_spread(10, 50, 30, spread_to_maintenance=0.1) == pytest.approx(float(found * 100))


def test_a_short_is_bought_above_its_notional() -> None:
    """The spread is against the account on both sides: -5,000 less 50 for -0.1 is 50,500."""
    found = fillable_price(
        -1, notional=-50_000, maintenance=5_000, net_collateral=0, maintenance_total=5_000, spread_ppm=100_000
    )

    assert found == 50_500


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.integers(0, 1_000_000))
def test_the_fund_never_takes_more_than_the_gap(proceeds: int, bankruptcy: int, fee: int) -> None:
    """The account is left with nothing less than bankruptcy, and a loss falls on the fund whole."""
    delta = fund_delta(proceeds, bankruptcy, fee_ppm=fee)

    assert delta <= max(proceeds - bankruptcy, 0)
    assert delta * 1_000_000 <= max(abs(proceeds) * fee, 0)
    assert delta == proceeds - bankruptcy or proceeds > bankruptcy


def test_a_block_liquidates_a_tenth_of_a_position() -> None:
    """At dYdX's genesis a tenth, at least 1,000 USDC, at most the position, and 100,000 USDC of a subaccount."""
    limits = BlockLimits()
    found = [limits.notional(position * USDC) // USDC for position in (50_000, 5_000, 600, -2_000_000)]

    assert found == [5_000, 1_000, 600, 100_000]
    assert limits.notional(50_000 * USDC, liquidated=98_000 * USDC) == 2_000 * USDC
    assert limits.notional(50_000 * USDC, liquidated=101_000 * USDC) == 0


def test_a_block_loses_a_million_at_most() -> None:
    """At dYdX's genesis one million USDC of the fund in a block, gains not counted."""
    limits = BlockLimits()

    assert limits.allows(-400_000 * USDC, lost=600_000 * USDC)
    assert not limits.allows(-400_001 * USDC, lost=600_000 * USDC)
    assert limits.allows(1, lost=2_000_000 * USDC)


def test_a_fund_pays_what_it_has_and_leaves_the_rest() -> None:
    """By hand: 100 with 10 a period against 30, 90 and 0: 80, then 10 with 10 unpaid, then 20."""
    path = fund_path(100, [10, 10, 10], [30, 90, 0])

    assert path.fund_usd.tolist() == [80, 10, 20]
    assert path.paid_usd.tolist() == [30, 80, 0]
    assert path.residual_usd.tolist() == [0, 10, 0]


def test_the_fund_is_fed_by_fees_fines_and_funding() -> None:
    """By arXiv 2512.01112 a tenth of 1,000, a hundredth of 50,000 and half of 40, whoever paid it."""
    inflow = fund_inflow([1_000, 0], 50_000, [-40, 40], of_fees=0.1, of_liquidated=0.01, of_funding=0.5)

    assert inflow == pytest.approx([620, 520])


@given(st.floats(0, 1e6), st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=30))
def test_a_fund_conserves_money(first: float, periods: list[tuple[float, float]]) -> None:
    """What came in is what is there and what was paid; each deficit is paid or left."""
    inflows, deficits = np.array(periods).T
    path = fund_path(first, inflows, deficits)

    assert path.fund_usd[-1] == pytest.approx(first + inflows.sum() - path.paid_usd.sum(), rel=1e-9, abs=1e-6)
    assert path.paid_usd + path.residual_usd == pytest.approx(deficits, rel=1e-12)
    assert np.all(path.fund_usd >= 0)
    assert np.all(path.residual_usd >= 0)


def test_the_newsvendor_of_a_lognormal_deficit() -> None:
    """Closed form: r .05 and kappa 1 ask for the quantile at .95 of LogN(15, 1.5), 38.54 million."""
    size = fund_size_lognormal(15, 1.5, capital_cost=0.05, loss_weight=1)

    assert size == pytest.approx(38.54e6, abs=5e3)
    assert size == pytest.approx(stats.lognorm.ppf(0.95, 1.5, scale=np.exp(15)), rel=1e-9)


@given(st.lists(AMOUNTS, min_size=1, max_size=40), st.floats(0.01, 0.99), st.floats(0, 1e6))
def test_no_other_fund_costs_less(deficits: list[float], cost: float, other: float) -> None:
    """The size chosen minimises ``r K + E[(D - K)+]`` over the deficits seen."""
    seen = np.array(deficits)

    def costs(size: float) -> float:
        return cost * size + float(np.maximum(seen - size, 0).mean())

    assert costs(fund_size_empirical(seen, capital_cost=cost, loss_weight=1)) <= costs(other) * (1 + 1e-9) + 1e-6


def test_a_fund_dearer_than_the_loss_is_none() -> None:
    """Where capital costs as much as an uncovered loss, the best fund is empty."""
    assert fund_size_lognormal(15, 1.5, capital_cost=1, loss_weight=1) == 0
    assert fund_size_empirical([5, 6], capital_cost=2, loss_weight=1) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Closing(100, 0, 10, 11),
        lambda: bankruptcy_quote(Closing(100, 0, 10, 0), net_collateral=1, maintenance_total=0),
        lambda: fund_delta(1, 0, fee_ppm=1_000_001),
        lambda: fillable_price(0, notional=1, maintenance=1, net_collateral=1, maintenance_total=1),
        lambda: fillable_price(1, notional=1, maintenance=1, net_collateral=1, maintenance_total=0),
        lambda: fillable_price(1, notional=1, maintenance=9, net_collateral=0, maintenance_total=9),
        lambda: BlockLimits(position_ppm=-1),
        lambda: fund_path(1, [1, 2], [1]),
        lambda: fund_path(1, [], []),
        lambda: fund_size_lognormal(15, -1, capital_cost=0.05, loss_weight=1),
        lambda: fund_size_empirical([], capital_cost=0.05, loss_weight=1),
        lambda: fund_inflow(1, 1, 1, of_fees=2, of_liquidated=0, of_funding=0),
    ],
)
def test_a_fund_of_nonsense_is_refused(wrong: Callable[[], object]) -> None:
    """No figure comes out of a wrong parameter."""
    with pytest.raises(RiskInputError):
        wrong()
