"""The life cycle of an intent: one table, and nothing may change an intent's state elsewhere.

An *intent* is an admitted wish to change the chain once. It may need several *attempts* (signed transactions), all in
one nonce *slot*, so at most one of them can ever be mined. What makes this safe is that every state is derived from
facts that are durable, never from what a send call returned:

* ``PREPARED``: the newest attempt is durable and may or may not have left the process.
* ``BROADCAST`` / ``SEND_UNKNOWN``: what a provider said of the newest attempt. Neither is an outcome.
* ``MINED``: an attempt is in a canonical block. A reorg takes it back to ``BROADCAST``: the same bytes are sent again.
* Everything final is final because its block is, and success is the effect seen in the venue's own event.

A lane works ahead of the fold: while it signs a replacement, the block that holds the first attempt may already wait
in the queue. So facts about attempts may reach an intent that is mined or ended; they change nothing, because they
concern its own slot, which is spent (:class:`keeper.engine.book.IntentBook` checks that). Any other event that the
table does not name is our own bug and stops the process.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Literal

import msgspec

from keeper.core.decisions import Intent, IntentAdvanced, IntentState
from keeper.core.errors import invariant
from keeper.core.facts import AttemptPrepared, ReceiptSeen
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.units import Wei


class Event(Enum):
    """What may happen to an intent, derived from facts."""

    SIGNED = "attempt prepared"
    ACCEPTED = "provider accepted"
    UNANSWERED = "no clear answer"
    INCLUDED = "in a canonical block"
    REORGED = "block reverted"
    DROPPED = "dropped unsigned"
    FINAL_EFFECT = "final, effect seen"
    FINAL_NO_EFFECT = "final, reverted"
    FINAL_CANCEL = "final, cancel mined"
    SLOT_TAKEN = "final, nonce taken"


_S = IntentState

TRANSITIONS: Mapping[tuple[IntentState, Event], IntentState] = MappingProxyType(
    {
        (_S.ADMITTED, Event.SIGNED): _S.PREPARED,
        (_S.ADMITTED, Event.DROPPED): _S.ABANDONED,
        (_S.PREPARED, Event.SIGNED): _S.PREPARED,
        (_S.PREPARED, Event.ACCEPTED): _S.BROADCAST,
        (_S.PREPARED, Event.UNANSWERED): _S.SEND_UNKNOWN,
        (_S.PREPARED, Event.INCLUDED): _S.MINED,
        (_S.PREPARED, Event.SLOT_TAKEN): _S.SLOT_LOST,
        (_S.BROADCAST, Event.SIGNED): _S.PREPARED,
        (_S.BROADCAST, Event.ACCEPTED): _S.BROADCAST,
        (_S.BROADCAST, Event.UNANSWERED): _S.SEND_UNKNOWN,
        (_S.BROADCAST, Event.INCLUDED): _S.MINED,
        (_S.BROADCAST, Event.SLOT_TAKEN): _S.SLOT_LOST,
        (_S.SEND_UNKNOWN, Event.SIGNED): _S.PREPARED,
        (_S.SEND_UNKNOWN, Event.ACCEPTED): _S.BROADCAST,
        (_S.SEND_UNKNOWN, Event.UNANSWERED): _S.SEND_UNKNOWN,
        (_S.SEND_UNKNOWN, Event.INCLUDED): _S.MINED,
        (_S.SEND_UNKNOWN, Event.SLOT_TAKEN): _S.SLOT_LOST,
        (_S.MINED, Event.SIGNED): _S.MINED,
        (_S.MINED, Event.ACCEPTED): _S.MINED,
        (_S.MINED, Event.UNANSWERED): _S.MINED,
        (_S.MINED, Event.INCLUDED): _S.MINED,
        (_S.MINED, Event.REORGED): _S.BROADCAST,
        (_S.MINED, Event.FINAL_EFFECT): _S.FINAL_SUCCESS,
        (_S.MINED, Event.FINAL_NO_EFFECT): _S.FINAL_REVERTED,
        (_S.MINED, Event.FINAL_CANCEL): _S.FINAL_CANCELLED,
    }
)

TERMINAL = (_S.FINAL_SUCCESS, _S.FINAL_REVERTED, _S.FINAL_CANCELLED, _S.ABANDONED, _S.SLOT_LOST)
"""The states that nothing leaves."""

WITHOUT_EFFECT = tuple(state for state in TERMINAL if state is not _S.FINAL_SUCCESS)
"""The ends of an intent that changed nothing."""

UNMINED = (_S.ADMITTED, _S.PREPARED, _S.BROADCAST, _S.SEND_UNKNOWN)
"""The states in which an intent still waits for a block."""

RECEIPT_GRACE_BLOCKS = 16
"""How long after a passed nonce the lane may look for a receipt before the slot counts as lost."""

Subject = tuple[str, Address]
"""What at most one unmined intent may concern: (venue, account), or (venue, token) for an allowance."""


class Outcome(Enum):
    """What a mined attempt did."""

    EFFECT = "effect"
    NO_EFFECT = "no_effect"
    CANCEL = "cancel"


FINAL_EVENT: Mapping[Outcome, Event] = MappingProxyType(
    {
        Outcome.EFFECT: Event.FINAL_EFFECT,
        Outcome.NO_EFFECT: Event.FINAL_NO_EFFECT,
        Outcome.CANCEL: Event.FINAL_CANCEL,
    }
)


class Failure(Enum):
    """Why an intent had no effect; the retry budget counts the first two."""

    REVERTED = "reverted"
    PREFLIGHT = "preflight"
    OTHER = "other"


_FAILURE_OF_OUTCOME: Mapping[Outcome, Failure | None] = MappingProxyType(
    {Outcome.EFFECT: None, Outcome.NO_EFFECT: Failure.REVERTED, Outcome.CANCEL: Failure.OTHER}
)


class Inclusion(msgspec.Struct, frozen=True):
    """The block that holds one of the attempts. Gas is ``None`` until the receipt was seen."""

    tx_hash: Hash32
    block_number: int
    block_hash: Hash32
    outcome: Outcome
    gas_used: int | None = None
    gas_price_wei: Wei | None = None


class Sent(msgspec.Struct):
    """An attempt and the newest answer to it (see :class:`keeper.core.facts.AttemptSent`), ``None`` before any."""

    attempt: AttemptPrepared
    answer: (
        Literal[
            "accepted",
            "unknown",
            "underpriced",
            "nonce_too_low",
            "nonce_too_high",
            "insufficient_funds",
            "fee_cap_exceeded",
        ]
        | None
    ) = None


class TrackedIntent(msgspec.Struct):
    """An intent that has not ended, and everything the facts said about it.

    ``nonce_passed_at`` is the block at which the signer's mined count was first seen above the slot.
    ``preflight_revert`` is why the newest simulation would revert, ``None`` when it would not.
    """

    intent: Intent
    state: IntentState = IntentState.ADMITTED
    sent: list[Sent] = []
    inclusion: Inclusion | None = None
    preflight_revert: str | None = None
    nonce_passed_at: int | None = None

    @property
    def nonce(self) -> int | None:
        """The slot, ``None`` before the first attempt."""
        return self.sent[0].attempt.nonce if self.sent else None

    @property
    def newest(self) -> AttemptPrepared | None:
        """The newest attempt: the one to send again."""
        return self.sent[-1].attempt if self.sent else None

    @property
    def is_unmined(self) -> bool:
        """Whether it still waits for a block."""
        return self.state in UNMINED

    @property
    def failure(self) -> Failure | None:
        """Why it ended, or stands in a block, without effect; ``None`` when it does not."""
        if self.inclusion is not None:
            return _FAILURE_OF_OUTCOME[self.inclusion.outcome]
        if self.state is IntentState.ABANDONED and self.preflight_revert is not None:
            return Failure.PREFLIGHT
        return Failure.OTHER if self.state in (IntentState.ABANDONED, IntentState.SLOT_LOST) else None

    @property
    def subject(self) -> Subject:
        """What it concerns (see :data:`Subject`)."""
        return subject_of(self.intent)

    def liquidated_since(self, block_number: int) -> bool:
        """Tell whether the venue's own event of it stands in this block or a later one."""
        held = self.inclusion
        if held is None or held.outcome is not Outcome.EFFECT or held.block_number < block_number:
            return False
        return self.intent.kind != "approval"

    def sent_as(self, tx_hash: Hash32) -> Sent:
        """Return the attempt with a hash.

        Raises:
            InvariantBroken: there is none.
        """
        found = [sent for sent in self.sent if sent.attempt.tx_hash == tx_hash]
        invariant(found, f"intent {to_hex(self.intent.intent_id)}", f"has no attempt {to_hex(tx_hash)}")
        return found[0]

    def outcome_of(self, receipt: ReceiptSeen) -> Outcome:
        """Tell what a mined attempt did. But for an allowance the effect is the venue's event, which came before."""
        if self.sent_as(receipt.tx_hash).attempt.kind == "cancel":
            return Outcome.CANCEL
        if self.intent.kind == "approval" and receipt.succeeded:
            return Outcome.EFFECT
        return self.inclusion.outcome if self.inclusion is not None else Outcome.NO_EFFECT

    def has_lost_slot(self, finalized_number: int, tip_number: int) -> bool:
        """Tell whether its nonce is spent, finally, and the lane had its time to find a receipt."""
        passed_at = self.nonce_passed_at
        if passed_at is None or not self.is_unmined:
            return False
        return passed_at <= finalized_number and tip_number >= passed_at + RECEIPT_GRACE_BLOCKS

    def advance(self, event: Event, reason: str) -> list[IntentAdvanced]:
        """Move along the table.

        Returns:
            The decision that says so, or none when the state stays.

        Raises:
            InvariantBroken: the table does not allow ``event`` here.
        """
        previous = self.state
        state = TRANSITIONS.get((previous, event))
        name = f"intent {to_hex(self.intent.intent_id)}"
        invariant(state is not None, name, f"is {previous.value} and cannot take '{event.value}' ({reason})")
        self.state = state or previous
        if self.state is previous:
            return []
        return [IntentAdvanced(self.intent.intent_id, previous, self.state, reason)]


