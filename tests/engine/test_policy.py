"""The gate: one test for each rule, through the engine, on the account that every rule but one lets pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
import pytest

from keeper.core.decisions import Proposal, ProposalRefused
from keeper.core.facts import IntentDropped, KillSwitchChanged, PreflightSeen, RevertReason
from keeper.core.ids import Address
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wei
from keeper.core.venue import AccountMargin, Call, Preview, StrategyView
from keeper.engine.intents import subject_of
from keeper.engine.policy import RULES
from keeper.engine.step import Engine
from strategies.partial_liquidation import decide
from tests.engine.history import (
    BLOCK_SECONDS,
    BOB,
    BREACH,
    CHAIN,
    CONFIG,
    GWEI,
    PRICES,
    SIGNER_SPEC,
    TOKEN,
    UNIT,
    History,
    admitted,
    config_with,
    opened_ledger,
    position,
    refused,
)
from tests.engine.toy import ETH, NATIVE, ToyLedger


class Unlimited:
    """A view that boasts."""

    def __init__(self, view: StrategyView) -> None:
        self.venue = view.venue
        self.gas_cost_base = view.gas_cost_base
        self.profit_base_min = view.profit_base_min
        self.spend_base_max = view.spend_base_max
        self.signer = view.signer
        self.balance = view.balance
        self.margin_reserved_base = view.margin_reserved_base

    def inventory(self, _: Address) -> TokenAmount:
        """Everything."""
        return TokenAmount(UINT256_MAX)


def greedy(view: StrategyView, at_risk: Sequence[AccountMargin], spec: PartialLiquidationSpec) -> Iterable[Proposal]:
    """Decide as if every token were there without end."""
    return decide(Unlimited(view), at_risk, spec)


def greedy_engine() -> Engine:
    """Return an engine whose strategy respects no limit."""
    return Engine(opened_ledger, {"partial_liquidation": greedy})


def breached(history: History) -> list[str]:
    """Return the reasons of refusals at the breach."""
    history.market()
    return refused(history.breach())


def test_order() -> None:
    """The rules stand in the documented order, and a rule's name is its reason."""
    assert [rule.__name__ for rule in RULES] == [
        "dry_run",
        "kill_switch",
        "signer_halted",
        "signer_balance_low",
        "head_stale",
        "venue_paused",
        "target_not_allowed",
        "account_has_open_intent",
        "duplicate_intent",
        "retry_budget",
        "gas_price_above_max",
        "gas_price_unknown",
        "held_back",
        "profit_below_min",
        "spend_per_intent",
        "spend_per_hour",
        "gas_budget",
        "gas_unfunded",
        "inventory_short",
        "allowance_short",
        "free_collateral_short",
        "in_flight_max",
    ]


def test_admitted() -> None:
    """What no rule refuses is admitted, with its proposal."""
    history = History()
    history.market()
    decisions = history.breach()
    assert (len(admitted(decisions)), refused(decisions)) == (1, [])


def test_dry_run() -> None:
    """Nothing is admitted unless the run is live."""
    assert breached(History(config_with(live=False))) == ["dry_run"]


def test_kill_switch() -> None:
    """Nothing is admitted while the switch is armed, and it is again once it is not."""
    history = History()
    history.market()
    history.step(KillSwitchChanged(armed=True, reason="file"))
    assert refused(history.breach()) == ["kill_switch"]
    history.step(KillSwitchChanged(armed=False, reason="file"))
    assert len(admitted(history.block())) == 1


def test_draining_outlasts_the_switch() -> None:
    """A run that is draining admits nothing, whatever becomes of the operator's switch meanwhile."""
    history = History()
    history.market()
    history.step(KillSwitchChanged(armed=True, reason="draining"))
    history.step(KillSwitchChanged(armed=False, reason="file"))
    assert refused(history.breach()) == ["kill_switch"]


