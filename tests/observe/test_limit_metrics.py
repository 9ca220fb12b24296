"""Bounds and what they bound stand side by side, and a count that an alert watches begins at zero."""

from __future__ import annotations

import math

import msgspec
import pytest

from keeper.core.decisions import Verdict
from keeper.core.facts import SettingsReloaded
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.units import BaseAmount, Bps, Wad, Wei
from tests.engine.test_second_opinion import RISK
from tests.observe import records
from tests.observe.pictures import changed, with_venue
from tests.observe.test_metrics import Observed

STRATEGY = PartialLiquidationSpec(
    name="slices",
    venues=("aave",),
    signer="main",
    objective="target-health",
    target_health=Wad(10**18),
    slippage_bps={},
    slippage_bps_default=Bps(0),
    dust_base=BaseAmount(0),
)


def test_bounds_follow_the_configuration() -> None:
    """A reload moves the bounds that alerts compare with."""
    observed = Observed()
    config = records.run_config()
    before = observed("watermark_lag_seconds_max", chain="local"), observed("spend_usd_hour_max")
    changes = {
        "chains": (msgspec.structs.replace(config.chains[0], stale_after_seconds=30),),
        "signers": (msgspec.structs.replace(config.signers[0], balance_wei_min=Wei(10**16)),),
        "limits": msgspec.structs.replace(
            config.limits, spend_base_per_hour_max=BaseAmount(500 * records.USD), reverts_per_venue_max=7
        ),
        "risk": (msgspec.structs.replace(RISK, venue="aave", heartbeat_seconds=3600),),
    }
    observed.take(0, SettingsReloaded(msgspec.structs.replace(config, **changes), "{}", 0))

    assert before == (60.0, 1e10)
    assert (observed("watermark_lag_seconds_max", chain="local"), observed("spend_usd_hour_max")) == (30.0, 500.0)
    assert (observed("signer_balance_wei_min", signer="main"), observed("venue_reverts_max")) == (1e16, 7.0)
    assert observed("price_age_seconds_max", venue="aave") == 3600.0


def test_the_picture_says_how_near_the_bounds_are() -> None:
    """Spending, reverts, the switch, progress and missing prices are read off the picture."""
    observed = Observed()
    observed.metrics.reflect(changed(spend_hour_base="12500000000", kill_switch_armed=True, progress_age_seconds=4.5))
    figures = [observed(name) for name in ("spend_usd_hour", "kill_switch_armed", "progress_age_seconds")]
    observed.metrics.reflect(with_venue(reverts=3, paused=True, prices_missing=("0x01", "0x02")))
    of_venue = [observed(name, venue="aave") for name in ("venue_reverts", "venue_paused", "prices_missing")]

    assert figures == [125.0, 1.0, 4.5]
    assert of_venue == [3.0, 1.0, 2.0]


def test_counts_begin_at_zero() -> None:
    """What a rate is taken of is there before the first time, so that the first time is a rise."""
    observed = Observed()
    config = msgspec.structs.replace(records.run_config(), strategies=(STRATEGY,))
    observed.take(0, SettingsReloaded(config, "{}", 0))

    assert [observed(f"{name}_total", chain="local") for name in ("reorgs", "repairs")] == [0.0, 0.0]
    assert observed("reorg_depth_blocks_bucket", chain="local", le="8.0") == 0.0
    assert observed("audits_total", venue="aave", outcome="failed") == 0.0
    assert observed("proposals_total", venue="aave", strategy="slices", outcome="admitted", reason="") == 0.0
    for verdict in set(Verdict) - {Verdict.OURS}:
        assert observed("liquidations_seen_total", venue="aave", by="others", verdict=verdict.value) == 0.0


@pytest.mark.parametrize(("free", "figure"), [(10**9, 1e9), (None, math.nan)])
def test_a_disk_has_something_left(free: int | None, figure: float) -> None:
    """What is free is exported; a journal without a disk has no figure rather than none left."""
    observed = Observed()
    observed.metrics.journal_bytes(4096, free)

    assert observed("journal_disk_free_bytes") == pytest.approx(figure, nan_ok=True)
