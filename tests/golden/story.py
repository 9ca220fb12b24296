"""What the golden log tells: most kinds of records once, through two runs, a reorg, a repair, a halt and a pause."""

from __future__ import annotations

import msgspec

from keeper.core.codec import Record
from keeper.core.digest import block_digest, range_digest
from keeper.core.facts import (
    AccountsAudited,
    BackfilledBlock,
    BlocksBackfilled,
    ContractRead,
    IntentDropped,
    KillSwitchChanged,
    LogsRepaired,
    PreflightSeen,
    ProviderChanged,
    RangeVerified,
    RepairedBlock,
    RevertReason,
    RunStopped,
    SettingsReloaded,
    SignerReleased,
)
from keeper.core.ids import Address, content_id
from keeper.core.runconfig import DeltaHedgeSpec, SelfProtectSpec
from keeper.core.units import BaseAmount, Bps, Wad, Wei
from keeper.engine.step import Engine
from strategies import STRATEGIES
from tests.engine.guarded import Guarded
from tests.engine.history import (
    ALICE,
    BOB,
    CHAIN,
    CHAIN_SPEC,
    GWEI,
    START_UNIX,
    STRATEGY_SPEC,
    TOKEN,
    UNIT,
    History,
    admitted,
    config_with,
    logs_of,
    position,
)
from tests.engine.test_second_opinion import RISK
from tests.engine.toy import ETH, NATIVE, POOL, USD, ToyLedger

CAROL = Address(b"\xca" * 20)
OWN = SelfProtectSpec(
    name="self_protect",
    venues=("toy",),
    signer="main",
    accounts=(CAROL,),
    floor_health=Wad(105 * 10**16),
    target_health=Wad(110 * 10**16),
    actions=("repay", "top-up"),
)
HEDGE = DeltaHedgeSpec(
    name="delta_hedge",
    venues=("toy",),
    signer="main",
    accounts=(CAROL,),
    hedge_venue="toy",
    exposures=((ETH, NATIVE),),
    band_base=BaseAmount(1_000 * UNIT),
    slippage_bps=Bps(50),
)
SCANNED = msgspec.structs.replace(CHAIN_SPEC, scanned=True)


def told() -> list[Record]:
    """Return the records of the whole story."""
    config = config_with(reverts_per_venue_max=2, breaker_window_blocks=10, breaker_pause_blocks=3)
    history = History(msgspec.structs.replace(config, chains=(SCANNED,), risk=(RISK,)), golden_engine())
    _rescue(history)
    _restart(history)
    _doubt(history)
    _crowd(history)
    _care(history)
    history.step(ProviderChanged(CHAIN, "node", up=False, reason="2 failures in a row"))
    history.step(RunStopped(content_id("run"), "drained"))
    return history.records


def golden_engine() -> Engine:
    """Return an engine of a venue where own accounts can be helped, that has stepped nothing."""
    return Engine(Guarded, STRATEGIES)


def _care(history: History) -> None:
    """CAROL's account is the operator's own: a halted signer cannot help it, then one does; holdings may be hedged."""
    run = msgspec.structs.replace(history.config, strategies=(STRATEGY_SPEC, OWN, HEDGE))
    history.step(SettingsReloaded(run, "{}", history.unix_ms))
    history.block(("price", ETH, 1_950 * UNIT // TOKEN), *position(CAROL, eth=10, usd=15_000))
    history.step(SignerReleased("main", CHAIN, 9))
    history.read_signer(nonce=9)
    decisions = [decision for _ in range(3) for decision in history.block()]
    (intent,) = (each for each in admitted(decisions) if each.kind == "protection")
    attempt = history.prepare(intent, 9)
    history.send(attempt)
    debt = 15_000 * TOKEN - int(intent.spend.amount)
    history.block(("set", CAROL, USD, 0, debt), tx_hash=attempt.tx_hash)


def _rescue(history: History) -> None:
    """An account is saved by the second attempt, then by the first, because the chain changed its mind."""
    history.market()
    intent = admitted(history.breach())[0]
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    history.step(PreflightSeen(intent.intent_id, tip.number, tip.hash, 180_000, None))
    first = history.prepare(intent, 0)
    history.send(first, "unknown")
    history.block(*position(BOB, eth=10, usd=15_000))
    second = history.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    history.send(second)
    history.liquidation(second, intent)
    history.revert()
    history.liquidation(first, intent)
    history.receipt(first, succeeded=True)
    history.finalize(3)


def _restart(history: History) -> None:
    """The head goes stale, the operator stops everything, and a new run reads what it missed."""
    history.tick(100)
    history.step(KillSwitchChanged(armed=True, reason="file"))
    history.start()
    history.step(KillSwitchChanged(armed=False, reason="file"))
    history.read_signer(nonce=1)
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    last = msgspec.structs.replace(history.header(tip.number + 3), parent_hash=tip.hash)
    filled = BackfilledBlock(tip.number + 2, content_id("filled"), last.timestamp - 12, logs_of(("price", ETH, 15)))
    history.step(BlocksBackfilled(CHAIN, tip.number + 1, last, (filled,), (), 0, "node"))
    history.step(SettingsReloaded(history.config, "{}", history.unix_ms))


def _doubt(history: History) -> None:
    """Another node has other logs, the venue has other figures, and a nonce is spent by a stranger."""
    chain = history.engine.chains[CHAIN]
    history.finalize(chain.tip_number)
    ledger = history.engine.ledgers["toy"]
    tip = chain.tip
    assert isinstance(ledger, ToyLedger)
    assert tip is not None
    for answer in (ledger.figures(ALICE), "1 2"):
        read = ContractRead(POOL, bytes(ALICE), answer.encode(), None)
        history.step(AccountsAudited(CHAIN, "toy", tip.number, tip.hash, (read,)))
    history.block()
    tip = chain.tip
    assert tip is not None
    missed = logs_of(("price", ETH, 2000 * TOKEN))
    right = BackfilledBlock(tip.number, tip.hash, START_UNIX + tip.number * 12, missed)
    history.step(LogsRepaired(CHAIN, tip.number, (RepairedBlock(right, ()),), "b", "a"))
    history.finalize(tip.number)
    digest = range_digest([block_digest(tip.hash, missed)])
    history.step(RangeVerified(CHAIN, tip.number, tip.number, digest, ("a", "b")))
    history.read_signer(nonce=3)
    history.step(SignerReleased("main", CHAIN, 3))


def _crowd(history: History) -> None:
    """Many fall at once: some intents are dropped, two revert, and the venue is paused."""
    history.block(("price", ETH, 2000 * TOKEN))
    for number in range(1, 6):
        history.block(*position(Address(bytes([number]) * 20), eth=10, usd=15_000))
    intents = admitted(history.breach())
    history.step(IntentDropped(intents.pop().intent_id, "preflight: 45"))
    attempts = [history.prepare(intent, 3 + place) for place, intent in enumerate(intents)]
    history.block()
    for attempt in attempts:
        seen = history.receipt(attempt, succeeded=False)
        assert seen
    tip = history.engine.chains[CHAIN].tip
    assert tip is not None
    revert = RevertReason("45", b"\x45")
    history.step(PreflightSeen(intents[0].intent_id, tip.number, tip.hash, 0, revert))
    history.block()
    history.read_signer(nonce=9, balance_wei=int(Wei(10**16)))
