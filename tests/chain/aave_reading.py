"""Read a market on a real node with the shipped bootstrap, into a ledger without an engine around it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from keeper.app.clock import SystemClock
from keeper.chain.bootstrap import Bootstrap, BootstrapOptions
from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import Provider
from keeper.chain.wire import HeadHint
from keeper.core.facts import AnyFact, BootstrapCompleted, BootstrapStarted, HoldersFound, VenueRead
from keeper.core.ids import Hash32
from keeper.venues.aave_v3.ledger import AaveLedger

Rows = dict[str, object]


class LedgerRecorder:
    """Hands facts to a ledger as the engine does, and keeps them."""

    def __init__(self, ledger: AaveLedger) -> None:
        self.ledger = ledger
        self.facts: list[AnyFact] = []

    async def record(self, facts: Sequence[AnyFact]) -> None:
        """Take a group."""
        for fact in facts:
            self.take(fact)
            self.facts.append(fact)

    async def submit(self, facts: Sequence[AnyFact]) -> None:
        """Take a group."""
        await self.record(facts)

    def take(self, fact: AnyFact) -> None:
        """Hand over one fact."""
        reading, header = self.ledger.reading, self.ledger.reading.header
        match fact:
            case BootstrapStarted(header=begun, searched_anew=searched_anew):
                reading.begin(begun, search_anew=searched_anew)
            case HoldersFound(last=last, holders=holders):
                reading.found(last, holders)
            case VenueRead(items=items, reads=reads):
                reading.take(items, reads)
            case BootstrapCompleted():
                reading.complete()
                assert header is not None
                self.ledger.forget_undo(header.number)


async def read_market(http_url: str, recorder: LedgerRecorder, block: int, options: BootstrapOptions) -> bool:
    """Read a ledger's market, with a block as the newest one known; tell whether it is complete."""
    clock = SystemClock()
    async with ProviderPool([Provider(http_url, recorder.ledger.chain_id, clock)], clock) as pool:
        readings = {"aave": recorder.ledger.reading}
        bootstrap = Bootstrap(recorder.ledger.chain_id, pool, readings, recorder, clock, options)
        return await bootstrap.advance(HeadHint(block, Hash32(bytes(32))))


def tables_of(ledger: AaveLedger) -> Rows:
    """Return a ledger's dump, taken apart: the bytes of each table with its undo, and which blocks can be undone."""
    blocks, final, tables = msgspec.msgpack.decode(ledger.dump().split(b"\n", 1)[1])
    return {"blocks": blocks, "final": final, **{name: (rows, undo) for name, rows, undo in tables}}


def struct_rows(table: object) -> dict[bytes, list[object]]:
    """Return the rows of a table of structs, from :func:`tables_of`."""
    assert isinstance(table, tuple)
    return dict(msgspec.msgpack.decode(table[0]))
