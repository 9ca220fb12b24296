"""The daemon on a real exchange of Perpetual Protocol v2: it takes slices of unsafe positions over, and leaves them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from pathlib import Path

import pytest
import pytest_asyncio

from keeper.core.decisions import (
    HealthChanged,
    IntentAdmitted,
    IntentAdvanced,
    LiquidationObserved,
    ProposalRefused,
    Verdict,
)
from keeper.core.ids import to_hex
from keeper.execution.keys import import_keystore
from keeper.lab.demo.perp import section_of
from keeper.lab.localchain.accounts import UINT256_MAX, fund, seeded_account, seeded_address
from keeper.lab.localchain.node import LocalNode, NodeOptions, running_node
from keeper.lab.localchain.perp import (
    PerpExchange,
    PerpMarket,
    deploy_perp_exchange,
    move_time,
    sqrt_price_x96,
)
from keeper.lab.localchain.random_perp import OPEN, TRADE_GAS, USD, RandomPerp
from keeper.lab.localchain.rpc import LabRpc
from keeper.lab.localchain.transactions import Call, decode_answer, encode_call, read, submit
from keeper.venues.abi import topic_of
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import of
from tests.app.venue_keeper import PASSWORD, live_keeper
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

SEED = 11
WAD = 10**18
LIQUIDATOR = seeded_account(SEED, "keeper")
POSITIONS = {8_000: "healthy", 12_000: "a slice", 14_000: "most of it", 17_000: "bad debt"}
"""What each bought for, with a deposit of 2,000, and what a fall of an eighth makes of it."""
TRADERS = {seeded_address(SEED, f"trader {quote}"): quote for quote in POSITIONS}
DEPOSIT = 2_000 * USD
PENALTY_OF = "PositionLiquidated(address,address,uint256,uint256,uint256,address)"
REST = """\
[strategies.partial_liquidation]
venues = ["perp"]
signer = "main"

