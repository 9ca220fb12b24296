"""Pure deciders, one file each: what the keeper would like to do about accounts at risk."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from keeper.core.decisions import Proposal
from keeper.core.venue import AccountMargin, StrategyView
from strategies import partial_liquidation, pre_liquidation

STRATEGIES: Mapping[str, Callable[[StrategyView, Sequence[AccountMargin], Any], Iterable[Proposal]]] = MappingProxyType(
    {"partial_liquidation": partial_liquidation.decide, "pre_liquidation": pre_liquidation.decide}
)
"""Every decider, by the tag of its configuration in ``keeper.core.runconfig``."""
