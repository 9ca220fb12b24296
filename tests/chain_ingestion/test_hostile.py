"""Whatever a provider sends is an answer or a node's error: nothing else comes out, and no part of the URL."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Sequence
from contextlib import suppress

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from keeper.chain.heads import HeadOptions, Heads, HeadSlot
from keeper.chain.nesting import check_nesting
from keeper.chain.pool import ProviderPool
from keeper.chain.rpc import Provider, ProviderOptions
from keeper.chain.subscription import SubscriptionOptions
from keeper.chain.wire import LogFilter, decode_block_logs, decode_header, decode_output, decode_receipt_logs
from keeper.core.errors import ConfigError, KeeperError, NodeError, NodeMalformed
from tests.chain_ingestion.fakes import HandClock, JumpClock, Troubles
from tests.chain_ingestion.scripted import (
    CHAIN_ID,
    EVENT,
    ROOT,
    Json,
    ScriptedChain,
    ScriptedServer,
    header_json,
    log_json,
    log_of,
    some_hash,
)
from tests.chain_ingestion.test_rpc import BROKEN

WANTED = LogFilter((ROOT,), (EVENT,))
OPTIONS = ProviderOptions(response_bytes_max=100_000, response_logs_max=3, response_depth_max=16)
BLOCK = some_hash("block")
HUGE = "a number of 5000 digits"
HEX = st.one_of(
    st.sampled_from(["0x", "0x0", "0x1", "0X1", "0x" + "0" * 64, "0x" + "f" * 6000, "-1", "NaN"]), st.text()
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.just(HUGE),
    st.floats(allow_nan=True, allow_infinity=True),
    HEX,
)
CHAIN = ScriptedChain()
KEYS = st.one_of(
    st.sampled_from([*header_json(CHAIN.branch[0].header), *log_json(log_of(b""), CHAIN.branch[0].header), "logs"]),
    st.text(max_size=5),
)
ANY = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(KEYS, inner, max_size=8)),
    max_leaves=20,
)


def bent(good: dict[str, Json]) -> st.SearchStrategy[Json]:
    """Return an object of the right shape with some fields replaced."""
    return st.dictionaries(st.sampled_from(list(good)), ANY, max_size=3).map(lambda bad: {**good, **bad})


RESULTS = st.one_of(
    ANY,
    bent(header_json(CHAIN.branch[0].header)),
    st.lists(bent(log_json(log_of(b"x"), CHAIN.branch[0].header)), max_size=5),
)
IDS = st.one_of(st.sampled_from([1, 2, 3, -1, 2**64, None, "1", 1.5, True]), SCALARS)
RESPONSES = st.fixed_dictionaries(
    {"id": IDS},
    optional={
        "result": RESULTS,
        "error": st.one_of(ANY, st.fixed_dictionaries({"code": SCALARS, "message": SCALARS}, optional={"data": ANY})),
        "jsonrpc": SCALARS,
    },
)


def loosely(value: Json) -> bytes:
    """Write JSON as loosely as Python does (NaN), and one number that is longer than Python prints."""
    return json.dumps(value).replace(f'"{HUGE}"', "9" * 5000).encode()


BODIES = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([b'{"id":2,"result":"' + bytes([255]) + b'"}', b'{"id":2,"result":"x' + b"[" * 60_000]),
    RESPONSES.map(loosely),
    st.lists(RESPONSES, max_size=4).map(loosely),
    st.integers(1, 60_000).map(lambda depth: b'{"id":2,"result":' + b"[" * depth + b"]" * depth + b"}"),
    st.integers(1, 60_000).map(lambda depth: b'{"id":2,"result":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"),
    st.integers(1, 60_000).map(lambda depth: b'{"id":2,"no":' + b"[" * depth + b"]" * depth + b',"result":1}'),
    RESULTS.map(lambda result: loosely({"id": 2, "result": result})),
    RESULTS.map(lambda result: loosely([{"id": 2, "result": result}, {"id": 2, "result": result}])),
)


class Canned(Provider):
    """A provider whose endpoint sends this body with this status, once its chain was asked."""

    status = 200
    body = b""

    async def _post(self, body: bytes, why: str) -> tuple[int, bytes]:
        del why
        if b"eth_chainId" in body:
            asked = json.loads(body)
            return 200, json.dumps({"id": asked["id"], "result": hex(CHAIN_ID)}).encode()
        return self.status, self.body


def decoded(method: str, result: object) -> None:
    """Decode a result in every way that its method is decoded."""
    if method == "eth_getLogs":
        decode_block_logs(result, WANTED, 0, BLOCK)
    elif method == "eth_call":
        decode_output(result)
    elif method == "eth_getBlockReceipts":
        decode_receipt_logs(result, WANTED, 0, BLOCK)
    else:
        decode_header(result)


@pytest.mark.slow
@pytest.mark.fault(33)
@given(
    body=BODIES,
    status=st.sampled_from([200, 200, 200, 400, 500]),
    method=st.sampled_from(["eth_getLogs", "eth_call", "eth_getBlockByHash", "eth_getBlockReceipts"]),
    batched=st.booleans(),
)
def test_hostile_answers_are_node_errors(*, body: bytes, status: int, method: str, batched: bool) -> None:
    """Any bytes at all are a decoded answer or a NodeError, on one line."""
    provider = Canned("http://127.0.0.1:1/secretkey123", CHAIN_ID, JumpClock(), OPTIONS)
    provider.status, provider.body = status, body

    async def ask() -> None:
        for result in await provider.batch([(method, ())]) if batched else [await provider.call(method, ())]:
            decoded(method, result)

    said = ""
    try:
        asyncio.run(ask())
    except NodeError as error:
        said = str(error)
    assert "\n" not in said
    assert "secretkey" not in said


@pytest.mark.fault(33)
@pytest.mark.parametrize(
    ("result", "reason"),
    [
        ("[" * 17 + "]" * 17, "nested more than 16 deep"),
        ("[" * 50_000 + "]" * 50_000, "nested more than 16 deep"),
        ('{"a":' * 17 + "1" + "}" * 17, "nested more than 16 deep"),
        ("[1,2,3,4]", "answered 4 logs at once"),
        ("9" * 5000, "not JSON-RPC"),
        ("NaN", "not JSON-RPC"),
        ("1e999", "not JSON-RPC"),
    ],
)
async def test_what_is_too_much_is_malformed(result: str, reason: str) -> None:
    """Nesting, numbers and lists of logs have bounds."""
    provider = Canned("http://127.0.0.1:1", CHAIN_ID, JumpClock(), OPTIONS)
    provider.body = b'{"id":2,"result":' + result.encode() + b"}"

    with pytest.raises(NodeMalformed, match=reason):
        await provider.call("eth_getLogs", ())


def depth_of(value: Json) -> int:
    """Return how deep lists and objects are nested."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@pytest.mark.slow
