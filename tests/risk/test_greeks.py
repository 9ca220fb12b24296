"""Prices and Greeks are those of the books, of an independent library, and of one another."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.greeks import (
    attribution,
    black76,
    black76_greeks,
    black_scholes_greeks,
    bucketed,
    instrument_greeks,
    inverse_greeks,
)
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from tests.risk.markets import book, derive_option, listing, moved, years

with warnings.catch_warnings():
    # Its SWIG wrapper makes types without a module name, about which Python 3.12 and later warn.
    warnings.simplefilter("ignore", DeprecationWarning)
    import QuantLib

prices = st.floats(50, 5_000)
vols = st.floats(0.05, 3.0)
times = st.floats(0.002, 3.0)


def test_a_call_and_a_put_are_worth_what_black_computes() -> None:
    """F 2000, K 2100, 80 %, 30 days: figures of QuantLib's BlackCalculator."""
    greeks = black76_greeks(2000.0, 2100.0, years(days=30), 0.8, np.array([True, False]))

    assert greeks.price == pytest.approx([141.361236, 241.361236], abs=1e-6)
    assert greeks.delta == pytest.approx([0.460945, -0.539055], abs=1e-6)
    assert greeks.gamma == pytest.approx([0.00086554] * 2, abs=1e-8)
    assert greeks.vega == pytest.approx([227.649399] * 2, abs=1e-6)
    assert greeks.theta == pytest.approx([-1107.893740] * 2, abs=1e-6)
    assert greeks.theta / 365 == pytest.approx([-3.035325] * 2, abs=1e-6)
    assert greeks.vega / 100 == pytest.approx([2.27649] * 2, abs=1e-5)


def test_a_call_on_a_share_has_hulls_greeks() -> None:
    """J. Hull, *Options, Futures, and Other Derivatives*, ch. 19: S 49, K 50, r 5 %, 20 %, 20 weeks."""
    greeks = black_scholes_greeks(49.0, 50.0, 20 / 52, 0.2, is_call=True, rate_annual=0.05)

    assert float(greeks.price) == pytest.approx(2.400527, abs=1e-6)
    assert float(greeks.delta) == pytest.approx(0.5216, abs=5e-5)
    assert float(greeks.gamma) == pytest.approx(0.0655, abs=5e-5)
    assert float(greeks.vega) == pytest.approx(12.105, abs=5e-4)
    assert float(greeks.theta) == pytest.approx(-4.305, abs=5e-4)
    assert float(greeks.rho) == pytest.approx(8.907, abs=5e-4)


def test_an_option_is_marked_as_derives_contract_marks_it() -> None:
    """Derive v2-core, first margin test: F 1500.833279, K 1500, vol 1.047884494, 500,400 s: 79.371585."""
    price = black76(1500.833279, 1500.0, years(seconds=500_400), 1.047884494, is_call=True)

    assert float(price) == pytest.approx(79.371585, abs=1e-6)


def test_every_figure_is_quantlibs() -> None:
    """An independent library gives the same over a random grid."""
    chance = np.random.default_rng(11)
    for _ in range(200):
        forward, strike = chance.uniform(500, 3000, 2)
        time, vol, rate = chance.uniform(0.01, 2), chance.uniform(0.1, 2.5), chance.uniform(-0.05, 0.2)
        is_call = bool(chance.random() < 0.5)
        payoff = QuantLib.PlainVanillaPayoff(QuantLib.Option.Call if is_call else QuantLib.Option.Put, strike)
        oracle = QuantLib.BlackCalculator(payoff, forward, vol * np.sqrt(time), np.exp(-rate * time))

        spot = forward * np.exp(-rate * time)
        on_forward = black76_greeks(forward, strike, time, vol, is_call, rate)
        on_spot = black_scholes_greeks(spot, strike, time, vol, is_call, rate)

        assert float(on_forward.price) == pytest.approx(oracle.value(), rel=1e-9, abs=1e-8)
        assert float(on_forward.delta) == pytest.approx(oracle.deltaForward(), rel=1e-9, abs=1e-12)
        assert float(on_forward.gamma) == pytest.approx(oracle.gammaForward(), rel=1e-9, abs=1e-12)
        assert float(on_forward.vega) == pytest.approx(oracle.vega(time), rel=1e-9, abs=1e-9)
        assert float(on_spot.price) == pytest.approx(oracle.value(), rel=1e-9, abs=1e-8)
        assert float(on_spot.delta) == pytest.approx(oracle.delta(spot), rel=1e-9, abs=1e-12)
        assert float(on_spot.gamma) == pytest.approx(oracle.gamma(spot), rel=1e-9, abs=1e-12)
        assert float(on_spot.theta) == pytest.approx(oracle.theta(spot, time), rel=1e-8, abs=1e-8)
        assert float(on_spot.rho) == pytest.approx(oracle.rho(time), rel=1e-8, abs=1e-8)


