"""A local Morpho market that is as new in every test, and its ledger, to be fed by :mod:`tests.chain.aave_feed`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from keeper.core.ids import parse_address, parse_hash, to_hex
from keeper.core.runconfig import IsolatedSpec, VenueSpec
from keeper.core.units import Price, TokenAmount
from keeper.core.venue import Preview
from keeper.lab.localchain.morpho import MorphoAccount, MorphoMarket, RateModel, deploy_morpho_market, look
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.pre_liquidation import PreContract
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import read
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


class Executed(NamedTuple):
    """A slice that was executed as foretold: what its preview said, whom it left how, and the gas it used."""

    told: Preview
    left: MorphoAccount
    gas: int


async def execute_slice(
    rpc: LabRpc, market: MorphoMarket, ledger: MorphoLedger, who: tuple[str, str], part: int
) -> Executed | str:
    """Execute a slice in the next block, hold what moved against its preview, and take the block back.

    ``who`` is the liquidator and the account, ``part`` the share of what may be covered (1: all of it). The name of the
    error is returned where the preview says one.
    """
    liquidator, user = who
    account = parse_address(user)
    (pair,) = ledger.pairs(account)
    cover = TokenAmount(max(1, int(pair.cover_max) // part))
    told = ledger.preview(account, pair.debt_asset, pair.collateral_asset, cover)
    if told.revert is not None:
        return told.revert
    call = ledger.liquidation_call(account, told)
    snapshot = await rpc.call("evm_snapshot", answer=str)
    held = await _balances(rpc, market, liquidator)
    await rpc.call("evm_setNextBlockTimestamp", ledger.market().timestamp, answer=object)
    transaction = {"from": liquidator, "to": to_hex(call.to), "data": to_hex(call.data), "gas": hex(1_000_000)}
    sent = await rpc.call("eth_sendTransaction", transaction, answer=str)
    await rpc.call("evm_mine", answer=str)
    receipt = await rpc.call("eth_getTransactionReceipt", sent, answer=dict[str, object])
    now = await _balances(rpc, market, liquidator)
    _, left = await look(rpc, market, [user])
    await rpc.call("evm_revert", snapshot, answer=bool)
    assert (held[0] - now[0], now[1] - held[1]) == (told.repaid, told.seized), told
    assert TokenAmount(0) < told.repaid <= cover
    assert left[user].debt * 100 == told.debt_left_base, told
    return Executed(told, left[user], int(str(receipt["gasUsed"]), 16))


async def _balances(rpc: LabRpc, market: MorphoMarket, owner: str) -> tuple[int, int]:
    """Return what somebody holds of the loan token and of the collateral."""
    found = [
        await read(rpc, token, "balanceOf(address)", owner, returns=("uint256",))
        for token in (market.loan, market.collateral)
    ]
    return found[0][0], found[1][0]
