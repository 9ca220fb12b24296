"""The recorded crashes fell as far as the market did."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from keeper.core.errors import RiskInputError
from keeper.lab.stress.crashes import STORIES, Crash, crash

FALLS = [
    ("2020-03", "ETH", -0.6586),
    ("2020-03", "BTC", -0.5884),
    ("2021-05", "ETH", -0.6047),
    ("2021-05", "BTC", -0.4828),
    ("2022-11", "ETH", -0.3622),
    ("2022-11", "BTC", -0.2799),
    ("2024-08", "ETH", -0.3785),
    ("2024-08", "BTC", -0.3008),
    ("2025-10", "ETH", -0.2776),
    ("2025-10", "BTC", -0.1918),
]


@pytest.mark.parametrize(("name", "coin", "fall"), FALLS)
def test_each_crash_has_its_known_fall(name: str, coin: str, fall: float) -> None:
    """From the highest price of a window to the lowest after it is the fall that the market saw."""
    assert crash(name).drawdown(coin) == pytest.approx(fall, abs=5e-5)


def test_black_thursday_has_its_worst_hour_and_day() -> None:
    """Ether lost 20.9 % within an hour and 47.8 % within a day."""
    window = crash("2020-03")
    assert window.worst("ETH", 3600) == pytest.approx(-0.209, abs=5e-4)
    assert window.worst("ETH", 86_400) == pytest.approx(-0.478, abs=5e-4)


@pytest.mark.parametrize("name", STORIES)
def test_bars_are_in_order_and_consistent(name: str) -> None:
    """Times rise, and no close lies outside its bar."""
    window = crash(name)
    assert all(first < second for first, second in pairwise(window.times))
    assert bool(np.all((window.low <= window.close) & (window.close <= window.high)))


def test_a_gap_is_not_taken_for_an_hour() -> None:
    """The worst hour is of bars an hour apart, not of neighbours across an outage."""
    prices = np.array([[100.0, 100.0], [99.0, 99.0], [50.0, 50.0], [49.0, 49.0]])
    window = Crash("gap", "", np.array([0, 3600, 6 * 3600, 7 * 3600]), prices, prices, prices)
    assert window.worst("BTC", 3600) == pytest.approx(49 / 50 - 1)


def test_what_is_not_there_is_named() -> None:
    """An unknown crash, coin or span is an error that names what there is."""
    with pytest.raises(RiskInputError, match="2020-03"):
        crash("2019-01")
    with pytest.raises(RiskInputError, match="BTC, ETH"):
        crash("2020-03").drawdown("DOGE")
    with pytest.raises(RiskInputError, match="BTC, ETH"):
        crash("2020-03").worst("DOGE", 3600)
    with pytest.raises(RiskInputError, match="apart"):
        crash("2020-03").worst("ETH", 1234)
