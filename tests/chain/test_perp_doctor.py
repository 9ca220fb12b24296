"""What ``keeper doctor`` says of an exchange of Perpetual Protocol v2, on the published contracts."""

from __future__ import annotations

import pytest

from keeper.app.clock import SystemClock
from keeper.chain.rpc import Provider
from keeper.cli.doctor_perp import GETTERS, examine_perp, free_collateral
from keeper.cli.findings import Findings
from keeper.core.errors import NotHolding
from keeper.core.ids import parse_address
from keeper.core.runconfig import ExchangeSpec
from keeper.lab.localchain.accounts import UINT256_MAX
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.perp import SETTLEMENT_DECIMALS, PerpExchange
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, encode_call, submit
from keeper.settings import VenueSettings
from tests.perp_chain import deployed_exchange, exchange, perp_node, perp_rpc

__all__ = ["deployed_exchange", "exchange", "perp_node", "perp_rpc"]

pytestmark = [pytest.mark.chain, pytest.mark.slow]


def written(exchange: PerpExchange, address: str = "", **changes: object) -> VenueSettings:
    """Return the settings of a venue, some of them wrong."""
    names = [name for name in ExchangeSpec.__struct_fields__ if name != "settlement_decimals"]
    contracts = {name: getattr(exchange, name) for name in names}
    return VenueSettings.model_validate(
        {
            "protocol": "perp_v2",
            "chain": "local",
            "address": address or exchange.clearing_house,
            "contracts": {**contracts, "settlement_decimals": SETTLEMENT_DECIMALS, **changes},
        }
    )


async def examined(node: LocalNode, venue: VenueSettings) -> Findings:
    """Look at a venue."""
    findings = Findings(lambda _finding: None)
    async with Provider(node.http_url, 31337, SystemClock()) as provider:
        await examine_perp("perp", venue, provider, findings)
    return findings


async def details(node: LocalNode, venue: VenueSettings) -> str:
    """Return what was found, in one text."""
    found = (await examined(node, venue)).all
    return " | ".join(f"{each.detail}; {each.remedy}" for each in found)


async def test_a_good_exchange_passes(exchange: PerpExchange, perp_node: LocalNode) -> None:
    """The contracts agree with each other's getters, and the margin ratio is told."""
    findings = await examined(perp_node, written(exchange))
    assert findings.exit_code == 0
    assert [each.detail for each in findings.all] == [
        f"{len(GETTERS)} contracts agree",
        "6.25 % of a position's value is required",
    ]


async def test_what_is_wrong_is_named(exchange: PerpExchange, perp_node: LocalNode) -> None:
    """No contract, another contract, one in the place of another, and decimals that are not the token's."""
    assert "has no code" in await details(perp_node, written(exchange, address="0x" + "07" * 20))
    assert "does not answer getAccountBalance()" in await details(perp_node, written(exchange, exchange.quote))
    swapped = await details(perp_node, written(exchange, vault=exchange.exchange))
    assert f"getVault() of clearing_house answers {exchange.vault}" in swapped
    assert f'write vault = "{exchange.vault}"' in swapped
    assert "write settlement_decimals = 6" in await details(perp_node, written(exchange, settlement_decimals=18))


async def test_a_signer_without_a_deposit_is_told_where_to_make_one(
    exchange: PerpExchange, perp_node: LocalNode, perp_rpc: LabRpc
) -> None:
    """In a live run that is a failure, in a dry run a figure; a deposit ends it."""
    admin, venue = parse_address(exchange.admin), written(exchange)
    async with Provider(perp_node.http_url, 31337, SystemClock()) as provider:
        with pytest.raises(NotHolding, match="no free collateral") as caught:
            await free_collateral(venue, admin, provider, live=True)
        assert f"deposit at the vault {exchange.vault}" in caught.value.remedy
        assert (await free_collateral(venue, admin, provider, live=False)).startswith("0 base units")
        calls = [
            (exchange.settlement, encode_call("mint(address,uint256)", exchange.admin, 5)),
            (exchange.settlement, encode_call("approve(address,uint256)", exchange.vault, UINT256_MAX)),
            (exchange.vault, encode_call("deposit(address,uint256)", exchange.settlement, 5)),
        ]
        await submit(perp_rpc, [Call(exchange.admin, *call) for call in calls])
        assert (await free_collateral(venue, admin, provider, live=True)).startswith("5 base units")
