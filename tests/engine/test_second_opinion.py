"""The second opinion: called before the venue's line, explained to the unit, and never safe when it cannot tell."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, HealthChanged, IntentAdmitted, RiskHealthChanged
from keeper.core.facts import SettingsReloaded
from keeper.core.ids import Address
from keeper.core.risk import RiskHealth, RiskStatus
from keeper.core.runconfig import RiskSpec
from keeper.core.units import Wad
from tests.engine.history import ALICE, BOB, CONFIG, TOKEN, UNIT, History, new_engine, position
from tests.engine.toy import ETH, EUR, GOLD, USD

RISK = RiskSpec(
    venue="toy",
    model="static",
    horizon_seconds=900,
    quantile=2.5,
    safety_factor=1.0,
    warning_factor=1.5,
    move=0.05,
    move_min=0.001,
    move_max=0.5,
    vol_annual=0.8,
    vols_annual={"0x" + USD.hex(): 0.0001, "0x" + EUR.hex(): 0.05},
    decay=0.9,
    sample_seconds=12,
    samples_min=3,
    half_life_seconds=3600,
    heartbeat_seconds=3600,
    step_max=0.2,
    confirmations=2,
)


def history(**changes: Any) -> History:  # noqa: ANN401 - any field of the model
    """Return a history whose venue has a model of risk."""
    spec = msgspec.structs.replace(RISK, **changes)
    return History(msgspec.structs.replace(CONFIG, risk=(spec,)))


def eth(price: int) -> tuple[object, ...]:
    """Return the log of a price of ETH in whole USD."""
    return ("price", ETH, price * UNIT // TOKEN)


def changed(decisions: list[AnyDecision], account: Address = ALICE) -> list[tuple[str, str]]:
    """Return how the opinion of an account changed."""
    found = [each for each in decisions if isinstance(each, RiskHealthChanged) and each.opinion.account == account]
    return [(each.previous, each.opinion.status.value) for each in found]


def opinion(told: History, account: Address = ALICE) -> RiskHealth:
    """Return the opinion of an account now."""
    found = told.engine.risk.of("toy", account)
    assert found is not None
    return found


def test_a_margin_call_comes_before_the_venues_line() -> None:
    """A price that falls passes the warning, the call and the line in that order, each told once."""
    told = history()
    told.market()
    steps = [(price, told.block(eth(price))) for price in (2_200, 2_100, 2_050, 2_000, 1_950, 1_870)]

    assert [(price, *changed(made)) for price, made in steps if changed(made)] == [
        (2_200, ("call", "safe")),
        (2_100, ("safe", "warning")),
        (2_050, ("warning", "call")),
        (1_870, ("call", "breached")),
    ]
    assert [made for _, made in steps[:-1] if any(isinstance(each, HealthChanged) for each in made)] == []
    assert any(isinstance(each, IntentAdmitted) for each in steps[-1][1])


def test_an_opinion_adds_up_from_its_parts() -> None:
    """10 ETH at 2,000 and 80 % against 15,000 USD: 1,000 is left, and 5 % of each side costs 800 and 750."""
    told = history()
    told.market()
    found = opinion(told)

    assert found.status is RiskStatus.CALL
    assert int(found.surplus) == 1_000 * UNIT
    assert {each.asset: (int(each.exposure), each.move_ppm, int(each.loss)) for each in found.components} == {
        ETH: (16_000 * UNIT, 50_000, 800 * UNIT),
        USD: (-15_000 * UNIT, 50_000, 750 * UNIT),
    }
    assert int(found.loss) == 1_550 * UNIT
    assert found.health_wad == Wad(16_000 * Wad.ONE // 15_000)
    assert found.stressed_wad == Wad(14_450 * Wad.ONE // 15_000)
    assert 0 < found.breach_ppm < 10**6
    assert {each.sequence for each in found.components} == {4}  # the block that told the prices


def test_one_asset_on_both_sides_counts_by_what_is_left_of_it() -> None:
    """Debt in the collateral's own token is hedged by it."""
    told = history()
    told.market()
    told.block(("set", BOB, ETH, 100, 70))
    held = {each.asset: int(each.exposure) for each in opinion(told, BOB).components}

    assert held == {ETH: (80 - 70) * PRICE_ETH}


PRICE_ETH = 2_000 * UNIT // TOKEN


