"""Audits of the Aave ledger on the published contracts: the pool's own view agrees, and a wrong ledger is noticed."""

from __future__ import annotations

import msgspec
import pytest

from keeper.chain.source import contract_read
from keeper.core.facts import ContractRead, ReadRequest
from keeper.core.ids import parse_address, to_hex
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.random_market import random_market
from keeper.lab.localchain.rpc import LabRpc
from tests.chain.aave_feed import Feed, open_aave

STEPS = 12
BORROWERS = 6


async def answered(rpc: LabRpc, request: ReadRequest, block_number: int) -> ContractRead:
    """Make a view call pinned to a block's hash, as an audit does."""
    block = await rpc.call("eth_getBlockByNumber", hex(block_number), False, answer=dict[str, object])
    call = {"to": to_hex(request.target), "data": to_hex(request.calldata)}
    return contract_read(request, await rpc.call("eth_call", call, {"blockHash": block["hash"]}, answer=str))


@pytest.mark.chain
@pytest.mark.slow
@pytest.mark.fault(33, 39)
async def test_audits_agree_with_the_pool_and_notice_a_wrong_price(rpc: LabRpc, market: AaveMarket) -> None:
    """At every block the pool's six figures are ours to the wei; after a price is missed they are not."""
    feed = Feed(rpc, open_aave(market, "read"))
    async with random_market(rpc, market, seed=3, borrowers=BORROWERS) as driver:
        for _ in range(STEPS):
            step = await driver.step()
            await feed.up_to(step.block_number)
            requests = feed.ledger.audit_reads([parse_address(user) for user in step.accounts])
            reads = [await answered(rpc, request, step.block_number) for request in requests]
            findings = feed.ledger.audit_findings(reads)
            assert [each for each in findings if not each.agrees] == []
        [read, *_] = [each for each in reads if each.output is not None]
        output = bytes(31) + b"\x01" + (read.output or b"")[32:]
        [wrong] = feed.ledger.audit_findings([msgspec.structs.replace(read, output=output)])
        assert not wrong.agrees
