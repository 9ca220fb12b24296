"""How the keeper stands towards its chains, and how its nodes answer."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from keeper.core.facts import BlockApplied, BlockReverted, BlocksBackfilled, LogsRepaired, RangeVerified
from keeper.core.runconfig import RunConfig

NAMESPACE = "keeper"
RPC_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
DEPTHS = (1, 2, 3, 5, 8, 13, 21, 34, 64, 128)


class ChainMetrics:
    """Blocks and reorgs from facts; node requests from the callable of :meth:`on_request`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        self._head_block = gauge("head_block", "Newest block the chain is known to have.", "chain")
        self._watermark_block = gauge("watermark_block", "Last block whose facts are complete.", "chain")
        self._watermark_lag_seconds = gauge(
            "watermark_lag_seconds", "Wall clock less the watermark's own timestamp.", "chain"
        )
        self._provider_up = gauge("rpc_provider_up", "1 unless the provider is passed over.", "chain", "provider")
        self._provider_score = gauge(
            "rpc_provider_score",
            "Seconds that a good answer of the provider is expected to take; the least is asked first.",
            "chain",
            "provider",
        )
        self._quarantined = gauge("rpc_quarantined", "1 while the provider is not trusted.", "chain", "provider")
        self._bloom_false_positives = Counter(
            "bloom_false_positives_total",
            "Blocks whose bloom seemed to hold a watched log, and that had none.",
            ["chain"],
            namespace=NAMESPACE,
            registry=registry,
        )
        self._reorgs = Counter("reorgs_total", "Reorgs.", ["chain"], namespace=NAMESPACE, registry=registry)
        self._reorg_depth_blocks = Histogram(
            "reorg_depth_blocks",
            "Blocks abandoned in a reorg.",
            ["chain"],
            namespace=NAMESPACE,
            registry=registry,
            buckets=DEPTHS,
        )
        self._verified_block = gauge("verified_block", "Newest final block that a second provider confirmed.", "chain")
        self._repairs = Counter(
            "repairs_total",
            "Times that logs were recorded wrong and put right.",
            ["chain"],
            namespace=NAMESPACE,
            registry=registry,
        )
        self._requests = Counter(
            "rpc_requests_total",
            "Requests to nodes.",
            ["chain", "method", "outcome"],
            namespace=NAMESPACE,
            registry=registry,
        )
        self._request_seconds = Histogram(
            "rpc_seconds",
            "Time of a request to a node, batches as one.",
            ["chain", "method"],
            namespace=NAMESPACE,
            registry=registry,
            buckets=RPC_SECONDS,
        )
        self._names: dict[int, str] = {}
        self._reverted: dict[int, int] = {}
        self._watermark_timestamps: dict[int, int] = {}

    def name(self, chain_id: int) -> str:
        """Return a chain's configured name, its id before the configuration was seen."""
        return self._names.get(chain_id, str(chain_id))

    def configure(self, config: RunConfig) -> None:
        """Learn the names of the chains."""
        self._names = {chain.chain_id: chain.name for chain in config.chains}

    def applied(self, fact: BlockApplied) -> None:
        """Take a block; it ends the reorg that its forerunners began."""
        chain = self.name(fact.chain_id)
        depth = self._reverted.pop(fact.chain_id, 0)
        if depth:
            self._reorgs.labels(chain).inc()
            self._reorg_depth_blocks.labels(chain).observe(depth)
        self._moved(fact.chain_id, fact.header.number, fact.header.timestamp, fact.behind_blocks)

    def backfilled(self, fact: BlocksBackfilled) -> None:
        """Take a range of final blocks."""
        self._moved(fact.chain_id, fact.last.number, fact.last.timestamp, fact.behind_blocks)

    def reverted(self, fact: BlockReverted) -> None:
        """Take an abandoned block."""
        self._reverted[fact.chain_id] = self._reverted.get(fact.chain_id, 0) + 1
        self._watermark_block.labels(self.name(fact.chain_id)).set(fact.number - 1)

    def verified(self, fact: RangeVerified) -> None:
        """Take a range that was read again elsewhere."""
        self._verified_block.labels(self.name(fact.chain_id)).set(fact.last)

    def repaired(self, fact: LogsRepaired) -> None:
        """Take a repair."""
        self._repairs.labels(self.name(fact.chain_id)).inc()

    def ticked(self, unix_ms: int) -> None:
        """Measure the lag of every chain anew: it grows while no block comes."""
        for chain_id, timestamp in self._watermark_timestamps.items():
            self._watermark_lag_seconds.labels(self.name(chain_id)).set(unix_ms / 1000 - timestamp)

    def on_request(self, chain: str) -> Callable[[str, str, float, str], None]:
        """Return what the chain's nodes are to call after each request (method, outcome, seconds, provider)."""

        def measure(method: str, outcome: str, seconds: float, _provider: str) -> None:
            self._requests.labels(chain, method, outcome).inc()
            self._request_seconds.labels(chain, method).observe(seconds)

        return measure

    def on_count(self, chain: str) -> Callable[[str, str], None]:
        """Return what the chain's providers are to call for each thing that is worth counting (what, which kind)."""
        counters = {"bloom_false_positive": lambda _: self._bloom_false_positives.labels(chain).inc()}
        return lambda what, kind: counters[what](kind)

    def provider(self, chain: str, provider: str, *, up: bool, score: float, quarantined: bool) -> None:
        """Say how a provider (by its redacted name) stands; ``score`` in seconds."""
        self._provider_up.labels(chain, provider).set(up)
        self._provider_score.labels(chain, provider).set(score)
        self._quarantined.labels(chain, provider).set(quarantined)

    def _moved(self, chain_id: int, number: int, timestamp: int, behind_blocks: int) -> None:
        chain = self.name(chain_id)
        self._head_block.labels(chain).set(number + behind_blocks)
        self._watermark_block.labels(chain).set(number)
        self._watermark_timestamps[chain_id] = timestamp
