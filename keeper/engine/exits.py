"""When a position that the signer held was left: the venue's own event says that it changed."""

from __future__ import annotations

from keeper.core.decisions import AnyDecision
from keeper.engine.recall import Block
from keeper.engine.state import EngineState


def exited(state: EngineState, block: Block) -> list[AnyDecision]:
    """Advance the exits whose effect stands in a block, which every venue has folded."""
    decisions: list[AnyDecision] = []
    for log in block.logs:
        tracked = state.intents.sent_by(log.tx_hash)
        if tracked is None or tracked.intent.kind != "exit":
            continue
        venue = tracked.intent.venue
        takeovers = state.ledgers[venue].takeovers
        if takeovers is not None and takeovers.moved(log) == tracked.intent.account:
            decisions += state.intents.effect(log.tx_hash, block.header.number, block.header.hash)[1]
            state.intents.breakers.succeeded(venue, block.header.number)
    return decisions
