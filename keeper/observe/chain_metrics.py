"""How the keeper stands towards its chains."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from keeper.core.facts import BlockApplied, BlockReverted, BlocksBackfilled, LogsRepaired, RangeVerified
from keeper.core.runconfig import RunConfig

NAMESPACE = "keeper"
DEPTHS = (1, 2, 3, 5, 8, 13, 21, 34, 64, 128)


class ChainMetrics:
    """Blocks and reorgs, from facts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        self._head_block = gauge("head_block", "Newest block the chain is known to have.", "chain")
        self._watermark_block = gauge("watermark_block", "Last block whose facts are complete.", "chain")
        self._watermark_lag_seconds = gauge(
            "watermark_lag_seconds", "Wall clock less the watermark's timestamp, or its arrival if longer.", "chain"
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
        self._names: dict[int, str] = {}
        self._reverted: dict[int, int] = {}
        self._watermarks: dict[int, tuple[int, float]] = {}
        self._now = 0.0

    def name(self, chain_id: int) -> str:
        """Return a chain's configured name, its id before the configuration was seen."""
        return self._names.get(chain_id, str(chain_id))

    def configure(self, config: RunConfig) -> None:
        """Learn the names of the chains, and begin their counts: a rate needs a zero before the first one."""
        self._names = {chain.chain_id: chain.name for chain in config.chains}
        for counted in (self._reorgs, self._reorg_depth_blocks, self._repairs):
            for name in self._names.values():
                counted.labels(name)

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
        """Measure the lag of every chain anew: it grows while no block comes, also where blocks are ahead of us."""
        self._now = unix_ms / 1000
        for chain_id, (timestamp, arrived) in self._watermarks.items():
            self._watermark_lag_seconds.labels(self.name(chain_id)).set(self._now - min(timestamp, arrived))

    def _moved(self, chain_id: int, number: int, timestamp: int, behind_blocks: int) -> None:
        chain = self.name(chain_id)
        self._head_block.labels(chain).set(number + behind_blocks)
        self._watermark_block.labels(chain).set(number)
        self._watermarks[chain_id] = (timestamp, self._now or timestamp)
