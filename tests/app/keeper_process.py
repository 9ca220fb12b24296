"""The shipped command as a child process: started, asked over HTTP, signalled, and waited for without sleeping."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp

WAIT_SECONDS_MAX = 25.0
LOOK_SECONDS = 0.05
Json = Any


class KeeperProcess:
    """``keeper run`` in a process of its own; its log is kept in a file across restarts.

    Args:
        config: The configuration file.
        arguments: What follows it on the command line.
        environment: Added to this process's own.
    """

    def __init__(self, config: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._command = ("-m", "keeper.cli", "run", "-c", str(config), *arguments)
        self._environment = {**os.environ, **(environment or {})}
        self._log = config.with_name("keeper.log")
        self._process: asyncio.subprocess.Process | None = None
        self._exit: asyncio.Task[int] | None = None
        self._log_begins_at = 0

    async def start(self) -> None:
        """Start it; returns at once."""
        self._log_begins_at = self._log.stat().st_size if self._log.exists() else 0
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, *self._command, stdout=log, stderr=log, env=self._environment
            )
        self._exit = asyncio.create_task(self._process.wait())

    @property
    def pid(self) -> int:
        """The process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def output(self) -> str:
        """What it printed since it was last started."""
        return self._log.read_bytes()[self._log_begins_at :].decode(errors="replace")

    @property
    def errors(self) -> list[str]:
        """The lines it printed that are no log lines."""
        return [line for line in self.output.splitlines() if line.strip() and not line.startswith("{")]

    @property
    def events(self) -> list[Json]:
        """Its log lines, decoded."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{") and line.endswith("}")]

    def event(self, name: str) -> Json | None:
        """Return the first log line of this name."""
        return next((event for event in self.events if event["event"] == name), None)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    async def is_ready_before_it_ends(self) -> bool:
        """Wait until it is ready, or has ended; tell whether it is ready."""

        async def ready() -> bool:
            return self.event("started") is not None and (await self.get("/readyz"))[0] == HTTPStatus.OK

        return await self.holds_before_it_ends(ready)

    async def ends_before(self, block: int) -> bool:
        """Wait until it has applied a block, or has ended; tell whether it has ended."""

        async def applied() -> bool:
            watermark = (await self.status())["chains"][0]["watermark"]
            return watermark is not None and watermark["block"] >= block

        return not await self.holds_before_it_ends(applied)

    async def holds_before_it_ends(self, condition: Callable[[], Awaitable[bool]]) -> bool:
        """Look until a condition holds or the process has ended; tell whether it holds."""
        assert self._exit is not None
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not self._exit.done():
                with suppress(aiohttp.ClientError):  # it may end in the middle of an answer
                    if await condition():
                        return True
                await asyncio.wait({self._exit}, timeout=LOOK_SECONDS)
        return False

    def ask_to_leave(self) -> None:
        """Send it SIGTERM, if it has not ended."""
        if self._exit is not None and not self._exit.done():
            self.signal(signal.SIGTERM)

    async def exit_code(self, seconds_max: float = WAIT_SECONDS_MAX) -> int:
        """Wait until it has left; it must do so in time."""
        assert self._exit is not None
        async with asyncio.timeout(seconds_max):
            return await self._exit

    async def leave(self) -> int:
        """Ask it to drain, and return its exit code."""
        self.signal(signal.SIGTERM)
        return await self.exit_code()

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Look until a condition holds; that it does not come to hold, or that the process leaves, is a failure."""
        assert self._exit is not None
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await condition():
                assert not self._exit.done(), f"it left with {self._exit.result()}: {self.output[-2000:]}"
                await asyncio.wait({self._exit}, timeout=LOOK_SECONDS)

    async def until_logged(self, name: str) -> Json:
        """Wait for a log line of this name and return it."""

        async def logged() -> bool:
            return self.event(name) is not None

        await self.until(logged)
        return self.event(name)

    async def get(self, path: str) -> tuple[int, str]:
        """Return status and body of one of its pages."""
        url = (await self.until_logged("started"))["http"]
        async with aiohttp.ClientSession() as session, session.get(f"{url}{path}") as response:
            return response.status, await response.text()

    async def status(self) -> Json:
        """Return what it says of itself."""
        return json.loads((await self.get("/status"))[1])

    async def until_status(self, holds: Callable[[Json], object]) -> Json:
        """Wait until its status is such, and return it."""
        status: Json = None

        async def looked() -> bool:
            nonlocal status
            status = await self.status()
            return bool(holds(status))

        await self.until(looked)
        return status

    async def until_answer(self, path: str, expected: HTTPStatus) -> str:
        """Wait until a page answers so, and return its body."""
        answer = (0, "")

        async def answered() -> bool:
            nonlocal answer
            answer = await self.get(path)
            return answer[0] == expected

        await self.until(answered)
        return answer[1]

    async def end(self) -> None:
        """Kill it if it still runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
        if self._exit is not None:
            await self._exit


@asynccontextmanager
async def started(process: KeeperProcess) -> AsyncIterator[KeeperProcess]:
    """Run a process for the length of the context; it does not outlive it."""
    await process.start()
    try:
        yield process
    finally:
        await process.end()
