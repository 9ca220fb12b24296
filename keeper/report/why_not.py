"""Why nothing was done about an account by a place in the journal: what stood in the way first, and since when.

What stood in the way is read off the account's own records, in order. Where it stands at the end is said by the engine,
because a refusal that no longer stands, and a strategy that found no slice, leave no record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType

from keeper.core.decisions import (
    HealthChanged,
    IntentAdmitted,
    IntentAdvanced,
    IntentState,
    LiquidationObserved,
    ProposalRefused,
    Verdict,
)
from keeper.core.facts import ReceiptSeen
from keeper.core.ids import to_hex
from keeper.core.venue import AccountMargin, Status
from keeper.engine.recall import PASSED_OVER
from keeper.engine.step import Engine
from keeper.report.governing import signers_of
from keeper.report.model import Gate, Moment, WhyNot
from keeper.report.trail import Event

HEALTHY, UNKNOWN, LIQUIDATABLE, REFUSED = "healthy", "unknown", "liquidatable", "refused"
PENDING, MINED, DONE, REVERTED, ABANDONED = "pending", "mined", "done", "reverted", "abandoned"
OUTBID, LATE, BEHIND, NO_STRATEGY, NOT_PROPOSED = "outbid", "late", "behind", "no_strategy", "not_proposed"

_OF_STATE: Mapping[IntentState, str] = MappingProxyType(
    {
        IntentState.ADMITTED: PENDING,
        IntentState.PREPARED: PENDING,
        IntentState.BROADCAST: PENDING,
        IntentState.SEND_UNKNOWN: PENDING,
        IntentState.MINED: MINED,
        IntentState.FINAL_SUCCESS: DONE,
        IntentState.FINAL_REVERTED: REVERTED,
        IntentState.FINAL_CANCELLED: ABANDONED,
        IntentState.ABANDONED: ABANDONED,
        IntentState.SLOT_LOST: ABANDONED,
    }
)
_OF_VERDICT: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.OURS: DONE,
        Verdict.OUTBID: OUTBID,
        Verdict.DECIDED_LATE: LATE,
        Verdict.REFUSED: REFUSED,
        Verdict.UNTRACKED: "untracked",
        Verdict.HEALTH_WRONG: "health_wrong",
        Verdict.UNKNOWN: UNKNOWN,
    }
)


def why_not(engine: Engine, margin: AccountMargin, events: Sequence[Event]) -> WhyNot:
    """Say why nothing was done about an account by now, or what was.

    Args:
        engine: At the place.
        margin: The account's, as the engine holds it there.
        events: The account's at this venue.
    """
    gates = list(_gates(events))
    gate = _now(engine, margin, gates, events)
    earlier = [each for each in gates if each != gate]
    return WhyNot(gate, tuple(earlier))


def _gates(events: Iterable[Event]) -> Iterator[Gate]:
    """Yield what stood in the way, one after the other, as the records say it."""
    for event in events:
        gate = _gate(event)
        if gate is not None:
            yield gate


def _gate(event: Event) -> Gate | None:
    match event.body:
        case HealthChanged(margin=margin, previous=previous):
            return _of_health(margin, previous, event.at)
        case ProposalRefused(reason=rule, detail=detail):
            return Gate(REFUSED, rule, f"refused by {rule}: {detail}", event.at)
        case IntentAdmitted(intent=intent):
            return Gate(PENDING, None, f"intent {to_hex(intent.intent_id)} was admitted", event.at)
        case IntentAdvanced() | ReceiptSeen():
            return _of_step(event.body, event.at)
        case LiquidationObserved():
            return _of_liquidation(event.body, event.at)
    return None


def _of_health(margin: AccountMargin, previous: str, at: Moment) -> Gate:
    if margin.health.status is Status.LIQUIDATABLE:
        before = "its health was unknown" if previous == Status.UNKNOWN.value else "it was not liquidatable"
        return Gate(LIQUIDATABLE, None, f"{before} until block {at.block}", at)
    if margin.health.status is Status.UNKNOWN:
        return Gate(UNKNOWN, None, f"its health is unknown: {margin.health.reason}", at)
    return Gate(HEALTHY, None, f"it is not liquidatable again since block {at.block}", at)


def _of_step(step: IntentAdvanced | ReceiptSeen, at: Moment) -> Gate | None:
    """Return what a step of an intent is: none when it still waits for a block; a success is told by its step."""
    name = to_hex(step.intent_id)
    if isinstance(step, IntentAdvanced):
        gate, says = _OF_STATE[step.state], f"intent {name} is {step.state.value} ({step.reason})"
        return None if gate == PENDING else Gate(gate, None, says, at)
    why = "" if step.revert is None else f": {step.revert.name}"
    return (
        None
        if step.succeeded
        else Gate(REVERTED, None, f"intent {name} reverted in block {step.block_number}{why}", at)
    )


def _of_liquidation(seen: LiquidationObserved, at: Moment) -> Gate:
    name, by = _OF_VERDICT[seen.verdict], "we" if seen.intent_id is not None else "another"
    rule = seen.why if seen.verdict is Verdict.REFUSED else None
    why = f": {seen.verdict.value}, {seen.why}" if seen.why else ""
    if seen.verdict is Verdict.OUTBID:
        why = f" and outbid us: {seen.why}"
    return Gate(name, rule, f"{by} liquidated it in block {seen.block_number}{why}", at)


def _now(engine: Engine, margin: AccountMargin, gates: Sequence[Gate], events: Sequence[Event]) -> Gate:
    """Return what is in the way at the place."""
    taken = [event for event in events if isinstance(event.body, LiquidationObserved)]
    under_way = engine.intents.unmined_about((margin.venue, margin.account))
    over = bool(taken) and margin.health.status is not Status.LIQUIDATABLE
    if under_way is not None and not (over and taken[-1].at.sequence > _admitted_at(events)):
        says = f"intent {to_hex(under_way.intent.intent_id)} is {under_way.state.value}"
        return Gate(PENDING, None, says, _since(gates, PENDING))
    if margin.health.status is Status.LIQUIDATABLE:
        return _liquidatable(engine, margin, gates)
    if taken:
        return _after_liquidation(engine, margin, gates, taken[-1])
    if margin.health.status is Status.UNKNOWN:
        return Gate(UNKNOWN, None, f"its health is unknown: {margin.health.reason}", _since(gates, UNKNOWN))
    return Gate(HEALTHY, None, "it is not liquidatable", _since(gates, HEALTHY))


def _after_liquidation(engine: Engine, margin: AccountMargin, gates: Sequence[Gate], taken: Event) -> Gate:
    """Return what its last liquidation says; of one that was refused or passed over, what stood in the way before."""
    body = taken.body
    told = next(gate for gate in gates if gate.since == taken.at)
    if not isinstance(body, LiquidationObserved):
        return told
    if body.verdict is Verdict.REFUSED:
        before = [gate for gate in gates if gate.rule == body.why and gate.since != taken.at]
        return before[-1] if before else told
    if body.why == PASSED_OVER:
        fell = [gate.since for gate in gates if gate.name == LIQUIDATABLE and gate.since is not None]
        return _passed_over(engine, margin, fell[-1] if fell else None)
    return told


def _liquidatable(engine: Engine, margin: AccountMargin, gates: Sequence[Gate]) -> Gate:
    """Return why no intent is under way about an account that is liquidatable."""
    since = _since(gates, LIQUIDATABLE)
    rule = engine.refused(margin.venue, margin.account)
    if rule is not None:
        standing = [gate for gate in gates if (gate.name, gate.rule) == (REFUSED, rule)]
        return standing[-1] if standing else Gate(REFUSED, rule, f"refused by {rule}", since)
    chain = engine.chains[engine.ledgers[margin.venue].chain_id]
    if chain.behind_blocks or (margin.venue, margin.account) not in engine.margins:
        says = f"the journal is {chain.behind_blocks} blocks behind the head there, and decides only at the head"
        return Gate(BEHIND, None, says, since)
    vain = [gate for gate in gates if gate.name in (REVERTED, ABANDONED) and _is_later(gate.since, since)]
    if vain:
        return vain[-1]
    return _passed_over(engine, margin, since)


def _passed_over(engine: Engine, margin: AccountMargin, since: Moment | None) -> Gate:
    """Return why no slice was proposed."""
    config, chain_id = engine.config, engine.ledgers[margin.venue].chain_id
    signers = () if config is None else signers_of(config, margin.venue)
    if not signers:
        return Gate(NO_STRATEGY, None, f"no strategy covers {margin.venue}", since)
    unread = [name for name, _ in signers if (chain_id, name) not in engine.wallets]
    if unread:
        says = f"no slice was proposed: what {', '.join(unread)} holds was never read"
        return Gate(NOT_PROPOSED, None, says, since)
    says = f"no slice was proposed: none is possible with what {', '.join(name for name, _ in signers)} may spend"
    return Gate(NOT_PROPOSED, None, says, since)


def _admitted_at(events: Sequence[Event]) -> int:
    """Return the place of the last admission."""
    return max((event.at.sequence for event in events if isinstance(event.body, IntentAdmitted)), default=0)


def _since(gates: Sequence[Gate], name: str) -> Moment | None:
    return next((gate.since for gate in reversed(gates) if gate.name == name), None)


def _is_later(moment: Moment | None, since: Moment | None) -> bool:
    return moment is not None and (since is None or moment.sequence >= since.sequence)
