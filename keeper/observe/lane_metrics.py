"""How long the lowest nonce of a signer has waited for a block: what is stuck there holds up all that is behind it.

A fold over records: the time is that of the clock's ticks, so a replay gives the figures of the run. An intent that an
earlier run signed counts from the first tick of this one.
"""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Gauge

from keeper.core.decisions import IntentAdvanced
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Hash32
from keeper.engine.intents import TERMINAL, UNMINED, TrackedIntent
from keeper.observe.chain_metrics import NAMESPACE, ChainMetrics

LaneKey = tuple[int, str]
"""A chain's id and a signer's name."""


class LaneMetrics:
    """The slots of every signer on every chain that wait for a block."""

    def __init__(self, registry: CollectorRegistry, chains: ChainMetrics) -> None:
        self._age_seconds = Gauge(
            "lowest_nonce_age_seconds",
            "For how long the lowest nonce without a block has been the lowest; 0 when none waits.",
            ["chain", "signer"],
            namespace=NAMESPACE,
            registry=registry,
        )
        self._chains = chains
        self._slots: dict[Hash32, tuple[LaneKey, int]] = {}
        self._waiting: dict[LaneKey, dict[int, Hash32]] = {}
        self._lowest: dict[LaneKey, tuple[int, int]] = {}

    def resume(self, tracked: Iterable[TrackedIntent]) -> None:
        """Take over the slots that are open when a run begins."""
        for one in tracked:
            if one.nonce is not None:
                intent = one.intent
                self._claim(intent.intent_id, (intent.chain_id, intent.signer), one.nonce, waits=one.is_unmined)

    def prepared(self, fact: AttemptPrepared) -> None:
        """Take a signed attempt: its slot waits for a block."""
        if fact.intent_id not in self._slots:
            self._claim(fact.intent_id, (fact.chain_id, fact.signer), fact.nonce, waits=True)

    def advanced(self, decision: IntentAdvanced) -> None:
        """Take a step of an intent: a block ends the wait, a reorg begins it again."""
        slot = self._slots.get(decision.intent_id)
        if slot is None:
            return
        lane, nonce = slot
        if decision.state in UNMINED:
            self._waiting[lane][nonce] = decision.intent_id
        else:
            self._waiting[lane].pop(nonce, None)
        if decision.state in TERMINAL:
            del self._slots[decision.intent_id]

    def ticked(self, unix_ms: int) -> None:
        """Measure every lane anew."""
        for lane, waiting in self._waiting.items():
            age_ms = 0
            if waiting:
                lowest = min(waiting)
                held, since_ms = self._lowest.get(lane, (lowest, unix_ms))
                since_ms = since_ms if held == lowest else unix_ms
                self._lowest[lane] = (lowest, since_ms)
                age_ms = max(0, unix_ms - since_ms)
            else:
                self._lowest.pop(lane, None)
            self._age_seconds.labels(self._chains.name(lane[0]), lane[1]).set(age_ms / 1000)

    def _claim(self, intent_id: Hash32, lane: LaneKey, nonce: int, *, waits: bool) -> None:
        self._slots[intent_id] = (lane, nonce)
        waiting = self._waiting.setdefault(lane, {})
        if waits:
            waiting[nonce] = intent_id