@given(forward=prices, strike=prices, time=times, vol=vols)
def test_a_call_less_a_put_is_the_forward_less_the_strike(
    forward: float, strike: float, time: float, vol: float
) -> None:
    """Put-call parity, discounted: C - P = D (F - K)."""
    call = float(black76(forward, strike, time, vol, is_call=True, discount=0.97))
    put = float(black76(forward, strike, time, vol, is_call=False, discount=0.97))

    assert call - put == pytest.approx(0.97 * (forward - strike), rel=1e-9, abs=1e-8)


@pytest.mark.slow
@given(forward=prices, strike=prices, time=times, vol=vols, is_call=st.booleans())
def test_greeks_are_the_slopes_of_the_price(
    forward: float, strike: float, time: float, vol: float, *, is_call: bool
) -> None:
    """Each is what a central difference of the price gives."""
    greeks = black76_greeks(forward, strike, time, vol, is_call)
    step, short = forward * 1e-4, time * 1e-4

    def price(change: float = 0.0, rise: float = 0.0, later: float = 0.0) -> float:
        return float(black76(forward + change, strike, time - later, vol + rise, is_call))

    assert float(greeks.delta) == pytest.approx((price(step) - price(-step)) / (2 * step), abs=1e-3)
    assert float(greeks.vega) == pytest.approx((price(rise=1e-5) - price(rise=-1e-5)) / 2e-5, rel=1e-3, abs=1e-3)
    decay = (price(later=short) - price(later=-short)) / (2 * short)
    assert float(greeks.theta) == pytest.approx(decay, rel=1e-3, abs=1e-3)


@pytest.mark.slow
@given(strike=prices, time=times, vol=vols, change=st.floats(-0.009, 0.009), is_call=st.booleans())
def test_gamma_explains_the_curve_of_a_small_move(
    strike: float, time: float, vol: float, change: float, *, is_call: bool
) -> None:
    """For |dF| below 1 %, delta dF + gamma dF^2 / 2 is the full revaluation up to the third order."""
    spread = vol * np.sqrt(time)
    greeks = black76_greeks(1000.0, strike, time, vol, is_call)
    move = 1000.0 * change

    explained = greeks.delta * move + greeks.gamma * move**2 / 2
    full = black76(1000.0 + move, strike, time, vol, is_call) - greeks.price

    third_order = 1000.0 * abs(change) ** 3 * (1 + 1 / spread) ** 2 / spread
    assert float(full) == pytest.approx(float(explained), abs=float(third_order) + 1e-9)


def test_without_volatility_an_option_is_worth_what_exercise_gives() -> None:
    """The limit is the intrinsic value, discounted, and at the money nothing."""
    values = black76([110.0, 90.0, 100.0], 100.0, 1.0, 0.0, is_call=True, discount=0.9)

    assert values.tolist() == pytest.approx([9.0, 0.0, 0.0])


@pytest.mark.slow
@given(strike=prices, time=times, vol=vols, is_call=st.booleans())
def test_a_coin_settled_option_changes_as_its_greeks_say(
    strike: float, time: float, vol: float, *, is_call: bool
) -> None:
    """Its value is Black's over the forward, and its delta in coins that of this quotient."""

    def coins(forward: float) -> float:
        return float(black76(forward, strike, time, vol, is_call)) / forward

    greeks = inverse_greeks(1000.0, strike, time, vol, is_call)

    assert float(greeks.price_coin) == pytest.approx(coins(1000.0))
    slope = (coins(1000.1) - coins(999.9)) / 0.2
    assert float(greeks.delta_coin) == pytest.approx(slope * 1000.0, abs=1e-4)
    assert float(greeks.delta_usd) == pytest.approx(float(greeks.delta_coin) * 1000.0)
    usd = black76_greeks(1000.0, strike, time, vol, is_call)
    assert float(greeks.vega_coin) == pytest.approx(float(usd.vega) / 1000)
    assert float(greeks.theta_coin) == pytest.approx(float(usd.theta) / 1000)


def test_a_coin_settled_options_gamma_is_the_slope_of_its_delta() -> None:
    """d2V/dF2 of Black over F, by differences, at the money and away from it."""
    strikes, step = np.array([800.0, 1000.0, 1300.0]), 0.5
    value = [black76(1000.0 + move, strikes, 0.25, 0.9, is_call=True) / (1000.0 + move) for move in (-step, 0.0, step)]

    gamma = inverse_greeks(1000.0, strikes, 0.25, 0.9, is_call=True).gamma_coin

    assert gamma == pytest.approx((value[2] - 2 * value[1] + value[0]) / step**2, rel=1e-4)


