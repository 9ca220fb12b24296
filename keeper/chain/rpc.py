"""One JSON-RPC endpoint over HTTP: typed decoding, bounds on everything, and errors that say what really happened.

Every way a provider can fail is mapped here, once, to the tree in :mod:`keeper.core.errors`: no answer is
``NodeUnreachable``, an answer that is not JSON-RPC is ``NodeMalformed``, an error object is ``NodeRefused``. The
text of an answer is never quoted (an error page may echo the key in the URL), and exceptions of the HTTP library
are not chained for the same reason.

The chain id is asked before the first request, again after every failure to reach the endpoint, and again whenever a
request went over a new connection, before its answer is believed: a name that leads to another node by now must not
feed another chain's blocks into the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from typing import Self

import aiohttp
import msgspec

from keeper.chain.limits import RateLimit
from keeper.chain.nesting import check_nesting
from keeper.chain.wire import read_quantity
from keeper.core.errors import ConfigError, NodeError, NodeLimited, NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.ports import Clock
from keeper.core.urls import endpoint, without_keys_of

RpcCall = tuple[str, Sequence[object]]
"""Method and positional parameters."""
OnRequest = Callable[[str, str, float, str], None]
"""Told of each request: method, outcome, seconds, provider.

The outcome is ``ok``, ``refused``, ``limited``, ``unreachable`` or ``malformed``.
"""
LIMIT_CODES = (-32005, -32007, 429)
"""The request exceeds a limit of this provider; another may have a higher one. EIP-1474; QuickNode; Alchemy."""
_RANGE_LIMIT_CODE = -32005
"""In answer to ``eth_getLogs`` it says that the range holds too much, not that we ask too often."""

MESSAGE_CHARACTERS_MAX = 500
"""A refusal is for reading; a longer one is cut."""
_TOO_MANY_REQUESTS = 429
_CLIENT_ERROR = 400
_SERVER_ERROR = 500
_REDIRECT = 300
_READ_BYTES = 1 << 16
_VERIFYING = "verifying"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderOptions:
    """The bounds of one endpoint.

    Attributes:
        batch_size_max: Requests in one HTTP body; longer batches are split.
        concurrency_max: HTTP requests under way at once.
        request_timeout_seconds: From connecting to the last byte.
        response_bytes_max: A longer body (after decompression) is refused.
        response_logs_max: A longer list in answer to ``eth_getLogs`` is refused.
        response_depth_max: An answer whose lists and objects are nested deeper is refused.
    """

    batch_size_max: int = 100
    concurrency_max: int = 8
    request_timeout_seconds: float = 10.0
    response_bytes_max: int = 64 * 1024 * 1024
    response_logs_max: int = 100_000
    response_depth_max: int = 32


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    data: object = None


class _Response(msgspec.Struct):
    id: int | None
    result: object = msgspec.UNSET
    error: _Error | None = None


_responses: msgspec.json.Decoder[list[_Response] | _Response] = msgspec.json.Decoder(list[_Response] | _Response)


def ignore_request(_method: str, _outcome: str, _seconds: float, _provider: str) -> None:
    """Measure nothing."""


class Provider:
    """A :class:`~keeper.core.ports.Node` behind one URL. Use it as an async context manager.

    Args:
        url: ``http://`` or ``https://``; only its scheme, host and port are ever shown.
        chain_id: What ``eth_chainId`` must answer.
        clock: Measures requests.
        options: The bounds.
        on_request: Told of each request.
    """

    def __init__(
        self,
        url: str,
        chain_id: int,
        clock: Clock,
        options: ProviderOptions | None = None,
        on_request: OnRequest = ignore_request,
    ) -> None:
        self.name = endpoint(url)
        self._url = url
        self._chain_id = chain_id
        self._clock = clock
        self._options = options or ProviderOptions()
        self._on_request = on_request
        self.limit = RateLimit(self._options.concurrency_max, clock)
        self._verifying = asyncio.Lock()
        self._verified = False
        self._last_id = 0
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(self._connected)
        self._session = aiohttp.ClientSession(
            trace_configs=[trace],
            timeout=aiohttp.ClientTimeout(total=self._options.request_timeout_seconds),
            headers={"Content-Type": "application/json"},
        )
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, params: Sequence[object]) -> object:
        """Return the ``result`` of one request.

        Raises:
            NodeUnreachable: no answer; the request may still have been carried out.
            NodeLimited: the endpoint asks us to wait.
            NodeMalformed: an answer that is not JSON-RPC.
            NodeRefused: a JSON-RPC error object.
            ConfigError: the endpoint serves another chain.
        """
        await self._verify()
        result = (await self._exchange([(method, params)], batched=False))[0]
        await self._verify()
        if isinstance(result, NodeRefused):
            raise result
        return result

    async def batch(self, calls: Sequence[RpcCall]) -> list[object]:
        """Return the results of several requests, in order; refusals are values in their place.

        Raises:
            NodeUnreachable: no answer.
            NodeLimited: the endpoint asks us to wait.
            NodeMalformed: an answer that is not JSON-RPC, or not one for every request.
            ConfigError: the endpoint serves another chain.
        """
        await self._verify()
        results: list[object] = []
        for start in range(0, len(calls), self._options.batch_size_max):
            results += await self._exchange(calls[start : start + self._options.batch_size_max], batched=True)
            await self._verify()
        return results

    async def _verify(self) -> None:
        """See that the endpoint serves the configured chain, once for each time it is (re)connected."""
        async with self._verifying:
            if self._verified:
                return
            self._verified = True  # a connection that is made meanwhile takes it back
            right = False
            try:
                answer = (await self._exchange([("eth_chainId", [])], batched=False, why=_VERIFYING))[0]
                if isinstance(answer, NodeRefused):
                    raise answer
                check_chain_id(self.name, answer, self._chain_id)
                right = True
            finally:
                self._verified = self._verified and right

    async def _connected(
        self, _: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceConnectionCreateEndParams
    ) -> None:
        if context.trace_request_ctx != _VERIFYING:
            self._verified = False

    async def _exchange(self, calls: Sequence[RpcCall], *, batched: bool, why: str = "") -> list[object]:
        if self.limit.wait_seconds > 0:
            reason = f"asked too often, left alone for another {self.limit.wait_seconds:.1f} s"
            raise NodeLimited(self.name, reason, "lower the request rate")
        started = self._clock.monotonic()
        try:
            results = await self._ask(calls, batched=batched, why=why)
        except NodeError as error:
            outcome = _outcome("", error)
            self._verified = self._verified and outcome != "unreachable"
            self._measure(calls, [outcome] * len(calls), started)
            raise
        outcomes = [_outcome(method, result) for (method, _), result in zip(calls, results, strict=True)]
        self._measure(calls, outcomes, started)
        if "limited" in outcomes:
            self.limit.limited()
        else:
            self.limit.served()
        return results

    def _measure(self, calls: Sequence[RpcCall], outcomes: Sequence[str], started: float) -> None:
        seconds = self._clock.monotonic() - started
        for (method, _), outcome in zip(calls, outcomes, strict=True):
            self._on_request(method, outcome, seconds, self.name)

    async def _ask(self, calls: Sequence[RpcCall], *, batched: bool, why: str) -> list[object]:
        first_id = self._last_id + 1
        self._last_id += len(calls)
        requests = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in enumerate(calls, first_id)
        ]
        body = msgspec.json.encode(requests if batched else requests[0])
        async with self.limit.slot():
            status, answer = await self._post(body, why)
        return self._results(calls, first_id, self._decode(status, answer), batched=batched)

    async def _post(self, body: bytes, why: str) -> tuple[int, bytes]:
        if self._session is None:
            raise NodeUnreachable(self.name, "the provider is not open", "use it as an async context manager")
        try:
            async with self._session.post(
                self._url, data=body, allow_redirects=False, trace_request_ctx=why
            ) as response:
                if response.status == _TOO_MANY_REQUESTS:
                    self.limit.limited(response.headers.get("Retry-After"))
                return response.status, await self._read(response)
        except TimeoutError:
            reason = f"no answer within {self._options.request_timeout_seconds} s"
        except aiohttp.ClientError as error:
            reason = without_keys_of(self._url, f"{type(error).__name__}: {error}")
        raise NodeUnreachable(self.name, reason, "check that the node is up and the URL is right") from None

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        pieces = bytearray()
        async for piece in response.content.iter_chunked(_READ_BYTES):
            pieces += piece
            if len(pieces) > self._options.response_bytes_max:
                limit = self._options.response_bytes_max
                raise NodeMalformed(self.name, f"answer longer than {limit} bytes", "ask for less at once")
        return bytes(pieces)

    def _decode(self, status: int, body: bytes) -> list[_Response] | _Response:
        """Decode an HTTP answer. Some providers send error objects with a 4xx status: those are answers."""
        if status == _TOO_MANY_REQUESTS:
            raise NodeLimited(self.name, f"HTTP {status}: too many requests", "lower the request rate")
        if status >= _SERVER_ERROR or _REDIRECT <= status < _CLIENT_ERROR:
            raise NodeUnreachable(self.name, f"HTTP {status}", "check that the node is up and the URL is right")
        try:
            check_nesting(body, self._options.response_depth_max)
            return _responses.decode(body)
        except ValueError as error:  # msgspec's own is one, and text that is not UTF-8
            if status >= _CLIENT_ERROR:
                raise NodeUnreachable(self.name, f"HTTP {status}", "check the URL and its key") from None
            page = body.lstrip()[:1] == b"<"
            reason = "an HTML page, not JSON-RPC" if page else f"not JSON-RPC: {without_keys_of(self._url, str(error))}"
            raise NodeMalformed(self.name, reason, "check that the URL is a JSON-RPC endpoint") from None

    def _results(
        self, calls: Sequence[RpcCall], first_id: int, answer: list[_Response] | _Response, *, batched: bool
    ) -> list[object]:
        """Give each request its result. One error object in answer to a batch refuses all of it."""
        if isinstance(answer, _Response):
            if batched and answer.error is not None:
                return [self._refusal(method, answer.error) for method, _ in calls]
            answer = [answer]
        by_id = {response.id: response for response in answer}
        expected = range(first_id, first_id + len(calls))
        if len(answer) != len(calls) or any(number not in by_id for number in expected):
            reason = f"{len(answer)} answers to {len(calls)} requests, or ids that were not asked"
            raise NodeMalformed(self.name, reason, "use another provider")
        return [self._result(method, by_id[number]) for number, (method, _) in zip(expected, calls, strict=True)]

    def _result(self, method: str, response: _Response) -> object:
        if response.error is not None:
            return self._refusal(method, response.error)
        result = response.result
        if result is msgspec.UNSET:
            raise NodeMalformed(self.name, f"{method} answered with neither result nor error", "use another provider")
        if method == "eth_getLogs" and isinstance(result, list) and len(result) > self._options.response_logs_max:
            raise NodeMalformed(self.name, f"{method} answered {len(result)} logs at once", "ask for less at once")
        return result

    def _refusal(self, method: str, error: _Error) -> NodeRefused:
        data = error.data
        if data is not None and not isinstance(data, str):  # a proxy's: the node's own error object
            data = msgspec.json.encode(data).decode()
        message = without_keys_of(self._url, error.message)[:MESSAGE_CHARACTERS_MAX]
        return NodeRefused(f"{method} at {self.name}", error.code, message, data)


def is_limit(answer: object) -> bool:
    """Tell whether a refusal is for a limit of the provider: another one may answer."""
    return isinstance(answer, NodeRefused) and answer.code in LIMIT_CODES


def _outcome(method: str, result: object) -> str:
    match result:
        case NodeLimited():
            return "limited"
        case NodeUnreachable():
            return "unreachable"
        case NodeMalformed():
            return "malformed"
        case NodeRefused(code=code):
            by_range = method == "eth_getLogs" and code == _RANGE_LIMIT_CODE
            return "limited" if is_limit(result) and not by_range else "refused"
    return "ok"


def check_chain_id(provider: str, answer: object, expected: int) -> None:
    """Compare the answer of ``eth_chainId``.

    Raises:
        NodeMalformed: the answer is not a quantity.
        ConfigError: it is another chain.
    """
    try:
        got = read_quantity(str(answer))
    except ValueError:
        raise NodeMalformed(provider, "eth_chainId answered no number", "use another provider") from None
    if got != expected:
        remedy = "correct chain_id or the URL in the chain's section of the configuration"
        raise ConfigError(provider, f"serves chain id {got}, expected {expected}", remedy)
