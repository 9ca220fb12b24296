"""Every figure that the keeper exports to Prometheus.

Counters and histograms are a fold over records (:meth:`Metrics.observe`): a replay of a journal exports what the run
exported. Gauges of state (accounts, halts) are read from the state at each scrape (:meth:`Metrics.reflect`),
because a record says only what changed. The two that measure this machine (:meth:`Metrics.settled`) and the nodes
(:meth:`Metrics.on_request`) are of the run alone. Each instance has a registry of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from keeper import __version__
from keeper.core.codec import AnyBody
from keeper.core.decisions import (
    AuditAgreed,
    AuditFailed,
    HedgeProposed,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
    ProtectionRefused,
)
from keeper.core.facts import (
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockReverted,
    BlocksBackfilled,
    ClockTicked,
    Fact,
    LogsRepaired,
    RangeVerified,
    ReceiptSeen,
    RunStarted,
    SettingsReloaded,
    SignerRead,
)
from keeper.core.ids import to_hex
from keeper.core.risk import PPM
from keeper.core.runconfig import RunConfig
from keeper.core.units import BaseAmount
from keeper.engine.intents import TrackedIntent
from keeper.observe.chain_metrics import NAMESPACE, ChainMetrics
from keeper.observe.lane_metrics import LaneMetrics
from keeper.observe.limit_metrics import LimitMetrics
from keeper.observe.node_metrics import NodeMetrics
from keeper.observe.notify import OUTCOMES
from keeper.observe.slices import SliceMetrics
from keeper.observe.status import FRESH, Status, VenueStatus

STEP_SECONDS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
APPEND_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """The metrics of one run (or one replay), in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(name, doc, labels, namespace=NAMESPACE, registry=registry)

        def histogram(name: str, doc: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, doc, namespace=NAMESPACE, registry=registry, buckets=buckets)

        self._registry = registry
        self._chains = ChainMetrics(registry)
        self._nodes = NodeMetrics(registry)
        self._slices = SliceMetrics(registry, self._chains)
        self._lanes = LaneMetrics(registry, self._chains)
        self._limits = LimitMetrics(registry)
        self._facts = counter("facts_total", "Facts.", "kind")
        self._sequence = gauge("journal_sequence", "Newest durable record.")
        self._bytes = gauge("journal_bytes", "Size of the journal's file.")
        self._disk_free = gauge("journal_disk_free_bytes", "What the disk of the journal has left; NaN without one.")
        self._disk_free.set(math.nan)
        self._append_seconds = histogram("journal_append_seconds", "From append to durable.", APPEND_SECONDS)
        self._step_seconds = histogram("engine_step_seconds", "One group of facts through the engine.", STEP_SECONDS)
        self._balance = gauge("signer_balance_wei", "Native balance of a signer.", "chain", "signer")
        self._halted = gauge("signer_halted", "Whether a signer waits for the operator.", "chain", "signer")
        self._accounts = gauge("accounts", "Accounts with debt.", "venue", "status")
        self._unknown = gauge("debt_unknown_ratio", "Share of debt of accounts whose health is unknown.", "venue")
        self._at_risk = gauge("at_risk_debt_usd", "Debt within a distance of the line.", "venue", "within")
        self._distances = gauge(
            "account_distance_bucket", "Debt, in USD, of accounts up to a distance from the line.", "venue", "le"
        )
        self._risk = gauge("risk_accounts", "Accounts with debt by the second opinion.", "venue", "status")
        self._price_age = gauge("price_age_seconds", "Age of the price that is believed.", "venue", "feed")
        self._price_unmoved = gauge(
            "price_unmoved_seconds", "Since the oracle told something new; NaN where it never did.", "venue", "feed"
        )
        self._price_move = gauge("price_move_ratio", "How far a price is reckoned to move.", "venue", "feed")
        self._price_vol = gauge(
            "price_vol_annual_ratio", "Volatility in a year that a price is reckoned with.", "venue", "feed"
        )
        self._price_stress = gauge(
            "price_stress_probability", "How likely a price's market is in stress.", "venue", "feed"
        )
        self._price_trusted = gauge("price_trusted", "Whether the oracle guard believes a price.", "venue", "feed")
        self._lag_seconds = histogram("event_loop_lag_seconds", "How late the event loop came to a timer.", LAG_SECONDS)
        self._queue_depth = gauge("queue_depth", "What waits in a bounded queue.", "queue")
        self._queue_peak = gauge("queue_peak", "The most that waited in it.", "queue")
        self._late = counter("part_late_total", "Units of work that passed their bound.", "part")
        self._hedges = gauge("hedge_proposed_usd", "Hedge that is proposed; below zero: to sell.", "venue", "market")
        self._unread = gauge("venue_unread_items", "What is known to be left of reading a venue at one block.", "venue")
        counter("replay_divergence_total", "Zero: a daemon whose replay at the start diverges does not run (exit 4).")
        self._audits = counter("audits_total", "Accounts compared with the venue's own view.", "venue", "outcome")
        self._notices = counter("notifications_total", "Notices by what became of them.", "notifier", "outcome")
        gauge("build_info", "The version that runs.", "version").labels(__version__).set(1)

    def observe(self, bodies: Iterable[AnyBody], *, first_sequence: int, unix_ms: int) -> None:
        """Take durable records in order, decisions after their fact.

        Args:
            bodies: Facts and decisions as they stand in the journal.
            first_sequence: The sequence of the first of them.
            unix_ms: When they were recorded.
        """
        sequence = first_sequence - 1
        for sequence, body in enumerate(bodies, first_sequence):  # noqa: B007 - the last one is wanted
            self._take(body, unix_ms)
        self._sequence.set(sequence)

    def settled(self, *, step_seconds: float, durable_seconds: float) -> None:
        """Take how long a group of facts took to be stepped, and then to be durable."""
        self._step_seconds.observe(step_seconds)
        self._append_seconds.observe(durable_seconds)

    def resume(self, tracked: Iterable[TrackedIntent]) -> None:
        """Take over the intents that are open when a run begins."""
        known = list(tracked)
        self._slices.resume(known)
        self._lanes.resume(known)

    def on_request(self, chain: str) -> Callable[[str, str, float, str], None]:
        """Return what a chain's nodes call after each request: method, outcome, seconds, provider."""
        return self._nodes.on_request(chain)

    def on_count(self, chain: str) -> Callable[[str, str], None]:
        """Return what a chain's providers call for each thing that is worth counting: what, and of which kind."""
        return self._nodes.on_count(chain)

    def heads_degraded(self, chain: str, *, degraded: bool) -> None:
        """Say whether a chain has been silent for longer than its blocks usually take."""
        self._nodes.heads_degraded(chain, degraded=degraded)

    def provider(self, chain: str, provider: str, *, up: bool, score: float, quarantined: bool) -> None:
        """Say how a provider, by its redacted name, stands; ``score`` in seconds."""
        self._nodes.provider(chain, provider, up=up, score=score, quarantined=quarantined)

    def journal_bytes(self, size: int, disk_free: int | None = None) -> None:
        """Say how large the journal's file is, and how much its disk has left, if it is on one."""
        self._bytes.set(size)
        self._disk_free.set(math.nan if disk_free is None else disk_free)

    def loop_lag(self, seconds: float) -> None:
        """Take how late the event loop came to a timer."""
        self._lag_seconds.observe(seconds)

    def part_late(self, part: str) -> None:
        """Count a unit of work of a part that passed its bound."""
        self._late.labels(part).inc()

    def notifier(self, name: str) -> None:
        """Show a webhook's counters, at zero."""
        for outcome in OUTCOMES:
            self._notices.labels(name, outcome)

    def notification(self, name: str, outcome: str) -> None:
        """Count what became of a webhook's notice."""
        self._notices.labels(name, outcome).inc()

    def queue(self, name: str, depth: int, peak: int) -> None:
        """Say how much a queue holds, now and at worst."""
        self._queue_depth.labels(name).set(depth)
        self._queue_peak.labels(name).set(peak)

    def reflect(self, status: Status) -> None:
        """Set the gauges of state from a picture of the state."""
        self._limits.reflect(status)
        for venue in status.venues:
            for name, count in venue.accounts.items():
                self._accounts.labels(venue.name, name).set(count)
            self._unknown.labels(venue.name).set(_unknown_ratio(venue))
            self._unread.labels(venue.name).set(0 if venue.reading is None else venue.reading.unread)
            self._reflect_risk(venue)
        for signer in status.signers:
            self._halted.labels(signer.chain, signer.name).set(signer.halted is not None)

    def _reflect_risk(self, venue: VenueStatus) -> None:
        for within, owed in venue.owed_within.items():
            self._at_risk.labels(venue.name, within).set(int(owed) / BaseAmount.ONE)
            self._distances.labels(venue.name, within).set(int(owed) / BaseAmount.ONE)
        if venue.owed_within:
            self._distances.labels(venue.name, "+Inf").set(int(venue.debt_base) / BaseAmount.ONE)
        if venue.risk is None:
            return
        for status, count in venue.risk.accounts.items():
            self._risk.labels(venue.name, status).set(count)
        for price in venue.risk.prices:
            if price.age_seconds is not None:
                self._price_age.labels(venue.name, price.asset).set(price.age_seconds)
            unmoved = math.nan if price.unmoved_seconds is None else price.unmoved_seconds
            self._price_unmoved.labels(venue.name, price.asset).set(unmoved)
            self._price_move.labels(venue.name, price.asset).set(price.move_ppm / PPM)
            self._price_vol.labels(venue.name, price.asset).set(price.vol_annual_ppm / PPM)
            if price.stress_ppm is not None:
                self._price_stress.labels(venue.name, price.asset).set(price.stress_ppm / PPM)
            self._price_trusted.labels(venue.name, price.asset).set(price.verdict == FRESH)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(_WithoutCreated(self._registry))

    def _take(self, body: AnyBody, unix_ms: int) -> None:
        if isinstance(body, Fact):
            self._facts.labels(type(body).__name__).inc()
        match body:
            case RunStarted() | SettingsReloaded():
                self._configure(body.config)
            case ClockTicked():
                self._chains.ticked(body.unix_ms)
                self._lanes.ticked(body.unix_ms)
            case BlockApplied():
                self._chains.applied(body)
                self._slices.block(body, unix_ms)
            case BlocksBackfilled():
                self._chains.backfilled(body)
            case BlockReverted():
                self._chains.reverted(body)
            case RangeVerified() | LogsRepaired() | AuditAgreed() | AuditFailed():
                self._take_check(body)
            case SignerRead():
                self._balance.labels(self._chains.name(body.chain_id), body.signer).set(int(body.balance_wei))
            case _:
                self._take_slice(body, unix_ms)

    def _configure(self, config: RunConfig) -> None:
        self._chains.configure(config)
        self._slices.configure(config)
        self._limits.configure(config)
        for venue in config.venues:
            for outcome in ("agreed", "failed"):
                self._audits.labels(venue.name, outcome)

    def _take_check(self, body: RangeVerified | LogsRepaired | AuditAgreed | AuditFailed) -> None:
        match body:
            case RangeVerified():
                self._chains.verified(body)
            case LogsRepaired():
                self._chains.repaired(body)
            case AuditAgreed():
                self._audits.labels(body.venue, "agreed").inc(len(body.accounts))
            case AuditFailed():
                self._audits.labels(body.venue, "failed").inc()

    def _take_slice(self, body: AnyBody, unix_ms: int) -> None:
        match body:
            case ProposalRefused() | ProtectionRefused():
                self._slices.refused(body)
            case HedgeProposed():
                usd = int(body.plan.size_base) / BaseAmount.ONE
                self._hedges.labels(body.plan.venue, to_hex(body.plan.market)).set(usd)
            case IntentAdmitted():
                self._slices.admitted(body, unix_ms)
            case AttemptPrepared():
                self._lanes.prepared(body)
            case AttemptSent():
                self._slices.sent(body, unix_ms)
            case ReceiptSeen():
                self._slices.receipt(body)
            case LiquidationObserved():
                self._slices.liquidation(body)
            case IntentAdvanced():
                self._slices.advanced(body, unix_ms)
                self._lanes.advanced(body)


def _unknown_ratio(venue: VenueStatus) -> float:
    """Return the share of debt that is unknown; of accounts, where not even the debt of those is known."""
    unknown, accounts = venue.accounts.get("unknown", 0), sum(venue.accounts.values())
    if int(venue.debt_unknown_base) or not unknown:
        return int(venue.debt_unknown_base) / max(1, int(venue.debt_base))
    return unknown / accounts


class _WithoutCreated(CollectorRegistry):
    """A view of a registry without the ``_created`` series: they say when a process began, twice as many series."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._all = registry

    def collect(self) -> Iterator[Metric]:
        """Yield the registry's families."""
        for family in self._all.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family
