"""What must hold after a scenario, each read from the chain or from the journal, and compared.

(a) the journal is whole and replays to one state, in processes that hash differently; (b) no intent had two successes;
(c) no nonce had two intents; (d) every transaction of our key is in the journal; (e) the replayed state is the chain's
own, account by account, to the wei; (f) no liquidation, by whomever, was of an account that was not known or taken for
healthy. And nobody is left whom a liquidation would still help.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from keeper.core.codec import Record
from keeper.core.decisions import LiquidationObserved, Verdict
from keeper.core.facts import AttemptPrepared
from keeper.core.ids import Hash32, parse_address, to_hex
from keeper.core.venue import Ledger
from keeper.engine.replay import replay
from keeper.engine.step import Engine
from keeper.journal.urls import open_reader
from keeper.lab.demo.audit import AaveAudit
from keeper.lab.demo.crash import Scene
from keeper.lab.localchain.accounts import account_data
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.rpc import LabRpc, Request
from keeper.venues import open_ledger
from strategies import STRATEGIES

CHAIN_ID = 31337
HASH_SEEDS = ("1", "2")


class _Verified(msgspec.Struct):
    state_hash: str | None


class Report(NamedTuple):
    """What does not hold, one line each; and what there was to hold: our slices on chain, and our attempts."""

    violations: list[str]
    slices: int
    attempts: int


async def audit(rpc: LabRpc, node: LocalNode, scene: Scene, journal: Path, *, first_block: int) -> Report:
    """Compare a journal with its chain; our key was used by others before ``first_block``."""
    with open_reader(f"sqlite://{journal}") as reader:
        records = list(reader.read())
    attempts = [record.body for record in records if isinstance(record.body, AttemptPrepared)]
    engine = Engine(open_ledger, STRATEGIES)
    result = replay(records, engine)
    found = [] if result.divergence is None else [f"replay diverges at record {result.divergence.sequence}"]
    found += await _digests_differ(journal, to_hex(result.state_hash))
    found += _shared_nonces(attempts)
    found += _not_recalled(records)
    succeeded = await _successes(rpc, attempts)
    found += [f"intent {to_hex(intent)} succeeded {count} times" for intent, count in succeeded.items() if count > 1]
    found += await _unknown_transactions(rpc, scene, attempts, first_block)
    found += await _states_differ(rpc, scene, engine, records)
    found += await _helpable(node, scene)
    return Report(found, len(succeeded), len(attempts))


async def _digests_differ(journal: Path, state_hash: str) -> list[str]:
    """Verify and replay in processes of their own, whose sets and dictionaries hash differently."""
    digests = [await _verified(journal, hash_seed) for hash_seed in HASH_SEEDS]
    return [] if set(digests) == {state_hash} else [f"verify gives {digests}, a replay here {state_hash}"]


async def _verified(journal: Path, hash_seed: str) -> str | None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "keeper.cli", "verify", "--json", "--journal", f"sqlite://{journal}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    )
    answer, error = await process.communicate()
    if process.returncode != 0:
        return f"exit {process.returncode}: {error.decode().strip()[-200:]}"
    return msgspec.json.decode(answer, type=_Verified).state_hash


def _not_recalled(records: Sequence[Record]) -> list[str]:
    """Find liquidations, by whomever, of accounts that were not known or taken for healthy."""
    seen = [record.body for record in records if isinstance(record.body, LiquidationObserved)]
    wrong = [each for each in seen if each.verdict in (Verdict.UNTRACKED, Verdict.HEALTH_WRONG)]
    return [
        f"account {to_hex(each.liquidation.account)} at block {each.block_number} was {each.verdict.value}: {each.why}"
        for each in wrong
    ]


def _shared_nonces(attempts: Sequence[AttemptPrepared]) -> list[str]:
    owners: dict[int, set[Hash32]] = defaultdict(set)
    for attempt in attempts:
        owners[attempt.nonce].add(attempt.intent_id)
    shared = [f"nonce {nonce} has {len(intents)} intents" for nonce, intents in owners.items() if len(intents) > 1]
    holes = sorted(set(range(min(owners, default=0), max(owners, default=-1))) - owners.keys())
    return shared + [f"nonce {nonce} was left out" for nonce in holes]


async def _successes(rpc: LabRpc, attempts: Sequence[AttemptPrepared]) -> Counter[Hash32]:
    """Count the successful calls of each intent on the chain as it stands."""
    requests = [Request("eth_getTransactionReceipt", (to_hex(attempt.tx_hash),)) for attempt in attempts]
    receipts = await rpc.batch(requests, answer=object)
    return Counter(
        attempt.intent_id
        for attempt, receipt in zip(attempts, receipts, strict=True)
        if attempt.kind == "call" and isinstance(receipt, dict) and receipt["status"] == "0x1"
    )


async def _unknown_transactions(
    rpc: LabRpc, scene: Scene, attempts: Sequence[AttemptPrepared], first_block: int
) -> list[str]:
    """Find transactions of our key that the journal does not know."""
    head = int(await rpc.call("eth_blockNumber", answer=str), 16)
    requests = [Request("eth_getBlockByNumber", (hex(number), True)) for number in range(first_block, head + 1)]
    blocks = await rpc.batch(requests, answer=dict[str, object])
    known = {to_hex(attempt.tx_hash) for attempt in attempts}
    ours = scene.liquidator.address.lower()
    sent = [one for block in blocks for one in _transactions(block) if one["from"].lower() == ours]
    return [f"transaction {one['hash']} is not in the journal" for one in sent if one["hash"] not in known]


def _transactions(block: dict[str, object]) -> Iterator[dict[str, str]]:
    found = block["transactions"]
    yield from found if isinstance(found, list) else []


async def _states_differ(rpc: LabRpc, scene: Scene, engine: Engine, records: Sequence[Record]) -> list[str]:
    """Compare every borrower's health, collateral and debt with the pool's own, at the journal's last block."""
    tip = engine.chains[CHAIN_ID].tip
    (ledger,) = engine.ledgers.values()
    if tip is None:
        return [f"the journal holds {len(records)} records and no block"]
    chain = await account_data(rpc, scene.market.pool, scene.borrowers, tip.number)
    return [
        f"account {account} at block {tip.number}: {ours} here, {theirs} on chain"
        for account, data in chain.items()
        if (ours := _figures(ledger, account)) != (theirs := (data.health_wad, data.collateral_base, data.debt_base))
        and data.debt_base
    ]


def _figures(ledger: Ledger, account: str) -> tuple[int | None, int, int]:
    margin = ledger.margin(parse_address(account))
    health = None if margin.health_wad is None else int(margin.health_wad)
    return health, int(margin.collateral_base), int(margin.debt_base)


async def _helpable(node: LocalNode, scene: Scene) -> list[str]:
    audit = AaveAudit(node, scene.market, scene.liquidator.address)
    try:
        findings = await audit.below_the_line(scene.borrowers)
    finally:
        await audit.close()
    return [f"account {one.account} was left: {one.remedy}" for one in findings if one.remedy is not None]
