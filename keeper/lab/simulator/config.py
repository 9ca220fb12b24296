"""What every simulated keeper is told to do."""

from __future__ import annotations

from keeper.core.ids import Address, content_id
from keeper.core.runconfig import ChainSpec, Limits, PartialLiquidationSpec, RunConfig, SignerSpec, VenueSpec
from keeper.core.units import BaseAmount, Bps, Wad, Wei
from keeper.lab.simulator.market import NATIVE, POOL
from keeper.lab.simulator.node import CHAIN_ID

UNIT = 10**8
GWEI = 10**9
SIGNER_KEY = content_id("simulated signer")
IN_FLIGHT_MAX = 4
GAS_PRICE_WEI_MAX = Wei(200 * GWEI)


def run_config(signer: Address) -> RunConfig:
    """Return the configuration, with limits that the storm reaches and the calm does not."""
    return RunConfig(
        live=True,
        chains=(
            ChainSpec(
                name="simulated",
                chain_id=CHAIN_ID,
                finality_depth_blocks=None,
                stale_after_seconds=90,
                wrapped_native=NATIVE,
                scanned=True,
            ),
        ),
        venues=(
            VenueSpec(name="market", protocol="simulated", chain_id=CHAIN_ID, root=POOL, from_block=0, prices="events"),
        ),
        signers=(
            SignerSpec(
                name="main",
                address=signer,
                in_flight_max=IN_FLIGHT_MAX,
                bump_after_blocks=2,
                valid_for_blocks=6,
                balance_wei_min=Wei(10**15),
            ),
        ),
        strategies=(
            PartialLiquidationSpec(
                name="partial_liquidation",
                venues=("market",),
                signer="main",
                objective="target-health",
                target_health=Wad(105 * 10**16),
                slippage_bps={},
                slippage_bps_default=Bps(0),
                dust_base=BaseAmount(100 * UNIT),
            ),
        ),
        limits=Limits(
            profit_base_min=BaseAmount(UNIT),
            gas_price_wei_max=GAS_PRICE_WEI_MAX,
            spend_base_per_hour_max=BaseAmount(10**9 * UNIT),
            spend_base_per_intent_max=BaseAmount(10**6 * UNIT),
            attempts_per_account_max=3,
            head_age_seconds_max=60,
            breaker_pause_blocks=10,
            gas_wei_per_hour_max=Wei(10**20),
        ),
    )
