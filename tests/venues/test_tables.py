"""Tables undo any suffix of blocks, and equal states dump to equal bytes."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.errors import InvariantBroken, JournalDamaged
from keeper.core.units import BigInt
from keeper.venues.tables import StructColumn, Table, Tables, UnsignedColumn


class Pair(msgspec.Struct, frozen=True, array_like=True):
    """A value with a big integer in it."""

    left: BigInt
    right: int


class Two:
    """Tables of both kinds of column."""

    def __init__(self) -> None:
        self.tables = Tables()
        self.numbers: Table[int] = self.tables.table("numbers", 2, UnsignedColumn(32))
        self.pairs: Table[Pair] = self.tables.table("pairs", 1, StructColumn(Pair))

    def rows(self) -> tuple[dict[bytes, int], dict[bytes, Pair]]:
        """Return a copy of all rows."""
        return dict(self.numbers.rows), dict(self.pairs.rows)

    def run(self, block: int, changes: list[Change]) -> None:
        """Make a block of changes."""
        self.tables.begin_block(block)
        for key, value in changes:
            self.numbers.set(key, value)
            self.pairs.set(key[:1], None if value is None else Pair(BigInt(value), len(key)))


Change = tuple[bytes, int | None]
UNIVERSE = [bytes([high, low]) for high in range(3) for low in range(3)]
keys = st.sampled_from(UNIVERSE)
values = st.none() | st.sampled_from([0, 1, 2**64, 2**256 - 1])
blocks = st.lists(st.lists(st.tuples(keys, values), max_size=8), min_size=1, max_size=8)


@pytest.mark.slow
@given(blocks, st.data())
def test_undoing_any_suffix_gives_back_the_state_before_it(changes: list[list[Change]], data: st.DataObject) -> None:
    """After undo, rows and dump are those of the block that is now newest."""
    two = Two()
    rows, dumps = [two.rows()], [two.tables.dump()]
    for number, block in enumerate(changes):
        two.run(number, block)
        rows.append(two.rows())
        dumps.append(two.tables.dump())
    kept = data.draw(st.integers(0, len(changes)))

    for number in reversed(range(kept, len(changes))):
        assert two.tables.undo_block(number)

    assert two.rows() == rows[kept]
    assert two.tables.dump() == dumps[kept]


@pytest.mark.slow
@given(blocks, st.integers(-1, 7))
def test_a_dump_loads_to_the_same_state_and_undo(changes: list[list[Change]], final: int) -> None:
    """A loaded state has the same bytes and undoes to the same rows."""
    two, loaded = Two(), Two()
    for number, block in enumerate(changes):
        two.run(number, block)
    two.tables.forget_undo(final)
    loaded.tables.load(two.tables.dump())

    assert loaded.rows() == two.rows()
    assert loaded.tables.dump() == two.tables.dump()
    for number in reversed(range(final + 1, len(changes))):
        assert loaded.tables.undo_block(number) == two.tables.undo_block(number)
        assert loaded.rows() == two.rows()


@pytest.mark.slow
@given(st.dictionaries(keys, values), st.lists(st.tuples(keys, values), max_size=12), st.permutations(UNIVERSE))
def test_the_way_to_a_state_does_not_show_in_its_bytes(
    wanted: dict[bytes, int | None], detours: list[Change], order: list[bytes]
) -> None:
    """A block that wanders and sets in another order dumps to the same bytes when it ends in the same rows."""
    straight, wandering = Two(), Two()
    for two in (straight, wandering):
        two.run(0, [(UNIVERSE[0], 7)])
    straight.run(1, [(key, wanted.get(key)) for key in UNIVERSE])
    wandering.run(1, detours)
    for key in order:
        wandering.numbers.set(key, wanted.get(key))
        wandering.pairs.set(key[:1], straight.pairs.get(key[:1]))

    assert wandering.tables.dump() == straight.tables.dump()


def test_set_tells_whether_anything_changed() -> None:
    """Setting what stands there already is no change."""
    two = Two()
    two.tables.begin_block(1)

    assert two.numbers.set(b"ab", 1)
    assert not two.numbers.set(b"ab", 1)
    assert two.numbers.set(b"ab", None)
    assert not two.numbers.set(b"ab", None)


def test_undoing_a_block_newer_than_all_does_nothing() -> None:
    """A venue that had nothing to do with a block is told of its end all the same."""
    two = Two()
    two.run(1, [(b"ab", 1)])

    assert not two.tables.undo_block(2)
    assert two.numbers.rows == {b"ab": 1}


def test_a_final_block_cannot_be_undone() -> None:
    """Undo that was forgotten is never silently skipped."""
    two = Two()
    two.run(1, [(b"ab", 1)])
    two.tables.forget_undo(1)

    with pytest.raises(InvariantBroken, match="block 1: was final"):
        two.tables.undo_block(1)


def test_blocks_are_undone_newest_first() -> None:
    """Undoing under a newer block would mix two states."""
    two = Two()
    two.run(1, [])
    two.run(2, [])

    with pytest.raises(InvariantBroken, match="undone before block 2"):
        two.tables.undo_block(1)


def test_blocks_begin_in_order() -> None:
    """A block number at or below the newest is refused."""
    two = Two()
    two.run(2, [])

    with pytest.raises(InvariantBroken, match="block 2: begins after block 2"):
        two.tables.begin_block(2)


def test_a_change_outside_any_block_is_refused() -> None:
    """What could not be undone is not written."""
    with pytest.raises(InvariantBroken, match="table numbers"):
        Two().numbers.set(b"ab", 1)


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.integers(0, 120), st.binary(min_size=1, max_size=3))
def test_bytes_that_are_no_dump_are_refused(cut: bytes | int, junk: bytes) -> None:
    """Garbage and truncated dumps are JournalDamaged, never another exception."""
    two = Two()
    two.run(1, [(b"ab", 1)])
    raw = two.tables.dump()
    damaged = cut if isinstance(cut, bytes) else raw[:cut] + junk if cut < len(raw) else raw + junk

    if damaged == raw:
        return
    try:
        Two().tables.load(damaged)
    except JournalDamaged as error:
        assert "delete the snapshot" in str(error)  # noqa: PT017 - a lucky junk may also be a dump


def test_a_table_tells_which_keys_were_written_since_it_was_asked() -> None:
    """Keys that were set or undone are told once; at first and after a load any row may be another."""
    two = Two()
    assert two.numbers.touched() is None
    two.run(1, [(b"aa", 1), (b"bb", 2)])
    assert two.numbers.touched() == {b"aa", b"bb"}
    two.run(2, [(b"aa", 1), (b"cc", 3)])
    assert two.numbers.touched() == {b"cc"}
    two.tables.undo_block(2)
    assert (two.numbers.touched(), two.numbers.touched()) == ({b"cc"}, set())
    two.tables.load(two.tables.dump())
    assert two.numbers.touched() is None


def test_a_tally_follows_the_rows() -> None:
    """Sums by group are those of the rows through sets, undo and load."""
    two = Two()
    tally = two.numbers.tally(lambda key, value: (key[:1], value))
    two.run(1, [(b"aa", 1), (b"ab", 2), (b"bb", 4)])
    assert (tally.of(b"a"), tally.of(b"b"), tally.of(b"c")) == (3, 4, 0)
    dump = two.tables.dump()
    two.run(2, [(b"aa", None), (b"ab", 7)])
    assert tally.of(b"a") == 7
    two.tables.undo_block(2)
    assert tally.of(b"a") == 3
    two.run(2, [(b"bb", 9)])
    two.tables.load(dump)
    assert tally.of(b"b") == 4
