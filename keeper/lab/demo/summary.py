"""What the journal says happened: slices per account, money, gas, and how long each stage took."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from keeper.core.codec import Record
from keeper.core.decisions import HealthChanged, IntentAdmitted, LiquidationObserved, RiskHealthChanged
from keeper.core.facts import AttemptSent, BlockApplied, ReceiptSeen
from keeper.core.ids import Hash32, to_hex
from keeper.core.risk import RiskStatus
from keeper.core.venue import LiquidationSeen, Status

WAD = 10**18
STAGES = ("seen to decided", "decided to sent", "sent to included", "seen to included")


@dataclass(slots=True)
class AccountStory:
    """One account that was helped: its lowest classified health (1e-18) and what its slices moved (1e-8 USD).

    ``called_blocks_before`` is how long before it first fell below the venue's line the second opinion had called it;
    ``None`` when it had not.
    """

    venue: str
    account: str
    health_min_wad: int
    called_blocks_before: int | None = None
    slices: int = 0
    repaid_base: int = 0
    seized_base: int = 0
    profit_base: int = 0
    gas_wei: int = 0


@dataclass(slots=True)
class _IntentStory:
    admitted: IntentAdmitted
    seen_ms: int
    decided_ms: int
    sent_ms: int | None = None
    included_ms: int | None = None


@dataclass(slots=True)
class DemoSummary:
    """The whole run; accounts hurt and breaches by venue; stages in milliseconds, medians over the included slices.

    ``warned`` and ``called`` are how many accounts the second opinion did so to, by venue; ``forewarned`` how many of
    those that were hurt it had called in an earlier block.
    """

    accounts: dict[str, AccountStory] = field(default_factory=dict)
    hurt: dict[str, int] = field(default_factory=dict)
    breaches: dict[str, int] = field(default_factory=dict)
    warned: dict[str, int] = field(default_factory=dict)
    called: dict[str, int] = field(default_factory=dict)
    forewarned: dict[str, int] = field(default_factory=dict)
    blocks: int = 0
    reverted: int = 0
    stage_median_ms: dict[str, float] = field(default_factory=dict)


class _Fold:
    def __init__(self) -> None:
        self.summary = DemoSummary()
        self.lowest: dict[tuple[str, bytes], int] = {}
        self.called: dict[tuple[str, bytes], int] = {}
        self.warned: set[tuple[str, bytes]] = set()
        self.leads: dict[tuple[str, bytes], int | None] = {}
        self.intents: dict[Hash32, _IntentStory] = {}
        self.seen_ms = 0

    def take(self, record: Record) -> None:
        match record.body:
            case BlockApplied() as block:
                self.summary.blocks += 1
                self.seen_ms = block.seen_unix_ms
            case HealthChanged(margin=margin) if margin.health.status is Status.LIQUIDATABLE:
                self.summary.breaches[margin.venue] = self.summary.breaches.get(margin.venue, 0) + 1
                self._breached((margin.venue, margin.account), int(margin.health_wad or 0), record.body.block_number)
            case RiskHealthChanged(opinion=opinion, block_number=number):
                self._judged((opinion.venue, opinion.account), opinion.status, number)
            case IntentAdmitted(intent=intent) as admitted if intent.kind == "liquidation":
                self.intents[intent.intent_id] = _IntentStory(admitted, self.seen_ms, record.recorded_at_ms)
            case AttemptSent(intent_id=intent_id) if intent_id in self.intents:
                story = self.intents[intent_id]
                story.sent_ms = story.sent_ms or record.recorded_at_ms
            case LiquidationObserved(intent_id=intent_id) as observed if intent_id in self.intents:
                self._included(self.intents[intent_id], observed.liquidation, record.recorded_at_ms)
            case ReceiptSeen() as receipt if receipt.intent_id in self.intents:
                self._receipt(receipt)
            case _:
                pass

    def _breached(self, subject: tuple[str, bytes], health_wad: int, block_number: int) -> None:
        self.lowest[subject] = min(health_wad, self.lowest.get(subject, health_wad))
        called = self.called.get(subject)
        self.leads.setdefault(subject, None if called is None else block_number - called)

    def _judged(self, subject: tuple[str, bytes], status: RiskStatus, block_number: int) -> None:
        if status is RiskStatus.WARNING:
            self.warned.add(subject)
        elif status is RiskStatus.CALL:
            self.called.setdefault(subject, block_number)

    def _included(self, story: _IntentStory, seen: LiquidationSeen, recorded_at_ms: int) -> None:
        if story.included_ms is not None or story.admitted.proposal is None:
            return
        story.included_ms = recorded_at_ms
        proposal = story.admitted.proposal
        repaid_base, seized_base = proposal.preview.value_base(seen)
        row = self._row(story)
        row.slices += 1
        row.repaid_base += int(repaid_base)
        row.seized_base += int(seized_base)
        row.profit_base += int(seized_base - repaid_base - proposal.gas_cost_base - proposal.slippage_base)

    def _receipt(self, receipt: ReceiptSeen) -> None:
        if not receipt.succeeded:
            self.summary.reverted += 1
        self._row(self.intents[receipt.intent_id]).gas_wei += receipt.gas_used * int(receipt.gas_price_wei)

    def _row(self, story: _IntentStory) -> AccountStory:
        intent = story.admitted.intent
        subject = (intent.venue, intent.account)
        lowest, lead = self.lowest.get(subject, 0), self.leads.get(subject)
        fresh = AccountStory(intent.venue, to_hex(intent.account), lowest, lead)
        return self.summary.accounts.setdefault(to_hex(intent.account), fresh)

    def finish(self) -> DemoSummary:
        self.summary.hurt = dict(Counter(venue for venue, _ in self.lowest))
        self.summary.warned = dict(Counter(venue for venue, _ in sorted(self.warned)))
        self.summary.called = dict(Counter(venue for venue, _ in self.called))
        self.summary.forewarned = dict(Counter(venue for (venue, _), lead in self.leads.items() if lead))
        spans: dict[str, list[int]] = {stage: [] for stage in STAGES}
        for story in self.intents.values():
            if story.sent_ms is None or story.included_ms is None:
                continue
            spans["seen to decided"].append(story.decided_ms - story.seen_ms)
            spans["decided to sent"].append(story.sent_ms - story.decided_ms)
            spans["sent to included"].append(story.included_ms - story.sent_ms)
            spans["seen to included"].append(story.included_ms - story.seen_ms)
        self.summary.stage_median_ms = {stage: median(values) for stage, values in spans.items() if values}
        return self.summary


def summarise(records: Iterable[Record]) -> DemoSummary:
    """Fold a journal into the demo's table.

    Amounts follow the intents' own ``LiquidationCall`` events; profit is less the gas and slippage that were reckoned
    with.
    """
    fold = _Fold()
    for record in records:
        fold.take(record)
    return fold.finish()
