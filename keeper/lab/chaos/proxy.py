"""A provider with troubles: JSON-RPC over HTTP and websocket between the daemon and a real node.

Several proxies of one node are several providers of one chain: each has its own troubles and its own view of how far
the chain has come, and all share the pool's rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from keeper.lab.chaos.geth_rules import PoolRules, read_offer
from keeper.lab.chaos.troubles import LOGS, SEND, Mishap, Troubles

Json = Any
BODY_BYTES_MAX = 1 << 26
HANG_SECONDS = 30.0
RETRY_AFTER_SECONDS = "1"
_HEADERS = {"Content-Type": "application/json"}
_POOL_REFUSED = -32000
_LIMIT_EXCEEDED = -32005


class ChaosProxy:
    """Stands for one provider of a node.

    Args:
        node_url: The node's HTTP address.
        node_ws_url: The node's websocket address.
        troubles: What is wrong with this provider; may be turned at any time.
        rules: The pool's rules, shared by all proxies of the node.
    """

    def __init__(self, node_url: str, node_ws_url: str, troubles: Troubles, rules: PoolRules) -> None:
        self.troubles = troubles
        self.http_url = ""
        self.ws_url = ""
        self._node_url = node_url
        self._node_ws_url = node_ws_url
        self._rules = rules
        self._session: aiohttp.ClientSession | None = None
        self._sockets: set[web.WebSocketResponse] = set()

    async def post(self, request: web.Request) -> web.StreamResponse:
        """Answer one HTTP body, as well as this provider can."""
        if self.troubles.outage is not None:
            return await self._fail(request, self.troubles.outage)
        asked = msgspec.json.decode(await request.read())
        calls = asked if isinstance(asked, list) else [asked]
        mishap = self.troubles.mishap(frozenset(call["method"] for call in calls))
        if mishap in ("lose request", "limit"):
            return await self._fail(request, "hang" if mishap == "lose request" else "limit")
        answers = [await self._swallowed(call) for call in calls] if mishap == "swallow" else await self._answers(calls)
        if mishap == "lose reply":
            return await self._fail(request, "reset")
        answers = [_bent(call, answer, mishap) for call, answer in zip(calls, answers, strict=True)]
        body = msgspec.json.encode(answers if isinstance(asked, list) else answers[0])
        return web.Response(body=body[: len(body) // 2] if mishap == "cut" else body, content_type="application/json")

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """Hand a websocket through; heads may be dropped or repeated on the way, and stop in an outage."""
        if self.troubles.outage is not None:
            return await self._fail(request, self.troubles.outage)
        near = web.WebSocketResponse()
        await near.prepare(request)
        self._sockets.add(near)
        try:
            async with self._open_session().ws_connect(self._node_ws_url, max_msg_size=BODY_BYTES_MAX) as far:
                back = asyncio.create_task(self._hand_back(far, near))
                try:
                    async for message in near:
                        await far.send_str(_text(message))
                finally:
                    back.cancel()
        except (aiohttp.ClientError, ConnectionError):
            self.troubles.note("websocket lost")
        finally:
            self._sockets.discard(near)
        return near

    async def cut_sockets(self) -> None:
        """Close every websocket, as an outage does."""
        for socket in tuple(self._sockets):
            await socket.close()

    async def _hand_back(self, far: aiohttp.ClientWebSocketResponse, near: web.WebSocketResponse) -> None:
        async for message in far:
            text = _text(message)
            for _ in range(self._copies(text)):
                with suppress(ConnectionError):
                    await near.send_str(text)

    def _copies(self, text: str) -> int:
        if "eth_subscription" not in text:
            return 1
        if self.troubles.outage is not None or self.troubles.lag_blocks:
            return 0
        return self.troubles.copies_of_head()

    async def _fail(self, request: web.Request, how: str) -> web.StreamResponse:
        self.troubles.note(how)
        if how == "hang":
            await asyncio.sleep(HANG_SECONDS)
        if how == "limit":
            return web.Response(status=HTTPStatus.TOO_MANY_REQUESTS, headers={"Retry-After": RETRY_AFTER_SECONDS})
        if how == "reset" and request.transport is not None:
            request.transport.abort()
        return web.Response(status=HTTPStatus.SERVICE_UNAVAILABLE)

    async def _answers(self, calls: Sequence[Json]) -> list[Json]:
        """Forward what the pool's rules let through, and hide the blocks that this provider does not know yet."""
        hidden = await self._hidden_blocks()
        outcomes: dict[int, Json] = {}
        forwarded: list[tuple[int, Json]] = []
        for place, call in enumerate(calls):
            refusal = await self._refusal(call)
            if refusal is not None:
                outcomes[place] = {"jsonrpc": "2.0", "id": call["id"], "error": refusal}
            else:
                forwarded.append((place, _lagged(call, hidden)))
        answers = await self._ask([call for _, call in forwarded])
        for (place, call), answer in zip(forwarded, answers, strict=True):
            self._note_taken(call, answer)
            outcomes[place] = _hide(call, answer, hidden)
        return [outcomes[place] for place in range(len(calls))]

    async def _ask(self, calls: Sequence[Json]) -> list[Json]:
        if not calls:
            return []
        body = msgspec.json.encode(list(calls))
        async with self._open_session().post(self._node_url, data=body, headers=_HEADERS) as response:
            answers: list[Json] = msgspec.json.decode(await response.read())
        by_id = {answer["id"]: answer for answer in answers}
        return [by_id[call["id"]] for call in calls]

    async def _result(self, method: str, *params: object) -> Json:
        (answer,) = await self._ask([{"jsonrpc": "2.0", "id": 0, "method": method, "params": params}])
        return answer.get("result")

    async def _refusal(self, call: Json) -> Json | None:
        """Return what geth's pool would refuse a transaction with."""
        offer = read_offer(call["params"][0]) if call["method"] == SEND else None
        incumbent = self._rules.incumbent(offer) if offer is not None else None
        if offer is None or incumbent is None:
            return None
        held = await self._result("eth_getTransactionByHash", incumbent.tx_hash)
        pooled = isinstance(held, dict) and held.get("blockHash") is None
        message = self._rules.refusal(offer, incumbent if pooled else None)
        if message is None:
            return None
        self.troubles.note(message)
        return {"code": _POOL_REFUSED, "message": message}

    def _note_taken(self, call: Json, answer: Json) -> None:
        offer = read_offer(call["params"][0]) if call["method"] == SEND else None
        if offer is not None and "result" in answer:
            self._rules.took(offer)

    async def _swallowed(self, call: Json) -> Json:
        """Answer a send with its hash, and tell nobody of it."""
        offer = read_offer(call["params"][0]) if call["method"] == SEND else None
        if offer is None:
            return (await self._answers([call]))[0]
        return {"jsonrpc": "2.0", "id": call["id"], "result": offer.tx_hash}

    async def _hidden_blocks(self) -> dict[str, int]:
        """Return the newest blocks that this provider does not know yet, hash to number."""
        lag = self.troubles.lag_blocks
        if not lag:
            return {}
        head = int(await self._result("eth_blockNumber"), 16)
        numbers = range(max(1, head - lag + 1), head + 1)
        found = [await self._result("eth_getBlockByNumber", hex(number), False) for number in numbers]
        return {block["hash"]: int(block["number"], 16) for block in found if block is not None}

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def close(self) -> None:
        """Close the connections to the node."""
        await self.cut_sockets()
        if self._session is not None:
            await self._session.close()


