"""The checks of a deployment of Perpetual Protocol v2: its contracts by each other's getters, prices, deposits."""

from __future__ import annotations

from keeper.chain.wire import decode_output
from keeper.cli.findings import Findings
from keeper.core.errors import ConfigError, NodeRefused, NotHolding
from keeper.core.ids import Address, to_hex
from keeper.core.ports import Node
from keeper.settings import ContractSettings, VenueSettings
from keeper.venues.abi import WORD, address_word, selector_of
from keeper.venues.perp_v2.reads import CONFIG_VIEWS

HOUSE = "clearing_house"
GETTERS = (
    ("account_balance", HOUSE, "getAccountBalance()"),
    ("exchange", HOUSE, "getExchange()"),
    ("vault", HOUSE, "getVault()"),
    ("config", HOUSE, "getClearingHouseConfig()"),
    ("insurance_fund", HOUSE, "getInsuranceFund()"),
    ("quote", HOUSE, "getQuoteToken()"),
    ("collateral_manager", "vault", "getCollateralManager()"),
    ("settlement", "vault", "getSettlementToken()"),
    ("registry", "exchange", "getMarketRegistry()"),
)
"""Which contract names which, and by which getter; those that are asked come before what they name."""
DECIMALS = selector_of("decimals()")
FREE_COLLATERAL = selector_of("getFreeCollateral(address)")


async def examine_perp(name: str, venue: VenueSettings, node: Node, findings: Findings) -> None:
    """Check a venue."""
    if await findings.ask(f"venue {name}", _contracts(name, venue, node)):
        await findings.ask(f"venue {name} margins", _margins(name, venue, node))


async def _contracts(name: str, venue: VenueSettings, node: Node) -> str:
    code = await node.call("eth_getCode", (to_hex(venue.address), "latest"))
    if code in ("0x", "0x0", None):
        reason = f"{to_hex(venue.address)} has no code on chain {venue.chain}"
        raise ConfigError(f"venues.{name}.address", reason, f"check venues.{name}.address and its chain")
    contracts = _told(name, venue)
    for key, asked, getter in GETTERS:
        target = venue.address if asked == HOUSE else Address(getattr(contracts, asked))
        found, told = await _address(name, asked, target, getter, node), Address(getattr(contracts, key))
        if found != told:
            place = f"venues.{name}.contracts.{key}"
            reason = f"is {to_hex(told)}, but {getter} of {asked} answers {to_hex(found)}"
            raise ConfigError(place, reason, f'write {key} = "{to_hex(found)}"')
    digits = int.from_bytes(await _view(node, contracts.settlement, DECIMALS), "big")
    if digits != contracts.settlement_decimals:
        place, remedy = f"venues.{name}.contracts.settlement_decimals", f"write settlement_decimals = {digits}"
        raise ConfigError(place, f"is {contracts.settlement_decimals}, but the token has {digits}", remedy)
    return f"{len(GETTERS)} contracts agree"


async def _margins(name: str, venue: VenueSettings, node: Node) -> str:
    ratio = int.from_bytes(await _view(node, _told(name, venue).config, CONFIG_VIEWS["mm"]), "big")
    if not ratio:
        reason = "the configuration contract has no margin ratio: every account would be unknown"
        raise NotHolding(f"venue {name}", reason, "wait until the protocol is initialized")
    return f"{ratio / 10_000:g} % of a position's value is required"


async def free_collateral(venue: VenueSettings, signer: Address, node: Node, *, live: bool) -> str:
    """Say what a signer may bind at the venue.

    Raises:
        NotHolding: nothing, in a live run.
    """
    contracts = _told("", venue)
    try:
        free = int.from_bytes(await _view(node, contracts.vault, FREE_COLLATERAL + address_word(signer)), "big")
    except NodeRefused:
        return "not looked at: the vault cannot value the account now"
    if not free and live:
        reason = "has no free collateral, so every takeover is refused"
        raise NotHolding("deposit", reason, f"deposit at the vault {to_hex(contracts.vault)} for {to_hex(signer)}")
    return f"{free} base units of the settlement token are free"


def _told(name: str, venue: VenueSettings) -> ContractSettings:
    if venue.contracts is None:
        raise ConfigError(f"venues.{name}.contracts", "is missing", f"write [venues.{name}.contracts]")
    return venue.contracts


async def _address(name: str, asked: str, target: Address, getter: str, node: Node) -> Address:
    try:
        output = await _view(node, target, selector_of(getter))
    except NodeRefused:
        output = b""
    if len(output) != WORD:
        place = f"venues.{name}.address" if asked == HOUSE else f"venues.{name}.contracts.{asked}"
        raise ConfigError(place, f"{to_hex(target)} does not answer {getter}", f"set {place} to the right contract")
    return Address(output[-20:])


async def _view(node: Node, target: Address, calldata: bytes) -> bytes:
    answer = await node.call("eth_call", ({"to": to_hex(target), "data": to_hex(calldata)}, "latest"))
    return decode_output(answer)
