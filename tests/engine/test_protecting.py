"""The engine and the operator's own accounts: before others', through the same gate, done when the venue says so."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, Intent, IntentAdmitted, IntentState, ProtectionRefused
from keeper.core.errors import InvariantBroken
from keeper.core.ids import Address
from keeper.core.protection import ProtectionAction
from keeper.core.runconfig import RunConfig, SelfProtectSpec, StrategySpec
from keeper.core.units import BaseAmount, TokenAmount, Wad, Wei
from keeper.engine.intents import Failure
from keeper.engine.step import Engine
from strategies import STRATEGIES
from tests.engine.guarded import Guarded
from tests.engine.history import (
    ALICE,
    BOB,
    STRATEGY_SPEC,
    TOKEN,
    UNIT,
    History,
    admitted,
    config_with,
    moves,
    opened_ledger,
    position,
    refused,
)
from tests.engine.toy import ETH, EUR, POOL, USD

CENT = Wad.ONE // 100
SPEC = SelfProtectSpec(
    name="self_protect",
    venues=("toy",),
    signer="main",
    accounts=(ALICE,),
    floor_health=Wad(105 * CENT),
    target_health=Wad(110 * CENT),
    actions=("repay", "top-up"),
)
LOW = 1_950 * UNIT // TOKEN
"""ALICE is at 1.04 here: below her floor, above the line."""


class Narrow(Guarded):
    """The venue, where liquidators repay USD alone."""

    def tokens(self) -> tuple[Address, ...]:
        """One."""
        return (USD,)


def config(*strategies: StrategySpec, live: bool = True, **limits: object) -> RunConfig:
    """Return a run with these strategies, ALICE's care by default."""
    return msgspec.structs.replace(config_with(live=live, **limits), strategies=strategies or (SPEC,))


def opened(run: RunConfig | None = None) -> History:
    """Return a history in which ALICE is above her floor, at a venue where she can be helped."""
    history = History(run or config(), Engine(Guarded, STRATEGIES))
    history.market()
    return history


def lowered(history: History) -> list[AnyDecision]:
    """Let the price fall so far that ALICE is below her floor."""
    return history.block(("price", ETH, LOW))


def guarded(history: History) -> Guarded:
    """Return the venue."""
    ledger = history.engine.ledgers["toy"]
    assert isinstance(ledger, Guarded)
    return ledger


def refusals(decisions: list[AnyDecision]) -> list[str]:
    """Return the reasons why protections were refused."""
    return [decision.reason for decision in decisions if isinstance(decision, ProtectionRefused)]


def helped(history: History, intent: Intent, nonce: int = 0) -> list[AnyDecision]:
    """Let an intent's transaction repay what it said."""
    attempt = history.prepare(intent, nonce)
    history.send(attempt)
    debt = 15_000 * TOKEN - int(intent.spend.amount)
    return history.block(("set", ALICE, USD, 0, debt), tx_hash=attempt.tx_hash)


def failed(history: History, intent: Intent, nonce: int) -> None:
    """Let an intent's transaction revert."""
    attempt = history.prepare(intent, nonce)
    history.send(attempt)
    history.block()
    history.receipt(attempt, succeeded=False)


def test_an_account_below_its_floor_is_protected_before_the_line() -> None:
    """The record holds the figures and the alternatives, the intent spends what is repaid, and nothing is earned."""
    history = opened()
    assert admitted(history.block()) == []
    (decision,) = (each for each in lowered(history) if isinstance(each, IntentAdmitted))
    intent, proposal = decision.intent, decision.protection
    assert proposal is not None
    assert (intent.kind, intent.account, intent.to, decision.proposal) == ("protection", ALICE, POOL, None)
    assert (intent.spend.token, intent.spend.amount, intent.spend_base) == (USD, proposal.amount, proposal.amount_base)
    assert (intent.profit_base, intent.gas_price_wei_max) == (BaseAmount(0), history.engine.limits.gas_price_wei_max)
    assert (proposal.health_before, proposal.floor_health, proposal.target_health) == (
        Wad(104 * CENT),
        SPEC.floor_health,
        SPEC.target_health,
    )
    assert (proposal.action, [each.action for each in proposal.alternatives]) == ("repay", ["top-up"])


