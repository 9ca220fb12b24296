"""The checks of an Aave v3 deployment: the root contract, the pool behind it and its version, every feed."""

from __future__ import annotations

from keeper.chain.wire import decode_output
from keeper.cli.findings import Findings
from keeper.core.errors import ConfigError, NodeMalformed, NodeRefused, NotHolding
from keeper.core.ids import ZERO_ADDRESS, Address, to_hex
from keeper.core.ports import Node
from keeper.core.units import BaseAmount
from keeper.settings import VenueSettings
from keeper.venues.aave_v3.reads import ASSET_PRICE, POOL_REVISION
from keeper.venues.aave_v3.rules import RULES
from keeper.venues.abi import WORD, address_word, selector_of

GET_POOL = selector_of("getPool()")
GET_PRICE_ORACLE = selector_of("getPriceOracle()")
GET_RESERVES_LIST = selector_of("getReservesList()")
BASE_UNIT = selector_of("BASE_CURRENCY_UNIT()")


async def examine_aave(name: str, venue: VenueSettings, node: Node, findings: Findings) -> None:
    """Check a venue."""
    if not await findings.ask(f"venue {name}", _root(name, venue, node)):
        return
    if await findings.ask(f"venue {name} version", _version(name, venue, node)):
        await findings.ask(f"venue {name} unit", _unit(name, venue, node))
        await findings.ask(f"venue {name} feeds", _feeds(name, venue, node))


async def _root(name: str, venue: VenueSettings, node: Node) -> str:
    code = await node.call("eth_getCode", (to_hex(venue.address), "latest"))
    if code in ("0x", "0x0", None):
        reason = f"{to_hex(venue.address)} has no code on chain {venue.chain}"
        raise ConfigError(f"venues.{name}.address", reason, f"check venues.{name}.address and its chain")
    return f"{to_hex(venue.address)} has code, its pool is {to_hex(await _pool(name, venue, node))}"


async def _version(name: str, venue: VenueSettings, node: Node) -> str:
    revision = int.from_bytes(await _view(node, await _pool(name, venue, node), POOL_REVISION), "big")
    if revision not in RULES:
        known = ", ".join(f"{number} ({RULES[number].version})" for number in sorted(RULES))
        reason = f"the pool is of revision {revision}, known are {known}: every account would be unknown"
        raise NotHolding(f"venue {name}", reason, "upgrade margin-keeper")
    return f"pool revision {revision}, rules of {RULES[revision].version}"


async def _unit(name: str, venue: VenueSettings, node: Node) -> str:
    """Check what the oracle's figures are in: those of all venues are added up against one limit."""
    oracle = _address(await _view(node, venue.address, GET_PRICE_ORACLE))
    unit = int.from_bytes(await _view(node, oracle, BASE_UNIT), "big")
    usd = BaseAmount.ONE
    if unit != usd:
        reason = f"the oracle counts in units of {unit}, USD has {usd}: limits and gas would be weighed wrongly"
        raise NotHolding(f"venue {name}", reason, "leave this market out: only markets that count in USD are followed")
    return f"the oracle counts one USD as {unit}"


async def _feeds(name: str, venue: VenueSettings, node: Node) -> str:
    oracle = _address(await _view(node, venue.address, GET_PRICE_ORACLE))
    reserves = _addresses(await _view(node, await _pool(name, venue, node), GET_RESERVES_LIST))
    silent = [to_hex(asset) for asset in reserves if not await _price(node, oracle, asset)]
    if silent:
        reason = f"no price of {', '.join(silent)}: accounts with them would be unknown"
        raise NotHolding(f"venue {name}", reason, "wait for the feeds, or look at the oracle's sources")
    return f"{len(reserves)} of {len(reserves)} answer"


async def _price(node: Node, oracle: Address, asset: Address) -> int:
    """Return an asset's price, zero when the oracle reverts."""
    try:
        return int.from_bytes(await _view(node, oracle, ASSET_PRICE + address_word(asset)), "big")
    except NodeRefused:
        return 0


async def _pool(name: str, venue: VenueSettings, node: Node) -> Address:
    remedy = f"set venues.{name}.address to the PoolAddressesProvider"
    try:
        pool = _address(await _view(node, venue.address, GET_POOL))
    except (NodeRefused, NodeMalformed):
        reason = f"{to_hex(venue.address)} does not answer getPool()"
        raise ConfigError(f"venues.{name}.address", reason, remedy) from None
    if pool == ZERO_ADDRESS:
        raise ConfigError(f"venues.{name}.address", f"{to_hex(venue.address)} has no pool", remedy)
    return pool


async def _view(node: Node, target: Address, calldata: bytes) -> bytes:
    return decode_output(await node.call("eth_call", ({"to": to_hex(target), "data": to_hex(calldata)}, "latest")))


def _address(output: bytes) -> Address:
    if len(output) != WORD:
        raise NodeMalformed("eth_call", f"{len(output)} bytes instead of an address", "check the contract's address")
    return Address(output[-20:])


def _addresses(output: bytes) -> list[Address]:
    """Decode ``address[]``: the offset, the length, then one word each."""
    count = int.from_bytes(output[WORD : 2 * WORD], "big")
    words = output[2 * WORD :]
    if len(words) != count * WORD:
        raise NodeMalformed("eth_call", "no list of addresses", "check the contract's address")
    return [_address(words[start : start + WORD]) for start in range(0, len(words), WORD)]
