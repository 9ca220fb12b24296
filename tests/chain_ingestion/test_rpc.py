"""One provider: every way an answer can be wrong has its error, on one line, without the key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from keeper.chain.rpc import MESSAGE_CHARACTERS_MAX, Provider, ProviderOptions
from keeper.core.errors import ConfigError, KeeperError, NodeLimited, NodeMalformed, NodeRefused, NodeUnreachable
from tests.chain_ingestion.fakes import JumpClock
from tests.chain_ingestion.scripted import CHAIN_ID, Json, Refuse, ScriptedServer

HTML = "<html><body>502 at /secretkey123</body></html>"


def error_json(body: Json) -> Json:
    """Answer with an error object, as some providers do under a 4xx status."""
    asked = body[0] if isinstance(body, list) else body
    return {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32602, "message": "too wide for secretkey123"}}


BROKEN: dict[str, tuple[Callable[[Json], web.Response], type[KeeperError], str]] = {
    "html": (lambda _: web.Response(text=HTML), NodeMalformed, "an HTML page, not JSON-RPC"),
    "truncated": (lambda _: web.Response(text='{"jsonrpc":"2.0","id":1,"res'), NodeMalformed, "not JSON-RPC"),
    "empty": (lambda _: web.Response(text=""), NodeMalformed, "not JSON-RPC"),
    "wrong shape": (lambda _: web.json_response("fine"), NodeMalformed, "not JSON-RPC"),
    "wrong id": (lambda _: web.json_response({"id": 987, "result": "0x1"}), NodeMalformed, "ids that were not asked"),
    "no result": (lambda body: web.json_response({"id": body["id"]}), NodeMalformed, "neither result nor error"),
    "too long": (lambda _: web.Response(text=" " * 1_000_001), NodeMalformed, "answer longer than 1000000 bytes"),
    "429": (lambda _: web.Response(status=429, text=HTML), NodeLimited, "HTTP 429: too many requests"),
    "500": (lambda _: web.Response(status=500, text=HTML), NodeUnreachable, "HTTP 500"),
    "403": (lambda _: web.Response(status=403, text=HTML), NodeUnreachable, "HTTP 403"),
    "301": (lambda _: web.Response(status=301, headers={"Location": "/elsewhere"}), NodeUnreachable, "HTTP 301"),
    "400 with error": (lambda body: web.json_response(error_json(body), status=400), NodeRefused, "too wide for ***"),
}


@pytest.mark.parametrize("name", list(BROKEN))
async def test_broken_answer_has_its_error(server: ScriptedServer, provider: Provider, name: str) -> None:
    """A broken answer is the error that says what happened: one line, with the provider, without the key."""
    await provider.call("eth_chainId", ())
    respond, expected, reason = BROKEN[name]
    server.raw = respond

    with pytest.raises(KeeperError) as caught:
        await provider.call("eth_blockNumber", ())

    text = str(caught.value)
    assert type(caught.value) is expected
    assert reason in text
    assert provider.name in text
    assert "secretkey" not in text
    assert "\n" not in text


async def test_batch_must_be_answered_whole(server: ScriptedServer, provider: Provider) -> None:
    """A batch with an answer missing is malformed as a whole."""
    await provider.call("eth_chainId", ())
    server.raw = lambda body: web.json_response([{"id": each["id"], "result": "0x1"} for each in body[1:]])

    with pytest.raises(NodeMalformed, match="1 answers to 2 requests"):
        await provider.batch([("eth_blockNumber", ()), ("eth_blockNumber", ())])


async def test_batch_must_not_be_answered_twice(server: ScriptedServer, provider: Provider) -> None:
    """A request with two answers has none that can be trusted."""
    await provider.call("eth_chainId", ())
    server.raw = lambda body: web.json_response([{"id": each["id"], "result": "0x1"} for each in [*body, body[0]]])

    with pytest.raises(NodeMalformed, match="3 answers to 2 requests"):
        await provider.batch([("eth_blockNumber", ()), ("eth_blockNumber", ())])


async def test_batch_may_be_answered_out_of_order(server: ScriptedServer, provider: Provider) -> None:
    """Answers belong to requests by id, not by position."""
    await provider.call("eth_chainId", ())
    server.raw = lambda body: web.json_response([{"id": each["id"], "result": each["method"]} for each in body[::-1]])

    assert await provider.batch([("first", ()), ("second", ())]) == ["first", "second"]


async def test_one_error_refuses_the_whole_batch(server: ScriptedServer, provider: Provider) -> None:
    """A node that refuses a batch as such refuses each of its requests."""
    await provider.call("eth_chainId", ())
    server.raw = lambda _: web.json_response({"id": None, "error": {"code": -32600, "message": "batch too large"}})

    results = await provider.batch([("eth_blockNumber", ()), ("eth_blockNumber", ())])

    assert [result.code for result in results if isinstance(result, NodeRefused)] == [-32600, -32600]


async def test_revert_data_is_kept(server: ScriptedServer, provider: Provider) -> None:
    """The error object of a revert keeps its data."""

    def revert(method: str, params: list[Json]) -> Json:
        if method == "eth_call":
            raise Refuse(3, "execution reverted", "0x1234")
        return server.chain.answer(method, params)

    server.fault = revert

    with pytest.raises(NodeRefused) as caught:
        await provider.call("eth_call", ())

    assert caught.value.data == "0x1234"


async def test_nested_revert_data_is_kept_as_text(server: ScriptedServer, provider: Provider) -> None:
    """Where a proxy puts an object in the place of the data, its JSON is kept: the revert's bytes are in it."""
    error = {"code": -32000, "message": "execution reverted", "data": {"code": 3, "data": "0x1234"}}
    server.raw = lambda body: (
        None if body["method"] == "eth_chainId" else web.json_response({"id": body["id"], "error": error})
    )

    with pytest.raises(NodeRefused) as caught:
        await provider.call("eth_call", ())

    assert caught.value.data == '{"code":3,"data":"0x1234"}'


