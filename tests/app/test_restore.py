"""A start continues exactly where the journal ends, whichever way leads there."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

from keeper.app.clock import SystemClock
from keeper.app.restore import restored
from keeper.core.decisions import SignerHalted
from keeper.core.errors import JournalForeign
from keeper.core.facts import AnyFact, ClockTicked, KillSwitchChanged
from keeper.engine.step import ENGINE_VERSION, Engine
from keeper.journal.memory import MemoryJournal
from keeper.venues import open_ledger
from strategies import STRATEGIES
from tests.observe.records import block_applied, run_started

CLOCK = SystemClock()
START_MS = 1_700_000_000_000
FACTS: Sequence[AnyFact] = (
    run_started(),
    KillSwitchChanged(armed=False, reason="file"),
    *(
        fact
        for number in range(1, 6)
        for fact in (ClockTicked(START_MS + number), block_applied(number, START_MS // 1000 + number))
    ),
)
VERSION = str(ENGINE_VERSION)


def new_engine() -> Engine:
    """Return the daemon's own engine, empty."""
    return Engine(open_ledger, STRATEGIES)


def journal_of(facts: Sequence[AnyFact] = FACTS, snapshots_at: Sequence[int] = ()) -> tuple[MemoryJournal, Engine]:
    """Return a journal of these facts, with snapshots after some sequences, and the engine that wrote it."""
    journal, engine = MemoryJournal(), new_engine()
    for fact in facts:
        decisions = engine.step(fact, journal.last_sequence + 1)
        cause = journal.last_sequence + 1
        journal.append([(fact, 0), *((decision, cause) for decision in decisions)], START_MS)
        if journal.last_sequence in snapshots_at:
            journal.save_snapshot(journal.last_sequence, VERSION, engine.snapshot())
    return journal, engine


def test_an_empty_journal_gives_a_new_engine() -> None:
    """Before the first record there is nothing to know."""
    assert restored(MemoryJournal(), CLOCK).engine.state_hash() == new_engine().state_hash()


@pytest.mark.parametrize("snapshots_at", [(), (1,), (4, 9), (len(FACTS),)])
def test_every_way_leads_to_the_same_state(snapshots_at: Sequence[int]) -> None:
    """From zero, or from a snapshot and the tail, the state is the one that the writer had, bit for bit."""
    journal, writer = journal_of(snapshots_at=snapshots_at)

    found, begun_with, seconds = restored(journal, CLOCK)

    assert (found.sequence, found.state_hash()) == (writer.sequence, writer.state_hash())
    assert begun_with == max(snapshots_at, default=0)
    assert seconds >= 0


def test_a_snapshot_that_does_not_load_is_skipped() -> None:
    """A snapshot that is whole but no state is passed over, with a warning, for the one before it."""
    journal, writer = journal_of(snapshots_at=(4,))
    journal.save_snapshot(9, VERSION, b"no state")

    with capture_logs() as logs:
        found = restored(journal, CLOCK).engine

    assert found.state_hash() == writer.state_hash()
    assert [(log["event"], log["sequence"]) for log in logs] == [("snapshot skipped", 9)]


def test_a_snapshot_of_another_engine_is_skipped() -> None:
    """A state of another engine version is not understood, so the journal is read instead."""
    journal, writer = journal_of()
    journal.save_snapshot(9, f"{ENGINE_VERSION + 1}", writer.snapshot())

    assert restored(journal, CLOCK).engine.state_hash() == writer.state_hash()


def test_only_the_tail_is_replayed() -> None:
    """What is before the snapshot is not read again: a start takes as long as the tail, not as the journal."""
    journal, _ = journal_of(FACTS[:3])
    journal.append([(SignerHalted("main", "decided by an older version"), 3)], START_MS)
    engine = new_engine()
    for sequence, fact in enumerate(FACTS[:3], 1):
        engine.step(fact, sequence)
    engine.step(FACTS[3], 5)
    journal.append([(FACTS[3], 0)], START_MS)
    journal.save_snapshot(5, VERSION, engine.snapshot())

    assert restored(journal, CLOCK).engine.state_hash() == engine.state_hash()


@pytest.mark.parametrize("snapshots_at", [(), (4,)])
def test_a_tail_that_was_decided_otherwise_is_refused(snapshots_at: Sequence[int]) -> None:
    """Code that decides otherwise than the journal says does not go on: intents in flight would be orphaned."""
    journal, _ = journal_of(snapshots_at=snapshots_at)
    journal.append([(ClockTicked(START_MS + 100), 0), (SignerHalted("main", "why not"), 13)], START_MS)

    with pytest.raises(JournalForeign) as caught:
        restored(journal, CLOCK)

    assert caught.value.exit_code == 4
    assert str(caught.value) == (
        "journal record 14: this version decides otherwise than the one that wrote it; "
        "drain with that version and start a new journal; `keeper replay` shows the difference"
    )
