"""The daemon is killed at a random moment of a crash and started again: nothing is lost and nothing is done twice."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest

from keeper.core.codec import Record
from keeper.core.decisions import IntentAdmitted, LiquidationObserved
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Hash32, to_hex
from keeper.lab.demo.audit import AaveAudit
from keeper.lab.demo.crash import Scene, open_scene, wait_safe, walk_prices
from keeper.lab.demo.daemon import DaemonFiles, DaemonProcess
from keeper.lab.demo.files import prepare
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc, Request
from tests.chain.journals import read_journal, replayed, replayed_from_snapshots

SEEDS = range(20)
BORROWERS = 30
STEPS = 30
BLOCK_SECONDS = 0.25
SETTLE_SECONDS_MAX = 30.0


@pytest.mark.chain
@pytest.mark.soak
@pytest.mark.parametrize("seed", SEEDS)
async def test_a_killed_daemon_helps_every_account_once(seed: int, tmp_path: Path) -> None:
    """SIGKILL at a random moment: every helpable account is helped, once per breach, and every replay agrees."""
    print(f"seed {seed}")  # noqa: T201 - the run is reproduced by it
    async with running_node(NodeOptions(block_time_seconds=BLOCK_SECONDS)) as node, LabRpc(node.http_url) as rpc:
        scene = await open_scene(rpc, node, seed=seed, borrowers=BORROWERS)
        files = prepare(tmp_path, [node], scene.market, scene.liquidator.key.hex())
        await _crash_with_a_kill(rpc, scene, files, seed)
        await _assert_nobody_is_left(node, scene)
        records = read_journal(tmp_path / "journal.db")
        await _assert_one_inclusion_per_intent(rpc, records)
        await _assert_every_transaction_is_journalled(rpc, scene, records)

    _assert_once_per_breach(records)
    _assert_replays_agree(tmp_path / "journal.db")


async def _crash_with_a_kill(rpc: LabRpc, scene: Scene, files: DaemonFiles, seed: int) -> None:
    chance = random.Random(seed)
    moment = chance.uniform(0.1, 0.9) * STEPS * BLOCK_SECONDS
    daemon = DaemonProcess(files)
    await daemon.start()
    await daemon.wait_ready()
    walk = asyncio.create_task(walk_prices(rpc, scene, seed=seed, steps=STEPS, on_step=lambda *_: None))
    await asyncio.wait([walk], timeout=moment)
    await daemon.kill()
    await daemon.start()
    await walk
    await daemon.wait_ready()
    await wait_safe(rpc, scene, seconds_max=SETTLE_SECONDS_MAX)
    assert await daemon.leave() == 0


async def _assert_nobody_is_left(node: LocalNode, scene: Scene) -> None:
    audit = AaveAudit(node, scene.market, scene.liquidator.address)
    findings = await audit.below_the_line(scene.borrowers)
    await audit.close()
    assert [finding for finding in findings if finding.remedy] == []


async def _assert_one_inclusion_per_intent(rpc: LabRpc, records: list[Record]) -> None:
    attempts = [record.body for record in records if isinstance(record.body, AttemptPrepared)]
    requests = [Request("eth_getTransactionReceipt", (to_hex(attempt.tx_hash),)) for attempt in attempts]
    receipts = await rpc.batch(requests, answer=object)
    included = Counter(attempt.intent_id for attempt, receipt in zip(attempts, receipts, strict=True) if receipt)
    assert attempts, "the crash liquidated nothing"
    assert max(included.values()) == 1


async def _assert_every_transaction_is_journalled(rpc: LabRpc, scene: Scene, records: list[Record]) -> None:
    mined = int(await rpc.call("eth_getTransactionCount", scene.liquidator.address, "latest", answer=str), 16)
    first = int(await rpc.call("eth_getTransactionCount", scene.liquidator.address, "earliest", answer=str), 16)
    nonces = sorted({record.body.nonce for record in records if isinstance(record.body, AttemptPrepared)})
    assert nonces == list(range(nonces[0], mined))
    assert nonces[0] >= first


def _assert_once_per_breach(records: list[Record]) -> None:
    epochs = {
        record.body.intent.intent_id: (record.body.intent.account, record.body.intent.epoch)
        for record in records
        if isinstance(record.body, IntentAdmitted) and record.body.intent.kind == "liquidation"
    }
    ours: set[Hash32] = {
        record.body.intent_id
        for record in records
        if isinstance(record.body, LiquidationObserved) and record.body.intent_id is not None
    }
    helped = Counter(epochs[intent_id] for intent_id in ours)
    assert helped, "nobody was helped"
    assert max(helped.values()) == 1


def _assert_replays_agree(journal: Path) -> None:
    first, second = replayed(journal), replayed(journal)
    tails = replayed_from_snapshots(journal)
    assert first == second
    assert first.divergence is None
    assert tails, "a daemon that left in order leaves a snapshot"
    assert [tail.divergence for tail in tails] == [None] * len(tails)
    assert {tail.state_hash for tail in tails} == {first.state_hash}
