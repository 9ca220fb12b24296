"""Records of a journal that somebody made up, into the engine: they decode, and tell of what cannot have happened."""

from __future__ import annotations

from contextlib import suppress

from keeper.core.codec import Record, decoder, encoder
from keeper.core.decisions import Decision
from keeper.core.errors import KeeperError
from keeper.core.facts import AccountsAudited, BlockApplied, BlocksBackfilled, LogsRepaired
from keeper.engine.replay import replay
from tests.engine.history import new_engine
from tests.golden import golden_records

RECORDS = golden_records()
FACTS = [record for record in RECORDS if not isinstance(record.body, Decision)]
OF_THE_VENUE = (BlockApplied, BlocksBackfilled, LogsRepaired, AccountsAudited)
_LIST = decoder(list[Record])


def _pack(*records: Record) -> bytes:
    return encoder().encode(records)


SAMPLES = (_pack(*FACTS), _pack(*FACTS[:20]), _pack(*RECORDS))
FOUND = (
    _pack(FACTS[0], Record(2, 0, 0, RECORDS[6].body)),
    _pack(*FACTS).replace(b"\xa4main", b"\xa4niam", 1),
    _pack(*[record for record in FACTS if not isinstance(record.body, BlockApplied)]),
    _pack(*FACTS).replace(b"local\xa8chain_id\xcdzi", b"local\xa8chain_id\xcdzj"),
)
"""A decision in a fact's place; a signer, blocks and a chain that are not there."""


def harness(raw: bytes) -> None:
    """Replay records; what the toy venue would have to refuse of its logs is left out."""
    try:
        records = _LIST.decode(raw)
    except (ValueError, RecursionError):
        return
    known = {record.body for record in RECORDS if isinstance(record.body, OF_THE_VENUE)}
    if any(isinstance(record.body, OF_THE_VENUE) and record.body not in known for record in records):
        return
    with suppress(KeeperError):
        replay(records, new_engine())
    engine = new_engine()
    with suppress(KeeperError):
        for record in records:
            if record.cause == 0:
                engine.step(record.body, record.sequence)
