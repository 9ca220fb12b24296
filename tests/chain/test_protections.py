"""What an action does for an account is known before it is sent: the contract's own health afterwards, to the wei."""

from __future__ import annotations

import os
import random
from collections import Counter

import pytest

from keeper.core.ids import parse_address, to_hex
from keeper.core.protection import ProtectionOption
from keeper.core.units import TokenAmount, Wad
from keeper.core.venue import Status
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.accounts import account_data, seeded_address
from keeper.lab.localchain.morpho import WAD, MorphoAccount, MorphoMarket, look
from keeper.lab.localchain.node import LocalNode
from keeper.lab.localchain.random_market import random_market
from keeper.lab.localchain.random_morpho import random_morpho
from keeper.lab.localchain.rpc import LabRpc
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.aave_v3.protection import ROUNDED_AWAY
from keeper.venues.morpho_blue.ledger import MorphoLedger
from tests.chain.aave_feed import Feed, open_aave
from tests.chain.morpho_feed import fresh_morpho, open_morpho
from tests.chain.protecting import tried

SEED = int(os.environ.get("KEEPER_SEED", "3"))
BORROWERS = 24
STEPS = 60
TRIES_EACH_STEP = 3
EXECUTED_MIN = 60
PARTS = (1, 2, 7, 1_000)
SECONDS = 12
CAPS = ("51", "SupplyCapExceeded", "28", "ReserveFrozen")
"""What the preflight is left to find out: a supply cap, a frozen reserve."""


@pytest.mark.chain
@pytest.mark.slow
@pytest.mark.parametrize("versioned_market", ["3.0", "3.6"], indirect=True)
async def test_an_action_at_aave_leaves_the_health_that_was_foretold(rpc: LabRpc, versioned_market: AaveMarket) -> None:
    """Repay, top-up and reduce of all, a part or a sliver: getUserAccountData says what the preview of before said."""
    market, chance = versioned_market, random.Random(SEED)
    came_to: Counter[str] = Counter()
    gas_max = 0
    async with random_market(rpc, market, seed=SEED, borrowers=BORROWERS) as driver:
        feed = Feed(rpc, open_aave(market, "read"))
        for _ in range(STEPS):
            step = await driver.step()
            await feed.up_to(step.block_number)
            for user, option in _drawn(chance, feed.ledger, list(step.accounts)):
                done, gas = await _at_aave(rpc, market, feed.ledger, (user, option), chance.choice(PARTS))
                came_to[f"{option.action} {done}"] += 1
                gas_max = max(gas_max, gas)
    print(f"v{market.version}, seed {SEED}: {dict(came_to)}, {gas_max} gas at most")  # noqa: T201 - a randomised run says what it saw
    assert gas_max < feed.ledger.protections.protection_gas
    assert sum(came_to[f"{action} executed"] for action in ("repay", "top-up", "reduce")) >= EXECUTED_MIN
    assert {"repay executed", "top-up executed", "reduce executed"} <= set(came_to)
    assert {each.split(" ", 1)[1] for each in came_to} <= {"executed", "refused", *CAPS}


def _drawn(chance: random.Random, ledger: AaveLedger, users: list[str]) -> list[tuple[str, ProtectionOption]]:
    """Draw some of all options that there are, one action as often as another."""
    known = [user for user in users if ledger.margin(parse_address(user)).health.status is not Status.UNKNOWN]
    options = [(user, option) for user in known for option in ledger.protections.options(parse_address(user))]
    actions = sorted({option.action for _, option in options})
    wanted = chance.choices(actions, k=TRIES_EACH_STEP) if actions else []
    return [chance.choice([each for each in options if each[1].action == action]) for action in wanted]


