"""Errors say who must act, on one line."""

from __future__ import annotations

import pytest

from keeper.core.errors import (
    ConfigError,
    InvariantBroken,
    JournalDamaged,
    JournalForeign,
    KeeperError,
    NodeRefused,
    NotHolding,
    invariant,
)


def test_a_message_is_one_line_of_thing_reason_and_remedy() -> None:
    """Line breaks from third parties never split a message."""
    error = ConfigError("keeper.toml: mode", "'on' is\nnot a mode", "use dry-run or live")

    assert str(error) == "keeper.toml: mode: 'on' is not a mode; use dry-run or live"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(ConfigError, 2), (NotHolding, 1), (KeeperError, 3), (JournalDamaged, 4), (JournalForeign, 4)],
)
def test_exit_codes_are_those_of_the_interface(kind: type[KeeperError], expected: int) -> None:
    """0 done, 1 does not hold, 2 usage or configuration, 3 outside system, 4 damaged journal."""
    assert kind.exit_code == expected


def test_a_refusal_keeps_the_nodes_code_message_and_data() -> None:
    """What the node said stays available to whoever classifies it."""
    error = NodeRefused("eth_call", 3, "execution reverted", "0x08c379a0")

    assert (error.code, error.message, error.data) == (3, "execution reverted", "0x08c379a0")


def test_a_broken_invariant_stops_the_process_in_production_too() -> None:
    """invariant() raises a Halt and does not depend on assertions being compiled in."""
    with pytest.raises(InvariantBroken, match="nonce 7: taken twice; this is a bug"):
        invariant(condition=False, thing="nonce 7", reason="taken twice")
