"""A log that an earlier version wrote: what it holds is read, decided and hashed alike for as long as it stands here.

``toy.jsonl`` has one record a line, as the journal numbers them; ``toy.json`` says what a replay of it comes to. Both
are written by ``python -m tests.golden write``, which is right only when a change of the engine is meant to decide
otherwise (its version then changes too). A new kind of record is added to :func:`tests.golden.story.told`.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

import msgspec

from keeper.core.codec import Record, encoder, json_hook
from keeper.core.ids import to_hex
from keeper.core.units import BigInt
from keeper.engine.replay import replay
from keeper.engine.step import ENGINE_VERSION
from tests.golden.story import golden_engine

HERE = Path(__file__).parent
LOG = HERE / "toy.jsonl"
OUTCOME = HERE / "toy.json"


class Outcome(msgspec.Struct, frozen=True):
    """What a replay comes to. ``records_digest`` is blake2b-256 over the records as a journal's frames hold them."""

    engine_version: int
    facts: int
    decisions: int
    records_digest: str
    decisions_digest: str
    state_hash: str


def _from_text(kind: type, value: object) -> object:
    if issubclass(kind, BigInt) and isinstance(value, str):
        return kind(value)
    raise NotImplementedError(f"{kind.__name__} cannot be read from {type(value).__name__}")


_LINE: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record, dec_hook=_from_text)


def golden_records() -> list[Record]:
    """Return the records of the log."""
    return [_LINE.decode(line) for line in LOG.read_bytes().splitlines()]


def golden_outcome() -> Outcome:
    """Return what was written down about them."""
    return msgspec.json.decode(OUTCOME.read_bytes(), type=Outcome)


def outcome(records: Sequence[Record]) -> Outcome:
    """Replay records here; a decision that is not as recorded is an error."""
    result = replay(records, golden_engine())
    assert result.divergence is None, result.divergence
    digest = blake2b(b"".join(encoder().encode(record) for record in records), digest_size=32).digest()
    return Outcome(
        ENGINE_VERSION,
        result.facts,
        result.decisions,
        to_hex(digest),
        to_hex(result.decisions_digest),
        to_hex(result.state_hash),
    )


def write(records: Sequence[Record]) -> None:
    """Make these records the golden log, and what they come to the outcome."""
    LOG.write_bytes(b"".join(msgspec.json.encode(record, enc_hook=json_hook) + b"\n" for record in records))
    OUTCOME.write_bytes(msgspec.json.format(msgspec.json.encode(outcome(records))) + b"\n")
