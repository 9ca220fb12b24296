"""What the operator allows, beside what it bounds: an alert compares the two, whatever the configuration says."""

from __future__ import annotations

import msgspec
from prometheus_client import CollectorRegistry, Gauge

from keeper.core.runconfig import RunConfig
from keeper.core.units import BaseAmount
from keeper.observe.chain_metrics import NAMESPACE
from keeper.observe.status import Status


class LimitMetrics:
    """Bounds from the configuration (at a start and at each reload), and how near the run is to those of spending."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def gauge(name: str, doc: str, *labels: str) -> Gauge:
            return Gauge(name, doc, labels, namespace=NAMESPACE, registry=registry)

        self._lag_max = gauge("watermark_lag_seconds_max", "Without a head for longer, accounts are unknown.", "chain")
        self._balance_min = gauge("signer_balance_wei_min", "Below it the signer admits nothing.", "signer")
        self._price_age_max = gauge("price_age_seconds_max", "An older price is not believed.", "venue")
        self._spend = gauge("spend_usd_hour", "What was committed within the last hour.")
        self._spend_max = gauge("spend_usd_hour_max", "What may be committed within an hour.")
        self._reverts = gauge("venue_reverts", "Reverts within the breaker's window with no success between.", "venue")
        self._reverts_max = gauge("venue_reverts_max", "So many pause a venue.")
        self._paused = gauge("venue_paused", "Whether a venue rests after its reverts.", "venue")
        self._kill_switch = gauge("kill_switch_armed", "Whether nothing is admitted, by the operator or while leaving.")
        self._progress_age = gauge("progress_age_seconds", "How long ago the core loop last took a group of facts.")
        self._prices_missing = gauge("prices_missing", "Tokens of a venue without a price.", "venue")

    def configure(self, config: RunConfig) -> None:
        """Take the bounds of a configuration."""
        for chain in config.chains:
            self._lag_max.labels(chain.name).set(chain.stale_after_seconds)
        for signer in config.signers:
            self._balance_min.labels(signer.name).set(int(signer.balance_wei_min))
        if not isinstance(config.risk, msgspec.UnsetType):
            for risk in config.risk:
                self._price_age_max.labels(risk.venue).set(risk.heartbeat_seconds)
        self._spend_max.set(int(config.limits.spend_base_per_hour_max) / BaseAmount.ONE)
        self._reverts_max.set(config.limits.reverts_per_venue_max)

    def reflect(self, status: Status) -> None:
        """Set what the picture of the state says."""
        self._progress_age.set(status.progress_age_seconds)
        self._kill_switch.set(status.kill_switch_armed)
        self._spend.set(int(status.spend_hour_base) / BaseAmount.ONE)
        for venue in status.venues:
            self._reverts.labels(venue.name).set(venue.reverts)
            self._paused.labels(venue.name).set(venue.paused)
            self._prices_missing.labels(venue.name).set(len(venue.prices_missing))
