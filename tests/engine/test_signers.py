"""Several signers: each has its own slots and means, and an account has one intent over all of them."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.facts import SignerReleased
from keeper.core.ids import Address
from keeper.core.units import Wei
from tests.engine.history import (
    ALICE,
    BOB,
    CHAIN,
    CONFIG,
    SIGNER_SPEC,
    STRATEGY_SPEC,
    History,
    admitted,
    position,
    refused,
)
from tests.engine.toy import TOKENS

SECOND = msgspec.structs.replace(SIGNER_SPEC, name="second", address=Address(b"\xbb" * 20))


def two_signers(*, room: int = 1) -> History:
    """Return a history with two signers that have little room, and three accounts."""
    main = msgspec.structs.replace(SIGNER_SPEC, in_flight_max=room)
    second = msgspec.structs.replace(SECOND, in_flight_max=room)
    strategy = msgspec.structs.replace(STRATEGY_SPEC, more_signers=("second",))
    history = History(msgspec.structs.replace(CONFIG, signers=(main, second), strategies=(strategy,)))
    history.market()
    history.read_signer(signer="second")
    history.block(*position(BOB, eth=10, usd=15_100))
    history.block(*position(Address(b"\x07" * 20), eth=10, usd=14_900))
    return history


@pytest.mark.fault(8)
def test_the_next_signer_takes_over() -> None:
    """What the first signer has no room for goes to the second, and the rest is refused once."""
    history = two_signers()
    decisions = history.breach()
    assert [(intent.account, intent.signer) for intent in admitted(decisions)] == [(BOB, "main"), (ALICE, "second")]
    assert refused(decisions) == ["in_flight_max"]


def test_one_intent_per_account() -> None:
    """An account under way by one signer is not taken by another."""
    history = two_signers(room=4)
    intents = admitted(history.breach())
    assert {intent.signer for intent in intents} == {"main"}
    assert (len(intents), admitted(history.block())) == (3, [])


@pytest.mark.fault(11)
def test_a_halted_signer_blocks_one_lane() -> None:
    """While one signer is halted the others go on."""
    history = two_signers()
    history.read_signer(nonce=1)
    assert [intent.signer for intent in admitted(history.breach())] == ["second"]


def test_a_signer_without_means() -> None:
    """A signer that holds nothing is passed over."""
    history = two_signers()
    history.read_signer(balance=0)
    assert [intent.signer for intent in admitted(history.breach())] == ["second"]


def test_slots_of_each() -> None:
    """Each signer counts its own nonces."""
    history = two_signers()
    history.read_signer(nonce=7, signer="second")
    history.start()
    history.read_signer()
    history.read_signer(nonce=7, signer="second")
    assert [history.engine.intents.next_nonce(CHAIN, name) for name in ("main", "second")] == [0, 7]


def test_allowances_have_their_own_room() -> None:
    """A cold start that asks for every allowance leaves room for slices, and no more allowances than places."""
    history = History()
    history.start()
    history.read_signer(allowance=0)
    assert len(admitted(history.block())) == len(TOKENS) == SIGNER_SPEC.in_flight_max
    history = two_signers()
    history.read_signer(allowance=0)
    history.block()
    history.read_signer()
    assert [intent.kind for intent in admitted(history.breach()) if intent.signer == "main"] == ["liquidation"]


@pytest.mark.fault(12)
@pytest.mark.parametrize(("pending", "halted"), [(None, False), (0, False), (1, True)])
def test_somebody_elses_pending_transaction(pending: int | None, halted: bool) -> None:  # noqa: FBT001 - a table
    """With an empty journal, a transaction of our key in a pool halts the signer."""
    history = History()
    history.start()
    history.read_signer(pending_nonce=pending)
    assert (history.engine.intents.halted("main") is not None) is halted


@pytest.mark.fault(12)
def test_own_pending_transaction() -> None:
    """Transactions that the journal knows may wait in pools; one more halts."""
    history = History()
    history.market()
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(pending_nonce=1)
    assert history.engine.intents.halted("main") is None
    history.read_signer(pending_nonce=2)
    assert "2 transactions of its key are mined or pending" in str(history.engine.intents.halted("main"))


@pytest.mark.fault(12)
def test_release() -> None:
    """The operator's release lifts a halt, and slots go on from the chain's count."""
    history = History()
    history.market()
    history.prepare(admitted(history.breach())[0], 0)
    history.read_signer(nonce=3)
    history.start()
    assert history.engine.intents.halted("main") is not None
    history.step(SignerReleased("main", CHAIN, 3))
    history.read_signer(nonce=3)
    book = history.engine.intents
    assert (book.halted("main"), book.next_nonce(CHAIN, "main")) == (None, 3)


@pytest.mark.fault(11)
def test_lost_slots_of_a_release() -> None:
    """A slot that the operator knows to be lost ends at finality, without another halt."""
    history = History()
    history.market()
    (intent,) = admitted(history.breach())
    history.prepare(intent, 0)
    history.read_signer(nonce=2)
    history.step(SignerReleased("main", CHAIN, 2))
    for _ in range(20):
        history.block()
    history.finalize(10)
    book = history.engine.intents
    assert (str(book.state(intent.intent_id)), book.halted("main")) == ("IntentState.SLOT_LOST", None)


def test_release_keeps_own_slots() -> None:
    """A release below our own slots leaves them, and an unused signer goes on from its nonce."""
    history = History()
    history.market()
    history.prepare(admitted(history.breach())[0], 0)
    history.step(SignerReleased("main", CHAIN, 0), SignerReleased("second", CHAIN, 4))
    book = history.engine.intents
    assert [book.next_nonce(CHAIN, name) for name in ("main", "second")] == [1, 4]
    assert book.gas.spent("main", 0) == Wei(0)
