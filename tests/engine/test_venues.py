"""Several venues in one run: what is held, spent and paid for gas is one for all, and the most urgent comes first."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, IntentAdmitted, Proposal, ProposalRefused
from keeper.core.facts import RawLog, SignerRead
from keeper.core.ids import Address, content_id
from keeper.core.runconfig import Holding, RunConfig
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wei
from tests.engine.history import (
    ALICE,
    BOB,
    BREACH,
    CHAIN,
    CONFIG,
    LIMITS,
    PRICES,
    SIGNER_SPEC,
    STRATEGY_SPEC,
    TOKEN,
    UNIT,
    VENUE_SPEC,
    History,
    admitted,
    position,
    refused,
)
from tests.engine.toy import ETH, NATIVE, POOL, TOKENS, USD, pool_log

SECOND_POOL = Address(b"\x98" * 20)
SECOND = msgspec.structs.replace(VENUE_SPEC, name="second", root=SECOND_POOL)
ONE_SLICE = 10**4 * UNIT
"""More than a slice of either account costs, and less than two."""


def config(*, room: int = 4, one_strategy: bool = True, **limits: object) -> RunConfig:
    """Return a run of two venues, by one strategy or by one for each, the first venue's before the second's."""
    both = (msgspec.structs.replace(STRATEGY_SPEC, venues=("toy", "second")),)
    each = (STRATEGY_SPEC, msgspec.structs.replace(STRATEGY_SPEC, name="other", venues=("second",)))
    return msgspec.structs.replace(
        CONFIG,
        venues=(VENUE_SPEC, SECOND),
        signers=(msgspec.structs.replace(SIGNER_SPEC, in_flight_max=room),),
        strategies=both if one_strategy else each,
        limits=msgspec.structs.replace(LIMITS, **limits),
    )


def logs(pool: Address, *fields: tuple[object, ...]) -> tuple[RawLog, ...]:
    """Return a venue's logs."""
    raw = (pool_log(place, content_id("tx", pool, place), *each) for place, each in enumerate(fields))
    return tuple(msgspec.structs.replace(log, address=pool) for log in raw)


def opened(run: RunConfig, native: Address = POOL) -> History:
    """Open ALICE at the first venue and BOB, who owes twice as much, at the second; one venue prices the coin."""
    history = History(run)
    history.start()
    pools = (POOL, SECOND_POOL)
    holdings = tuple(
        Holding(token, pool, TokenAmount(10**6 * TOKEN), TokenAmount(UINT256_MAX)) for token in TOKENS for pool in pools
    )
    history.step(SignerRead(CHAIN, "main", 1, content_id("block", "a", 1), Wei(10**18), 0, holdings))
    accounts = {POOL: position(ALICE, eth=10, usd=15_000), SECOND_POOL: position(BOB, eth=20, usd=30_000)}
    priced = [
        log
        for pool in pools
        for log in logs(
            pool,
            *(("price", token, price) for token, price in PRICES.items() if token != NATIVE or pool == native),
            *accounts[pool],
        )
    ]
    history.apply(tuple(msgspec.structs.replace(log, log_index=place) for place, log in enumerate(priced)))
    return history


def breach(history: History) -> list[AnyDecision]:
    """Let the price fall at both venues."""
    return history.apply((*logs(POOL, ("price", ETH, BREACH)), *logs(SECOND_POOL, ("price", ETH, BREACH))))


def proposals(decisions: list[AnyDecision]) -> list[Proposal]:
    """Return all that was proposed, admitted or not."""
    kinds = (IntentAdmitted, ProposalRefused)
    return [each.proposal for each in decisions if isinstance(each, kinds) and each.proposal is not None]


@pytest.mark.parametrize("one_strategy", [True, False])
def test_the_most_urgent_of_all_venues_comes_first(one_strategy: bool) -> None:  # noqa: FBT001 - a table
    """With room for one, it goes to the account that lacks most, wherever the configuration names its venue."""
    decisions = breach(opened(config(room=1, one_strategy=one_strategy)))
    assert [intent.account for intent in admitted(decisions)] == [BOB]


@pytest.mark.parametrize("one_strategy", [True, False])
def test_an_hours_spending_is_of_all_venues(one_strategy: bool) -> None:  # noqa: FBT001 - a table
    """What one venue has spent the other cannot spend again."""
    limits = {"spend_base_per_hour_max": BaseAmount(12_000 * UNIT), "spend_base_per_intent_max": BaseAmount(ONE_SLICE)}
    decisions = breach(opened(config(one_strategy=one_strategy, **limits)))
    assert len(admitted(decisions)) == 1
    assert refused(decisions) == ["spend_per_hour"]


def test_gas_costs_the_same_at_every_venue() -> None:
    """The coin's price is taken where there is one, so a venue that does not list it pays what the other pays."""
    costs = {each.venue: each.gas_cost_base for each in proposals(breach(opened(config())))}
    assert len(costs) == 2
    assert len(set(costs.values())) == 1
    assert all(cost > BaseAmount(0) for cost in costs.values())


def test_the_dearest_price_of_the_coin_counts() -> None:
    """Where venues differ, gas is not made cheaper by choosing."""
    history = opened(config())
    history.apply(logs(SECOND_POOL, ("price", NATIVE, 3 * PRICES[NATIVE])))
    dear = {each.gas_cost_base for each in proposals(breach(history))}
    usual = {each.gas_cost_base for each in proposals(breach(opened(config())))}
    assert [int(each) for each in dear] == [3 * int(each) for each in usual]


def test_what_is_in_flight_at_one_venue_is_not_held_for_another() -> None:
    """Both venues take the same token of the same signer: the second slice is sized by what the first leaves."""
    history = opened(config(spend_base_per_intent_max=BaseAmount(ONE_SLICE)))
    short = tuple(
        Holding(USD, pool, TokenAmount(12_000 * TOKEN), TokenAmount(UINT256_MAX)) for pool in (POOL, SECOND_POOL)
    )
    history.step(SignerRead(CHAIN, "main", 2, content_id("block", "a", 2), Wei(10**18), 0, short))
    intents = admitted(breach(history))
    assert sum(int(intent.spend.amount) for intent in intents) <= 12_000 * TOKEN
    assert len(intents) == 2


def test_slippage_is_the_operators_for_each_token_and_not_for_a_venue() -> None:
    """The same token costs the same to sell, wherever it was seized."""
    run = config()
    spec = msgspec.structs.replace(run.strategies[0], slippage_bps_default=Bps(50))
    made = proposals(breach(opened(msgspec.structs.replace(run, strategies=(spec,)))))
    shares = {round(10_000 * int(each.slippage_base) / int(each.preview.seized_base)) for each in made}
    assert (len(made), shares) == (2, {50})
