"""What cannot be answered about closing positions: auctions, bonuses, impact, oracles, and who pays at last."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from keeper.core.units import BigInt, Bps
from keeper.margin.sizing import Slippage
from keeper.risk.auctions import SolventAuction
from keeper.risk.bonus import StressFee
from keeper.risk.bridges import Bridge
from keeper.risk.cascade import Borrowers
from keeper.risk.contagion import Impact, clearing
from keeper.risk.haircuts import Haircut
from keeper.risk.insurance import BlockLimits, Closing
from keeper.risk.liquidity_tiers import LiquidityTier
from keeper.risk.oracle_rules import SignedPrice
from keeper.risk.oracles import GuardParams, Observation
from keeper.risk.partial import AaveV4Account
from keeper.risk.slice_choice import Liquidatable, Selling
from keeper.risk.toxicity import LiquidationWindow
from keeper.risk.trajectory import ImpactModel
from keeper.risk.twap import PriceRecord
from keeper.risk.yield_bearing import PegParams, RatioSnapshot
from tests.risk.bad_rows import Table

NAN = math.nan
TWO, THREE = [0.5, 0.5], [0.5, 0.5, 0.5]
BRIDGE: dict[str, Any] = {
    "name": "canonical",
    "failure_intensity_annual": 0.03,
    "loss_given_failure": 0.8,
    "insurance_usd": 1e6,
}
TIER: dict[str, Any] = {
    "name": "thin",
    "depth_usd_min": 0.0,
    "volume_daily_usd_min": 0.0,
    "floor_haircut": 0.1,
    "cap_usd": 1e6,
}
DEPTH = Impact(np.full(1, 100.0))
ACCOUNT = Liquidatable(100.0, 90.0, 110.0, Bps(10_500), Bps(8_000), 50.0)
FREE = Selling(Slippage(Bps(0), Bps(0)))
V4 = AaveV4Account(10_000.0, 10_000.0, 10_000.0, 0.9, 1.2, Bps(10_500), Bps(8_000))
MARKET = ImpactModel(0.95, 0.0625, 2.5e-6, 2.5e-7)
SNAPSHOT = RatioSnapshot(ratio=1.15, at_seconds=0, growth_annual=0.0968)
MONTH = 30 * 86_400
GOOD, BAD = (Haircut(*[np.array(value)] * 4) for value in (0.1, 1.5))
SIGNED = [SignedPrice(signer=name, price=BigInt(5), signed_at_seconds=9) for name in "abc"]


def borrowers(**changes: Any) -> Borrowers:  # noqa: ANN401 - any of them, bad ones too
    """Return one borrower of one asset, some of it replaced."""
    one, none = csr_array([[100.0]]), csr_array([[0.0]])
    given: dict[str, Any] = {
        "held_usd": one,
        "counted_usd": one * 0.8,
        "owed_usd": none,
        "owed_counted_usd": none,
        "cash_usd": np.full(1, -85.0),
        "surplus_usd": np.full(1, -5.0),
        "required_usd": np.full(1, 85.0),
        "repays": np.array([True]),
    }
    return Borrowers(**{**given, **changes})


ROWS: Table = {
    "adl.position_equity": [lambda f: f(1, -1, 1, 1), lambda f: f(1, 1, 2, 1), lambda f: f(TWO, THREE, 1, 1)],
    "adl.bankruptcy_price": [lambda f: f(1, 0, 1, 1), lambda f: f(1, 1, 1, -5), lambda f: f(-1, 1, 1, 5)],
    "adl.liquidatable": [lambda f: f(1, -1, 0.1), lambda f: f(1, 1, 1.1), lambda f: f(TWO, THREE, 0.1)],
    "adl.leverage_mass": [lambda f: f(TWO, THREE), lambda f: f([1.0], [-1.0])],
    "adl.queue_score": [lambda f: f(1, 0, 1, 1), lambda f: f(1, 1, 1, 0), lambda f: f(TWO, THREE, 1, 1)],
    "adl.in_turn": [lambda f: f(-1, [1]), lambda f: f(1, [-1]), lambda f: f(1, [[1]])],
    "adl.queue_haircuts": [lambda f: f(1, TWO, THREE), lambda f: f(1, [-1], [1])],
    "adl.pro_rata": [lambda f: f(-1, [1]), lambda f: f(1, [1, None])],
    "adl.risk_aware_pro_rata": [
        lambda f: f(9, [1, 2], [1, 1]),
        lambda f: f(1, [], []),
        lambda f: f(1, [1, 2], [1, 1], caps=THREE),
        lambda f: f(1, [1, 2], [1, 1], caps=[[1], [1]]),
        lambda f: f(1, [1, 2], [1, 1], caps=1.5),
    ],
    "adl.overshoot": [lambda f: f(-1, 1), lambda f: f(TWO, THREE)],
    "auctions.linear_decrease": [lambda f: f(1, 1, length_seconds=0), lambda f: f(TWO, THREE, length_seconds=9)],
    "auctions.stairstep_exponential_decrease": [
        lambda f: f(1, 1, cut=1.1, step_seconds=9),
        lambda f: f(1, 1, cut=0.9, step_seconds=0),
        lambda f: f(1, -1, cut=0.9, step_seconds=9),
    ],
    "auctions.SolventAuction": [lambda f: f(start=0.5, cutoff=0.7), lambda f: f(fast_seconds=0), lambda f: f(1.1)],
    "auctions.SolventAuction.discount": [lambda f: f(SolventAuction(), -1), lambda f: f(SolventAuction(), [NAN])],
    "auctions.SolventAuction.bid": [
        lambda f: f(SolventAuction(), -1, 0),
        lambda f: f(SolventAuction(), 1, 0, reserved_usd=2),
        lambda f: f(SolventAuction(), 1, 0, fraction=1.1),
        lambda f: f(SolventAuction(), TWO, THREE),
    ],
    "auctions.SolventAuction.fee": [lambda f: f(SolventAuction(), -1, 0.5), lambda f: f(SolventAuction(), 1, 1.5)],
    "auctions.insolvent_payout": [
        lambda f: f(1, -1, 0),
        lambda f: f(-5, -1, 0),
        lambda f: f(-1, -2, 0, length_seconds=0),
        lambda f: f(np.negative(TWO), np.full(3, -1.0), 0),
    ],
    "auctions.euler_liquidation": [lambda f: f(1, 0, 1), lambda f: f(1, 1, 1, most_discount=1), lambda f: f(1, 1, -1)],
    "bonus.aave_v4_bonus": [
        lambda f: f(1.1, 1.05, factor=0.8, health_for_most=0.8),
        lambda f: f(0.9, 0.95, factor=0.8, health_for_most=0.8),
        lambda f: f(0.9, 1.05, factor=0.8, health_for_most=1),
        lambda f: f(TWO, np.full(3, 1.05), factor=0.8, health_for_most=0.8),
    ],
    "bonus.protocol_fee": [lambda f: f(1, 0.9, 0.1), lambda f: f(1, 1.1, 1.1), lambda f: f(-1, 1.1, 0.1)],
    "bonus.splitting_never_pays": [lambda f: f(1.1, collateral_factor=1.1, health_for_most=0.9)],
    "bonus.morpho_factor": [lambda f: f(1.1), lambda f: f(-0.1)],
    "bonus.pre_liquidation": [
        lambda f: f(0.9, zone=(0.80, 0.86), incentive=(1.01, 1.04), close_factor=(0.05, 0.5)),
        lambda f: f(0.8, zone=(0.86, 0.80), incentive=(1.01, 1.04), close_factor=(0.05, 0.5)),
        lambda f: f(0.8, zone=(0.80, 0.86), incentive=(1.01, 1.04), close_factor=(0.5, 0.05)),
    ],
    "bonus.drift_fee": [lambda f: f(0.1, 0.05, 1), lambda f: f(0.1, 0.2, -1), lambda f: f(TWO, 1, [1, 2, 3])],
    "bonus.dydx_fill_spread": [lambda f: f(1, 0, 1), lambda f: f(1, 1, 1, bankruptcy_adjustment=0.5)],
    "bonus.StressFee": [lambda f: f(0.1, 0.05, 0.5, 1.0), lambda f: f(0.05, 0.1, 1.0, 1.0)],
    "bonus.StressFee.at": [
        lambda f: f(StressFee(0.05, 0.1, 0.5, 2.0), -1, 0),
        lambda f: f(StressFee(0.05, 0.1, 0.5, 2.0), TWO, THREE),
    ],
    "bridges.Bridge": [lambda f: f(**{**BRIDGE, "loss_given_failure": 1.1}), lambda f: f(**BRIDGE, cap_multiple=-1.0)],
    "bridges.Bridge.expected_loss": [lambda f: f(Bridge(**BRIDGE), -1)],
    "bridges.finality_factor": [lambda f: f(-0.8, 768, 2.3), lambda f: f(TWO, [1, 2, 3], 2.3)],
    "bridges.bridge_multiplier": [lambda f: f(1.1, 0, 0.8, 768, quantile_sigmas=2.3)],
    "bridges.bridged_value": [
        lambda f: f(-1, 0, Bridge(**BRIDGE), market_haircut=0, vol_annual=0.8, held_seconds=0, quantile_sigmas=2.3),
        lambda f: f(1, -1, Bridge(**BRIDGE), market_haircut=0, vol_annual=0.8, held_seconds=0, quantile_sigmas=2.3),
    ],
    "bridges.bridge_counted": [lambda f: f([[1.0, 1.0]], [Bridge(**BRIDGE)]), lambda f: f([1.0], [Bridge(**BRIDGE)])],
    "cascade.Borrowers": [
        lambda _: borrowers(held_usd=csr_array([[1.0, 1.0]])),
        lambda _: borrowers(required_usd=np.full(1, -1.0)),
        lambda _: borrowers(cash_usd=np.full(1, NAN)),
        lambda _: borrowers(repays=np.array([True, True])),
    ],
    "cascade.Borrowers.shocked": [
        lambda f: f(borrowers(), np.array([-2.0])),
        lambda f: f(borrowers(), np.array([NAN])),
        lambda f: f(borrowers(), np.array([0.1, 0.1])),
    ],
    "cascade.cascade": [
        lambda f: f(borrowers(), [1.1], DEPTH, bonus=0.05, health_target=1.0),
        lambda f: f(borrowers(), [0.1], DEPTH, bonus=-0.05, health_target=1.0),
        lambda f: f(borrowers(), [0.1], DEPTH, bonus=0.05, health_target=0.9),
        lambda f: f(borrowers(), [0.1], Impact(np.ones(2)), bonus=0.05, health_target=1.0),
        lambda f: f(borrowers(), [0.1], DEPTH, bonus=0.05, health_target=1.0, rounds_most=0),
    ],
    "cascade.by_group": [lambda f: f(np.array([2]), 2), lambda f: f(np.array([0.5]), 2), lambda f: f(np.array([0]), 0)],
    "cascade.spillovers": [lambda f: f([[1.0]], [[1.0]], [1.1]), lambda f: f([[1.0]], [[1.0]], [1.0, 1.0])],
    "contagion.clearing": [
        lambda f: f([[0, 1]], [1]),
        lambda f: f([[1, 1], [0, 0]], [1, 1]),
        lambda f: f([[0, -1], [0, 0]], [1, 1]),
        lambda f: f([[0, 1], [0, 0]], [1, 1], recovery_claims=1.1),
    ],
    "contagion.bankruptcy_costs": [lambda f: f(clearing([[0, 1], [0, 0]], [1, 1]), [[0, 1], [0, 0]], [1, 1, 1])],
    "contagion.Impact": [lambda f: f(np.zeros(1)), lambda f: f(np.ones(1), 1.0), lambda f: f(np.array([NAN]))],
    "contagion.Impact.kept": [
        lambda f: f(DEPTH, np.array([-5.0])),
        lambda f: f(DEPTH, np.array([NAN])),
        lambda f: f(DEPTH, np.ones(2)),
    ],
    "contagion.leverage_at": [lambda f: f(1), lambda f: f(-0.1)],
    "contagion.fire_sale": [
        lambda f: f([[1.0]], [0.5], [1.5], DEPTH, leverage_most=3, leverage_target=2),
        lambda f: f([[1.0]], [0.5], [0.5], DEPTH, leverage_most=2, leverage_target=3),
        lambda f: f([[1.0]], [0.5], [0.5], DEPTH, leverage_most=3, leverage_target=2, tolerance=NAN),
    ],
    "contagion.settle": [
        lambda f: f(lambda kept: kept, DEPTH, 0, 1e-9),
        lambda f: f(lambda kept: kept, DEPTH, 9, NAN),
        lambda f: f(lambda kept: kept * NAN, DEPTH, 9, 1e-9),
    ],
    "haircuts.quantile_move": [lambda f: f(-0.8, 1, 2.3), lambda f: f(0.8, -1, 2.3), lambda f: f(TWO, THREE, 2.3)],
    "haircuts.dynamic_haircut": [
        lambda f: f(0.8, 1, quantile_sigmas=-1),
        lambda f: f(0.8, 1, quantile_sigmas=2.3, floor=1.1),
        lambda f: f(0.8, 1, quantile_sigmas=2.3, cap=1.1),
    ],
    "haircuts.linear_slippage": [lambda f: f(1, 0), lambda f: f(-1, 1), lambda f: f(TWO, THREE)],
    "haircuts.constant_product_slippage": [lambda f: f(1, 0), lambda f: f(-1, 1)],
    "haircuts.depth_slippage": [
        lambda f: f(1, [0, 1, 1], [0, 0.1, 0.2]),
        lambda f: f(1, [1, 2], [0, 0.1]),
        lambda f: f(1, [0, 2], [0.2, 0.1]),
        lambda f: f(1, [0], [0]),
        lambda f: f(1, [0, NAN], [0, 0.1]),
    ],
    "haircuts.square_root_impact": [lambda f: f(1, 0, 0.8), lambda f: f(1, 1, -0.8), lambda f: f(1, 1, 0.8, -1)],
    "haircuts.expected_loss": [lambda f: f(-1, 1, 0.5), lambda f: f(1, 1, 1.5)],
    "haircuts.synthetix_discount": [
        lambda f: f(1, 1, 1, 0.5, 0.4),
        lambda f: f(1, -1, 1, 0, 1),
        lambda f: f(1, 1, 1, 0, 2),
    ],
    "haircuts.basel_haircut": [
        lambda f: f(1.5),
        lambda f: f(0.15, holding_days=0),
        lambda f: f(0.15, holding_days=10.5),
        lambda f: f(0.15, revaluation_days=0),
    ],
    "haircuts.basel_debt_haircut": [lambda f: f(1, 0.3, sovereign=True), lambda f: f(-1, 0.2, sovereign=False)],
    "haircuts.storefront_discount": [lambda f: f(1.1, 0.5), lambda f: f(0.6, -0.1)],
    "haircuts.storefront_quote": [lambda f: f(1, 0, 0.6, 0.5), lambda f: f(1, 1, 0, 1), lambda f: f(-1, 1, 0.6, 0.5)],
    "insurance.Closing": [lambda f: f(1, 0, 1, 2), lambda f: f(1, 0, -1, -1), lambda f: f(NAN, 0, 1, 0)],
    "insurance.bankruptcy_quote": [
        lambda f: f(Closing(1, 0, 1, 0), net_collateral=1, maintenance_total=0),
        lambda f: f(Closing(1, 0, 1, 0), net_collateral=NAN, maintenance_total=1),
    ],
    "insurance.fund_delta": [
        lambda f: f(1, 1, fee_ppm=1_000_001),
        lambda f: f(NAN, 1, fee_ppm=1),
        lambda f: f(1, 0.5, fee_ppm=1),
    ],
    "insurance.fillable_price": [
        lambda f: f(0, notional=1, maintenance=1, net_collateral=1, maintenance_total=1),
        lambda f: f(1, notional=1, maintenance=1, net_collateral=1, maintenance_total=0),
        lambda f: f(1, notional=1, maintenance=9, net_collateral=-9, maintenance_total=9),
        lambda f: f(1, notional=1, maintenance=-1, net_collateral=1, maintenance_total=1),
        lambda f: f(1, notional=NAN, maintenance=1, net_collateral=1, maintenance_total=1),
    ],
    "insurance.BlockLimits": [lambda f: f(position_least=-1), lambda f: f(position_ppm=NAN)],
    "insurance.BlockLimits.notional": [lambda f: f(BlockLimits(), NAN), lambda f: f(BlockLimits(), 5, liquidated=-1)],
    "insurance.BlockLimits.allows": [lambda f: f(BlockLimits(), NAN), lambda f: f(BlockLimits(), -5, lost=-1)],
    "insurance.fund_inflow": [
        lambda f: f(1, 1, 1, of_fees=1.1, of_liquidated=0, of_funding=0),
        lambda f: f(-1, 1, 1, of_fees=1, of_liquidated=0, of_funding=0),
        lambda f: f(TWO, THREE, 1, of_fees=1, of_liquidated=0, of_funding=0),
    ],
    "insurance.fund_path": [lambda f: f(-1, [1], [1]), lambda f: f(1, [], []), lambda f: f(1, [1], [1, 1])],
    "insurance.fund_size_lognormal": [
        lambda f: f(15, -1, capital_cost=0.05, loss_weight=1),
        lambda f: f(15, 1.5, capital_cost=0, loss_weight=1),
    ],
    "insurance.fund_size_empirical": [
        lambda f: f([], capital_cost=0.05, loss_weight=1),
        lambda f: f([-1], capital_cost=0.05, loss_weight=1),
    ],
    "liquidity_tiers.LiquidityTier": [
        lambda f: f(**{**TIER, "floor_haircut": 1.1}, horizon_seconds=1.0),
        lambda f: f(**TIER, horizon_seconds=-1.0),
    ],
    "liquidity_tiers.tier_places": [
        lambda f: f([], [1.0], [1.0]),
        lambda f: f([LiquidityTier(**{**TIER, "depth_usd_min": 1.0}, horizon_seconds=1.0)], [1.0], [1.0]),
        lambda f: f([LiquidityTier(**TIER, horizon_seconds=1.0)], TWO, THREE),
    ],
    "liquidity_tiers.counted_values": [
        lambda f: f(1.0, 1.0),
        lambda f: f([[1.0, 1.0]], [1.0]),
        lambda f: f([1.0], -1.0),
    ],
    "oracle_rules.SignedPrice": [lambda f: f(signer="a", price=0.5, signed_at_seconds=1)],
    "oracle_rules.median_signed": [
        lambda f: f(SIGNED, bar=2, last_age_seconds=0, signers="abc"),
        lambda f: f(SIGNED, bar=5, last_age_seconds=0, signers="abc"),
        lambda f: f(SIGNED, bar=3, last_age_seconds=9, signers="abc"),
        lambda f: f(SIGNED, bar=3, last_age_seconds=0, signers="ab"),
        lambda f: f([*SIGNED[:2], SIGNED[0]], bar=3, last_age_seconds=0, signers="abc"),
    ],
    "oracle_rules.liquity_frozen": [lambda f: f(11, 10), lambda f: f(NAN, 10)],
    "oracle_rules.liquity_deviates": [lambda f: f(0, 1), lambda f: f(1, -1), lambda f: f(NAN, 1)],
    "oracle_rules.liquity_similar": [lambda f: f(0, 1), lambda f: f(1, 0.5)],
    "oracles.GuardParams": [
        lambda f: f(heartbeat_seconds=0),
        lambda f: f(heartbeat_seconds=60, sources_min=0),
        lambda f: f(heartbeat_seconds=60, agreement_ppm=10**6),
        lambda f: f(heartbeat_seconds=60, confirmations=1),
        lambda f: f(heartbeat_seconds=0.5),
    ],
    "oracles.Observation": [
        lambda f: f(source="a", price=NAN, observed_at_seconds=1),
        lambda f: f(source="a", price=None, observed_at_seconds=1),
        lambda f: f(source="a", price=1, observed_at_seconds=NAN),
    ],
    "oracles.guard": [
        lambda f: f(
            [Observation(source="a", price=BigInt(5), observed_at_seconds=5)],
            NAN,
            None,
            GuardParams(heartbeat_seconds=60),
        )
    ],
    "oracles.step_allowance_ppm": [
        lambda f: f(GuardParams(heartbeat_seconds=60), -1),
        lambda f: f(GuardParams(heartbeat_seconds=60), NAN),
    ],
    "partial.derive_buffer_margin": [lambda f: f(1, -1, -0.1), lambda f: f(1, NAN, 0.1)],
    "partial.derive_fraction": [lambda f: f(-1, -1, 1), lambda f: f(1, -1, 1.1), lambda f: f(1, -1, 1, 2)],
    "partial.derive_after_bid": [lambda f: f(1, 1.1, 1), lambda f: f(1, 0.5, -1)],
    "partial.drift_base_amount": [lambda f: f(1, 0, 0.1), lambda f: f(-1, 1, 0.1), lambda f: f(1, 1, 0.1, fee=-1)],
    "partial.drift_speed_limit": [
        lambda f: f(1, 1, duration_slots=0, initial=0.1),
        lambda f: f(1, 1, duration_slots=9, initial=1.1),
        lambda f: f(-1, 1, duration_slots=9, initial=0.1),
    ],
    "partial.aave_v3_repay_limit_usd": [lambda f: f(-1, 1, 1, 1), lambda f: f(0.9, 1, 2, 1), lambda f: f(NAN, 1, 1, 1)],
    "partial.aave_v3_leaves_dust": [lambda f: f(-1, 1), lambda f: f(1, NAN)],
    "partial.target_repay_usd": [
        lambda f: f(10, 1.2, 1.1, Bps(10_500), Bps(8_000)),
        lambda f: f(10, 0.9, 1.1, Bps(0), Bps(8_000)),
        lambda f: f(10, 0.9, 1.1, Bps(10_500), Bps(10_001)),
        lambda f: f(-10, 0.9, 1.1, Bps(10_500), Bps(8_000)),
    ],
    "partial.aave_v4_slice": [
        lambda f: f(V4._replace(bonus=Bps(0))),
        lambda f: f(V4._replace(debt_usd=NAN)),
        lambda f: f(V4._replace(fee=1.1)),
        lambda f: f(V4._replace(collateral_usd=-1.0)),
        lambda f: f(V4, -1),
    ],
    "partial.qin_two_steps": [
        lambda f: f(110, 136, Bps(8_000), Bps(0), 0.5),
        lambda f: f(110, 136, Bps(8_000), Bps(10_500), 1.5),
        lambda f: f(110, 150, Bps(8_000), Bps(10_500), 0.5),
        lambda f: f(0, 136, Bps(8_000), Bps(10_500), 0.5),
    ],
    "partial.linear_impact_reduction": [
        lambda f: f(0, 1, 0.1, 1, 0),
        lambda f: f(1, -1, 0.1, 1, 0),
        lambda f: f(1, 1, 0.1, NAN, 0),
    ],
    "slice_choice.health_after": [
        lambda f: f(ACCOUNT._replace(weighted_usd=NAN), 5),
        lambda f: f(ACCOUNT, 101),
        lambda f: f(ACCOUNT._replace(bonus=Bps(9_999)), 5),
    ],
    "slice_choice.best_slice": [
        lambda f: f(ACCOUNT._replace(bonus=Bps(0)), FREE),
        lambda f: f(ACCOUNT._replace(threshold=Bps(10_001)), FREE),
        lambda f: f(ACCOUNT, FREE._replace(gas_usd=-1.0)),
        lambda f: f(ACCOUNT, FREE._replace(vol_annual=NAN)),
        lambda f: f(ACCOUNT, FREE, -1),
    ],
    "toxicity.cp_amm_slippage": [lambda f: f(1, 0), lambda f: f(TWO, THREE)],
    "toxicity.toxic_frontier": [lambda f: f(-0.1), lambda f: f(0.1, 0.9), lambda f: f(TWO, np.full(3, 1.5))],
    "toxicity.after_liquidation": [
        lambda f: f(0, 1, 0, 0.05),
        lambda f: f(1, 1, 2, 0.05),
        lambda f: f(1, 1, 0.5, 0.05, reserve_usd=0),
        lambda f: f(TWO, THREE, 0.1, 0.05),
    ],
    "toxicity.LiquidationWindow": [lambda f: f(-0.1, 0.1, 1, 1, 30), lambda f: f(0.1, 0.1, NAN, 1, 30)],
    "toxicity.LiquidationWindow.left": [
        lambda f: f(LiquidationWindow(0.1, 0.1, 1, 1, 30, done=((9.0, 1.0),)), 8),
        lambda f: f(LiquidationWindow(0.1, 0.1, 1, 1, 30), NAN),
    ],
    "toxicity.LiquidationWindow.liquidate": [
        lambda f: f(LiquidationWindow(0.1, 0.1, 1, 1, 30), -1, 0),
        lambda f: f(LiquidationWindow(0.1, 0.1, 1, 1, 30), 1, 0, premium=-1),
    ],
    "trajectory.ImpactModel": [lambda f: f(0.95, 0.0625, 0), lambda f: f(-1, 0.0625, 1)],
    "trajectory.schedule_cost": [
        lambda f: f(MARKET, [], 1),
        lambda f: f(MARKET, [1, 0], 0),
        lambda f: f(MARKET, [NAN, 0], 1),
    ],
    "trajectory.optimal_schedule": [
        lambda f: f(MARKET, 0, 5, 5, 0),
        lambda f: f(MARKET, 1, 5, 2.5, 0),
        lambda f: f(MARKET, 1, 5, 5, -1),
        lambda f: f(ImpactModel(0.95, 0.0625, 1.0, 9.0), 1, 5, 5, 0),
    ],
    "twap.mean_tick": [lambda f: f(0, 1, 0), lambda f: f(NAN, 1, 1), lambda f: f(0, 1, 1.5)],
    "twap.harmonic_mean_liquidity": [lambda f: f(1, 1, 1), lambda f: f(0, 0.5, 1), lambda f: f(0, 1, 0)],
    "twap.tick_price": [lambda f: f(887_273, 1), lambda f: f(0, 0), lambda f: f(0.5, 1)],
    "twap.PriceRecord.append": [
        lambda f: f(PriceRecord(kept_seconds=10), 0, 0),
        lambda f: f(PriceRecord(kept_seconds=10), 0, 1.5),
        lambda f: f(PriceRecord(kept_seconds=10), NAN, 1),
        lambda f: f(PriceRecord(kept_seconds=10).append(5, 1), 4, 1),
    ],
    "twap.PriceRecord.covers": [
        lambda f: f(PriceRecord(kept_seconds=10), NAN, 1),
        lambda f: f(PriceRecord(kept_seconds=10), 1, -1),
    ],
    "twap.PriceRecord.twap": [
        lambda f: f(PriceRecord(kept_seconds=10), 10, 5),
        lambda f: f(PriceRecord(kept_seconds=10).append(8, 1), 10, 5),
        lambda f: f(PriceRecord(kept_seconds=10).append(0, 1), 10, 0),
    ],
    "waterfall.loss_waterfall": [
        lambda f: f([], equities_usd=[]),
        lambda f: f([-1], equities_usd=[1]),
        lambda f: f([1], equities_usd=[1], fund_usd=-1),
        lambda f: f([1, 2], equities_usd=[0, 0], bonuses_usd=[[1], [2]]),
        lambda f: f([1, 2], equities_usd=[0, 0], bonuses_usd=THREE),
    ],
    "waterfall.socialise": [lambda f: f(9, [1]), lambda f: f(-1, [1]), lambda f: f(1, [])],
    "waterfall.withdrawals_blocked": [lambda f: f([-1], 1), lambda f: f([1], NAN)],
    "waterfall.reserve_deficits": [lambda f: f([0], [[-1]]), lambda f: f([0], [[1], [1]]), lambda f: f([-1], [[1]])],
    "yield_bearing.RatioSnapshot": [
        lambda f: f(ratio=0.0, at_seconds=0, growth_annual=0.1),
        lambda f: f(ratio=1.0, at_seconds=NAN, growth_annual=0.1),
        lambda f: f(ratio=1.0, at_seconds=0, growth_annual=-0.1),
    ],
    "yield_bearing.PegParams": [lambda f: f(tolerance=0.1, limit=0.05), lambda f: f(multiple=0.5)],
    "yield_bearing.ratio_cap": [lambda f: f(SNAPSHOT, 1), lambda f: f(SNAPSHOT, NAN)],
    "yield_bearing.capped_price": [lambda f: f(NAN, 1, SNAPSHOT, MONTH), lambda f: f(TWO, THREE, SNAPSHOT, MONTH)],
    "yield_bearing.growth_annual": [lambda f: f(0, 1, 1), lambda f: f(1, 1, 0)],
    "yield_bearing.peg": [lambda f: f(-1, 1, PegParams()), lambda f: f(1, 0, PegParams())],
    "yield_bearing.queue_seconds": [lambda f: f(1, 0), lambda f: f(-1, 1), lambda f: f(1, 1, -1)],
    "yield_bearing.slashed_ratio": [lambda f: f(1, 1.1, 0.5), lambda f: f(1, 0.5, 1.1), lambda f: f(-1, 0.5, 0.5)],
    "yield_bearing.exit_haircut": [
        lambda f: f(BAD, GOOD),
        lambda f: f(GOOD, BAD),
        lambda f: f(GOOD, GOOD, peg_haircut=1.1),
        lambda f: f(GOOD, GOOD, slashing_intensity_annual=-1),
    ],
}
"""By the name of what is asked."""
