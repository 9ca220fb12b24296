"""A postmortem's figures: each is the sum of the records that it stands for."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from keeper.core.decisions import HealthChanged, LiquidationObserved, ProposalRefused, RiskHealthChanged
from keeper.core.facts import ReceiptSeen
from keeper.core.risk import RiskStatus
from keeper.core.units import BaseAmount, Wei
from keeper.observe.metrics import Metrics
from keeper.report.incident import Incident
from keeper.report.sums import ranked
from keeper.report.survey import TRACED_MAX, Survey
from tests.engine.history import ALICE, CONFIG, GWEI, RIVAL, UNIT, History, config_with
from tests.engine.test_replay import eventful
from tests.engine.test_second_opinion import RISK
from tests.engine.toy import ETH, USD
from tests.report.incidents import incident
from tests.report.test_explaining import acted, judged


def metrics_of(history: History) -> CollectorRegistry:
    """Return what a run of this history would have exported."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for record in history.records:
        metrics.observe([record.body], first_sequence=record.sequence, unix_ms=record.recorded_at_ms)
    return registry


def rivalled() -> History:
    """Return a history in which another liquidates ALICE while she is refused for what she earns."""
    told = History(config_with(profit_base_min=BaseAmount(10**6 * UNIT)))
    told.market()
    told.breach()
    told.block(("liquidated", ALICE, RIVAL, USD, ETH, 75_000_000, 43_750))
    return told


@pytest.mark.parametrize("history", [eventful(), acted(), rivalled()], ids=["eventful", "acted", "rivalled"])
def test_liquidations_are_those_that_were_observed(history: History) -> None:
    """Each LiquidationObserved is listed once, ours as ours."""
    told = incident(history)
    observed = [
        (one.sequence, one.body.intent_id) for one in history.records if isinstance(one.body, LiquidationObserved)
    ]

    assert [(one.at.sequence, one.intent_id) for one in told.liquidations] == observed
    assert len(told.ours) + len(told.others) == sum(one.stands for one in told.liquidations)


def test_what_a_reorg_undid_does_not_stand() -> None:
    """Of a slice that was mined, abandoned and mined again two observations are listed, and one stands."""
    told = incident(eventful())
    (reorg,) = told.reorgs

    assert [one.stands for one in told.liquidations if one.is_ours] == [False, True]
    assert (reorg.depth, reorg.first, reorg.undone) == (1, 5, 1)


@pytest.mark.parametrize("history", [eventful(), acted(), rivalled()], ids=["eventful", "acted", "rivalled"])
def test_money_is_that_of_the_metrics(history: History) -> None:
    """Repaid, received, profit and gas of a whole journal are what the run exported."""
    told, registry = incident(history), metrics_of(history)
    labels = {"venue": "toy", "strategy": "partial_liquidation"}
    names = ("keeper_repaid_usd_total", "keeper_seized_usd_total", "keeper_profit_usd_total")
    sums = [
        sum(int(getattr(one, field)) for one in told.earned) for field in ("repaid_base", "seized_base", "profit_base")
    ]
    gas = registry.get_sample_value("keeper_gas_spent_wei_total", {"chain": "local", "signer": "main"})

    assert sums == [round((registry.get_sample_value(name, labels) or 0) * UNIT) for name in names]
    assert sum(int(one.wei) for one in told.gas) == (gas or 0)


def test_a_slice_says_what_it_earned() -> None:
    """Profit is received less repaid, gas and slippage, and the lines add up to the sum."""
    told = incident(acted())
    (one,), (total,) = told.ours, told.earned

    assert one.profit_base == total.profit_base
    assert int(total.profit_base) == int(total.seized_base) - sum(
        int(each) for each in (total.repaid_base, total.gas_base, total.slippage_base)
    )
    assert (int(one.repaid_base or 0), one.state) == (int(total.repaid_base), "final_success")


def test_a_slice_that_is_not_final_earns_nothing_yet() -> None:
    """Up to its receipt a slice waits, and counts in no sum."""
    history = acted()
    receipt = next(one.sequence for one in history.records if isinstance(one.body, ReceiptSeen))
    (total,) = incident(history, last=receipt).earned

    assert (total.slices, total.waiting, int(total.profit_base)) == (0, 1, 0)


def test_stages_are_those_of_the_explanation() -> None:
    """Latency is counted from the records' times, stage by stage."""
    assert [(one.stage, one.count, one.median_ms, one.max_ms) for one in incident(acted()).stages] == [
        ("decided", 1, 0, 0),
        ("sent", 1, 30, 30),
        ("included", 1, 23_970, 23_970),
        ("final", 1, 12_000, 12_000),
    ]


def test_percentiles_are_measured_values() -> None:
    """The nearest rank is a value that there is."""
    values = [5, 1, 4, 2, 3]

    assert [ranked(values, percent) for percent in (1, 50, 95, 100)] == [1, 3, 5, 5]


def test_refusals_are_counted_by_rule() -> None:
    """Each refusal is in one group, and the profit left is that of the last of each account."""
    history = rivalled()
    told = incident(history)
    refused = [one.body for one in history.records if isinstance(one.body, ProposalRefused)]
    counts = Counter(one.reason for one in refused)

    assert refused
    assert {one.reason: one.count for one in told.refusals} == counts
    last = {(one.reason, one.proposal.account): int(one.proposal.profit_base) for one in refused}
    assert sum(int(one.profit_base) for one in told.refusals) == sum(last.values())


