"""``keeper run``, before its run begins."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

CONFIG = """
[journal]
url = "memory://"
[http]
listen = "127.0.0.1:0"
[chains.local]
chain_id = 31337
http = ["http://127.0.0.1:{port}"]
[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "0x0000000000000000000000000000000000000001"
"""


@pytest.mark.slow
async def test_sigterm_during_the_start_leaves_in_order(tmp_path: Path) -> None:
    """SIGTERM while the node lets it wait ends the start at once, with 0 and without a word."""
    asked, let_go = asyncio.Event(), asyncio.Event()

    async def say_nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await let_go.wait()
        writer.close()

    config = tmp_path / "keeper.toml"
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as node:
        config.write_text(CONFIG.format(port=node.sockets[0].getsockname()[1]))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "keeper.cli", "run", "-c", str(config)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(20):
            await asked.wait()
            process.send_signal(signal.SIGTERM)
            printed, _ = await process.communicate()
        let_go.set()

    assert (process.returncode, printed) == (0, b"")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["run", "doctor"])
async def test_others_are_not_served_without_a_token(tmp_path: Path, command: str) -> None:
    """On an address that others can reach nothing starts without a token, and the doctor says so before."""
    config = tmp_path / "keeper.toml"
    config.write_text(CONFIG.format(port=1).replace("127.0.0.1:0", "0.0.0.0:0"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "keeper.cli", command, "-c", str(config)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()

    assert process.returncode == 2
    assert "others can reach it, and there is no http.token" in printed.decode()
