"""Which of the market's contracts the provider means by an identifier."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from keeper.venues.aave_v3.codec import POOL, POOL_CONFIGURATOR, PRICE_ORACLE, PRICE_ORACLE_SENTINEL
from keeper.venues.aave_v3.events import AddressSet
from keeper.venues.aave_v3.state import Contracts

NAMED = {
    POOL: "pool",
    POOL_CONFIGURATOR: "configurator",
    PRICE_ORACLE: "oracle",
    PRICE_ORACLE_SENTINEL: "sentinel",
}


def renamed(market: Contracts, change: AddressSet) -> Contracts:
    """Return the market's contracts after the provider named one of them."""
    field = NAMED.get(change.identifier)
    if field is None:
        return market
    named: dict[str, Any] = {field: change.address}
    if change.identifier == POOL:
        named["revision"] = None
    if change.identifier == PRICE_ORACLE_SENTINEL:
        named |= {"sentinel_allows": None, "sentinel_read_at": -1}
    return replace(market, **named)
