"""The beginning of a chain whose venues are read at one final block: no decision follows from any of it."""

from __future__ import annotations

from keeper.core.errors import InvariantBroken, invariant
from keeper.core.facts import BootstrapCompleted, BootstrapStarted, HoldersFound, VenueRead
from keeper.core.reading import VenueReading
from keeper.engine.chain_state import ChainState
from keeper.engine.state import EngineState


def begin(state: EngineState, fact: BootstrapStarted) -> tuple[()]:
    """Let every venue of a chain be read at a block."""
    invariant(state.chain(fact.chain_id).tip is None, f"chain {fact.chain_id}", "is read though it was followed")
    for ledger in state.ledgers_of(fact.chain_id):
        _reading(state, ledger.name).begin(fact.header, search_anew=fact.searched_anew)
    return ()


def found(state: EngineState, fact: HoldersFound) -> tuple[()]:
    """Hand a venue the holders that were found."""
    _reading(state, fact.venue).found(fact.last, fact.holders)
    return ()


def take(state: EngineState, fact: VenueRead) -> tuple[()]:
    """Hand a venue what was read of it."""
    _reading(state, fact.venue).take(fact.items, fact.reads)
    return ()


def complete(state: EngineState, fact: BootstrapCompleted) -> ChainState:
    """Let the chain begin at the block that its venues were read at, and return it."""
    chain = state.chain(fact.chain_id)
    for ledger in state.ledgers_of(fact.chain_id):
        reading = _reading(state, ledger.name)
        if chain.tip is None and reading.header is not None:
            chain.begin(reading.header)
        reading.complete()
    return chain


def _reading(state: EngineState, venue: str) -> VenueReading:
    reading = state.ledgers[venue].reading
    if reading is None:
        raise InvariantBroken(f"venue {venue}", "cannot be read at one block", "start it from logs")
    return reading
