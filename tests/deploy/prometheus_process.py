"""A real Prometheus as a child process: told what to scrape and which rules to weigh, then asked over its API."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp

WAIT_SECONDS_MAX = 20.0
LOOK_SECONDS = 0.05
INTERVAL = "250ms"
Json = Any


class Sample(NamedTuple):
    """One series of an instant query's answer."""

    labels: dict[str, str]
    value: float


class Prometheus:
    """A server that answers at ``url``."""

    def __init__(self, url: str, session: aiohttp.ClientSession, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self._session = session
        self._process = process

    async def api(self, path: str, **parameters: str) -> Json:
        """Return the data of an answer of ``/api/v1``; an error of Prometheus fails the test with its words."""
        async with self._session.get(f"{self.url}/api/v1/{path}", params=parameters) as response:
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expression: str) -> list[Sample]:
        """Return the series of an expression now; a scalar is one without labels."""
        data = await self.api("query", query=expression)
        if data["resultType"] == "scalar":
            return [Sample({}, float(data["result"][1]))]
        return [Sample(each["metric"], float(each["value"][1])) for each in data["result"]]

    async def alerts(self) -> list[Json]:
        """Return the alerts that are pending or firing, each with ``labels``, ``annotations`` and ``state``."""
        alerts: list[Json] = (await self.api("alerts"))["alerts"]
        return alerts

    async def rules(self) -> list[Json]:
        """Return every rule with its ``health`` and ``lastError``."""
        return [rule for group in (await self.api("rules"))["groups"] for rule in group["rules"]]

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Look until a condition holds; that it does not come to hold is a failure."""
        ended = asyncio.ensure_future(self._process.wait())
        try:
            async with asyncio.timeout(WAIT_SECONDS_MAX):
                while not await condition():
                    await asyncio.wait({ended}, timeout=LOOK_SECONDS)
                    assert not ended.done(), f"prometheus left with {ended.result()}"
        finally:
            ended.cancel()

    async def is_ready(self) -> bool:
        """Tell whether it answers queries."""
        try:
            async with self._session.get(f"{self.url}/-/ready") as response:
                return response.status == HTTPStatus.OK
        except aiohttp.ClientError:
            return False


def configuration(targets: Sequence[str], rules: Sequence[Path], interval: str) -> str:
    """Return a configuration with one job ``keeper``, as the shipped one has; JSON is YAML."""
    jobs = [{"job_name": "keeper", "static_configs": [{"targets": list(targets)}]}]
    times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
    return json.dumps({"global": times, "rule_files": [str(path) for path in rules], "scrape_configs": jobs})


@asynccontextmanager
async def running_prometheus(
    folder: Path, targets: Sequence[str], rules: Sequence[Path] = (), *, interval: str = INTERVAL
) -> AsyncIterator[Prometheus]:
    """Run a Prometheus for the length of the context.

    Args:
        folder: Takes its configuration, data and log.
        targets: ``host:port`` of what it scrapes under ``/metrics``.
        rules: Files of rules, with absolute paths.
        interval: Between scrapes, and between evaluations.
    """
    config = folder / "prometheus.yml"
    config.write_text(configuration(targets, rules, interval), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = f"127.0.0.1:{free.getsockname()[1]}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={folder / 'prometheus'}"]
    command += [f"--web.listen-address={place}", "--web.enable-lifecycle"]
    with (folder / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        async with aiohttp.ClientSession() as session:
            server = Prometheus(f"http://{place}", session, process)
            await server.until(server.is_ready)
            yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
