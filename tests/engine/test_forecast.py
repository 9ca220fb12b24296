"""What is expected of volatility: greater of two forecasts, raised by likely stress, and nothing while switched off."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.codec import decoder, encoder
from keeper.core.decisions import AnyDecision
from keeper.core.errors import RiskInputError
from keeper.core.risk import PPM, AssetPrice
from keeper.core.runconfig import GarchSpec, RegimeSpec, RiskSpec, RunConfig
from keeper.core.units import BigInt
from keeper.engine.forecast import STEPS_MOST, garch_over_horizon, stress_after, usual_variance
from keeper.engine.market import AssetTrack, VenueMarket
from keeper.risk.garch import GarchParams, garch_cumulative, garch_variances
from keeper.risk.inputs import SECONDS_PER_YEAR, Floats
from keeper.risk.regimes import RegimeModel, stationary
from tests.engine.history import ALICE, BOB, CONFIG, TOKEN, History, new_engine, position
from tests.engine.test_second_opinion import RISK, eth, history
from tests.engine.toy import ETH

GARCH = GarchSpec(alpha=0.1, beta=0.85)
REGIMES = RegimeSpec(stress_vol_factor=3.0, calm_samples=500, stress_samples=50, move_factor_max=2.0)
PLAIN = msgspec.structs.replace(RISK, model="volatility", move_min=0.0001, step_max=0.9, half_life_seconds=1)
"""Moves come down at once, so that each is that of its look."""
STEP_SECONDS = PLAIN.sample_seconds
START_SECONDS = 1_700_000_000
USUAL = PLAIN.vol_annual**2 / SECONDS_PER_YEAR
CALM = math.sqrt(USUAL * STEP_SECONDS)
"""The usual move between two samples."""
CHAIN = np.array([[1 - 1 / 500, 1 / 500], [1 / 50, 1 - 1 / 50]])
WHOLE = 10**18
MODELS = "static", "volatility", "portfolio"


def spec_with(base: RiskSpec = PLAIN, **changes: Any) -> RiskSpec:  # noqa: ANN401 - any field of the model
    """Return the parameters with changes."""
    return msgspec.structs.replace(base, **changes)


def walk(returns: Iterable[float], spec: RiskSpec) -> list[AssetTrack]:
    """Return what is remembered of ETH after each look, a sample apart; the first price is 1e18."""
    market, price = VenueMarket(venue="toy"), WHOLE
    seen: list[AssetTrack] = []
    for place, ret in enumerate([0.0, *returns]):
        price = max(round(price * (1 + ret)), 1)
        market.look([AssetPrice(ETH, BigInt(price))], START_SECONDS + place * STEP_SECONDS, place + 1, spec)
        seen.append(msgspec.structs.replace(market.tracks[0]))
    return seen


def moves(tracks: Iterable[AssetTrack]) -> list[int]:
    """Return how far the price was reckoned to move at each look."""
    return [track.move_ppm for track in tracks]


def stress(track: AssetTrack) -> int:
    """Return the probability of stress, which is known."""
    assert not isinstance(track.stress_ppm, msgspec.UnsetType)
    return track.stress_ppm


def calm(count: int) -> list[float]:
    """Return small moves up and down."""
    return [CALM / 2 * (-1) ** place for place in range(count)]


def paces(returns: Sequence[float]) -> Floats:
    """Return the same over the square root of their seconds."""
    return np.array(returns) / math.sqrt(STEP_SECONDS)


def wild(spec: RiskSpec) -> tuple[History, list[AnyDecision]]:
    """Return a toy history of 200 blocks in which ETH jumps now and then, and all that was decided in it."""
    told, chance, price = History(msgspec.structs.replace(CONFIG, risk=(spec,))), random.Random(5), 2_000
    told.market()
    told.block(*position(BOB, usd=100), ("set", BOB, ETH, TOKEN, 0))
    made: list[AnyDecision] = []
    for _ in range(200):
        price = max(int(price * chance.gauss(1, 0.05 if chance.random() < 0.1 else 0.004)), 1_860)
        made += told.block(eth(price))
    return told, made


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_switched_off_it_leaves_no_trace(model: str) -> None:
    """A wild history without GARCH and regimes keeps nothing of either."""
    told, _ = wild(spec_with(RISK, model=model))

    assert [name for name in (b"garch", b"regimes", b"stress") if name in told.engine.snapshot()] == []


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_regimes_that_multiply_by_one_only_watch(model: str) -> None:
    """Statuses and moves are those without regimes; the probability of stress is known all the same."""
    watching = msgspec.structs.replace(REGIMES, move_factor_max=1.0)
    (plain, before), (watched, after) = (
        wild(spec_with(RISK, model=model, regimes=one)) for one in (msgspec.UNSET, watching)
    )

    assert [type(each) for each in before] == [type(each) for each in after]
    assert moves(plain.engine.risk.tracks("toy")) == moves(watched.engine.risk.tracks("toy"))
    assert 0 < max(stress(track) for track in watched.engine.risk.tracks("toy") if track.samples) <= PPM


def test_parameters_without_it_are_written_as_before() -> None:
    """What is not set is not encoded, and what is set is read again."""
    without, whole = spec_with(RISK), spec_with(RISK, garch=GARCH, regimes=REGIMES)
    config = msgspec.structs.replace(CONFIG, risk=(whole,))

    assert set(msgspec.to_builtins(without)) == set(RiskSpec.__struct_fields__) - {"garch", "regimes"}
    assert decoder(RunConfig).decode(encoder().encode(config)) == config


def test_the_garch_variance_is_that_of_the_formula() -> None:
    """Sample by sample and over the horizon it is what :mod:`keeper.risk.garch` makes of the same returns."""
    chance = random.Random(1)
    returns = [chance.gauss(0, CALM * (3 if place > 30 else 1)) for place in range(60)]
    spec = spec_with(garch=GARCH, horizon_seconds=10 * STEP_SECONDS - 1)
    params = GarchParams(0.0, (1 - GARCH.alpha - GARCH.beta) * USUAL, GARCH.alpha, GARCH.beta)
    variances = garch_variances(paces(returns), params, USUAL)
    tracks = walk(returns, spec)

    assert tracks[0].garch_variance is msgspec.UNSET
    assert [track.garch_variance for track in tracks[1:]] == pytest.approx(variances[1:], rel=1e-9)
    expected = garch_over_horizon(tracks[-1].garch_variance, None, USUAL, spec)
    assert expected == pytest.approx(float(garch_cumulative(params, variances[-1], 10)) / 10, rel=1e-9)


def test_the_greater_forecast_counts() -> None:
    """After a calm the moving average has forgotten and GARCH comes back; after a jump each may be the greater."""
    market, price = VenueMarket(venue="toy"), WHOLE
    with_garch = spec_with(garch=GARCH)
    for place, ret in enumerate([0.0, *(each / 10 for each in calm(40))]):
        price = round(price * (1 + ret))
        market.look([AssetPrice(ETH, BigInt(price))], START_SECONDS + place * STEP_SECONDS, 1, with_garch)
    (track,) = market.tracks
    average = math.sqrt(track.variance * SECONDS_PER_YEAR)
    expected = math.sqrt(garch_over_horizon(track.garch_variance, None, USUAL, with_garch) * SECONDS_PER_YEAR)

    assert market.vols_annual(spec_with())[ETH] == pytest.approx(average)
    assert market.vols_annual(with_garch)[ETH] == pytest.approx(expected)
    assert average < expected < PLAIN.vol_annual
    restless = spec_with(garch=GarchSpec(alpha=0.01, beta=0.5))
    jumped = walk([*calm(20), 20 * CALM], restless)[-1]
    assert garch_over_horizon(jumped.garch_variance, None, USUAL, restless) < jumped.variance


def test_a_move_since_the_last_sample_counts_at_once() -> None:
    """Half way to the next sample the forecast is greater already, and a small move makes it no less."""
    spec = spec_with(garch=GARCH, decay=0.999)
    before = garch_over_horizon(USUAL, None, USUAL, spec)
    large, small = (garch_over_horizon(USUAL, math.sqrt(USUAL) * times, USUAL, spec) for times in (10, 0.1))

    assert large > 2 * before
    assert small == before


def test_a_horizon_of_very_many_samples_is_reckoned_in_time() -> None:
    """However far the operator looks ahead, no more samples than are bound are looked at."""
    farthest = spec_with(garch=GARCH, horizon_seconds=2**60)
    bound = spec_with(garch=GARCH, horizon_seconds=STEPS_MOST * STEP_SECONDS)

    assert garch_over_horizon(4 * USUAL, None, USUAL, farthest) == garch_over_horizon(4 * USUAL, None, USUAL, bound)


def test_the_probability_of_stress_is_hamiltons() -> None:
    """It is the filtered one of the two-regime model over the same samples, up to the rounding to ppm."""
    chance = random.Random(2)
    returns = [chance.gauss(0, CALM * (3 if 40 < place < 80 else 1)) for place in range(120)]
    kept = stationary(CHAIN)
    ratios = np.array([1.0, REGIMES.stress_vol_factor**2])
    model = RegimeModel(kept, CHAIN, np.zeros(2), USUAL / (kept @ ratios) * ratios)
    wanted = model.filter(paces(returns)).probabilities[:, 1]
    tracks = walk(returns, spec_with(regimes=REGIMES))

    assert tracks[0].stress_ppm is msgspec.UNSET
    assert [stress(track) / PPM for track in tracks[1:]] == pytest.approx(list(wanted), abs=1e-4)
    assert 3 * np.mean(wanted[:41]) < np.mean(wanted[41:80])


@pytest.mark.parametrize("model", ["static", "volatility", "portfolio"])
def test_a_jump_raises_the_move_and_calm_lowers_it_slowly(model: str) -> None:
    """One great move makes stress likely and moves greater at once; it takes many small ones until it is forgotten."""
    spec = spec_with(model=model, regimes=REGIMES, samples_min=1)
    tracks = walk([*calm(30), 8 * CALM, *calm(60)], spec)
    quiet, jumped = tracks[30], tracks[31]
    after = [stress(track) for track in tracks[31:]]

    assert stress(quiet) < PPM // 100 < PPM * 9 // 10 < stress(jumped)
    assert jumped.move_ppm > 1.8 * quiet.move_ppm
    assert after == sorted(after, reverse=True)
    assert after[3] > PPM // 2 > after[-1]


def test_a_move_with_regimes_stays_within_the_greatest() -> None:
    """Certain stress does not lead beyond the operator's bound."""
    spec = spec_with(regimes=REGIMES, move_max=0.3, move=0.25, model="static")

    assert max(moves(walk([*calm(5), 0.5, -0.3, 0.4], spec))) == 300_000


