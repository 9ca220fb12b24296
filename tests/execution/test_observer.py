"""A signer's reading is what the chain says at one block, whatever its newest block says."""

from __future__ import annotations

import pytest

from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.facts import BlockHeader
from keeper.core.ids import Address, Hash32, parse_address, to_hex
from keeper.core.runconfig import Holding
from keeper.core.units import TokenAmount, Wei
from keeper.execution.observer import SignerObserver
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, encode_call, submit
from tests.execution.lever import LeverVenue
from tests.execution.stage import CHAIN_ID, RICH, Stage

pytestmark = pytest.mark.chain


@pytest.mark.slow
async def test_holdings(rpc: LabRpc, market: AaveMarket, stage: Stage) -> None:
    """Balance, mined count, and per token what is held and allowed, are read at the block that was asked for."""
    await rpc.call("evm_setAutomine", True, answer=object)
    usdc, weth = market.asset("USDC").token, market.asset("WETH").token
    signer = to_hex(stage.signer.address)
    await submit(rpc, [Call(market.admin, usdc, encode_call("mint(address,uint256)", signer, 5_000_000))])
    await submit(rpc, [Call(signer, usdc, encode_call("approve(address,uint256)", market.pool, 77))])
    header = await stage.header("latest")
    await submit(rpc, [Call(signer, usdc, encode_call("approve(address,uint256)", market.pool, 78))])
    venue = _venue(stage, parse_address(market.pool), parse_address(weth), parse_address(usdc))
    read = await _observer(stage, venue).read(header)
    assert read.holdings == (
        Holding(parse_address(weth), parse_address(market.pool), TokenAmount(0), TokenAmount(0)),
        Holding(parse_address(usdc), parse_address(market.pool), TokenAmount(5_000_000), TokenAmount(77)),
    )
    assert (read.nonce, read.block_number, read.block_hash) == (1, header.number, header.hash)
    assert Wei(0) < read.balance_wei < Wei(RICH)


async def test_unreadable_token(stage: Stage) -> None:
    """A token that reverts, or has no code, is left out; the rest is read."""
    nobody = Address(b"\x99" * 20)
    venue = _venue(stage, stage.contract, stage.contract, nobody)
    read = await _observer(stage, venue).read(await stage.header("latest"))
    assert (read.holdings, read.balance_wei) == ((), Wei(RICH))


async def test_undiscovered_venue(stage: Stage) -> None:
    """A venue whose spender is not discovered yet has no holdings."""
    venue = _venue(stage, None, stage.contract)
    assert (await _observer(stage, venue).read(await stage.header("latest"))).holdings == ()


async def test_unknown_block(stage: Stage) -> None:
    """A block that the node does not have is an error, not an empty purse."""
    gone = BlockHeader(1, Hash32(b"\x77" * 32), Hash32(bytes(32)), 0, 0, b"")
    with pytest.raises(NodeRefused):
        await _observer(stage, _venue(stage, stage.contract)).read(gone)


async def test_malformed_answer(stage: Stage) -> None:
    """An answer that is no quantity is an error."""

    class Talker:
        """Answers with words."""

        async def call(self, method: str, params: object) -> object:
            """Answer one request."""
            return f"{method} {params}"

        async def batch(self, calls: list[tuple[str, object]]) -> list[object]:
            """Answer each request."""
            return ["plenty" for _ in calls]

    stage.node = Talker()  # type: ignore[assignment]
    with pytest.raises(NodeMalformed, match="not a quantity"):
        await _observer(stage, _venue(stage, None)).read(await stage.header("latest"))


def _venue(stage: Stage, spender: Address | None, *tokens: Address) -> LeverVenue:
    venue = LeverVenue("lever", CHAIN_ID, stage.contract)
    venue.spender, venue.listed = spender, tokens
    return venue


def _observer(stage: Stage, venue: LeverVenue) -> SignerObserver:
    return SignerObserver(
        node=stage.node, chain_id=CHAIN_ID, signer="main", address=stage.signer.address, ledgers=lambda: [venue]
    )