def test_its_success_is_the_venues_event_and_one_is_under_way_at_a_time() -> None:
    """While it waits nothing else is done for the account; the event ends it, and the account is safe."""
    history = opened()
    (intent,) = admitted(lowered(history))
    waiting = history.block()
    assert (admitted(waiting), refusals(waiting)) == ([], [])
    decisions = helped(history, intent)
    assert moves(decisions) == [IntentState.MINED]
    assert admitted(decisions) == []
    (tracked,) = history.engine.intents.all_open()
    assert tracked.failure is None
    number = history.engine.chains[31337].tip_number
    assert moves(history.finalize(number)) == [IntentState.FINAL_SUCCESS]


def test_another_accounts_event_in_the_same_transaction_is_not_its_success() -> None:
    """Without the account's own event a mined transaction had no effect."""
    history = opened()
    (intent,) = admitted(lowered(history))
    attempt = history.prepare(intent, 0)
    history.send(attempt)
    history.block(("set", BOB, USD, 0, 5), tx_hash=attempt.tx_hash)
    history.receipt(attempt, succeeded=True)
    (tracked,) = history.engine.intents.all_open()
    assert tracked.failure is Failure.REVERTED


def test_own_accounts_come_before_others() -> None:
    """One wallet: ALICE, who is the operator's, has what she needs, and BOB is sized by what is left."""
    history = opened(config(STRATEGY_SPEC, SPEC))
    history.block(*position(BOB, eth=10, usd=15_000))
    history.read_signer(balance=2_500 * TOKEN)
    mine, other = admitted(history.breach())
    assert [(mine.kind, mine.account), (other.kind, other.account)] == [("protection", ALICE), ("liquidation", BOB)]
    assert mine.spend.amount + other.spend.amount == TokenAmount(2_500 * TOKEN)


def test_an_own_account_that_is_liquidatable_is_protected_and_not_liquidated() -> None:
    """At the same head the care of the account comes first, and then it has an intent under way."""
    history = opened(config(STRATEGY_SPEC, SPEC))
    decisions = history.breach()
    assert [intent.kind for intent in admitted(decisions)] == ["protection"]
    assert refused(decisions) == []


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (config(live=False), "dry_run"),
        (config(gas_price_wei_max=Wei(1)), "gas_price_above_max"),
        (config(spend_base_per_hour_max=BaseAmount(1)), "spend_per_hour"),
    ],
)
def test_the_gate_is_the_same_for_it(run: RunConfig, reason: str) -> None:
    """A refusal is recorded once for a situation, and with its figures."""
    history = opened(run)
    assert refusals(lowered(history)) == [reason]
    assert refusals(history.block()) == []
    assert refusals(history.block(("price", ETH, LOW - 1))) == []
    history.block(("set", ALICE, EUR, 1, 0))
    history.block(("price", ETH, LOW - 2))
    (standing,) = history.engine._state.refusals.entries()
    assert (standing.reason, standing.account) == (reason, ALICE)


def test_profit_is_not_asked_for() -> None:
    """A minimum that no slice could earn does not keep the operator's own account from being helped."""
    history = opened(config(profit_base_min=BaseAmount(10**6 * UNIT)))
    assert [intent.kind for intent in admitted(lowered(history))] == ["protection"]


def test_one_intent_takes_no_more_than_its_limit_and_the_next_goes_on() -> None:
    """A limit below what is needed gives a part now."""
    limit = 100 * UNIT
    history = opened(config(spend_base_per_intent_max=BaseAmount(limit)))
    (intent,) = admitted(lowered(history))
    assert BaseAmount(0) < intent.spend_base <= BaseAmount(limit)
    assert intent.why.startswith("the target is out of reach")


def test_only_what_own_accounts_may_need_is_allowed_to_the_venue() -> None:
    """ALICE owes USD and has ETH: no other token that the signer holds is allowed, and nothing for "reduce"."""
    history = opened()
    history.read_signer(allowance=0)
    tokens = [intent.spend.token for intent in admitted(history.block()) if intent.kind == "approval"]
    assert set(tokens) == {USD, ETH}
    assert refusals(lowered(history)) == ["allowance_short"]


@pytest.mark.parametrize(
    ("actions", "tokens"),
    [(("top-up",), {ETH, USD}), (("repay",), {USD}), (("reduce",), set()), (("reduce", "repay"), {USD})],
)
def test_what_the_operators_actions_do_not_take_is_not_allowed(
    actions: tuple[ProtectionAction, ...], tokens: set[Address]
) -> None:
    """A reduction takes nothing from the wallet, so it asks for no allowance."""
    history = opened(config(msgspec.structs.replace(SPEC, actions=actions)))
    history.block(("set", ALICE, USD, 10, 15_000 * TOKEN))
    history.read_signer(allowance=0)
    assert {intent.spend.token for intent in admitted(history.block()) if intent.kind == "approval"} == tokens


