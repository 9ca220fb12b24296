"""A local Ethereum node as a child process that cannot outlive its parent.

Three choices carry this file:

* The native binary is started, on loopback, with port 0, and its own *Listening on* line tells the port. Nothing is
  guessed, so two workers starting at once cannot meet on a port or talk to one another's node.
* The output goes to an unnamed file, not a pipe: nobody has to drain it, and it is there for the error message.
  Per-request logging is switched off once the node is up, so the file stays small.
* The child is started through :mod:`keeper.lab.localchain.launch`, so the kernel ends it when the parent dies, even
  by SIGKILL. An orderly end is SIGTERM, then SIGKILL after a bound, always to our own process id.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from keeper.core.errors import NodeUnreachable
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.toolchain import find_anvil, find_node_modules

STARTUP_SECONDS_MAX = 20.0
SHUTDOWN_SECONDS_MAX = 5.0
POLL_SECONDS = 0.01
ERROR_CHARACTERS_MAX = 400
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """How the local node mines and counts.

    Attributes:
        block_time_seconds: Interval between blocks; ``None`` mines a block per transaction.
        slots_in_an_epoch: S makes ``finalized`` 2 S blocks behind the head (1: finality two blocks behind).
        timestamp: Genesis time, Unix seconds; ``None`` follows the wall clock.
        timestamp_interval_seconds: Time from block to block, whatever the wall clock; ``None`` follows the clock.
        chain_id: EIP-155 chain id.
        accounts: Unlocked development accounts, 10,000 ETH each.
        hardfork: Name of the rule set; ``None`` takes the node's default.
        disable_block_gas_limit: Allow any number of transactions in a block.
    """

    block_time_seconds: float | None = None
    slots_in_an_epoch: int = 1
    timestamp: int | None = None
    timestamp_interval_seconds: int | None = None
    chain_id: int = 31337
    accounts: int = 10
    hardfork: str | None = None
    disable_block_gas_limit: bool = False

    def arguments(self) -> list[str]:
        """Return the node's command-line arguments. Any sender is unlocked: scenarios act for their accounts."""
        optional = {
            "--block-time": self.block_time_seconds,
            "--timestamp": self.timestamp,
            "--hardfork": self.hardfork,
        }
        return [
            *("--host", "127.0.0.1", "--port", "0", "--auto-impersonate"),
            *("--chain-id", str(self.chain_id), "--accounts", str(self.accounts)),
            *("--slots-in-an-epoch", str(self.slots_in_an_epoch)),
            *(word for flag, value in optional.items() if value is not None for word in (flag, str(value))),
            *(["--disable-block-gas-limit"] if self.disable_block_gas_limit else []),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalNode:
    """A node that answers: where it listens, its process, and the packages it came from."""

    http_url: str
    ws_url: str
    pid: int
    node_modules: Path
    options: NodeOptions


@asynccontextmanager
async def running_node(options: NodeOptions | None = None, root: Path | None = None) -> AsyncIterator[LocalNode]:
    """Run a local node for the length of the context.

    Args:
        options: Defaults to one block per transaction and finality two blocks behind.
        root: The folder that holds ``node_modules``; see :func:`~keeper.lab.localchain.toolchain.find_node_modules`.

    Raises:
        ConfigError: the node's package is not installed.
        NodeUnreachable: it did not start; the message carries the end of what it printed.
    """
    chosen = options or NodeOptions()
    node_modules = find_node_modules(root)
    binary = find_anvil(node_modules)
    with tempfile.TemporaryDirectory(prefix="anvil-") as states, tempfile.TemporaryFile() as output:
        process = await _launch(binary, chosen, states, output)
        try:
            port = await _listening_port(process, output)
            await _set_up(f"http://127.0.0.1:{port}", chosen)
            yield LocalNode(
                http_url=f"http://127.0.0.1:{port}",
                ws_url=f"ws://127.0.0.1:{port}",
                pid=process.pid,
                node_modules=node_modules,
                options=chosen,
            )
        finally:
            await _end(process)


async def _launch(binary: Path, options: NodeOptions, states: str, output: IO[bytes]) -> asyncio.subprocess.Process:
    """Start the node; it keeps old states in a folder that goes with it, not in the home of whoever runs it."""
    launcher = Path(__file__).with_name("launch.py")
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", str(launcher), str(os.getpid())),
        *(str(binary), "--cache-path", states, *options.arguments()),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )


async def _listening_port(process: asyncio.subprocess.Process, output: IO[bytes]) -> int:
    """Wait for the node's own line that names its port; poll a file, as nothing signals its growth."""
    for _ in range(int(STARTUP_SECONDS_MAX / POLL_SECONDS)):
        printed = _printed(output)
        match = _LISTENING.search(printed)
        if match is not None:
            return int(match.group(1))
        if process.returncode is not None:
            break
        await asyncio.sleep(POLL_SECONDS)
    said = _printed(output).decode(errors="replace").strip()[-ERROR_CHARACTERS_MAX:]
    raise NodeUnreachable("anvil", f"did not start (exit status {process.returncode}): {said}")


def _printed(output: IO[bytes]) -> bytes:
    """Return all that was printed, without moving the position that the child writes at."""
    return os.pread(output.fileno(), os.fstat(output.fileno()).st_size, 0)


async def _set_up(url: str, options: NodeOptions) -> None:
    """See that the node answers with the chain id it was given, silence its request log, set its pace."""
    async with asyncio.timeout(STARTUP_SECONDS_MAX), LabRpc(url) as rpc:
        answered = int(await rpc.call("eth_chainId", answer=str), 16)
        await rpc.call("anvil_setLoggingEnabled", False, answer=type(None))
        if options.timestamp_interval_seconds is not None:
            await rpc.call("anvil_setBlockTimestampInterval", options.timestamp_interval_seconds, answer=type(None))
    if answered != options.chain_id:
        raise NodeUnreachable("anvil", f"answers chain id {answered}, started with {options.chain_id}")


async def _end(process: asyncio.subprocess.Process) -> None:
    """End our own child: SIGTERM, then SIGKILL after a bound."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), SHUTDOWN_SECONDS_MAX)
    except TimeoutError:
        process.kill()
        await process.wait()
