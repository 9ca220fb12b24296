"""The wait of the lowest nonce: it begins with the slot, ends with a block, and moves on with the queue."""

from __future__ import annotations

from typing import Literal

import msgspec

from keeper.core.decisions import IntentAdvanced, IntentState
from keeper.core.facts import AttemptPrepared, ClockTicked
from keeper.core.ids import Hash32, content_id
from keeper.core.units import Wei
from keeper.engine.intents import Sent, TrackedIntent
from tests.observe import records
from tests.observe.test_metrics import Observed

START_MS = 1_700_000_000_000
FIRST, SECOND = content_id("first"), content_id("second")


def prepared(
    intent_id: Hash32, nonce: int, attempt: int = 1, kind: Literal["call", "cancel"] = "call"
) -> AttemptPrepared:
    """Return a signed attempt in a slot."""
    return AttemptPrepared(
        intent_id,
        records.CHAIN_ID,
        "main",
        nonce,
        attempt,
        kind,
        content_id("transaction", intent_id, attempt),
        b"",
        300_000,
        Wei(2),
        Wei(1),
        10,
    )


def step(intent_id: Hash32, previous: IntentState, state: IntentState) -> IntentAdvanced:
    """Return a step of an intent."""
    return IntentAdvanced(intent_id, previous, state, "")


def age(observed: Observed, seconds: int) -> float | None:
    """Return how long the lowest nonce has waited, so many seconds after the start."""
    observed.take(0, ClockTicked(START_MS + seconds * 1000))
    return observed("lowest_nonce_age_seconds", chain="local", signer="main")


def test_a_slot_waits_until_its_block() -> None:
    """The age grows from the first tick after signing, whatever is signed again in the slot, and is zero once mined."""
    observed = Observed((0, [prepared(FIRST, 3)]))
    ages = [age(observed, seconds) for seconds in (0, 40)]
    observed.take(0, prepared(FIRST, 3, 2, "cancel"))
    ages.append(age(observed, 100))
    observed.take(0, step(FIRST, IntentState.BROADCAST, IntentState.MINED))

    assert [*ages, age(observed, 110)] == [0.0, 40.0, 100.0, 0.0]


def test_a_queue_that_moves_is_not_stuck() -> None:
    """When the lowest nonce is mined, the wait of the next one begins."""
    observed = Observed((0, [prepared(FIRST, 3), prepared(SECOND, 4)]))
    before = [age(observed, seconds) for seconds in (0, 50)]
    observed.take(0, step(FIRST, IntentState.BROADCAST, IntentState.MINED))

    assert [*before, age(observed, 60), age(observed, 75)] == [0.0, 50.0, 0.0, 15.0]


def test_a_reorg_begins_the_wait_again() -> None:
    """A slot whose block was abandoned is the lowest again, and waits anew."""
    observed = Observed((0, [prepared(FIRST, 3), step(FIRST, IntentState.BROADCAST, IntentState.MINED)]))
    mined = age(observed, 0)
    observed.take(0, step(FIRST, IntentState.MINED, IntentState.BROADCAST))

    assert [mined, age(observed, 10), age(observed, 30)] == [0.0, 0.0, 20.0]


def test_what_ended_waits_no_more() -> None:
    """A slot that a foreign transaction took is forgotten, and a late step of its intent changes nothing."""
    lost = step(FIRST, IntentState.BROADCAST, IntentState.SLOT_LOST)
    observed = Observed((0, [prepared(FIRST, 3), lost, step(FIRST, IntentState.MINED, IntentState.BROADCAST)]))

    assert age(observed, 0) == 0.0
    assert age(observed, 60) == 0.0


def test_slots_of_an_earlier_run_are_taken_over() -> None:
    """What an earlier run signed waits from the first tick of this one; what it did not sign has no slot."""
    observed = Observed()
    fact = prepared(FIRST, 3)
    signed = msgspec.structs.replace(records.intent(), intent_id=FIRST)
    observed.metrics.resume(
        [TrackedIntent(signed, IntentState.BROADCAST, [Sent(fact)]), TrackedIntent(records.intent())]
    )

    assert [age(observed, 0), age(observed, 30)] == [0.0, 30.0]
