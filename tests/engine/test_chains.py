"""Several chains in one run: each decides at its own head, under one switch and one set of limits."""

from __future__ import annotations

import msgspec
import pytest

from keeper.core.decisions import AnyDecision
from keeper.core.facts import BlockApplied, BlockHeader, ClockTicked, KillSwitchChanged, SignerRead
from keeper.core.ids import Hash32, content_id
from keeper.core.runconfig import Holding, RunConfig
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount, Wei
from tests.engine.history import (
    ALICE,
    BLOCK_SECONDS,
    BREACH,
    CHAIN,
    CHAIN_SPEC,
    CONFIG,
    GWEI,
    LIMITS,
    PRICES,
    SIGNER_SPEC,
    START_UNIX,
    STRATEGY_SPEC,
    TOKEN,
    VENUE_SPEC,
    History,
    admitted,
    position,
    refused,
)
from tests.engine.toy import ETH, POOL, TOKENS, pool_log

OTHER_CHAIN = 7
OTHER_VENUE = msgspec.structs.replace(VENUE_SPEC, name="far", chain_id=OTHER_CHAIN)
GAS_PRICE = 10 * GWEI * 9 // 8
SIGNED_COST = 200_000 * 20 * GWEI
"""The worst of an attempt of :meth:`History.prepare`."""
UNSIGNED_COST = 100_000 * GAS_PRICE


def config(*, room: int = 4, **limits: object) -> RunConfig:
    """Return a run of one strategy and one signer on two chains with a venue each."""
    other = msgspec.structs.replace(CHAIN_SPEC, name="other", chain_id=OTHER_CHAIN)
    return msgspec.structs.replace(
        CONFIG,
        chains=(CHAIN_SPEC, other),
        venues=(VENUE_SPEC, OTHER_VENUE),
        signers=(msgspec.structs.replace(SIGNER_SPEC, in_flight_max=room),),
        strategies=(msgspec.structs.replace(STRATEGY_SPEC, venues=("toy", "far")),),
        limits=msgspec.structs.replace(LIMITS, **limits),
    )


class TwoChains:
    """The same market on two chains, with the same account in it."""

    def __init__(self, run: RunConfig) -> None:
        self.history = History(run)
        self.history.start()
        self._tips: dict[int, BlockHeader] = {}
        for chain_id in (CHAIN, OTHER_CHAIN):
            self._read_signer(chain_id)
            prices = [("price", token, price) for token, price in PRICES.items()]
            self.block(chain_id, *prices, *position(ALICE, eth=10, usd=15_000))

    def _read_signer(self, chain_id: int) -> None:
        holdings = tuple(Holding(token, POOL, TokenAmount(10**6 * TOKEN), TokenAmount(UINT256_MAX)) for token in TOKENS)
        block_hash = content_id("block", chain_id, 1)
        self.history.step(SignerRead(chain_id, "main", 1, block_hash, Wei(10**18), 0, holdings))

    def block(self, chain_id: int, *logs: tuple[object, ...]) -> list[AnyDecision]:
        """Apply a chain's next block."""
        tip = self._tips.get(chain_id)
        number = 1 if tip is None else tip.number + 1
        parent: Hash32 = content_id("none") if tip is None else tip.hash
        own, timestamp = content_id("block", chain_id, number), START_UNIX + number * BLOCK_SECONDS
        header = BlockHeader(number, own, parent, timestamp, 10 * GWEI, b"")
        self._tips[chain_id] = header
        raw = tuple(pool_log(place, self.history.transaction(), *log) for place, log in enumerate(logs))
        return self.history.step(ClockTicked(timestamp * 1000), BlockApplied(chain_id, header, raw, (), 0))

    def breach(self, chain_id: int) -> list[AnyDecision]:
        """Let the price fall on one chain."""
        return self.block(chain_id, ("price", ETH, BREACH))


def test_an_hours_spending_is_of_all_chains() -> None:
    """What one chain has spent the other cannot spend again."""
    (slice_base,) = (intent.spend_base for intent in admitted(TwoChains(config()).breach(CHAIN)))
    for limit, expected in ((2 * slice_base, []), (2 * slice_base - BaseAmount(1), ["spend_per_hour"])):
        chains = TwoChains(config(spend_base_per_hour_max=limit))
        assert len(admitted(chains.breach(CHAIN))) == 1
        assert refused(chains.breach(OTHER_CHAIN)) == expected


@pytest.mark.parametrize("signed", [True, False])
def test_a_budget_of_gas_is_of_all_chains(signed: bool) -> None:  # noqa: FBT001 - a table
    """What is in flight on one chain, signed or not, leaves less of the hour's budget for the other."""
    total = (SIGNED_COST if signed else UNSIGNED_COST) + UNSIGNED_COST
    for budget, expected in ((total, []), (total - 1, ["gas_budget"])):
        chains = TwoChains(config(gas_wei_per_hour_max=Wei(budget)))
        (intent,) = admitted(chains.breach(CHAIN))
        if signed:
            chains.history.prepare(intent, 0)
        assert refused(chains.breach(OTHER_CHAIN)) == expected


def test_the_switch_stops_every_chain() -> None:
    """While it is armed nothing is admitted anywhere."""
    chains = TwoChains(config())
    chains.history.step(KillSwitchChanged(armed=True, reason="file"))
    assert [refused(chains.breach(chain_id)) for chain_id in (CHAIN, OTHER_CHAIN)] == [["kill_switch"]] * 2


def test_room_is_of_each_chain() -> None:
    """Nonces are counted on each chain, so a stuck one on the first holds nothing up on the second."""
    chains = TwoChains(config(room=1))
    assert [len(admitted(chains.breach(chain_id))) for chain_id in (CHAIN, OTHER_CHAIN)] == [1, 1]
