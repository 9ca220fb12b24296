"""The picture says how the parts stand, and readiness is read off it."""

from __future__ import annotations

import msgspec
import pytest

from keeper.app.picture import DECISIONS_KEPT, Picture
from keeper.app.price_ages import HEADS_KEPT
from keeper.core.codec import AnyBody
from keeper.core.decisions import ProposalRefused
from keeper.core.facts import ClockTicked, KillSwitchChanged
from keeper.core.ids import content_id
from keeper.core.runconfig import RiskSpec, RunConfig
from keeper.core.units import BaseAmount
from keeper.journal.memory import MemoryJournal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.observe.status import PriceStatus, Status, unhealthy, unready
from tests.chain_ingestion.fakes import JumpClock
from tests.engine.history import BLOCK_SECONDS, CONFIG, History, admitted, config_with
from tests.engine.test_forecast import GARCH, REGIMES
from tests.engine.test_second_opinion import RISK, eth
from tests.engine.toy import ETH, GOLD, USD
from tests.observe.records import run_started

RUN = content_id("run")


class Sitter:
    """A keeper that sits for its picture: a history, and everything the picture looks at."""

    def __init__(self, config: RunConfig = CONFIG) -> None:
        self.history = History(config)
        self.journal = MemoryJournal()
        self.clock = JumpClock()
        self.followed = True
        recorder = JournalRecorder(
            self.journal, self.history.engine, self.clock, on_settled=lambda _: None, snapshot_every_records=10**9
        )
        self.picture = Picture(
            RUN, config, self.history.engine, self.journal, recorder, self.clock, lambda _: self.followed
        )

    def settle(self, *bodies: AnyBody) -> None:
        """Show the picture a durable group."""
        self.picture.settled(Settled(1, bodies, 5, 0.0, 0.0))

    def draw(self) -> Status:
        """Draw it."""
        return self.picture.status()

    def failing(self) -> list[tuple[str, str]]:
        """Return what keeps the keeper from being ready."""
        return [(each.condition, each.reason) for each in unready(self.draw())]


@pytest.fixture
def sitter() -> Sitter:
    """A keeper before its run."""
    return Sitter()


@pytest.fixture
def well() -> Sitter:
    """A keeper at the head, every price known."""
    sitter = Sitter()
    sitter.history.market()
    sitter.history.block(("price", GOLD, 1))
    sitter.settle(run_started())
    return sitter


def test_a_keeper_that_has_not_begun_is_not_ready(sitter: Sitter) -> None:
    """Before the run's first fact is durable there is no run to rely on, whatever is missing besides."""
    assert sitter.draw().run_id is None
    assert sitter.failing() == [("running", "the run has not begun")]


def test_a_keeper_without_a_block_is_not_ready(sitter: Sitter) -> None:
    """A run that has seen no block yet is not ready, and says what it waits for."""
    sitter.history.start()
    sitter.settle(run_started())

    conditions = [condition for condition, _ in sitter.failing()]
    assert conditions == ["watermark of local", "prices of toy"]


def test_a_keeper_at_the_head_is_ready(well: Sitter) -> None:
    """At the head with every price known nothing is missing."""
    assert well.failing() == []


def test_a_keeper_behind_is_not_ready(well: Sitter) -> None:
    """While blocks are known that were not applied yet, it is not ready."""
    well.history.block(behind=3)

    assert well.failing() == [("watermark of local", "3 blocks behind the head")]


def test_a_stale_head_is_not_ready(well: Sitter) -> None:
    """When the head has not moved for longer than the configuration allows, it is not ready."""
    well.history.tick(61)

    assert well.failing() == [("watermark of local", "no block followed 2 for too long")]


def test_a_draining_keeper_is_not_ready(well: Sitter) -> None:
    """Who is leaving is not to be relied on, and is healthy all the same."""
    well.picture.draining = True

    assert well.failing() == [("running", "the keeper is draining")]
    assert unhealthy(well.draw()) == []


def test_a_failed_journal_is_not_healthy(well: Sitter) -> None:
    """A journal that cannot be written shows with its reason."""
    well.journal.fail("the disk is full")

    assert [each.condition for each in unhealthy(well.draw())] == ["journal"]


def test_a_recorder_that_hangs_is_not_healthy(well: Sitter) -> None:
    """When no fact was taken for long, the process should be restarted."""
    well.clock.now += 16

    assert [each.condition for each in unhealthy(well.draw())] == ["progress"]


