"""A signer halts at a stranger's transaction of its key: seen, kept over a restart, released once, and it acts."""

from __future__ import annotations

import re
import signal
from http import HTTPStatus

import pytest

from keeper.core.decisions import IntentAdmitted, SignerHalted
from keeper.core.facts import AttemptPrepared, SignerReleased
from keeper.lab.localchain.transactions import Call, submit
from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import halted, liquidated, of, refused
from tests.app.market import Market
from tests.bad_input.proxy import proxy_of
from tests.chain.journals import read_journal, replayed

pytestmark = [pytest.mark.chain, pytest.mark.slow]

RELEASE = ("--release-signer", "main")


async def halt_metric(keeper: KeeperProcess) -> str:
    """Return what the metrics say of the signer's halt."""
    _, metrics = await keeper.get("/metrics")
    found = re.search(r'^keeper_signer_halted{chain="local",signer="main"} (.+)$', metrics, re.MULTILINE)
    assert found is not None
    return found[1]


async def spend_a_nonce(market: Market) -> None:
    """Send a transaction with the keeper's key, behind its back."""
    await submit(market.rpc, [Call(market.signer, market.signer, "0x")])


async def run_until_halted(market: Market) -> None:
    """Run a keeper, halt it by a foreign transaction, and let prices fall to no effect."""
    async with started(market.keeper("--live")) as keeper:
        await market.until_allowed(keeper)
        before = await halt_metric(keeper)
        await spend_a_nonce(market)
        await keeper.until_status(halted)
        assert (before, await halt_metric(keeper)) == ("0.0", "1.0")
        await market.crash()
        await keeper.until_status(refused)
        assert await market.left_by(keeper) == 0


@pytest.mark.fault(11, 12)
async def test_a_halted_signer_is_released_by_the_operator(market: Market) -> None:
    """The halt outlives a restart; with the option the signer goes on above the foreign nonce, and liquidates."""
    await run_until_halted(market)
    async with started(market.keeper("--live")) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        still = halted(await keeper.status())
        assert await market.left_by(keeper) == 0
    sent = await market.sent()
    async with started(market.keeper("--live", *RELEASE)) as keeper:
        await keeper.until_answer("/readyz", HTTPStatus.OK)
        assert (halted(await keeper.status()), await halt_metric(keeper)) == (None, "0.0")
        await market.mine()
        await keeper.until_status(liquidated)
        assert await market.left_by(keeper) == 0
    async with started(market.keeper("--live", *RELEASE)) as keeper:
        again = await keeper.exit_code()

    records = read_journal(market.journal)
    (halt,) = of(records, SignerHalted)
    (release,) = of(records, SignerReleased)
    attempts = of(records, AttemptPrepared)
    at = next(place for place, record in enumerate(records) if record.body == release)
    assert still == halt.reason
    assert release.nonce == market.sent_before + sent
    assert min(attempt.nonce for attempt in of(records[at:], AttemptPrepared)) == release.nonce
    assert len({attempt.nonce for attempt in attempts}) == len(attempts)
    assert [one for one in of(records[:at], IntentAdmitted) if one.intent.kind == "liquidation"] == []
    assert again == 2
    assert keeper.errors == ["keeper: --release-signer main: that signer is not halted; start without the option"]
    assert replayed(market.journal).divergence is None


@pytest.mark.fault(19)
async def test_a_release_that_waits_for_the_node_can_be_left(market: Market) -> None:
    """SIGTERM ends a start that asks for the count of a node that never answers; the signer stays halted."""
    await run_until_halted(market)
    market.changes.append(("request_timeout_seconds = 2.0", "request_timeout_seconds = 600"))
    async with proxy_of(market.node.http_url) as proxy:
        market.http_url = proxy.url

        async def held() -> bool:
            return proxy.holding.is_set()

        proxy.holds = lambda method: method == "eth_getTransactionCount"
        async with started(market.keeper("--live", *RELEASE)) as keeper:
            await keeper.until(held)
            keeper.signal(signal.SIGTERM)
            code, errors = await keeper.exit_code(), keeper.errors

    assert (code, errors) == (0, [])
    assert of(read_journal(market.journal), SignerReleased) == []
    assert replayed(market.journal).divergence is None
