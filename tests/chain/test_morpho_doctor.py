"""What ``keeper doctor`` says of a market of Morpho Blue, on the published contracts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak

from keeper.app.clock import SystemClock
from keeper.chain.rpc import Provider
from keeper.cli.doctor_morpho import examine_morpho
from keeper.cli.findings import Findings
from keeper.lab.localchain.morpho import PARAMS, MorphoMarket, RateModel, price_call
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.pre_liquidation import deploy_pre_liquidation
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import encode_arguments, submit
from keeper.settings import VenueSettings
from tests.chain.morpho_feed import fresh_morpho

pytestmark = pytest.mark.chain


async def examined(node: LocalNode, address: str, market: str, **more: str) -> Findings:
    """Look at a venue."""
    findings = Findings(lambda _finding: None)
    written = {"protocol": "morpho_blue", "chain": "local", "address": address, "market": market, "loan_usd": 1, **more}
    async with Provider(node.http_url, 31337, SystemClock()) as provider:
        await examine_morpho("blue", VenueSettings.model_validate(written), provider, findings)
    return findings


async def details(node: LocalNode, market: MorphoMarket, *, address: str = "", market_id: str = "") -> str:
    """Return what was found of a market, or of another one in its place."""
    findings = await examined(node, address or market.morpho, market_id or market.market_id)
    return " | ".join(each.detail for each in findings.all)


@pytest.mark.parametrize(
    ("model", "said"),
    [("adaptive", "is an adaptive curve"), ("utilization", "is taken to keep its rate"), ("none", "no interest")],
)
async def test_a_good_market_passes(rpc: LabRpc, anvil_node: LocalNode, model: RateModel, said: str) -> None:
    """Contract, market, oracle and interest-rate model are each found."""
    async with fresh_morpho(rpc, anvil_node, model) as market:
        findings = await examined(anvil_node, market.morpho, market.market_id)
    assert findings.exit_code == 0
    assert said in findings.all[-1].detail


async def test_what_is_wrong_is_named(rpc: LabRpc, anvil_node: LocalNode) -> None:
    """No contract, another contract, a market that is not there, and an oracle without a price."""
    async with fresh_morpho(rpc, anvil_node) as market:
        await submit(rpc, [price_call(market, 0)])
        assert "has no code" in await details(anvil_node, market, address="0x" + "07" * 20)
        assert "does not answer idToMarketParams" in await details(anvil_node, market, address=market.oracle)
        assert "has no market" in await details(anvil_node, market, market_id="0x" + "07" * 32)
        assert "gives no price: every account would be unknown" in await details(anvil_node, market)


async def test_a_pre_liquidation_contract_is_held_to_its_market(rpc: LabRpc, anvil_node: LocalNode) -> None:
    """Its terms are said; one of another market, no such contract, and one whose oracle has no price are not taken."""
    async with fresh_morpho(rpc, anvil_node) as market:
        contract = await deploy_pre_liquidation(rpc, anvil_node.node_modules, market, own_oracle=True)

        async def said(address: str, market_id: str = market.market_id) -> str:
            findings = await examined(anvil_node, market.morpho, market_id, pre_liquidation=address)
            return findings.all[-1].detail

        other = "0x" + keccak(hexstr=encode_arguments(f"({PARAMS})", market.other)).hex()
        assert await said(contract.address) == (
            "from a loan to value of 0.8000: close factor 0.0500 to 0.5000, incentive 1.0100 to 1.0438"
        )
        assert f"is of market {market.market_id}" in await said(contract.address, other)
        assert "is no pre-liquidation contract on chain local" in await said(market.oracle)
        await submit(rpc, [price_call(replace(market, oracle=contract.oracle), 0)])
        assert "the contract's oracle" in await said(contract.address)