def test_anothers_liquidation_has_its_verdict_and_value() -> None:
    """Who, why not us, and what it repaid at the venue's prices."""
    (one,) = incident(rivalled()).others

    assert (one.liquidator, one.verdict, one.profit_base) == (RIVAL, "refused-by-policy", None)
    assert one.repaid_base == BaseAmount(7_500 * UNIT)


def test_calls_and_breaches_are_the_records() -> None:
    """Each call and each status that is not healthy is listed with its record."""
    history = judged()
    history.block(("price", ETH, 1750 * 10**4))
    told = incident(history)

    assert [one.at.sequence for one in told.calls] == [
        one.sequence
        for one in history.records
        if isinstance(one.body, RiskHealthChanged) and one.body.opinion.status is RiskStatus.CALL
    ]
    assert [one.at.sequence for one in told.breaches] == [
        one.sequence
        for one in history.records
        if isinstance(one.body, HealthChanged) and one.body.margin.health.status.value != "healthy"
    ]


def test_distance_crosses_zero_where_the_account_falls_below_its_line() -> None:
    """ALICE is above at block 1 and below at block 2."""
    (path,) = incident(judged()).accounts
    distances = [(one.at.block, one.distance is not None and one.distance > 0) for one in path.points]

    assert path.account == ALICE
    assert (distances[0], distances[-1]) == ((1, True), (2, False))


def test_bad_debt_begins_and_ends_with_the_price() -> None:
    """What ALICE owes beyond her ETH is bad debt at that head, and none when the price is back."""
    history = History(config_with(live=False))
    history.market()
    history.block(("price", ETH, 1_000 * UNIT // 10**4))
    history.block(("price", ETH, 2_000 * UNIT // 10**4))
    (path,) = incident(history).bad_debt

    assert [(one.at.block, int(one.base), one.accounts) for one in path.points] == [(2, 5_000 * UNIT, 1), (3, 0, 0)]


def test_answers_that_are_no_acceptance_are_provider_faults() -> None:
    """What a provider answered otherwise is counted under its name."""
    assert [(one.kind, one.subject, one.count) for one in incident(acted()).troubles] == [("answer unknown", "node", 1)]


def test_silence_and_a_crash_are_troubles() -> None:
    """A head that came too late, and a run that began while another had not ended, are told."""
    told = incident(eventful())

    assert {"silence", "crash", "kill switch armed"} <= {one.kind for one in told.troubles}


def test_a_window_tells_of_itself_only() -> None:
    """What was before the window is context: its slices are not listed, its prices not drawn."""
    history = acted()
    final = [one.sequence for one in history.records][-1]
    told = incident(history, first=final - 1)

    assert (told.liquidations, told.calls, told.stages) == ((), (), ())
    assert [one.slices for one in told.earned] == [1]
    assert told.window.records == 2


def test_every_sentence_names_records_that_there_are() -> None:
    """The sequences of the narrative are of the window or of what led to it."""
    told = incident(eventful())
    sequences = {one for chapter in told.narrative for each in chapter.sentences for one in each.sequences}

    assert sequences
    assert sequences <= set(range(1, told.window.last_sequence + 1))


def test_the_story_of_an_account_has_its_figures() -> None:
    """The sentence about ALICE names the slice, its block, its end and the command that checks it."""
    told = incident(acted())
    (story,) = next(one.sentences for one in told.narrative if one.title == "Account by account")

    assert "fell below the line at block 2" in story.text
    assert "repaying $6,428.16" in story.text
    assert "in block 4, included 23.97 s after it was sent, final in block 5" in story.text
    assert story.check == f"keeper explain 0x{ALICE.hex()} --venue toy --at {story.sequences[-1]}"


def test_a_quiet_window_says_so() -> None:
    """Nobody fell, nothing was lost."""
    history = History()
    history.market()
    texts = [each.text for chapter in incident(history).narrative for each in chapter.sentences]

    assert "No account fell below its venue's line." in texts
    assert "No account owed more than its collateral at any head." in texts


def test_the_timeline_is_in_order() -> None:
    """Lines stand by the records that tell them."""
    told: Incident = incident(eventful())
    places = [one.at.sequence for one in told.timeline]

    assert places == sorted(places)
    assert {"breach", "slice", "reorg"} <= {one.kind for one in told.timeline}


def test_no_more_accounts_are_drawn_than_can_be() -> None:
    """Those that owe most are kept, the others are counted."""
    survey = Survey()
    survey.debts = {("toy", bytes([place // 256, place % 256])): place for place in range(TRACED_MAX + 5)}  # type: ignore[misc]  # any key

    assert len(survey.traced) == TRACED_MAX
    assert min(survey.debts[subject] for subject in survey.traced) == 5


def test_a_call_before_the_window_is_remembered() -> None:
    """An account that was called before the window began was forewarned."""
    history = History(msgspec.structs.replace(CONFIG, risk=(RISK,)))
    history.market()
    history.block(("price", ETH, 1_900 * UNIT // 10**4))
    before = len(history.records)
    history.breach()
    (path,) = [one for one in incident(history, first=before + 1).accounts if one.account == ALICE]

    assert path.called is not None
    assert path.breached is not None
    assert path.called.sequence <= before < path.breached.sequence


def test_gas_points_have_the_price_that_was_paid() -> None:
    """The block of our receipt has the price beside its base fee."""
    told = incident(acted())

    assert [(one.at.block, int(one.base_fee_wei) // GWEI, one.paid_wei) for one in told.gas_points][1:4] == [
        (2, 10, None),
        (3, 10, None),
        (4, 10, Wei(15 * GWEI)),
    ]
