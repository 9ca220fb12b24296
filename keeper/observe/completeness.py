"""What a journal says of its own completeness: per chain, which blocks came how, who confirmed them, and any hole.

Every block from the first on must have come by a range or by itself, in order, and only the newest may be taken back.
The journal's writer refuses anything else, so a hole here means that records are missing or were not written by it.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from keeper.core.codec import Record
from keeper.core.decisions import AuditAgreed, AuditFailed
from keeper.core.facts import (
    AccountsAudited,
    BlockApplied,
    BlockFinalized,
    BlockReverted,
    BlocksBackfilled,
    LogsRepaired,
    RangeVerified,
)


class Stretch(msgspec.Struct, frozen=True):
    """Blocks ``first`` to ``last``; ``providers`` confirmed them, none where nobody did."""

    first: int
    last: int
    providers: tuple[str, ...] = ()


class Completeness(msgspec.Struct):
    """What is known of one chain's blocks. ``reorgs`` are depths in blocks, by the order they came in."""

    chain_id: int
    first: int | None = None
    tip: int | None = None
    finalized: int | None = None
    backfilled: list[Stretch] = []
    applied: int = 0
    verified: list[Stretch] = []
    unverified: list[Stretch] = []
    reorgs: list[int] = []
    repairs: list[int] = []
    audits: int = 0
    audits_agreed: int = 0
    audits_failed: int = 0
    holes: list[Stretch] = []


class CompletenessFold:
    """Folds records in order; ask :meth:`result` at the end."""

    def __init__(self) -> None:
        self._chains: dict[int, Completeness] = {}
        self._reverting: dict[int, int] = {}
        self._chain_of_venue: dict[str, int] = {}

    def take(self, record: Record) -> None:
        """Take the next record."""
        match record.body:
            case BlocksBackfilled() as fact:
                chain = self._chain(fact.chain_id)
                self._reach(chain, fact.first, fact.last.number)
                _join(chain.backfilled, Stretch(fact.first, fact.last.number))
                chain.finalized = max(chain.finalized or 0, fact.last.number)
            case BlockApplied() as fact:
                chain = self._chain(fact.chain_id)
                self._reach(chain, fact.header.number, fact.header.number)
                chain.applied += 1
            case BlockReverted() as fact:
                chain = self._chain(fact.chain_id)
                self._reverting[fact.chain_id] = self._reverting.get(fact.chain_id, 0) + 1
                chain.tip = fact.number - 1
            case BlockFinalized() as fact:
                self._chain(fact.chain_id).finalized = fact.number
            case RangeVerified() as fact:
                _join(self._chain(fact.chain_id).verified, Stretch(fact.first, fact.last, fact.providers))
            case LogsRepaired() as fact:
                self._chain(fact.chain_id).repairs.append(fact.first)
            case AccountsAudited() as fact:
                self._chain_of_venue[fact.venue] = fact.chain_id
                self._chain(fact.chain_id).audits += 1
            case AuditAgreed() as decision:
                self._chain(self._chain_of_venue[decision.venue]).audits_agreed += len(decision.accounts)
            case AuditFailed() as decision:
                self._chain(self._chain_of_venue[decision.venue]).audits_failed += 1

    def result(self) -> list[Completeness]:
        """Return what was found, by chain."""
        for chain in self._chains.values():
            if chain.first is not None and chain.finalized is not None:
                chain.unverified = _without(Stretch(chain.first, chain.finalized), chain.verified)
        return [self._chains[chain_id] for chain_id in sorted(self._chains)]

    def _chain(self, chain_id: int) -> Completeness:
        return self._chains.setdefault(chain_id, Completeness(chain_id))

    def _reach(self, chain: Completeness, first: int, last: int) -> None:
        """Move the tip; blocks between the old one and ``first`` are a hole."""
        depth = self._reverting.pop(chain.chain_id, 0)
        if depth:
            chain.reorgs.append(depth)
        if chain.first is None:
            chain.first = first
        if chain.tip is not None and first > chain.tip + 1:
            chain.holes.append(Stretch(chain.tip + 1, first - 1))
        chain.tip = last


def _join(stretches: list[Stretch], new: Stretch) -> None:
    """Add a stretch, as part of the last one where it goes on from that."""
    last = stretches[-1] if stretches else None
    if last is not None and (last.last + 1, last.providers) == (new.first, new.providers):
        stretches[-1] = Stretch(last.first, new.last, new.providers)
    else:
        stretches.append(new)


def _without(whole: Stretch, parts: Iterable[Stretch]) -> list[Stretch]:
    """Return what is left of a stretch without some parts."""
    left: list[Stretch] = []
    first = whole.first
    for part in sorted(parts, key=lambda each: each.first):
        if part.first > first:
            left.append(Stretch(first, min(part.first - 1, whole.last)))
        first = max(first, part.last + 1)
    return [*left, Stretch(first, whole.last)] if first <= whole.last else left