def test_the_chain_is_where_the_engine_is(well: Sitter) -> None:
    """Watermark and finality are the fold's own."""
    well.history.finalize(1)
    tip = well.history.engine.chains[31337].tip
    assert tip is not None

    (chain,) = well.draw().chains
    assert chain.watermark is not None
    assert (chain.watermark.block, chain.watermark.hash) == (2, "0x" + tip.hash.hex())
    assert (chain.name, chain.finalized_block, chain.behind_blocks, chain.stale) == ("local", 1, 0, False)


def test_the_venue_counts_its_accounts(well: Sitter) -> None:
    """Accounts are counted by status and debts added up."""
    well.history.breach()

    (venue,) = well.draw().venues
    assert venue.accounts == {"healthy": 0, "liquidatable": 1, "unknown": 0}
    assert venue.debt_base == str(int(BaseAmount(15_000 * 10**8)))
    assert (venue.discovered, venue.prices_missing) == (True, ())


def test_the_signer_shows_what_it_holds(well: Sitter) -> None:
    """A signer shows its balance, its next nonce, and why it is halted once it is."""
    (before,) = well.draw().signers
    well.history.read_signer(nonce=3, balance_wei=7)
    (after,) = well.draw().signers

    assert (before.name, before.balance_wei, before.next_nonce, before.halted) == ("main", str(10**18), 0, None)
    assert after.balance_wei == "7"
    assert str(after.halted).startswith("foreign transaction or lost journal")


def test_an_intent_shows_its_newest_attempt(well: Sitter) -> None:
    """An open intent shows its state, and slot and hash of its newest attempt once it has one."""
    (intent,) = admitted(well.history.breach())
    before = well.draw().intents
    attempt = well.history.prepare(intent, nonce=0)
    after = well.draw().intents

    assert [(one.state, one.nonce, one.tx_hash, one.attempts) for one in before] == [("admitted", None, None, 0)]
    assert [(one.state, one.nonce, one.tx_hash, one.attempts) for one in after] == [
        ("prepared", 0, "0x" + attempt.tx_hash.hex(), 1)
    ]


def test_the_newest_decisions_come_first(well: Sitter) -> None:
    """The newest decisions are kept, newest first, up to a bound; facts are not decisions."""
    decisions = well.history.breach()
    well.settle(ClockTicked(1), *decisions, *decisions * DECISIONS_KEPT)

    kept = well.draw().last_decisions
    newest = 1 + len(decisions) * (1 + DECISIONS_KEPT)
    assert [one.sequence for one in kept] == list(range(newest, newest - DECISIONS_KEPT, -1))
    assert kept[0].kind == type(decisions[-1]).__name__


def test_the_switch_shows(well: Sitter) -> None:
    """Whether the kill switch is armed shows."""
    well.history.step(KillSwitchChanged(armed=True, reason="file"))

    assert well.draw().kill_switch_armed is True


def test_the_picture_is_json(well: Sitter) -> None:
    """The picture can be sent as JSON, with figures that may pass 2^53 as text."""
    well.history.breach()

    status = msgspec.json.decode(msgspec.json.encode(well.draw()))
    assert isinstance(status["venues"][0]["debt_base"], str)
    assert status["run_id"] == "0x" + RUN.hex()


def test_a_restored_tip_is_not_the_head(well: Sitter) -> None:
    """What an earlier run left is not relied on before a head was followed in this one."""
    well.followed = False
    assert well.failing() == [("watermark of local", "no head was followed since the start")]


def price_after_a_jump(spec: RiskSpec) -> PriceStatus:
    """Return what the picture says of ETH when its price has jumped."""
    sitter = Sitter(msgspec.structs.replace(CONFIG, risk=(spec,)))
    sitter.history.market()
    for price in (2_000, 2_001, 2_000, 2_001, 2_100):
        sitter.history.block(eth(price))
    (venue,) = sitter.draw().venues
    assert venue.risk is not None
    return next(price for price in venue.risk.prices if price.asset == "0x" + ETH.hex())


def test_a_price_shows_the_volatility_in_use() -> None:
    """It is that of the move: so many quantiles of it over the horizon; stress is unknown without regimes."""
    spec = msgspec.structs.replace(RISK, model="volatility", move_max=0.9, garch=GARCH)
    price = price_after_a_jump(spec)
    move = price.vol_annual_ppm * spec.safety_factor * spec.quantile * (spec.horizon_seconds / 31_536_000) ** 0.5

    assert price.move_ppm == pytest.approx(move, rel=1e-3)
    assert price.stress_ppm is None


