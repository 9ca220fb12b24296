"""Execute a protection in the next block of a local chain, and take the block back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple, TypeVar

import msgspec

from keeper.core.ids import to_hex
from keeper.core.venue import Call
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Trace

Figures = TypeVar("Figures")
GAS = 1_500_000


class _Receipt(msgspec.Struct, frozen=True, rename="camel"):
    status: str
    gas_used: str


class Tried(NamedTuple):
    """What a call came to: the revert data, ``None`` when it succeeded, and the gas it used."""

    reverted: bytes | None
    gas: int


async def tried(
    rpc: LabRpc, sender: str, call: Call, timestamp: int, look: Callable[[], Awaitable[Figures]]
) -> tuple[Tried, Figures]:
    """Execute a call in a block of this time (seconds), look at what it left, and take the block back."""
    snapshot = await rpc.call("evm_snapshot", answer=str)
    await rpc.call("evm_setNextBlockTimestamp", timestamp, answer=object)
    transaction = {"from": sender, "to": to_hex(call.to), "data": to_hex(call.data), "gas": hex(GAS)}
    sent = await rpc.call("eth_sendTransaction", transaction, answer=str)
    await rpc.call("evm_mine", answer=str)
    receipt = await rpc.call("eth_getTransactionReceipt", sent, answer=_Receipt)
    reverted = None
    if receipt.status != "0x1":
        trace = await rpc.call("debug_traceTransaction", sent, {"tracer": "callTracer"}, answer=Trace)
        reverted = bytes.fromhex(trace.output.removeprefix("0x"))
    left = await look()
    await rpc.call("evm_revert", snapshot, answer=bool)
    return Tried(reverted, int(receipt.gas_used, 16)), left
