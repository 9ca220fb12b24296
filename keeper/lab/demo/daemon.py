"""The shipped daemon as a child process: started, watched, killed or asked to leave."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import IO

import aiohttp

from keeper.core.errors import RetryLater
from keeper.lab.localchain import launch

READY_SECONDS_MAX = 30.0
LEAVE_SECONDS_MAX = 60.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class DaemonFiles:
    """Where a daemon finds its configuration and leaves its log."""

    config: Path
    log: Path
    http_url: str
    environment: Mapping[str, str]


class DaemonProcess:
    """``keeper run --live`` as a child that is asked to leave when this process dies; its log outlives restarts."""

    def __init__(self, files: DaemonFiles) -> None:
        self.files = files
        self._process: asyncio.subprocess.Process | None = None
        self._log: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id, zero when it is not running."""
        return self._process.pid if self._process is not None else 0

    @property
    def exit_code(self) -> int | None:
        """What it left with, ``None`` while it runs."""
        return self._process.returncode if self._process is not None else None

    async def start(self) -> None:
        """Start the daemon; returns at once."""
        if self._log is not None:  # it left by itself
            self._log.close()
        self._log = self.files.log.open("ab")
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", launch.__file__, str(os.getpid())),
            *(sys.executable, "-m", "keeper.cli", "run", "-c", str(self.files.config), "--live"),
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **self.files.environment},
        )

    async def wait_ready(self) -> None:
        """Wait until ``/readyz`` says yes.

        Raises:
            RetryLater: it left, or did not become ready in time; the message carries the end of its log.
        """
        deadline = asyncio.get_running_loop().time() + READY_SECONDS_MAX
        async with aiohttp.ClientSession() as session:
            while asyncio.get_running_loop().time() < deadline:
                if self._process is None or self._process.returncode is not None:
                    raise RetryLater("the daemon", f"left while starting: {self.last_line()}", f"see {self.files.log}")
                if await _answers(session, f"{self.files.http_url}/readyz"):
                    return
                await asyncio.sleep(POLL_SECONDS)
        raise RetryLater("the daemon", f"not ready: {self.last_line()}", f"see {self.files.log}")

    async def kill(self) -> None:
        """End it with SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def leave(self) -> int:
        """Ask it to drain with SIGTERM and return its exit code."""
        return await self._end(signal.SIGTERM)

    async def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.send_signal(number)
        try:
            code = await asyncio.wait_for(self._process.wait(), LEAVE_SECONDS_MAX)
        except TimeoutError:
            self._process.kill()
            code = await self._process.wait()
        self._process = None
        if self._log is not None:
            self._log.close()
        return code

    def last_line(self) -> str:
        """Return the end of what it printed last."""
        lines = self.files.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:400] if lines else "it printed nothing"


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as response:
            return response.status == HTTPStatus.OK
    except aiohttp.ClientError:
        return False


def free_port() -> int:
    """Return a TCP port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
