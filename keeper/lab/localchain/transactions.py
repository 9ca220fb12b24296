"""Calls, transactions and receipts: encode by signature, send many in a fixed order, wait until they are mined.

The node executes a batch of requests concurrently, so order has to be carried by the transactions themselves: each
gets an explicit nonce and a fee one wei below that of the call before it, and the node's pool orders by fee. Thus the
order inside a block is the order asked for, on every run.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgspec
from eth_abi.abi import decode, encode
from eth_abi.grammar import TupleType, parse
from eth_utils.crypto import keccak

from keeper.core.errors import NodeRefused, NodeUnreachable
from keeper.lab.localchain.rpc import LabRpc, Request

CALL_GAS = 1_500_000
CREATION_GAS = 8_000_000
FEE_WEI_MAX = 200 * 10**9
TIP_WEI = 10**9
POLL_SECONDS = 0.02
MINED_SECONDS_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Call:
    """A transaction to be: ``to`` is ``None`` for a contract creation; ``data`` is 0x-hexadecimal."""

    sender: str
    to: str | None
    data: str
    gas: int = CALL_GAS


class Log(msgspec.Struct, frozen=True, rename="camel"):
    """One event: quantities are 0x-hexadecimal, as the node writes them."""

    address: str
    topics: list[str]
    data: str
    log_index: str


class Receipt(msgspec.Struct, frozen=True, rename="camel"):
    """What became of a transaction: quantities are 0x-hexadecimal, as the node writes them."""

    transaction_hash: str
    transaction_index: str
    block_number: str
    status: str
    logs: list[Log]
    contract_address: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the transaction was not reverted."""
        return self.status == "0x1"


@lru_cache(maxsize=256)
def _signature(signature: str) -> tuple[bytes, tuple[str, ...]]:
    """Return selector and argument types of ``name(type,...)``."""
    selector: bytes = keccak(text=signature)[:4]
    written = signature[signature.index("(") :]
    if written == "()":
        return selector, ()
    parsed = parse(written)
    if not isinstance(parsed, TupleType):
        raise TypeError(f"{signature} has no argument list")
    return selector, tuple(component.to_type_str() for component in parsed.components)


def encode_arguments(types: str, *arguments: object) -> str:
    """Return constructor arguments as hexadecimal without 0x: ``encode_arguments("(uint8,string)", 8, "ETH")``."""
    return encode(_signature(types)[1], arguments).hex()


def encode_call(signature: str, *arguments: object) -> str:
    """Return calldata as 0x-hexadecimal: ``encode_call("mint(address,uint256)", to, amount)``."""
    selector, types = _signature(signature)
    return "0x" + (selector + encode(types, arguments)).hex()


def decode_answer(types: Sequence[str], answer: str) -> tuple[Any, ...]:
    """Return the values in an ``eth_call`` answer."""
    return decode(types, bytes.fromhex(answer[2:]))


def read_request(to: str, data: str, block: int | str = "latest") -> Request:
    """Return the ``eth_call`` of ``data`` on ``to``, at a block number or tag."""
    return Request("eth_call", ({"to": to, "data": data}, hex(block) if isinstance(block, int) else block))


async def read(rpc: LabRpc, to: str, signature: str, *arguments: object, returns: Sequence[str]) -> tuple[Any, ...]:
    """Call a view function at the latest block and return its decoded values."""
    request = read_request(to, encode_call(signature, *arguments))
    return decode_answer(returns, (await rpc.batch([request], answer=str))[0])


async def send(rpc: LabRpc, calls: Sequence[Call]) -> list[str]:
    """Hand calls to the node's pool so that a block takes them in this order; return their transaction hashes.

    Raises:
        NodeRefused: the pool refused one.
    """
    senders = list(dict.fromkeys(call.sender for call in calls))
    counts = await rpc.batch([Request("eth_getTransactionCount", (one, "pending")) for one in senders], answer=str)
    nonces = {sender: int(count, 16) for sender, count in zip(senders, counts, strict=True)}
    requests: list[Request] = []
    for position, call in enumerate(calls):
        requests.append(_send_request(call, nonces[call.sender], FEE_WEI_MAX - position))
        nonces[call.sender] += 1
    return await rpc.batch(requests, answer=str)


