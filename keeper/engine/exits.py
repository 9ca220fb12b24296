"""When a position was left, or an own account protected: the venue's own event says that it changed."""

from __future__ import annotations

from keeper.core.decisions import AnyDecision
from keeper.engine.recall import Block
from keeper.engine.state import EngineState


def exited(state: EngineState, block: Block) -> list[AnyDecision]:
    """Advance the exits and protections whose effect stands in a block, which every venue has folded."""
    decisions: list[AnyDecision] = []
    for log in block.logs:
        tracked = state.intents.sent_by(log.tx_hash)
        if tracked is None:
            continue
        venue = tracked.intent.venue
        ledger = state.ledgers[venue]
        tellers = {"exit": ledger.takeovers, "protection": ledger.protections}
        teller = tellers.get(tracked.intent.kind)
        if teller is not None and teller.moved(log) == tracked.intent.account:
            decisions += state.intents.effect(log.tx_hash, block.header.number, block.header.hash)[1]
            state.intents.breakers.succeeded(venue, block.header.number)
    return decisions
