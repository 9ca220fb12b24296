"""Collateral from another chain: what a bridge and the wait for finality take off it.

``value = P * (1 - h_mkt) * (1 - EL) * exp(-z * sigma * sqrt(t_final))``, where ``EL = (1 - exp(-lambda * T)) * LGD`` is
the expected loss of the bridge over the time that the collateral lies on it, and the last factor is the price that a
fall at the quantile ``z`` leaves by the time that the transfer is final. What one bridge carries counts up to a
multiple of the insurance that stands behind it. There is no canonical reference with numbers; this is a design, whose
invariants are that the multiplier falls in ``t_final``, ``lambda`` and ``LGD``.

A deposit that is not final can still be undone: it counts nothing for opening, and with its haircut for maintenance, so
that nobody borrows against it and nobody is liquidated while it is on its way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from keeper.risk.haircuts import expected_loss, quantile_move
from keeper.risk.inputs import Floats, aligned, array, number
from keeper.risk.liquidity_tiers import counted_values

FINALITY_SECONDS: Mapping[str, int] = MappingProxyType({"ethereum": 768, "op-stack withdrawal": 604_800})
"""When a transfer is final: two epochs of 32 slots of 12 s on Ethereum; the seven days in which an OP-stack withdrawal
can be disputed. Other chains' come from the configuration."""


class Bridge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is known of a bridge.

    Attributes:
        name: What it is called.
        failure_intensity_annual: ``lambda``: failures in a year.
        loss_given_failure: LGD: the share that is lost then.
        insurance_usd: What would make losses good.
        cap_multiple: How much counts for each dollar of insurance.

    Raises:
        RiskInputError: one is out of range.
    """

    name: str
    failure_intensity_annual: float
    loss_given_failure: float
    insurance_usd: float
    cap_multiple: float = 1.0

    def __post_init__(self) -> None:
        number("failure_intensity_annual", self.failure_intensity_annual, least=0)
        number("loss_given_failure", self.loss_given_failure, least=0, most=1)
        number("insurance_usd", self.insurance_usd, least=0)
        number("cap_multiple", self.cap_multiple, least=0)

    @property
    def cap_usd(self) -> float:
        """The most that counts of all that it has carried: ``insurance * k``."""
        return self.insurance_usd * self.cap_multiple

    def expected_loss(self, horizon_seconds: ArrayLike) -> Floats:
        """Return ``(1 - exp(-lambda * T)) * LGD`` over the time that collateral lies on it.

        Raises:
            RiskInputError: a time is negative.
        """
        return expected_loss(self.failure_intensity_annual, horizon_seconds, self.loss_given_failure)


class BridgedValue(NamedTuple):
    """What deposits count for when a position opens or grows, and for its maintenance; USD."""

    opening_usd: Floats
    maintenance_usd: Floats


def finality_factor(vol_annual: ArrayLike, final_seconds: ArrayLike, quantile_sigmas: float) -> Floats:
    """Return ``exp(-z * sigma * sqrt(t_final))``: what a fall during the wait leaves of the price.

    Raises:
        RiskInputError: an argument is negative.
    """
    factor: Floats = np.exp(-quantile_move(vol_annual, final_seconds, quantile_sigmas))
    return factor


def bridge_multiplier(
    market_haircut: ArrayLike,
    bridge_loss: ArrayLike,
    vol_annual: ArrayLike,
    final_seconds: ArrayLike,
    *,
    quantile_sigmas: float,
) -> Floats:
    """Return ``(1 - h_mkt) * (1 - EL) * exp(-z * sigma * sqrt(t_final))``, in [0, 1].

    Args:
        market_haircut: ``h_mkt``, from :mod:`keeper.risk.haircuts`.
        bridge_loss: ``EL``, from :meth:`Bridge.expected_loss`.
        vol_annual: The collateral's volatility.
        final_seconds: How long until the transfer is final.
        quantile_sigmas: ``z``, in standard deviations.

    Raises:
        RiskInputError: an argument is out of range, or the shapes do not go together.
    """
    haircut, loss, factor = aligned(
        "haircuts, losses and waits",
        array("market_haircut", market_haircut, least=0, most=1),
        array("bridge_loss", bridge_loss, least=0, most=1),
        finality_factor(vol_annual, final_seconds, quantile_sigmas),
    )
    multiplier: Floats = (1 - haircut) * (1 - loss) * factor
    return multiplier


def bridged_value(
    value_usd: ArrayLike,
    pending_seconds: ArrayLike,
    bridge: Bridge,
    *,
    market_haircut: ArrayLike,
    vol_annual: ArrayLike,
    held_seconds: float,
    quantile_sigmas: float,
    exit_seconds: float = 0.0,
) -> BridgedValue:
    """Return what deposits count for; one that is not final counts nothing for opening.

    Args:
        value_usd: The deposits' values at the market's price.
        pending_seconds: How long until each is final; 0 for one that is.
        bridge: What has carried them.
        market_haircut: The haircut of a sale.
        vol_annual: The collateral's volatility.
        held_seconds: How long the collateral is taken to lie on the bridge, for its expected loss.
        quantile_sigmas: ``z``, in standard deviations.
        exit_seconds: How long a liquidator waits for finality to sell elsewhere: 7 days through an OP-stack withdrawal,
            0 if it can be sold where it is.

    Raises:
        RiskInputError: an argument is out of range, or the shapes do not go together.
    """
    pending = array("pending_seconds", pending_seconds, least=0)
    multiplier = bridge_multiplier(
        market_haircut,
        bridge.expected_loss(held_seconds),
        vol_annual,
        pending + number("exit_seconds", exit_seconds, least=0),
        quantile_sigmas=quantile_sigmas,
    )
    value, share, waits = aligned("deposits", array("value_usd", value_usd, least=0), multiplier, pending)
    maintenance: Floats = value * share
    return BridgedValue(np.where(waits > 0, 0.0, maintenance), maintenance)


def bridge_counted(values_usd: ArrayLike, bridges: Sequence[Bridge]) -> Floats:
    """Return what counts of accounts' collateral by bridge: up to each bridge's cap in all, and beyond it pro rata.

    Args:
        values_usd: (A, B) what each account has through each bridge.
        bridges: (B,) in the order of the columns.

    Raises:
        RiskInputError: a value is negative, or the bridges are not one for each column.
    """
    return counted_values(array("values_usd", values_usd, ndim=2, least=0), [bridge.cap_usd for bridge in bridges])
