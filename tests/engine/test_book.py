"""The intent book under random facts, legal and not: its invariants hold, or the process stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from keeper.core.codec import decoder, encoder
from keeper.core.decisions import Intent, IntentState
from keeper.core.errors import InvariantBroken
from keeper.core.facts import (
    AttemptPrepared,
    AttemptSent,
    IntentDropped,
    PreflightSeen,
    ReceiptSeen,
    RevertReason,
    SignerRead,
)
from keeper.core.ids import Address, Hash32, content_id
from keeper.core.units import TokenAmount, Wei
from keeper.engine.book import ENDED_KEPT_MAX, IntentBook
from keeper.engine.book_state import BookState
from keeper.engine.intents import UNMINED
from tests.engine.history import CHAIN
from tests.engine.test_intents import INTENT

ACCOUNTS = [Address(bytes([number]) * 20) for number in range(3)]
BASE_FEE = 1000


def intent(number: int, account: Address) -> Intent:
    """Return an intent about an account."""
    return msgspec.structs.replace(
        INTENT, intent_id=content_id("intent", number), account=account, chain_id=CHAIN, gas_price_wei_max=Wei(10**6)
    )


class BookMachine(RuleBasedStateMachine):
    """Random facts. A refusal stops the process in the middle of a change, so each fact is tried on a copy first."""

    def __init__(self) -> None:
        super().__init__()
        self.book = IntentBook()
        self.journal: list[Callable[[IntentBook], object]] = []
        self.ids: list[Hash32] = []
        self.attempts: list[AttemptPrepared] = []
        self.slots: dict[int, Hash32] = {}
        self.tip = 1
        self.finalized = 0
        self._feed(lambda book: book.read_signer(_read(0, 1)))

    def _feed(self, fact: Callable[[IntentBook], object]) -> bool:
        """Feed a fact; ``False`` when it is illegal and therefore not part of this history."""
        trial = IntentBook.restored(_copied(self.book))
        try:
            fact(trial)
        except InvariantBroken:
            return False
        fact(self.book)
        self.journal.append(fact)
        assert encoder().encode(trial.dump()) == encoder().encode(self.book.dump())
        return True

    @rule(account=st.sampled_from(ACCOUNTS))
    def admit(self, account: Address) -> None:
        """Admit an intent, allowed or not."""
        new = intent(len(self.ids), account)
        busy = self.book.unmined_about((new.venue, account)) is not None
        assert self._feed(lambda book: book.admit(new, 0)) is not busy
        if not busy:
            self.ids.append(new.intent_id)

    @rule(data=st.data(), bump=st.sampled_from([1000, 1124, 1125, 1300]), off=st.sampled_from([0, 0, 0, 1, -1]))
    def prepare(self, data: st.DataObject, bump: int, off: int) -> None:
        """Sign an attempt, in its slot or another, with enough fees or not."""
        if not self.ids:
            return
        intent_id = data.draw(st.sampled_from(self.ids))
        tracked = self.book.tracked(intent_id)
        newest = tracked.newest if tracked is not None else None
        kind: Literal["call", "cancel"] = "call" if newest is None else data.draw(st.sampled_from(["call", "cancel"]))
        fact = self._attempt(intent_id, newest, kind, bump, off)
        if self._feed(lambda book: book.prepare(fact)) and tracked is not None:
            self.attempts.append(fact)
            self.slots.setdefault(fact.nonce, intent_id)
            assert self.slots[fact.nonce] == intent_id
            assert newest is None or 8 * int(fact.fee_wei_max) >= 9 * int(newest.fee_wei_max)

    def _attempt(
        self, intent_id: Hash32, newest: AttemptPrepared | None, kind: Literal["call", "cancel"], bump: int, off: int
    ) -> AttemptPrepared:
        nonce = newest.nonce if newest is not None else self.book.next_nonce(CHAIN, "main") or 0
        number = newest.attempt + 1 if newest is not None else 1
        fee = Wei(-(-int(newest.fee_wei_max) * bump // 1000)) if newest is not None else Wei(BASE_FEE)
        tx_hash = content_id("tx", intent_id, number, len(self.attempts))
        return AttemptPrepared(intent_id, CHAIN, "main", nonce + off, number, kind, tx_hash, b"", 1, fee, fee, self.tip)

    @rule(data=st.data(), answer=st.sampled_from(["accepted", "unknown", "underpriced", "nonce_too_low"]))
    def answer(self, data: st.DataObject, answer: Literal["accepted", "unknown", "underpriced"]) -> None:
        """A provider answers about any attempt, at any time."""
        if self.attempts:
            attempt = data.draw(st.sampled_from(self.attempts))
            assert self._feed(
                lambda book: book.answer(AttemptSent(attempt.intent_id, attempt.tx_hash, "node", answer, ""))
            )

    @rule(data=st.data(), succeeded=st.booleans())
    def receipt(self, data: st.DataObject, *, succeeded: bool) -> None:
        """A receipt of any attempt in the newest block."""
        if self.attempts:
            attempt = data.draw(st.sampled_from(self.attempts))
            seen = ReceiptSeen(
                attempt.intent_id, attempt.tx_hash, self.tip, content_id(self.tip), succeeded, 1, Wei(1), None
            )
            assert self._feed(lambda book: book.receipt(seen, 0))

    @rule(data=st.data())
    def effect(self, data: st.DataObject) -> None:
        """The venue's event for any attempt in the newest block."""
        if self.attempts:
            attempt = data.draw(st.sampled_from(self.attempts))
            tip = self.tip
            assert self._feed(lambda book: book.effect(attempt.tx_hash, tip, content_id(tip)))

    @rule(data=st.data(), fails=st.booleans())
    def drop(self, data: st.DataObject, *, fails: bool) -> None:
        """Drop any intent after a preflight; legal only before it was signed."""
        if not self.ids:
            return
        intent_id = data.draw(st.sampled_from(self.ids))
        legal = self.book.state(intent_id) is IntentState.ADMITTED
        revert = RevertReason("45", b"") if fails else None
        if legal:
            self._feed(lambda book: book.preflight(PreflightSeen(intent_id, 1, content_id(1), 0, revert)))
        assert self._feed(lambda book: book.drop(IntentDropped(intent_id, "test"))) is legal

    @rule()
    def block(self) -> None:
        """A new block."""
        self.tip += 1

    @rule()
    def revert(self) -> None:
        """The newest block is abandoned."""
        if self.tip > self.finalized + 1:
            tip = self.tip
            assert self._feed(lambda book: book.revert_block(CHAIN, tip))
            self.tip -= 1

    @rule(depth=st.integers(0, 3))
    def finalize(self, depth: int) -> None:
        """Finality moves close to the newest block."""
        self.finalized = max(self.finalized, self.tip - 1 - depth)
        finalized, tip = self.finalized, self.tip
        assert self._feed(lambda book: book.finalize(CHAIN, finalized, tip))

    @rule(nonce=st.integers(0, 6))
    def read_signer(self, nonce: int) -> None:
        """The chain reports any mined count."""
        tip = self.tip
        assert self._feed(lambda book: book.read_signer(_read(nonce, tip)))
        expected = self.book.next_nonce(CHAIN, "main")
        assert expected is None or nonce <= expected or self.book.halted("main") is not None

    @rule()
    def restart(self) -> None:
        """A new run begins."""
        assert self._feed(lambda book: book.restart())
        assert all(tracked.state is not IntentState.ADMITTED for tracked in self.book.all_open())

    @invariant()
    def one_intent_per_slot(self) -> None:
        """I2, I3: every slot has one owner, and the slots are contiguous."""
        assert sorted(self.slots) == list(range(min(self.slots, default=0), max(self.slots, default=-1) + 1))
        open_slots = [tracked.nonce for tracked in self.book.open(CHAIN, "main") if tracked.nonce is not None]
        assert open_slots == sorted(dict.fromkeys(open_slots))

    @invariant()
    def unmined_has_no_block(self) -> None:
        """An intent stands in a block exactly when it is mined."""
        for tracked in self.book.all_open():
            assert (tracked.inclusion is None) is (tracked.state in UNMINED)

    @invariant()
    def charges_are_of_what_may_still_spend(self) -> None:
        """An intent is charged exactly while it has not failed."""
        charged = {charge.intent_id: not charge.released for charge in self.book.spend.charges}
        for tracked in self.book.all_open():
            assert charged[tracked.intent.intent_id] is (tracked.failure is None)

    def teardown(self) -> None:
        """The same facts give the same bytes."""
        again = IntentBook()
        for fact in self.journal:
            fact(again)
        assert encoder().encode(again.dump()) == encoder().encode(self.book.dump())


