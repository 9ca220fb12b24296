"""One scenario: the demo's market falls while everything goes wrong, and is audited when it is quiet again."""

from __future__ import annotations

import asyncio
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path

import aiohttp
import msgspec

from keeper.core.errors import NodeUnreachable
from keeper.lab.chaos.audit import audit
from keeper.lab.chaos.chain import ChaosChain, open_rival
from keeper.lab.chaos.geth_rules import PoolRules
from keeper.lab.chaos.plan import Plan, draw_plan
from keeper.lab.chaos.proxy import ChaosProxy, serving_proxy
from keeper.lab.chaos.troubles import Troubles
from keeper.lab.demo.crash import Scene, open_scene
from keeper.lab.demo.daemon import DaemonProcess
from keeper.lab.demo.files import prepare
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.prices import price_walk
from keeper.lab.localchain.rpc import LabRpc

BORROWERS = 20
STEPS = 30
BLOCK_SECONDS = 0.25
SLOTS_IN_AN_EPOCH = 5
"""Finality is ten blocks behind the head: deeper than the deepest reorg."""
CALM_BLOCKS_MAX = 160
CALM_SECONDS = 0.15
QUIET_BLOCKS = 12
PROVIDERS = 2
REQUEST_TIMEOUT_SECONDS = 1.0
KEYSTORE_WORK_FACTOR = 2**4
START_BLOCKS_MAX = 12
"""A start that met no provider ends within so many blocks of the trouble."""
_NO_PROVIDER = re.compile(r"keeper: http://127\.0\.0\.1:\d+: ")
"""A start ends so; a run that has begun survives such an error and ends for nothing of this form."""


@dataclass(slots=True)
class ChaosOutcome:
    """What happened in one scenario, and what did not hold."""

    seed: int
    plan: Plan
    slices: int = 0
    attempts: int = 0
    restarts: int = 0
    calm_blocks: int = 0
    happened: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)


class _Intent(msgspec.Struct):
    state: str


class _Status(msgspec.Struct):
    intents: list[_Intent]


@dataclass(slots=True)
class _Stage:
    """The parts of a running scenario."""

    rpc: LabRpc
    scene: Scene
    chain: ChaosChain
    proxies: list[ChaosProxy]
    daemon: DaemonProcess
    outcome: ChaosOutcome
    step: int = 0
    troubled_at: int = 0
    """The last step at which a provider was in trouble."""


async def run_chaos(seed: int, folder: Path) -> ChaosOutcome:
    """Run a scenario; what the daemon left is in ``folder``.

    Args:
        seed: Draws the market, the crash and all that goes wrong.
        folder: Empty, or a new one.

    Raises:
        KeeperError: the scenario itself could not be set up.
    """
    outcome = ChaosOutcome(seed, draw_plan(seed, STEPS, PROVIDERS))
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(running_node(NodeOptions(slots_in_an_epoch=SLOTS_IN_AN_EPOCH)))
        rpc = await stack.enter_async_context(LabRpc(node.http_url))
        scene = await open_scene(rpc, node, seed=seed, borrowers=BORROWERS)
        chain = ChaosChain(rpc, scene, await open_rival(rpc, scene, seed))
        await rpc.call("evm_setAutomine", False, answer=object)
        proxies = await _proxies(stack, node, outcome)
        files = prepare(
            folder,
            proxies,
            scene.market,
            scene.liquidator.key.hex(),
            request_timeout_seconds=REQUEST_TIMEOUT_SECONDS,
            work_factor=KEYSTORE_WORK_FACTOR,
        )
        daemon = DaemonProcess(files)
        stack.push_async_callback(daemon.leave)
        stage = _Stage(rpc, scene, chain, proxies, daemon, outcome)
        await daemon.start()
        await daemon.wait_ready()
        before = int(await rpc.call("eth_blockNumber", answer=str), 16)
        await _crash(stage)
        await _calm(stage)
        outcome.violations += await _left_in_order(stage)
        report = await audit(rpc, node, scene, folder / "journal.db", first_block=before + 1)
        outcome.violations += report.violations
        outcome.slices, outcome.attempts = report.slices, report.attempts
        outcome.happened.update(what for proxy in proxies for what in Counter(proxy.troubles.happened).elements())
    return outcome


async def _proxies(stack: AsyncExitStack, node: LocalNode, outcome: ChaosOutcome) -> list[ChaosProxy]:
    rules = PoolRules()
    proxies = []
    for number in range(PROVIDERS):
        chance = random.Random(f"chaos provider {outcome.seed} {number}")  # noqa: S311 - reproducible, not a secret
        serving = serving_proxy(node.http_url, node.ws_url, Troubles(chance), rules)
        proxies.append(await stack.enter_async_context(serving))
    return proxies


