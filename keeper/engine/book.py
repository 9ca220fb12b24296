"""The intent book: every intent that has not ended, its attempts, its slot, and the invariants that keep money safe.

The book is a fold over facts and asserts in production (numbers as in the reliability notes):

* I2: one intent per slot. I3: slots are contiguous. Both in :mod:`keeper.engine.slots`.
* I4: at most one unmined intent per (venue, account), checked at admission. A reorg may bring an older one back; the
  venue's own health check need not refuse the second when prices fell on, so the lane cancels all but the youngest.
* I5: both fees of a replacement up by at least 12.5 %, and never above the ceiling that the intent's profit bears.
* I6: terminal states only at finality (except for what was never signed).
* I8: a mined or pending count ahead of every slot halts the signer.

Ended intents leave the book at once. The ids, states and slots of the newest :data:`ENDED_KEPT_MAX` stay known, for
facts that were under way and so that an id is not admitted twice. They are counted and not measured in blocks, because
finality may jump over thousands at once.
"""

from __future__ import annotations

from keeper.core.decisions import Intent, IntentAdvanced, IntentState, SignerHalted
from keeper.core.errors import InvariantBroken, invariant
from keeper.core.facts import (
    AttemptPrepared,
    AttemptSent,
    IntentDropped,
    PreflightSeen,
    ReceiptSeen,
    SignerRead,
    SignerReleased,
)
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.units import TokenAmount
from keeper.engine.book_state import BookState, Ended
from keeper.engine.breaker import Breakers, Revert
from keeper.engine.gas_budget import GasBooking, GasWindow
from keeper.engine.intents import (
    FINAL_EVENT,
    TERMINAL,
    Event,
    Failure,
    Inclusion,
    Outcome,
    Sent,
    Subject,
    TrackedIntent,
    check_replacement,
    subject_of,
)
from keeper.engine.slots import Slots
from keeper.engine.spend import SpendWindow
from keeper.engine.tries import TriesBySubject

ENDED_KEPT_MAX = 1024
RELEASE = "find out who signed it, then start once with --release-signer"

BookDecision = IntentAdvanced | SignerHalted


