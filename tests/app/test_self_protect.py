"""The daemon on a real Aave market: it keeps the operator's own accounts from the line before anybody may act."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path
from string import Template

import pytest
import pytest_asyncio

from keeper.core.decisions import IntentAdmitted, IntentAdvanced, IntentState, LiquidationObserved
from keeper.core.ids import to_hex
from keeper.execution.keys import import_keystore
from keeper.lab.localchain.aave import AaveMarket, deploy_aave_market
from keeper.lab.localchain.accounts import account_data, fund, seeded_account, seeded_address
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.prices import move_prices
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.scenario import BORROW, SUPPLY, VARIABLE_RATE, open_whale
from keeper.lab.localchain.transactions import Call, encode_call, submit
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import of
from tests.app.venue_keeper import PASSWORD, live_keeper
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

SEED = 23
OWNER = seeded_account(SEED, "owner")
COLD = seeded_address(SEED, "cold")
ETHER = 10**18
TARGET_WAD = 13 * 10**17
FLOOR_WAD = 115 * 10**16
FALL_PERCENT = 12
REST = Template("""\
[venues.aave]
protocol = "aave_v3"
chain = "local"
address = "$provider"
from_block = $from_block
prices = "events"

[strategies.self_protect]
venues = ["aave"]
signer = "main"
accounts = ["$owner", "$cold"]
floor_health = 1.15
target_health = 1.3
actions = $actions

[limits]
profit_usd_min = 1_000_000
head_age_seconds_max = 600
""")


class Stage:
    """A market with two accounts of the operator's: the signer's, and one whose key is elsewhere."""

    def __init__(self, node: LocalNode, rpc: LabRpc, market: AaveMarket, folder: Path) -> None:
        self.rpc = rpc
        self.market = market
        self.folder = folder
        self._node = node
        self.own = (OWNER.address.lower(), COLD)

    def keeper(self, actions: str) -> KeeperProcess:
        """Write the configuration and return a live keeper of it that was not started yet."""
        rest = REST.substitute(
            provider=self.market.provider,
            from_block=self.market.first_block,
            owner=self.own[0],
            cold=COLD,
            actions=actions,
        )
        return live_keeper(self.folder, self._node, native=self.market.asset("WETH").token, rest=rest)

    async def open_accounts(self) -> None:
        """Let both supply 10 WETH, borrow to a health of about 1.25 and keep a fifth; the signer has WETH too."""
        await open_whale(self.rpc, self.market, SEED)
        await fund(self.rpc, self.own)
        weth, usdc = self.market.asset("WETH"), self.market.asset("USDC")
        for who in self.own:
            calls = [
                (weth.token, encode_call("mint(address,uint256)", who, 10 * ETHER)),
                (weth.token, encode_call("approve(address,uint256)", self.market.pool, 10 * ETHER)),
                (self.market.pool, encode_call(SUPPLY, weth.token, 10 * ETHER, who, 0)),
            ]
            await submit(self.rpc, [Call(who, to, data) for to, data in calls])
            power = (await account_data(self.rpc, self.market.pool, [who]))[who]
            debt = power.collateral_base * power.threshold_bps // 10_000 * 100 // 125 // 100
            borrow = encode_call(BORROW, usdc.token, debt, VARIABLE_RATE, 0, who)
            away = encode_call("transfer(address,uint256)", seeded_address(SEED, "whale"), debt * 4 // 5)
            await submit(self.rpc, [Call(who, self.market.pool, borrow), Call(who, usdc.token, away)])
        mint = encode_call("mint(address,uint256)", self.own[0], 20 * ETHER)
        await submit(self.rpc, [Call(self.own[0], weth.token, mint)])

    async def fall(self) -> None:
        """Let the collateral lose so much that both are below the floor, and above the line."""
        price = self.market.asset("WETH").price * (100 - FALL_PERCENT) // 100
        await move_prices(self.rpc, self.market, {"WETH": price})

    async def healths(self) -> list[int]:
        """Return the contract's own figures, 1e-18."""
        data = await account_data(self.rpc, self.market.pool, self.own)
        return [data[who].health_wad for who in self.own]

    async def mine(self) -> None:
        """Make a block."""
        await self.rpc.call("evm_mine", answer=str)

    async def are_restored(self) -> bool:
        """Make a block and tell whether both are above the floor again."""
        await self.mine()
        return min(await self.healths()) >= FLOOR_WAD


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """A market of its own, on a node that follows the wall clock."""
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        import_keystore(tmp_path / "main.json", OWNER.key.hex(), PASSWORD, work_factor=2**4)
        opened = Stage(node, rpc, await deploy_aave_market(rpc, node.node_modules), tmp_path)
        await opened.open_accounts()
        yield opened


@pytest.mark.parametrize(
    ("actions", "done"), [('["repay", "top-up"]', {"repay", "top-up"}), ('["top-up"]', {"top-up"})]
)
async def test_own_accounts_are_restored_before_they_are_liquidatable(
    stage: Stage, actions: str, done: set[str]
) -> None:
    """Below the floor and above the line both are brought to the target; the wallet's USDC is enough for one only."""
    async with started(stage.keeper(actions)) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await stage.mine()
        await keeper.until_status(lambda status: status["intents"])  # the allowances
        while (await keeper.status())["intents"]:
            await stage.mine()
        await stage.fall()
        assert all(10**18 < health < FLOOR_WAD for health in await stage.healths())
        await keeper.until(stage.are_restored)
        restored = await stage.healths()
        assert await keeper.leave() == 0

    records = read_journal(stage.folder / "journal.db")
    proposals = [each.protection for each in of(records, IntentAdmitted) if each.protection is not None]
    intents = {each.intent.intent_id for each in of(records, IntentAdmitted) if each.intent.kind == "protection"}
    reached = {each.intent_id: each.state for each in of(records, IntentAdvanced)}
    assert [health >= TARGET_WAD for health in restored] == [True, True]
    assert {to_hex(each.account) for each in proposals} == set(stage.own)
    assert {each.action for each in proposals} == done
    assert {reached[each] for each in intents} <= {IntentState.MINED, IntentState.FINAL_SUCCESS}
    assert of(records, LiquidationObserved) == []
    assert replayed(stage.folder / "journal.db").divergence is None
