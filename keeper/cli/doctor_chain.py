"""The checks of one chain: each of its nodes, then its venues and the signers' balances through the first good one."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from functools import partial

import aiohttp

from keeper.app.clock import SystemClock
from keeper.chain.rpc import Provider, ProviderOptions
from keeper.chain.subscription import SubscriptionOptions, subscribed
from keeper.chain.wire import decode_header, read_quantity
from keeper.cli.doctor_aave import examine_aave
from keeper.cli.doctor_morpho import examine_morpho
from keeper.cli.doctor_perp import examine_perp, free_collateral
from keeper.cli.findings import Findings
from keeper.core.errors import CredentialError, NodeMalformed, NodeRefused, NotHolding
from keeper.core.facts import BlockHeader
from keeper.core.ids import to_hex
from keeper.core.ports import Node
from keeper.execution.keys import keystore_address
from keeper.settings import ChainSettings, NodeUrl, Settings

CLOCK_SKEW_SECONDS_MAX = 15
ARCHIVE_BLOCKS = 128
"""How far back a node that is no archive still has state."""
ZERO_ADDRESS_HEX = "0x" + "00" * 20
EXAMINERS = {"aave_v3": examine_aave, "morpho_blue": examine_morpho, "perp_v2": examine_perp}
"""Who looks at a venue, by its protocol."""


async def examine_chain(settings: Settings, name: str, findings: Findings) -> None:
    """Check a chain's nodes, venues and balances."""
    chain = settings.chains[name]
    async with AsyncExitStack() as stack:
        good: list[Node] = []
        for url in chain.http:
            node = await stack.enter_async_context(_provider(chain, url))
            if await _examine_node(name, chain, node, findings):
                good.append(node)
        for url in chain.ws:
            await findings.ask(f"{name} {url}", _websocket(chain, url))
        if good:
            await _examine_contents(settings, name, good[0], findings)


def _provider(chain: ChainSettings, url: NodeUrl) -> Provider:
    options = ProviderOptions(request_timeout_seconds=chain.request_timeout_seconds)
    return Provider(url.reveal(), chain.chain_id, SystemClock(), options)


async def _examine_node(name: str, chain: ChainSettings, node: Provider, findings: Findings) -> bool:
    """Check a node; ``False`` when it cannot be used at all."""
    place = f"{name} {node.name}"
    if not await findings.ask(place, _answers(node)):
        return False
    try:
        head = await block_at(node, "latest")
    except (NodeMalformed, NodeRefused) as error:
        return findings.failed(f"{place} head", error)
    findings.check(f"{place} head", partial(_head_age, chain, head))
    findings.check(f"{place} clock", partial(_clock, head))
    if chain.finality == "tag":
        await findings.ask(f"{place} finality", _finality(node))
    await findings.ask(f"{place} archive", _archive(node, head))
    await findings.ask(f"{place} getLogs", _logs(node, chain, head))
    return True


async def _examine_contents(settings: Settings, name: str, node: Node, findings: Findings) -> None:
    for venue_name, venue in settings.venues.items():
        if venue.chain == name:
            await EXAMINERS[venue.protocol](venue_name, venue, node, findings)
            if venue.protocol == "perp_v2":
                await _examine_deposits(settings, venue_name, node, findings)
    if settings.strategies.chosen:
        findings.check(f"{name} gas", partial(_gas_value, settings.chains[name], name))
    for signer in settings.signers:
        await findings.ask(f"signer {signer} on {name}", _balance(settings, signer, node))


async def _examine_deposits(settings: Settings, venue: str, node: Node, findings: Findings) -> None:
    """Look at what the signers have deposited at an exchange: without it they can take nothing over."""
    strategy = settings.strategies.partial_liquidation
    acts = strategy is not None and venue in strategy.venues
    for signer in strategy.all_signers if strategy is not None and acts else ():
        try:
            address = keystore_address(settings.signers[signer].keystore)
        except CredentialError:
            continue
        asked = free_collateral(settings.venues[venue], address, node, live=settings.mode == "live")
        await findings.ask(f"signer {signer} at {venue}", asked)


