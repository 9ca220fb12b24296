"""The journal's encoding."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.codec import BIG_INT_BYTES_MAX, Record, decoder, encoder
from keeper.core.decisions import SignerHalted
from keeper.core.errors import InvariantBroken
from keeper.core.facts import BlockApplied, BlockHeader, RawLog, SignerRead
from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import Holding
from keeper.core.units import TokenAmount, Wei

HASH = Hash32(b"\x11" * 32)
TOKEN = Address(b"\x01" * 20)


@given(st.integers(min_value=-(2**300), max_value=2**300))
def test_integers_of_any_size_survive(value: int) -> None:
    """An amount of any size and sign is read back as it was written."""
    holding = Holding(TOKEN, TOKEN, TokenAmount(value), TokenAmount(1))
    fact = SignerRead(1, "main", 7, HASH, Wei(value), 3, (holding,))

    actual = decoder(SignerRead).decode(encoder().encode(fact))

    assert actual == fact
    assert type(actual.balance_wei) is Wei


def test_an_integer_too_long_to_print_is_refused() -> None:
    """What no figure of ours can be is neither written nor read: Python would refuse to print it."""
    huge = Wei(1 << 8 * BIG_INT_BYTES_MAX)

    with pytest.raises(InvariantBroken, match="an integer too long to be read again"):
        encoder().encode(huge)
    with pytest.raises(msgspec.ValidationError, match="bytes is not a Wei"):
        decoder(Wei).decode(msgspec.msgpack.encode(bytes(BIG_INT_BYTES_MAX + 1)))


def test_a_plain_integer_is_no_amount() -> None:
    """Where an amount is expected, an integer of another kind is refused with its place."""
    with pytest.raises(msgspec.ValidationError, match=r"int is not a Wei - at `\$\[5\]`"):
        decoder(SignerRead).decode(msgspec.msgpack.encode(["SignerRead/1", 1, "main", 7, HASH, 5, 3, []]))


def test_a_frame_of_mixed_records_survives() -> None:
    """Facts and decisions decode to their own types from one list."""
    header = BlockHeader(7, HASH, HASH, 1_700_000_000, 10**9, b"\x00" * 256)
    log = RawLog(TOKEN, (HASH,), b"data", 0, HASH)
    records = [
        Record(1, 5, 0, BlockApplied(1, header, (log,), (), 0)),
        Record(2, 5, 1, SignerHalted("main", "looked odd")),
    ]

    assert decoder(list[Record]).decode(encoder().encode(records)) == records


def test_an_unknown_tag_is_refused() -> None:
    """A record kind that this version does not know is an error, not a guess."""
    payload = msgspec.msgpack.encode([[1, 0, 0, ["Invented/9", 1]]])

    with pytest.raises(msgspec.ValidationError, match="Invented/9"):
        decoder(list[Record]).decode(payload)
