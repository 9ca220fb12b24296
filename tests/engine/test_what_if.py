"""What if: under the recorded configuration nothing differs, under another what follows from it, and nothing breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.codec import Record
from keeper.core.decisions import IntentAdmitted, LiquidationObserved, SignerHalted, Verdict
from keeper.core.errors import ConfigError
from keeper.core.facts import IntentDropped, RunStarted, SettingsReloaded
from keeper.core.ids import Address
from keeper.core.runconfig import RunConfig, SignerSpec
from keeper.core.units import BaseAmount, Wad, Wei
from keeper.engine.differing import Difference, How, fields_that_differ
from keeper.engine.what_if import NEVER_SENT, WhatIf, what_if
from tests.engine.history import (
    ALICE,
    BOB,
    CHAIN_SPEC,
    CONFIG,
    GWEI,
    SIGNER_SPEC,
    UNIT,
    VENUE_SPEC,
    History,
    admitted,
    config_with,
    position,
    refused,
)
from tests.engine.other_settings import other_settings
from tests.engine.test_replay import eventful
from tests.engine.test_second_opinion import eth, history
from tests.golden import golden_records
from tests.golden.story import golden_engine

TOLD: dict[str, Callable[[], list[Record]]] = {"golden": golden_records, "eventful": lambda: eventful().records}


def under(records: list[Record], change: Callable[[RunConfig], RunConfig]) -> WhatIf:
    """Replay records under a configuration that is made from each recorded one."""
    return what_if(records, golden_engine(), lambda fact, _: change(fact.config))


def with_limits(**limits: object) -> Callable[[RunConfig], RunConfig]:
    """Return a change of limits."""
    return lambda config: msgspec.structs.replace(config, limits=msgspec.structs.replace(config.limits, **limits))


def with_risk(**changes: Any) -> Callable[[RunConfig], RunConfig]:  # noqa: ANN401 - any field of the model
    """Return a change of the models of risk."""
    return lambda config: msgspec.structs.replace(
        config,
        risk=tuple(msgspec.structs.replace(each, **changes) for each in config.risk or ()),
    )


def with_target(config: RunConfig) -> RunConfig:
    """Change the target of every strategy to 1.1."""
    strategies = tuple(msgspec.structs.replace(each, target_health=Wad(110 * 10**16)) for each in config.strategies)
    return msgspec.structs.replace(config, strategies=strategies)


def of_kind(found: WhatIf, kind: type) -> list[Difference]:
    """Return the differences of one kind of decision."""
    return [each for each in found.compared.differences if each.kind == kind.__name__]


def dear() -> History:
    """Return a history in which ALICE is not helped because gas is above the ceiling of 5 gwei."""
    told = History(config_with(gas_price_wei_max=Wei(5 * GWEI)))
    told.market()
    assert refused(told.breach()) == ["gas_price_above_max"]
    for _ in range(12):
        told.block()
    return told


@pytest.mark.parametrize("told", TOLD)
def test_without_a_change_nothing_differs(told: str) -> None:
    """Under the recorded configurations every decision is as recorded, and every fact is told."""
    records = TOLD[told]()
    found = under(records, lambda config: config)

    assert (found.compared.differences, found.skipped, found.expired, found.changes) == ((), {}, 0, ())
    assert found.facts == sum(record.cause == 0 for record in records)
    assert found.compared.missing == found.compared.extra == msgspec.structs.replace(found.compared.extra, intents=0)


@pytest.mark.slow
@given(told=st.sampled_from(sorted(TOLD)), change=other_settings(), again=other_settings())
@settings(max_examples=60)
def test_no_change_breaks_it(told: str, change: Any, again: Any) -> None:  # noqa: ANN401 - changes of configurations
    """Under any bounds and models, others in each run, the whole history is told and the differences add up."""
    records = TOLD[told]()
    changes = iter([change, again] * len(records))
    found = what_if(records, golden_engine(), lambda fact, _: next(changes)(fact.config))
    kinds = found.compared.kinds.values()

    assert found.last_sequence == len(records)
    assert sum(each.same + each.only_recorded + each.figures for each in kinds) == sum(
        each.cause > 0 for each in records
    )
    assert sum(each.only_recorded + each.only_changed + each.figures for each in kinds) == len(
        found.compared.differences
    )


def test_a_higher_ceiling_admits_what_was_refused() -> None:
    """A slice that dear gas forbade is admitted under a ceiling above the price; its value is in the answer."""
    found = under(dear().records, with_limits(gas_price_wei_max=Wei(200 * GWEI)))
    [first, *_] = of_kind(found, IntentAdmitted)

    assert isinstance(first.changed, IntentAdmitted)
    assert (first.how, first.recorded, first.changed.intent.account) == (How.ONLY_CHANGED, None, ALICE)
    assert found.compared.refusals["gas_price_above_max"].recorded == 1
    assert found.compared.refusals["gas_price_above_max"].changed == 0
    assert found.compared.recorded.intents == found.compared.missing.intents == 0
    assert found.compared.extra.repaid_base == first.changed.intent.spend_base > BaseAmount(0)
    assert [(each.path, each.recorded, each.changed) for each in found.changes] == [
        ("limits.gas_price_wei_max", 5 * GWEI, 200 * GWEI)
    ]


def test_what_was_not_sent_expires_and_counts_once() -> None:
    """An intent without outcome is given up after its last block and tried again; its value counts once."""
    found = under(dear().records, with_limits(gas_price_wei_max=Wei(200 * GWEI)))
    ends = [each for each in found.compared.differences if NEVER_SENT in str(each.changed)]

    assert (found.expired, len(ends)) == (1, 1)
    assert (found.compared.extra.intents, found.compared.extra.positions) == (2, 1)


def test_facts_of_intents_that_were_not_admitted_are_left_out() -> None:
    """Under a minimum that no slice earns, our transactions are left out by kind, and their effect is another's."""
    told = rescued()
    found = under(told.records, with_limits(profit_base_min=BaseAmount(10**6 * UNIT)))
    [seen] = of_kind(found, LiquidationObserved)

    assert found.skipped == {"AttemptPrepared": 1, "AttemptSent": 1, "ReceiptSeen": 1}
    assert (found.compared.missing.intents, found.compared.changed.intents) == (1, 0)
    assert isinstance(seen.changed, LiquidationObserved)
    assert seen.changed.verdict is Verdict.REFUSED
    assert tuple(each.path for each in seen.fields)[:1] > ("verdict", "intent_id") or seen.how is How.FIGURES


