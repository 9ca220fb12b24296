"""A scripted node on a real socket: a small chain that can fork, and faults a real node cannot be asked for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, ClassVar

from aiohttp import WSMsgType, web

from keeper.chain.bloom import bloom_of
from keeper.chain.wire import HeadHint
from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import Address, Hash32, to_hex

CHAIN_ID = 31337
ROOT = Address(b"\x11" * 20)
OTHER = Address(b"\x22" * 20)
EVENT = b"\xe1" * 32
NAMED = b"\xe2" * 32
Json = Any
Fault = Callable[[str, list[Json]], Json]


class Refuse(Exception):  # noqa: N818 - what a fault does
    """Answer a request with an error object."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message, **({"data": data} if data else {})}


PASS = object()
"""What a fault returns to let the request through."""


@dataclass
class Block:
    """A header and its logs."""

    header: BlockHeader
    logs: tuple[RawLog, ...]


def some_hash(*parts: object) -> Hash32:
    """Return a hash that is the same for the same parts."""
    return Hash32(blake2b(repr(parts).encode(), digest_size=32).digest())


def log_of(data: bytes, index: int = 0, address: Address = ROOT, topic: bytes = EVENT) -> RawLog:
    """Return a log."""
    return RawLog(address, (topic,), data, index, some_hash("tx", data, index))


@dataclass
class ScriptedChain:
    """Blocks by hash, and the canonical branch."""

    branch: list[Block] = field(default_factory=list)
    by_hash: dict[Hash32, Block] = field(default_factory=dict)
    finality_depth_blocks: int = 64
    timestamps_in_logs: bool = True
    has_receipts: bool = False
    METHODS: ClassVar[tuple[str, ...]] = (
        "eth_chainId",
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getBlockReceipts",
        "eth_getTransactionReceipt",
        "eth_getLogs",
        "eth_call",
    )

    def __post_init__(self) -> None:
        self.mine()

    @property
    def head(self) -> HeadHint:
        """The newest block."""
        return HeadHint(self.branch[-1].header.number, self.branch[-1].header.hash)

    def mine(self, *logs: RawLog, salt: object = "") -> Block:
        """Add a block on the head."""
        number = len(self.branch)
        parent = self.branch[-1].header.hash if self.branch else Hash32(bytes(32))
        block_hash = some_hash(number, parent, logs, salt)
        header = BlockHeader(number, block_hash, parent, 1_700_000_000 + number, 7, bloom_of(logs))
        block = Block(header, logs)
        self.branch.append(block)
        self.by_hash[block_hash] = block
        return block

    def mine_many(self, count: int, salt: object = "") -> None:
        """Add blocks with one log each."""
        for _ in range(count):
            number = len(self.branch)
            self.mine(log_of(f"{salt}{number}".encode()), salt=salt)

    def fork(self, depth: int) -> None:
        """Abandon the newest blocks."""
        del self.branch[len(self.branch) - depth :]

    def answer(self, method: str, params: list[Json]) -> Json:
        """Answer a request as a good node does."""
        if method not in self.METHODS or (method == "eth_getBlockReceipts" and not self.has_receipts):
            raise Refuse(-32601, f"the method {method} does not exist")
        return getattr(self, method)(*params)

    def eth_chainId(self) -> str:  # noqa: N802 - the method's name
        """Answer the chain id."""
        return hex(CHAIN_ID)

    def eth_getBlockByNumber(self, tag: str, _full: bool) -> Json:  # noqa: N802, FBT001 - the method's own
        """Answer a block by number or tag."""
        newest = len(self.branch) - 1
        number = {"latest": newest, "finalized": newest - self.finality_depth_blocks}.get(tag)
        number = int(tag, 16) if number is None else number
        return header_json(self.branch[number].header) if 0 <= number <= newest else None

    def eth_getBlockByHash(self, block_hash: str, _full: bool) -> Json:  # noqa: N802, FBT001 - the method's own
        """Answer a block by hash."""
        block = self.by_hash.get(Hash32(bytes.fromhex(block_hash[2:])))
        return None if block is None else header_json(block.header)

    def eth_getLogs(self, wanted: dict[str, Json]) -> Json:  # noqa: N802 - the method's name
        """Answer logs by block hash or range."""
        if "blockHash" in wanted:
            block = self.by_hash.get(Hash32(bytes.fromhex(wanted["blockHash"][2:])))
            if block is None:
                raise Refuse(-32000, "unknown block")
            blocks = [block]
        else:
            blocks = self.branch[int(wanted["fromBlock"], 16) : int(wanted["toBlock"], 16) + 1]
        return [
            log_json(log, block.header, timestamp=self.timestamps_in_logs)
            for block in blocks
            for log in block.logs
            if to_hex(log.address) in wanted["address"] and to_hex(log.topics[0]) in wanted["topics"][0]
        ]

    def eth_getBlockReceipts(self, block_hash: str) -> Json:  # noqa: N802 - the method's name
        """Answer the receipts of a block: one for each log, as every log has a transaction of its own."""
        block = self.by_hash.get(Hash32(bytes.fromhex(block_hash[2:])))
        if block is None:
            raise Refuse(-32000, "unknown block")
        return [{"status": "0x1", "logs": [log_json(log, block.header)]} for log in block.logs]

    def eth_getTransactionReceipt(self, tx_hash: str) -> Json:  # noqa: N802 - the method's name
        """Answer the receipt of a transaction of the canonical branch."""
        for block in self.branch:
            logs = [log for log in block.logs if to_hex(log.tx_hash) == tx_hash]
            if logs:
                return {
                    "blockHash": to_hex(block.header.hash),
                    "logs": [log_json(log, block.header) for log in logs],
                }
        return None

    def eth_call(self, call: dict[str, str], block: dict[str, str]) -> str:
        """Answer with the target and the block's hash; empty calldata reverts."""
        if Hash32(bytes.fromhex(block["blockHash"][2:])) not in self.by_hash:
            raise Refuse(-32000, "header not found")
        if call["data"] == "0x":
            raise Refuse(3, "execution reverted: NOPE", "0x08c379a0")
        return call["to"] + block["blockHash"][2:]