def _lagged(call: Json, hidden: dict[str, int]) -> Json:
    """Ask about the block below the hidden ones where the newest is asked for."""
    if not hidden:
        return call
    newest = hex(min(hidden.values()) - 1)
    return {**call, "params": [newest if param == "latest" else param for param in call["params"]]}


def _hide(call: Json, answer: Json, hidden: dict[str, int]) -> Json:
    """Know nothing of hidden blocks, in the ways of a node that has not seen them."""
    if not hidden:
        return answer
    result = answer.get("result")
    if isinstance(result, dict) and hidden.keys() & {result.get("hash"), result.get("blockHash")}:
        return {"jsonrpc": "2.0", "id": call["id"], "result": None}
    if any(isinstance(param, dict) and param.get("blockHash") in hidden for param in call["params"]):
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": _POOL_REFUSED, "message": "unknown block"}}
    return answer


def _bent(call: Json, answer: Json, mishap: Mishap | None) -> Json:
    if mishap == "refuse":
        return {"jsonrpc": "2.0", "id": call["id"], "error": {"code": _LIMIT_EXCEEDED, "message": "try again"}}
    if mishap == "empty" and call["method"] == LOGS and "result" in answer:
        return {**answer, "result": []}
    return answer


def _text(message: aiohttp.WSMessage) -> str:
    return message.data.decode() if isinstance(message.data, bytes) else str(message.data)


@asynccontextmanager
async def serving_proxy(
    node_url: str, node_ws_url: str, troubles: Troubles, rules: PoolRules
) -> AsyncIterator[ChaosProxy]:
    """Serve a proxy on a free port of the loopback for the length of the context."""
    proxy = ChaosProxy(node_url, node_ws_url, troubles, rules)
    application = web.Application(client_max_size=BODY_BYTES_MAX)
    application.router.add_post("/", proxy.post)
    application.router.add_get("/", proxy.socket)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place = f"127.0.0.1:{runner.addresses[0][1]}"
        proxy.http_url, proxy.ws_url = f"http://{place}", f"ws://{place}"
        yield proxy
    finally:
        await proxy.close()
        await runner.cleanup()
