"""A local Morpho market that is as new in every test, and its ledger, to be fed by :mod:`tests.chain.aave_feed`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from keeper.core.ids import parse_address, parse_hash
from keeper.core.runconfig import IsolatedSpec, VenueSpec
from keeper.core.units import Price
from keeper.lab.localchain.morpho import MorphoMarket, RateModel, deploy_morpho_market
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.pre_liquidation import PreContract
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger

LOAN_PRICE = Price(10**8)


@asynccontextmanager
async def fresh_morpho(rpc: LabRpc, node: LocalNode, model: RateModel = "adaptive") -> AsyncIterator[MorphoMarket]:
    """Deploy a market and take it back afterwards, with all that happened since."""
    snapshot = await rpc.call("evm_snapshot", answer=str)
    try:
        yield await deploy_morpho_market(rpc, node.node_modules, model=model)
    finally:
        await rpc.call("evm_revert", snapshot, answer=bool)


def open_morpho(market: MorphoMarket) -> MorphoLedger:
    """Return an empty ledger of a local market whose loan token counts as a dollar."""
    return MorphoLedger(_spec(market, IsolatedSpec(market=parse_hash(market.market_id), loan_price=LOAN_PRICE)))


def open_pre_liquidation(market: MorphoMarket, contract: PreContract) -> PreLiquidationLedger:
    """Return an empty ledger of a pre-liquidation contract of a local market."""
    isolated = IsolatedSpec(
        market=parse_hash(market.market_id),
        loan_price=LOAN_PRICE,
        pre_liquidation=parse_address(contract.address),
    )
    return PreLiquidationLedger(_spec(market, isolated))


def _spec(market: MorphoMarket, isolated: IsolatedSpec) -> VenueSpec:
    return VenueSpec(
        name="morpho",
        protocol="morpho_blue",
        chain_id=31337,
        root=parse_address(market.morpho),
        from_block=0,
        prices="read",
        isolated=isolated,
    )
