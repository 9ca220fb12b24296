"""Ids come from content."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.ids import content_id, parse_address, parse_hash, to_hex


@given(st.binary(min_size=20, max_size=20))
def test_an_address_survives_text(raw: bytes) -> None:
    """Writing and reading an address gives the same bytes, whatever the letter case."""
    assert parse_address(to_hex(raw)) == raw
    assert parse_address("0x" + raw.hex().upper()) == raw


@pytest.mark.parametrize("text", ["", "0x", "0x12", "12" * 20, "0x" + "zz" * 20, "0x" + "12" * 19 + "  "])
def test_what_is_not_an_address_is_refused(text: str) -> None:
    """A wrong length, a missing prefix or a wrong digit is named."""
    with pytest.raises(ValueError, match="is not an address"):
        parse_address(text)


def test_what_is_not_a_hash_is_refused() -> None:
    """An address is not a hash."""
    with pytest.raises(ValueError, match="is not a hash"):
        parse_hash("0x" + "11" * 20)


@given(st.lists(st.one_of(st.integers(), st.text(), st.binary()), max_size=4))
def test_equal_content_has_equal_ids(parts: list[str | int | bytes]) -> None:
    """The id depends on the parts alone."""
    assert content_id(*parts) == content_id(*parts)


def test_the_boundary_between_parts_counts() -> None:
    """Moving a byte from one part to the next gives another id."""
    assert content_id("ab", "c") != content_id("a", "bc")