def test_draining_ends_with_the_run() -> None:
    """The run after one that drained admits nothing before it has looked at the operator's switch."""
    history = History()
    history.market()
    history.step(KillSwitchChanged(armed=True, reason="draining"))
    history.start()
    assert refused(history.breach()) == ["kill_switch"]
    history.step(KillSwitchChanged(armed=False, reason="file"))
    assert len(admitted(history.block())) == 1


def test_signer_halted() -> None:
    """A signer whose chain count is ahead of its slots signs nothing."""
    history = History()
    history.market()
    history.read_signer(nonce=1)
    assert refused(history.breach()) == ["signer_halted"]


def test_signer_balance_low() -> None:
    """A signer that cannot pay for gas signs nothing."""
    history = History()
    history.market()
    history.read_signer(balance_wei=10**17 - 1)
    assert refused(history.breach()) == ["signer_balance_low"]


def test_signer_never_read() -> None:
    """A live signer that was never read holds nothing, so nothing is proposed for it."""
    history = History()
    history.start()
    history.block(("price", ETH, BREACH), *position(BOB, eth=10, usd=15_000))
    assert history.breach() == []


@pytest.mark.parametrize(("late_seconds", "expected"), [(60, []), (61, ["head_stale"])])
def test_head_stale(late_seconds: int, expected: list[str]) -> None:
    """A head whose timestamp is too far behind the clock is not acted on."""
    history = History()
    history.market()
    history.tick(BLOCK_SECONDS + late_seconds)
    assert refused(history.breach()) == expected


def test_target_not_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call to anything but the venue's own pool is refused."""

    def elsewhere(_: ToyLedger, __: Address, ___: Preview) -> Call:
        return Call(Address(b"\x66" * 20), b"")

    monkeypatch.setattr(ToyLedger, "liquidation_call", elsewhere)
    assert breached(History()) == ["target_not_allowed"]


def test_account_has_open_intent() -> None:
    """An account with an unmined intent gets no second one, even from a strategy that asks twice."""

    def twice(view: StrategyView, at_risk: Sequence[AccountMargin], spec: PartialLiquidationSpec) -> Iterable[Proposal]:
        for margin in at_risk:
            yield from decide(view, [margin, margin], spec)

    history = History(engine=Engine(opened_ledger, {"partial_liquidation": twice}))
    assert breached(history) == ["account_has_open_intent"]


@pytest.mark.fault(13)
def test_a_try_that_came_to_nothing_is_no_duplicate() -> None:
    """When a reorg takes back the count of tries, the id of the next try still differs from the one that failed."""
    history = History()
    history.market()
    (intent,) = admitted(history.breach())
    history.prepare(intent, 0)
    cancel = history.prepare(intent, 0, attempt=2, fee_wei=40 * GWEI, kind="cancel")
    history.receipt(cancel, succeeded=True, number=history.engine.chains[31337].tip_number)
    history.engine.intents.tries.forgive(subject_of(intent))

    (again,) = admitted(history.block())

    assert again.intent_id != intent.intent_id
    assert (again.account, again.epoch) == (intent.account, intent.epoch)


def test_open_intents_are_not_sized_again() -> None:
    """A strategy is not asked about an account that has an unmined intent."""
    asked: list[int] = []

    def counting(
        view: StrategyView, at_risk: Sequence[AccountMargin], spec: PartialLiquidationSpec
    ) -> Iterable[Proposal]:
        asked.append(len(at_risk))
        return decide(view, at_risk, spec)

    history = History(engine=Engine(opened_ledger, {"partial_liquidation": counting}))
    history.market()
    history.breach()
    history.block()
    assert asked == [1]


def test_duplicate_intent() -> None:
    """A plan that had its effect is not admitted again in the same situation, as while the ledger lags behind it."""
    history = History()
    history.market()
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    tip = history.engine.chains[31337].tip
    assert tip is not None
    history.engine.intents.effect(attempt.tx_hash, tip.number, tip.hash)
    assert refused(history.block()) == ["duplicate_intent"]