def subject_of(intent: Intent) -> Subject:
    """Return what an intent concerns."""
    return (intent.venue, intent.to if intent.kind == "approval" else intent.account)


def check_replacement(newest: AttemptPrepared, replacement: AttemptPrepared) -> None:
    """Check that an attempt may replace another in its slot: both fees up by at least 12.5 % and by at least one wei.

    Nodes refuse less than 10 %; the margin is for those that round.

    Raises:
        InvariantBroken: another slot, a wrong number, or fees too low.
    """
    name = f"attempt {replacement.attempt} of intent {to_hex(replacement.intent_id)}"
    slots = [(fact.chain_id, fact.signer, fact.nonce) for fact in (newest, replacement)]
    invariant(slots[0] == slots[1], name, f"left its slot at nonce {newest.nonce}")
    invariant(replacement.attempt == newest.attempt + 1, name, f"does not follow attempt {newest.attempt}")
    invariant(_bumped(newest.fee_wei_max, replacement.fee_wei_max), name, "has a fee bumped by less than 12.5 %")
    priority = _bumped(newest.priority_fee_wei_max, replacement.priority_fee_wei_max)
    invariant(priority, name, "has a priority fee bumped by less than 12.5 %")


def _bumped(old: Wei, new: Wei) -> bool:
    return new > old and 8 * int(new) >= 9 * int(old)
