"""Volatility: textbook numbers, two crashes of record, and a margin that never falls with the wind."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import RiskInputError
from keeper.lab.stress.closes import daily_closes
from keeper.risk.volatility import (
    MaintenanceRule,
    annualised,
    combined_vol,
    decayed,
    ewma_update,
    ewma_variances,
    horizon_seconds,
    horizon_vol,
    next_maintenance,
    scaled_maintenance,
)

RULE = MaintenanceRule(multiplier=1.25, quantile=3.0, floor=0.02, cap=0.5, half_life_seconds=86_400)
FRACTIONS = st.floats(0, 1)


def coin_variances(coin: str) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """Return the dates of the returns, the returns and the variances of one coin."""
    closes = daily_closes()
    returns = np.diff(np.log(closes.btc if coin == "BTC" else closes.eth))
    return closes.dates[1:], returns, ewma_variances(returns)


def test_ewma_is_the_textbooks() -> None:
    """Hull, Options, Futures and Other Derivatives, EWMA example: 0.00013, a volatility of 1.1402 % a day."""
    variances = ewma_variances([0.02], decay=0.9, initial=0.01**2)

    assert variances == pytest.approx([0.0001, 0.00013], rel=1e-9)
    assert math.sqrt(variances[-1]) == pytest.approx(0.011402, abs=5e-7)
    assert ewma_update(0.01**2, 0.02, 0.9) == pytest.approx(0.00013, rel=1e-9)


@pytest.mark.parametrize(
    ("coin", "before", "after", "march", "october"),
    [("BTC", 0.03301, 2.430, -15.2, -4.6), ("ETH", 0.05705, 2.959, -10.4, -4.2)],
)
def test_two_crashes_in_standard_deviations(
    coin: str, before: float, after: float, march: float, october: float
) -> None:
    """On the recorded daily closes, EWMA(.94) had seen neither 12 March 2020 nor 10 October 2025 coming."""
    dates, returns, variances = coin_variances(coin)
    black_thursday, tariffs = dates.index("2020-03-12"), dates.index("2025-10-10")
    sigmas = returns / np.sqrt(variances[:-1])

    assert math.sqrt(variances[black_thursday]) == pytest.approx(before, abs=5e-6)
    assert annualised(math.sqrt(variances[black_thursday + 1])) == pytest.approx(after, abs=5e-4)
    assert sigmas[black_thursday] == pytest.approx(march, abs=0.05)
    assert sigmas[tariffs] == pytest.approx(october, abs=0.05)


def test_one_update_after_another_is_the_whole_series() -> None:
    """The recursion of one step and of all steps are one."""
    returns = np.random.default_rng(3).normal(0, 0.03, 50)
    variances = ewma_variances(returns, initial=0.001)

    for before, ret, after in zip(variances[:-1], returns, variances[1:], strict=True):
        assert ewma_update(before, ret) == pytest.approx(after, rel=1e-12)


def test_the_first_variance_is_the_mean_of_thirty_squares() -> None:
    """What comes later does not change where the variance starts."""
    returns = np.linspace(-0.05, 0.06, 40)

    assert ewma_variances(returns)[0] == pytest.approx(np.mean(returns[:30] ** 2), rel=1e-12)
    assert ewma_variances(returns[:5])[0] == pytest.approx(np.mean(returns[:5] ** 2), rel=1e-12)


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.floats(0.01, 0.99), st.floats(1e-8, 1))
def test_a_variance_is_positive_and_knows_only_its_past(returns: list[float], decay: float, initial: float) -> None:
    """Every forecast is positive, and the last return changes none but the last."""
    variances = ewma_variances(returns, decay, initial)

    assert len(variances) == len(returns) + 1
    assert np.all(variances > 0)
    assert np.array_equal(ewma_variances([*returns[:-1], 1.0], decay, initial)[:-1], variances[:-1])


def test_time_scales_by_its_square_root() -> None:
    """A quarter of a day has half the volatility of a day, and a year sqrt(365) times it."""
    assert horizon_vol([0.04, 0.02], 21_600) == pytest.approx([0.02, 0.01])
    assert horizon_vol(0.04, [0, 86_400, 345_600]) == pytest.approx([0, 0.04, 0.08])
    assert annualised(0.02) == pytest.approx(0.02 * math.sqrt(365))
    assert horizon_seconds(12, 3600, 768) == 4380


def test_the_highest_opinion_counts() -> None:
    """Realised, modelled and weighted implied volatility can only raise each other."""
    assert combined_vol([0.03, 0.01, 0.01], [0.02, 0.02, 0.01], [0.01, 0.01, 0.05], 0.8) == pytest.approx(
        [0.03, 0.02, 0.04]
    )


def test_the_margin_lies_between_its_floor_and_its_cap() -> None:
    """Calm ends at the floor, panic at the cap, and in between the margin is k z sigma."""
    assert scaled_maintenance(RULE, [0.001, 0.02, 9.0]) == pytest.approx([0.02, 0.075, 0.5])


def test_a_margin_rises_at_once_and_halves_its_excess_in_a_half_life() -> None:
    """A shock counts in the same instant; after one day of calm half of it still does."""
    assert next_maintenance(RULE, 0.1, 0.05, 0) == pytest.approx(0.1875)
    assert next_maintenance(RULE, 0.1875, 0.02, 86_400) == pytest.approx(0.075 + 0.1125 / 2)
    assert next_maintenance(RULE, [0.3, 0.3], 0.0, [0, 864_000_000]) == pytest.approx([0.3, 0.02])


@given(FRACTIONS, FRACTIONS, st.floats(0, 1e7), st.floats(1, 1e7))
def test_decay_stays_between_the_target_and_the_past(
    previous: float, target: float, elapsed: float, half: float
) -> None:
    """Never below the target, never above the greater of the past and the target."""
    inforce = float(decayed(previous, target, elapsed, half))

    assert target <= inforce <= max(previous, target)


@given(FRACTIONS, FRACTIONS, st.floats(0, 1e6), st.floats(0, 1e6))
def test_decay_does_not_depend_on_how_often_it_is_asked(
    previous: float, target: float, first: float, second: float
) -> None:
    """Two steps to one target are the one step of their sum."""
    stepped = decayed(decayed(previous, target, first, 5e5), target, second, 5e5)

    assert stepped == pytest.approx(decayed(previous, target, first + second, 5e5), abs=1e-12)


@given(st.floats(0, 10), st.floats(0, 10))
def test_more_volatility_never_lowers_the_margin(calm: float, more: float) -> None:
    """The margin of one instant rises with volatility."""
    assert scaled_maintenance(RULE, calm) <= scaled_maintenance(RULE, calm + more)


def test_bad_input_is_refused_by_name() -> None:
    """No volatility comes out of holes, and no margin out of a rule that contradicts itself."""
    with pytest.raises(RiskInputError, match=r"returns\[1\]: is nan"):
        ewma_variances([0.1, math.nan])
    with pytest.raises(RiskInputError, match="has 0 values"):
        ewma_variances([])
    with pytest.raises(RiskInputError, match="all zero"):
        ewma_variances([0.0, 0.0])
    with pytest.raises(RiskInputError, match="decay"):
        ewma_variances([0.1], decay=1.0)
    with pytest.raises(RiskInputError, match="variance"):
        ewma_update(-1.0, 0.1)
    with pytest.raises(RiskInputError, match="cap"):
        scaled_maintenance(RULE._replace(floor=0.6), 0.1)
    with pytest.raises(RiskInputError, match="half_life_seconds"):
        decayed(0.1, 0.1, 1, 0)
