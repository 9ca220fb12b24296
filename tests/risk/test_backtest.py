"""Tests of tests: published critical counts, figures by hand, and nine years of two assets."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from keeper.core.errors import RiskInputError
from keeper.risk.backtest import (
    PLUS_FACTORS,
    Model,
    Zone,
    backtest,
    christoffersen,
    exceptions_probability,
    kupiec,
    traffic_light,
    var_forecasts,
)
from keeper.risk.tail import fhs_var, historical_var, normal_var_z, student_var_z
from keeper.risk.volatility import ewma_variances
from tests.risk.nine_years import log_returns

HITS = st.lists(st.booleans(), min_size=2, max_size=200)


@pytest.mark.parametrize(
    ("exceptions", "expected", "rejected"), [(1, 6.458, True), (9, 1.314, False), (12, 4.696, True)]
)
def test_kupiecs_ratio_over_600_days(exceptions: int, expected: float, rejected: bool) -> None:  # noqa: FBT001 - a column
    """Of 600 days at 99 %, one exception is too few, nine hold and twelve are too many (Hull, on back-testing)."""
    found = kupiec(exceptions, 600, 0.01)

    assert found.statistic == pytest.approx(expected, abs=5e-4)
    assert found.rejected is rejected
    assert found.p_value == pytest.approx(stats.chi2.sf(found.statistic, 1), rel=1e-9)


def test_the_probability_of_so_many_or_more() -> None:
    """Of 600 days at 99 % the chance of nine or more is .152, of twelve or more .0195, of none or more 1 (Hull)."""
    assert exceptions_probability(9, 600, 0.01) == pytest.approx(0.152, abs=5e-4)
    assert exceptions_probability(12, 600, 0.01) == pytest.approx(0.0195, abs=5e-5)
    assert exceptions_probability(0, 600, 0.01) == 1


@pytest.mark.parametrize(("n", "p", "first", "last"), [(250, 0.01, 1, 6), (1000, 0.01, 5, 16), (255, 0.05, 7, 20)])
def test_what_kupiec_does_not_reject(n: int, p: float, first: int, last: int) -> None:
    """The counts that hold are those of Kupiec's tables, and none of the others up to 40."""
    assert [m for m in range(41) if not kupiec(m, n, p).rejected] == list(range(first, last + 1))


def test_no_exception_in_a_year_is_too_few() -> None:
    """Of 250 days at 99 % none at all gives a ratio of 5.025, and the printed "less than 7" is not the whole truth."""
    assert kupiec(0, 250, 0.01).statistic == pytest.approx(5.025, abs=5e-4)
    assert kupiec(0, 250, 0.01).rejected


def test_every_day_an_exception_is_a_number() -> None:
    """When all days are exceptions the ratio is -2 n ln p."""
    assert kupiec(10, 10, 0.01).statistic == pytest.approx(-20 * math.log(0.01), rel=1e-12)


@given(st.integers(1, 500), st.floats(0.001, 0.5))
def test_the_expected_count_is_never_rejected(n: int, p: float) -> None:
    """The ratio is 0 at a share of exactly p, and never negative."""
    hits = round(n * p)

    assert kupiec(hits, n, hits / n if 0 < hits < n else p).statistic >= 0
    if 0 < hits < n:
        assert kupiec(hits, n, hits / n).statistic == pytest.approx(0, abs=1e-9)


def test_independence_by_hand() -> None:
    """Of ten days with exceptions on the third, fourth and eighth the transitions are 4, 2, 2 and 1."""
    hits = [0, 0, 1, 1, 0, 0, 0, 1, 0, 0]
    n00, n01, n10, n11 = 4, 2, 2, 1
    pooled = 6 * math.log(6 / 9) + 3 * math.log(3 / 9)
    apart = n00 * math.log(4 / 6) + n01 * math.log(2 / 6) + n10 * math.log(2 / 3) + n11 * math.log(1 / 3)
    found = christoffersen(hits, 0.1)

    assert found.independence.statistic == pytest.approx(2 * (apart - pooled), abs=1e-12)
    assert found.joint.statistic == pytest.approx(kupiec(3, 10, 0.1).statistic + found.independence.statistic)
    assert found.joint.p_value == pytest.approx(stats.chi2.sf(found.joint.statistic, 2), rel=1e-9)