async def _at_aave(
    rpc: LabRpc, market: AaveMarket, ledger: AaveLedger, who: tuple[str, ProtectionOption], part: int
) -> tuple[str, int]:
    """Execute an option and compare; return what it came to, and the gas."""
    user, option = who
    account = parse_address(user)
    amount = TokenAmount(max(1, int(option.amount_max) // part))
    if option.action == "top-up":
        amount = TokenAmount(max(1, int(amount) // 100))
    told = ledger.protections.preview(account, option.action, option.asset, amount, seconds=SECONDS)
    call = ledger.protections.call(account, option.action, option.asset, amount)
    sender = user if option.action == "reduce" else seeded_address(SEED, "third party")

    async def left() -> int:
        return (await account_data(rpc, market.pool, [user]))[user].health_wad

    timestamp = ledger._state.now.timestamp + SECONDS
    done, health = await tried(rpc, sender, call, timestamp, left)
    if done.reverted is not None:
        name = ledger.revert_name(done.reverted)
        assert told.refusal in (None, name, ROUNDED_AWAY), (who, amount, told)
        return ("refused" if told.refusal is not None else name), 0
    assert told.refusal is None, (who, amount, told)
    assert health == (2**256 - 1 if told.health_wad is None else int(told.health_wad)), (who, amount, told)
    return "executed", done.gas


@pytest.mark.chain
@pytest.mark.slow
async def test_an_action_at_morpho_leaves_the_health_that_was_foretold(rpc: LabRpc, anvil_node: LocalNode) -> None:
    """Repay and top-up of all, a part or a sliver leave the debt and the collateral that the preview's health is of."""
    chance, came_to, gas_max, protections = random.Random(SEED), Counter[str](), 0, None
    async with (
        fresh_morpho(rpc, anvil_node) as market,
        random_morpho(rpc, market, seed=SEED, borrowers=BORROWERS) as driver,
    ):
        feed = Feed(rpc, open_morpho(market), first=market.first_block)
        for _ in range(STEPS):
            step = await driver.step()
            await feed.up_to(step.block_number)
            protections = feed.ledger.protections
            assert protections is not None
            owing = [user for user in step.accounts if protections.options(parse_address(user))]
            for user in chance.sample(owing, min(len(owing), TRIES_EACH_STEP)):
                option = chance.choice(protections.options(parse_address(user)))
                done, gas = await _at_morpho(
                    rpc, market, feed.ledger, (driver.liquidator, user, option), chance.choice(PARTS)
                )
                came_to[f"{option.action} {done}"] += 1
                gas_max = max(gas_max, gas)
    print(f"seed {SEED}: {dict(came_to)}, {gas_max} gas at most")  # noqa: T201 - a randomised run says what it saw
    assert protections is not None
    assert gas_max < protections.protection_gas
    assert {"repay executed", "top-up executed", "repay no debt left"} <= set(came_to)
    assert came_to.total() >= EXECUTED_MIN


async def _at_morpho(
    rpc: LabRpc, market: MorphoMarket, ledger: MorphoLedger, who: tuple[str, str, ProtectionOption], part: int
) -> tuple[str, int]:
    """Execute an option and compare; return what it came to, and the gas."""
    payer, user, option = who
    account, protections = parse_address(user), ledger.protections
    assert protections is not None
    amount = TokenAmount(max(1, int(option.amount_max) // part))
    if option.action == "top-up":
        amount = TokenAmount(max(1, int(amount) // 100))
    told = protections.preview(account, option.action, option.asset, amount, seconds=SECONDS)
    if told.refusal is not None:
        return "refused", 0
    call = protections.call(account, option.action, option.asset, amount)

    async def left() -> MorphoAccount:
        return (await look(rpc, market, [user]))[1][user]

    done, found = await tried(rpc, payer, call, ledger.market().timestamp + SECONDS, left)
    assert done.reverted is None, (to_hex(done.reverted or b""), user, option, amount)
    if not found.debt:
        assert told.health_wad is None
        return "no debt left", done.gas
    price = ledger.market().price
    debt_max = found.collateral * price // 10**36 * market.lltv // WAD
    assert told.health_wad == Wad(debt_max * WAD // found.debt), (user, option, amount)
    assert found.healthy is (told.health_wad >= Wad(WAD))
    return "executed", done.gas