async def test_a_long_refusal_is_cut(server: ScriptedServer, provider: Provider) -> None:
    """A node cannot fill our log with its error message."""

    def ramble(method: str, params: list[Json]) -> Json:
        if method == "eth_call":
            raise Refuse(-32000, "no " * 10_000)
        return server.chain.answer(method, params)

    server.fault = ramble

    with pytest.raises(NodeRefused) as caught:
        await provider.call("eth_call", ())

    assert len(caught.value.message) == MESSAGE_CHARACTERS_MAX


async def test_silence_times_out(server: ScriptedServer) -> None:
    """A node that accepts a request and says nothing is unreachable after the time-out."""
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    application = web.Application()
    application.router.add_post("/", hang)
    runner = web.AppRunner(application, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    options = ProviderOptions(request_timeout_seconds=0.05)

    async with Provider(url, CHAIN_ID, JumpClock(), options) as provider:
        with pytest.raises(NodeUnreachable, match=r"no answer within 0\.05 s"):
            await provider.call("eth_chainId", ())
    never.set()
    await runner.cleanup()


async def test_chain_is_checked_once(server: ScriptedServer, provider: Provider) -> None:
    """The chain id is asked before the first request, once for as long as the connection lives."""
    for _ in range(3):
        await provider.call("eth_getBlockByNumber", ("latest", False))

    assert server.methods == ["eth_chainId", *["eth_getBlockByNumber"] * 3]


@pytest.mark.fault(33)
async def test_chain_is_checked_again_on_a_new_connection(server: ScriptedServer, provider: Provider) -> None:
    """A new connection may lead to another node without any failure: its answer waits until its chain is known."""

    def close(body: Json) -> web.Response | None:
        if body["method"] == "eth_chainId":
            return None
        response = web.json_response({"id": body["id"], "result": "0x1"})
        response.force_close()
        return response

    server.raw = close
    await provider.call("eth_blockNumber", ())
    server.raw = None
    server.fault = lambda method, _: "0x1" if method == "eth_chainId" else "0x5"

    with pytest.raises(ConfigError, match="serves chain id 1, expected 31337"):
        await provider.call("eth_blockNumber", ())
    assert server.methods[-2:] == ["eth_blockNumber", "eth_chainId"]


@pytest.mark.fault(33)
async def test_chain_is_checked_again_after_an_outage(server: ScriptedServer, provider: Provider) -> None:
    """After an outage another node may answer at the same name: its chain is checked before it is believed."""
    await provider.call("eth_getBlockByNumber", ("latest", False))
    server.raw = lambda _: web.Response(status=503)
    with pytest.raises(NodeUnreachable):
        await provider.call("eth_getBlockByNumber", ("latest", False))
    server.raw = None
    server.fault = lambda _method, _params: "0x1"

    with pytest.raises(ConfigError, match="serves chain id 1, expected 31337"):
        await provider.call("eth_getBlockByNumber", ("latest", False))


async def test_requests_are_measured(server: ScriptedServer) -> None:
    """Each request is counted with its method and outcome, a batch's one by one."""
    seen: list[tuple[str, str]] = []
    provider = Provider(
        server.url, CHAIN_ID, JumpClock(), on_request=lambda method, outcome, _s, _p: seen.append((method, outcome))
    )
    async with provider:
        await provider.batch([("eth_getBlockByNumber", ("latest", False)), ("eth_call", ({}, {"blockHash": "0x"}))])
        server.raw = lambda _: web.Response(text=HTML)
        with pytest.raises(NodeMalformed):
            await provider.call("eth_blockNumber", ())

    assert seen == [
        ("eth_chainId", "ok"),
        ("eth_getBlockByNumber", "ok"),
        ("eth_call", "refused"),
        ("eth_blockNumber", "malformed"),
    ]


async def test_a_closed_provider_is_unreachable() -> None:
    """A provider that was not opened asks nobody."""
    with pytest.raises(NodeUnreachable, match="not open"):
        await Provider("http://127.0.0.1:1", CHAIN_ID, JumpClock()).call("eth_chainId", ())
