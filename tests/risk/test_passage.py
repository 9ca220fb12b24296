"""First passage: closed-form figures, a barrier option of QuantLib, simulated paths, and how it must move."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.risk.passage import (
    BARRIERS,
    BLOCK,
    end_point_probability,
    inventory_shortfall,
    liquidation_probability,
    ratio_vol,
    ruin_probability,
)
from keeper.risk.tail import historical_es

DAY = 86_400
HEALTH = st.floats(1.0001, 5)
VOLS = st.floats(0.05, 3)
HORIZONS = st.floats(60, 90 * DAY)
DRIFTS = st.floats(-3, 3)
# The closed form of the running minimum at s = 0.8 a year and no drift (Borodin and Salminen, part II, 2.1).
CLOSED_FORM = [
    (1.05, DAY, 0.249944),
    (1.10, DAY, 0.023949),
    (1.25, 7 * DAY, 0.049130),
    (1.50, 30 * DAY, 0.093968),
]


@pytest.mark.parametrize(("health", "seconds", "expected"), CLOSED_FORM)
def test_the_closed_form(health: float, seconds: float, expected: float) -> None:
    """At a volatility of 80 % a year the probabilities are those of the closed form, to six digits."""
    assert float(liquidation_probability(health, 0.8, seconds)) == pytest.approx(expected, abs=1e-6)


def test_the_end_point_alone_sees_about_half() -> None:
    """Of a health factor of 1.05 over a day the end point sees 0.126264 of 0.249944."""
    assert float(end_point_probability(1.05, 0.8, DAY)) == pytest.approx(0.126264, abs=1e-6)


@pytest.mark.filterwarnings(
    "ignore:builtin type .* has no __module__ attribute:DeprecationWarning"
)  # SWIG's, in QuantLib
@pytest.mark.parametrize("drift", [-0.5, 0.0, 0.3])
@pytest.mark.parametrize(("health", "days"), [(1.05, 1), (1.25, 7), (1.5, 30)])
def test_a_one_touch_option_has_the_same_price(health: float, days: int, drift: float) -> None:
    """QuantLib's American digital that pays 1 at expiry where the spot touched 1 costs the probability, at no rate."""
    import QuantLib as ql  # noqa: PLC0415, N813 - it warns as it is imported

    today = ql.Date(1, 1, 2026)
    ql.Settings.instance().evaluationDate = today
    count = ql.Actual365Fixed()
    flat = [ql.YieldTermStructureHandle(ql.FlatForward(today, rate, count)) for rate in (-drift, 0.0)]
    vol = ql.BlackVolTermStructureHandle(ql.BlackConstantVol(today, ql.NullCalendar(), 0.8, count))
    process = ql.BlackScholesMertonProcess(ql.QuoteHandle(ql.SimpleQuote(health)), *flat, vol)
    option = ql.VanillaOption(
        ql.CashOrNothingPayoff(ql.Option.Put, 1.0, 1.0), ql.AmericanExercise(today, today + days, True)
    )
    option.setPricingEngine(ql.AnalyticDigitalAmericanEngine(process))

    ours = float(liquidation_probability(health, 0.8, days * DAY, drift_annual=drift))

    assert ours == pytest.approx(option.NPV(), rel=1e-9)


def test_who_is_at_the_line_and_who_owes_nothing() -> None:
    """At or below 1 the probability is 1, without debt it is 0, and neither disturbs those beside it."""
    found = liquidation_probability([0.0, 0.5, 1.0, math.inf, 1.05], 0.8, DAY)

    assert found[:4].tolist() == [1, 1, 1, 0]
    assert found[4] == pytest.approx(0.249944, abs=1e-6)
    assert end_point_probability([0.0, math.inf], 0.8, DAY).tolist() == [1, 0]


def test_what_does_not_move_follows_its_drift() -> None:
    """Without volatility the line is reached if the drift leads there in time, and else never."""
    year = 365 * DAY

    assert liquidation_probability([1.05, 1.2], 0.0, year, drift_annual=-0.1).tolist() == [1, 0]
    assert float(liquidation_probability(1.0001, 0.0, year)) == 0


@pytest.mark.filterwarnings("error")
def test_a_steep_drift_overflows_nothing() -> None:
    """Where exp(-2 nu b / s^2) is beyond a float, the probability is still that of reaching the line in time."""
    steep = liquidation_probability([1.05, 3.0, 1e90], 0.01, 365 * DAY, drift_annual=-5.0)

    assert steep.tolist() == [1, 1, 0]
    assert float(liquidation_probability(1e90, 0.8, DAY)) == 0


