"""SIGTERM at every phase of a start, while the node never answers: the process leaves, and the next one starts."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from itertools import count
from pathlib import Path

import pytest

from keeper.core.facts import AttemptPrepared, BlocksBackfilled, RunStarted, RunStopped
from keeper.execution.keys import PBKDF2_ROUNDS_MAX
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import of
from tests.app.market import Market
from tests.bad_input.proxy import Proxy, proxy_of
from tests.chain.journals import read_journal

pytestmark = [pytest.mark.chain, pytest.mark.slow]

PATIENT = ("request_timeout_seconds = 2.0", "request_timeout_seconds = 600\nrange_blocks_max = 20")
"""No request ends by itself while a test waits: who waits for one when asked to leave does not leave in time."""
DEAR = {"c": PBKDF2_ROUNDS_MAX, "dklen": 32, "prf": "hmac-sha256", "salt": "00" * 32}
HISTORY_BLOCKS = 300
"""More than what is followed block by block, so that a start has something to back-fill."""


@dataclass(frozen=True)
class Phase:
    """Where a start waits for the node: what it asks for, at which time of asking, and what is in the journal then."""

    name: str
    method: str
    time: int
    journalled: tuple[type, ...]


BEFORE_THE_JOURNAL: tuple[type, ...] = ()
PHASES = [
    Phase("meeting the node", "eth_chainId", 1, BEFORE_THE_JOURNAL),
    Phase("looking for the contracts", "eth_getCode", 1, BEFORE_THE_JOURNAL),
    Phase("waiting for the first head", "eth_getBlockByNumber", 1, (RunStarted, RunStopped)),
    Phase("back-filling", "eth_getLogs", 9, (RunStarted, BlocksBackfilled, RunStopped)),
    Phase("reading the signer", "eth_getTransactionCount", 1, (RunStarted, BlocksBackfilled, RunStopped)),
]

LONG = {"looking for the contracts", "waiting for the first head", "reading the signer"}
"""Left to the long suite: the others stand for before and after the journal is open."""


def held_from(method: str, time: int) -> Callable[[str], bool]:
    """Return what holds a method's requests from one time of asking on."""
    asked: Iterator[int] = count(1)
    return lambda each: each == method and next(asked) >= time


def dear(keystore: bytes) -> bytes:
    """Return a keystore file of the same address, each try of whose password takes seconds; no password opens it."""
    document = json.loads(keystore)
    document["crypto"] |= {"kdf": "pbkdf2", "kdfparams": DEAR}
    return json.dumps(document).encode()


async def verified(journal: Path) -> int:
    """Return the exit code of ``keeper verify``."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "keeper.cli", "verify", "--journal", f"sqlite://{journal}"),
        stdout=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def holding(keeper: KeeperProcess, proxy: Proxy) -> None:
    """Wait until the keeper waits for an answer that does not come."""

    async def asked() -> bool:
        return proxy.holding.is_set()

    await keeper.until(asked)


@pytest.mark.fault(19)
@pytest.mark.parametrize(
    "phase",
    [pytest.param(each, id=each.name, marks=[pytest.mark.soak] * (each.name in LONG)) for each in PHASES],
)
async def test_a_start_can_be_left_at_any_time(market: Market, phase: Phase) -> None:
    """While the node does not answer, SIGTERM ends a start with 0 and a journal that is whole; the next one starts."""
    market.changes.append(PATIENT)
    await market.rpc.call("anvil_mine", hex(HISTORY_BLOCKS), answer=object)
    async with proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url
        proxy.holds = held_from(phase.method, phase.time)
        async with started(market.keeper("--live")) as keeper:
            await holding(keeper, proxy)
            code, errors = await keeper.leave(), keeper.errors
        records = read_journal(market.journal) if market.journal.exists() else []
        valid = await verified(market.journal) if market.journal.exists() else 0
        proxy.holds = lambda _: False
        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            assert await keeper.leave() == 0

    assert (code, errors, valid) == (0, [], 0)
    assert [kind for kind in (RunStarted, BlocksBackfilled, RunStopped) if of(records, kind)] == [*phase.journalled]
    assert await verified(market.journal) == 0


@pytest.mark.fault(19)
async def test_a_start_can_be_left_while_a_keystore_is_opened(market: Market) -> None:
    """SIGTERM does not wait for a password to be tried, which takes a second of a thread; the next one starts."""
    keystore, lock = market.folder / "main.json", market.folder / "journal.db.lock"
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        assert await keeper.leave() == 0
    cheap = keystore.read_bytes()
    keystore.write_bytes(dear(cheap))
    async with started(market.keeper("--live")) as keeper:

        async def journal_is_open() -> bool:
            return lock.read_text(encoding="utf-8").strip() == str(keeper.pid)

        await keeper.until(journal_is_open)
        code, errors, begun = await keeper.leave(), keeper.errors, keeper.event("started")
    keystore.write_bytes(cheap)
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        assert await keeper.leave() == 0

    assert (code, errors, begun) == (0, [], None)
    assert await verified(market.journal) == 0


@pytest.mark.fault(19)
async def test_a_second_sigterm_ends_a_drain_that_waits_for_a_send(market: Market) -> None:
    """What was signed and never got out holds a drain up, not the second SIGTERM; the next run sends the same bytes."""
    market.changes.append(PATIENT)
    async with proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url
        proxy.holds = held_from("eth_sendRawTransaction", 1)
        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            await market.mine()
            await holding(keeper, proxy)
            keeper.signal(signal.SIGTERM)
            await keeper.until_status(lambda status: status["draining"])
            keeper.signal(signal.SIGTERM)
            assert await keeper.exit_code() == 0
        first = of(read_journal(market.journal), AttemptPrepared)
        sent = await market.sent()
        market.kill_switch.touch()  # nothing is added to what is in flight
        proxy.holds = lambda _: False
        async with started(market.keeper("--live")) as keeper:
            await keeper.until_answer("/readyz", HTTPStatus.OK)
            await market.mine()
            await keeper.until_status(lambda status: {one["state"] for one in status["intents"]} == {"mined"})
            assert await keeper.leave() == 0

    assert (sent, await verified(market.journal)) == (0, 0)
    assert of(read_journal(market.journal), AttemptPrepared) == first != []
    assert [await market.is_mined(attempt.tx_hash) for attempt in first] == [True] * len(first)
