"""A price is one that sources agree on, in time and in steps; else it is frozen, and says why."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.codec import decoder, encoder
from keeper.core.errors import RiskInputError
from keeper.core.units import BigInt
from keeper.risk.oracles import (
    PPM,
    GuardParams,
    Observation,
    PriceStatus,
    PriceVerdict,
    guard,
    step_allowance_ppm,
)

HOUR = 3_600
WBETH_OPEN, WBETH_HIGH, WBETH_CLOSE = 191_315_000_000, 766_666_000_000, 192_781_000_000
"""The first bar of WBETHUSDT on Binance, 2023-07-19 06:00 UTC, in 1e-8 USD: the high is no price that anyone could have
sold at."""
ONE_OF_ONE = GuardParams(heartbeat_seconds=HOUR)
TWO_OF_THREE = GuardParams(heartbeat_seconds=HOUR, sources_min=2)


def said(price: int, at_seconds: int, source: str = "a") -> Observation:
    """Return one observation."""
    return Observation(source=source, price=BigInt(price), observed_at_seconds=at_seconds)


def each_said(at_seconds: int, *prices: int) -> list[Observation]:
    """Return one observation of each of the sources a, b, c and so on."""
    return [said(price, at_seconds, chr(ord("a") + place)) for place, price in enumerate(prices)]


def accepted(price: int, at_seconds: int = 0, params: GuardParams = ONE_OF_ONE) -> PriceVerdict:
    """Return the verdict that accepts a first price."""
    sources = [said(price, at_seconds, f"s{place}") for place in range(params.sources_min)]
    return guard(sources, at_seconds, None, params)


def test_the_price_is_the_median_of_the_fresh_sources() -> None:
    """One source that is apart moves neither the price nor its interval, and is named."""
    verdict = guard(each_said(100, 1_000, 1_010, 9_000), 130, None, TWO_OF_THREE)

    assert (verdict.price, verdict.status, verdict.age_seconds) == (1_010, PriceStatus.FRESH, 30)
    assert (verdict.low, verdict.high) == (1_000, 1_010)
    assert verdict.usable_for_risk_increase
    assert "median 1010 of a, b (apart: c 9000), the first" in verdict.reason


def test_the_median_of_an_even_number_is_the_mean_of_the_middle_two() -> None:
    """The mean is rounded down, so that the price stays an integer."""
    assert guard(each_said(0, 1_001, 1_004), 0, None, TWO_OF_THREE).price == 1_002


def test_an_observation_is_fresh_until_the_heartbeat_and_its_slack_are_over() -> None:
    """A heartbeat of 3,600 s with a tenth of slack lasts 3,960 s, and not a second longer."""
    last = guard([said(1_000, 0)], 3_960, None, ONE_OF_ONE)
    late = guard([said(1_000, 0)], 3_961, last, ONE_OF_ONE)

    assert (last.status, last.age_seconds) == (PriceStatus.FRESH, 3_960)
    assert (late.status, late.price, late.age_seconds) == (PriceStatus.STALE, 1_000, 3_961)
    assert late.reason == ("no source is fresh; the last price accepted is 1000, 3961 s old; left out: a (3961 s old)")


def test_a_stale_price_keeps_its_age_and_its_interval_widens_with_it() -> None:
    """What nobody reports may have moved by ``c * sigma * sqrt(age)``: collateral counts for less, debt for more."""
    before = accepted(100_000_000)
    stale = [guard([said(100_000_000, 0)], age, before, ONE_OF_ONE) for age in (2 * HOUR, 24 * HOUR, 240 * HOUR)]

    for verdict in stale:
        assert verdict.age_seconds is not None
        moved = 5 * 0.8 * math.sqrt(verdict.age_seconds / 31_536_000)
        assert verdict.collateral_price == pytest.approx(100_000_000 * (1 - max(moved, 0.1)), abs=200)
        assert verdict.debt_price == pytest.approx(100_000_000 * (1 + max(moved, 0.1)), abs=200)
    lows = [int(verdict.low or 0) for verdict in stale]
    assert lows == sorted(set(lows), reverse=True)
    assert not any(verdict.usable_for_risk_increase for verdict in stale)


def test_too_few_sources_are_a_dispute() -> None:
    """One of two is not enough, however right it may be; what it says is in the interval all the same."""
    verdict = guard([said(700, 50)], 60, accepted(1_000, 0, TWO_OF_THREE), TWO_OF_THREE)

    assert (verdict.status, verdict.price, verdict.age_seconds) == (PriceStatus.DISPUTED, 1_000, 60)
    assert verdict.reason.startswith("1 of 2 sources are fresh")
    assert (verdict.low, verdict.high) == (700, 1_100)


def test_sources_that_differ_are_a_dispute() -> None:
    """Two that are 20 % apart have no median that either stands for, and the figures are in the reason."""
    verdict = guard(each_said(0, 1_000, 1_200), 0, None, TWO_OF_THREE)

    assert (verdict.status, verdict.price) == (PriceStatus.DISPUTED, None)
    assert verdict.reason == "0 of 2 sources are within 5.00 % of the median 1100: a 1000, b 1200"
    assert (verdict.collateral_price, verdict.debt_price) == (1_000, 1_200)


def test_nothing_observed_is_missing() -> None:
    """Without a price ever, nothing is known; with one, it is kept and frozen."""
    nothing = guard([], 0, None, ONE_OF_ONE)
    kept = guard([], 60, accepted(1_000), ONE_OF_ONE)

    assert (nothing.status, nothing.price, nothing.low, nothing.high) == (PriceStatus.MISSING, None, None, None)
    assert (kept.status, kept.price, kept.age_seconds) == (PriceStatus.MISSING, 1_000, 60)


def test_a_late_source_alone_gives_an_interval_and_no_price() -> None:
    """A price that was late from the start was never accepted, yet it bounds what may be."""
    verdict = guard([said(1_000, 0)], 2 * HOUR, None, ONE_OF_ONE)

    assert (verdict.status, verdict.price, verdict.low, verdict.high) == (PriceStatus.STALE, None, 900, 1_100)


@pytest.mark.parametrize(
    ("observations", "named"),
    [
        ([said(0, 0)], "a (price 0)"),
        ([said(-5, 0)], "a (price -5)"),
        ([said(1_000, 1)], "a (1 s ahead)"),
        ([said(1_000, 0), said(1_001, 0)], "a (contradicts itself)"),
    ],
)
def test_what_no_source_can_mean_is_left_out_and_named(observations: list[Observation], named: str) -> None:
    """A price that is not positive, a time to come and two prices at once are no observation."""
    verdict = guard(observations, 0, None, ONE_OF_ONE)

    assert verdict.status is PriceStatus.MISSING
    assert named in verdict.reason


def test_a_clock_that_is_a_little_ahead_may_be_allowed() -> None:
    """An exchange's clock and a block's differ by seconds; the age is never negative."""
    params = msgspec.structs.replace(ONE_OF_ONE, ahead_seconds=5)

    assert guard([said(1_000, 5)], 0, None, params).age_seconds == 0
    assert guard([said(1_000, 6)], 0, None, params).price is None


def test_the_first_high_of_wbeth_is_no_price() -> None:
    """Binance's outlier of WBETHUSDT (7,666.66 between 1,913.15 and 1,927.81) is refused, and the close accepted."""
    opened = accepted(WBETH_OPEN)
    high = guard([said(WBETH_HIGH, 60)], 60, opened, ONE_OF_ONE)
    closed = guard([said(WBETH_CLOSE, HOUR)], HOUR, high, ONE_OF_ONE)

    assert (high.status, high.price) == (PriceStatus.DEVIATED, WBETH_OPEN)
    assert high.reason.startswith(
        "median 766666000000 of a is 300.73 % from 191315000000 of 60 s before, allowed 10.00 %"
    )
    assert (high.collateral_price, high.debt_price) == (172_183_500_000, WBETH_HIGH)
    assert (closed.status, closed.price, closed.candidate_price) == (PriceStatus.FRESH, WBETH_CLOSE, None)


