"""The daemon on a market of Morpho Blue and its pre-liquidation contract: who drifts is closed in part, in time.

The contract is our own with the published interface, Morpho itself the published one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from string import Template

import pytest
import pytest_asyncio

from keeper.core.decisions import IntentAdmitted, LiquidationObserved, Verdict
from keeper.core.ids import to_hex
from keeper.core.units import TokenAmount
from keeper.execution.keys import import_keystore
from keeper.lab.localchain.accounts import fund, seeded_account, seeded_address
from keeper.lab.localchain.morpho import (
    FIRST_PRICE,
    LLTV,
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
from keeper.lab.localchain.pre_liquidation import PRE_LLTV, PreContract, authorize_call, deploy_pre_liquidation
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import submit
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import of
from tests.app.test_leaving import verified
from tests.app.venue_keeper import PASSWORD, live_keeper
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

SEED = 23
LENDER, FAR, NEAR, LATER, STRANGER = (
    seeded_address(SEED, name) for name in ("lender", "far", "near", "later", "stranger")
)
LIQUIDATOR = seeded_account(SEED, "liquidator")
USDC = 10**6
COLLATERAL = 100 * WAD
DEBTS = {FAR: 80_000 * USDC, NEAR: 150_000 * USDC, LATER: 146_000 * USDC, STRANGER: 150_000 * USDC}
AUTHORIZED = (FAR, NEAR, LATER)
DRIFT = tuple(FIRST_PRICE * part // 1000 for part in (930, 900, 870, 845))
"""Prices from 1860 to 1690, at which untouched debts of 146,000 and 150,000 on 100 would be past 86 %."""
REST = Template("""\
[venues.morpho]
protocol = "morpho_blue"
chain = "local"
address = "$morpho"
from_block = $from_block
market = "$market"
loan_usd = 1

[venues.early]
protocol = "morpho_blue"
chain = "local"
address = "$morpho"
from_block = $from_block
market = "$market"
loan_usd = 1
pre_liquidation = "$contract"

[strategies.partial_liquidation]
venues = ["morpho"]
signer = "main"

[strategies.pre_liquidation]
venues = ["early"]
signer = "main"

[limits]
profit_usd_min = 1
head_age_seconds_max = 600
""")


class Stage:
    """A market with a pre-liquidation contract and four borrowers, and the files of a keeper of both."""

    def __init__(self, node: LocalNode, rpc: LabRpc, market: MorphoMarket, contract: PreContract, folder: Path) -> None:
        self.rpc = rpc
        self.market = market
        self.contract = contract
        self.folder = folder
        self.price = FIRST_PRICE
        self.overdue: set[str] = set()
        self._node = node

    def keeper(self) -> KeeperProcess:
        """Write the configuration and return a live keeper of it that was not started yet."""
        rest = REST.substitute(
            morpho=self.market.morpho,
            market=self.market.market_id,
            contract=self.contract.address,
            from_block=self.market.first_block,
        )
        return live_keeper(self.folder, self._node, native=self.market.collateral, rest=rest)

    async def open_accounts(self) -> None:
        """Let one lend and four borrow, three of whom authorise the contract; the signer has loan tokens alone."""
        await fund(self.rpc, (LENDER, *DEBTS, LIQUIDATOR.address))
        calls = [call for who in (LENDER, *DEBTS) for call in morpho_purse_calls(self.market, who, 10**13, 10**21)]
        calls.append(supply_call(self.market, LENDER, 10**13))
        for borrower, debt in DEBTS.items():
            calls += [collateral_call(self.market, borrower, COLLATERAL), borrow_call(self.market, borrower, debt)]
        calls += [authorize_call(self.market, self.contract, each) for each in AUTHORIZED]
        calls.append(morpho_purse_calls(self.market, LIQUIDATOR.address, 10**13, 0)[0])
        await submit(self.rpc, calls)

    async def mine(self) -> None:
        """Make a block."""
        await self.rpc.call("evm_mine", answer=str)

    async def drift(self, price: int) -> None:
        """Let the price fall."""
        self.price = price
        await submit(self.rpc, [price_call(self.market, price)])

    async def nobody_is_in_the_zone(self) -> bool:
        """Make a block and tell whether everyone is below its line; note who was past the market's."""
        await self.mine()
        _, accounts = await look(self.rpc, self.market, list(DEBTS))
        self.overdue |= {who for who in AUTHORIZED if not accounts[who].healthy}
        below = (
            accounts[who].debt <= accounts[who].collateral * self.price // 10**36 * PRE_LLTV // WAD
            for who in AUTHORIZED
        )
        return all(below) and accounts[STRANGER].healthy


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A market of its own, on a node that follows the wall clock."""
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        import_keystore(tmp_path / "main.json", LIQUIDATOR.key.hex(), PASSWORD, work_factor=2**4)
        market = await deploy_morpho_market(rpc, node.node_modules)
        opened = Stage(node, rpc, market, await deploy_pre_liquidation(rpc, node.node_modules, market), tmp_path)
        await opened.open_accounts()
        yield opened


async def test_a_drifting_price_is_met_before_anybody_is_unsafe(stage: Stage) -> None:
    """Whoever authorised the contract is closed slice by slice and never reaches the market's line; others do.

    The same market without the contract, as a second venue, meets the one who did not authorise it, once it is unsafe.
    """
    async with started(stage.keeper()) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await stage.mine()
        await keeper.until_status(lambda status: len(status["intents"]) == 2)  # both contracts need an allowance
        for price in DRIFT:
            await stage.drift(price)
            await keeper.until(stage.nobody_is_in_the_zone)
        assert await keeper.leave() == 0

    _, left = await look(stage.rpc, stage.market, list(DEBTS))
    records = read_journal(stage.folder / "journal.db")
    slices = [each for each in of(records, LiquidationObserved) if each.liquidation.venue == "early"]
    others = [each for each in of(records, LiquidationObserved) if each.liquidation.venue == "morpho"]
    unmet = {who for who, debt in DEBTS.items() if debt > COLLATERAL * stage.price // 10**36 * LLTV // WAD}
    print(f"{len(slices)} slices, {len(others)} liquidation, past the line {stage.overdue or 'nobody'}")  # noqa: T201 - a run says what it saw
    assert (stage.overdue, unmet) == (set(), {NEAR, LATER, STRANGER})
    assert {to_hex(each.liquidation.account) for each in slices} == {NEAR, LATER}
    assert {to_hex(each.liquidation.account) for each in others} == {STRANGER}
    assert {each.verdict for each in (*slices, *others)} == {Verdict.OURS}
    assert left[FAR].collateral == COLLATERAL
    covers = {each.intent.intent_id: each.proposal.preview for each in of(records, IntentAdmitted) if each.proposal}
    assert all(TokenAmount(0) < each.liquidation.repaid <= covers[each.intent_id].cover for each in slices)
    assert replayed(stage.folder / "journal.db").divergence is None
    assert await verified(stage.folder / "journal.db") == 0