class IntentBook:
    """Intents by id, in order of admission."""

    def __init__(self) -> None:
        self._tracked: dict[Hash32, TrackedIntent] = {}
        self._ended: dict[Hash32, Ended] = {}
        self._slots: dict[tuple[int, str], Slots] = {}
        self._halted: dict[str, str] = {}
        self._by_tx: dict[Hash32, Hash32] = {}
        self.tries = TriesBySubject()
        self.spend = SpendWindow()
        self.breakers = Breakers()
        self.gas = GasWindow()

    def tracked(self, intent_id: Hash32) -> TrackedIntent | None:
        """Return an intent that has not ended."""
        return self._tracked.get(intent_id)

    def state(self, intent_id: Hash32) -> IntentState | None:
        """Return the state of an intent, ``None`` when it was never known or has been forgotten."""
        tracked = self._tracked.get(intent_id)
        if tracked is not None:
            return tracked.state
        ended = self._ended.get(intent_id)
        return ended.state if ended is not None else None

    def all_open(self) -> tuple[TrackedIntent, ...]:
        """Return every intent that has not ended, in order of admission."""
        return tuple(self._tracked.values())

    def open(self, chain_id: int, signer: str) -> tuple[TrackedIntent, ...]:
        """Return a lane's intents that have not ended: lowest nonce first, then the unsigned in order of admission."""
        of_lane = [
            tracked
            for tracked in self._tracked.values()
            if (tracked.intent.chain_id, tracked.intent.signer) == (chain_id, signer)
        ]
        signed = [tracked for tracked in of_lane if tracked.nonce is not None]
        unsigned = [tracked for tracked in of_lane if tracked.nonce is None]
        return (*sorted(signed, key=lambda tracked: tracked.nonce or 0), *unsigned)

    def unmined(self, chain_id: int, signer: str) -> tuple[TrackedIntent, ...]:
        """Return a lane's intents that still wait for a block, ordered as in :meth:`open`."""
        return tuple(tracked for tracked in self.open(chain_id, signer) if tracked.is_unmined)

    def unmined_about(self, subject: Subject) -> TrackedIntent | None:
        """Return the unmined intent about a subject, if there is one."""
        for tracked in self._tracked.values():
            if tracked.is_unmined and tracked.subject == subject:
                return tracked
        return None

    def unmined_subjects(self) -> frozenset[Subject]:
        """Return what the unmined intents are about."""
        return frozenset(tracked.subject for tracked in self._tracked.values() if tracked.is_unmined)

    def is_superseded(self, tracked: TrackedIntent) -> bool:
        """Tell whether a younger intent about the same subject is unmined too, as after a reorg of both."""
        same = [each for each in self._tracked.values() if each.is_unmined and each.subject == tracked.subject]
        return tracked in same[:-1]

    def next_nonce(self, chain_id: int, signer: str) -> int | None:
        """Return the nonce of the next slot; ``None`` before the first :class:`SignerRead`."""
        slots = self._slots.get((chain_id, signer))
        return slots.next_nonce if slots is not None else None

    def halted(self, signer: str) -> str | None:
        """Return why a signer may sign nothing more, ``None`` when it may."""
        return self._halted.get(signer)

    def reserved(self, chain_id: int, signer: str, token: Address, read_at_block: int) -> TokenAmount:
        """Return what intents may still take of a token: the unmined, and those mined after the balance was read."""
        spending = [one for one in self.open(chain_id, signer) if one.intent.spend.token == token]
        unread = [one for one in spending if one.inclusion is None or one.inclusion.block_number > read_at_block]
        return sum((one.intent.spend.amount for one in unread), TokenAmount(0))

    def admit(self, intent: Intent, elapsed_ms: int) -> None:
        """Take a new intent.

        Raises:
            InvariantBroken: its id is known, or another unmined intent concerns the same subject.
        """
        name = f"intent {to_hex(intent.intent_id)}"
        invariant(self.state(intent.intent_id) is None, name, "was admitted before")
        invariant(self.unmined_about(subject_of(intent)) is None, name, "concerns an account with an unmined intent")
        self._tracked[intent.intent_id] = TrackedIntent(intent)
        self.spend.charge(intent.intent_id, intent.spend_base, elapsed_ms)

    def prepare(self, fact: AttemptPrepared) -> list[IntentAdvanced]:
        """Take a signed attempt: the first claims the next slot, later ones stay in it with higher fees."""
        tracked = self._find(fact.intent_id, fact.nonce)
        if tracked is None:
            return []
        name = f"attempt {fact.attempt} of intent {to_hex(fact.intent_id)}"
        of_lane = (fact.chain_id, fact.signer) == (tracked.intent.chain_id, tracked.intent.signer)
        invariant(fact.tx_hash not in self._by_tx, name, "has the hash of another attempt")
        invariant(of_lane, name, "is signed for another chain or by another signer")
        within = fact.kind == "cancel" or fact.fee_wei_max <= tracked.intent.gas_price_wei_max
        invariant(within, name, f"pays more than the ceiling of {tracked.intent.gas_price_wei_max} wei")
        if tracked.newest is not None:
            check_replacement(tracked.newest, fact)
        advanced = self._advance(tracked, Event.SIGNED, f"attempt {fact.attempt} ({fact.kind}) at nonce {fact.nonce}")
        if tracked.newest is None:
            invariant(fact.attempt == 1, name, "is the first of its intent and must be number 1")
            self._lane_slots(fact.chain_id, fact.signer).claim(fact.nonce, fact.intent_id)
        tracked.sent.append(Sent(fact))
        self._by_tx[fact.tx_hash] = fact.intent_id
        return advanced

    def answer(self, fact: AttemptSent) -> list[IntentAdvanced]:
        """Take a provider's answer. Only the newest attempt's moves the intent; a refusal never does."""
        tracked = self._find(fact.intent_id)
        if tracked is None:
            return []
        sent = tracked.sent_as(fact.tx_hash)
        sent.answer = fact.answer
        event = {"accepted": Event.ACCEPTED, "unknown": Event.UNANSWERED}.get(fact.answer)
        if event is None or sent is not tracked.sent[-1]:
            return []
        return self._advance(tracked, event, f"{fact.provider}: {fact.message or fact.answer}")

    def preflight(self, fact: PreflightSeen) -> None:
        """Take a simulation's result."""
        tracked = self._find(fact.intent_id)
        if tracked is not None:
            tracked.preflight_revert = fact.revert.name if fact.revert is not None else None

    def drop(self, fact: IntentDropped) -> list[IntentAdvanced]:
        """Give up an intent that was never signed.

        Raises:
            InvariantBroken: it was signed, or has ended.
        """
        tracked = self._tracked.get(fact.intent_id)
        if tracked is None:
            raise _broken(fact.intent_id, "was dropped but is not open")
        return self._advance(tracked, Event.DROPPED, fact.reason)

    def effect(
        self, tx_hash: Hash32, block_number: int, block_hash: Hash32
    ) -> tuple[Hash32 | None, list[IntentAdvanced]]:
        """Take the venue's own event of what we do: returns the intent whose attempt it is, if it is ours."""
        tracked = self.sent_by(tx_hash)
        if tracked is None:
            return None, []
        inclusion = Inclusion(tx_hash, block_number, block_hash, Outcome.EFFECT)
        done = {"exit": "left", "protection": "protected"}.get(tracked.intent.kind, "liquidated")
        return tracked.intent.intent_id, self._advance(
            tracked, Event.INCLUDED, f"{done} in block {block_number}", inclusion
        )

    def sent_by(self, tx_hash: Hash32) -> TrackedIntent | None:
        """Return the open intent with an attempt of this hash."""
        return self._tracked[self._by_tx[tx_hash]] if tx_hash in self._by_tx else None

    def receipt(self, fact: ReceiptSeen, elapsed_ms: int) -> list[IntentAdvanced]:
        """Take a receipt of an attempt in a canonical block. A second story, about another attempt, is ignored."""
        tracked = self._find(fact.intent_id)
        if tracked is None:
            return []
        attempt = tracked.sent_as(fact.tx_hash).attempt
        held = tracked.inclusion
        if held is not None and held.tx_hash != fact.tx_hash:
            return []
        outcome = tracked.outcome_of(fact)
        inclusion = Inclusion(
            fact.tx_hash, fact.block_number, fact.block_hash, outcome, fact.gas_used, fact.gas_price_wei
        )
        cost = fact.gas_price_wei * fact.gas_used
        self.gas.book(GasBooking(elapsed_ms, tracked.intent.signer, fact.intent_id, cost))
        why = f": {fact.revert.name}" if fact.revert is not None else ""
        reason = f"{attempt.kind} in block {fact.block_number}, {outcome.value}{why}"
        return self._advance(tracked, Event.INCLUDED, reason, inclusion)

    def revert_block(self, chain_id: int, number: int) -> list[IntentAdvanced]:
        """Step back the intents that stood in an abandoned block."""
        advanced: list[IntentAdvanced] = []
        for tracked in self._of_chain(chain_id):
            if tracked.nonce_passed_at is not None and tracked.nonce_passed_at >= number:
                tracked.nonce_passed_at = None
            if tracked.inclusion is not None and tracked.inclusion.block_number >= number:
                self.gas.take_back(tracked.intent.intent_id)
                advanced += self._advance(tracked, Event.REORGED, f"block {number} was reverted")
        return advanced

    def revert_effects(self, chain_id: int, first: int) -> list[IntentAdvanced]:
        """Step back the intents whose effect was seen from block ``first`` on, in logs that may have been wrong."""
        seen = [tracked for tracked in self._of_chain(chain_id) if tracked.liquidated_since(first)]
        why = f"logs from block {first} on are repaired"
        return [step for tracked in seen for step in self._advance(tracked, Event.REORGED, why)]

    def finalize(self, chain_id: int, finalized_number: int, tip_number: int) -> list[BookDecision]:
        """End what stands in final blocks, and what lost its slot to a foreign transaction."""
        decisions: list[BookDecision] = []
        for tracked in self._of_chain(chain_id):
            if tracked.inclusion is not None and tracked.inclusion.block_number <= finalized_number:
                number = tracked.inclusion.block_number
                decisions += self._advance(tracked, FINAL_EVENT[tracked.inclusion.outcome], f"block {number} is final")
            elif tracked.has_lost_slot(finalized_number, tip_number):
                reason = f"nonce {tracked.nonce} was used by a transaction that is not ours"
                decisions += self._advance(tracked, Event.SLOT_TAKEN, reason)
                if (tracked.nonce or 0) >= self._lane_slots(chain_id, tracked.intent.signer).released:
                    decisions += self._halt(tracked.intent.signer, reason)
        return decisions

    def read_signer(self, fact: SignerRead) -> list[SignerHalted]:
        """Compare the chain's mined count with the slots."""
        ahead = self._lane_slots(fact.chain_id, fact.signer).read(fact.nonce, fact.pending_nonce)
        for tracked in self.unmined(fact.chain_id, fact.signer):
            if tracked.nonce is None or tracked.nonce >= fact.nonce:
                tracked.nonce_passed_at = None
            elif tracked.nonce_passed_at is None:
                tracked.nonce_passed_at = fact.block_number
        return [] if ahead is None else self._halt(fact.signer, f"foreign transaction or lost journal: {ahead}")

    def release(self, fact: SignerReleased) -> None:
        """Lift a halt: slots go on from the chain's count. What is below it and unmined ends as lost, at finality."""
        self._halted.pop(fact.signer, None)
        self._lane_slots(fact.chain_id, fact.signer).release(fact.nonce)

    def pass_over(self, chain_id: int, signer: str, nonce: int) -> None:
        """Count a slot as spent by an attempt that this book is not told of."""
        self._lane_slots(chain_id, signer).pass_over(nonce)

    def restart(self) -> list[IntentAdvanced]:
        """Begin a new run: what was never signed is given up and decided again at the new head.

        Passed nonces are observed again too, so that the lane looks for receipts before a slot counts as lost. A halt
        outlives the run while the signer has slots.
        """
        advanced: list[IntentAdvanced] = []
        for tracked in self.all_open():
            tracked.nonce_passed_at = None
            if tracked.state is IntentState.ADMITTED:
                advanced += self._advance(tracked, Event.DROPPED, "restarted")
        self.breakers.reset()
        for slots in self._slots.values():
            slots.restart()
        used = [slots.signer for slots in self._slots.values() if slots.highest is not None]
        self._halted = {signer: reason for signer, reason in self._halted.items() if signer in used}
        return advanced

    def dump(self) -> BookState:
        """Return the whole book; the tracked intents stay in order of admission, which is part of the state."""
        return BookState(
            tracked=list(self._tracked.values()),
            ended=list(self._ended.values()),
            slots=[self._slots[lane] for lane in sorted(self._slots)],
            halted=sorted(self._halted.items()),
            tries=self.tries.entries(),
            charges=self.spend.charges,
            breakers=self.breakers.entries(),
            gas=self.gas.bookings,
        )

    @classmethod
    def restored(cls, state: BookState) -> IntentBook:
        """Build a book from a dump."""
        book = cls()
        book._tracked = {tracked.intent.intent_id: tracked for tracked in state.tracked}
        book._ended = {ended.intent_id: ended for ended in state.ended}
        book._slots = {(slots.chain_id, slots.signer): slots for slots in state.slots}
        book._halted = dict(state.halted)
        book._by_tx = {
            sent.attempt.tx_hash: intent_id for intent_id, tracked in book._tracked.items() for sent in tracked.sent
        }
        book.tries = TriesBySubject(state.tries)
        book.spend = SpendWindow(state.charges)
        book.breakers = Breakers(state.breakers)
        book.gas = GasWindow(state.gas)
        return book

    def _find(self, intent_id: Hash32, nonce: int | None = None) -> TrackedIntent | None:
        """Return the open intent, or ``None`` when it has ended (then a nonce must be its own)."""
        tracked = self._tracked.get(intent_id)
        if tracked is not None:
            return tracked
        ended = self._ended.get(intent_id)
        if ended is None:
            raise _broken(intent_id, "is not known")
        if nonce is not None and nonce != ended.nonce:
            raise _broken(intent_id, f"has ended and cannot use nonce {nonce}")
        return None

    def _lane_slots(self, chain_id: int, signer: str) -> Slots:
        return self._slots.setdefault((chain_id, signer), Slots(chain_id, signer))

    def _of_chain(self, chain_id: int) -> list[TrackedIntent]:
        return [tracked for tracked in self._tracked.values() if tracked.intent.chain_id == chain_id]

    def _advance(
        self, tracked: TrackedIntent, event: Event, reason: str, inclusion: Inclusion | None = None
    ) -> list[IntentAdvanced]:
        before, had_effect = tracked.failure, _has_effect(tracked)
        advanced = tracked.advance(event, reason)
        if event in (Event.INCLUDED, Event.REORGED):
            tracked.inclusion = inclusion
        if _has_effect(tracked) and not had_effect:  # and not again when it is final: what failed since stands
            self.tries.forgive(tracked.subject)
        self._settle(tracked, before)
        return advanced

    def _settle(self, tracked: TrackedIntent, before: Failure | None) -> None:
        """Keep the retry budget, the spend window and the set of open intents in step with one intent."""
        after = tracked.failure
        self.tries.replace(tracked.subject, before, after)
        self._count_revert(tracked, before)
        if (before is None) is not (after is None):
            self.spend.release(tracked.intent.intent_id, released=after is not None)
        if tracked.state in TERMINAL:
            self._end(tracked)

    def _count_revert(self, tracked: TrackedIntent, before: Failure | None) -> None:
        """Keep the venue's breaker in step with one intent."""
        after, intent = tracked.failure, tracked.intent
        if after is Failure.REVERTED and before is not after and tracked.inclusion is not None:
            self.breakers.reverted(intent.venue, Revert(intent.intent_id, tracked.inclusion.block_number))
        elif before is Failure.REVERTED and after is not before:
            self.breakers.take_back(intent.venue, intent.intent_id)

    def _end(self, tracked: TrackedIntent) -> None:
        intent_id = tracked.intent.intent_id
        self._ended[intent_id] = Ended(intent_id, tracked.state, tracked.nonce)
        if len(self._ended) > ENDED_KEPT_MAX:
            del self._ended[next(iter(self._ended))]
        del self._tracked[intent_id]
        for sent in tracked.sent:
            del self._by_tx[sent.attempt.tx_hash]

    def _halt(self, signer: str, reason: str) -> list[SignerHalted]:
        if signer in self._halted:
            return []
        self._halted[signer] = f"{reason}; {RELEASE}"
        return [SignerHalted(signer, self._halted[signer])]


def _has_effect(tracked: TrackedIntent) -> bool:
    return tracked.inclusion is not None and tracked.inclusion.outcome is Outcome.EFFECT


def _broken(intent_id: Hash32, reason: str) -> InvariantBroken:
    return InvariantBroken(f"intent {to_hex(intent_id)}", reason, "this is a bug: keep the journal and report it")
