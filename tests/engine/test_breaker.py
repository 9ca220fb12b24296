"""Transactions that revert one after the other pause their venue, and every revert is paid for in the books."""

from __future__ import annotations

import pytest

from keeper.core.decisions import AnyDecision, Intent, VenuePaused
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Address
from keeper.core.units import BaseAmount, Wei
from keeper.engine.breaker import Breakers, Revert
from keeper.engine.spend import HOUR_MS
from tests.engine.history import ALICE, BREACH, GWEI, History, admitted, config_with, position, refused
from tests.engine.toy import ETH

COST = Wei(100_000 * 15 * GWEI)
"""What a receipt of the history says that its transaction cost."""


def crowd(**limits: int) -> History:
    """Return a history with many accounts that are breached together."""
    history = History(config_with(live=True, **limits))
    history.market()
    for number in range(1, 8):
        history.block(*position(Address(bytes([number]) * 20), eth=10, usd=15_000))
    return history


def revert_all(history: History, intents: list[Intent], first_nonce: int) -> list[AnyDecision]:
    """Sign these, and let the next block hold them all as reverted."""
    attempts = [history.prepare(intent, first_nonce + place) for place, intent in enumerate(intents)]
    decisions = history.block()
    for attempt in attempts:
        decisions += history.receipt(attempt, succeeded=False)
    return decisions


def pauses(decisions: list[AnyDecision]) -> list[VenuePaused]:
    """Return the pauses among decisions."""
    return [decision for decision in decisions if isinstance(decision, VenuePaused)]


@pytest.mark.fault(16)
def test_reverts_pause_the_venue() -> None:
    """As many reverts as allowed pause the venue once, for the configured blocks."""
    history = crowd(reverts_per_venue_max=4, breaker_window_blocks=10, breaker_pause_blocks=3)
    decisions = revert_all(history, admitted(history.breach()), 0)
    tip = history.engine.chains[31337].tip_number
    assert pauses(decisions) == [
        VenuePaused("toy", "4 transactions reverted within 10 blocks, with no success between", tip + 3)
    ]
    assert set(refused(history.block())) == {"venue_paused"}
    history.block()
    assert admitted(history.block()) == []
    assert admitted(history.block()) != []


@pytest.mark.fault(16)
def test_a_new_run_ends_the_pause() -> None:
    """The operator ends a pause by starting again."""
    history = crowd(reverts_per_venue_max=4)
    revert_all(history, admitted(history.breach()), 0)
    history.start()
    history.read_signer(nonce=4)
    assert admitted(history.block()) != []


@pytest.mark.fault(15)
def test_too_few_reverts() -> None:
    """Fewer reverts than allowed pause nothing."""
    history = crowd(reverts_per_venue_max=5)
    assert pauses(revert_all(history, admitted(history.breach()), 0)) == []


@pytest.mark.fault(13)
def test_a_reorg_takes_reverts_back() -> None:
    """Reverts of an abandoned block do not count."""
    history = crowd(reverts_per_venue_max=4)
    attempts = [history.prepare(intent, nonce) for nonce, intent in enumerate(admitted(history.breach()))]
    history.block()
    for attempt in attempts[:3]:
        history.receipt(attempt, succeeded=False)
    history.revert()
    history.block()
    assert pauses(history.receipt(attempts[3], succeeded=False)) == []
    assert history.engine.intents.gas.spent("main", 0) == COST


def test_success_begins_anew() -> None:
    """A liquidation of ours that worked clears the count."""
    history = crowd(reverts_per_venue_max=4)
    intents = admitted(history.breach())
    attempts = [history.prepare(intent, nonce) for nonce, intent in enumerate(intents)]
    history.block()
    for attempt in attempts[:3]:
        history.receipt(attempt, succeeded=False)
    later = admitted(history.liquidation(attempts[3], intents[3]))
    assert pauses(revert_all(history, later[:1], 4)) == []


@pytest.mark.fault(14)
def test_a_success_forgives_its_own_block() -> None:
    """Lost races whose receipts come after a success of the same block pause nothing."""
    history = crowd(reverts_per_venue_max=2)
    intents = admitted(history.breach())
    attempts = [history.prepare(intent, nonce) for nonce, intent in enumerate(intents)]
    decisions = history.liquidation(attempts[3], intents[3])
    for attempt in attempts[:3]:
        decisions += history.receipt(attempt, succeeded=False)
    assert pauses(decisions) == []


def test_old_reverts() -> None:
    """Reverts that are older than the window do not count."""
    breakers = Breakers()
    for number in (1, 2, 11):
        breakers.reverted("toy", Revert(bytes([number]) * 32, number))  # type: ignore[arg-type]
    assert breakers.trip("toy", 12, reverts_max=2, window_blocks=10, pause_blocks=5) == 0
    assert breakers.trip("other", 12, reverts_max=2, window_blocks=10, pause_blocks=5) == 0


def first_attempt(history: History) -> AttemptPrepared:
    """Sign the first intent of a breach."""
    history.market()
    return history.prepare(admitted(history.breach())[0], 0)


@pytest.mark.fault(15)
def test_gas_of_a_revert_is_booked() -> None:
    """A reverted transaction costs what its receipt says, once, for an hour."""
    history = History()
    attempt = first_attempt(history)
    history.block()
    history.receipt(attempt, succeeded=False)
    history.receipt(attempt, succeeded=False)
    gas, now = history.engine.intents.gas, history.engine._state.clock.elapsed_ms
    assert gas.spent("main", now) == COST
    assert gas.spent("second", now) == Wei(0)
    assert gas.spent("main", now + HOUR_MS) == Wei(0)


@pytest.mark.fault(16)
def test_gas_budget() -> None:
    """What was spent, what is in flight at its worst and what would come must fit into the hour's budget."""
    attempt_cost = 200_000 * 20 * GWEI
    next_cost = 100_000 * (10 * GWEI * 9 // 8)
    for budget, expected in ((attempt_cost + next_cost, []), (attempt_cost + next_cost - 1, ["gas_budget"])):
        history = History(config_with(gas_wei_per_hour_max=Wei(budget)))
        first_attempt(history)
        assert refused(history.block(*position(Address(b"\x07" * 20), eth=10, usd=15_000))) == expected


def test_gas_unfunded() -> None:
    """A signer commits no more gas than it has."""
    history = History()
    first_attempt(history)
    history.read_signer(balance_wei=10**17)
    history.base_fee_wei = 900 * GWEI
    history.config = config_with(gas_price_wei_max=Wei(2000 * GWEI), profit_base_min=BaseAmount(-(10**15)))
    history.start()
    history.read_signer(balance_wei=10**17)
    reasons = refused(history.block(("price", ETH, BREACH), *position(Address(b"\x07" * 20), eth=10, usd=15_000)))
    assert reasons == ["gas_unfunded"]


@pytest.mark.fault(1)
def test_a_snapshot_keeps_breakers_and_gas() -> None:
    """What was counted survives a restart from a snapshot."""
    history = crowd(reverts_per_venue_max=4)
    revert_all(history, admitted(history.breach()), 0)
    before = history.engine.state_hash()
    history.engine.load(history.engine.snapshot())
    assert history.engine.state_hash() == before
    assert ALICE in {account for _, account in history.engine.margins}