def test_the_first_high_of_wbeth_is_disputed_when_it_comes_first() -> None:
    """With no price before there is no step to guard: a second source is what stops the outlier then."""
    verdict = guard([said(WBETH_HIGH, 0), said(WBETH_OPEN, 0, "b")], 0, None, TWO_OF_THREE)

    assert (verdict.status, verdict.price) == (PriceStatus.DISPUTED, None)


def test_a_step_up_to_the_cap_is_accepted() -> None:
    """Ten per cent at once is allowed, and not a unit more."""
    before = accepted(1_000)

    assert guard([said(1_100, 0)], 0, before, ONE_OF_ONE).price == 1_100
    assert guard([said(900, 0)], 0, before, ONE_OF_ONE).price == 900
    assert guard([said(1_101, 0)], 0, before, ONE_OF_ONE).status is PriceStatus.DEVIATED
    assert guard([said(899, 0)], 0, before, ONE_OF_ONE).status is PriceStatus.DEVIATED


@pytest.mark.parametrize("elapsed_seconds", [0, 12, HOUR, 19_710, 24 * HOUR, 365 * 24 * HOUR])
def test_the_allowed_step_is_the_cap_or_so_many_standard_deviations(elapsed_seconds: int) -> None:
    """``max(cap, c * sigma * sqrt(dt))`` with c 5, sigma 80 % and a cap of 10 %; they meet at 19,710 s."""
    expected = max(0.1, 5 * 0.8 * math.sqrt(elapsed_seconds / 31_536_000))

    assert step_allowance_ppm(ONE_OF_ONE, elapsed_seconds) == math.floor(expected * PPM + 1e-6)


