"""A node that answers what it is told to, over a real socket: an honest one by default, a lying one on demand."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from keeper.core.ids import to_hex
from keeper.venues.aave_v3.reads import ASSET_PRICE, POOL_REVISION
from keeper.venues.abi import selector_of

CHAIN_ID = 31337
ROOT = "0x" + "01" * 20
POOL = "0x" + "02" * 20
ORACLE = "0x" + "03" * 20
ASSET = "0x" + "04" * 20
HEAD = 1000

Json = Any
Answer = Callable[..., Json]


class Refusal(Exception):  # noqa: N818 - what an answer may be
    """A JSON-RPC error object."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.error = {"code": code, "message": message}


class ScriptedNode:
    """An Aave market at the head of a chain of 1001 blocks. Replace ``answers``, or the whole ``body``, to lie."""

    def __init__(self) -> None:
        self.body: str | None = None
        self.url = ""
        self.age_seconds = 1
        self.views = {
            selector_of("getPool()"): _word(POOL),
            selector_of("getPriceOracle()"): _word(ORACLE),
            selector_of("getReservesList()"): "0x" + f"{32:064x}" + f"{1:064x}" + _word(ASSET)[2:],
            POOL_REVISION: hex_word(1),
            ASSET_PRICE: hex_word(2000 * 10**8),
            selector_of("BASE_CURRENCY_UNIT()"): hex_word(10**8),
        }
        self.answers: dict[str, Answer] = {
            "eth_chainId": lambda: hex(CHAIN_ID),
            "eth_getBlockByNumber": self._block,
            "eth_getBalance": lambda _address, _block: hex(10**18),
            "eth_getLogs": lambda _wanted: [],
            "eth_getCode": lambda _address, _block: "0x6001",
            "eth_call": lambda call, _block: self.views[bytes.fromhex(call["data"][2:10])],
        }

    def _block(self, tag: str, _full: object) -> Json:
        number = {"latest": HEAD, "finalized": HEAD - 64}[tag]
        return {
            "number": hex(number),
            "hash": to_hex(number.to_bytes(32, "big")),
            "parentHash": to_hex((number - 1).to_bytes(32, "big")),
            "timestamp": hex(int(time.time()) - self.age_seconds - 12 * (HEAD - number)),
            "baseFeePerGas": "0x7",
            "logsBloom": to_hex(bytes(256)),
        }

    async def post(self, request: web.Request) -> web.Response:
        """Answer one request."""
        asked = json.loads(await request.read())
        if self.body is not None:
            return web.Response(text=self.body)
        try:
            outcome = {"result": self.answers[asked["method"]](*asked["params"])}
        except Refusal as refusal:
            outcome = {"error": refusal.error}
        return web.json_response({"jsonrpc": "2.0", "id": asked["id"], **outcome})


def hex_word(value: int) -> str:
    """Return an ABI word."""
    return f"0x{value:064x}"


def _word(address: str) -> str:
    return hex_word(int(address, 16))


@asynccontextmanager
async def scripted_node() -> AsyncIterator[ScriptedNode]:
    """Serve a node on the loopback."""
    node = ScriptedNode()
    app = web.Application()
    app.router.add_post("/", node.post)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    node.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield node
    await runner.cleanup()
