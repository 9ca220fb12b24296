"""JSON-RPC for the lab: one connection pool, batches, typed answers, no retries.

The keeper's own client (``keeper.chain``) is built for nodes that fail; the lab's node is a child of this process and
a failure there is a failure of the run. Hence the difference, and hence a separate, much smaller file.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self, TypeVar

import aiohttp
import msgspec

from keeper.core.errors import NodeMalformed, NodeRefused, NodeUnreachable

BATCH_REQUESTS_MAX = 500
TIMEOUT_SECONDS = 60.0

Answer = TypeVar("Answer")


class Request(msgspec.Struct, frozen=True):
    """One call: the method's name and its positional parameters (JSON values)."""

    method: str
    params: Sequence[object] = ()


class _Refusal(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: object = None


class _Response(msgspec.Struct, frozen=True):
    id: int
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Refusal | None = None


class LabRpc:
    """A connection to one local node. Use it as an async context manager, in the event loop that uses it.

    Args:
        url: The node's HTTP address.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
        self._session = aiohttp.ClientSession(timeout=timeout)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, _: object, __: TracebackType | None) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def call(self, method: str, *params: object, answer: type[Answer]) -> Answer:
        """Return the answer of one call, decoded as ``answer``.

        Raises:
            NodeRefused: the node answered with an error object.
            NodeUnreachable: no answer.
            NodeMalformed: an answer that is not JSON-RPC, or of another shape than ``answer``.
        """
        return (await self.batch([Request(method, params)], answer=answer))[0]

    async def batch(self, requests: Sequence[Request], *, answer: type[Answer]) -> list[Answer]:
        """Return the answers of several calls, in their order. The node may execute them in any order.

        Raises:
            NodeRefused: one of them was answered with an error object (the first such).
            NodeUnreachable: no answer.
            NodeMalformed: an answer that is not JSON-RPC, or of another shape than ``answer``.
        """
        outcomes = await self.outcomes(requests, answer=answer)
        answers: list[Answer] = []
        for outcome in outcomes:
            if isinstance(outcome, NodeRefused):
                raise outcome
            answers.append(outcome)
        return answers

    async def outcomes(self, requests: Sequence[Request], *, answer: type[Answer]) -> list[Answer | NodeRefused]:
        """Return, for each call in order, its answer or the error object it was answered with.

        Raises:
            NodeUnreachable: no answer.
            NodeMalformed: an answer that is not JSON-RPC, or of another shape than ``answer``.
        """
        outcomes: list[Answer | NodeRefused] = []
        for start in range(0, len(requests), BATCH_REQUESTS_MAX):
            part = requests[start : start + BATCH_REQUESTS_MAX]
            responses = self._decode(await self._post(part), len(part))
            outcomes += [
                self._outcome(request, response, answer) for request, response in zip(part, responses, strict=True)
            ]
        return outcomes

    async def _post(self, requests: Sequence[Request]) -> bytes:
        if self._session is None:
            raise NodeUnreachable(self.url, "the connection is not open", "use LabRpc as an async context manager")
        body = msgspec.json.encode(
            [
                {"jsonrpc": "2.0", "id": number, "method": request.method, "params": list(request.params)}
                for number, request in enumerate(requests)
            ]
        )
        try:
            async with self._session.post(
                self.url, data=body, headers={"Content-Type": "application/json"}
            ) as response:
                return await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise NodeUnreachable(self.url, f"{type(error).__name__}: {error}") from error

    def _decode(self, body: bytes, count: int) -> list[_Response]:
        try:
            responses = sorted(msgspec.json.decode(body, type=list[_Response]), key=lambda response: response.id)
        except msgspec.MsgspecError as error:
            raise NodeMalformed(self.url, f"{error} in {body[:120]!r}") from error
        if [response.id for response in responses] != list(range(count)):
            raise NodeMalformed(self.url, f"{len(responses)} answers to {count} requests")
        return responses

    def _outcome(self, request: Request, response: _Response, answer: type[Answer]) -> Answer | NodeRefused:
        if response.error is not None:
            refusal = response.error
            data = refusal.data if isinstance(refusal.data, str) else None
            return NodeRefused(request.method, refusal.code, refusal.message, data)
        try:
            return msgspec.json.decode(response.result, type=answer)
        except msgspec.MsgspecError as error:
            raise NodeMalformed(request.method, str(error)) from error