[limits]
profit_usd_min = -100
head_age_seconds_max = 600
kill_switch_file = "STOP"
"""


class Stage:
    """An exchange with a maker and takers, and the files of a keeper of it."""

    def __init__(self, node: LocalNode, rpc: LabRpc, exchange: PerpExchange, folder: Path) -> None:
        self.rpc = rpc
        self.exchange = exchange
        self.folder = folder
        self.switch = folder / "STOP"
        self._node = node
        self._driver = RandomPerp(rpc, exchange, SEED, 0)

    @property
    def market(self) -> PerpMarket:
        """The market that everybody trades in."""
        return self.exchange.markets[0]

    def keeper(self) -> KeeperProcess:
        """Write the configuration and return a live keeper of it that was not started yet."""
        rest = f"{section_of(self.exchange)}\n{REST}"
        return live_keeper(self.folder, self._node, native=self.exchange.collaterals[0].token, rest=rest)

    async def open_accounts(self) -> None:
        """Let a maker offer, everybody deposit, and each trader buy."""
        await self._driver.prepare()
        admin, owners = self.exchange.admin, {**dict.fromkeys(TRADERS, DEPOSIT), LIQUIDATOR.address: 100_000 * USD}
        await fund(self.rpc, list(owners))
        token, vault = self.exchange.settlement, self.exchange.vault
        calls = [
            Call(admin, token, encode_call("mint(address,uint256)", admin, sum(owners.values()))),
            Call(admin, token, encode_call("approve(address,uint256)", vault, UINT256_MAX)),
        ]
        deposit = "depositFor(address,address,uint256)"
        calls += [Call(admin, vault, encode_call(deposit, owner, token, owners[owner])) for owner in owners]
        await submit(self.rpc, calls)
        await submit(self.rpc, [self._trade(trader, quote * WAD) for trader, quote in TRADERS.items()])
        await move_time(self.rpc, 1_000)

    def _trade(self, trader: str, quote: int, limit: int = 0) -> Call:
        """Return the call that buys for so much quote, or with a price limit sells down to it."""
        bound = UINT256_MAX if limit else 0
        arguments = (self.market.base, bool(limit), not limit, quote, bound, UINT256_MAX, limit, bytes(32))
        return Call(trader, self.exchange.clearing_house, encode_call(OPEN, arguments), TRADE_GAS)

    async def fall(self) -> None:
        """Let index and pool fall by an eighth, and stay there until every average says so; then time stands still."""
        price, market = self.market.spec.price, self.market
        for _ in range(3):
            price = price * 96 // 100
            told = [Call(self.exchange.admin, market.feed, encode_call("set(int256)", price))]
            told.append(Call(self.exchange.admin, market.price_feed, encode_call("update()")))
            selling = self._trade(seeded_address(SEED, "arbitrageur"), 3_000_000 * WAD, sqrt_price_x96(price))
            await submit(self.rpc, [*told, selling])
            await move_time(self.rpc, 60)
        await move_time(self.rpc, 2_000)
        await self.rpc.call("anvil_setBlockTimestampInterval", 0, answer=object)

    async def unsafe(self) -> set[str]:
        """Return whom the contracts would let be liquidated and who has something to take over."""
        house, balance = self.exchange.clearing_house, self.exchange.account_balance
        found = set()
        for trader in TRADERS:
            (value,) = await read(self.rpc, house, "getAccountValue(address)", trader, returns=("int256",))
            needed = "getMarginRequirementForLiquidation(address)"
            (requirement,) = await read(self.rpc, balance, needed, trader, returns=("int256",))
            if value < requirement and requirement:
                found.add(trader)
        return found

    async def all_are_safe(self) -> bool:
        """Make a block and tell whether the contracts would let nobody be liquidated."""
        await self.rpc.call("evm_mine", answer=str)
        return not await self.unsafe()

    async def is_over(self) -> bool:
        """Make a block and tell whether nobody could be helped, and the keeper holds nothing."""
        safe = await self.all_are_safe()
        size = "getTakerPositionSize(address,address)"
        arguments = (LIQUIDATOR.address, self.market.base)
        (held,) = await read(self.rpc, self.exchange.account_balance, size, *arguments, returns=("int256",))
        return safe and not held

    async def penalties(self) -> dict[str, tuple[int, int, int]]:
        """Return notional, size and penalty of every liquidation, by the trader, from the logs themselves."""
        wanted = {"address": self.exchange.clearing_house, "fromBlock": "0x0", "topics": [to_hex(topic_of(PENALTY_OF))]}
        logs = await self.rpc.call("eth_getLogs", wanted, answer=list[dict[str, object]])
        found = {}
        for log in logs:
            topics, data = log["topics"], str(log["data"])
            assert isinstance(topics, list)
            notional, size, penalty = decode_answer(("uint256",) * 3, data[: 2 + 3 * 64])
            found["0x" + topics[1][-40:]] = (notional, size, penalty)
        return found


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    """An exchange of its own, on which nobody has traded."""
    async with running_node(NodeOptions()) as node, LabRpc(node.http_url) as rpc:
        import_keystore(tmp_path / "main.json", LIQUIDATOR.key.hex(), PASSWORD, work_factor=2**4)
        yield Stage(node, rpc, await deploy_perp_exchange(rpc, node.node_modules), tmp_path)


async def test_unsafe_positions_are_taken_over_as_foretold(stage: Stage) -> None:
    """Slices of two, all of one in bad debt, none of a healthy one; each as foretold to the wei; it replays alike."""
    stage.switch.touch()
    async with started(stage.keeper()) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await stage.open_accounts()
        await stage.fall()
        unsafe = await stage.unsafe()
        stage.switch.unlink()
        await keeper.until(stage.all_are_safe)
        await keeper.until(stage.is_over)
        assert await keeper.leave() == 0

    records = read_journal(stage.folder / "journal.db")
    seen = {to_hex(each.liquidation.account): each for each in of(records, LiquidationObserved)}
    admitted = of(records, IntentAdmitted)
    taken = {to_hex(each.intent.account): each.proposal.preview for each in admitted if each.proposal}
    exits = {each.intent.intent_id for each in admitted if each.intent.kind == "exit"}
    left_by = {each.intent_id for each in of(records, IntentAdvanced) if each.reason.startswith("left in block")}
    assert left_by
    assert left_by <= exits
    happened = await stage.penalties()
    assert {each.reason for each in of(records, ProposalRefused)} == {"kill_switch"}
    assert set(seen) == set(taken) == unsafe == {who for who, quote in TRADERS.items() if quote > 8_000}
    assert {each.verdict for each in seen.values()} == {Verdict.OURS}
    for who, preview in taken.items():
        assert preview.takeover is not None
        penalty = preview.takeover.fee + preview.protocol_fee
        assert happened[who] == (int(preview.repaid), int(preview.seized), int(penalty))
        assert (seen[who].liquidation.repaid, seen[who].liquidation.seized) == (preview.repaid, preview.seized)
    left = {POSITIONS[TRADERS[who]]: preview.health_after is not None for who, preview in taken.items()}
    assert left == {"a slice": True, "most of it": True, "bad debt": False}
    assert replayed(stage.folder / "journal.db").divergence is None


async def test_an_old_exchange_is_followed_from_its_first_trade(stage: Stage) -> None:
    """A keeper that starts long after the trades helps everybody: it read each market where that began."""
    await stage.open_accounts()
    await stage.fall()
    unsafe = await stage.unsafe()
    async with started(stage.keeper()) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        await keeper.until(stage.all_are_safe)
        assert await keeper.leave() == 0

    records = read_journal(stage.folder / "journal.db")
    seen = of(records, LiquidationObserved)
    assert {to_hex(each.liquidation.account) for each in seen} == unsafe
    assert {each.verdict for each in seen} == {Verdict.OURS}
    reasons = {each.margin.health.reason for each in of(records, HealthChanged)} - {None}
    assert all("was not read at this block" in str(reason) for reason in reasons)  # at the first head alone
    assert replayed(stage.folder / "journal.db").divergence is None