TestBookMachine = pytest.mark.slow(BookMachine.TestCase)
TestBookMachine.settings = settings(max_examples=60, stateful_step_count=40)


def _read(nonce: int, block_number: int) -> SignerRead:
    return SignerRead(CHAIN, "main", block_number, content_id(block_number), Wei(1), nonce, ())


def _copied(book: IntentBook) -> BookState:
    state: BookState = decoder(BookState).decode(encoder().encode(book.dump()))
    return state


def signed(number: int) -> tuple[IntentBook, AttemptPrepared]:
    """Return a book with one signed intent."""
    book = IntentBook()
    book.read_signer(_read(7, 1))
    book.admit(intent(number, ACCOUNTS[0]), 0)
    fact = AttemptPrepared(
        content_id("intent", number), CHAIN, "main", 7, 1, "call", content_id("tx"), b"", 1, Wei(8), Wei(8), 1
    )
    book.prepare(fact)
    return book, fact


def test_first_slot_is_the_chains_count() -> None:
    """Without any slot the next one is the mined count first read."""
    book, _ = signed(1)
    assert book.next_nonce(CHAIN, "main") == 8


def test_unread_signer_has_no_slot() -> None:
    """Before the chain's count is known nothing can be signed."""
    book = IntentBook()
    book.admit(intent(1, ACCOUNTS[0]), 0)
    with pytest.raises(InvariantBroken, match="is not the next slot"):
        book.prepare(msgspec.structs.replace(signed(1)[1], nonce=0))


