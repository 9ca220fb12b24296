"""From SIGKILL to the first new decision: a real daemon on a real node, behind a journal of a million records.

The journal is a market's own, filled up with ticks of the clock through the shipped engine and writer; behind the
newest snapshot is a tail of real blocks, as long as the default settings let it become. Prices fall while the daemon
is dead. What is timed ends when it has said that a decision about them is durable. The parts are timed alone, in the
same run, because they overlap in the daemon: their sum is more than its start.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp

from keeper.app.clock import SystemClock
from keeper.app.restore import restored
from keeper.core.facts import ClockTicked
from keeper.engine.step import ENGINE_VERSION
from keeper.execution.keys import unlock_keystore
from keeper.journal.reader import JournalReader
from keeper.journal.sqlite import SqliteJournal
from keeper.lab.demo.crash import Scene, open_scene
from keeper.lab.demo.daemon import DaemonFiles, DaemonProcess
from keeper.lab.demo.files import prepare
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.prices import VOLATILE, move_prices
from keeper.lab.localchain.rpc import LabRpc

CHAIN_ID = 31337
RECORDS = 1_000_000
TAIL_RECORDS = 2_000
GROUP_RECORDS = 100
BLOCKS_AT_ONCE = 200
BORROWERS = 50
SEED = 7
ROUNDS = 7
FIRST_FALL_PERCENT, FALL_PERCENT = 15, 5
POLL_SECONDS = 0.002
QUIET_BLOCKS_MAX = 200
SECONDS_MAX = 60.0
STARTED = re.compile(rb'"event":"started"')
DECIDED = re.compile(rb'"kind":"(HealthChanged|IntentAdmitted)".*"event":"decided"')


def run() -> dict[str, object]:
    """Measure; times are in milliseconds, medians of the rounds."""
    with TemporaryDirectory() as folder:
        return asyncio.run(_run(Path(folder)))


async def _run(folder: Path) -> dict[str, object]:
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        scene = await open_scene(rpc, node, seed=SEED, borrowers=BORROWERS)
        files = _files(folder, node, scene)
        daemon = DaemonProcess(files)
        journal = folder / "journal.db"
        await daemon.start()
        await daemon.wait_ready()
        await daemon.kill()
        await asyncio.to_thread(_fill, journal)
        await daemon.start()
        await daemon.wait_ready()
        await _grow_tail(rpc, journal)
        rounds = [await _round(rpc, scene, daemon, number) for number in range(1, ROUNDS + 1)]
        await daemon.kill()

        tail = _tail(journal)
        parts = await asyncio.to_thread(_parts, files, journal)
    stages = {stage: round(median(each[stage] for each in rounds), 1) for stage in rounds[0]}
    return {
        "records": RECORDS,
        "tail_records": tail,
        "accounts": BORROWERS,
        "rounds": ROUNDS,
        "median_ms": stages,
        "worst_ms": round(max(each["killed_to_decided"] for each in rounds), 1),
        "parts_alone_ms": parts,
        "overlapped": round(sum(parts.values()) / stages["started_process_to_started"], 2),
    }


def _files(folder: Path, node: LocalNode, scene: Scene) -> DaemonFiles:
    """Prepare a daemon with the default rhythm of snapshots and the default cost of a password."""
    files = prepare(folder, [node], scene.market, scene.liquidator.key.hex())
    text = files.config.read_text(encoding="utf-8")
    quick = next(line for line in text.splitlines() if line.startswith("snapshot_every_records"))
    files.config.write_text(text.replace(quick, ""), encoding="utf-8")
    return files


def _fill(path: Path) -> None:
    """Append ticks of the clock until only the tail is missing, and take a snapshot there."""
    asyncio.run(_filled(path))


async def _filled(path: Path) -> None:
    with SqliteJournal(path, [CHAIN_ID]) as journal:
        engine = restored(journal, SystemClock()).engine
        while journal.last_sequence < RECORDS - TAIL_RECORDS:
            now_ms = time.time_ns() // 1_000_000
            group = [(ClockTicked(now_ms), 0) for _ in range(GROUP_RECORDS)]
            for place, (tick, _) in enumerate(group, start=journal.last_sequence + 1):
                engine.step(tick, place)
            await journal.wait_room()
            journal.append(group, now_ms)
        await journal.wait_durable(journal.last_sequence)
        journal.save_snapshot(journal.last_sequence, str(ENGINE_VERSION), engine.snapshot())


def _tail(path: Path) -> int:
    """Return how many records follow the newest snapshot."""
    with JournalReader(path) as reader:
        return reader.last_sequence - next(iter(reader.snapshots(str(ENGINE_VERSION)))).sequence


def _last_sequence(path: Path) -> int:
    with JournalReader(path) as reader:
        return reader.last_sequence


async def _grow_tail(rpc: LabRpc, path: Path) -> None:
    """Make blocks, which the daemon records, until the tail is long enough."""
    wanted = RECORDS - TAIL_RECORDS
    while wanted < RECORDS:
        await rpc.call("anvil_mine", hex(BLOCKS_AT_ONCE), answer=object)
        wanted += BLOCKS_AT_ONCE
        while _last_sequence(path) < wanted:  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(POLL_SECONDS * 50)


async def _round(rpc: LabRpc, scene: Scene, daemon: DaemonProcess, number: int) -> dict[str, float]:
    """Kill the daemon, let prices fall, start it, and wait for its first decision; then let it finish its work."""
    killed = time.perf_counter()
    await daemon.kill()
    share = 100 - FIRST_FALL_PERCENT - FALL_PERCENT * number
    prices = {symbol: scene.market.asset(symbol).price * share // 100 for symbol in VOLATILE}
    await move_prices(rpc, scene.market, prices)
    log = Log(daemon.files.log)
    process = time.perf_counter()
    await daemon.start()
    started = await log.first(STARTED)
    decided = await log.first(DECIDED)
    await daemon.wait_ready()
    await _until_quiet(rpc, daemon)
    return {
        "killed_to_process": (process - killed) * 1000,
        "started_process_to_started": (started - process) * 1000,
        "started_to_decided": (decided - started) * 1000,
        "killed_to_decided": (decided - killed) * 1000,
    }


class Log:
    """Reads what a daemon says from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size

    async def first(self, line: re.Pattern[bytes]) -> float:
        """Wait for the first line like this, and return when it was there."""
        deadline = time.perf_counter() + SECONDS_MAX
        while time.perf_counter() < deadline:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                if line.search(file.read()):
                    return time.perf_counter()
            await asyncio.sleep(POLL_SECONDS)
        raise RuntimeError(f"the daemon does not say {line.pattern!r}")


