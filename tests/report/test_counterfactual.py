"""The setting that would have let a proposal pass: worked out, tried on the engine, and not one unit too much."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from keeper.core.facts import IntentDropped, PreflightSeen, RevertReason
from keeper.core.ids import Address
from keeper.core.runconfig import RunConfig
from keeper.core.units import BaseAmount, Wei
from keeper.engine.policy import RULES
from keeper.engine.step import Engine
from keeper.report.counterfactual import Trial
from keeper.report.governing import GOVERNED, NOT_GOVERNED, adjustments
from keeper.report.model import Counterfactual
from keeper.settings.keys import key_at
from tests.engine.history import (
    ALICE,
    BLOCK_SECONDS,
    BOB,
    CHAIN,
    CONFIG,
    GWEI,
    PRICES,
    SIGNER_SPEC,
    UNIT,
    History,
    admitted,
    config_with,
    new_engine,
    position,
)
from tests.engine.test_policy import greedy_engine
from tests.report.told import explained


def breached(history: History) -> History:
    """Return a history after its breach."""
    history.market()
    history.breach()
    return history


def dear_gas() -> History:
    """Gas is an eighth dearer than the base fee of 10 gwei."""
    return breached(History(config_with(gas_price_wei_max=Wei(11 * GWEI))))


def small_profit() -> History:
    """The best slice earns 372.75 USD."""
    return breached(History(config_with(profit_base_min=BaseAmount(400 * UNIT))))


def late_head() -> History:
    """The head is 61 seconds old."""
    history = History()
    history.market()
    history.tick(BLOCK_SECONDS + 61)
    history.breach()
    return history


def poor_signer() -> History:
    """The signer has one wei less than it must."""
    history = History()
    history.market()
    history.read_signer(balance_wei=10**17 - 1)
    history.breach()
    return history


def dry() -> History:
    """The run sends nothing."""
    return breached(History(config_with(live=False)))


def large_slice() -> History:
    """A strategy that does not look at the limit takes 6,428.16 USD."""
    return breached(History(config_with(spend_base_per_intent_max=BaseAmount(6000 * UNIT)), engine=greedy_engine()))


def spent_hour() -> History:
    """The first account takes most of what an hour allows."""
    history = History(config_with(spend_base_per_hour_max=BaseAmount(10_000 * UNIT)))
    history.market()
    history.block(*position(BOB, eth=10, usd=15_000))
    history.breach()
    return history


def spent_gas() -> History:
    """One slice may cost 0.001125 coins, an hour one unit less."""
    return breached(History(config_with(gas_wei_per_hour_max=Wei(1_125_000_000_000_000 - 1))))


def tried_in_vain() -> History:
    """Two simulations have failed, and one more cause of the same kind is allowed for."""
    history = History(config_with(attempts_per_account_max=2))
    history.market()
    decisions = history.breach()
    for _ in range(2):
        intent = admitted(decisions)[0]
        tip = history.engine.chains[CHAIN].tip
        assert tip is not None
        failed = PreflightSeen(intent.intent_id, tip.number, tip.hash, 0, RevertReason("45", b""))
        history.step(failed, IntentDropped(intent.intent_id, "preflight: 45"))
        decisions = history.block()
    return history


def full_signer() -> History:
    """One transaction may be in flight, for two accounts."""
    signer = msgspec.structs.replace(SIGNER_SPEC, in_flight_max=1)
    history = History(msgspec.structs.replace(CONFIG, signers=(signer,)))
    history.market()
    history.block(*position(BOB, eth=10, usd=15_000))
    history.breach()
    return history


CASES: list[tuple[Callable[[], History], Address, str, str, str]] = [
    (dear_gas, ALICE, "gas_price_above_max", "limits.gas_price_gwei_max", "11.25"),
    (small_profit, ALICE, "profit_below_min", "limits.profit_usd_min", "372.75"),
    (late_head, ALICE, "head_stale", "limits.head_age_seconds_max", "61"),
    (poor_signer, ALICE, "signer_balance_low", "signers.main.balance_wei_min", "99999999999999999"),
    (large_slice, ALICE, "spend_per_intent", "limits.spend_usd_per_intent_max", "6428.16"),
    (spent_hour, BOB, "spend_per_hour", "limits.spend_usd_per_hour_max", "12856.32"),
    (spent_gas, ALICE, "gas_budget", "limits.gas_native_per_hour_max", "0.001125"),
    (tried_in_vain, ALICE, "retry_budget", "limits.attempts_per_account_max", "3"),
    (full_signer, BOB, "in_flight_max", "signers.main.in_flight_max", "2"),
]


def found(history: History, account: Address = ALICE, opened: Callable[[], Engine] = new_engine) -> Counterfactual:
    """Return what would have let an account's proposal pass."""
    told = explained(history, account, opened=opened).counterfactual
    assert told is not None
    return told


def opened_for(tell: Callable[[], History]) -> Callable[[], Engine]:
    """Return what opens the engine that a history was made with."""
    return greedy_engine if tell is large_slice else new_engine


def test_every_rule_of_the_gate_is_governed_or_said_not_to_be() -> None:
    """Each rule has its setting, or a reason why none governs it, and never both."""
    names = {rule.__name__ for rule in RULES}

    assert {"dry_run", *GOVERNED, *NOT_GOVERNED} == names
    assert 1 + len(GOVERNED) + len(NOT_GOVERNED) == len(names)


