"""Our keeper in the laboratory: the shipped engine and strategy, fed facts, and a lane that signs what was admitted.

Nothing here decides. Facts go in, in the order that the daemon would record them; admitted intents come out and are
sent a latency later, in order of their nonces. An intent whose call would revert by then is dropped unsigned.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from keeper import __version__
from keeper.core.decisions import AnyDecision, Intent, IntentAdmitted, LiquidationObserved, Verdict
from keeper.core.facts import (
    AnyFact,
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    ClockTicked,
    IntentDropped,
    PreflightSeen,
    RawLog,
    ReceiptSeen,
    RevertReason,
    RunStarted,
    SettingsReloaded,
    SignerRead,
)
from keeper.core.ids import Address, Hash32, content_id
from keeper.core.runconfig import (
    ChainSpec,
    Holding,
    Limits,
    PartialLiquidationSpec,
    RunConfig,
    SignerSpec,
    VenueSpec,
)
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wad, Wei
from keeper.engine.step import Engine
from keeper.execution.fees import first_fees
from keeper.lab.simulator.market import NATIVE, POOL, USD
from keeper.lab.stress.paths import STEP_SECONDS
from keeper.lab.stress.policies import Policy
from keeper.lab.stress.venue import COIN_TOKENS, LIQUIDATION_GAS, LendingLedger, Rules
from strategies import STRATEGIES

CHAIN_ID = 1
SIGNER = "main"
OUR_ADDRESS = Address(b"\xaa" * 20)
IN_FLIGHT_MAX = 6
CAPITAL_CENTS = 10**12
"""Ten billion dollars: what is seized is sold at once, so that capital binds nobody here."""
ENDLESS = 10**30
TIP_WEI = Wei(10**9)
SLIPPAGE_LEAST_BPS = 5


class Signed(NamedTuple):
    """A signed call that waits for a block."""

    intent: Intent
    tx_hash: Hash32
    fee_wei_max: int


class Mined(NamedTuple):
    """What became of one of our calls in a block; ``revert`` is the error's name."""

    signed: Signed
    gas_price_wei: int
    revert: str | None


