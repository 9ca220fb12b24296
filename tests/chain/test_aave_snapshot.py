"""A market read at one block is the market folded from its deployment: every table, and everything that follows."""

from __future__ import annotations

import os

import pytest

from keeper.chain.bootstrap import BootstrapOptions
from keeper.core.facts import BootstrapCompleted, BootstrapStarted
from keeper.core.ids import parse_address
from keeper.core.runconfig import VenueSpec
from keeper.core.units import TokenAmount
from keeper.lab.localchain.aave import INIT_RESERVES, AaveMarket
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.random_market import random_market
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.scenario import open_whale
from keeper.lab.localchain.transactions import Call, encode_call, read, submit
from keeper.venues.aave_v3.ledger import AaveLedger
from tests.chain.aave_feed import Feed, open_aave
from tests.chain.aave_reading import LedgerRecorder, Rows, read_market, struct_rows, tables_of

SEED = int(os.environ.get("KEEPER_SEED", "1"))
STEPS_BEFORE = 120
STEPS_AFTER = 60
BORROWERS = 24
IMPLEMENTATION_SLOT = "0x360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"
SMALL = BootstrapOptions(finality_depth_blocks=0, range_blocks_max=64, batch_size_max=50, concurrency_max=3)
PARTS_MIN = 5


@pytest.mark.chain
@pytest.mark.parametrize(
    ("versioned_market", "seed"),
    [
        pytest.param("3.6", SEED, marks=pytest.mark.slow),
        pytest.param("3.0", SEED, marks=pytest.mark.soak),
        *(pytest.param(version, SEED + n, marks=pytest.mark.soak) for version in ("3.0", "3.6") for n in (1, 2, 3)),
    ],
    indirect=["versioned_market"],
)
async def test_a_market_that_was_read_equals_the_one_that_was_folded(
    rpc: LabRpc, anvil_node: LocalNode, versioned_market: AaveMarket, seed: int
) -> None:
    """Equal tables at the block, equal margins and previews at each later one, equal tables at the end."""
    market = versioned_market
    folded = {prices: Feed(rpc, open_aave(market, prices)) for prices in ("read", "events")}
    if market.version == "3.0":
        await _list_and_drop(rpc, market)
    async with random_market(rpc, market, seed=seed, borrowers=BORROWERS) as driver:
        for _ in range(STEPS_BEFORE):
            block = (await driver.step()).block_number
        for feed in folded.values():
            await feed.up_to(block)
            feed.ledger.forget_undo(block)
        await driver.step()  # the block that is read is not the newest one
        was_read = {prices: await _read(rpc, anvil_node, market, prices, block) for prices in folded}
        for prices, feed in folded.items():
            assert _differing(feed.ledger, was_read[prices].ledger, prices) == [], f"seed {seed}, {prices}"
        for _ in range(STEPS_AFTER):
            step = await driver.step()
            for prices, feed in folded.items():
                await feed.up_to(step.block_number)
                await was_read[prices].up_to(step.block_number)
                for user in step.accounts:
                    where = f"seed {seed}, {prices}, block {step.block_number}, {user}"
                    assert _figures(feed.ledger, user) == _figures(was_read[prices].ledger, user), where
    for prices, feed in folded.items():
        assert _differing(feed.ledger, was_read[prices].ledger, prices) == [], f"seed {seed}, {prices}, at the end"


@pytest.mark.chain
@pytest.mark.slow
async def test_a_reading_that_left_somebody_out_is_not_taken(
    rpc: LabRpc, anvil_node: LocalNode, market: AaveMarket
) -> None:
    """When holders are not found, the tokens' totals tell: the search begins anew and nothing is complete."""
    await open_whale(rpc, market, SEED)
    await rpc.call("evm_mine", answer=str)  # where the search begins, too late
    block = int(await rpc.call("eth_blockNumber", answer=str), 16)
    root = parse_address(market.provider)
    spec = VenueSpec(
        name="aave",
        protocol="aave_v3",
        chain_id=31337,
        root=root,
        from_block=block,
        prices="read",
        bootstrap="snapshot",
    )
    recorder = LedgerRecorder(AaveLedger(spec))

    assert not await read_market(anvil_node.http_url, recorder, block, SMALL)
    begun = [fact.searched_anew for fact in recorder.facts if isinstance(fact, BootstrapStarted)]
    assert begun == [False, True]
    assert not any(isinstance(fact, BootstrapCompleted) for fact in recorder.facts)


async def _read(rpc: LabRpc, node: LocalNode, market: AaveMarket, prices: str, block: int) -> Feed:
    """Read the market in small parts, and return it ready to be fed what follows."""
    recorder = LedgerRecorder(open_aave(market, prices))
    assert await read_market(node.http_url, recorder, block, SMALL)
    assert len(recorder.facts) > PARTS_MIN
    return Feed(rpc, recorder.ledger, first=block + 1)


def _differing(folded: AaveLedger, was_read: AaveLedger, prices: str) -> list[str]:
    """Return the names of the tables that differ by a byte.

    Calls cannot tell when a position changed last, nor when a feed answered last and whether it is watched already.
    """
    ours, theirs = tables_of(folded), tables_of(was_read)
    differing = [name for name in ours if name not in ("epochs", "prices") and ours[name] != theirs[name]]
    return differing + (["prices"] if _prices(ours, prices) != _prices(theirs, prices) else [])


def _prices(tables: Rows, prices: str) -> object:
    if prices == "read":
        return tables["prices"]
    return {asset: (row[0], row[3]) for asset, row in struct_rows(tables["prices"]).items()}


def _figures(ledger: AaveLedger, user: str) -> list[object]:
    account = parse_address(user)
    pairs = ledger.pairs(account)
    previews = [
        ledger.preview(account, pair.debt_asset, pair.collateral_asset, TokenAmount(int(pair.cover_max) // part))
        for pair in pairs
        for part in (1, 3)
    ]
    return [ledger.account_data(account), pairs, previews]


async def _list_and_drop(rpc: LabRpc, market: AaveMarket) -> None:
    """List one more asset, whose price source a category sometimes has, and drop it again."""
    model = market.asset("WETH")
    tokens = (model.a_token, model.stable_debt_token, model.variable_debt_token)
    slots = [await rpc.call("eth_getStorageAt", token, IMPLEMENTATION_SLOT, "latest", answer=str) for token in tokens]
    implementations = ["0x" + slot[-40:] for slot in slots]
    reserve = await read(
        rpc, market.pool, "getReserveData(address)", model.token, returns=tuple(["uint256"] * 11 + ["address"])
    )
    zero = "0x" + "00" * 20
    names = ("aToken", "aTOK", "variable", "vTOK", "stable", "sTOK")
    listing = (*implementations, 8, reserve[11], market.category_feed, market.treasury, zero, *names, b"")
    await submit(
        rpc,
        [
            Call(market.admin, market.configurator, encode_call(INIT_RESERVES, [listing]), 10_000_000),
            Call(
                market.admin, market.configurator, encode_call("dropReserve(address)", market.category_feed), 1_000_000
            ),
        ],
    )
