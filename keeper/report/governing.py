"""Which setting governs which rule of the policy gate, and with what value the rule would have let a proposal pass.

A rule's detail begins with the figure that it weighed; from it follows the least change of the setting.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import msgspec

from keeper.core.ids import Address
from keeper.core.runconfig import RunConfig, SignerSpec
from keeper.core.units import BaseAmount
from keeper.engine.policy import (
    account_has_open_intent,
    allowance_short,
    dry_run,
    duplicate_intent,
    free_collateral_short,
    gas_budget,
    gas_price_above_max,
    gas_price_unknown,
    gas_unfunded,
    head_stale,
    held_back,
    in_flight_max,
    inventory_short,
    kill_switch,
    profit_below_min,
    retry_budget,
    signer_balance_low,
    signer_halted,
    spend_per_hour,
    spend_per_intent,
    target_not_allowed,
    venue_paused,
)

GWEI = 10**9
NATIVE = 10**18
LIVE = "live"
ANY_SIGNER = "*"
_FIGURE = re.compile(r"-?\d+")


class Governing(NamedTuple):
    """The setting that governs a rule.

    Attributes:
        setting: Its key; ``*`` stands for the signer's name.
        field: The field of :class:`~keeper.core.runconfig.Limits` or of the signer that it becomes.
        scale: Units of the field in one unit of the setting.
        above: How far the value must lie above the figure that the rule weighed.
        stricter: What makes the value stricter by one unit: -1 for an upper bound, 1 for a lower one.
    """

    setting: str
    field: str
    scale: int
    above: int
    stricter: int

    def written(self, value: int) -> str:
        """Write a value of the field as the setting is written, exactly."""
        whole, part = divmod(abs(value), self.scale)
        decimals = str(part).rjust(len(str(self.scale)) - 1, "0").rstrip("0") if part else ""
        return f"{'-' if value < 0 else ''}{whole}{'.' if decimals else ''}{decimals}"


GOVERNED: Mapping[str, Governing] = MappingProxyType(
    {
        signer_balance_low.__name__: Governing("signers.*.balance_wei_min", "balance_wei_min", 1, 0, 1),
        head_stale.__name__: Governing("limits.head_age_seconds_max", "head_age_seconds_max", 1, 0, -1),
        retry_budget.__name__: Governing("limits.attempts_per_account_max", "attempts_per_account_max", 1, 1, -1),
        gas_price_above_max.__name__: Governing("limits.gas_price_gwei_max", "gas_price_wei_max", GWEI, 0, -1),
        profit_below_min.__name__: Governing("limits.profit_usd_min", "profit_base_min", BaseAmount.ONE, 0, 1),
        spend_per_intent.__name__: Governing(
            "limits.spend_usd_per_intent_max", "spend_base_per_intent_max", BaseAmount.ONE, 0, -1
        ),
        spend_per_hour.__name__: Governing(
            "limits.spend_usd_per_hour_max", "spend_base_per_hour_max", BaseAmount.ONE, 0, -1
        ),
        gas_budget.__name__: Governing("limits.gas_native_per_hour_max", "gas_wei_per_hour_max", NATIVE, 0, -1),
        in_flight_max.__name__: Governing("signers.*.in_flight_max", "in_flight_max", 1, 1, -1),
    }
)
"""The rules that a bound governs. Beside them ``dry_run`` is governed by ``mode``."""

NOT_GOVERNED: Mapping[str, str] = MappingProxyType(
    {
        kill_switch.__name__: "the operator's switch is a file, not a bound",
        signer_halted.__name__: "the operator lifts a halt with `keeper run --release-signer`",
        venue_paused.__name__: "it passes by itself; the bounds of the pause were applied when it began",
        target_not_allowed.__name__: "nothing but the venue's own contracts is ever called",
        account_has_open_intent.__name__: "an account has one unmined intent at most",
        duplicate_intent.__name__: "the same plan in the same situation is admitted once",
        gas_price_unknown.__name__: "no venue of the chain prices the wrapped native token",
        held_back.__name__: "the strategy itself advises against it",
        gas_unfunded.__name__: "the signer lacks native coin",
        inventory_short.__name__: "the signer lacks the token",
        allowance_short.__name__: "the allowance is asked for and was not there yet",
        free_collateral_short.__name__: "the signer lacks free collateral at the venue",
    }
)
"""The rules that no value of a setting governs at the moment they refuse, and why."""


class Adjusted(NamedTuple):
    """A configuration with one setting changed. ``stricter`` is one unit back, ``None`` where there is no unit."""

    setting: str
    was: str
    value: str
    config: RunConfig
    stricter: RunConfig | None


def adjustments(config: RunConfig, strategy: str, rule: str, detail: str) -> list[Adjusted]:
    """Return the least changes that may let a refused proposal pass a rule: one for each setting in question.

    A refusal does not name the signer, so there is one for each that the strategy has.

    Args:
        config: What the run was told to do.
        strategy: Whose proposal it was.
        rule: The rule that refused.
        detail: Its figures.
    """
    if rule == dry_run.__name__:
        return [Adjusted("mode", "dry-run", LIVE, msgspec.structs.replace(config, live=True), None)]
    governing, figure = GOVERNED.get(rule), _FIGURE.search(detail)
    if governing is None or figure is None:
        return []
    value = int(figure.group()) + governing.above
    if not governing.setting.startswith("signers."):
        return [_of_limits(config, governing, value)]
    chosen = next((spec.signers for spec in config.strategies if spec.name == strategy), ())
    signers = {spec.name: spec for spec in config.signers}
    return [_of_signer(config, governing, value, signers[name]) for name in chosen if name in signers]


def _of_limits(config: RunConfig, governing: Governing, value: int) -> Adjusted:
    def with_value(changed: int) -> RunConfig:
        unit = type(getattr(config.limits, governing.field))
        limits = msgspec.structs.replace(config.limits, **{governing.field: unit(changed)})
        return msgspec.structs.replace(config, limits=limits)

    was = governing.written(int(getattr(config.limits, governing.field)))
    stricter = with_value(value + governing.stricter)
    return Adjusted(governing.setting, was, governing.written(value), with_value(value), stricter)


def _of_signer(config: RunConfig, governing: Governing, value: int, signer: SignerSpec) -> Adjusted:
    def with_value(changed: int) -> RunConfig:
        unit = type(getattr(signer, governing.field))
        other = msgspec.structs.replace(signer, **{governing.field: unit(changed)})
        return msgspec.structs.replace(
            config, signers=tuple(other if spec.name == signer.name else spec for spec in config.signers)
        )

    setting = governing.setting.replace(ANY_SIGNER, signer.name)
    was = governing.written(int(getattr(signer, governing.field)))
    return Adjusted(setting, was, governing.written(value), with_value(value), with_value(value + governing.stricter))


def signers_of(config: RunConfig, venue: str) -> tuple[tuple[str, Address], ...]:
    """Return the signers that act at a venue, first choice first, with their addresses."""
    names = dict.fromkeys(name for spec in config.strategies if venue in spec.venues for name in spec.signers)
    addresses = {spec.name: spec.address for spec in config.signers}
    return tuple((name, addresses[name]) for name in names if name in addresses)
