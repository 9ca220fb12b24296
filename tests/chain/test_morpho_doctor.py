"""What ``keeper doctor`` says of a market of Morpho Blue, on the published contracts."""

from __future__ import annotations

import pytest

from keeper.app.clock import SystemClock
from keeper.chain.rpc import Provider
from keeper.cli.doctor_morpho import examine_morpho
from keeper.cli.findings import Findings
from keeper.lab.localchain.morpho import MorphoMarket, RateModel, price_call
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import submit
from keeper.settings import VenueSettings
from tests.chain.morpho_feed import fresh_morpho

pytestmark = pytest.mark.chain


async def examined(node: LocalNode, address: str, market: str) -> Findings:
    """Look at a venue."""
    findings = Findings(lambda _finding: None)
    written = {"protocol": "morpho_blue", "chain": "local", "address": address, "market": market, "loan_usd": 1}
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
