"""Builds small synthetic histories: one chain, one toy venue, one signer, and an engine that steps them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from keeper.core.codec import Record
from keeper.core.decisions import AnyDecision, Intent, IntentAdmitted, IntentAdvanced, IntentState, ProposalRefused
from keeper.core.facts import (
    AnyFact,
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    BlockReverted,
    ClockTicked,
    RawLog,
    ReceiptSeen,
    RunStarted,
    SignerRead,
)
from keeper.core.ids import Address, Hash32, content_id
from keeper.core.runconfig import ChainSpec, Holding, Limits, PartialLiquidationSpec, RunConfig, SignerSpec, VenueSpec
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wad, Wei
from keeper.core.venue import Ledger
from keeper.engine.step import Engine
from strategies import STRATEGIES
from tests.engine.toy import ETH, EUR, NATIVE, POOL, TOKENS, USD, ToyLedger, pool_log

CHAIN = 31337
SIGNER = Address(b"\xaa" * 20)
ALICE = Address(b"\xa1" * 20)
BOB = Address(b"\xb0" * 20)
RIVAL = Address(b"\xee" * 20)
UNIT = 10**8
GWEI = 10**9
START_UNIX = 1_700_000_000
BLOCK_SECONDS = 12

CHAIN_SPEC = ChainSpec(
    name="local", chain_id=CHAIN, finality_depth_blocks=None, stale_after_seconds=60, wrapped_native=NATIVE
)
VENUE_SPEC = VenueSpec(name="toy", protocol="toy", chain_id=CHAIN, root=POOL, from_block=0, prices="events")
SIGNER_SPEC = SignerSpec(
    name="main",
    address=SIGNER,
    in_flight_max=4,
    bump_after_blocks=2,
    valid_for_blocks=10,
    balance_wei_min=Wei(10**17),
)
STRATEGY_SPEC = PartialLiquidationSpec(
    name="partial_liquidation",
    venues=("toy",),
    signer="main",
    objective="target-health",
    target_health=Wad(105 * 10**16),
    slippage_bps={},
    slippage_bps_default=Bps(0),
    dust_base=BaseAmount(0),
)
LIMITS = Limits(
    profit_base_min=BaseAmount(0),
    gas_price_wei_max=Wei(200 * GWEI),
    spend_base_per_hour_max=BaseAmount(10**6 * UNIT),
    spend_base_per_intent_max=BaseAmount(10**6 * UNIT),
    attempts_per_account_max=3,
    head_age_seconds_max=60,
)
CONFIG = RunConfig(
    live=True,
    chains=(CHAIN_SPEC,),
    venues=(VENUE_SPEC,),
    signers=(SIGNER_SPEC,),
    strategies=(STRATEGY_SPEC,),
    limits=LIMITS,
)
TOKEN = 10**4
"""Base units of a whole token."""
PRICES = {USD: UNIT // TOKEN, EUR: UNIT // TOKEN, ETH: 2000 * UNIT // TOKEN, NATIVE: 2000 * UNIT}
BREACH = 1800 * UNIT // TOKEN
"""ALICE (10 ETH against 15,000 USD, threshold 80 %) is at 1.0667 at 2,000 and at 0.96 here."""


def config_with(*, live: bool = True, **limits: object) -> RunConfig:
    """Return the configuration with other limits."""
    return msgspec.structs.replace(CONFIG, live=live, limits=msgspec.structs.replace(LIMITS, **limits))


def opened_ledger(spec: VenueSpec) -> Ledger:
    """Open the toy venue."""
    return ToyLedger(spec)


def new_engine() -> Engine:
    """Return an engine that has stepped nothing."""
    return Engine(opened_ledger, STRATEGIES)


class History:
    """Steps facts as the recorder would, and keeps what a journal would hold."""

    def __init__(self, config: RunConfig = CONFIG, engine: Engine | None = None) -> None:
        self.engine = engine or new_engine()
        self.config = config
        self.records: list[Record] = []
        self.unix_ms = START_UNIX * 1000
        self.base_fee_wei = 10 * GWEI
        self.branch = "a"
        self._transactions = 0

    def step(self, *facts: AnyFact) -> list[AnyDecision]:
        """Step facts and record them with their decisions."""
        made: list[AnyDecision] = []
        for fact in facts:
            sequence = len(self.records) + 1
            decisions = self.engine.step(fact, sequence)
            self.records.append(Record(sequence, self.unix_ms, 0, fact))
            self.records += [
                Record(sequence + 1 + place, self.unix_ms, sequence, body) for place, body in enumerate(decisions)
            ]
            made += decisions
        return made

    def start(self) -> list[AnyDecision]:
        """Begin a run."""
        return self.step(RunStarted(content_id("run"), "1", self.config, "{}", self.unix_ms))

    def tick(self, seconds: int = 1) -> list[AnyDecision]:
        """Let time pass."""
        self.unix_ms += seconds * 1000
        return self.step(ClockTicked(self.unix_ms))

    def header(self, number: int) -> BlockHeader:
        """Return the block of a number on the current branch, whose parent is the tip."""
        tip = self.engine.chains[CHAIN].tip
        parent = tip.hash if tip is not None else content_id("none")
        return BlockHeader(
            number,
            content_id("block", self.branch, number),
            parent,
            START_UNIX + number * BLOCK_SECONDS,
            self.base_fee_wei,
            b"",
        )

    def block(self, *logs: tuple[object, ...], tx_hash: Hash32 | None = None, behind: int = 0) -> list[AnyDecision]:
        """Apply the next block with these logs, on time."""
        raw = tuple(pool_log(place, tx_hash or self.transaction(), *log) for place, log in enumerate(logs))
        return self.apply(raw, behind=behind)

    def apply(self, logs: tuple[RawLog, ...], *, behind: int = 0) -> list[AnyDecision]:
        """Apply the next block with logs as they are, on time."""
        tip = self.engine.chains[CHAIN].tip
        header = self.header(tip.number + 1 if tip is not None else 1)
        self.unix_ms = max(self.unix_ms, header.timestamp * 1000)
        return self.step(ClockTicked(self.unix_ms), BlockApplied(CHAIN, header, logs, (), behind))

    def revert(self) -> list[AnyDecision]:
        """Abandon the tip and leave its branch."""
        tip = self.engine.chains[CHAIN].tip
        assert tip is not None
        self.branch += "'"
        return self.step(BlockReverted(CHAIN, tip.number, tip.hash))

    def finalize(self, number: int) -> list[AnyDecision]:
        """Make a held block final."""
        held = dict(self.engine.chains[CHAIN].recent)
        return self.step(BlockFinalized(CHAIN, number, held[number]))

    def transaction(self) -> Hash32:
        """Return a new transaction hash."""
        self._transactions += 1
        return content_id("tx", self._transactions)

    def market(self) -> list[AnyDecision]:
        """Start a run with a funded signer and a healthy account in the first block."""
        self.start()
        self.read_signer()
        prices = [("price", token, price) for token, price in PRICES.items()]
        return self.block(*prices, *position(ALICE, eth=10, usd=15_000))

    def breach(self) -> list[AnyDecision]:
        """Let the price fall so far that ALICE is liquidatable."""
        return self.block(("price", ETH, BREACH))

    def read_signer(
        self,
        nonce: int = 0,
        *,
        balance: int = 10**6 * TOKEN,
        allowance: int = UINT256_MAX,
        balance_wei: int = 10**18,
        block_number: int | None = None,
        pending_nonce: int | None = None,
        signer: str = "main",
    ) -> list[AnyDecision]:
        """Read the signer at the block that comes next."""
        tip = self.engine.chains[CHAIN].tip
        number = block_number if block_number is not None else (tip.number + 1 if tip is not None else 1)
        holdings = tuple(Holding(token, POOL, TokenAmount(balance), TokenAmount(allowance)) for token in TOKENS)
        return self.step(
            SignerRead(
                CHAIN,
                signer,
                number,
                content_id("block", self.branch, number),
                Wei(balance_wei),
                nonce,
                holdings,
                pending_nonce=pending_nonce,
            )
        )

    def prepare(
        self,
        intent: Intent,
        nonce: int,
        attempt: int = 1,
        fee_wei: int = 20 * GWEI,
        kind: Literal["call", "cancel"] = "call",
    ) -> AttemptPrepared:
        """Sign an attempt for an intent."""
        fact = AttemptPrepared(
            intent.intent_id,
            CHAIN,
            intent.signer,
            nonce,
            attempt,
            kind,
            content_id("tx", intent.intent_id, attempt),
            b"raw",
            200_000,
            Wei(fee_wei),
            Wei(fee_wei // 10),
            self.engine.chains[CHAIN].tip_number,
        )
        self.step(fact)
        return fact

    def send(self, attempt: AttemptPrepared, answer: str = "accepted") -> list[AnyDecision]:
        """Send an attempt."""
        return self.step(AttemptSent(attempt.intent_id, attempt.tx_hash, "node", answer, ""))  # type: ignore[arg-type]

    def receipt(self, attempt: AttemptPrepared, *, succeeded: bool, number: int | None = None) -> list[AnyDecision]:
        """See an attempt's receipt, in the tip unless told otherwise."""
        chain = self.engine.chains[CHAIN]
        at = number if number is not None else chain.tip_number
        block_hash = dict(chain.recent).get(at, content_id("other block"))
        return self.step(
            ReceiptSeen(attempt.intent_id, attempt.tx_hash, at, block_hash, succeeded, 100_000, Wei(15 * GWEI), None)
        )

    def liquidation(self, attempt: AttemptPrepared, intent: Intent) -> list[AnyDecision]:
        """Apply a block in which an attempt had its effect."""
        _, account, debt_asset, collateral_asset = plan_of(intent)
        ledger = self.engine.ledgers["toy"]
        preview = ledger.preview(account, debt_asset, collateral_asset, intent.spend.amount)
        log = ("liquidated", account, SIGNER, debt_asset, collateral_asset, int(preview.repaid), int(preview.seized))
        return self.block(log, tx_hash=attempt.tx_hash)