def _send_request(call: Call, nonce: int, fee_wei_max: int) -> Request:
    transaction = {
        "from": call.sender,
        "data": call.data,
        "gas": hex(call.gas),
        "nonce": hex(nonce),
        "maxFeePerGas": hex(fee_wei_max),
        "maxPriorityFeePerGas": hex(TIP_WEI),
    }
    return Request("eth_sendTransaction", (transaction if call.to is None else {**transaction, "to": call.to},))


async def submit(rpc: LabRpc, calls: Sequence[Call], *, mine: bool = True) -> list[Receipt]:
    """Send calls, have them mined in this order, and return their receipts in this order.

    Args:
        rpc: The node.
        calls: What to do; all go into one block as far as its gas limit allows.
        mine: Mine at once, whatever the node's own rhythm (a node that mines per transaction does so again
            afterwards). ``False`` leaves mining to the node.

    Raises:
        NodeRefused: one was reverted (the first such), or the pool refused one.
        NodeUnreachable: they were not mined in time.
    """
    automatic = mine and await rpc.call("anvil_getAutomine", answer=bool)
    if automatic:
        await rpc.call("evm_setAutomine", False, answer=type(None))
    try:
        hashes = await send(rpc, calls)
        receipts = await _mined(rpc, hashes, mine=mine)
    finally:
        if automatic:
            await rpc.call("evm_setAutomine", True, answer=type(None))
    for call, receipt in zip(calls, receipts, strict=True):
        if not receipt.succeeded:
            raise await _reverted(rpc, call, receipt)
    return receipts


async def _mined(rpc: LabRpc, hashes: Sequence[str], *, mine: bool) -> list[Receipt]:
    """Return the receipts once all are there; when ``mine``, make the blocks, at most one per transaction and one."""
    requests = [Request("eth_getTransactionReceipt", (one,)) for one in hashes]
    looks = len(hashes) + 1 if mine else int(MINED_SECONDS_MAX / POLL_SECONDS)
    receipts: list[Receipt] = []
    for _ in range(looks):
        if mine:
            await rpc.call("evm_mine", answer=str)
        answers: list[Receipt | None] = await rpc.batch(requests, answer=Receipt | None)  # type: ignore[arg-type]  # a union is a type form
        receipts = [receipt for receipt in answers if receipt is not None]
        if len(receipts) == len(hashes):
            return receipts
        if not mine:
            await asyncio.sleep(POLL_SECONDS)
    raise NodeUnreachable(rpc.url, f"mined {len(receipts)} of {len(hashes)} transactions, looked {looks} times")


class Trace(msgspec.Struct, frozen=True, rename="camel"):
    """The top frame of a ``callTracer`` trace."""

    output: str = "0x"
    error: str = ""
    revert_reason: str = ""


async def revert_reason(rpc: LabRpc, transaction_hash: str) -> str:
    """Return why a mined transaction was reverted: the contract's own string (Aave: an error number), or ``""``."""
    trace = await rpc.call("debug_traceTransaction", transaction_hash, {"tracer": "callTracer"}, answer=Trace)
    return trace.revert_reason


async def revert_data(rpc: LabRpc, transaction_hash: str) -> bytes:
    """Return the data that a mined transaction was reverted with."""
    trace = await rpc.call("debug_traceTransaction", transaction_hash, {"tracer": "callTracer"}, answer=Trace)
    return bytes.fromhex(trace.output[2:])


async def _reverted(rpc: LabRpc, call: Call, receipt: Receipt) -> NodeRefused:
    reason = await revert_reason(rpc, receipt.transaction_hash)
    return NodeRefused(f"transaction {call.data[:10]} to {call.to}", 3, f"reverted: {reason or 'no reason given'}")