@given(HEALTH, VOLS, HORIZONS, DRIFTS)
def test_a_probability_is_one(health: float, vol: float, seconds: float, drift: float) -> None:
    """Whatever the arguments, the end point's probability is at least 0, that of the way no less, and at most 1."""
    way = float(liquidation_probability(health, vol, seconds, drift))

    assert 0 <= float(end_point_probability(health, vol, seconds, drift)) <= way + 1e-12
    assert way <= 1


@given(st.floats(0.01, 3), st.floats(0.001, 0.05))
def test_the_way_is_about_twice_the_end(deviations: float, deviation: float) -> None:
    """Where the horizon's deviation is small, P is nearly twice the end-point probability: the reflection principle."""
    health, seconds = math.exp(deviations * deviation), (deviation / 0.8) ** 2 * 365 * DAY
    end = float(end_point_probability(health, 0.8, seconds))

    assert float(liquidation_probability(health, 0.8, seconds)) == pytest.approx(2 * end, rel=deviation)


@given(HEALTH, VOLS, HORIZONS, st.floats(1, 3))
def test_the_probability_rises_with_time_and_volatility_and_falls_with_health(
    health: float, vol: float, seconds: float, times: float
) -> None:
    """Longer, wilder or nearer to the line is never safer, and a drift upwards never more dangerous."""
    here = float(liquidation_probability(health, vol, seconds))
    slack = 1e-12

    assert float(liquidation_probability(health, vol, seconds * times)) >= here - slack
    assert float(liquidation_probability(health, vol * times, seconds)) >= here - slack
    assert float(liquidation_probability(health * times, vol, seconds)) <= here + slack
    assert float(liquidation_probability(health, vol, seconds, drift_annual=times)) <= here + slack


def test_many_accounts_are_as_each_alone() -> None:
    """A book longer than a block gives what its accounts give one by one, each with its own volatility."""
    chance = np.random.default_rng(3)
    health, vol = np.exp(chance.normal(0.2, 0.2, BLOCK + 7)), chance.uniform(0.2, 2, BLOCK + 7)
    found = liquidation_probability(health, vol, DAY)
    places = [0, BLOCK - 1, BLOCK, BLOCK + 6]

    alone = [float(liquidation_probability(health[place], vol[place], DAY)) for place in places]

    assert found.shape == health.shape
    assert found[places] == pytest.approx(alone, rel=1e-12)


def test_the_volatility_of_a_ratio() -> None:
    """Like assets move no ratio, independent ones by the root of squares, opposite ones by the sum."""
    found = ratio_vol([0.8, 0.3, 0.3, 0.8], [0.8, 0.4, 0.4, 0.5], [1.0, 0.0, -1.0, 0.5])

    assert found == pytest.approx([0, 0.5, 0.7, 0.7], abs=1e-12)


@pytest.mark.slow
def test_bridged_daily_paths_agree_with_the_closed_form() -> None:
    """200,000 paths of 30 daily steps give 0.09373 and 0.093968, within one standard error of each."""
    paths = _paths(7, 200_000, 30)
    found = float(ruin_probability(paths, [math.log(1.5)], _STEP)[0])
    error = math.sqrt(0.093968 * (1 - 0.093968) / 200_000)

    assert found == pytest.approx(0.093968, abs=error)
    assert found == pytest.approx(0.09373, abs=error)


def test_unbridged_paths_see_less() -> None:
    """Paths taken as seen all the time are below the bridged ones: between two days much happens."""
    paths, barrier = _paths(1, 20_000, 7), [math.log(1.1)]

    seen = float(ruin_probability(paths, barrier, 0.0)[0])
    assert seen == np.mean(np.cumsum(paths, axis=1).min(axis=1) <= -math.log(1.1))
    assert seen < 0.8 * float(ruin_probability(paths, barrier, _STEP)[0])


def test_a_large_book_is_interpolated_closely() -> None:
    """The probabilities of a large book are those of each account alone within 0.0002, and never rise with health."""
    paths = _paths(2, 2_000, 7)
    health = np.sort(np.abs(np.random.default_rng(4).normal(0, 0.3, 20 * BARRIERS)))
    found = ruin_probability(paths, health, _STEP)
    some = np.arange(0, len(health), 50)

    assert found[some] == pytest.approx(ruin_probability(paths, health[some], _STEP), abs=2e-4)
    assert np.all(np.diff(found) <= 0)