def test_a_price_shows_how_likely_stress_is() -> None:
    """With regimes a jump shows as stress."""
    price = price_after_a_jump(msgspec.structs.replace(RISK, regimes=REGIMES))

    assert price.stress_ppm is not None
    assert 900_000 < price.stress_ppm <= 1_000_000


def unmoved(sitter: Sitter) -> dict[str, int | None]:
    """Return for how long the toy venue's prices have been the same, by asset."""
    (venue,) = sitter.draw().venues
    assert venue.risk is not None
    return {price.asset: price.unmoved_seconds for price in venue.risk.prices}


def block_and_settle(sitter: Sitter, *logs: tuple[object, ...]) -> None:
    """Apply a block, and let it become durable."""
    first = len(sitter.history.records)
    sitter.history.block(*logs)
    made = sitter.history.records[first:]
    bodies = tuple(record.body for record in made)
    assert made[0].sequence == sitter.journal.last_sequence + 1
    sitter.journal.append([(record.body, record.cause) for record in made], 5)
    sitter.picture.settled(Settled(made[0].sequence, bodies, 5, 0.0, 0.0))


def test_a_feed_that_stands_still_is_told() -> None:
    """A price that moved says for how long it has not, after a restart too; one that never did says nothing."""
    sitter = Sitter(msgspec.structs.replace(CONFIG, risk=(RISK,)))
    sitter.history.market()
    sitter.journal.append([(record.body, record.cause) for record in sitter.history.records], 5)
    block_and_settle(sitter, eth(1_990))
    moved = unmoved(sitter)["0x" + ETH.hex()]
    for _ in range(HEADS_KEPT + 1):
        block_and_settle(sitter)
    later = unmoved(sitter)
    fresh = Sitter(sitter.history.config)
    fresh.history, fresh.journal = sitter.history, sitter.journal
    recorder = JournalRecorder(
        fresh.journal, fresh.history.engine, fresh.clock, on_settled=lambda _: None, snapshot_every_records=10**9
    )
    fresh.picture = Picture(
        RUN, fresh.history.config, fresh.history.engine, fresh.journal, recorder, fresh.clock, lambda _: True
    )

    assert moved == 0
    assert later["0x" + ETH.hex()] == (HEADS_KEPT + 1) * BLOCK_SECONDS
    assert later["0x" + USD.hex()] is None
    assert unmoved(fresh) == later


def test_the_picture_shows_spending_and_a_pause() -> None:
    """What intents commit counts until they revert; reverts are counted until they pause the venue."""
    sitter = Sitter(config_with(live=True, reverts_per_venue_max=2))
    sitter.history.market()
    before = sitter.draw().spend_hour_base
    (intent,) = admitted(sitter.history.breach())
    committed = sitter.draw().spend_hour_base
    attempt = sitter.history.prepare(intent, 0)
    sitter.history.block()
    sitter.history.receipt(attempt, succeeded=False)
    once = sitter.draw()
    breakers = sitter.history.engine.intents.breakers
    breakers.trip("toy", sitter.history.engine.chains[31337].tip_number, reverts_max=1, window_blocks=9, pause_blocks=9)
    paused = sitter.draw()

    assert (before, committed) == ("0", str(int(intent.spend_base)))
    assert (once.spend_hour_base, once.venues[0].reverts, once.venues[0].paused) == ("0", 1, False)
    assert (paused.venues[0].reverts, paused.venues[0].paused) == (0, True)


def test_an_account_at_risk_shows_both_opinions() -> None:
    """An account past its line is shown with the venue's verdict, its distance, and the second opinion."""
    sitter = Sitter(msgspec.structs.replace(CONFIG, risk=(RISK,)))
    sitter.history.market()
    sitter.history.breach()

    (venue,) = sitter.draw().venues
    (row,) = venue.at_risk
    assert (venue.at_risk_count, row.status, row.risk_status) == (1, "liquidatable", "breached")
    assert row.distance is not None
    assert row.distance < 0


def test_refusals_outlast_other_decisions(well: Sitter) -> None:
    """A refusal is kept with its reason however many other decisions follow."""
    refused = Sitter(config_with(live=True, profit_base_min=BaseAmount(10**18)))
    refused.history.market()
    decisions = refused.history.breach()
    (refusal,) = (each for each in decisions if isinstance(each, ProposalRefused))
    refused.settle(refusal, *[each for each in decisions if each is not refusal] * DECISIONS_KEPT)

    (kept,) = refused.draw().last_refusals
    assert (kept.venue, kept.account) == ("toy", "0x" + refusal.proposal.account.hex())
    assert kept.reason is not None
    assert kept.reason.startswith(refusal.reason)
    assert kept not in refused.draw().last_decisions
