"""The picture says how the parts stand, and readiness is read off it."""

from __future__ import annotations

import msgspec
import pytest

from keeper.app.picture import DECISIONS_KEPT, Picture
from keeper.core.codec import AnyBody
from keeper.core.facts import ClockTicked, KillSwitchChanged
from keeper.core.ids import content_id
from keeper.core.units import BaseAmount
from keeper.journal.memory import MemoryJournal
from keeper.journal.recorder import JournalRecorder, Settled
from keeper.observe.status import Status, unhealthy, unready
from tests.chain_ingestion.fakes import JumpClock
from tests.engine.history import CONFIG, History, admitted
from tests.engine.toy import GOLD
from tests.observe.records import run_started

RUN = content_id("run")


class Sitter:
    """A keeper that sits for its picture: a history, and everything the picture looks at."""

    def __init__(self) -> None:
        self.history = History()
        self.journal = MemoryJournal()
        self.clock = JumpClock()
        self.followed = True
        recorder = JournalRecorder(
            self.journal, self.history.engine, self.clock, on_settled=lambda _: None, snapshot_every_records=10**9
        )
        self.picture = Picture(
            RUN, CONFIG, self.history.engine, self.journal, recorder, self.clock, lambda _: self.followed
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
