"""How the nodes of the chains answer, and what was done about those that do not. Of this run alone."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from keeper.observe.chain_metrics import NAMESPACE

RPC_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class NodeMetrics:
    """Node requests from the callable of :meth:`on_request`, what was done from that of :meth:`on_count`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        def counter(name: str, doc: str, *labels: str) -> Counter:
            return Counter(name, doc, labels, namespace=NAMESPACE, registry=registry)

        self._provider_up = gauge("rpc_provider_up", "1 unless the provider is passed over.", "chain", "provider")
        self._provider_score = gauge(
            "rpc_provider_score",
            "Seconds that a good answer of the provider is expected to take; the least is asked first.",
            "chain",
            "provider",
        )
        self._quarantined = gauge("rpc_quarantined", "1 while the provider is not trusted.", "chain", "provider")
        self._heads_degraded = gauge(
            "heads_degraded", "1 while no source announces a head for three usual block times.", "chain"
        )
        self._hedges = counter(
            "rpc_hedges_total", "Reads that took too long, by what a second provider did about it.", "chain", "outcome"
        )
        self._rate_limited = counter(
            "rpc_rate_limited_total", "Requests refused because the provider is asked too often.", "chain", "provider"
        )
        self._bloom_false_positives = counter(
            "bloom_false_positives_total", "Blocks whose bloom seemed to hold a watched log, and had none.", "chain"
        )
        self._requests = counter("rpc_requests_total", "Requests to nodes.", "chain", "method", "outcome")
        self._request_seconds = Histogram(
            "rpc_seconds",
            "Time of a request to a node, batches as one.",
            ["chain", "method"],
            namespace=NAMESPACE,
            registry=registry,
            buckets=RPC_SECONDS,
        )

    def on_request(self, chain: str) -> Callable[[str, str, float, str], None]:
        """Return what the chain's nodes are to call after each request (method, outcome, seconds, provider)."""

        def measure(method: str, outcome: str, seconds: float, provider: str) -> None:
            if outcome == "limited":
                self._rate_limited.labels(chain, provider).inc()
            self._requests.labels(chain, method, outcome).inc()
            self._request_seconds.labels(chain, method).observe(seconds)

        return measure

    def on_count(self, chain: str) -> Callable[[str, str], None]:
        """Return what the chain's providers are to call for each thing that is worth counting (what, which kind)."""

        def count(what: str, kind: str) -> None:
            if what == "hedge":
                self._hedges.labels(chain, kind).inc()
            else:
                self._bloom_false_positives.labels(chain).inc()

        return count

    def heads_degraded(self, chain: str, *, degraded: bool) -> None:
        """Say whether a chain has been silent for longer than its blocks usually take."""
        self._heads_degraded.labels(chain).set(degraded)

    def provider(self, chain: str, provider: str, *, up: bool, score: float, quarantined: bool) -> None:
        """Say how a provider (by its redacted name) stands; ``score`` in seconds."""
        self._provider_up.labels(chain, provider).set(up)
        self._provider_score.labels(chain, provider).set(score)
        self._quarantined.labels(chain, provider).set(quarantined)