async def _crash(stage: _Stage) -> None:
    """Walk the prices down, a block a step, and do at each block what the plan says."""
    plan, outcome = stage.outcome.plan, stage.outcome
    walk = price_walk(stage.scene.market, outcome.seed, STEPS)
    for step, prices in enumerate(walk):
        stage.step = step
        await _turn_troubles(stage, step)
        if step in plan.reorgs:
            await stage.chain.reorg(plan.reorgs[step], prices)
            outcome.happened["reorg"] += 1
        spike = any(window.covers(step) for window in plan.spikes)
        await stage.chain.mine(prices, spike=spike)
        outcome.happened["block of dear gas"] += spike
        await asyncio.sleep(BLOCK_SECONDS * plan.kills.get(step, 0.5))
        if step in plan.kills:
            await stage.daemon.kill()
            await stage.daemon.start()
            outcome.happened["kill"] += 1
        await _restart_if_it_left(stage)
        await asyncio.sleep(BLOCK_SECONDS * (1 - plan.kills.get(step, 0.5)))
    for proxy in stage.proxies:
        proxy.troubles.outage, proxy.troubles.lag_blocks = None, 0
        proxy.troubles.mishap_share = proxy.troubles.head_mishap_share = 0.0


async def _turn_troubles(stage: _Stage, step: int) -> None:
    plan = stage.outcome.plan
    for number, proxy in enumerate(stage.proxies):
        troubles = proxy.troubles
        before = troubles.outage
        troubles.outage = next(
            (how for window, how in plan.outages if window.covers(step) and number in window.providers), None
        )
        troubles.lag_blocks = next(
            (lag for window, lag in plan.lags if window.covers(step) and number in window.providers), 0
        )
        troubles.mishap_share, troubles.head_mishap_share = plan.mishap_share, plan.head_mishap_share
        if troubles.outage is not None or troubles.mishap_share:
            stage.troubled_at = step
        if troubles.outage is not None and before is None:
            await proxy.cut_sockets()


async def _restart_if_it_left(stage: _Stage) -> None:
    """Start the daemon again as a service manager would; only a start without any provider may end by itself."""
    code = stage.daemon.exit_code
    if code is None:
        return
    said = stage.daemon.last_line()
    unreached = code == NodeUnreachable.exit_code and _NO_PROVIDER.search(said)
    if not unreached or stage.step - stage.troubled_at > START_BLOCKS_MAX:
        stage.outcome.violations.append(f"the daemon left with {code}: {said}")
    stage.outcome.restarts += 1
    await stage.daemon.start()


async def _calm(stage: _Stage) -> None:
    """Make quiet blocks until the keeper, at the head again, has had nothing to do for a while."""
    quiet = 0
    while quiet < QUIET_BLOCKS and stage.outcome.calm_blocks < CALM_BLOCKS_MAX:
        await stage.chain.calm()
        stage.outcome.calm_blocks += 1
        stage.step += 1
        await asyncio.sleep(CALM_SECONDS)
        await _restart_if_it_left(stage)
        settled = await _is_settled(stage)
        quiet = quiet + 1 if settled else 0


async def _is_settled(stage: _Stage) -> bool:
    """Tell whether the daemon is ready and no intent is open."""
    url = stage.daemon.files.http_url
    with suppress(aiohttp.ClientError, TimeoutError):
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/readyz") as answer:
                ready = answer.status == HTTPStatus.OK
            async with session.get(f"{url}/status") as answer:
                return ready and not msgspec.json.decode(await answer.read(), type=_Status).intents
    return False


async def _left_in_order(stage: _Stage) -> list[str]:
    code = await stage.daemon.leave()
    return [] if code == 0 else [f"the daemon left with {code}: {stage.daemon.last_line()}"]


async def run_many(
    seeds: Sequence[int], jobs: int, folder: Path, say: Callable[[ChaosOutcome], None]
) -> list[ChaosOutcome]:
    """Run scenarios, ``jobs`` at a time, each in a folder of its own; those that hold leave nothing behind.

    Args:
        seeds: One scenario each.
        jobs: How many run at once.
        folder: Where the folders are made.
        say: Told of each scenario as it ends.
    """
    turns = asyncio.Semaphore(jobs)

    async def one(seed: int) -> ChaosOutcome:
        async with turns:
            place = folder / f"seed-{seed}"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            outcome = await run_chaos(seed, place)
            if not outcome.violations:
                shutil.rmtree(place)
            say(outcome)
            return outcome

    return await asyncio.gather(*(one(seed) for seed in seeds))
