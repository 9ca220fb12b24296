"""The state in a snapshot, after its seal was found right."""

from __future__ import annotations

from contextlib import suppress

from keeper.core.errors import KeeperError
from keeper.engine.replay import replay
from keeper.engine.step import Engine
from keeper.venues import open_ledger
from strategies import STRATEGIES
from tests.engine.history import new_engine
from tests.golden import golden_records
from tests.venues.synthetic import opened


def _after(count: int) -> bytes:
    engine = new_engine()
    replay(golden_records()[:count], engine)
    return engine.snapshot()


SAMPLES = (_after(1), _after(40), _after(113), opened().ledger.dump())
FOUND = (
    SAMPLES[1].replace(b"version", b"v\xffrsion", 1),
    SAMPLES[1].replace(b"partial_liquidation", b"partial_liquid\xfftion", 1),
    SAMPLES[1].replace(b"ledgers\x91\x92\xa3toy", b"ledgers\x91\x92\xa3yot", 1),
    b"\x91" * 3000,
)
"""Text that is not UTF-8, a venue without its state, and a document that is nested without end."""
assert not set(FOUND) & set(SAMPLES)


def harness(raw: bytes) -> None:
    """Load a state, into engines of every venue and of the toy, and into a ledger alone."""
    for engine in (new_engine(), Engine(open_ledger, STRATEGIES)):
        with suppress(KeeperError):
            engine.load(raw)
            engine.snapshot()
    with suppress(KeeperError):
        opened().ledger.load(raw)