def test_a_price_that_moves_more_is_reckoned_to_move_more_at_once_and_less_only_slowly() -> None:
    """The move doubles within one block of a fall, and an hour later is half way down again."""
    told = history(model="volatility", samples_min=1, move_min=0.0001)
    told.market()
    for place in range(20):
        told.block(eth(2_000 + place % 2))
    calm = _move(told)
    told.block(eth(1_900))
    high = _move(told)
    for place in range(300):
        told.block(eth(1_900 + place % 2))

    assert high > 2 * calm
    assert calm < _move(told) < 0.6 * high


def _move(told: History) -> int:
    return next(track.move_ppm for track in told.engine.risk.tracks("toy") if track.asset == ETH)


def test_a_portfolio_that_hedges_itself_is_not_called() -> None:
    """Collateral and debt that move together leave less to lose than the worst of each."""
    alone, jointly = (history(model=model, samples_min=1, sample_seconds=12) for model in ("volatility", "portfolio"))
    for told in (alone, jointly):
        told.market()
        told.block(("set", BOB, ETH, 100, 0), ("set", BOB, EUR, 0, 10**6))
        for price in (2_000, 2_020, 1_990, 2_030, 1_970, 2_010):
            told.block(eth(price), ("price", EUR, price * UNIT // 2_000 // TOKEN * 1))
    assert int(opinion(jointly, BOB).loss) < int(opinion(alone, BOB).loss)


def test_a_price_that_jumps_too_far_makes_unknown_whoever_depends_on_it() -> None:
    """Until it has been confirmed nobody near is called safe, and the reason names the price."""
    told = history(step_max=0.02, vol_annual=0.2, move=0.2)
    told.market()
    made = told.block(eth(2_300))

    assert changed(made) == [("call", "unknown")]
    assert "deviated" in str(opinion(told).reason)
    assert "0x" + ETH.hex() in str(opinion(told).reason)
    assert changed(told.block(eth(2_301))) == [("unknown", "call")]


def test_what_the_venue_does_not_know_the_opinion_does_not_know_either() -> None:
    """A missing price, and a chain that has fallen silent, are unknown and not safe."""
    told = history()
    told.market()
    made = told.block(*position(BOB, usd=100), ("set", BOB, GOLD, TOKEN, 0))

    assert changed(made, BOB) == [("safe", "unknown")]
    assert opinion(told, BOB).reason == "no price"
    told.tick(100)
    assert (opinion(told).status, opinion(told).reason) == (RiskStatus.UNKNOWN, "watermark lags")


def test_an_account_that_leaves_is_safe() -> None:
    """Without debt there is nothing to call."""
    told = history()
    told.market()

    assert changed(told.block(("set", ALICE, USD, 0, 0))) == [("call", "safe")]
    assert told.engine.risk.unsafe == {}


def test_a_snapshot_keeps_prices_and_opinions() -> None:
    """An engine that is restored thinks as the one that was saved."""
    told = history(model="portfolio")
    told.market()
    told.block(eth(1_990), *position(BOB, eth=10, usd=14_000))
    other = new_engine()
    other.load(told.engine.snapshot())

    assert other.snapshot() == told.engine.snapshot()
    assert other.risk.of("toy", ALICE) == opinion(told)
    assert other.risk.unsafe == told.engine.risk.unsafe


def test_without_a_model_there_is_no_opinion() -> None:
    """A venue without the section is watched as before."""
    told = History()
    told.market()

    assert told.engine.risk.of("toy", ALICE) is None
    assert [record for record in told.records if isinstance(record.body, RiskHealthChanged)] == []


@pytest.mark.parametrize(("judged", "first"), [(True, BOB), (False, ALICE)])
def test_whose_debt_is_about_to_outgrow_its_collateral_is_helped_first(judged: bool, first: Address) -> None:  # noqa: FBT001 - a parameter
    """ALICE is further below her line by value, but her collateral covers the debt by a fifth; BOB's by a hundredth."""
    told = history(step_max=0.9) if judged else History()
    told.market()
    told.block(*position(ALICE, eth=100, usd=159_000), ("set", BOB, EUR, 10_000 * TOKEN, 0), *position(BOB, usd=8_500))
    made = told.block(eth(1_950), ("price", EUR, 86 * UNIT // 100 // TOKEN))

    assert next(each.intent.account for each in made if isinstance(each, IntentAdmitted)) == first


def test_an_opinion_ends_with_its_model() -> None:
    """A reload without the section forgets what was thought, and one with another section thinks anew."""
    told = history()
    told.market()
    told.step(SettingsReloaded(CONFIG, "{}", told.unix_ms))
    ended = dict(told.engine.risk.unsafe), told.engine.risk.tracks("toy")
    told.step(SettingsReloaded(told.config, "{}", told.unix_ms))

    assert ended == ({}, ())
    assert changed(told.block()) == [("safe", "call")]
