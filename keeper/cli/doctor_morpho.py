"""The checks of a Morpho Blue market: the contract, the market, its oracle and its interest-rate model."""

from __future__ import annotations

from keeper.chain.wire import decode_output
from keeper.cli.findings import Findings
from keeper.core.errors import ConfigError, NodeMalformed, NodeRefused, NotHolding
from keeper.core.ids import ZERO_ADDRESS, Address, to_hex
from keeper.core.ports import Node
from keeper.core.units import BigInt
from keeper.settings import VenueSettings
from keeper.venues.abi import WORD, address_word, selector_of
from keeper.venues.morpho_blue import pre_ledger
from keeper.venues.morpho_blue.audit import MARKET, MARKET_WORDS
from keeper.venues.morpho_blue.math import WAD
from keeper.venues.morpho_blue.reads import PRICE, RATE_AT_TARGET, borrow_rate_call
from keeper.venues.morpho_blue.state import Params, Totals

MARKET_PARAMS = selector_of("idToMarketParams(bytes32)")
PARAMS_WORDS = 5


async def examine_morpho(name: str, venue: VenueSettings, node: Node, findings: Findings) -> None:
    """Check a venue."""
    if await findings.ask(f"venue {name}", _market(name, venue, node)):
        await findings.ask(f"venue {name} oracle", _oracle(name, venue, node))
        await findings.ask(f"venue {name} rate", _rate(name, venue, node))
        if venue.pre_liquidation is not None:
            await findings.ask(f"venue {name} pre-liquidation", _pre_liquidation(name, venue, node))


async def _market(name: str, venue: VenueSettings, node: Node) -> str:
    code = await node.call("eth_getCode", (to_hex(venue.address), "latest"))
    if code in ("0x", "0x0", None):
        reason = f"{to_hex(venue.address)} has no code on chain {venue.chain}"
        raise ConfigError(f"venues.{name}.address", reason, f"check venues.{name}.address and its chain")
    params = await _params(name, venue, node)
    if params.loan_token == ZERO_ADDRESS:
        reason = f"{to_hex(venue.address)} has no market {to_hex(venue.market or b'')}"
        raise ConfigError(
            f"venues.{name}.market", reason, f"check venues.{name}.market: ids differ from chain to chain"
        )
    return f"{to_hex(params.loan_token)} is lent against {to_hex(params.collateral_token)}"


async def _oracle(name: str, venue: VenueSettings, node: Node) -> str:
    params = await _params(name, venue, node)
    if not await _figure(node, params.oracle, PRICE):
        reason = f"the oracle {to_hex(params.oracle)} gives no price: every account would be unknown"
        raise NotHolding(f"venue {name}", reason, "wait for its feeds, or look at the oracle")
    return f"{to_hex(params.oracle)} gives a price"


async def _rate(name: str, venue: VenueSettings, node: Node) -> str:
    params = await _params(name, venue, node)
    if params.irm == ZERO_ADDRESS:
        return "no interest"
    if await _figure(node, params.irm, RATE_AT_TARGET + (venue.market or b"")):
        return f"{to_hex(params.irm)} is an adaptive curve"
    words = _words(await _view(node, venue.address, MARKET + (venue.market or b"")), MARKET_WORDS)
    supply, supply_shares, borrow, borrow_shares, last_update, fee = map(BigInt, words)
    totals = Totals(supply, supply_shares, borrow, borrow_shares, last_update, fee)
    if await _figure(node, params.irm, borrow_rate_call(params, totals)) is None:
        reason = f"the interest-rate model {to_hex(params.irm)} does not answer: every account would be unknown"
        raise NotHolding(f"venue {name}", reason, "watch another market")
    return f"{to_hex(params.irm)} answers; it is taken to keep its rate between accruals"


async def _pre_liquidation(name: str, venue: VenueSettings, node: Node) -> str:
    """Look whether the contract is of this Morpho and market, and say its terms."""
    contract, place = venue.pre_liquidation or ZERO_ADDRESS, f"venues.{name}.pre_liquidation"
    try:
        morpho, market = [await _view(node, contract, each) for each in (pre_ledger.MORPHO, pre_ledger.ID)]
        words = _words(await _view(node, contract, pre_ledger.TERMS), pre_ledger.TERMS_WORDS)
    except (NodeRefused, NodeMalformed):
        reason = f"{to_hex(contract)} is no pre-liquidation contract on chain {venue.chain}"
        raise ConfigError(place, reason, f"check {place} and its chain") from None
    if (morpho, market) != (address_word(venue.address), venue.market):
        reason = f"{to_hex(contract)} is of market {to_hex(market)} of Morpho {to_hex(morpho[12:])}"
        raise ConfigError(place, reason, "name a contract of this market, or the market of this contract")
    line, *factors = (f"{figure / WAD:.4f}" for figure in words[:-1])
    oracle = Address(words[-1].to_bytes(WORD, "big")[12:])
    if not await _figure(node, oracle, PRICE):
        reason = f"the contract's oracle {to_hex(oracle)} gives no price: every account would be unknown"
        raise NotHolding(f"venue {name}", reason, "wait for its feeds, or look at the oracle")
    first, last, low, high = factors
    return f"from a loan to value of {line}: close factor {first} to {last}, incentive {low} to {high}"


async def _params(name: str, venue: VenueSettings, node: Node) -> Params:
    try:
        words = _words(await _view(node, venue.address, MARKET_PARAMS + (venue.market or b"")), PARAMS_WORDS)
    except (NodeRefused, NodeMalformed):
        reason = f"{to_hex(venue.address)} does not answer idToMarketParams(bytes32)"
        raise ConfigError(
            f"venues.{name}.address", reason, f"set venues.{name}.address to the Morpho contract"
        ) from None
    loan, collateral, oracle, irm = (Address(word.to_bytes(WORD, "big")[12:]) for word in words[:4])
    return Params(loan, collateral, oracle, irm, BigInt(words[4]))


async def _figure(node: Node, target: Address, calldata: bytes) -> int | None:
    """Return the one word of a view, ``None`` when it reverts."""
    try:
        return _words(await _view(node, target, calldata), 1)[0]
    except (NodeRefused, NodeMalformed):
        return None


async def _view(node: Node, target: Address, calldata: bytes) -> bytes:
    return decode_output(await node.call("eth_call", ({"to": to_hex(target), "data": to_hex(calldata)}, "latest")))


def _words(output: bytes, count: int) -> list[int]:
    if len(output) != WORD * count:
        raise NodeMalformed("eth_call", f"{len(output)} bytes instead of {count} words", "check the contract's address")
    return [int.from_bytes(output[at : at + WORD], "big") for at in range(0, len(output), WORD)]