def test_ruin_at_the_line_and_without_debt() -> None:
    """At or below the line ruin is certain, without debt impossible, and so in a large book and in one all alike."""
    few = np.array([-0.1, 0.0, math.inf, 0.1])
    many = np.tile(few, BARRIERS)
    found = ruin_probability(_paths(5, 50, 5), few, _STEP)

    assert found[:3].tolist() == [1, 1, 0]
    assert ruin_probability(_paths(5, 50, 5), many, _STEP) == pytest.approx(np.tile(found, BARRIERS), abs=2e-3)
    assert ruin_probability(_paths(5, 50, 5), np.full(BARRIERS + 1, 0.1), _STEP).tolist() == [found[3]] * (BARRIERS + 1)


@given(st.integers(0, 2**32 - 1), st.floats(0.001, 1), st.floats(0, 1), st.floats(0, 0.1))
def test_ruin_falls_with_health_and_rises_with_volatility(seed: int, health: float, more: float, vol: float) -> None:
    """On the same paths more health is never more dangerous, nor is less volatility between the steps."""
    paths = _paths(seed, 40, 6)
    near, far = ruin_probability(paths, [health, health + more], vol)

    assert 0 <= far <= near <= 1
    assert ruin_probability(paths, [health], 2 * vol)[0] >= near


def test_steps_may_have_volatilities_of_their_own() -> None:
    """One volatility for all steps is that volatility at each step, and at each step of each path."""
    paths = _paths(6, 30, 4)
    one, steps, each = (ruin_probability(paths, [0.05], np.full(shape, _STEP)) for shape in ((), (4,), (30, 4)))

    assert one == steps == each


def test_the_shortfall_of_an_inventory() -> None:
    """A long position falls short by the mean of its worst scenarios, scaled by the root of the time it is held."""
    returns = np.random.default_rng(8).standard_t(4, 1000) * 0.03
    an_hour = inventory_shortfall(1e6, returns, 3_600, 0.99)

    assert an_hour == pytest.approx(historical_es(-1e6 * np.expm1(returns / math.sqrt(24)), 0.99), rel=1e-12)
    assert inventory_shortfall(1e6, returns, 0, 0.99) == 0
    assert inventory_shortfall(1e6, returns, DAY, 0.99) > an_hour
    assert inventory_shortfall(1e6, returns * 100, DAY, 0.99) <= 1e6


def test_the_shortfall_of_several_assets_knows_their_hedge() -> None:
    """Long one asset and short its twin loses nothing."""
    returns = np.random.default_rng(9).normal(0, 0.03, 500)

    assert inventory_shortfall([1e6, -1e6], np.column_stack([returns, returns]), DAY, 0.99) == pytest.approx(
        0, abs=1e-6
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.nan, 0.8, DAY), "health_factor: is nan"),
        (([1.1, -1.0], 0.8, DAY), r"health_factor\[1\]: is -1"),
        ((1.1, -0.8, DAY), "vol_annual: is -0.8"),
        ((1.1, [0.8, 0.9], DAY), r"vol_annual: has shape \(2,\)"),
        ((1.1, 0.8, 0), "horizon_seconds: is 0"),
        ((1.1, 0.8, DAY, math.inf), "drift_annual: is inf"),
    ],
)
def test_an_account_without_a_probability_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    """What is no number or out of range is named, at the end as on the way."""
    for figure in (liquidation_probability, end_point_probability):
        with pytest.raises(RiskInputError, match=message):
            figure(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.empty((0, 3)), [0.1], 0.01), r"paths: has shape \(0, 3\)"),
        (([0.1], [0.1], 0.01), "paths: has 1 dimensions"),
        (([[0.1]], [math.nan], 0.01), r"log_health\[0\]: is nan"),
        (([[0.1]], 0.1, 0.01), "log_health: has 0 dimensions"),
        (([[0.1]], [0.1], -0.01), "vol_step: is -0.01"),
        (([[0.1]], [0.1], [0.1, 0.2]), r"vol_step: has shape \(2,\)"),
    ],
)
def test_paths_without_a_probability_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    """No path, a hole and a volatility of other steps are named."""
    with pytest.raises(RiskInputError, match=message):
        ruin_probability(*arguments)


def test_volatilities_of_other_shapes_make_no_ratio() -> None:
    """What does not go together is named, and so is a correlation beyond 1."""
    with pytest.raises(RiskInputError, match="vol_1, vol_2 and rho: have shapes"):
        ratio_vol([0.1, 0.2], [0.1, 0.2, 0.3], 0.5)
    with pytest.raises(RiskInputError, match=r"rho: is 1\.5"):
        ratio_vol(0.1, 0.1, 1.5)


_STEP = 0.8 / math.sqrt(365)


def _paths(seed: int, paths: int, steps: int) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return daily log moves of a fair price at 80 % a year."""
    return np.random.default_rng(seed).normal(-_STEP * _STEP / 2, _STEP, (paths, steps))
