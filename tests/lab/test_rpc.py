"""The lab's JSON-RPC client: answers in order and in type, and an error for everything else."""

from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from keeper.core.errors import NodeMalformed, NodeRefused, NodeUnreachable
from keeper.lab.localchain.rpc import LabRpc, Request

Serve = Callable[[bytes], None]
GOOD = b'{"jsonrpc":"2.0","id":%d,"result":"0x%d"}'


class CannedServer:
    """Answers every request with the same bytes."""

    def __init__(self) -> None:
        self.body = b""
        self.url = ""

    async def answer(self, _: web.Request) -> web.Response:
        """Give the canned bytes."""
        return web.Response(body=self.body)


@pytest_asyncio.fixture
async def server() -> AsyncIterator[CannedServer]:
    """A server on loopback."""
    canned = CannedServer()
    application = web.Application()
    application.router.add_post("/", canned.answer)
    async with TestServer(application) as running:
        canned.url = str(running.make_url("/"))
        yield canned


async def test_answers_come_in_the_order_of_the_requests(server: CannedServer) -> None:
    """A node may answer a batch in any order."""
    server.body = b"[" + GOOD % (1, 11) + b"," + GOOD % (0, 10) + b"]"
    async with LabRpc(server.url) as rpc:
        assert await rpc.batch([Request("a"), Request("b")], answer=str) == ["0x10", "0x11"]


async def test_an_error_object_is_raised_with_its_parts(server: CannedServer) -> None:
    """Code, message and data of a refusal survive."""
    server.body = b'[{"jsonrpc":"2.0","id":0,"error":{"code":3,"message":"reverted","data":"0x08"}}]'
    async with LabRpc(server.url) as rpc:
        with pytest.raises(NodeRefused) as caught:
            await rpc.call("eth_call", answer=str)
    assert (caught.value.thing, caught.value.code, caught.value.message, caught.value.data) == (
        *("eth_call", 3, "reverted", "0x08"),
    )


async def test_outcomes_keep_refusals_in_place(server: CannedServer) -> None:
    """One refused request of a batch does not hide the others."""
    refused = b'{"jsonrpc":"2.0","id":0,"error":{"code":3,"message":"no"}}'
    server.body = b"[" + refused + b"," + GOOD % (1, 11) + b"]"
    async with LabRpc(server.url) as rpc:
        first, second = await rpc.outcomes([Request("a"), Request("b")], answer=str)
    assert isinstance(first, NodeRefused)
    assert second == "0x11"


@pytest.mark.parametrize(
    "body", [b"<html>busy</html>", b'[{"id":0,"resu', b"[]", b'[{"jsonrpc":"2.0","id":0,"result":5}]'], ids=str
)
async def test_anything_else_is_malformed(server: CannedServer, body: bytes) -> None:
    """HTML, truncated JSON, a missing answer and an answer of another type are never taken for one."""
    server.body = body
    async with LabRpc(server.url) as rpc:
        with pytest.raises(NodeMalformed):
            await rpc.call("eth_chainId", answer=str)


async def test_no_node_is_unreachable() -> None:
    """A refused connection is an error of its own."""
    async with LabRpc("http://127.0.0.1:9") as rpc:
        with pytest.raises(NodeUnreachable):
            await rpc.call("eth_chainId", answer=str)


async def test_a_closed_connection_says_how_to_open_it() -> None:
    """Using the client outside its context is an error with a remedy."""
    with pytest.raises(NodeUnreachable, match="async context manager"):
        await LabRpc("http://127.0.0.1:9").call("eth_chainId", answer=str)