@given(ANY, st.integers(0, 6), st.booleans())
def test_depth_is_counted(value: Json, levels: int, ascii_only: bool) -> None:  # noqa: FBT001 - hypothesis passes it so
    """Text is never refused within the bound and always beyond twice the bound, whatever its strings hold."""
    value = [value, '[{"\\', {"]}\\\\": "\n[[[[[[[["}]
    body = json.dumps(value, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    refused = False
    try:
        check_nesting(body, levels)
    except ValueError:
        refused = True

    depth = depth_of(value)
    assert not (refused and depth <= levels)
    assert refused or depth <= 2 * levels


SECRETS = ("pathkey123456", "querykey123456", "fragmentkey123", "username123456", "password123456")


def secret_url(url: str) -> str:
    """Return a URL with a key in every part that may hold one."""
    scheme, rest = url.split("://")
    host = rest.split("/")[0]
    path, query, fragment, user, password = SECRETS
    return f"{scheme}://{user}:{password}@{host}/{path}?apikey={query}#{fragment}"


def echo(request: str) -> Json:
    """Answer with an error object that repeats every part of the URL."""
    return lambda body: web.json_response({"id": body["id"], "error": {"code": -32000, "message": request}})


class Heard:
    """Everything that was said by anybody."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def measure(self, *labels: object) -> None:
        """Take the labels of a metric."""
        self.said.append(repr(labels))

    def error(self, error: BaseException) -> None:
        """Take an error in every form that it may be shown in."""
        self.said += [str(error), repr(error), "".join(traceback.format_exception(error))]

    def leaks(self) -> list[str]:
        """Return what was said with a secret in it."""
        return [text for text in self.said if any(secret in text for secret in SECRETS)]


async def provoke(heard: Heard, pool: ProviderPool, calls: Sequence[str] = ("eth_blockNumber",)) -> None:
    """Ask a pool and take what it says."""
    for method in calls:
        with suppress(KeeperError):
            await pool.batch([(method, ())])
        try:
            with pool.pinned() as node:
                await node.call(method, ())
        except KeeperError as error:
            heard.error(error)
    heard.said.append(repr(pool.statistics()))


async def test_no_part_of_a_url_is_ever_said(server: ScriptedServer) -> None:
    """Errors, tracebacks, logs, statistics and labels never hold a key, whatever part of the URL it is in."""
    heard = Heard()
    url, nowhere = secret_url(server.url), secret_url("http://127.0.0.1:1")
    clock = JumpClock()
    options = ProviderOptions(request_timeout_seconds=5.0, response_bytes_max=1_000_000)
    with capture_logs() as logs:
        for answer in [*(each[0] for each in BROKEN.values()), echo(url), echo(" ".join(SECRETS)), None]:
            server.raw = None
            providers = [Provider(each, CHAIN_ID, clock, options, heard.measure) for each in (url, nowhere)]
            async with ProviderPool(providers, clock) as pool:
                await provoke(heard, pool, ("eth_chainId",))
                server.raw = answer
                await provoke(heard, pool)
        server.raw = None
        async with ProviderPool([Provider(url, 5, clock, options, heard.measure)], clock) as pool:
            await provoke(heard, pool)
            pool.quarantine(pool.healthy()[0], "lied")
            await provoke(heard, pool)
    heard.said.append(repr(logs))

    assert len(heard.said) > 60
    assert heard.leaks() == []


async def test_no_part_of_a_websocket_url_is_ever_said(server: ScriptedServer, pool: ProviderPool) -> None:
    """A websocket that is down, refuses, sends nonsense or serves another chain is told of without any key."""
    heard = Heard()
    options = HeadOptions(subscription=SubscriptionOptions(quiet_seconds_max=0.05, connect_seconds_max=5.0))
    for base, chain_id in (("ws://127.0.0.1:1", CHAIN_ID), (server.ws_url, CHAIN_ID), (server.ws_url, 5)):
        troubles = Troubles()
        heads = Heads(pool, [secret_url(base)], chain_id, HeadSlot(), HandClock(), options, troubles)
        listening = asyncio.create_task(heads.run())
        telling = asyncio.create_task(troubles.wait_next())
        await asyncio.wait((listening, telling), return_when=asyncio.FIRST_COMPLETED)
        for task in (listening, telling):
            task.cancel()
        for result in await asyncio.gather(listening, telling, return_exceptions=True):
            if isinstance(result, BaseExceptionGroup):
                assert result.subgroup(ConfigError)
            if isinstance(result, BaseException):
                heard.error(result)

    assert any("no head for 0.05 s" in text for text in heard.said)
    assert any("serves chain id" in text for text in heard.said)
    assert heard.leaks() == []