def test_a_token_that_no_liquidator_repays_may_be_allowed_for_it() -> None:
    """Where liquidators repay USD alone, ETH can still be topped up."""
    history = History(config(), Engine(Narrow, STRATEGIES))
    history.market()
    history.read_signer(allowance=0)
    decisions = history.block()
    assert {intent.spend.token for intent in admitted(decisions)} == {USD, ETH}


def test_without_the_one_token_the_next_action_is_taken() -> None:
    """An empty purse of USD does not keep the ETH from being added."""
    history = opened()
    history.read_signer()
    wallet = history.engine.wallets[31337, "main"]
    held = tuple(
        msgspec.structs.replace(each, balance=TokenAmount(0)) if each.token == USD else each for each in wallet.holdings
    )
    history.step(msgspec.structs.replace(wallet, holdings=held))
    (intent,) = admitted(lowered(history))
    assert (intent.spend.token, intent.data[:6]) == (ETH, b"top-up")


def test_after_a_failure_another_action_is_tried() -> None:
    """Each try is another intent and begins with another action, until the budget of the breach is spent."""
    history = opened()
    tried: list[Intent] = []
    intents = admitted(lowered(history))
    while intents:
        tried += intents
        failed(history, intents[0], len(tried) - 1)
        intents = admitted(history.block())
    assert [intent.spend.token for intent in tried] == [USD, ETH, USD]
    assert len({intent.intent_id for intent in tried}) == 3
    history.block(("price", ETH, 2_000 * UNIT // TOKEN))
    assert len(admitted(lowered(history))) == 1
    assert history.engine.intents.tries.of(("toy", ALICE)).total == 3


def test_a_new_run_tries_again() -> None:
    """The budget of tries is of a run where nothing on chain renews it."""
    history = opened()
    intents = admitted(lowered(history))
    for nonce in range(3):
        failed(history, intents[0], nonce)
        intents = admitted(history.block())
    assert intents == []
    history.start()
    assert len(admitted(history.block())) == 1


def test_what_is_unknown_or_in_doubt_is_left_alone() -> None:
    """Without a price, or after an audit that differed, nothing is known to help."""
    history = opened()
    history.block(("set", ALICE, Address(b"\x04" * 20), 1, 0))  # gold, which has no price
    assert admitted(lowered(history)) == []
    doubted = opened()
    doubted.engine._state.health.doubted.add(("toy", ALICE))
    assert admitted(lowered(doubted)) == []


def test_a_venue_without_protections_is_passed_over() -> None:
    """Nothing is decided where nothing is built."""
    history = History(config(), Engine(opened_ledger, STRATEGIES))
    history.market()
    assert lowered(history) == [] or admitted(lowered(history)) == []


def test_nothing_but_the_venues_own_contract_is_called() -> None:
    """A call elsewhere is refused by the gate."""
    history = opened()
    guarded(history).guard.spender = Address(b"\x66" * 20)
    guarded(history).guard.call = lambda *_: msgspec.structs.replace(  # type: ignore[method-assign]  # astray
        type(guarded(history).guard).call(guarded(history).guard, ALICE, "repay", USD, TokenAmount(1)), to=POOL
    )
    assert refusals(lowered(history)) == ["target_not_allowed"]


def test_a_strategy_of_another_kind_is_a_bug() -> None:
    """What proposes slices cannot care for own accounts."""
    strategies = {**STRATEGIES, "self_protect": lambda *_: [object()]}
    history = History(config(), Engine(Guarded, strategies))  # type: ignore[arg-type]  # that is the bug
    history.market()
    with pytest.raises(InvariantBroken, match="proposed a object"):
        lowered(history)


def test_a_reorg_takes_its_success_back() -> None:
    """The abandoned block's event counts no more, and the intent waits again."""
    history = opened()
    (intent,) = admitted(lowered(history))
    helped(history, intent)
    assert moves(history.revert()) == [IntentState.BROADCAST]


def test_the_state_is_kept() -> None:
    """A snapshot holds the intent and the refusal, and goes on alike."""
    history = opened(config(live=False))
    lowered(history)
    other = Engine(Guarded, STRATEGIES)
    other.load(history.engine.snapshot())
    assert other.state_hash() == history.engine.state_hash()
