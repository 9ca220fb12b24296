"""Configurations that a run could have had instead of its own: any bound, parameter and model, drawn at random."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import strategies as st

from keeper.core.runconfig import PartialLiquidationSpec, RiskSpec, RunConfig, SignerSpec
from keeper.core.units import BaseAmount, Bps, Wad, Wei
from tests.engine.history import GWEI, UNIT
from tests.engine.test_second_opinion import RISK

_LIMITS: dict[str, st.SearchStrategy[Any]] = {
    "profit_base_min": st.integers(-10, 2_000).map(lambda usd: BaseAmount(usd * UNIT)),
    "gas_price_wei_max": st.integers(0, 400).map(lambda gwei: Wei(gwei * GWEI)),
    "spend_base_per_hour_max": st.integers(0, 10**5).map(lambda usd: BaseAmount(usd * UNIT)),
    "spend_base_per_intent_max": st.integers(0, 10**5).map(lambda usd: BaseAmount(usd * UNIT)),
    "attempts_per_account_max": st.integers(1, 5),
    "head_age_seconds_max": st.integers(1, 100),
    "reverts_per_venue_max": st.integers(1, 5),
    "breaker_window_blocks": st.integers(1, 50),
    "breaker_pause_blocks": st.integers(1, 50),
    "gas_wei_per_hour_max": st.integers(0, 10**17).map(Wei),
    "decision_ttl_blocks": st.integers(0, 5),
}
_STRATEGY: dict[str, st.SearchStrategy[Any]] = {
    "objective": st.sampled_from(["target-health", "max-profit"]),
    "target_health": st.integers(101, 200).map(lambda percent: Wad(percent * 10**16)),
    "slippage_bps_default": st.integers(0, 1_000).map(Bps),
    "dust_base": st.integers(0, 10**5).map(lambda usd: BaseAmount(usd * UNIT)),
}
_SIGNER: dict[str, st.SearchStrategy[Any]] = {
    "in_flight_max": st.integers(1, 6),
    "valid_for_blocks": st.integers(1, 12),
    "bump_after_blocks": st.integers(1, 5),
    "balance_wei_min": st.integers(0, 10**18).map(Wei),
}
_RISK: dict[str, st.SearchStrategy[Any]] = {
    "model": st.sampled_from(["static", "volatility", "portfolio"]),
    "move": st.floats(0.001, 0.5),
    "safety_factor": st.floats(0.1, 3),
    "warning_factor": st.floats(1.01, 3),
    "samples_min": st.integers(1, 5),
    "step_max": st.floats(0.001, 0.9),
    "horizon_seconds": st.integers(60, 86_400),
}


def _changes(fields: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def other_settings(draw: st.DrawFn) -> Any:  # noqa: ANN401 - a function from configuration to configuration
    """Draw what is changed: a function that gives a configuration with other bounds, parameters and models."""
    limits, strategy, signer = draw(_changes(_LIMITS)), draw(_changes(_STRATEGY)), draw(_changes(_SIGNER))
    risk, live = draw(st.none() | _changes(_RISK)), draw(st.sampled_from([True, True, True, False]))

    def changed(config: RunConfig) -> RunConfig:
        return msgspec.structs.replace(
            config,
            live=live,
            limits=msgspec.structs.replace(config.limits, **limits),
            strategies=tuple(_strategy(each, strategy) for each in config.strategies),
            signers=tuple(_signer(each, signer) for each in config.signers),
            risk=config.risk if risk is None else tuple(_risk(each.name, risk) for each in config.venues),
        )

    return changed


def _strategy(spec: Any, changes: dict[str, Any]) -> Any:  # noqa: ANN401 - either strategy's
    return msgspec.structs.replace(spec, **changes) if isinstance(spec, PartialLiquidationSpec) else spec


def _signer(spec: SignerSpec, changes: dict[str, Any]) -> SignerSpec:
    return msgspec.structs.replace(spec, **changes)


def _risk(venue: str, changes: dict[str, Any]) -> RiskSpec:
    return msgspec.structs.replace(RISK, venue=venue, **changes)