def test_a_crash_is_in_the_interval_at_once_and_the_price_after_three_rounds() -> None:
    """What deleverages need not wait for the confirmation that what borrows has to wait for."""
    verdict = accepted(1_000)
    history = []
    for at_seconds, price in [(60, 600), (120, 610), (180, 605)]:
        verdict = guard([said(price, at_seconds)], at_seconds, verdict, ONE_OF_ONE)
        history.append((verdict.status, verdict.price, verdict.collateral_price, verdict.candidate_rounds))

    assert history == [
        (PriceStatus.DEVIATED, 1_000, 600, 1),
        (PriceStatus.DEVIATED, 1_000, 610, 2),
        (PriceStatus.FRESH, 605, 605, 0),
    ]
    assert "confirmed by 3 of 3 rounds" in verdict.reason


def test_the_same_observation_confirms_nothing_twice() -> None:
    """Asking again is no new evidence, and neither is an observation from before."""
    verdict = accepted(1_000)
    for now_seconds, at_seconds in [(60, 60), (61, 60), (62, 59), (63, 60), (64, 60)]:
        verdict = guard([said(600, at_seconds)], now_seconds, verdict, ONE_OF_ONE)

    assert (verdict.status, verdict.candidate_rounds, verdict.candidate_at_seconds) == (PriceStatus.DEVIATED, 1, 60)


def test_deviations_that_do_not_agree_start_anew() -> None:
    """A price that jumps about is confirmed by nothing; neither is one that a dispute comes between."""
    verdict = accepted(1_000)
    for at_seconds, price in [(60, 600), (120, 2_000), (180, 600), (240, 2_000)]:
        verdict = guard([said(price, at_seconds)], at_seconds, verdict, ONE_OF_ONE)
        assert verdict.candidate_rounds == 1
    verdict = guard([], 300, verdict, ONE_OF_ONE)

    assert (verdict.price, verdict.candidate_price) == (1_000, None)


def test_parameters_out_of_range_are_refused_by_name() -> None:
    """A guard that would accept everything, or nothing, is not made."""
    for wrong in [
        {"heartbeat_seconds": 0},
        {"sources_min": 0},
        {"confirmations": 1},
        {"deviation_cap_ppm": PPM},
        {"agreement_ppm": -1},
    ]:
        with pytest.raises(RiskInputError, match=next(iter(wrong))):
            GuardParams(**{"heartbeat_seconds": 1, **wrong})
    with pytest.raises(RiskInputError, match="elapsed_seconds"):
        step_allowance_ppm(ONE_OF_ONE, -1)


def test_a_verdict_can_be_journalled() -> None:
    """A price beyond 64 bits comes back from the journal as it was."""
    verdict = guard([said(10**30, 60)], 60, accepted(10**29), ONE_OF_ONE)

    assert verdict.candidate_price == 10**30
    assert decoder(PriceVerdict).decode(encoder().encode(verdict)) == verdict