def test_reservation() -> None:
    """A token is reserved until the balance that was read includes the block that took it."""
    book, fact = signed(1)
    token = INTENT.spend.token
    book.effect(fact.tx_hash, 5, content_id(5))
    assert [book.reserved(CHAIN, "main", token, at) for at in (4, 5)] == [TokenAmount(5), TokenAmount(0)]


def test_ended_intents_are_forgotten() -> None:
    """A bounded number of ended intents is known, the newest."""
    book, fact = signed(1)
    book.effect(fact.tx_hash, 5, content_id(5))
    book.finalize(CHAIN, 5, 5)
    states = []
    for count in (ENDED_KEPT_MAX - 1, 1):
        for number in range(count):
            dropped = msgspec.structs.replace(INTENT, intent_id=content_id("dropped", count, number))
            book.admit(dropped, 0)
            book.drop(IntentDropped(dropped.intent_id, "test"))
        states.append(book.state(fact.intent_id))
    assert states == [IntentState.FINAL_SUCCESS, None]


def test_second_story_is_ignored() -> None:
    """A receipt for another attempt of a mined intent changes nothing: one slot holds one transaction."""
    book, fact = signed(1)
    second = msgspec.structs.replace(
        fact, attempt=2, tx_hash=content_id("tx 2"), fee_wei_max=Wei(9), priority_fee_wei_max=Wei(9)
    )
    book.prepare(second)
    book.effect(fact.tx_hash, 5, content_id(5))
    book.receipt(ReceiptSeen(fact.intent_id, second.tx_hash, 5, content_id(5), False, 1, Wei(1), None), 0)
    tracked = book.tracked(fact.intent_id)
    assert tracked is not None
    assert tracked.inclusion is not None
    assert tracked.inclusion.tx_hash == fact.tx_hash


def test_approval_that_succeeds_clears_its_failures() -> None:
    """An allowance that was tried in vain and then succeeds starts again at zero."""
    approval = msgspec.structs.replace(intent(1, ACCOUNTS[0]), kind="approval")
    book = IntentBook()
    book.read_signer(_read(7, 1))
    failed = msgspec.structs.replace(approval, intent_id=content_id("failed"))
    book.admit(failed, 0)
    book.drop(IntentDropped(failed.intent_id, "test"))
    book.admit(approval, 0)
    fact = signed(1)[1]
    book.prepare(fact)
    subject = (approval.venue, approval.to)
    before = book.tries.of(subject).total
    book.receipt(ReceiptSeen(fact.intent_id, fact.tx_hash, 5, content_id(5), True, 1, Wei(1), None), 0)
    assert (before, book.tries.of(subject).total) == (1, 0)


def test_old_success_forgives_no_later_failure() -> None:
    """A success counts when it is in a block: once it is final, what failed after it is still counted."""
    book, fact = signed(1)
    book.effect(fact.tx_hash, 5, content_id(5))
    failed = intent(2, ACCOUNTS[0])
    book.admit(failed, 0)
    book.drop(IntentDropped(failed.intent_id, "test"))
    book.finalize(CHAIN, 5, 9)

    assert book.tries.of((failed.venue, failed.account)).total == 1
