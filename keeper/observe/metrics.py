"""Every figure that the keeper exports to Prometheus.

Counters and histograms are a fold over records (:meth:`Metrics.observe`): a replay of a journal exports what the run
exported. Gauges of state (accounts, halts) are read from the state at each scrape (:meth:`Metrics.reflect`),
because a record says only what changed. The two that measure this machine (:meth:`Metrics.settled`) and the nodes
(:meth:`Metrics.on_request`) are of the run alone. Each instance has a registry of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from keeper import __version__
from keeper.core.codec import AnyBody
from keeper.core.decisions import (
    AuditAgreed,
    AuditFailed,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
)
from keeper.core.facts import (
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
    SignerRead,
)
from keeper.engine.intents import TrackedIntent
from keeper.observe.chain_metrics import NAMESPACE, ChainMetrics
from keeper.observe.node_metrics import NodeMetrics
from keeper.observe.slices import SliceMetrics
from keeper.observe.status import Status, VenueStatus

STEP_SECONDS = (0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0)
LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
APPEND_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)


class Metrics:
    """The metrics of one run (or one replay), in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        def histogram(name: str, doc: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(name, doc, namespace=NAMESPACE, registry=registry, buckets=buckets)

        self._registry = registry
        self._chains = ChainMetrics(registry)
        self._nodes = NodeMetrics(registry)
        self._slices = SliceMetrics(registry, self._chains)
        self._facts = Counter("facts_total", "Facts.", ["kind"], namespace=NAMESPACE, registry=registry)
        self._sequence = gauge("journal_sequence", "Newest durable record.")
        self._bytes = gauge("journal_bytes", "Size of the journal's file.")
        self._append_seconds = histogram("journal_append_seconds", "From append to durable.", APPEND_SECONDS)
        self._step_seconds = histogram("engine_step_seconds", "One group of facts through the engine.", STEP_SECONDS)
        self._balance = gauge("signer_balance_wei", "Native balance of a signer.", "chain", "signer")
        self._halted = gauge("signer_halted", "Whether a signer waits for the operator.", "chain", "signer")
        self._accounts = gauge("accounts", "Accounts with debt.", "venue", "status")
        self._unknown = gauge("debt_unknown_ratio", "Share of debt of accounts whose health is unknown.", "venue")
        self._lag_seconds = histogram("event_loop_lag_seconds", "How late the event loop came to a timer.", LAG_SECONDS)
        self._queue_depth = gauge("queue_depth", "What waits in a bounded queue.", "queue")
        self._queue_peak = gauge("queue_peak", "The most that waited in it.", "queue")
        self._late = Counter(
            "part_late_total",
            "Units of work that passed their bound.",
            ["part"],
            namespace=NAMESPACE,
            registry=registry,
        )
        self._unread = gauge("venue_unread_items", "What is known to be left of reading a venue at one block.", "venue")
        self._divergences = Counter(
            "replay_divergence_total",
            "Decisions that a replay made differently.",
            namespace=NAMESPACE,
            registry=registry,
        )
        self._audits = Counter(
            "audits_total",
            "Accounts compared with the venue's own view.",
            ["venue", "outcome"],
            namespace=NAMESPACE,
            registry=registry,
        )
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
        self._slices.resume(tracked)

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

    def journal_bytes(self, size: int) -> None:
        """Say how large the journal's file is."""
        self._bytes.set(size)

    def loop_lag(self, seconds: float) -> None:
        """Take how late the event loop came to a timer."""
        self._lag_seconds.observe(seconds)

    def part_late(self, part: str) -> None:
        """Count a unit of work of a part that passed its bound."""
        self._late.labels(part).inc()

    def queue(self, name: str, depth: int, peak: int) -> None:
        """Say how much a queue holds, now and at worst."""
        self._queue_depth.labels(name).set(depth)
        self._queue_peak.labels(name).set(peak)

    def replay_diverged(self) -> None:
        """Count a decision that came out differently in a replay."""
        self._divergences.inc()

    def reflect(self, status: Status) -> None:
        """Set the gauges of state from a picture of the state."""
        for venue in status.venues:
            for name, count in venue.accounts.items():
                self._accounts.labels(venue.name, name).set(count)
            self._unknown.labels(venue.name).set(_unknown_ratio(venue))
            self._unread.labels(venue.name).set(0 if venue.reading is None else venue.reading.unread)
        for signer in status.signers:
            self._halted.labels(signer.chain, signer.name).set(signer.halted is not None)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus's text format."""
        return generate_latest(_WithoutCreated(self._registry))

    def _take(self, body: AnyBody, unix_ms: int) -> None:
        if isinstance(body, Fact):
            self._facts.labels(type(body).__name__).inc()
        match body:
            case RunStarted():
                self._chains.configure(body.config)
            case ClockTicked():
                self._chains.ticked(body.unix_ms)
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
            case ProposalRefused():
                self._slices.refused(body)
            case IntentAdmitted():
                self._slices.admitted(body, unix_ms)
            case AttemptSent():
                self._slices.sent(body, unix_ms)
            case ReceiptSeen():
                self._slices.receipt(body)
            case LiquidationObserved():
                self._slices.liquidation(body)
            case IntentAdvanced():
                self._slices.advanced(body, unix_ms)


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
