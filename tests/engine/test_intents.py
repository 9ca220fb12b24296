"""The life cycle table."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from keeper.core.decisions import Intent, IntentState
from keeper.core.errors import InvariantBroken
from keeper.core.facts import AttemptPrepared, TokenSpend
from keeper.core.ids import Address, content_id
from keeper.core.units import BaseAmount, TokenAmount, Wei
from keeper.core.venue import Epoch
from keeper.engine.intents import TERMINAL, TRANSITIONS, UNMINED, Event, TrackedIntent, check_replacement

PAGE = Path(__file__).parents[2] / "docs" / "life_cycle.md"
ID = content_id("intent")
INTENT = Intent(
    intent_id=ID,
    kind="liquidation",
    venue="toy",
    chain_id=1,
    signer="main",
    account=Address(b"\xa1" * 20),
    epoch=Epoch(1, 0),
    to=Address(b"\x99" * 20),
    data=b"",
    spend=TokenSpend(Address(b"\x01" * 20), TokenAmount(5)),
    spend_base=BaseAmount(5),
    profit_base=BaseAmount(1),
    gas_price_wei_max=Wei(10**9),
    admitted_at_block=1,
    valid_until_block=11,
)


def attempt(number: int, fee_wei: int, priority_wei: int, nonce: int = 0) -> AttemptPrepared:
    """Return an attempt for the intent."""
    tx_hash = content_id("tx", number)
    fees = Wei(fee_wei), Wei(priority_wei)
    return AttemptPrepared(ID, 1, "main", nonce, number, "call", tx_hash, b"", 21_000, *fees, 1)


def mermaid() -> str:
    """Render the table: one arrow for each pair of states; late facts, which change nothing, are left out."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), target in TRANSITIONS.items():
        if target is not state:
            arrows.setdefault((state.name, target.name), []).append(event.value)
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> ADMITTED: policy gate"]
    lines += [f"    {state} --> {target}: {' / '.join(events)}" for (state, target), events in arrows.items()]
    lines += [f"    {state.name} --> [*]" for state in TERMINAL]
    return "\n".join([*lines, "```"])


def test_diagram() -> None:
    """The diagram in the documentation is the table."""
    text = PAGE.read_text(encoding="utf-8")
    start = text.index("```mermaid")
    assert text[start : text.index("```", start + 3) + 3] == mermaid()


def test_terminal_states_are_never_left() -> None:
    """No event leaves a terminal state."""
    assert [state for state, _ in TRANSITIONS if state in TERMINAL] == []


def test_every_state_is_of_one_kind() -> None:
    """Each state is terminal, unmined or mined, and only one of these."""
    kinds = (*TERMINAL, *UNMINED, IntentState.MINED)
    assert sorted(state.value for state in kinds) == sorted(state.value for state in IntentState)


ILLEGAL = [pair for pair in product(IntentState, Event) if pair not in TRANSITIONS]


@pytest.mark.parametrize(("state", "event"), ILLEGAL, ids=[f"{state.name}-{event.name}" for state, event in ILLEGAL])
def test_illegal_transition(state: IntentState, event: Event) -> None:
    """An event that the table does not name stops the process."""
    with pytest.raises(InvariantBroken, match="cannot take"):
        TrackedIntent(INTENT, state).advance(event, "test")


def test_move_is_a_decision() -> None:
    """A change of state gives one decision that names both states."""
    moved = TrackedIntent(INTENT).advance(Event.DROPPED, "too late")
    assert [(move.previous, move.state, move.reason) for move in moved] == [
        (IntentState.ADMITTED, IntentState.ABANDONED, "too late")
    ]


def test_staying_is_no_decision() -> None:
    """An event that changes nothing gives no decision."""
    assert TrackedIntent(INTENT, IntentState.BROADCAST).advance(Event.ACCEPTED, "again") == []


def test_lowest_replacement() -> None:
    """Both fees up by exactly 12.5 % are enough."""
    check_replacement(attempt(1, 8000, 800), attempt(2, 9000, 900))


@pytest.mark.parametrize(
    "replacement",
    [
        attempt(2, 8999, 900),
        attempt(2, 9000, 899),
        attempt(3, 9000, 900),
        attempt(2, 9000, 900, nonce=1),
    ],
    ids=["fee", "priority", "number", "slot"],
)
def test_refused_replacement(replacement: AttemptPrepared) -> None:
    """A replacement with either fee too low, out of number or in another slot stops the process."""
    with pytest.raises(InvariantBroken):
        check_replacement(attempt(1, 8000, 800), replacement)


def test_bump_of_nothing() -> None:
    """A fee of zero is not up by 12.5 % until it is up by a wei."""
    with pytest.raises(InvariantBroken):
        check_replacement(attempt(1, 8000, 0), attempt(2, 9000, 0))
