"""Everything that one pass of a lane wants to know, asked in one batch.

For open slots: the receipts of every attempt, and what the pool still holds. For calls, admitted or waiting in their
slots: a simulation on the head, because a rival or a reorg may have made one idle since it was signed. One batch is one
wait however many there are, and one provider, so its answers do not contradict each other by being of different nodes.

A node that cannot tell about a slot, or how the signer stands, ends the survey: nothing is then known of any slot. One
that cannot simulate an intent keeps that intent waiting, and no other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from keeper.core.errors import NodeError
from keeper.core.facts import AttemptPrepared, BlockHeader, PreflightSeen
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.ports import Node
from keeper.core.units import Wei
from keeper.core.venue import Ledger
from keeper.engine.intents import TrackedIntent
from keeper.execution.answers import count, given, quantity
from keeper.execution.preflight import read_simulation, simulation
from keeper.execution.receipts import Receipt, parse_receipt


class Survey(NamedTuple):
    """The node's side of some slots and of some admitted intents, by intent.

    ``mined_count`` is the signer's nonce after the node's newest block, ``tip`` the suggested priority fee.
    ``receipts`` has an entry for every slot that was asked about. ``pooled`` are the newest attempts that the node
    holds. ``flights`` has an entry for every admitted intent and for every slot in which a call waits: what its
    simulation showed, or why the node could not tell.
    """

    mined_count: int
    tip: Wei
    receipts: Mapping[Hash32, tuple[Receipt, ...]]
    pooled: frozenset[Hash32]
    flights: Mapping[Hash32, PreflightSeen | NodeError]

    def would_revert(self, intent_id: Hash32) -> bool:
        """Tell whether an intent's call, waiting in its slot, would revert on the head."""
        flight = self.flights.get(intent_id)
        return isinstance(flight, PreflightSeen) and flight.revert is not None


async def survey(
    node: Node,
    sender: Address,
    header: BlockHeader,
    slots: Sequence[TrackedIntent],
    admitted: Sequence[TrackedIntent],
    ledgers: Mapping[str, Ledger],
) -> Survey:
    """Ask one provider, in one batch, about every attempt of every slot, and simulate the calls.

    Args:
        node: The provider, or several behind one failover.
        sender: The signer.
        header: On whose state to simulate.
        slots: Intents with attempts.
        admitted: Intents without.
        ledgers: Name the reverts of their venues.

    Raises:
        NodeError: no answer, or one about the signer or a slot that cannot be read.
    """
    attempts = [sent.attempt for tracked in slots for sent in tracked.sent]
    waiting = [tracked for tracked in slots if tracked.is_unmined]
    newest = [tracked.sent[-1].attempt for tracked in waiting]
    calls = [*admitted, *(tracked for tracked in waiting if tracked.sent[-1].attempt.kind == "call")]
    answers = await node.batch(
        [
            ("eth_getTransactionCount", [to_hex(sender), "latest"]),
            ("eth_maxPriorityFeePerGas", []),
            *(("eth_getTransactionByHash", [to_hex(attempt.tx_hash)]) for attempt in newest),
            *(("eth_getTransactionReceipt", [to_hex(attempt.tx_hash)]) for attempt in attempts),
            *chain.from_iterable(simulation(tracked.intent, sender, header) for tracked in calls),
        ]
    )
    (nonce, tip), rest = answers[:2], answers[2:]
    known, rest = rest[: len(newest)], rest[len(newest) :]
    receipts, simulated = rest[: len(attempts)], rest[len(attempts) :]
    return Survey(
        mined_count=count(nonce, "eth_getTransactionCount"),
        tip=Wei(quantity(tip, "eth_maxPriorityFeePerGas")),
        receipts=_by_intent(slots, attempts, receipts),
        pooled=frozenset(
            attempt.tx_hash for attempt, answer in zip(newest, known, strict=True) if given(answer) is not None
        ),
        flights=_flights(calls, header, simulated, ledgers),
    )


def _by_intent(
    slots: Sequence[TrackedIntent], attempts: Sequence[AttemptPrepared], answers: Sequence[object]
) -> dict[Hash32, tuple[Receipt, ...]]:
    found: dict[Hash32, tuple[Receipt, ...]] = {tracked.intent.intent_id: () for tracked in slots}
    for attempt, answer in zip(attempts, answers, strict=True):
        if given(answer) is not None:
            found[attempt.intent_id] += (parse_receipt(answer, attempt.tx_hash),)
    return found


def _flights(
    calls: Sequence[TrackedIntent], header: BlockHeader, answers: Sequence[object], ledgers: Mapping[str, Ledger]
) -> dict[Hash32, PreflightSeen | NodeError]:
    pairs = zip(answers[::2], answers[1::2], strict=True)
    return {
        tracked.intent.intent_id: _flight(tracked, header, pair, ledgers)
        for tracked, pair in zip(calls, pairs, strict=True)
    }


def _flight(
    tracked: TrackedIntent, header: BlockHeader, pair: tuple[object, object], ledgers: Mapping[str, Ledger]
) -> PreflightSeen | NodeError:
    try:
        return read_simulation(tracked.intent, header, *pair, ledgers[tracked.intent.venue].revert_name)
    except NodeError as trouble:
        return trouble
