"""From the operator's settings to what the engine decides by: exact integers, no URL, no secret."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal

import msgspec

from keeper.core.ids import Address
from keeper.core.runconfig import (
    ChainSpec,
    DeltaHedgeSpec,
    ExchangeSpec,
    GarchSpec,
    IsolatedSpec,
    Limits,
    PartialLiquidationSpec,
    PreLiquidationSpec,
    RegimeSpec,
    RiskSpec,
    RunConfig,
    SelfProtectSpec,
    SignerSpec,
    StrategySpec,
    VenueSpec,
)
from keeper.core.units import BaseAmount, Bps, Price, Wad, Wei
from keeper.risk.tail import student_var_z
from keeper.settings import (
    ChainSettings,
    DeltaHedgeSettings,
    LimitSettings,
    PartialLiquidationSettings,
    PreLiquidationSettings,
    RiskSettings,
    SelfProtectSettings,
    Settings,
    SignerSettings,
    VenueSettings,
)

WAD = 10**18
GWEI_WEI = 10**9
PERCENT = 100


def run_config(settings: Settings, *, live: bool, signers: Mapping[str, Address]) -> RunConfig:
    """Derive the engine's configuration.

    Args:
        settings: Validated.
        live: Whether transactions may be sent (the file and the command line both say so).
        signers: The address behind each signer's keystore.
    """
    return RunConfig(
        live=live,
        chains=tuple(_chain(name, chain) for name, chain in settings.chains.items()),
        venues=tuple(
            VenueSpec(
                name=name,
                protocol=venue.protocol,
                chain_id=settings.chains[venue.chain].chain_id,
                root=venue.address,
                from_block=venue.from_block,
                prices=venue.prices,
                bootstrap=venue.bootstrap,
                isolated=_isolated(venue),
                contracts=_contracts(venue),
            )
            for name, venue in settings.venues.items()
        ),
        signers=tuple(_signer(name, signer, signers[name]) for name, signer in settings.signers.items()),
        strategies=tuple(_strategies(settings, signers)),
        limits=_limits(settings.limits),
        risk=tuple(_risk(name, venue.risk) for name, venue in settings.venues.items() if venue.risk is not None)
        or msgspec.UNSET,
    )


def _isolated(venue: VenueSettings) -> IsolatedSpec | msgspec.UnsetType:
    if venue.market is None or venue.loan_usd is None:
        return msgspec.UNSET
    return IsolatedSpec(
        market=venue.market,
        loan_price=Price(_scaled(venue.loan_usd, BaseAmount.ONE)),
        pre_liquidation=msgspec.UNSET if venue.pre_liquidation is None else venue.pre_liquidation,
    )


def _contracts(venue: VenueSettings) -> ExchangeSpec | msgspec.UnsetType:
    return msgspec.UNSET if venue.contracts is None else ExchangeSpec(**venue.contracts.model_dump())


def _chain(name: str, chain: ChainSettings) -> ChainSpec:
    return ChainSpec(
        name=name,
        chain_id=chain.chain_id,
        finality_depth_blocks=None if chain.finality == "tag" else chain.finality,
        stale_after_seconds=chain.stale_after_seconds,
        wrapped_native=chain.wrapped_native,
        scanned=chain.backup_scan and len(chain.http) > 1,
    )


def _signer(name: str, signer: SignerSettings, address: Address) -> SignerSpec:
    return SignerSpec(
        name=name,
        address=address,
        in_flight_max=signer.in_flight_max,
        bump_after_blocks=signer.bump_after_blocks,
        valid_for_blocks=signer.valid_for_blocks,
        balance_wei_min=Wei(signer.balance_wei_min),
    )


def _strategies(settings: Settings, signers: Mapping[str, Address]) -> Iterator[StrategySpec]:
    """Yield own money first, then early closing: an account that were both's business is closed while that is small."""
    if settings.strategies.self_protect is not None:
        yield _self_protect(settings.strategies.self_protect, signers)
    if settings.strategies.pre_liquidation is not None:
        yield _pre_liquidation(settings.strategies.pre_liquidation)
    if settings.strategies.partial_liquidation is not None:
        yield _partial_liquidation(settings.strategies.partial_liquidation)
    if settings.strategies.delta_hedge is not None:
        yield _delta_hedge(settings.strategies.delta_hedge, signers)


def _partial_liquidation(chosen: PartialLiquidationSettings) -> PartialLiquidationSpec:
    return PartialLiquidationSpec(
        name="partial_liquidation",
        venues=chosen.venues,
        signer=chosen.all_signers[0],
        more_signers=chosen.all_signers[1:],
        objective=chosen.objective,
        target_health=Wad(_scaled(chosen.target_health, WAD)),
        slippage_bps={token: Bps(bps) for token, bps in chosen.slippage_bps.items()},
        slippage_bps_default=Bps(chosen.slippage_bps_default),
        slippage_bps_per_million={token: Bps(bps) for token, bps in chosen.slippage_bps_per_million.items()},
        dust_base=BaseAmount(_scaled(chosen.dust_usd, BaseAmount.ONE)),
        exit_slippage_bps=Bps(chosen.exit_slippage_bps),
    )


