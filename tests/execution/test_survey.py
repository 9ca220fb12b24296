"""A survey knows everything of the slots or nothing; what it cannot simulate keeps one intent waiting and no other."""

from __future__ import annotations

import pytest
from msgspec import structs

from keeper.core.errors import NodeMalformed, NodeRefused, NodeUnreachable
from keeper.core.facts import PreflightSeen
from keeper.core.ids import Address, Hash32
from keeper.core.units import Wei
from keeper.engine.intents import Sent, TrackedIntent
from keeper.execution.survey import Survey, survey
from tests.execution.lever import LeverVenue
from tests.execution.scripted import ScriptedNode
from tests.execution.test_preflight import HEADER, INTENT, SENDER
from tests.execution.test_receipts import TX, WIRE
from tests.execution.test_sending import ATTEMPT

LEDGERS = {INTENT.venue: LeverVenue(INTENT.venue, 1, Address(bytes(20)))}
SLOT = TrackedIntent(INTENT, sent=[Sent(structs.replace(ATTEMPT, tx_hash=TX))])
NEW = [TrackedIntent(structs.replace(INTENT, intent_id=Hash32(bytes([number]) * 32))) for number in (2, 3)]
COUNT, TIP, POOLED = "0x5", "0x7", {"blockHash": None}
GOOD: tuple[object, ...] = (COUNT, TIP, POOLED, None, "0x", "0x5208", "0x", "0x5209", "0x", "0x520a")


async def ask(*answers: object) -> Survey:
    """Ask about a slot and two admitted intents."""
    return await survey(ScriptedNode(*answers), SENDER, HEADER, [SLOT], NEW, LEDGERS)


async def test_whole() -> None:
    """Every answer finds its place."""
    flights = [
        PreflightSeen(tracked.intent.intent_id, HEADER.number, HEADER.hash, gas, None)
        for tracked, gas in zip([*NEW, SLOT], (21_000, 21_001, 21_002), strict=True)
    ]
    expected = Survey(
        mined_count=5,
        tip=Wei(7),
        receipts={INTENT.intent_id: ()},
        pooled=frozenset([TX]),
        flights={flight.intent_id: flight for flight in flights},
    )
    assert await ask(*GOOD) == expected


async def test_receipt() -> None:
    """A receipt belongs to the intent of its attempt, and what the node has forgotten is not pooled."""
    seen = await ask(COUNT, TIP, None, WIRE, *GOOD[4:])
    assert [receipt.tx_hash for receipt in seen.receipts[INTENT.intent_id]] == [TX]
    assert seen.pooled == frozenset()


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("trouble", [NodeRefused("p", -32005, "limit exceeded"), "nonsense"])
async def test_slots_untold(place: int, trouble: object) -> None:
    """What cannot be told of the signer or a slot ends the survey."""
    answers = [*GOOD[:place], trouble, *GOOD[place + 1 :]]
    if (place, trouble) == (2, "nonsense"):
        assert TX in (await ask(*answers)).pooled  # any answer but null says that the node knows it
        return
    with pytest.raises((NodeRefused, NodeMalformed)):
        await ask(*answers)


@pytest.mark.parametrize("place", [4, 5])
@pytest.mark.parametrize("trouble", [NodeRefused("p", -32000, "header not found"), "nonsense", "0x" + "f" * 63])
async def test_one_not_simulated(place: int, trouble: object) -> None:
    """What cannot be simulated is trouble of one intent, and the next one's simulation is read."""
    first, second, _ = (await ask(*GOOD[:place], trouble, *GOOD[place + 1 :])).flights.values()
    assert isinstance(first, NodeRefused | NodeMalformed)
    assert isinstance(second, PreflightSeen)


async def test_call_in_its_slot_reverts() -> None:
    """A call that waits in its slot and would revert is told apart from one that would not, or cannot be told."""
    reverts = NodeRefused("p", 3, "execution reverted", "0x")
    for answer, expected in ((reverts, True), ("0x", False), ("nonsense", False)):
        seen = await ask(*GOOD[:8], answer, GOOD[9])
        assert seen.would_revert(INTENT.intent_id) is expected


async def test_unreachable() -> None:
    """Without an answer nothing is known."""
    with pytest.raises(NodeUnreachable):
        await ask(NodeUnreachable("p", "timed out"), *GOOD[1:])
