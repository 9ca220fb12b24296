"""Negative controls: for each promise a keeper that breaks it, which the oracles must catch within few seeds."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from keeper.chain.follower import Follower
from keeper.chain.source import BlockSource
from keeper.core.facts import AnyFact, AttemptPrepared, AttemptSent, BlockHeader, RawLog
from keeper.core.ids import Address
from keeper.core.units import Wad
from keeper.core.venue import AccountMargin, Health, Status
from keeper.engine.intents import TrackedIntent
from keeper.execution import lane as lane_module
from keeper.execution.lane import Lane
from keeper.execution.purse import Purse
from keeper.execution.survey import Survey
from keeper.journal.recorder import JournalRecorder
from keeper.lab.simulator.disk import SimulatedJournal
from keeper.lab.simulator.ledger import SimulatedLedger
from keeper.lab.simulator.life import Parts
from tests.simulation.seeds import first_broken

pytestmark = pytest.mark.slow
SEEDS = range(12)


class SendsFirst(Lane):
    """Sends what is not recorded yet."""

    async def _record(self, facts: Sequence[AnyFact]) -> None:
        signed = [fact for fact in facts if isinstance(fact, AttemptPrepared)]
        if signed:
            await self._sender.send(signed)
        await super()._record(facts)


def test_bytes_sent_before_they_are_durable_are_seen() -> None:
    """A lane that sends before it records is caught."""
    assert first_broken(SEEDS, Parts(lane=SendsFirst)) == {"durable-first"}


def test_an_acknowledgement_before_the_sync_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that says durable before the sync is caught."""

    async def at_once(self: SimulatedJournal, sequence: int) -> None:
        del self, sequence

    monkeypatch.setattr(SimulatedJournal, "wait_durable", at_once)
    assert first_broken(SEEDS, Parts()) & {"acknowledged", "durable-first"}


def test_a_block_taken_for_empty_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that takes an empty list for every block is caught."""

    async def nothing(self: BlockSource, headers: Sequence[BlockHeader]) -> list[tuple[RawLog, ...]]:
        del self
        return [() for _ in headers]

    monkeypatch.setattr(BlockSource, "logs", nothing)
    assert first_broken(SEEDS, Parts()) & {"complete", "ledger"}


class NewNonce(Lane):
    """Gives an intent another nonce when its transaction is not to be seen."""

    def _due(self, tracked: TrackedIntent, tip: BlockHeader, seen: Survey, purse: Purse) -> AttemptPrepared | None:
        due = super()._due(tracked, tip, seen, purse)
        if due is None or tracked.sent[-1].answer != "unknown":
            return due
        nonce = self._engine.intents.next_nonce(self._chain_id, tracked.intent.signer) or 0
        return self._attempts.first(tracked.intent, nonce, 100_000, tip, seen.tip)


def test_a_new_nonce_after_a_time_out_is_seen() -> None:
    """An executor that opens a second slot for an intent is caught: by the engine, or by the oracles."""
    assert first_broken(range(40), Parts(lane=NewNonce)) & {"one-slot", "once", "alive", "replay"}


class Sleeper(Lane):
    """Never does anything."""

    async def work(self) -> None:
        """Rest."""


def test_an_idle_lane_is_seen() -> None:
    """A keeper that helps nobody is caught by the demand for progress."""
    assert first_broken(SEEDS, Parts(lane=Sleeper)) == {"liveness"}


class Stuck(Follower):
    """Stops following at some block."""

    async def _advance(self, hint: object) -> None:
        if self.window.next_number < 30:
            await super()._advance(hint)  # type: ignore[arg-type]


def test_a_follower_that_stops_is_seen() -> None:
    """A watermark that stays behind is caught."""
    assert first_broken(SEEDS, Parts(follower=Stuck)) == {"liveness"}


class Forgetful(JournalRecorder):
    """Acknowledges groups that it never appended."""

    async def record(self, facts: Sequence[AnyFact]) -> None:
        """Say that it is done."""
        if not all(isinstance(fact, AttemptSent | AttemptPrepared) for fact in facts):
            await super().record(facts)


def test_a_record_that_was_dropped_is_seen() -> None:
    """A recorder that drops what it acknowledges is caught before a byte of it leaves."""
    assert first_broken(SEEDS, Parts(recorder=Forgetful)) == {"durable-first"}


def test_the_lane_under_test_is_the_shipped_one() -> None:
    """Without a control, a life is made of the shipped parts."""
    assert (Parts().lane, Parts().recorder, Parts().follower) == (lane_module.Lane, JournalRecorder, Follower)


def test_a_health_that_is_too_good_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that takes the slightly unsafe for healthy is caught by the first rival who knows better."""
    exact = SimulatedLedger.margin

    def kind(self: SimulatedLedger, account: Address) -> AccountMargin:
        margin = exact(self, account)
        close = margin.health_wad is not None and Wad(95 * 10**16) < margin.health_wad
        return msgspec.structs.replace(margin, health=Health(Status.HEALTHY)) if close else margin

    monkeypatch.setattr(SimulatedLedger, "margin", kind)
    assert "recall" in first_broken(range(40), Parts())