def test_retry_budget_of_preflights() -> None:
    """An account whose simulation fails too often is left alone."""
    history = History(config_with(attempts_per_account_max=2))
    history.market()
    decisions = history.breach()
    for _ in range(2):
        intent = admitted(decisions)[0]
        tip = history.engine.chains[CHAIN].tip
        assert tip is not None
        history.step(
            PreflightSeen(intent.intent_id, tip.number, tip.hash, 0, RevertReason("45", b"")),
            IntentDropped(intent.intent_id, "preflight: 45"),
        )
        decisions = history.block()
    assert refused(decisions) == ["retry_budget"]


def test_retry_budget_of_reverts() -> None:
    """An account whose liquidation reverts on chain too often is left alone."""
    history = History(config_with(attempts_per_account_max=1))
    history.market()
    attempt = history.prepare(admitted(history.breach())[0], 0)
    history.block()
    history.receipt(attempt, succeeded=False)
    assert refused(history.block()) == ["retry_budget"]


def test_retry_budget_is_forgiven() -> None:
    """When anybody liquidates the account its situation is new and it may be tried again."""
    history = History(config_with(attempts_per_account_max=1))
    history.market()
    intent = admitted(history.breach())[0]
    attempt = history.prepare(intent, 0)
    history.block()
    history.receipt(attempt, succeeded=False)
    seen = ("liquidated", intent.account, BOB, intent.spend.token, ETH, 100 * TOKEN, 1)
    assert len(admitted(history.block(seen))) == 1


def test_retry_budget_is_of_one_breach() -> None:
    """Tries that failed because the account was healthy again do not count against its next breach."""
    history = History(config_with(attempts_per_account_max=1))
    history.market()
    attempt = history.prepare(admitted(history.breach())[0], 0)
    history.block(("price", ETH, PRICES[ETH]))
    history.receipt(attempt, succeeded=False)
    assert len(admitted(history.breach())) == 1


def test_renewed_budget_keeps_ids_apart() -> None:
    """The same plan in a new breach is another intent than the one that failed in the old breach."""
    history = History(config_with(attempts_per_account_max=1))
    history.market()
    first = admitted(history.breach())[0]
    attempt = history.prepare(first, 0)
    history.block(("price", ETH, PRICES[ETH]))
    history.receipt(attempt, succeeded=False)
    second = admitted(history.breach())[0]
    assert (second.data, second.epoch) == (first.data, first.epoch)
    assert second.intent_id != first.intent_id


def test_gas_price_above_max() -> None:
    """Above the operator's gas price nothing is admitted; the base fee may rise by an eighth until the next block."""
    history = History(config_with(gas_price_wei_max=Wei(11 * GWEI)))
    assert breached(history) == ["gas_price_above_max"]


def test_gas_price_unknown() -> None:
    """Without a price for gas no profit is known, and nothing is admitted."""
    history = History()
    history.start()
    history.read_signer()
    prices = [("price", token, price) for token, price in PRICES.items() if token != NATIVE]
    history.block(*prices, *position(BOB, eth=10, usd=15_000))
    assert refused(history.breach()) == ["gas_price_unknown"]


def test_native_price_of_zero() -> None:
    """A native coin that the oracle says is worth nothing does not make gas free: nothing is admitted."""
    history = History()
    history.market()
    history.block(("price", NATIVE, 0))
    assert refused(history.breach()) == ["gas_price_unknown"]


def test_profit_below_min() -> None:
    """A slice that earns less than the minimum is refused."""
    assert breached(History(config_with(profit_base_min=BaseAmount(400 * UNIT)))) == ["profit_below_min"]


def test_larger_slice_for_the_minimum() -> None:
    """Where the slice for the target earns too little, a larger one that earns the minimum passes the gate."""
    history = History(config_with(profit_base_min=BaseAmount(320 * UNIT)))
    history.market()
    (intent,) = admitted(history.breach())
    assert BaseAmount(320 * UNIT) <= intent.profit_base < BaseAmount(321 * UNIT)


