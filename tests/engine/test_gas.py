"""What gas costs."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.facts import BlockHeader, SignerRead
from keeper.core.ids import content_id
from keeper.core.units import BaseAmount, Wei
from keeper.engine.gas import cost_base, gas_price_wei, native_price_base, price_wei_borne
from tests.engine.history import CHAIN_SPEC, VENUE_SPEC
from tests.engine.toy import ToyLedger


@pytest.mark.parametrize(("base_fee_wei", "expected"), [(0, 0), (8, 9), (9, 11)])
def test_next_base_fee(base_fee_wei: int, expected: int) -> None:
    """The head's price is an eighth above its base fee, rounded up."""
    header = BlockHeader(1, content_id(1), content_id(0), 0, base_fee_wei, b"")
    assert gas_price_wei(header, None) == Wei(expected)


def test_priority_fee_is_paid_too() -> None:
    """What the node suggests to offer beside the base fee is part of the price."""
    header = BlockHeader(1, content_id(1), content_id(0), 0, 8, b"")
    wallet = SignerRead(1, "main", 1, content_id(1), Wei(0), 0, (), Wei(5))
    assert gas_price_wei(header, wallet) == Wei(14)


def test_cost_is_rounded_up() -> None:
    """A fraction of the base unit is a whole one to whoever pays it."""
    assert cost_base(21_000, Wei(1), BaseAmount(2000 * 10**8)) == BaseAmount(1)


@given(st.integers(0, 10**14), st.integers(1, 10**7), st.integers(1, 10**13))
def test_borne_price_is_the_highest(headroom: int, gas: int, native: int) -> None:
    """At the price borne the cost is within the headroom; one wei more it is not."""
    price = price_wei_borne(BaseAmount(headroom), gas, BaseAmount(native), Wei(10**60))
    assert cost_base(gas, price, BaseAmount(native)) <= BaseAmount(headroom)
    assert cost_base(gas, Wei(price + Wei(1)), BaseAmount(native)) > BaseAmount(headroom)


@pytest.mark.parametrize(("headroom", "expected"), [(10**30, 7), (-1, 0)])
def test_borne_price_is_limited(headroom: int, expected: int) -> None:
    """The operator's limit caps the price, and a loss bears nothing."""
    assert price_wei_borne(BaseAmount(headroom), 1, BaseAmount(1), Wei(7)) == Wei(expected)


def test_unknown_native_price() -> None:
    """Without a wrapped native token, or a price of it, gas has no value."""
    ledger = ToyLedger(VENUE_SPEC)
    without = msgspec.structs.replace(CHAIN_SPEC, wrapped_native=None)
    assert [native_price_base(CHAIN_SPEC, [ledger]), native_price_base(without, [ledger])] == [None, None]
