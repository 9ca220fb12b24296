"""Revert data is found wherever a node puts it, and a node's own trouble is not taken for a revert."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import NodeRefused
from keeper.core.facts import RevertReason
from keeper.execution.reverts import NO_REASON, decode_revert, revert_data

DATA = bytes.fromhex("08c379a0") + bytes(31) + b"\x20" + bytes(31) + b"\x02" + b"45" + bytes(30)
HEX = "0x" + DATA.hex()


def name(data: bytes) -> str:
    """Stand for a venue that knows one error."""
    return "HEALTH_FACTOR_NOT_BELOW_THRESHOLD" if data == DATA else data.hex()


@pytest.mark.parametrize(
    ("code", "message", "data"),
    [
        (3, "execution reverted: 45", HEX),
        (3, "execution reverted", HEX),
        (-32000, "execution reverted", HEX),
        (-32015, "VM execution error.", f"Reverted {HEX}"),
        (-32603, "Internal error: execution reverted", f'{{"code":3,"message":"execution reverted","data":"{HEX}"}}'),
    ],
)
def test_revert_is_named(code: int, message: str, data: str) -> None:
    """A revert is named by the venue, whichever variant of the error object carries it."""
    reason = decode_revert(NodeRefused("eth_call", code, message, data), name)
    assert reason == RevertReason("HEALTH_FACTOR_NOT_BELOW_THRESHOLD", DATA)


@pytest.mark.parametrize("data", [None, "0x", ""])
def test_revert_without_data(data: str | None) -> None:
    """A revert without data is a revert without a reason."""
    assert decode_revert(NodeRefused("eth_call", 3, "execution reverted", data), name) == RevertReason(NO_REASON, b"")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (-32000, "unknown block"),
        (-32000, "header not found"),
        (-32602, "BlockOutOfRangeError: block height is 3 but requested was 9"),
        (-32003, "Insufficient funds for gas * price + value"),
        (-32005, "limit exceeded"),
    ],
)
def test_trouble_is_not_a_revert(code: int, message: str) -> None:
    """What the node could not do is not the contract's answer."""
    assert decode_revert(NodeRefused("eth_call", code, message), name) is None


@given(st.binary(max_size=200))
def test_any_data_survives(data: bytes) -> None:
    """The raw data is kept to the byte."""
    assert revert_data(NodeRefused("eth_call", 3, "execution reverted", "0x" + data.hex())) == data