def test_held_back() -> None:
    """A toxic slice that earns nothing is refused by the reason that the strategy gives."""
    config = config_with(profit_base_min=BaseAmount(-(10**12)))
    dear = msgspec.structs.replace(config.strategies[0], slippage_bps_default=Bps(600))
    history = History(msgspec.structs.replace(config, strategies=(dear,)))
    history.market()
    refusals = [one for one in history.block(("price", ETH, 15 * 10**6)) if isinstance(one, ProposalRefused)]
    assert [(one.reason, one.detail.split(":")[0]) for one in refusals] == [("held_back", "toxic")]


def test_spend_per_intent() -> None:
    """A slice that costs more than one may is refused."""
    limited = config_with(spend_base_per_intent_max=BaseAmount(6000 * UNIT))
    assert breached(History(limited, engine=greedy_engine())) == ["spend_per_intent"]


def test_slices_fit_the_spend_limit() -> None:
    """An account too large for one intent is helped in slices that each fit the limit."""
    history = History(config_with(spend_base_per_intent_max=BaseAmount(6000 * UNIT)))
    history.market()
    spent = [intent.spend_base for intent in admitted(history.breach())]
    assert len(spent) == 1
    assert BaseAmount(5990 * UNIT) < spent[0] <= BaseAmount(6000 * UNIT)


def test_spend_per_hour() -> None:
    """Slices that together cost more than an hour may are refused, and admitted an hour later."""
    history = History(config_with(spend_base_per_hour_max=BaseAmount(10_000 * UNIT), head_age_seconds_max=10**6))
    history.market()
    history.block(*position(BOB, eth=10, usd=15_000))
    decisions = history.breach()
    assert (len(admitted(decisions)), refused(decisions)) == (1, ["spend_per_hour"])
    history.tick(3600)
    assert [intent.account for intent in admitted(history.block())] == [BOB]


def test_inventory_is_shared_out() -> None:
    """The second account is offered only what the first one's intent left."""
    history = History()
    history.market()
    history.block(*position(BOB, eth=10, usd=15_000))
    history.read_signer(balance=8000 * TOKEN)
    spent = [int(intent.spend.amount) for intent in admitted(history.breach())]
    assert (len(spent), sum(spent)) == (2, 8000 * TOKEN)


def test_inventory_short() -> None:
    """A strategy that spends more than there is gets refused."""
    history = History(engine=greedy_engine())
    history.market()
    history.read_signer(balance=6428 * TOKEN)
    assert refused(history.breach()) == ["inventory_short"]


def test_allowance_short() -> None:
    """A token that the pool may not take yet waits for its approval."""
    history = History()
    history.market()
    history.read_signer(allowance=100)
    decisions = history.breach()
    assert refused(decisions) == ["allowance_short"]
    assert [intent.kind for intent in admitted(decisions)] == ["approval"] * 4


def test_allowance_is_shared_out() -> None:
    """An allowance that intents in flight will use up is not there for another."""
    signer = msgspec.structs.replace(SIGNER_SPEC, in_flight_max=16)
    history = History(msgspec.structs.replace(CONFIG, signers=(signer,)))
    history.market()
    history.block(*position(BOB, eth=10, usd=15_000))
    history.read_signer(allowance=8000 * TOKEN)
    assert refused(history.breach()) == ["allowance_short"]


def test_in_flight_max() -> None:
    """A signer has no more unmined intents than its configuration allows; one refusal says that the rest must wait."""
    history = History()
    history.market()
    accounts = [Address(bytes([number]) * 20) for number in range(1, 6)]
    history.block(*[log for account in accounts for log in position(account, eth=10, usd=15_000)])
    decisions = history.breach()
    assert (len(admitted(decisions)), refused(decisions)) == (4, ["in_flight_max"])


def test_refusal_says_why() -> None:
    """A refusal carries the proposal and the figures that the rule looked at."""
    history = History(config_with(profit_base_min=BaseAmount(400 * UNIT)))
    history.market()
    refusals = [decision for decision in history.breach() if isinstance(decision, ProposalRefused)]
    assert [refusal.detail for refusal in refusals] == ["37275000000 is below 40000000000 (USD 1e-8)"]