def test_every_governing_setting_is_a_key_of_the_configuration() -> None:
    """What is named can be set."""
    assert [each.setting for each in GOVERNED.values() if key_at(each.setting.split(".")) is None] == []
    assert key_at(["mode"]) is not None


@pytest.mark.parametrize(("tell", "account", "rule", "setting", "value"), CASES)
def test_the_least_value_is_admitted(
    tell: Callable[[], History], account: Address, rule: str, setting: str, value: str
) -> None:
    """With the value that is named the engine admits, at the head that refused."""
    told = found(tell(), account, opened_for(tell))

    assert [(each.rule, each.setting, each.value, each.least) for each in told.changes] == [
        (rule, setting, value, True)
    ]
    assert (told.outcome, told.rule, told.intent_id is not None) == ("admitted", None, True)


@pytest.mark.parametrize(("tell", "account", "rule", "setting", "value"), CASES)
def test_one_unit_stricter_is_refused_still(
    tell: Callable[[], History], account: Address, rule: str, setting: str, value: str
) -> None:
    """The same head under one unit less is refused by the same rule: a control that the trial can refuse."""
    history, opened = tell(), opened_for(tell)
    refused = explained(history, account, opened=opened).refusals[-1]
    trial = trial_of(history, refused.cause, refused.clock_unix_ms, opened)
    (adjusted,) = adjustments(config_of(history), "partial_liquidation", refused.rule, refused.detail)
    assert adjusted.stricter is not None

    assert (refused.rule, adjusted.setting, adjusted.value) == (rule, setting, value)
    assert trial.run(adjusted.stricter, "toy", account).rule == rule
    assert trial.run(adjusted.config, "toy", account).rule is None


@pytest.mark.parametrize("tell", [case[0] for case in CASES])
def test_a_trial_without_a_change_refuses_as_recorded(tell: Callable[[], History]) -> None:
    """Under the settings in force the head gives the recorded refusal again, to the figure."""
    history, opened = tell(), opened_for(tell)
    account = next(case[1] for case in CASES if case[0] is tell)
    refused = explained(history, account, opened=opened).refusals[-1]
    decided = trial_of(history, refused.cause, refused.clock_unix_ms, opened).run(config_of(history), "toy", account)

    assert (decided.rule, decided.detail) == (refused.rule, refused.detail)


def trial_of(history: History, cause: int, clock_unix_ms: int, opened: Callable[[], Engine]) -> Trial:
    """Return the trial of a head."""
    engine = opened()
    for record in history.records[: cause - 1]:
        if record.cause == 0:
            engine.step(record.body, record.sequence)  # type: ignore[arg-type]  # a record without a cause is a fact
    return Trial(engine, opened, history.records[cause - 1].body, clock_unix_ms)  # type: ignore[arg-type]  # as above


def config_of(history: History) -> RunConfig:
    """Return what the run was told."""
    config = history.engine.config
    assert config is not None
    return config


def test_a_dry_run_would_have_acted() -> None:
    """Of a dry run the mode is the setting, which has no unit."""
    told = found(dry())

    assert [(each.setting, each.was, each.value, each.least) for each in told.changes] == [
        ("mode", "dry-run", "live", None)
    ]
    assert told.outcome == "admitted"


def test_the_rule_behind_the_rule_is_found() -> None:
    """When the next rule refuses too, its setting is named as well, until the proposal passes."""
    history = breached(
        History(config_with(live=False, gas_price_wei_max=Wei(11 * GWEI), profit_base_min=BaseAmount(400 * UNIT)))
    )
    told = found(history)

    assert [(each.rule, each.value) for each in told.changes] == [
        ("dry_run", "live"),
        ("gas_price_above_max", "11.25"),
        ("profit_below_min", "372.75"),
    ]
    assert told.outcome == "admitted"


def test_a_rule_that_no_setting_governs_ends_it() -> None:
    """What would have refused then is said, with its figures."""
    history = History(config_with(gas_price_wei_max=Wei(11 * GWEI)))
    history.market()
    history.read_signer(allowance=100)
    history.breach()
    told = found(history)

    assert [each.rule for each in told.changes] == ["gas_price_above_max"]
    assert (told.outcome, told.rule, told.intent_id) == ("refused", "allowance_short", None)
    assert "is allowed" in told.detail


def test_a_dry_run_without_a_signer_would_have_proposed_nothing() -> None:
    """A dry run shows what would be done with unlimited means; a live one has none."""
    history = History(config_with(live=False))
    history.start()
    prices = [("price", token, price) for token, price in PRICES.items()]
    history.block(*prices, *position(ALICE, eth=10, usd=15_000))
    history.breach()

    assert found(history).outcome == "nothing"


def test_what_no_setting_governs_has_no_counterfactual() -> None:
    """A missing allowance is no setting's doing."""
    history = History()
    history.market()
    history.read_signer(allowance=100)
    history.breach()

    assert explained(history).counterfactual is None


def test_figures_are_written_as_settings_are() -> None:
    """A setting's value is exact, whatever its size and sign."""
    profit, gas = GOVERNED["profit_below_min"], GOVERNED["gas_budget"]

    assert [profit.written(each) for each in (-150_000_000, 1, 0, 10**8)] == ["-1.5", "0.00000001", "0", "1"]
    assert gas.written(10**40 + 1) == "1" + "0" * 22 + "." + "0" * 17 + "1"