PATHS = st.lists(st.floats(-0.4, 0.6) | st.floats(-10 * CALM, 10 * CALM), min_size=1, max_size=25)
SHARES = st.floats(0.0, 0.49)


@pytest.mark.slow
@given(
    PATHS,
    st.floats(1.01, 20),
    st.integers(2, 1_000),
    st.integers(2, 1_000),
    st.floats(1, 10),
    st.sampled_from(["static", "volatility", "portfolio"]),
    st.integers(1, 10_000),
)
def test_regimes_never_lower_a_move(
    returns: list[float], factor: float, calms: int, stresses: int, most: float, model: str, half_life_seconds: int
) -> None:
    """Whatever prices do and the parameters are, every move is at least that without regimes, at every look."""
    spec = spec_with(model=model, half_life_seconds=half_life_seconds, step_max=0.3)
    regimes = RegimeSpec(stress_vol_factor=factor, calm_samples=calms, stress_samples=stresses, move_factor_max=most)
    plain, raised = moves(walk(returns, spec)), moves(walk(returns, spec_with(spec, regimes=regimes)))

    assert [(one, other) for one, other in zip(plain, raised, strict=True) if other < one] == []


@pytest.mark.slow
@given(PATHS, SHARES, SHARES, st.integers(1, 10_000))
def test_garch_never_lowers_a_move(returns: list[float], alpha: float, beta: float, half_life_seconds: int) -> None:
    """The same holds of the second forecast, since the greater of both counts."""
    spec = spec_with(half_life_seconds=half_life_seconds)
    plain = moves(walk(returns, spec))
    raised = moves(walk(returns, spec_with(spec, garch=GarchSpec(alpha=alpha, beta=beta))))

    assert [(one, other) for one, other in zip(plain, raised, strict=True) if other < one] == []


