"""Decoding by slicing says what eth_abi says, and refuses what an event cannot look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from keeper.core.errors import NodeMalformed
from keeper.core.facts import RawLog
from keeper.core.ids import Hash32
from keeper.venues.morpho_blue import codec, events
from tests.venues import morpho_logs as logs
from tests.venues.event_logs import types_of

by_type: dict[str, st.SearchStrategy[object]] = {
    "address": st.binary(min_size=20, max_size=20),
    "uint256": st.integers(min_value=0, max_value=2**256 - 1),
}
EXPECTED: dict[str, Callable[..., events.Change]] = {
    logs.CREATE: lambda params: events.MarketCreated(*params),
    logs.SET_FEE: events.FeeSet,
    logs.SET_RECIPIENT: events.FeeRecipientSet,
    logs.ACCRUE: events.InterestAccrued,
    logs.SUPPLY: lambda _, account, *amounts: events.Supplied(account, *amounts),
    logs.WITHDRAW: lambda _, account, __, *amounts: events.Withdrawn(account, *amounts),
    logs.BORROW: lambda _, account, __, *amounts: events.Borrowed(account, *amounts),
    logs.REPAY: lambda _, account, *amounts: events.Repaid(account, *amounts),
    logs.PLEDGE: lambda _, account, assets: events.CollateralSupplied(account, assets),
    logs.UNPLEDGE: lambda _, account, __, assets: events.CollateralWithdrawn(account, assets),
    logs.LIQUIDATE: events.Liquidated,
}


def _values(draw: Any, signature: str) -> list[object]:  # noqa: ANN401 - hypothesis's own type
    types = [kind for kind in types_of(signature) if kind != "bytes32"]
    return [
        tuple(draw(by_type[part]) for part in kind[1:-1].split(",")) if kind.startswith("(") else draw(by_type[kind])
        for kind in types
    ]


@given(st.data(), st.sampled_from(sorted(EXPECTED)))
def test_a_log_decodes_to_its_values(data: st.DataObject, signature: str) -> None:
    """Every event that is followed, with any values, comes out as it was encoded."""
    values = _values(data.draw, signature)
    market = () if signature == logs.SET_RECIPIENT else (logs.MARKET,)
    log = logs.morpho_log(signature, *market, *values)
    assert codec.decode(log, logs.MARKET) == EXPECTED[signature](*values)
    other = codec.decode(log, logs.OTHER_MARKET)
    assert other is None or not market


def test_every_event_that_is_followed_is_tried() -> None:
    """Nothing is decoded without being compared."""
    assert set(codec.EVENTS) == set(EXPECTED)


@pytest.mark.parametrize("signature", [each for each in EXPECTED if each != logs.SET_RECIPIENT])
def test_another_shape_is_refused(signature: str) -> None:
    """A word too few, or a topic too many, of our market is malformed; of another market it is nobody's."""
    values = [(bytes(20),) * 4 + (0,) if kind.startswith("(") else _plain(kind) for kind in types_of(signature)[1:]]
    log = logs.morpho_log(signature, logs.MARKET, *values)
    for broken in (replace(log, data=log.data[:-1]), replace(log, topics=(*log.topics, bytes(32)))):
        with pytest.raises(NodeMalformed, match="the event has"):
            codec.decode(broken, logs.MARKET)
        assert codec.decode(broken, logs.OTHER_MARKET) is None


def _plain(kind: str) -> object:
    return bytes(20) if kind == "address" else 0


def test_other_events_are_not_followed() -> None:
    """A log without topics or of an event that says nothing of positions decodes to nothing."""
    for topics in ((), (b"\x07" * 32,)):
        assert codec.decode(RawLog(logs.MORPHO, topics, b"", 0, Hash32(bytes(32))), logs.MARKET) is None