def rescued() -> History:
    """Return a history in which ALICE's slice is mined, and BOB's after it in the next slot."""
    told = History()
    told.market()
    intent = admitted(told.breach())[0]
    attempt = told.prepare(intent, 0)
    told.send(attempt)
    told.liquidation(attempt, intent)
    told.receipt(attempt, succeeded=True)
    return told


def test_slots_that_the_recorded_run_used_are_spent() -> None:
    """A slice that both runs admit keeps its facts though the one before it was sent in the recorded run alone."""
    told = History()
    told.market()
    told.block(*position(BOB, eth=1, usd=1_500))
    intents = {intent.account: intent for intent in admitted(told.breach())}
    for nonce, account in enumerate((ALICE, BOB)):
        attempt = told.prepare(intents[account], nonce)
        told.send(attempt)
        told.liquidation(attempt, intents[account])
        told.receipt(attempt, succeeded=True)
    told.read_signer(nonce=2)
    told.finalize(5)
    most = BaseAmount(2 * int(intents[BOB].spend_base))
    found = under(told.records, with_limits(spend_base_per_intent_max=most))

    assert found.skipped == {"AttemptPrepared": 1, "AttemptSent": 1, "ReceiptSeen": 1}
    assert found.compared.missing.intents == 1
    assert of_kind(found, SignerHalted) == []
    assert [each for each in found.compared.differences if "0x" + intents[BOB].intent_id.hex() in each.subject] == []


