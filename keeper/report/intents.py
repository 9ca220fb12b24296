"""The stories of intents: from admission through attempts and receipts to their end, with what each stage took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from keeper.core.decisions import IntentAdmitted, IntentAdvanced, IntentState, LiquidationObserved
from keeper.core.facts import AttemptPrepared, AttemptSent, PreflightSeen, ReceiptSeen
from keeper.core.ids import Hash32
from keeper.engine.intents import TERMINAL
from keeper.report.model import (
    Answer,
    Attempt,
    Included,
    IntentStory,
    Liquidated,
    Moment,
    Move,
    Preflight,
    Stage,
)
from keeper.report.trail import Event


def stories(events: Sequence[Event]) -> tuple[IntentStory, ...]:
    """Return the intents that were admitted, in order of admission."""
    return tuple(_story(event, event.body, events) for event in events if isinstance(event.body, IntentAdmitted))


def liquidations(events: Iterable[Event]) -> tuple[Liquidated, ...]:
    """Return the liquidations that were seen, in order."""
    return tuple(
        Liquidated(event.at, body.verdict, body.why, body.intent_id, body.liquidation)
        for event in events
        if isinstance(body := event.body, LiquidationObserved)
    )


def _story(admission: Event, admitted: IntentAdmitted, events: Sequence[Event]) -> IntentStory:
    intent_id = admitted.intent.intent_id
    own = [event for event in events if getattr(event.body, "intent_id", None) == intent_id]
    moves = tuple(_moves(own))
    effects = [each for each in liquidations(own) if each.intent_id == intent_id]
    return IntentStory(
        at=admission.at,
        intent=admitted.intent,
        proposal=admitted.proposal,
        state=moves[-1].state if moves else IntentState.ADMITTED.value,
        preflights=tuple(
            Preflight(event.at, fact.block_number, fact.gas, fact.revert)
            for event in own
            if isinstance(fact := event.body, PreflightSeen)
        ),
        attempts=tuple(_attempt(event.at, event.body, own) for event in own if isinstance(event.body, AttemptPrepared)),
        moves=moves,
        effect=effects[-1] if effects else None,
        stages=tuple(_stages(admission, own)),
    )


def _moves(own: Iterable[Event]) -> Iterator[Move]:
    for event in own:
        if isinstance(body := event.body, IntentAdvanced):
            yield Move(event.at, body.previous.value, body.state.value, body.reason)


def _attempt(at: Moment, fact: AttemptPrepared, own: Sequence[Event]) -> Attempt:
    return Attempt(
        at=at,
        number=fact.attempt,
        kind=fact.kind,
        tx_hash=fact.tx_hash,
        nonce=fact.nonce,
        gas_limit=fact.gas_limit,
        fee_wei_max=fact.fee_wei_max,
        priority_fee_wei_max=fact.priority_fee_wei_max,
        answers=tuple(_answers(fact.tx_hash, own)),
        receipts=tuple(_receipts(fact.tx_hash, own)),
    )


def _answers(tx_hash: Hash32, own: Iterable[Event]) -> Iterator[Answer]:
    for event in own:
        if isinstance(body := event.body, AttemptSent) and body.tx_hash == tx_hash:
            yield Answer(event.at, body.provider, body.answer, body.message)


def _receipts(tx_hash: Hash32, own: Iterable[Event]) -> Iterator[Included]:
    for event in own:
        if isinstance(body := event.body, ReceiptSeen) and body.tx_hash == tx_hash:
            yield Included(event.at, body.block_number, body.succeeded, body.gas_used, body.gas_price_wei, body.revert)


def _stages(admission: Event, own: Sequence[Event]) -> Iterator[Stage]:
    """Yield what each stage took since the one before, by the times at which records were made.

    Times and stages are those of the metric ``keeper_slice_seconds``: the first send counts, the first inclusion ends
    its stage, and the last one before the end begins the stage ``final``.
    """
    block = admission.at.block
    yield Stage("decided", 0 if block is not None else None, max(0, admission.at.unix_ms - admission.seen_unix_ms))
    before = admission.at
    sent = next((event.at for event in own if isinstance(event.body, AttemptSent)), None)
    if sent is not None:
        yield _stage("sent", before, sent)
        before = sent
    included = [event.at for event in own if _reaches(event, (IntentState.MINED,))]
    if included:
        yield _stage("included", before, included[0])
        ended = next((event.at for event in own if _reaches(event, TERMINAL)), None)
        if ended is not None:
            yield _stage("final", included[-1], ended)


def _reaches(event: Event, states: Iterable[IntentState]) -> bool:
    return isinstance(event.body, IntentAdvanced) and event.body.state in states


def _stage(name: str, since: Moment, until: Moment) -> Stage:
    """Return a stage. The clock of a machine may step back between two records; a stage never took less than none."""
    blocks = None if since.block is None or until.block is None else until.block - since.block
    return Stage(name, blocks, max(0, until.unix_ms - since.unix_ms))