def _self_protect(chosen: SelfProtectSettings, signers: Mapping[str, Address]) -> SelfProtectSpec:
    own = tuple(signers[name] for name in chosen.all_signers)
    return SelfProtectSpec(
        name="self_protect",
        venues=chosen.venues,
        signer=chosen.all_signers[0],
        more_signers=chosen.all_signers[1:],
        accounts=chosen.accounts or tuple(dict.fromkeys(own)),
        floor_health=Wad(_scaled(chosen.floor_health, WAD)),
        target_health=Wad(_scaled(chosen.target_health, WAD)),
        actions=chosen.actions,
    )


def _delta_hedge(chosen: DeltaHedgeSettings, signers: Mapping[str, Address]) -> DeltaHedgeSpec:
    signer = chosen.all_signers[0]
    return DeltaHedgeSpec(
        name="delta_hedge",
        venues=chosen.venues,
        signer=signer,
        accounts=chosen.accounts or (signers[signer],),
        hedge_venue=chosen.hedge_venue,
        exposures=chosen.exposures,
        band_base=BaseAmount(_scaled(chosen.band_usd, BaseAmount.ONE)),
        slippage_bps=Bps(chosen.slippage_bps),
    )


def _pre_liquidation(chosen: PreLiquidationSettings) -> PreLiquidationSpec:
    return PreLiquidationSpec(
        name="pre_liquidation",
        venues=chosen.venues,
        signer=chosen.all_signers[0],
        more_signers=chosen.all_signers[1:],
        target_health=Wad(_scaled(chosen.target_health, WAD)),
        headroom_bps=Bps(chosen.headroom_bps),
        slippage_bps={token: Bps(bps) for token, bps in chosen.slippage_bps.items()},
        slippage_bps_default=Bps(chosen.slippage_bps_default),
        slippage_bps_per_million={token: Bps(bps) for token, bps in chosen.slippage_bps_per_million.items()},
    )


def _risk(venue: str, chosen: RiskSettings) -> RiskSpec:
    return RiskSpec(
        venue=venue,
        model=chosen.model,
        horizon_seconds=chosen.horizon_seconds,
        quantile=student_var_z(float(chosen.confidence_percent) / PERCENT, float(chosen.tail_freedom)),
        safety_factor=float(chosen.safety_factor),
        warning_factor=float(chosen.warning_factor),
        move=float(chosen.move_percent) / PERCENT,
        move_min=float(chosen.move_percent_min) / PERCENT,
        move_max=float(chosen.move_percent_max) / PERCENT,
        vol_annual=float(chosen.vol_percent) / PERCENT,
        vols_annual={asset: float(percent) / PERCENT for asset, percent in sorted(chosen.vol_percents.items())},
        decay=float(chosen.decay),
        sample_seconds=chosen.sample_seconds,
        samples_min=chosen.samples_min,
        half_life_seconds=chosen.half_life_seconds,
        heartbeat_seconds=chosen.heartbeat_seconds,
        step_max=float(chosen.step_percent_max) / PERCENT,
        confirmations=chosen.confirmations,
        garch=_garch(chosen),
        regimes=_regimes(chosen),
    )


def _garch(chosen: RiskSettings) -> GarchSpec | msgspec.UnsetType:
    if chosen.garch_alpha is None or chosen.garch_beta is None:
        return msgspec.UNSET
    return GarchSpec(alpha=float(chosen.garch_alpha), beta=float(chosen.garch_beta))


def _regimes(chosen: RiskSettings) -> RegimeSpec | msgspec.UnsetType:
    factor, most = chosen.regime_vol_factor, chosen.regime_move_factor
    calm, stress = chosen.regime_calm_samples, chosen.regime_stress_samples
    if factor is None or calm is None or stress is None or most is None:
        return msgspec.UNSET
    return RegimeSpec(
        stress_vol_factor=float(factor), calm_samples=calm, stress_samples=stress, move_factor_max=float(most)
    )


def _limits(limits: LimitSettings) -> Limits:
    return Limits(
        profit_base_min=BaseAmount(_scaled(limits.profit_usd_min, BaseAmount.ONE)),
        gas_price_wei_max=Wei(_scaled(limits.gas_price_gwei_max, GWEI_WEI)),
        spend_base_per_hour_max=BaseAmount(_scaled(limits.spend_usd_per_hour_max, BaseAmount.ONE)),
        spend_base_per_intent_max=BaseAmount(_scaled(limits.spend_usd_per_intent_max, BaseAmount.ONE)),
        attempts_per_account_max=limits.attempts_per_account_max,
        head_age_seconds_max=limits.head_age_seconds_max,
        reverts_per_venue_max=limits.reverts_per_venue_max,
        breaker_window_blocks=limits.breaker_window_blocks,
        breaker_pause_blocks=limits.breaker_pause_blocks,
        gas_wei_per_hour_max=Wei(_scaled(limits.gas_native_per_hour_max, WAD)),
        decision_ttl_blocks=limits.decision_ttl_blocks,
    )


def _scaled(value: Decimal, unit: int) -> int:
    """Return an exact multiple; the settings refuse decimals finer than the unit."""
    numerator, denominator = value.as_integer_ratio()
    return numerator * unit // denominator
