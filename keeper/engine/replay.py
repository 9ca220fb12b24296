"""Replay: step the recorded facts again and compare every decision, one by one.

The first difference ends it, because everything after it follows from another past.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from keeper.core.codec import Record, encoder
from keeper.core.decisions import AnyDecision, Decision
from keeper.core.ids import HASH_LENGTH, Hash32
from keeper.engine.step import Engine


class Divergence(msgspec.Struct, frozen=True):
    """Where this engine decides otherwise than what is recorded.

    ``cause`` is the fact's sequence. ``sequence`` is the recorded decision's place, or the place where one is missing.
    ``None`` as ``expected``: nothing (more) is recorded; as ``actual``: this engine decides nothing (more).
    """

    sequence: int
    cause: int
    expected: AnyDecision | None
    actual: AnyDecision | None


class ReplayResult(msgspec.Struct, frozen=True):
    """What a replay stepped and whether it agreed.

    ``decisions_digest`` is blake2b-256 over the encoded decisions in order; ``state_hash`` is the engine's at the end.
    """

    facts: int
    decisions: int
    last_sequence: int
    divergence: Divergence | None
    decisions_digest: Hash32
    state_hash: Hash32


def replay(records: Iterable[Record], engine: Engine) -> ReplayResult:
    """Step all facts after the engine's own sequence and compare its decisions with the recorded ones.

    Args:
        records: In order of sequence, whole: every decision of a fact that is among them. Records that a restored
            engine has stepped already, and the decisions that follow from those, are skipped.
        engine: New, or restored from a snapshot. It is stepped.
    """
    comparison = _Comparison(engine)
    for record in _unseen(records, engine.sequence):
        if comparison.take(record) is not None:
            break
    return comparison.result()


def _unseen(records: Iterable[Record], sequence: int) -> Iterator[Record]:
    for record in records:
        place = record.cause if isinstance(record.body, Decision) else record.sequence
        if place > sequence:
            yield record


class _Comparison:
    """The decisions that this engine made and the journal has not shown yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pending: deque[AnyDecision] = deque()
        self._digest = blake2b(digest_size=HASH_LENGTH)
        self._encoder = encoder()
        self._facts = 0
        self._decisions = 0
        self._last_sequence = engine.sequence
        self._divergence: Divergence | None = None

    def take(self, record: Record) -> Divergence | None:
        """Step a fact or compare a decision."""
        body = record.body
        if isinstance(body, Decision):
            actual = self._pending.popleft() if self._pending else None
            if actual != body or record.cause != self._engine.sequence:
                self._divergence = Divergence(record.sequence, record.cause, body, actual)
        elif self._pending:
            self._divergence = self._missing(record.sequence)
        else:
            self._step(record)
        self._last_sequence = record.sequence
        return self._divergence

    def result(self) -> ReplayResult:
        """Sum up; decisions that the journal lacks at its end are a divergence too."""
        if self._divergence is None and self._pending:
            self._divergence = self._missing(self._last_sequence + 1)
        return ReplayResult(
            self._facts,
            self._decisions,
            self._last_sequence,
            self._divergence,
            Hash32(self._digest.digest()),
            self._engine.state_hash(),
        )

    def _step(self, record: Record) -> None:
        made = self._engine.step(record.body, record.sequence)  # type: ignore[arg-type]  # narrowed by take
        for decision in made:
            self._digest.update(self._encoder.encode(decision))
        self._pending.extend(made)
        self._facts += 1
        self._decisions += len(made)

    def _missing(self, sequence: int) -> Divergence:
        return Divergence(sequence, self._engine.sequence, None, self._pending[0])
