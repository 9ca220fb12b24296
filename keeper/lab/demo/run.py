"""The demo from beginning to end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from keeper.core.errors import NotHolding
from keeper.journal.urls import open_reader
from keeper.lab.demo.acts import Act, OpenAct
from keeper.lab.demo.audit import AaveAudit, Finding
from keeper.lab.demo.crash import Scene, open_scene, wait_safe, walk_prices
from keeper.lab.demo.daemon import DaemonFiles, DaemonProcess
from keeper.lab.demo.files import clean_folder, prepare
from keeper.lab.demo.morpho import open_morpho
from keeper.lab.demo.perp import open_perp
from keeper.lab.demo.summary import DemoSummary, summarise
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.perp import HISTORY_SECONDS
from keeper.lab.localchain.rpc import LabRpc

SETTLE_SECONDS_MAX = 20.0
ACTS: tuple[OpenAct, ...] = (open_morpho, open_perp)
"""How each protocol beside Aave is opened. Another one is a module with such a function, and its name here."""


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What to run: ``steps`` price moves, one a block of ``block_seconds``; the journal is left in ``folder``."""

    folder: Path
    seed: int = 7
    borrowers: int = 50
    steps: int = 30
    block_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What happened: from the journal, and (health, findings) from the chain itself through web3."""

    summary: DemoSummary
    health_after_wad: dict[str, int]
    findings: tuple[Finding, ...]
    config: Path
    journal_url: str
    http_url: str
    node_url: str
    seconds: float

    @property
    def unhelped(self) -> tuple[Finding, ...]:
        """Accounts below the line that a liquidation would still have raised: there must be none."""
        return tuple(finding for finding in self.findings if finding.remedy is not None)


async def run_demo(
    options: DemoOptions,
    say: Callable[[str], None],
    *,
    keep: Callable[[DemoResult], Awaitable[None]] | None = None,
) -> DemoResult:
    """Start a node, deploy, open accounts, crash the prices under the daemon, audit, and stop everything.

    Args:
        options: What to run.
        say: Is told each step as it begins.
        keep: Awaited with the result while node and daemon are still up; without it the daemon is stopped first.

    Raises:
        RetryLater: the daemon did not start or did not leave in order.
        ConfigError: the node's packages are not installed.
        OperatorError: the folder cannot be written, or another demo uses it.
    """
    started = time.monotonic()
    clean_folder(options.folder)
    say("starting a local node and deploying Aave v3.0.2, Morpho Blue and Perpetual Protocol v2 as they were published")
    long_ago = int(time.time()) - HISTORY_SECONDS - 10  # an exchange wants a history, which time is moved on for
    async with (
        running_node(NodeOptions(block_time_seconds=options.block_seconds, timestamp=long_ago)) as node,
        LabRpc(node.http_url) as rpc,
    ):
        scene = await open_scene(rpc, node, seed=options.seed, borrowers=options.borrowers)
        acts = await _open_acts(options, rpc, node, scene)
        files = prepare(options.folder, [node], scene.market, scene.liquidator.key.hex(), acts=acts)
        count = options.borrowers + sum(len(act.accounts) for act in acts)
        say(f"{count} accounts are open at {1 + len(acts)} protocols; starting the keeper as its own process")
        daemon = DaemonProcess(files)
        await daemon.start()
        try:
            await daemon.wait_ready()
            for act in acts:
                await act.begin(rpc)
            await _crash(options, rpc, scene, acts, say)
            if keep is None:
                await _leave(daemon)
            say("asking the chain itself, through web3, who is below the line")
            result = await _result(options, node, scene, acts, files, time.monotonic() - started)
            if keep is not None:
                await keep(result)
        finally:
            await daemon.leave()
    return result


async def _open_acts(options: DemoOptions, rpc: LabRpc, node: LocalNode, scene: Scene) -> list[Act]:
    """Open the protocols beside Aave, at Aave's prices and for the same liquidator."""
    liquidator = scene.liquidator.address.lower()
    price = scene.market.asset("WETH").price
    return [await open_(rpc, node, seed=options.seed, liquidator=liquidator, price=price) for open_ in ACTS]


async def _crash(
    options: DemoOptions, rpc: LabRpc, scene: Scene, acts: Sequence[Act], say: Callable[[str], None]
) -> None:
    def on_step(number: int, prices: dict[str, int]) -> None:
        quoted = ", ".join(f"{symbol} {price / 1e8:,.0f}" for symbol, price in prices.items())
        say(f"price step {number}/{options.steps}: {quoted} USD")

    await walk_prices(rpc, scene, seed=options.seed, steps=options.steps, on_step=on_step, acts=acts)
    say("prices stand still; waiting until every account is safe")
    await wait_safe(rpc, scene, seconds_max=SETTLE_SECONDS_MAX, acts=acts)


async def _leave(daemon: DaemonProcess) -> None:
    code = await daemon.leave()
    if code != 0:
        raise NotHolding("the daemon", f"left with exit code {code}", f"see {daemon.files.log}")


async def _result(
    options: DemoOptions, node: LocalNode, scene: Scene, acts: Sequence[Act], files: DaemonFiles, seconds: float
) -> DemoResult:
    journal_url = f"sqlite://{(options.folder / 'journal.db').resolve()}"
    with open_reader(journal_url) as journal:
        summary = await asyncio.to_thread(lambda: summarise(journal.read()))
    health: dict[str, int] = {}
    findings: list[Finding] = []
    of_aave = (AaveAudit(node, scene.market, scene.liquidator.address), scene.borrowers)
    for audit, accounts in (of_aave, *((act.audit(node), act.accounts) for act in acts)):
        try:
            health |= {account: await audit.health(account) for account in accounts if account in summary.accounts}
            findings += await audit.below_the_line(accounts)
        finally:
            await audit.close()
    return DemoResult(
        summary, health, tuple(findings), files.config, journal_url, files.http_url, node.http_url, seconds
    )