class OurKeeper:
    """The engine of a run.

    Args:
        policy: Whose rules, and what our strategy is told.
        rules: The venue's terms, for the ledger.
        start_unix: The time of the first block.
    """

    def __init__(self, policy: Policy, rules: Rules, start_unix: int) -> None:
        self.engine = Engine(lambda spec: LendingLedger(spec, rules), STRATEGIES)
        self._config = _config(policy)
        self._sequence = 0
        self._attempts = 0
        self._mined = 0
        self._waiting: deque[Intent] = deque()
        self._sent: deque[Signed] = deque()
        self.admitted: dict[Hash32, Intent] = {}
        """Every liquidation that the engine admitted, by the id of its intent."""
        self.verdicts: Counter[Verdict] = Counter()
        """What the engine judged the liquidations that it saw to be."""
        self._step(RunStarted(content_id("stress"), __version__, self._config, "{}", start_unix * 1000))

    @property
    def ledger(self) -> LendingLedger:
        """The engine's own ledger of the venue."""
        (ledger,) = self.engine.ledgers.values()
        assert isinstance(ledger, LendingLedger)
        return ledger

    def block(self, header: BlockHeader, logs: tuple[RawLog, ...], mined: Sequence[Mined]) -> None:
        """Tell the engine of a block and of what became of our calls in it."""
        self._mined += len(mined)
        self._step(ClockTicked(header.timestamp * 1000))
        if mined or header.number == 0:
            self._step(self._wallet(header))
        self._step(BlockApplied(CHAIN_ID, header, logs, (), 0))
        for each in mined:
            revert = None if each.revert is None else RevertReason(each.revert, each.revert.encode())
            signed, price = each.signed, Wei(each.gas_price_wei)
            place = (header.number, header.hash)
            used = gas_used(each.revert)
            self._step(
                ReceiptSeen(signed.intent.intent_id, signed.tx_hash, *place, revert is None, used, price, revert)
            )
        self._step(BlockFinalized(CHAIN_ID, header.number, header.hash))

    def reload(self, slippage_bps: Sequence[int], bps_per_million: Sequence[int], now_unix: int) -> None:
        """Let the operator tell the strategy what selling costs now, where that is another figure."""
        names = ["0x" + token.hex() for token in COIN_TOKENS]
        (spec,) = self._config.strategies
        told = msgspec.structs.replace(
            spec,
            slippage_bps={name: Bps(bps + SLIPPAGE_LEAST_BPS) for name, bps in zip(names, slippage_bps, strict=True)},
            slippage_bps_per_million={name: Bps(bps) for name, bps in zip(names, bps_per_million, strict=True)},
        )
        if told != spec:
            self._config = msgspec.structs.replace(self._config, strategies=(told,))
            self._step(SettingsReloaded(self._config, "{}", now_unix * 1000))

    def send(self, header: BlockHeader, latency_blocks: int, refusals: Mapping[Hash32, str]) -> list[Signed]:
        """Sign the intents that are due, drop those that would revert, and return all calls that wait, in order.

        Args:
            header: The newest block.
            latency_blocks: How long after its decision an intent is signed, beyond the next block.
            refusals: Why a call would fail, by the id of its intent.
        """
        while self._waiting and self._waiting[0].admitted_at_block + latency_blocks <= header.number:
            self._sign(self._waiting.popleft(), header, refusals)
        return list(self._sent)

    def waiting(self) -> tuple[Intent, ...]:
        """Return the intents that are not signed yet."""
        return tuple(self._waiting)

    def included(self, count: int) -> None:
        """Take the first so many of the calls that wait as mined."""
        for _ in range(count):
            self._sent.popleft()

    def _sign(self, intent: Intent, header: BlockHeader, refusals: Mapping[Hash32, str]) -> None:
        name = refusals.get(intent.intent_id)
        fees = first_fees(Wei(header.base_fee_wei), TIP_WEI, intent.gas_price_wei_max)
        if name is not None or fees is None:
            if name is not None:
                revert = RevertReason(name, name.encode())
                self._step(PreflightSeen(intent.intent_id, header.number, header.hash, 0, revert))
            self._step(IntentDropped(intent.intent_id, name or "the base fee is above its ceiling"))
            return
        self._attempts += 1
        nonce = self._attempts - 1
        tx_hash = content_id("attempt", nonce)
        self._step(
            AttemptPrepared(
                intent.intent_id,
                CHAIN_ID,
                SIGNER,
                nonce,
                1,
                "call",
                tx_hash,
                b"",
                LIQUIDATION_GAS,
                *fees,
                header.number,
            )
        )
        self._step(AttemptSent(intent.intent_id, tx_hash, "node", "accepted", ""))
        self._sent.append(Signed(intent, tx_hash, int(fees.fee_wei_max)))

    def _step(self, fact: AnyFact) -> None:
        self._sequence += 1
        for decision in self.engine.step(fact, self._sequence):
            self._take(decision)

    def _take(self, decision: AnyDecision) -> None:
        if isinstance(decision, IntentAdmitted) and decision.intent.kind == "liquidation":
            self.admitted[decision.intent.intent_id] = decision.intent
            self._waiting.append(decision.intent)
        elif isinstance(decision, LiquidationObserved):
            self.verdicts[decision.verdict] += 1

    def _wallet(self, header: BlockHeader) -> SignerRead:
        holding = Holding(USD, POOL, TokenAmount(CAPITAL_CENTS), TokenAmount(UINT256_MAX))
        return SignerRead(
            CHAIN_ID, SIGNER, header.number, header.hash, Wei(ENDLESS), self._mined, (holding,), TIP_WEI, self._mined
        )


def gas_used(revert: str | None) -> int:
    """Return what a call takes: a quarter when the pool refuses it."""
    return LIQUIDATION_GAS if revert is None else LIQUIDATION_GAS // 4


def _config(policy: Policy) -> RunConfig:
    target = policy.keeper_target
    return RunConfig(
        live=True,
        chains=(
            ChainSpec(
                name="stress",
                chain_id=CHAIN_ID,
                finality_depth_blocks=None,
                stale_after_seconds=100 * STEP_SECONDS,
                wrapped_native=NATIVE,
            ),
        ),
        venues=(
            VenueSpec(name="pool", protocol="stress", chain_id=CHAIN_ID, root=POOL, from_block=0, prices="events"),
        ),
        signers=(
            SignerSpec(
                name=SIGNER,
                address=OUR_ADDRESS,
                in_flight_max=IN_FLIGHT_MAX,
                bump_after_blocks=1000,
                valid_for_blocks=1000,
                balance_wei_min=Wei(1),
            ),
        ),
        strategies=(
            PartialLiquidationSpec(
                name="partial_liquidation",
                venues=("pool",),
                signer=SIGNER,
                objective="max-profit" if target is None else "target-health",
                target_health=Wad(round((target or 1.0) * 10**6) * 10**12),
                slippage_bps={},
                slippage_bps_default=Bps(SLIPPAGE_LEAST_BPS),
                dust_base=BaseAmount(100 * BaseAmount.ONE),
            ),
        ),
        limits=Limits(
            profit_base_min=BaseAmount(BaseAmount.ONE),
            gas_price_wei_max=Wei(10**13),
            spend_base_per_hour_max=BaseAmount(ENDLESS),
            spend_base_per_intent_max=BaseAmount(ENDLESS),
            attempts_per_account_max=10**6,
            head_age_seconds_max=2 * STEP_SECONDS,
            reverts_per_venue_max=10**6,
            gas_wei_per_hour_max=Wei(ENDLESS),
        ),
    )
