"""One pass over a journal that keeps what concerns an account: decisions, intents, and the facts behind them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from keeper.core.codec import AnyBody, Record
from keeper.core.decisions import (
    AuditFailed,
    Decision,
    HealthChanged,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
    RiskHealthChanged,
)
from keeper.core.facts import (
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockReverted,
    BlocksBackfilled,
    BootstrapStarted,
    ClockTicked,
    IntentDropped,
    PreflightSeen,
    ReceiptSeen,
    RunStarted,
    SettingsReloaded,
)
from keeper.core.ids import Address, Hash32
from keeper.report.model import Entry, Moment

Line = Callable[[AnyBody], str]
"""Says what a record says, in one line."""


class Event(NamedTuple):
    """A record about the account.

    ``clock_unix_ms`` is the wall clock last told before it; ``seen_unix_ms`` is when the newest head was heard of.
    """

    at: Moment
    venue: str
    cause: int
    clock_unix_ms: int
    seen_unix_ms: int
    body: AnyBody


class BlockPlaces:
    """Which fact told each block of one chain, on the branch that stayed."""

    def __init__(self) -> None:
        self._ends = array("q")
        self._sequences = array("q")

    @property
    def tip(self) -> int | None:
        """The newest block, ``None`` before the first."""
        return self._ends[-1] if self._ends else None

    def append(self, end: int, sequence: int) -> None:
        """Take a block, or a range by its last block; what stood there before was abandoned."""
        self.cut(end)
        self._ends.append(end)
        self._sequences.append(sequence)

    def cut(self, number: int) -> None:
        """Forget a block and all after it."""
        while self._ends and self._ends[-1] >= number:
            self._ends.pop()
            self._sequences.pop()

    def sequence_of(self, number: int) -> int | None:
        """Return the fact that told a block; ``None`` when none did."""
        place = bisect_left(self._ends, number)
        return self._sequences[place] if place < len(self._ends) else None


class Trail:
    """Takes every record of a journal in order, and keeps what concerns one account, at all venues.

    Args:
        account: Whose.
        line: Says a record in one line.
    """

    def __init__(self, account: Address, line: Line) -> None:
        self.account = account
        self.events: list[Event] = []
        self.places: dict[int, BlockPlaces] = {}
        self.chains: dict[str, int] = {}
        self._entries: list[tuple[str, Entry]] = []
        self._line = line
        self._intents: dict[Hash32, str] = {}
        self._fact: Record | None = None
        self._shown: dict[str, int] = {}
        self._clock_unix_ms = 0
        self._seen_unix_ms: dict[int, int] = {}
        self._context: dict[type, Callable[[Any, Record], None]] = {
            RunStarted: self._configured,
            SettingsReloaded: self._configured,
            ClockTicked: self._ticked,
            BlockApplied: self._applied,
            BlocksBackfilled: lambda fact, record: self._block(fact.chain_id, fact.last.number, record.sequence),
            BootstrapStarted: lambda fact, record: self._block(fact.chain_id, fact.header.number, record.sequence),
            BlockReverted: lambda fact, _: self._of_chain(fact.chain_id).cut(fact.number),
        }

    @property
    def venues(self) -> tuple[str, ...]:
        """The venues that have a record of the account, sorted."""
        return tuple(sorted({event.venue for event in self.events}))

    def entries(self, venue: str) -> tuple[Entry, ...]:
        """Return the account's records at a venue and the facts that decisions followed from, in order."""
        return tuple(entry for name, entry in self._entries if name == venue)

    def take(self, record: Record) -> None:
        """Take the next record."""
        body = record.body
        if not isinstance(body, Decision):
            self._fact = record
            context = self._context.get(type(body))
            if context is not None:
                context(body, record)
        venue = self._venue_of(body)
        if venue is not None:
            self._keep(record, venue)

    def _venue_of(self, body: AnyBody) -> str | None:
        """Return the venue at which a record concerns the account, ``None`` when it does not."""
        if isinstance(body, _OF_INTENT):
            return self._intents.get(body.intent_id)
        subject = _SUBJECTS.get(type(body))
        if subject is None:
            return None
        venue, account = subject(body)
        if account != self.account:
            own = body.intent_id if isinstance(body, LiquidationObserved) else None
            return None if own is None else self._intents.get(own)
        if isinstance(body, IntentAdmitted):
            self._intents[body.intent.intent_id] = venue
        return str(venue)

    def _keep(self, record: Record, venue: str) -> None:
        fact, chain_id = self._fact, self.chains.get(venue, 0)
        if isinstance(record.body, Decision) and fact is not None and self._shown.get(venue) != fact.sequence:
            self._show(fact, venue, chain_id)
        at = self._show(record, venue, chain_id)
        seen = self._seen_unix_ms.get(chain_id, record.recorded_at_ms)
        self.events.append(Event(at, venue, record.cause, self._clock_unix_ms, seen, record.body))

    def _show(self, record: Record, venue: str, chain_id: int) -> Moment:
        if record.cause == 0:
            self._shown[venue] = record.sequence
        at = Moment(record.sequence, record.recorded_at_ms, self._of_chain(chain_id).tip)
        entry = Entry(at, record.cause, type(record.body).__name__, self._line(record.body))
        self._entries.append((venue, entry))
        return at

    def _configured(self, fact: RunStarted | SettingsReloaded, _: Record) -> None:
        self.chains |= {spec.name: spec.chain_id for spec in fact.config.venues}
        self._clock_unix_ms = fact.unix_ms

    def _ticked(self, fact: ClockTicked, _: Record) -> None:
        self._clock_unix_ms = fact.unix_ms

    def _applied(self, fact: BlockApplied, record: Record) -> None:
        self._block(fact.chain_id, fact.header.number, record.sequence)
        self._seen_unix_ms[fact.chain_id] = fact.seen_unix_ms or record.recorded_at_ms

    def _block(self, chain_id: int, number: int, sequence: int) -> None:
        self._of_chain(chain_id).append(number, sequence)

    def _of_chain(self, chain_id: int) -> BlockPlaces:
        return self.places.setdefault(chain_id, BlockPlaces())


_OF_INTENT = (PreflightSeen, AttemptPrepared, AttemptSent, ReceiptSeen, IntentDropped, IntentAdvanced)
_SUBJECTS: Mapping[type, Callable[[Any], tuple[str, Address]]] = MappingProxyType(
    {
        HealthChanged: lambda body: (body.margin.venue, body.margin.account),
        RiskHealthChanged: lambda body: (body.opinion.venue, body.opinion.account),
        ProposalRefused: lambda body: (body.proposal.venue, body.proposal.account),
        IntentAdmitted: lambda body: (body.intent.venue, body.intent.account),
        LiquidationObserved: lambda body: (body.liquidation.venue, body.liquidation.account),
        AuditFailed: lambda body: (body.venue, body.account),
    }
)