def position(account: Address, *, eth: int = 0, usd: int = 0) -> list[tuple[object, ...]]:
    """Return the logs that give an account whole tokens of collateral in ETH and of debt in USD."""
    return [("set", account, ETH, eth * TOKEN, 0), ("set", account, USD, 0, usd * TOKEN)]


def plan_of(intent: Intent) -> tuple[str, Address, Address, Address]:
    """Read the toy venue's calldata."""
    data = intent.data[len(b"liquidate") :]
    return intent.venue, Address(data[:20]), Address(data[20:40]), Address(data[40:60])


def admitted(decisions: Iterable[AnyDecision]) -> list[Intent]:
    """Return the intents that were admitted."""
    return [decision.intent for decision in decisions if isinstance(decision, IntentAdmitted)]


def refused(decisions: Iterable[AnyDecision]) -> list[str]:
    """Return the reasons of refusals."""
    return [decision.reason for decision in decisions if isinstance(decision, ProposalRefused)]


def moves(decisions: Iterable[AnyDecision]) -> list[IntentState]:
    """Return the states that intents moved to."""
    return [decision.state for decision in decisions if isinstance(decision, IntentAdvanced)]


def logs_of(*logs: tuple[object, ...]) -> tuple[RawLog, ...]:
    """Build the logs of one transaction."""
    return tuple(pool_log(place, content_id("tx", "back-fill"), *log) for place, log in enumerate(logs))