def test_clusters_are_found() -> None:
    """Ten exceptions on end are as many as they should be of a thousand days, and are rejected for their order."""
    hits = np.zeros(1000)
    hits[500:510] = 1
    found = christoffersen(hits, 0.01)

    assert not kupiec(10, 1000, 0.01).rejected
    assert found.independence.rejected
    assert found.joint.rejected


@given(HITS, st.floats(0.001, 0.5))
def test_a_ratio_is_never_negative(hits: list[bool], p: float) -> None:
    """Whatever the days, each statistic is finite and not negative, and the joint one no less than its parts."""
    found = christoffersen(hits, p)

    assert 0 <= found.independence.statistic <= found.joint.statistic < math.inf
    assert found.joint.statistic >= kupiec(sum(hits), len(hits), p).statistic
    assert found.joint.rejected == (found.joint.p_value < 0.05)
    assert found.joint.rejected == (found.joint.statistic > 5.991464547107979)


def test_the_traffic_light() -> None:
    """Of 250 days four exceptions are green (89.22 %), nine yellow (99.97 %), ten red (Basel 1996, table 2)."""
    lights = [traffic_light(m) for m in range(12)]

    assert [light.zone for light in lights] == [Zone.GREEN] * 5 + [Zone.YELLOW] * 5 + [Zone.RED] * 2
    assert lights[4].cumulative_probability == pytest.approx(0.8922, abs=5e-5)
    assert lights[9].cumulative_probability == pytest.approx(0.9997, abs=5e-5)
    assert [light.plus_factor for light in lights] == [0] * 5 + [0.40, 0.50, 0.65, 0.75, 0.85] + [1, 1]
    assert list(PLUS_FACTORS) == [5, 6, 7, 8, 9]


def test_the_light_of_other_spans_has_zones_alone() -> None:
    """Over 1,000 days the yellow zone begins at 15 exceptions, and Basel has no plus-factor for it."""
    assert traffic_light(14, 1000).zone is Zone.GREEN
    assert (traffic_light(15, 1000).zone, traffic_light(15, 1000).plus_factor) == (Zone.YELLOW, None)


# From the daily closes of 2017-08-18 to 2026-04-01, computed once by other code than this.
REAL = [
    ("btc", Model.EWMA_NORMAL, 0.99, 250, 63, 2898, 30.21),
    ("eth", Model.EWMA_NORMAL, 0.99, 250, 65, 2898, 33.43),
    ("btc", Model.EWMA_NORMAL, 0.95, 250, 142, 2898, 0.06),
    ("eth", Model.EWMA_NORMAL, 0.95, 250, 154, 2898, 0.59),
    ("btc", Model.HISTORICAL, 0.99, 500, 27, 2648, 0.01),
    ("eth", Model.HISTORICAL, 0.99, 500, 37, 2648, 3.76),
    ("btc", Model.FHS, 0.99, 500, 32, 2648, 1.09),
    ("eth", Model.FHS, 0.99, 500, 33, 2648, 1.50),
]


@pytest.mark.parametrize(("asset", "model", "level", "window", "exceptions", "n", "ratio"), REAL)
def test_models_over_nine_years(
    asset: str, model: Model, level: float, window: int, exceptions: int, n: int, ratio: float
) -> None:
    """On daily closes normal quantiles are rejected at 99 %, and filtered historical simulation is not."""
    found = backtest(log_returns(asset), model, level, window)

    assert (found.exceptions, found.n) == (exceptions, n)
    assert found.coverage.statistic == pytest.approx(ratio, abs=5e-3)
    assert found.coverage.rejected == (ratio > 3.8415)