def test_bucket_vegas_sum_to_the_accounts_vega() -> None:
    """So do all Greeks; nothing is lost between underlyings and expiries."""
    chance = np.random.default_rng(3)
    instruments = listing(chance, 40)
    portfolio = book(chance, instruments, 30, 12)

    sums = bucketed(instruments, portfolio)
    each = instrument_greeks(instruments)

    assert sums.vega.shape == (30, len(instruments.buckets))
    for name in ("delta", "gamma", "vega", "theta"):
        total = portfolio.quantities @ getattr(each, name)
        assert getattr(sums, name).sum(axis=1) == pytest.approx(total, rel=1e-9, abs=1e-9)


def test_a_bucket_holds_its_own_expiry_only() -> None:
    """One option's vega lies in the bucket of its underlying and expiry, and nowhere else."""
    instruments = listing(np.random.default_rng(3), 8)
    place = instruments.names.index("ETH-32-3")
    sums = bucketed(instruments, Portfolio.of(instruments, [({"ETH-32-3": 2.0}, 0.0)]))

    held = np.flatnonzero(sums.vega[0])
    assert held.tolist() == [instruments.buckets.of[place]]
    assert sums.expiry_years[held[0]] == instruments.expiry_years[place]
    assert instruments.underlyings[sums.underlying[held[0]]] == "ETH"


def test_a_linear_contract_has_delta_alone() -> None:
    """One coin, one perpetual, and one dollar of an inverse perpetual."""
    contracts = [
        Contract(name="spot", kind=Kind.SPOT, underlying="BTC", mark_price_usd=50_000),
        Contract(name="inverse", kind=Kind.PERPETUAL, underlying="BTC", mark_price_usd=50_000, inverse=True),
    ]
    greeks = instrument_greeks(Instruments.of(contracts, [Underlying(name="BTC", spot_usd=50_000)]))

    assert greeks.delta == pytest.approx([1.0, 1 / 50_000])
    assert not np.any([greeks.gamma, greeks.vega, greeks.theta])


def test_a_small_move_is_explained_and_the_rest_is_named() -> None:
    """Delta, gamma, vega, theta and the residual are the full revaluation, and the residual is small."""
    chance = np.random.default_rng(5)
    before = listing(chance, 40)
    portfolio = book(chance, before, 50, 10)
    after = moved(before, np.array([0.004, -0.006]), 0.002, years(seconds=3600))

    parts = attribution(before, after, portfolio, years(seconds=3600))

    explained = parts.delta + parts.gamma + parts.vega + parts.theta
    full = portfolio.quantities @ (instrument_greeks(after).price - instrument_greeks(before).price)
    assert parts.total == pytest.approx(full, rel=1e-9)
    assert explained + parts.residual == pytest.approx(parts.total, rel=1e-9)
    assert np.all(np.abs(parts.residual) < 0.01 * (np.abs(parts.delta) + np.abs(parts.gamma) + 500))
    assert np.any(parts.residual != 0)


def test_an_inverse_perpetual_is_explained_by_its_delta_alone() -> None:
    """A hundred dollars of notional gain a dollar for one per cent, with nothing left over."""
    contract = Contract(name="I", kind=Kind.PERPETUAL, underlying="BTC", mark_price_usd=50_000.0, inverse=True)
    before = Instruments.of([contract], [Underlying(name="BTC", spot_usd=50_000.0)])
    held = Portfolio.of(before, [({"I": 100.0}, 0.0)])

    parts = attribution(before, moved(before, np.array([0.01]), 0.0, 0.0), held)

    assert parts.total == pytest.approx([1.0])
    assert parts.delta == pytest.approx([1.0])
    assert parts.residual == pytest.approx([0.0], abs=1e-9)


def test_an_attribution_asks_for_the_same_market_and_the_time_that_passed() -> None:
    """Otherwise its parts would explain another move."""
    before = Instruments.of([derive_option("A", 1500, is_call=True)], [Underlying(name="ETH", spot_usd=1500)])
    other = Instruments.of([derive_option("B", 1500, is_call=True)], [Underlying(name="ETH", spot_usd=1500)])
    held = Portfolio.of(before, [({"A": 1.0}, 0.0)])

    with pytest.raises(RiskInputError, match=r"^instruments: are others"):
        attribution(before, other, held)
    with pytest.raises(RiskInputError, match=r"^elapsed_years"):
        attribution(before, before, held, 0.1)


@pytest.mark.parametrize("place", range(4))
def test_what_is_not_positive_has_no_greeks(place: int) -> None:
    """A zero forward, strike, time or volatility is named."""
    inputs = [1000.0, 1000.0, 0.5, 0.8]
    inputs[place] = 0.0

    with pytest.raises(RiskInputError, match="is 0; give a number of more than 0"):
        black76_greeks(inputs[0], inputs[1], inputs[2], inputs[3], is_call=True)
