"""A contract of a few instructions that logs what it is sent, on a real node; its assembly stands beside its bytes.

Called with 32 bytes of topic and any data it emits ``LOG1(topic, data)``. Called with one byte it returns the number
of the block it runs in. Called with nothing it reverts.
"""

from __future__ import annotations

from typing import Any

from keeper.chain.wire import HeadHint
from keeper.core.ids import Address, parse_address, parse_hash, to_hex
from keeper.lab.localchain.rpc import LabRpc

SENDER = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
RUNTIME = bytes.fromhex(
    "361560225736600114601a57"  # if CALLDATASIZE == 0 goto 0x22; if CALLDATASIZE == 1 goto 0x1a
    "365f5f37"  # CALLDATACOPY(0, 0, CALLDATASIZE)
    "5f51602036036020a100"  # LOG1(32, CALLDATASIZE - 32, MLOAD(0)); STOP
    "5b435f5260205ff3"  # 0x1a: MSTORE(0, NUMBER); RETURN(0, 32)
    "5b5f5ffd"  # 0x22: REVERT(0, 0)
)
CREATION = bytes.fromhex("60268060095f395ff3") + RUNTIME  # CODECOPY(0, 9, 38); RETURN(0, 38)


class Emitter:
    """Deploys emitters, makes them log, and moves the node's head about."""

    def __init__(self, rpc: LabRpc) -> None:
        self._rpc = rpc

    async def deploy(self) -> Address:
        """Deploy one, in a block of its own; from now on the node mines only when it is told to."""
        await self._rpc.call("evm_setAutomine", False, answer=object)
        receipt = await self._mined({"from": SENDER, "data": to_hex(CREATION), "gas": "0x30000"})
        return parse_address(receipt["contractAddress"])

    async def emit(self, emitter: Address, topic: bytes, data: bytes) -> HeadHint:
        """Log once, in a block of its own; return that block."""
        call = {"from": SENDER, "to": to_hex(emitter), "data": to_hex(topic + data), "gas": "0x30000"}
        receipt = await self._mined(call)
        return HeadHint(int(receipt["blockNumber"], 16), parse_hash(receipt["blockHash"]))

    async def head(self) -> HeadHint:
        """Return the node's newest block."""
        header = await self._rpc.call("eth_getBlockByNumber", "latest", False, answer=dict[str, Any])
        return HeadHint(int(header["number"], 16), parse_hash(header["hash"]))

    async def branch(self, first: int = 0) -> list[HeadHint]:
        """Return the node's canonical blocks from ``first`` to its head."""
        newest = await self.head()
        blocks = [
            await self._rpc.call("eth_getBlockByNumber", hex(number), False, answer=dict[str, Any])
            for number in range(first, newest.number + 1)
        ]
        return [HeadHint(int(block["number"], 16), parse_hash(block["hash"])) for block in blocks]

    async def mine(self, blocks: int) -> HeadHint:
        """Mine empty blocks."""
        await self._rpc.call("anvil_mine", hex(blocks), answer=object)
        return await self.head()

    async def reorg(self, depth: int) -> HeadHint:
        """Replace the newest blocks by empty ones."""
        await self._rpc.call("anvil_reorg", depth, [], answer=object)
        return await self.head()

    async def snapshot(self) -> str:
        """Remember the node's state."""
        return await self._rpc.call("evm_snapshot", answer=str)

    async def go_back(self, snapshot: str) -> HeadHint:
        """Move the head down to a snapshot, silently."""
        await self._rpc.call("evm_revert", snapshot, answer=bool)
        return await self.head()

    async def _mined(self, transaction: dict[str, str]) -> dict[str, Any]:
        tx_hash = await self._rpc.call("eth_sendTransaction", transaction, answer=str)
        await self._rpc.call("evm_mine", answer=str)
        return await self._rpc.call("eth_getTransactionReceipt", tx_hash, answer=dict[str, Any])