def test_an_attempt_above_the_ceiling_is_left_out_and_the_intent_waits_in_vain() -> None:
    """Where the intent is the same and its fee is not allowed any more, it is as if it had never been sent."""
    told = rescued()
    for _ in range(12):
        told.block()
    found = under(told.records, with_limits(gas_price_wei_max=Wei(15 * GWEI)))
    [same] = of_kind(found, IntentAdmitted)

    assert [each.path for each in same.fields] == ["intent.gas_price_wei_max"]
    assert found.skipped["AttemptPrepared"] == 1
    assert (found.moot, found.expired) == (1, 0)


def test_room_is_free_again_once_the_account_is_healthy() -> None:
    """An intent without outcome holds its signer's one place only until the recorded run's own slice has helped."""
    told = rescued()
    told.block(*position(BOB, eth=10, usd=15_000))
    told.block()

    def one_place(config: RunConfig) -> RunConfig:
        signers = tuple(msgspec.structs.replace(each, in_flight_max=1) for each in config.signers)
        return msgspec.structs.replace(with_target(config), signers=signers)

    found = under(told.records, one_place)

    assert (found.moot, found.compared.changed.positions) == (1, 2)
    assert "in_flight_max" not in found.compared.refusals


def test_a_drop_of_what_is_not_waiting_is_left_out() -> None:
    """The end of an intent that was never admitted under the change is no fact of that run."""
    told = History()
    told.market()
    intent = admitted(told.breach())[0]
    told.step(IntentDropped(intent.intent_id, "stale decision"))

    assert under(told.records, with_limits(profit_base_min=BaseAmount(10**6 * UNIT))).skipped == {"IntentDropped": 1}


def falling(**changes: Any) -> list[Record]:  # noqa: ANN401 - any field of the model
    """Return a history in which ETH falls from 2,300 to 1,950, fifty at a time."""
    told = history(**changes)
    told.market()
    for price in range(2_300, 1_949, -50):
        told.block(eth(price))
    return told.records


def test_larger_moves_call_earlier() -> None:
    """Under twice the moves the call of the fall comes blocks earlier, which is said by how many."""
    found = under(falling(move=0.03), with_risk(move=0.06)).compared.margin_calls

    [moved] = [each for each in found.moved if each.blocks is not None]
    assert moved.recorded_block is not None
    assert moved.changed_block is not None
    assert moved.account == ALICE
    assert moved.blocks == moved.changed_block - moved.recorded_block < 0


def test_smaller_moves_call_later() -> None:
    """The same the other way round, by as many blocks."""
    earlier = under(falling(move=0.03), with_risk(move=0.06)).compared.margin_calls
    later = under(falling(move=0.06), with_risk(move=0.03)).compared.margin_calls

    assert [each.blocks for each in later.moved if each.blocks] == [
        -each.blocks for each in earlier.moved if each.blocks
    ]


def test_a_model_where_there_was_none_calls_alone() -> None:
    """Without a recorded second opinion every call is the changed run's."""
    told = History()
    told.market()
    for price in (2_300, 2_000, 1_950):
        told.block(eth(price))
    with_model = history().config.risk
    found = under(told.records, lambda config: msgspec.structs.replace(config, risk=with_model)).compared.margin_calls

    assert (found.recorded, found.changed, found.same) == (0, 2, 0)
    assert {each.recorded_block for each in found.moved} == {None}


def test_another_target_changes_sizes() -> None:
    """A higher target closes more of the debt at once: another intent, and both are in the answer."""
    found = under(rescued().records, with_target)
    [admission] = of_kind(found, IntentAdmitted)

    assert admission.how is How.FIGURES
    assert {"intent.intent_id", "intent.spend.amount", "proposal.profit_base"} <= {
        each.path for each in admission.fields
    }
    assert found.compared.extra.repaid_base > found.compared.missing.repaid_base


