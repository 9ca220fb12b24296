"""What of the strategies for the operator's own money does not fit the rest of the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from keeper.settings.keys import nearest
from keeper.settings.model import Settings

PROTECTABLE = frozenset({"aave_v3", "morpho_blue"})
"""The protocols whose ledgers say what may be done for an own account."""
HEDGEABLE = frozenset({"perp_v2"})
"""The protocols that have markets to hedge in."""


class Unfit(NamedTuple):
    """A key that does not fit: its path, its value where it may be shown, why, and what to do."""

    path: tuple[str, ...]
    shown: str | None
    reason: str
    remedy: str


def unfit_own(settings: Settings) -> Iterator[Unfit]:
    """Yield what does not fit in ``[strategies.self_protect]`` and ``[strategies.delta_hedge]``."""
    yield from _protection(settings)
    yield from _hedge(settings)


def _protection(settings: Settings) -> Iterator[Unfit]:
    strategy, path = settings.strategies.self_protect, ("strategies", "self_protect")
    if strategy is None:
        return
    if strategy.target_health <= strategy.floor_health:
        reason = f"is not above floor_health = {strategy.floor_health}, so nothing would be restored"
        yield Unfit((*path, "target_health"), str(strategy.target_health), reason, "raise it, or lower the floor")
    for name in strategy.venues:
        venue = settings.venues.get(name)
        if venue is not None and (venue.protocol not in PROTECTABLE or venue.pre_liquidation is not None):
            reason = f"accounts of venues.{name} cannot be protected"
            remedy = f"name venues of {' or '.join(sorted(PROTECTABLE))}, the market itself and no contract of it"
            yield Unfit((*path, "venues"), f'"{name}"', reason, remedy)


def _hedge(settings: Settings) -> Iterator[Unfit]:
    strategy, path = settings.strategies.delta_hedge, ("strategies", "delta_hedge")
    if strategy is None:
        return
    name, place = strategy.hedge_venue, (*path, "hedge_venue")
    if len(strategy.all_signers) > 1:
        yield Unfit((*path, "signers"), None, "the hedge is one signer's position", "give signer, or signers with one")
    venue = settings.venues.get(name)
    if venue is None:
        choice = nearest(name, tuple(settings.venues), "the venues are")
        yield Unfit(place, f'"{name}"', f"there is no section [venues.{name}]", choice)
        return
    if venue.protocol not in HEDGEABLE:
        remedy = f"name a venue of {' or '.join(sorted(HEDGEABLE))}"
        yield Unfit(place, f'"{name}"', f"venues.{name} is no exchange of perpetuals", remedy)
    if {settings.venues[each].chain for each in strategy.venues if each in settings.venues} - {venue.chain}:
        reason = f"venues.{name} is on another chain than what it is to hedge"
        yield Unfit((*path, "venues"), None, reason, "name venues of one chain")
