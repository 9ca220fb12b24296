"""The daemon on a real market of Morpho Blue: it allows, it rescues in slices, it empties what is under water."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from string import Template

import pytest
import pytest_asyncio

from keeper.core.decisions import IntentAdmitted, LiquidationObserved
from keeper.core.ids import to_hex
from keeper.core.units import TokenAmount
from keeper.execution.keys import import_keystore
from keeper.lab.localchain.accounts import fund, seeded_account, seeded_address
from keeper.lab.localchain.morpho import (
    FIRST_PRICE,
    WAD,
    MorphoMarket,
    borrow_call,
    collateral_call,
    deploy_morpho_market,
    look,
    morpho_purse_calls,
    price_call,
    supply_call,
)
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import submit
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import of
from tests.app.venue_keeper import PASSWORD, live_keeper
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

SEED = 11
LENDER, SAFE, UNSAFE, SUNK = (seeded_address(SEED, name) for name in ("lender", "safe", "unsafe", "sunk"))
LIQUIDATOR = seeded_account(SEED, "liquidator")
USDC = 10**6
DEBTS = {SAFE: 500 * USDC, UNSAFE: 1_300 * USDC, SUNK: 1_719 * USDC}
FALLEN_PRICE = FIRST_PRICE * 3 // 4
"""At 1500 one whole collateral carries 1290: the second account is a little unsafe, the third under water."""
REST = Template("""\
[venues.morpho]
protocol = "morpho_blue"
chain = "local"
address = "$morpho"
from_block = $from_block
market = "$market"
loan_usd = 1

[strategies.partial_liquidation]
venues = ["morpho"]
signer = "main"

[limits]
profit_usd_min = -100
head_age_seconds_max = 600
""")


class Stage:
    """A market with three borrowers, and the files of a keeper of it."""

    def __init__(self, node: LocalNode, rpc: LabRpc, market: MorphoMarket, folder: Path) -> None:
        self.rpc = rpc
        self.market = market
        self.folder = folder
        self._node = node

    def keeper(self) -> KeeperProcess:
        """Write the configuration and return a live keeper of it that was not started yet."""
        rest = REST.substitute(
            morpho=self.market.morpho,
            market=self.market.market_id,
            from_block=self.market.first_block,
        )
        return live_keeper(self.folder, self._node, native=self.market.collateral, rest=rest)

    async def open_accounts(self) -> None:
        """Let one lend and three borrow, and give the signer loan tokens that it has not allowed anybody to take."""
        await fund(self.rpc, (LENDER, *DEBTS, LIQUIDATOR.address))
        calls = [call for who in (LENDER, *DEBTS) for call in morpho_purse_calls(self.market, who, 10**12, 10 * WAD)]
        calls.append(supply_call(self.market, LENDER, 10**11))
        for borrower, debt in DEBTS.items():
            calls += [collateral_call(self.market, borrower, WAD), borrow_call(self.market, borrower, debt)]
        calls.append(morpho_purse_calls(self.market, LIQUIDATOR.address, 10**11, 0)[0])
        await submit(self.rpc, calls)

    async def mine(self) -> None:
        """Make a block."""
        await self.rpc.call("evm_mine", answer=str)

    async def all_are_safe(self) -> bool:
        """Make a block and tell whether the contract would let nobody be liquidated."""
        await self.mine()
        _, accounts = await look(self.rpc, self.market, list(DEBTS))
        return all(account.healthy for account in accounts.values())


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A market of its own, on a node that follows the wall clock."""
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        import_keystore(tmp_path / "main.json", LIQUIDATOR.key.hex(), PASSWORD, work_factor=2**4)
        opened = Stage(node, rpc, await deploy_morpho_market(rpc, node.node_modules), tmp_path)
        await opened.open_accounts()
        yield opened


async def test_a_falling_price_is_met_by_slices(stage: Stage) -> None:
    """One account is made safe by a slice, one under water is emptied, one is left alone; the journal replays alike."""
    async with started(stage.keeper()) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await stage.mine()
        await keeper.until_status(lambda status: status["intents"])  # the allowance
        await submit(stage.rpc, [price_call(stage.market, FALLEN_PRICE)])
        await keeper.until(stage.all_are_safe)
        assert await keeper.leave() == 0

    _, left = await look(stage.rpc, stage.market, list(DEBTS))
    records = read_journal(stage.folder / "journal.db")
    seen = {to_hex(each.liquidation.account): each for each in of(records, LiquidationObserved)}
    slices = {
        to_hex(each.intent.account): each.proposal.preview for each in of(records, IntentAdmitted) if each.proposal
    }
    assert set(seen) == set(slices) == {UNSAFE, SUNK}
    assert all(each.intent_id is not None for each in seen.values())
    assert (left[SUNK].collateral, left[SUNK].debt) == (0, 0)
    assert 0 < left[UNSAFE].debt < DEBTS[UNSAFE]
    assert all(TokenAmount(0) < seen[who].liquidation.repaid <= slices[who].cover for who in seen)
    assert replayed(stage.folder / "journal.db").divergence is None