def header_json(header: BlockHeader) -> Json:
    """Write a header as a node does."""
    return {
        "number": hex(header.number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_wei),
        "logsBloom": to_hex(header.logs_bloom),
        "gasLimit": "0x1c9c380",
    }


def log_json(log: RawLog, header: BlockHeader, *, timestamp: bool = True) -> Json:
    """Write a log as a node does."""
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(topic) for topic in log.topics],
        "data": to_hex(log.data),
        "blockNumber": hex(header.number),
        "blockHash": to_hex(header.hash),
        "transactionHash": to_hex(log.tx_hash),
        "transactionIndex": "0x0",
        "logIndex": hex(log.log_index),
        "removed": False,
        **({"blockTimestamp": hex(header.timestamp)} if timestamp else {}),
    }


class ScriptedServer:
    """Serves a chain over HTTP and websocket. ``fault`` bends an answer, ``raw`` replaces the whole response.

    ``gate`` delays a response until it is set; ``waiting`` says that one is being delayed.
    """

    def __init__(self, chain: ScriptedChain) -> None:
        self.chain = chain
        self.fault: Fault | None = None
        self.raw: Callable[[Json], web.StreamResponse | None] | None = None
        self.gate: asyncio.Event | None = None
        self.waiting = asyncio.Event()
        self.bodies: list[Json] = []
        self.sockets: list[web.WebSocketResponse] = []
        self.subscribed = asyncio.Event()
        self.ws_chain_id = hex(CHAIN_ID)
        self.url = ""
        self.ws_url = ""

    @property
    def methods(self) -> list[str]:
        """The methods asked for, in order."""
        return [request["method"] for body in self.bodies for request in (body if isinstance(body, list) else [body])]

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP body."""
        body = json.loads(await request.read())
        self.bodies.append(body)
        if self.gate is not None:
            self.waiting.set()
            await self.gate.wait()
        if self.raw is not None and (response := self.raw(body)) is not None:
            return response
        answers = [self._answer(each) for each in body] if isinstance(body, list) else self._answer(body)
        return web.json_response(answers)

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        """Confirm a subscription and keep the connection."""
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type is WSMsgType.BINARY:
                asked = json.loads(message.data)
                answer = "0xfeed" if asked["method"] == "eth_subscribe" else self.ws_chain_id
                await socket.send_json({"jsonrpc": "2.0", "id": asked["id"], "result": answer})
                if asked["method"] == "eth_subscribe":
                    self.sockets.append(socket)
                    self.subscribed.set()
        return socket

    async def announce(self, hint: HeadHint) -> None:
        """Push a head to every open socket."""
        for socket in self.sockets:
            if not socket.closed:
                head = {"number": hex(hint.number), "hash": to_hex(hint.hash)}
                notice = {"subscription": "0xfeed", "result": head}
                await socket.send_json({"jsonrpc": "2.0", "method": "eth_subscription", "params": notice})

    def _answer(self, request: Json) -> Json:
        try:
            result = PASS if self.fault is None else self.fault(request["method"], request["params"])
            if result is PASS:
                result = self.chain.answer(request["method"], request["params"])
        except Refuse as refusal:
            return {"jsonrpc": "2.0", "id": request["id"], "error": refusal.error}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}


@asynccontextmanager
async def serving(chain: ScriptedChain) -> AsyncIterator[ScriptedServer]:
    """Serve a chain on a free port for the length of the context."""
    server = ScriptedServer(chain)
    application = web.Application()
    application.router.add_post("/{key}", server.post)
    application.router.add_get("/{key}", server.socket)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.url = f"http://{host}:{port}/secretkey123"
    server.ws_url = f"ws://{host}:{port}/secretkey123"
    try:
        yield server
    finally:
        await runner.cleanup()


def hashes(blocks: Sequence[Block]) -> list[tuple[int, Hash32]]:
    """Return number and hash of blocks."""
    return [(block.header.number, block.header.hash) for block in blocks]
