"""Hedges on record: when they begin, end, turn or change by more than the band, and not at every block."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, HedgeProposed
from keeper.core.ids import Address
from keeper.core.own_money import HedgePlan
from keeper.core.runconfig import DeltaHedgeSpec, RunConfig, VenueSpec
from keeper.core.units import BaseAmount, BigInt
from keeper.core.venue import Ledger
from keeper.engine.hedging import is_news
from keeper.engine.step import Engine
from strategies import STRATEGIES
from tests.engine.history import CONFIG, PRICES, SIGNER, TOKEN, UNIT, History, admitted
from tests.engine.toy import ETH, NATIVE, ToyLedger
from tests.strategies.test_delta_hedge import SPEC as PLAN_SPEC
from tests.strategies.test_delta_hedge import Positions

WHOLE = 10**18
SPEC = msgspec.structs.replace(PLAN_SPEC, accounts=(SIGNER,))


def opened(spec: DeltaHedgeSpec = SPEC) -> History:
    """Return a history in which the signer holds a million of each token, as it is read at the beginning."""
    run: RunConfig = msgspec.structs.replace(CONFIG, strategies=(spec,))
    return History(run, Engine(exchange, STRATEGIES))


def exchange(spec: VenueSpec) -> Ledger:
    """Open a venue where there are positions."""
    ledger = ToyLedger(spec)
    ledger.takeovers = Positions()
    return ledger


def hold(history: History, eth: int) -> list[AnyDecision]:
    """Let the signer hold so many ETH at the next block."""
    history.read_signer(balance=eth * TOKEN)
    return history.block()


def hedges(decisions: Iterable[AnyDecision]) -> list[int]:
    """Return the sizes that were proposed, in whole units."""
    return [int(each.plan.size) // WHOLE for each in decisions if isinstance(each, HedgeProposed)]


def test_a_plan_is_recorded_once_and_again_when_it_changes_materially() -> None:
    """Begun, the same, a little more, much more, turned into nothing, and begun again."""
    history = opened()
    history.start()
    history.read_signer(balance=10 * TOKEN)
    prices = [("price", token, price) for token, price in PRICES.items()]
    assert hedges(history.block(*prices)) == [-10]
    assert [hedges(hold(history, eth)) for eth in (10, 10, 11, 0, 0, 3)] == [[], [], [-11], [0], [], [-3]]


def test_a_small_change_is_no_news() -> None:
    """Less than the band since the last record, however often."""
    history = opened(msgspec.structs.replace(SPEC, band_base=BaseAmount(5_000 * UNIT)))
    history.market()
    assert [hedges(hold(history, eth)) for eth in (10, 11, 12, 13)] == [[-10], [], [], [-13]]


def test_the_record_says_what_the_delta_is_made_of() -> None:
    """Block, market, size, price bound and the holdings."""
    history = opened()
    history.market()
    (decision,) = (each for each in hold(history, 10) if isinstance(each, HedgeProposed))
    plan = decision.plan
    assert (decision.block_number, plan.market, plan.account) == (2, NATIVE, SIGNER)
    assert (plan.delta_base, plan.bound_base) == (BaseAmount(20_000 * UNIT), BaseAmount(1_990 * UNIT))
    assert [(each.token, each.amount) for each in plan.exposures] == [(ETH, 10 * TOKEN)]


def test_nothing_is_sent_and_nothing_is_allowed() -> None:
    """A proposal is for the operator's eyes: no intent, and no allowance for tokens that nobody takes."""
    history = opened()
    history.market()
    history.read_signer(balance=7 * TOKEN, allowance=0)
    decisions = history.block()
    assert hedges(decisions) == [-7]
    assert admitted(decisions) == []


def test_a_wallet_that_was_not_read_makes_no_plan() -> None:
    """What is unknown is not nothing."""
    history = opened()
    history.start()
    assert hedges(history.block(*[("price", token, price) for token, price in PRICES.items()])) == []


def test_a_snapshot_remembers_what_was_recorded() -> None:
    """A restored engine does not say it again."""
    history = opened()
    history.market()
    assert hedges(hold(history, 10)) == [-10]
    other = Engine(exchange, STRATEGIES)
    other.load(history.engine.snapshot())
    assert other.state_hash() == history.engine.state_hash()
    history.engine = other
    assert hedges(hold(history, 10)) == []


def test_a_venue_of_another_chain_is_not_looked_at() -> None:
    """Where the exchange is not on the chain of the head, nothing is decided."""
    history = opened(msgspec.structs.replace(SPEC, hedge_venue="elsewhere"))
    history.market()
    assert hedges(hold(history, 10)) == []


def plan_of(usd: int) -> HedgePlan:
    """Return a plan of a size at a dollar a unit, with a band of 100."""
    return HedgePlan(
        strategy="delta_hedge",
        venue="toy",
        market=NATIVE,
        account=Address(SIGNER),
        exposures=(),
        position=BigInt(0),
        delta_base=BaseAmount(-usd),
        band_base=BaseAmount(100),
        size=BigInt(usd),
        size_base=BaseAmount(usd),
        mark_base=BaseAmount(1),
        bound_base=BaseAmount(1),
        why="",
    )


@pytest.mark.parametrize(
    ("known", "plan", "news"),
    [
        (None, 0, False),
        (None, 101, True),
        (0, 101, True),
        (0, 0, False),
        (101, 0, True),
        (150, 250, False),
        (150, 251, True),
        (-150, -49, True),
        (-150, -50, False),
        (-40, 50, True),
    ],
)
def test_what_is_news(known: int | None, plan: int, news: bool) -> None:  # noqa: FBT001 - a table
    """Beginning, end, another side, or a change of more than the band."""
    assert is_news(None if known is None else plan_of(known), plan_of(plan)) is news
