"""Pure deciders, one file each: what the keeper would like to do about accounts at risk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from keeper.core.decisions import Proposal
from keeper.core.own_money import HedgePlan, ProtectionProposal
from keeper.core.venue import AccountMargin, StrategyView
from strategies import delta_hedge, partial_liquidation, pre_liquidation, self_protect

AnyProposal = Proposal | ProtectionProposal | HedgePlan

STRATEGIES: Mapping[str, Callable[[StrategyView, Sequence[AccountMargin], Any], Iterable[AnyProposal]]] = (
    MappingProxyType(
        {
            "partial_liquidation": partial_liquidation.decide,
            "pre_liquidation": pre_liquidation.decide,
            "self_protect": self_protect.decide,
            "delta_hedge": delta_hedge.decide,
        }
    )
)
"""Every decider, by the tag of its configuration in ``keeper.core.runconfig``."""
