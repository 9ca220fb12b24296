"""The lives of intents as numbers: how long each stage took, what was repaid, won and spent.

Everything is derived from records and the times at which they were recorded, so a replay gives the figures of the run.
Money is counted once, when an intent has ended in a final block: a reorg can take everything before that back. Dollars
are the venue's prices at the decision, scaled to the amounts of the venue's own liquidation event; gas in dollars is
what the decision reckoned with, gas in wei what the receipt says.

An intent that an earlier run admitted (see :meth:`SliceMetrics.resume`) has no times and no proposal: it counts in
``intents`` and ``gas_spent_wei_total`` only.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from keeper.core.decisions import (
    Intent,
    IntentAdmitted,
    IntentAdvanced,
    IntentState,
    LiquidationObserved,
    Proposal,
    ProposalRefused,
    ProtectionRefused,
    Verdict,
)
from keeper.core.facts import AttemptSent, BlockApplied, ReceiptSeen
from keeper.core.ids import Hash32
from keeper.core.runconfig import RunConfig
from keeper.core.units import BaseAmount
from keeper.core.venue import LiquidationSeen
from keeper.engine.intents import TERMINAL, TrackedIntent
from keeper.observe.chain_metrics import NAMESPACE, ChainMetrics

ENDED_KEPT_MAX = 1024
"""Ended intents that are remembered for a receipt that comes late."""
STAGE_SECONDS = (
    0.001,
    0.002,
    0.005,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1.0,
    2.0,
    5.0,
    12.0,
    30.0,
    60.0,
    300.0,
    900.0,
    1800.0,
)


@dataclass(slots=True)
class _Slice:
    """One intent: when it reached each stage, and what is known of its end."""

    intent: Intent
    state: IntentState
    proposal: Proposal | None = None
    decided_ms: int = 0
    sent_ms: int = 0
    included_ms: int = 0
    effect: LiquidationSeen | None = None
    receipt: ReceiptSeen | None = None


class SliceMetrics:
    """What became of proposals, intents and attempts."""

    def __init__(self, registry: CollectorRegistry, chains: ChainMetrics) -> None:
        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(name, doc, labels, namespace=NAMESPACE, registry=registry)

        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        self._proposals = counter(
            "proposals_total", "What the policy gate answered.", "venue", "strategy", "outcome", "reason"
        )
        self._intents = gauge("intents", "Intents by state; ended ones since the process started.", "venue", "state")
        self._attempts = counter(
            "attempts_total", "What providers answered to transactions.", "chain", "signer", "outcome"
        )
        self._stages = Histogram(
            "slice_seconds",
            "Time to reach a stage of a slice from the stage before (seen, decided, sent, included, final).",
            ["venue", "stage"],
            namespace=NAMESPACE,
            registry=registry,
            buckets=STAGE_SECONDS,
        )
        self._repaid = counter("repaid_usd_total", "Debt repaid by our final slices.", "venue", "strategy")
        self._seized = counter("seized_usd_total", "Collateral received by our final slices.", "venue", "strategy")
        self._profit = gauge(
            "profit_usd_total", "Seized less repaid, gas and slippage; a loss lowers it.", "venue", "strategy"
        )
        self._gas = counter("gas_spent_wei_total", "Fees of our final transactions.", "chain", "signer")
        self._liquidations = counter(
            "liquidations_seen_total", "Liquidations seen on chain, by whom and why not us.", "venue", "by", "verdict"
        )
        self._chains = chains
        self._seen_ms: dict[int, int] = {}
        self._slices: dict[Hash32, _Slice] = {}

    def resume(self, tracked: Iterable[TrackedIntent]) -> None:
        """Take over the intents that are open at the start of a run."""
        for one in tracked:
            self._slices[one.intent.intent_id] = _Slice(one.intent, one.state)
            self._intents.labels(one.intent.venue, one.state.value).inc()

    def configure(self, config: RunConfig) -> None:
        """Begin the counts that alerts need a zero of: what is seen of liquidations, and what is admitted."""
        for venue in config.venues:
            for verdict in Verdict:
                by = "ours" if verdict is Verdict.OURS else "others"
                self._liquidations.labels(venue.name, by, verdict.value)
        for strategy in config.strategies:
            for name in strategy.venues:
                self._proposals.labels(name, strategy.name, "admitted", "")

    def block(self, fact: BlockApplied, unix_ms: int) -> None:
        """Remember when the newest block of a chain was first heard of."""
        self._seen_ms[fact.chain_id] = fact.seen_unix_ms or unix_ms

    def refused(self, decision: ProposalRefused | ProtectionRefused) -> None:
        """Count a refusal."""
        proposal = decision.proposal
        self._proposals.labels(proposal.venue, proposal.strategy, "refused", decision.reason).inc()

    def admitted(self, decision: IntentAdmitted, unix_ms: int) -> None:
        """Begin a slice."""
        intent, proposal = decision.intent, decision.proposal
        self._slices[intent.intent_id] = _Slice(intent, IntentState.ADMITTED, proposal, decided_ms=unix_ms)
        self._intents.labels(intent.venue, IntentState.ADMITTED.value).inc()
        if decision.protection is not None:
            self._proposals.labels(intent.venue, decision.protection.strategy, "admitted", "").inc()
        if proposal is not None:
            self._proposals.labels(proposal.venue, proposal.strategy, "admitted", "").inc()
            self._stage(intent.venue, "decided", self._seen_ms.get(intent.chain_id, unix_ms), unix_ms)

    def sent(self, fact: AttemptSent, unix_ms: int) -> None:
        """Count an answer; the first one to an intent ends its stage ``sent``."""
        one = self._slices.get(fact.intent_id)
        if one is None:
            return
        self._attempts.labels(self._chains.name(one.intent.chain_id), one.intent.signer, fact.answer).inc()
        if one.proposal is not None and not one.sent_ms:
            one.sent_ms = unix_ms
            self._stage(one.intent.venue, "sent", one.decided_ms, unix_ms)

    def receipt(self, fact: ReceiptSeen) -> None:
        """Keep an intent's newest receipt; its gas counts once the intent has ended."""
        one = self._slices.get(fact.intent_id)
        if one is None:
            return
        late = one.state in TERMINAL and one.receipt is None
        one.receipt = fact
        if late:
            self._count_gas(one)

    def liquidation(self, decision: LiquidationObserved) -> None:
        """Count a liquidation on chain, ours or another's."""
        by = "others" if decision.intent_id is None else "ours"
        self._liquidations.labels(decision.liquidation.venue, by, decision.verdict.value).inc()
        one = self._slices.get(decision.intent_id) if decision.intent_id is not None else None
        if one is not None:
            one.effect = decision.liquidation

    def advanced(self, decision: IntentAdvanced, unix_ms: int) -> None:
        """Move an intent."""
        one = self._slices.get(decision.intent_id)
        if one is None:
            return
        venue = one.intent.venue
        self._intents.labels(venue, decision.previous.value).dec()
        self._intents.labels(venue, decision.state.value).inc()
        one.state = decision.state
        if decision.state is IntentState.MINED:
            self._included(one, unix_ms)
        elif decision.state in TERMINAL:
            self._ended(one, unix_ms)

    def _included(self, one: _Slice, unix_ms: int) -> None:
        if one.proposal is not None and not one.included_ms:
            self._stage(one.intent.venue, "included", one.sent_ms or one.decided_ms, unix_ms)
        one.included_ms = unix_ms

    def _ended(self, one: _Slice, unix_ms: int) -> None:
        if one.receipt is not None:
            self._count_gas(one)
        if one.proposal is not None and one.included_ms:
            self._stage(one.intent.venue, "final", one.included_ms, unix_ms)
        if one.state is IntentState.FINAL_SUCCESS and one.proposal is not None and one.effect is not None:
            self._count_money(one.proposal, one.effect)
        self._forget_oldest()

    def _count_money(self, proposal: Proposal, effect: LiquidationSeen) -> None:
        repaid_base, seized_base = proposal.preview.value_base(effect)
        spent_base = repaid_base + proposal.gas_cost_base + proposal.slippage_base
        labels = (proposal.venue, proposal.strategy)
        self._repaid.labels(*labels).inc(int(repaid_base) / BaseAmount.ONE)
        self._seized.labels(*labels).inc(int(seized_base) / BaseAmount.ONE)
        self._profit.labels(*labels).inc(int(seized_base - spent_base) / BaseAmount.ONE)

    def _count_gas(self, one: _Slice) -> None:
        if one.receipt is not None:
            spent_wei = one.receipt.gas_used * int(one.receipt.gas_price_wei)
            self._gas.labels(self._chains.name(one.intent.chain_id), one.intent.signer).inc(spent_wei)

    def _stage(self, venue: str, stage: str, since_ms: int, until_ms: int) -> None:
        """Observe a stage. Clocks of a machine may step back between two records; a stage never took less than none."""
        self._stages.labels(venue, stage).observe(max(0, until_ms - since_ms) / 1000)

    def _forget_oldest(self) -> None:
        ended = [intent_id for intent_id, one in self._slices.items() if one.state in TERMINAL]
        for intent_id in ended[: max(0, len(ended) - ENDED_KEPT_MAX)]:
            del self._slices[intent_id]
