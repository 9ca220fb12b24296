"""Venues: one folder for each protocol, each an exact ledger behind :class:`keeper.core.venue.Ledger`."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import UnsetType

from keeper.core.errors import ConfigError
from keeper.core.runconfig import VenueSpec
from keeper.core.venue import Ledger
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from keeper.venues.perp_v2.ledger import PerpLedger

PROTOCOLS: dict[str, Callable[[VenueSpec], Ledger]] = {
    AaveLedger.protocol: AaveLedger,
    MorphoLedger.protocol: lambda spec: PreLiquidationLedger(spec) if _pre_liquidates(spec) else MorphoLedger(spec),
    PerpLedger.protocol: PerpLedger,
}


def _pre_liquidates(spec: VenueSpec) -> bool:
    isolated = spec.isolated
    return not isinstance(isolated, UnsetType) and not isinstance(isolated.pre_liquidation, UnsetType)


def open_ledger(spec: VenueSpec) -> Ledger:
    """Return an empty ledger for a venue.

    Raises:
        ConfigError: no ledger is known for the venue's protocol.
    """
    opener = PROTOCOLS.get(spec.protocol)
    if opener is None:
        known = ", ".join(sorted(PROTOCOLS))
        raise ConfigError(f"venues.{spec.name}.protocol", f"{spec.protocol!r} is not known", f"use one of: {known}")
    return opener(spec)
