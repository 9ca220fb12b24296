"""The local node: it starts where nobody else is, mines as told, and ends with its context and its parent."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from keeper.core.errors import ConfigError, NodeUnreachable
from keeper.lab.localchain.node import NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc

PARENT = """
import asyncio
from keeper.lab.localchain.node import running_node

async def main():
    async with running_node() as node:
        print(node.pid, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
ENDING_SECONDS_MAX = 10.0
LONG_CHAIN_BLOCKS = 1_000
"""More states than the node keeps in memory."""


def _is_running(pid: int) -> bool:
    """Tell whether a process exists and has not ended (an ended one may wait for whoever inherits it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.suffix == ".json"]


@pytest.mark.chain
async def test_node_dies_with_its_context() -> None:
    """No node outlives its context."""
    async with running_node() as node:
        assert _is_running(node.pid)
    assert not _is_running(node.pid)


@pytest.mark.chain
async def test_node_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The states that a long chain pushes to the disk go with the node, and none lands in anybody's home."""
    for variable in ("HOME", "TMPDIR"):
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    async with running_node() as node, LabRpc(node.http_url) as rpc:
        await rpc.call("anvil_mine", hex(LONG_CHAIN_BLOCKS), answer=object)
        assert _files(tmp_path)
    assert _files(tmp_path) == []


@pytest.mark.chain
async def test_node_dies_with_a_failing_context() -> None:
    """An exception in the context ends the node as well, and goes on."""
    with pytest.raises(ValueError, match="told so"):
        async with running_node() as node:
            raise ValueError("told so")
    assert not _is_running(node.pid)


@pytest.mark.chain
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_node_dies_with_a_killed_parent() -> None:
    """A node ends when its parent is killed without a chance to clean up."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + ENDING_SECONDS_MAX
    while _is_running(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not _is_running(pid)


@pytest.mark.chain
async def test_nodes_side_by_side_do_not_meet() -> None:
    """Nodes that start at once listen on different ports and answer for themselves."""

    async def chain_id_of(number: int) -> int:
        async with running_node(NodeOptions(chain_id=number)) as node, LabRpc(node.http_url) as rpc:
            return int(await rpc.call("eth_chainId", answer=str), 16)

    assert await asyncio.gather(*(chain_id_of(number) for number in range(1001, 1005))) == [1001, 1002, 1003, 1004]


@pytest.mark.chain
async def test_finality_is_two_blocks_behind() -> None:
    """With one slot in an epoch the finalized block is two behind the head."""
    async with running_node(NodeOptions(slots_in_an_epoch=1)) as node, LabRpc(node.http_url) as rpc:
        await rpc.call("anvil_mine", "0x5", answer=object)
        block = await rpc.call("eth_getBlockByNumber", "finalized", False, answer=dict)
        assert int(block["number"], 16) == 3


@pytest.mark.chain
async def test_block_times_are_set_by_the_options() -> None:
    """With a genesis time and an interval, block times owe nothing to the wall clock."""
    options = NodeOptions(timestamp=1_700_000_000, timestamp_interval_seconds=12)
    async with running_node(options) as node, LabRpc(node.http_url) as rpc:
        await rpc.call("evm_mine", answer=str)
        await rpc.call("evm_mine", answer=str)
        times = [await rpc.call("eth_getBlockByNumber", hex(number), False, answer=dict) for number in range(3)]
        assert [int(block["timestamp"], 16) - 1_700_000_000 for block in times] == [0, 12, 24]


@pytest.mark.chain
async def test_a_node_that_does_not_start_says_why() -> None:
    """The error of a node that ends at once carries what it printed."""
    with pytest.raises(NodeUnreachable, match="Unknown hardfork: no such rules"):
        async with running_node(NodeOptions(hardfork="no such rules")):
            pass


async def test_missing_packages_are_named(tmp_path: Path) -> None:
    """Without node_modules the error names the place searched and the remedy."""
    with pytest.raises(ConfigError, match=r"no @foundry-rs package in .*run `make setup`"):
        async with running_node(root=tmp_path):
            pass
