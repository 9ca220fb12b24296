"""What went wrong around the decisions: reorgs, providers that failed or lied, silence, halts, crashes.

Requests that failed are no facts and are not in a journal; of providers it knows what they answered to transactions,
which of them gave wrong logs or were passed over, and when no head came.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from keeper.core.codec import Record
from keeper.core.decisions import AuditFailed, SignerHalted, VenuePaused
from keeper.core.facts import (
    AttemptSent,
    BlockApplied,
    BlockReverted,
    ClockTicked,
    KillSwitchChanged,
    LogsRepaired,
    ProviderChanged,
    ReceiptSeen,
    RunStarted,
    RunStopped,
    SignerReleased,
)
from keeper.core.ids import Hash32, to_hex
from keeper.report.bearings import Bearings
from keeper.report.incident import Reorg, Trouble
from keeper.report.model import Moment

EXPECTED_ANSWERS = ("accepted",)


@dataclass(slots=True)
class _Falling:
    """Blocks of one chain that are being abandoned."""

    at: Moment
    first: int
    depth: int = 0
    undone: int = 0


class Troubles:
    """Takes every record; keeps what happened in the window."""

    def __init__(self, bearings: Bearings) -> None:
        self._bearings = bearings
        self._falling: dict[int, _Falling] = {}
        self._reorgs: list[Reorg] = []
        self._troubles: dict[tuple[str, str, str], Trouble] = {}
        self._heads: dict[int, tuple[int, Moment]] = {}
        self._down: dict[tuple[int, str], tuple[int, Moment, str]] = {}
        self._running = False
        self._clock_ms = 0
        self._undone = 0

    def take(self, record: Record, *, inside: bool, undone: int) -> None:
        """Take the next record.

        Args:
            record: It.
            inside: Whether it is in the window.
            undone: How many of the window's liquidations do not stand after it.
        """
        body = record.body
        match body:
            case BlockReverted():
                self._revert(record, body, inside=inside, undone=undone)
            case BlockApplied():
                self._apply(record, body, inside=inside)
            case RunStarted():
                if self._running and inside:
                    self._note(record, "crash", "keeper", "a run began and the one before it had not ended in order")
                self._begin_run(body.unix_ms, inside=inside)
            case RunStopped():
                self._running = False
            case ClockTicked(unix_ms=unix_ms):
                self._clock_ms = unix_ms
            case ProviderChanged():
                self._provider(record, body, inside=inside)
            case _ if inside:
                self._fault(record)
            case _:
                pass
        self._undone = undone

    def reorgs(self) -> Iterator[Reorg]:
        """Yield the reorgs in order."""
        yield from self._reorgs
        yield from (self._reorg(chain_id, each) for chain_id, each in self._falling.items())

    def troubles(self) -> Iterator[Trouble]:
        """Yield everything else in order of its first record, what has not ended by the window's end among it."""
        found = [*self._troubles.values(), *self._still_silent(), *self._still_down()]
        yield from sorted(found, key=lambda each: each.at.sequence)

    def _begin_run(self, unix_ms: int, *, inside: bool) -> None:
        """Take a new run: it begins with every provider up."""
        self._running, self._clock_ms = True, unix_ms
        for (_, provider), (since_ms, at, why) in self._down.items():
            if inside:
                self._tell(at, "provider down", provider, f"{why}, until a new run {_lasted(since_ms, unix_ms)}")
        self._down.clear()

    def _provider(self, record: Record, fact: ProviderChanged, *, inside: bool) -> None:
        key, at = (fact.chain_id, fact.provider), self._bearings.of_chain(record, fact.chain_id)
        if not fact.up:
            self._down[key] = (record.recorded_at_ms, at, fact.reason)
        elif (before := self._down.pop(key, None)) is not None and inside:
            since_ms, since, why = before
            detail = f"{why}, up again {_lasted(since_ms, record.recorded_at_ms)}"
            self._tell(since, "provider down", fact.provider, detail)

    def _still_silent(self) -> Iterator[Trouble]:
        """Yield the chains of which nothing was heard for too long when the window ends."""
        for chain_id, (heard_ms, at) in self._heads.items():
            bound = self._bearings.stale_after_seconds.get(chain_id)
            silent_ms = self._clock_ms - heard_ms
            if self._running and bound is not None and silent_ms > bound * 1000:
                detail = f"no head for {silent_ms / 1000:.1f} s up to the end, more than the {bound} s that are allowed"
                name = self._bearings.name(chain_id)
                yield Trouble(at=at, kind="silence", subject=name, detail=detail, count=1)

    def _still_down(self) -> Iterator[Trouble]:
        for (_, provider), (_, at, why) in self._down.items():
            yield Trouble(at=at, kind="provider down", subject=provider, detail=f"{why}, down to the end", count=1)

    def _revert(self, record: Record, fact: BlockReverted, *, inside: bool, undone: int) -> None:
        if not inside:
            return
        at = self._bearings.of_chain(record, fact.chain_id)
        falling = self._falling.setdefault(fact.chain_id, _Falling(at, fact.number))
        falling.first, falling.depth = fact.number, falling.depth + 1
        falling.undone += undone - self._undone

    def _apply(self, record: Record, fact: BlockApplied, *, inside: bool) -> None:
        falling = self._falling.pop(fact.chain_id, None)
        if falling is not None:
            self._reorgs.append(self._reorg(fact.chain_id, falling))
        at = self._bearings.of_chain(record, fact.chain_id)
        heard = fact.seen_unix_ms or record.recorded_at_ms
        before = self._heads.get(fact.chain_id)
        bound = self._bearings.stale_after_seconds.get(fact.chain_id)
        if before is not None and bound is not None and inside and heard - before[0] > bound * 1000:
            detail = f"no head for {(heard - before[0]) / 1000:.1f} s, more than the {bound} s that are allowed"
            self._note(record, "silence", self._bearings.name(fact.chain_id), detail)
        self._heads[fact.chain_id] = (heard, at)

    def _reorg(self, chain_id: int, falling: _Falling) -> Reorg:
        return Reorg(
            at=falling.at,
            chain=self._bearings.name(chain_id),
            first=falling.first,
            depth=falling.depth,
            undone=falling.undone,
        )

    def _fault(self, record: Record) -> None:
        match record.body:
            case AttemptSent(answer=answer) as fact if answer not in EXPECTED_ANSWERS:
                self._note(record, f"answer {answer}", fact.provider, fact.message)
            case LogsRepaired() as fact:
                detail = f"logs from block {fact.first} on were wrong; {fact.source} gave the right ones"
                self._note(record, "wrong logs", fact.liar or "a provider nobody could name", detail)
            case AuditFailed() as decision:
                detail = f"{decision.venue} at block {decision.block_number}: ours {decision.ours}, the venue's "
                self._note(record, "audit failed", to_hex(decision.account), detail + decision.theirs)
            case SignerHalted() as decision:
                self._note(record, "signer halted", decision.signer, decision.reason)
            case SignerReleased() as fact:
                self._note(record, "signer released", fact.signer, f"goes on from nonce {fact.nonce}")
            case VenuePaused() as decision:
                detail = f"up to block {decision.until_block}: {decision.reason}"
                self._note(record, "venue paused", decision.venue, detail)
            case KillSwitchChanged() as fact:
                self._note(record, f"kill switch {'armed' if fact.armed else 'cleared'}", "operator", fact.reason)
            case ReceiptSeen(succeeded=False) as fact:
                name = fact.revert.name if fact.revert is not None else "unknown"
                self._note(record, "reverted", name, _transaction(fact.tx_hash))
            case _:
                pass

    def _note(self, record: Record, kind: str, subject: str, detail: str) -> None:
        self._tell(self._bearings.of_chain(record, None), kind, subject, detail)

    def _tell(self, at: Moment, kind: str, subject: str, detail: str) -> None:
        """Keep the first of its kind, with the last detail and how many there were."""
        key = (kind, subject, detail if kind in _ONE_BY_ONE else "")
        known = self._troubles.get(key)
        if known is None:
            self._troubles[key] = Trouble(at=at, kind=kind, subject=subject, detail=detail, count=1)
        else:
            self._troubles[key] = msgspec.structs.replace(known, detail=detail, count=known.count + 1)


_ONE_BY_ONE = ("wrong logs", "provider down", "audit failed", "signer halted", "venue paused", "silence", "reverted")


def _transaction(tx_hash: Hash32) -> str:
    return f"transaction {to_hex(tx_hash)}"


def _lasted(since_ms: int, until_ms: int) -> str:
    return f"after {(until_ms - since_ms) / 1000:.1f} s"