def test_a_snapshot_keeps_what_is_expected() -> None:
    """An engine that is restored in the middle of stress goes on as the one that was saved."""
    told = history(model="portfolio", garch=GARCH, regimes=REGIMES, samples_min=1)
    told.market()
    for price in (2_000, 2_001, 1_999, 2_120):
        told.block(eth(price))
    other = new_engine()
    other.load(told.engine.snapshot())
    saved = next(track for track in told.engine.risk.tracks("toy") if track.asset == ETH)
    (restored,) = [track for track in other.risk.tracks("toy") if track.asset == ETH]

    assert restored == saved
    assert stress(restored) > PPM // 2
    assert isinstance(restored.garch_variance, float)
    records = len(told.records)
    told.block(eth(2_100))
    for record in told.records[records:]:
        if not record.cause:
            other.step(record.body, record.sequence)  # type: ignore[arg-type] # what has no cause is a fact
    assert other.snapshot() == told.engine.snapshot()
    assert other.risk.of("toy", ALICE) == told.engine.risk.of("toy", ALICE)


def test_what_is_switched_off_later_is_forgotten() -> None:
    """A run without the models drops what they had, so that they begin anew when they come back."""
    market = VenueMarket(venue="toy")
    for place, spec in enumerate([spec_with(garch=GARCH, regimes=REGIMES)] * 3 + [spec_with()]):
        market.look([AssetPrice(ETH, BigInt(WHOLE + place))], START_SECONDS + place * STEP_SECONDS, 1, spec)

    assert (market.tracks[0].garch_variance, market.tracks[0].stress_ppm) == (msgspec.UNSET, msgspec.UNSET)


def test_what_an_asset_is_named_with_is_its_usual_variance() -> None:
    """A stable coin goes back to its own volatility, everything else to that of all."""
    spec = spec_with(vols_annual={"0x" + ETH.hex(): 0.1})

    assert usual_variance(ETH, spec) == pytest.approx(0.01 / SECONDS_PER_YEAR)
    assert usual_variance(ETH, PLAIN) == USUAL


def test_regimes_without_a_duration_are_refused() -> None:
    """Settings let none through; a journal that was made up does not get further than here."""
    never = msgspec.structs.replace(REGIMES, calm_samples=0)

    with pytest.raises(RiskInputError, match="calm_samples"):
        stress_after(msgspec.UNSET, 0.0, USUAL, spec_with(regimes=never))