async def block_at(node: Node, tag: str) -> BlockHeader:
    """Return a block's header by tag or number.

    Raises:
        NodeError: the node failed.
        NodeMalformed: it has no such block, or answers no header.
    """
    return decode_header(await node.call("eth_getBlockByNumber", (tag, False)))


async def _answers(node: Provider) -> str:
    """The provider compares the chain id before its first request."""
    chain_id = read_quantity(str(await node.call("eth_chainId", ())))
    return f"answers, chain id {chain_id}"


async def _websocket(chain: ChainSettings, url: NodeUrl) -> str:
    options = SubscriptionOptions(connect_seconds_max=chain.request_timeout_seconds)
    async with aiohttp.ClientSession() as session, subscribed(session, url.reveal(), chain.chain_id, options):
        return "announces new heads"


def _head_age(chain: ChainSettings, head: BlockHeader) -> str:
    age = time.time() - head.timestamp
    if age > chain.stale_after_seconds:
        reason = f"block {head.number} is {age:,.0f} s old, more than stale_after_seconds = {chain.stale_after_seconds}"
        raise NotHolding("head", reason, "wait until the node is in sync, or use another")
    return f"block {head.number}, {max(0.0, age):.0f} s old"


def _clock(head: BlockHeader) -> str:
    ahead = head.timestamp - time.time()
    if ahead > CLOCK_SKEW_SECONDS_MAX:
        reason = f"the head is {ahead:,.0f} s in the future by this machine's clock"
        raise NotHolding("clock", reason, "synchronise the clock (NTP)")
    return "not behind the chain"


async def _finality(node: Node) -> str:
    try:
        final = await node.call("eth_getBlockByNumber", ("finalized", False))
    except NodeRefused as error:
        reason = f"the finalized tag is refused ({error.message})"
        raise NotHolding("finality", reason, "set finality to a depth in blocks") from None
    if final is None:
        raise NotHolding("finality", "there is no finalized block yet", "wait, or set finality to a depth in blocks")
    return f"block {decode_header(final).number} is final"


async def _archive(node: Node, head: BlockHeader) -> str:
    old = head.number - ARCHIVE_BLOCKS - 1
    if old < 0:
        return f"the chain has {head.number + 1} blocks, nothing is too old yet"
    try:
        await node.call("eth_getBalance", (ZERO_ADDRESS_HEX, hex(old)))
    except NodeRefused as error:
        reason = f"no state {ARCHIVE_BLOCKS} blocks back ({error.message})"
        raise NotHolding("archive", reason, "the first start needs an archive node: put one first in http") from None
    return f"state of block {old} is there"


async def _logs(node: Node, chain: ChainSettings, head: BlockHeader) -> str:
    first = max(0, head.number - chain.range_blocks_max + 1)
    wanted = {"fromBlock": hex(first), "toBlock": hex(head.number), "address": ZERO_ADDRESS_HEX}
    try:
        await node.call("eth_getLogs", (wanted,))
    except NodeRefused as error:
        reason = f"a range of {head.number - first + 1} blocks is refused ({error.message})"
        raise NotHolding("getLogs", reason, "lower range_blocks_max of the chain; ranges adapt, but slowly") from None
    return f"{head.number - first + 1} blocks at once"


def _gas_value(chain: ChainSettings, name: str) -> str:
    if chain.wrapped_native is None:
        reason = "wrapped_native is not set, so gas cannot be valued and every proposal is refused"
        raise NotHolding("gas", reason, f"set chains.{name}.wrapped_native to a token that the venue prices")
    return f"valued by {to_hex(chain.wrapped_native)}"


async def _balance(settings: Settings, name: str, node: Node) -> str:
    signer = settings.signers[name]
    try:
        address = to_hex(keystore_address(signer.keystore))
    except CredentialError:
        return "not looked at: the keystore cannot be read"
    balance_wei = read_quantity(str(await node.call("eth_getBalance", (address, "latest"))))
    if balance_wei < signer.balance_wei_min and settings.mode == "live":
        reason = f"holds {balance_wei} wei, less than balance_wei_min = {signer.balance_wei_min}"
        raise NotHolding("balance", reason, f"send native coin to {address}")
    return f"holds {balance_wei} wei"
