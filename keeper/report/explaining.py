"""Why an account was, or was not, acted upon by a place in the journal: everything that was kept, put together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from keeper.core.codec import Record
from keeper.core.decisions import Decision, ProposalRefused
from keeper.core.errors import invariant
from keeper.core.facts import BlockApplied, BlocksBackfilled, BootstrapStarted, LogsRepaired
from keeper.core.ids import Address
from keeper.core.risk import RiskHealth
from keeper.core.venue import AccountMargin, Epoch, Health, Status
from keeper.engine.health import LAGS
from keeper.engine.step import Engine
from keeper.report.counterfactual import Trial, counterfactual
from keeper.report.governing import NOT_GOVERNED
from keeper.report.intents import liquidations, stories
from keeper.report.model import Counterfactual, Explanation, FactUsed, Gate, Refused
from keeper.report.pricing import is_stale
from keeper.report.trail import Event, Trail
from keeper.report.why_not import why_not


class Past(NamedTuple):
    """How the past is looked up.

    Attributes:
        record: Returns the record at a sequence.
        engine_before: Returns an engine that has stepped everything before a fact.
        new_engine: Opens an engine that has stepped nothing.
    """

    record: Callable[[int], Record]
    engine_before: Callable[[int], Engine]
    new_engine: Callable[[], Engine]


def is_known(engine: Engine, trail: Trail, venue: str) -> bool:
    """Tell whether a venue has, or ever had, anything of the account."""
    ledger = engine.ledgers[venue]
    touched = ledger.margin(trail.account).epoch != Epoch(0, 0)
    return venue in trail.venues or touched or ledger.owes(trail.account)


def explain(engine: Engine, trail: Trail, venue: str, past: Past) -> Explanation:
    """Explain an account at one venue.

    Args:
        engine: At the place.
        trail: Has taken every record up to the place.
        venue: The venue's name.
        past: Where records and earlier states come from.
    """
    events = [event for event in trail.events if event.venue == venue]
    margin = margin_held(engine, venue, trail.account)
    opinion = engine.risk.of(venue, trail.account)
    reasons = why_not(engine, margin, events)
    refusals = tuple(_refusals(events))
    return Explanation(
        venue=venue,
        account=trail.account,
        margin=margin,
        opinion=opinion,
        facts=tuple(_facts(engine, trail, margin, opinion, past)),
        why_not=reasons,
        counterfactual=_counterfactual(_in_question(reasons.gate, refusals), past),
        refusals=refusals,
        intents=stories(events),
        liquidations=liquidations(events),
        records=trail.entries(venue),
    )


def margin_held(engine: Engine, venue: str, account: Address) -> AccountMargin:
    """Return an account's margin as the engine holds it: unknown while doubted, or while the chain is silent."""
    held = engine.margins.get((venue, account))
    if held is not None:
        return held
    ledger = engine.ledgers[venue]
    margin = ledger.margin(account)
    tip = engine.chains[ledger.chain_id].tip
    if tip is None or not engine.is_stale(ledger.chain_id) or engine.sees(venue):
        return margin
    return msgspec.structs.replace(margin, health=Health(Status.UNKNOWN, LAGS), health_wad=None)


def _refusals(events: Sequence[Event]) -> Iterator[Refused]:
    for event in events:
        if isinstance(body := event.body, ProposalRefused):
            yield Refused(event.at, body.reason, body.detail, body.proposal, event.cause, event.clock_unix_ms)


def _in_question(gate: Gate, refusals: Sequence[Refused]) -> Refused | None:
    """Return the refusal that is in the way; where none is, the last one that was."""
    standing = [each for each in refusals if each.at == gate.since]
    return standing[-1] if standing else refusals[-1] if refusals else None


def _counterfactual(refused: Refused | None, past: Past) -> Counterfactual | None:
    if refused is None or refused.rule in NOT_GOVERNED:
        return None
    before = past.engine_before(refused.cause)
    fact = past.record(refused.cause).body
    invariant(not isinstance(fact, Decision), f"record {refused.cause}", "is the cause of a decision and no fact")
    if before.config is None or isinstance(fact, Decision):
        return None
    return counterfactual(Trial(before, past.new_engine, fact, refused.clock_unix_ms), before.config, refused)


def _facts(
    engine: Engine, trail: Trail, margin: AccountMargin, opinion: RiskHealth | None, past: Past
) -> Iterator[FactUsed]:
    """Yield the facts that the figures rest on: the head, the position's last change, and each price."""
    chain_id = engine.ledgers[margin.venue].chain_id
    places = trail.places.get(chain_id)
    if places is None or places.tip is None:
        return
    head, now_seconds = places.sequence_of(places.tip), None
    if head is not None:
        told = past.record(head)
        now_seconds = _timestamp(told.body)
        yield _used("head", None, told, places.tip, now_seconds)
    changed = margin.epoch.block_number
    position = places.sequence_of(changed) if changed else None
    if position is not None:
        yield _used("position", None, past.record(position), changed, now_seconds)
    tracks = {track.asset: track for track in engine.risk.tracks(margin.venue)}
    for component in opinion.components if opinion is not None else ():
        if component.sequence:
            used = _used("price", component.asset, past.record(component.sequence), None, now_seconds)
            stale = used.age_seconds is not None and is_stale(tracks[component.asset], used.age_seconds)
            yield msgspec.structs.replace(used, stale=stale)


def _used(role: str, asset: Address | None, record: Record, block: int | None, now_seconds: int | None) -> FactUsed:
    body = record.body
    source = body.source if isinstance(body, BlockApplied | BlocksBackfilled | LogsRepaired) else ""
    told_seconds = _timestamp(body)
    age = None if now_seconds is None or told_seconds is None else now_seconds - told_seconds
    return FactUsed(role, asset, record.sequence, type(body).__name__, block or _block_of(body), source, age)


def _timestamp(body: object) -> int | None:
    """Return the time of the block that a fact tells; in a range, a block's own time is not at hand."""
    return body.header.timestamp if isinstance(body, BlockApplied) else None


def _block_of(body: object) -> int | None:
    match body:
        case BlockApplied(header=header) | BootstrapStarted(header=header):
            return header.number
        case BlocksBackfilled(last=last):
            return last.number
    return None