def test_ethers_exceptions_come_in_clusters() -> None:
    """The independence ratio of EWMA at 95 % is 6.69 and of plain history at 99 % 5.93; FHS holds in every test."""
    normal = backtest(log_returns("eth"), Model.EWMA_NORMAL, 0.95, 250)
    plain = backtest(log_returns("eth"), Model.HISTORICAL, 0.99, 500)

    assert normal.independence.statistic == pytest.approx(6.69, abs=5e-3)
    assert plain.independence.statistic == pytest.approx(5.93, abs=5e-3)
    assert (normal.rejecting, plain.rejecting) == (("independence", "joint"),) * 2
    assert backtest(log_returns("eth"), Model.FHS, 0.99, 500).rejecting == ()


@pytest.mark.parametrize("model", list(Model))
def test_a_forecast_is_that_of_the_days_before(model: Model) -> None:
    """What is forecast over a whole history is what its first days alone say of the next."""
    returns = log_returns("btc")[:700]
    past, level, window = returns[:650], 0.99, 500
    deviation = math.sqrt(ewma_variances(past)[-1])
    alone = {
        Model.EWMA_NORMAL: normal_var_z(level) * deviation,
        Model.EWMA_STUDENT: student_var_z(level, 4) * deviation,
        Model.HISTORICAL: historical_var(-past[-window:], level),
        Model.FHS: fhs_var(past, level, window=window),
    }

    assert var_forecasts(returns, model, level, window)[150] == pytest.approx(alone[model], rel=1e-12)
    assert len(var_forecasts(returns, model, level, window)) == 200


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 250, 0.01), "exceptions: is -1"),
        ((251, 250, 0.01), "exceptions: is 251"),
        ((1.5, 250, 0.01), "exceptions: is 1.5; give a whole number"),
        ((0, 0, 0.01), "n: is 0"),
        ((1, 250, 0.0), "p: is 0"),
        ((1, 250, 1.0), "p: is 1; give a probability below 1"),
    ],
)
def test_counts_that_make_no_test_are_refused(arguments: tuple[Any, ...], message: str) -> None:
    """More exceptions than days, half a one and a certain loss are named."""
    for figure in (kupiec, exceptions_probability, traffic_light):
        with pytest.raises(RiskInputError, match=message):
            figure(*arguments)


def test_histories_that_make_no_test_are_refused() -> None:
    """A window as long as the history, days that are neither, and a hole are named."""
    returns = np.full(31, 0.01)
    with pytest.raises(RiskInputError, match="returns: has 31 values; give at least 32"):
        backtest(returns, Model.FHS, 0.99, 30)
    with pytest.raises(RiskInputError, match=r"returns\[1\]: is nan"):
        backtest([0.01, math.nan, *returns], Model.FHS, 0.99, 30)
    with pytest.raises(RiskInputError, match=r"window: is 30\.5"):
        var_forecasts(returns, Model.FHS, 0.99, 30.5)  # type: ignore[arg-type]  # what a caller without types may give
    with pytest.raises(RiskInputError, match="level: is 1"):
        var_forecasts(returns, Model.HISTORICAL, 1.0, 30)
    with pytest.raises(RiskInputError, match="hits: are not all 0 or 1"):
        christoffersen([0.0, 0.5], 0.01)
    with pytest.raises(RiskInputError, match="hits: has 1 values"):
        christoffersen([0.0], 0.01)


@pytest.mark.parametrize("model", list(Model))
def test_no_forecast_knows_its_day(model: Model) -> None:
    """Whatever the last day brings, the forecasts up to it are the same, and a window that would peek is refused."""
    returns = log_returns("btc")[:31]
    calm, storm = (var_forecasts(np.append(returns[:-1], last), model, 0.95, 30) for last in (0.0, -0.9))

    assert calm.tolist() == storm.tolist()
    with pytest.raises(RiskInputError, match="window: is 29; give a number of at least 30"):
        var_forecasts(returns, model, 0.95, 29)