def test_a_dry_run_can_be_asked_as_a_live_one() -> None:
    """What a dry run refused as such is admitted once the run counts as live."""
    told = History(config_with(live=False))
    told.market()
    assert refused(told.breach()) == ["dry_run"]
    found = under(told.records, lambda config: msgspec.structs.replace(config, live=True))

    assert (found.compared.recorded.intents, found.compared.changed.intents) == (0, 1)


def test_reloaded_settings_are_changed_too() -> None:
    """A change holds after the recorded run read its settings again."""
    told = History(config_with(gas_price_wei_max=Wei(5 * GWEI)))
    told.market()
    told.step(SettingsReloaded(told.config, "{}", told.unix_ms))
    told.breach()
    found = under(told.records, with_limits(gas_price_wei_max=Wei(200 * GWEI)))

    assert found.compared.extra.intents == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"venues": ()}, "venue toy: was left out"),
        ({"venues": (msgspec.structs.replace(VENUE_SPEC, prices="read"),)}, "venue toy: was changed"),
        ({"venues": (VENUE_SPEC, msgspec.structs.replace(VENUE_SPEC, name="other"))}, "venue other: was not followed"),
        ({"chains": (CHAIN_SPEC, msgspec.structs.replace(CHAIN_SPEC, chain_id=1))}, "chain 1: was not followed"),
        (
            {"signers": (msgspec.structs.replace(SIGNER_SPEC, address=Address(BOB)),)},
            "signer main: has another address",
        ),
    ],
)
def test_another_history_is_refused(changes: dict[str, Any], message: str) -> None:
    """What a journal cannot go on under is no change that can be asked about, in the daemon's words."""
    with pytest.raises(ConfigError, match=message):
        under(eventful().records, lambda config: msgspec.structs.replace(config, **changes))


def test_a_signer_that_leaves_later_keeps_its_intents_until_they_end() -> None:
    """An intent that only the changed run has does not forbid that its signer leaves in a later run."""
    told = History(config_with(gas_price_wei_max=Wei(5 * GWEI)))
    told.market()
    told.breach()
    other = SignerSpec(
        name="other",
        address=Address(b"\xbb" * 20),
        in_flight_max=1,
        bump_after_blocks=1,
        valid_for_blocks=1,
        balance_wei_min=Wei(0),
    )
    strategies = tuple(msgspec.structs.replace(each, signer="other") for each in CONFIG.strategies)
    told.config = msgspec.structs.replace(told.config, signers=(other,), strategies=strategies)
    told.step(SettingsReloaded(told.config, "{}", told.unix_ms))
    told.block()
    found = under(told.records, with_limits(gas_price_wei_max=Wei(200 * GWEI)))

    assert found.compared.extra.intents == 1


def test_versions_that_recorded_it_are_named() -> None:
    """Each version that wrote the journal is in the answer once."""
    records = eventful().records
    last = max(place for place, record in enumerate(records) if isinstance(record.body, RunStarted))
    body = msgspec.structs.replace(records[last].body, code_version="0.0.9")
    records[last] = msgspec.structs.replace(records[last], body=body)

    assert under(records, lambda config: config).code_versions == ("1", "0.0.9")


def test_figures_are_named_by_their_path() -> None:
    """A figure of a named section is found by that name, one of a list by its place, a missing one is unset."""
    other = with_limits(attempts_per_account_max=9)(CONFIG)
    other = msgspec.structs.replace(other, signers=(msgspec.structs.replace(SIGNER_SPEC, in_flight_max=1),), risk=())

    assert [(each.path, each.recorded, each.changed) for each in fields_that_differ(CONFIG, other)] == [
        ("signers.main.in_flight_max", 4, 1),
        ("limits.attempts_per_account_max", 3, 9),
        ("risk", msgspec.UNSET, ()),
    ]
    assert [each.path for each in fields_that_differ(((1, 2), 3), ((1, 4), 3))] == ["0.1"]
