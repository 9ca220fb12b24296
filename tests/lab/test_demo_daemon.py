"""The demo's daemon as a child process."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

PARENT = """
import asyncio, sys
from pathlib import Path
from keeper.lab.demo.daemon import DaemonFiles, DaemonProcess

async def main():
    daemon = DaemonProcess(DaemonFiles(Path(sys.argv[1]), Path(sys.argv[2]), "http://127.0.0.1:1", {}))
    await daemon.start()
    print(daemon.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
async def test_the_daemon_does_not_outlive_the_demo(tmp_path: Path) -> None:
    """When the demo is killed the daemon, which holds a key and sends, is asked to leave."""
    os.mkfifo(tmp_path / "keeper.toml")  # reading it waits for ever: the daemon stands still in its start
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(tmp_path / "keeper.toml"), str(tmp_path / "daemon.log")),
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout is not None
    daemon = os.pidfd_open(int(await parent.stdout.readline()))
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(daemon, gone.set)
    try:
        with await asyncio.to_thread((tmp_path / "keeper.toml").open, "w"):  # it is open: the daemon is there
            parent.send_signal(signal.SIGKILL)
            async with asyncio.timeout(10):
                await gone.wait()
    finally:
        asyncio.get_running_loop().remove_reader(daemon)
        os.close(daemon)
        await parent.wait()