class Tale(NamedTuple):
    """Parameters, and what was told in each round, an hour apart."""

    params: GuardParams
    rounds: list[list[Observation]]

    def verdicts(self, order: int = 1) -> list[PriceVerdict]:
        """Return the verdict on each round, its observations in order or in reverse."""
        history: list[PriceVerdict] = []
        for place, observations in enumerate(self.rounds):
            before = history[-1] if history else None
            history.append(guard(observations[::order], place * HOUR, before, self.params))
        return history


def tale(seed: int) -> Tale:
    """Return a tale of sources that mostly agree on one of two levels, and at times say anything or nothing."""
    chance = random.Random(seed)
    rounds = []
    for place in range(12):
        level = chance.choice([1_000, 1_000, 2_000])
        told = []
        for source in chance.choices("abcd", k=chance.randrange(7)):
            price = level + chance.randrange(60) if chance.random() < 0.9 else chance.randrange(-10, 3_000)
            delay = chance.randrange(60) if chance.random() < 0.9 else chance.randrange(-40, 3 * HOUR)
            told.append(said(price, place * HOUR - delay, source))
        rounds.append(told)
    params = GuardParams(
        heartbeat_seconds=chance.randrange(60, 2 * HOUR),
        ahead_seconds=chance.randrange(30),
        sources_min=chance.randrange(1, 4),
        agreement_ppm=chance.randrange(100_000),
        deviation_cap_ppm=chance.randrange(300_000),
        vol_annual_ppm=chance.randrange(2 * PPM),
        confirmations=chance.randrange(2, 4),
    )
    return Tale(params, rounds)


TALES = st.integers(0, 10**6).map(tale)


def test_tales_have_every_outcome() -> None:
    """What the properties below are tried on reaches every status, and confirmations too."""
    verdicts = [verdict for seed in range(100) for verdict in tale(seed).verdicts()]

    assert {verdict.status for verdict in verdicts} == set(PriceStatus)
    assert any(verdict.usable_for_risk_increase and "confirmed by" in verdict.reason for verdict in verdicts)


@given(TALES)
def test_the_order_of_observations_is_of_no_consequence(told: Tale) -> None:
    """The guard is a function of what was said, not of who was heard first."""
    assert told.verdicts() == told.verdicts(-1)


@given(TALES)
def test_the_price_lies_in_its_interval(told: Tale) -> None:
    """``0 <= low <= price <= high``, and an interval has both ends or none."""
    for verdict in told.verdicts():
        assert (verdict.low is None) == (verdict.high is None)
        if verdict.price is not None:
            assert verdict.low is not None
            assert verdict.high is not None
            assert 0 <= verdict.low <= verdict.price <= verdict.high
            assert verdict.price > 0


@given(TALES)
def test_only_a_fresh_price_allows_more_risk(told: Tale) -> None:
    """Whatever is not fresh is frozen: the price stays what it was, and counts on the conservative side."""
    history = told.verdicts()
    for verdict in history:
        assert verdict.reason
        assert verdict.usable_for_risk_increase == (verdict.status is PriceStatus.FRESH)
        assert verdict.price is not None or not verdict.usable_for_risk_increase
        assert (verdict.collateral_price or 0) <= (verdict.debt_price or 0)
    for before, verdict in pairwise(history):
        if not verdict.usable_for_risk_increase:
            assert (verdict.price, verdict.observed_at_seconds) == (before.price, before.observed_at_seconds)


@given(TALES)
def test_no_step_beyond_the_allowance_is_accepted_at_once(told: Tale) -> None:
    """A fresh price is within the allowance of the one before, or a candidate was confirmed."""
    for before, verdict in pairwise(told.verdicts()):
        if not verdict.usable_for_risk_increase or before.price is None or verdict.price is None:
            continue
        elapsed = max((verdict.observed_at_seconds or 0) - (before.observed_at_seconds or 0), 0)
        step = Fraction(abs(verdict.price - before.price), before.price)
        confirmed = before.candidate_rounds == told.params.confirmations - 1
        assert confirmed or step <= Fraction(step_allowance_ppm(told.params, elapsed), PPM)