async def _until_quiet(rpc: LabRpc, daemon: DaemonProcess) -> None:
    """Make blocks until no intent is open."""
    async with aiohttp.ClientSession() as session:
        for _ in range(QUIET_BLOCKS_MAX):
            await rpc.call("evm_mine", answer=object)
            async with session.get(f"{daemon.files.http_url}/status") as answer:
                if not (await answer.json())["intents"]:
                    return
            await asyncio.sleep(POLL_SECONDS * 10)
    raise RuntimeError("intents are still open")


def _parts(files: DaemonFiles, path: Path) -> dict[str, float]:
    """Time, each alone: a process that imports the daemon, the opening of the keystore, and that of the journal."""
    keystore = files.config.parent / "keys" / "main.json"
    (password,) = files.environment.values()
    return {
        "imports": _timed(lambda: subprocess.run([sys.executable, "-c", "import keeper.app.daemon"], check=True)),
        "keystore": _timed(lambda: unlock_keystore(keystore, password)),
        "journal": _timed(lambda: _restore(path)),
    }


def _restore(path: Path) -> None:
    with SqliteJournal(path, [CHAIN_ID]) as journal:
        restored(journal, SystemClock())


def _timed(part: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        before = time.perf_counter()
        part()
        times.append((time.perf_counter() - before) * 1000)
    return round(median(times), 1)
