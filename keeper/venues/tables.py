"""Tables that remember what they overwrote, so that a reorganisation is ``undo_block`` for every venue alike.

A venue keeps its state in rows of :class:`Table` objects made by one :class:`Tables`. ``set`` stores a value and,
once for each block and key, the value that stood there when the block began. Undoing a block writes those values
back; no venue has code for it.

Three properties make the dump usable as a state hash. Rows are written in key order, so the order of arrival does not
show. A block's undo holds exactly the keys whose value at its end differs from that at its beginning (a value that is
set back takes its entry with it), so the path inside the block does not show. And absence is the only empty value:
setting ``None`` deletes the row.

Keys have one length per table and integers one width per column, so a million rows are a million slices of one byte
string: the dump is a sort and a join, not a million encodings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from types import GenericAlias
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from keeper.core.codec import decoder, encoder
from keeper.core.errors import JournalDamaged, invariant

Value = TypeVar("Value")
Keys: TypeAlias = set[bytes]
Weigh: TypeAlias = Callable[[bytes, Value], tuple[bytes, int]]


class Column(Protocol[Value]):
    """How rows become bytes, in key order."""

    def encode(self, rows: Mapping[bytes, Value]) -> bytes:
        """Join rows."""

    def decode(self, raw: bytes, key_size: int) -> dict[bytes, Value]:
        """Split what :meth:`encode` joined; ``ValueError`` when it cannot be that."""


class UnsignedColumn:
    """Unsigned integers of ``size`` bytes each, big-endian, behind their key."""

    def __init__(self, size: int) -> None:
        self._size = size

    def encode(self, rows: Mapping[bytes, int]) -> bytes:
        """Join keys and integers; ``OverflowError`` for one that does not fit."""
        size = self._size
        return b"".join(sorted([key + value.to_bytes(size, "big") for key, value in rows.items()]))

    def decode(self, raw: bytes, key_size: int) -> dict[bytes, int]:
        """Split into keys and integers."""
        number, width = int.from_bytes, key_size + self._size
        return {part[:key_size]: number(part[key_size:], "big") for part in _split(raw, width)}


class StructColumn(Generic[Value]):
    """Frozen msgspec structs of one type, for tables that stay small."""

    def __init__(self, kind: type[Value]) -> None:
        self._encoder = encoder()
        self._decoder = decoder(GenericAlias(list, (GenericAlias(tuple, (bytes, kind)),)))

    def encode(self, rows: Mapping[bytes, Value]) -> bytes:
        """Encode as one list of keys and structs."""
        return self._encoder.encode([(key, rows[key]) for key in sorted(rows)])

    def decode(self, raw: bytes, key_size: int) -> dict[bytes, Value]:
        """Decode one list of keys and structs."""
        try:
            rows: dict[bytes, Value] = dict(self._decoder.decode(raw))
        except RecursionError as error:
            raise ValueError(str(error)) from error
        if any(len(key) != key_size for key in rows):
            raise ValueError(f"a key is not {key_size} bytes")
        return rows


class _Before(msgspec.Struct, array_like=True):
    """The undo of a block: keys that had no row, and the rows that were."""

    block: int
    absent: bytes
    rows: bytes


class _TableDump(msgspec.Struct, array_like=True):
    name: str
    rows: bytes
    undo: list[_Before]


class _Dump(msgspec.Struct, array_like=True):
    blocks: list[int]
    final: int
    tables: list[_TableDump]


class Tally(Generic[Value]):
    """A sum over the rows of a table by group, added up when it is first asked for and kept up from then on.

    Args:
        rows: Returns the rows.
        weigh: Returns the group of a row and what it adds to it.
    """

    def __init__(self, rows: Callable[[], Mapping[bytes, Value]], weigh: Weigh[Value]) -> None:
        self._rows = rows
        self._weigh = weigh
        self._sums: defaultdict[bytes, int] | None = None

    def of(self, group: bytes) -> int:
        """Return the sum of a group, zero when it has no row."""
        if self._sums is None:
            self._sums = defaultdict(int)
            for key, value in self._rows().items():
                self._add(key, value, 1)
        return self._sums.get(group, 0)

    def move(self, key: bytes, old: Value | None, new: Value | None) -> None:
        """Follow a row from one value to another (for :class:`Table`)."""
        if self._sums is not None:
            self._add(key, old, -1)
            self._add(key, new, 1)

    def forget(self) -> None:
        """Add up again when next asked (for :class:`Table`)."""
        self._sums = None

    def _add(self, key: bytes, value: Value | None, sign: int) -> None:
        if value is not None and self._sums is not None:
            group, weight = self._weigh(key, value)
            self._sums[group] += sign * weight


class Table(Generic[Value]):
    """Rows by key; made by :meth:`Tables.table`. ``rows`` is for reading."""

    __slots__ = ("_before", "_column", "_key_size", "_tallies", "_touched", "_undo", "name", "rows")

    def __init__(self, name: str, key_size: int, column: Column[Value]) -> None:
        self.name = name
        self.rows: dict[bytes, Value] = {}
        self._key_size = key_size
        self._column = column
        self._undo: dict[int, dict[bytes, Value | None]] = {}
        self._before: dict[bytes, Value | None] | None = None
        self._touched: Keys | None = None
        self._tallies: list[Tally[Value]] = []

    def __getitem__(self, key: bytes) -> Value:
        return self.rows[key]

    def get(self, key: bytes) -> Value | None:
        """Return the value, ``None`` when there is no row."""
        return self.rows.get(key)

    def set(self, key: bytes, value: Value | None) -> bool:
        """Store a value (``None`` deletes the row) under the current block; return whether anything changed."""
        before = self._before
        if before is None:
            invariant(condition=False, thing=f"table {self.name}", reason="was written to outside any block")
            return False
        old = self.rows.get(key)
        if old == value:
            return False
        if key not in before:
            before[key] = old
        elif before[key] == value:
            del before[key]
        self._write(key, value)
        return True

    def touched(self) -> Keys | None:
        """Return the keys that were written since this was last asked; ``None`` when any row may be another.

        That is so when it is asked for the first time (nothing is remembered before) and after a load.
        """
        touched, self._touched = self._touched, set()
        return touched

    def tally(self, weigh: Weigh[Value]) -> Tally[Value]:
        """Return a sum over the rows that is kept up from when it is first asked for."""
        self._tallies.append(Tally(lambda: self.rows, weigh))
        return self._tallies[-1]

    def _replaced(self) -> None:
        self._touched = None
        for tally in self._tallies:
            tally.forget()

    def _write(self, key: bytes, value: Value | None) -> None:
        if self._touched is not None:
            self._touched.add(key)
        for tally in self._tallies:
            tally.move(key, self.rows.get(key), value)
        if value is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = value

    def open(self, block: int | None) -> None:
        """Let later changes belong to a block (for :class:`Tables`)."""
        self._before = None if block is None else self._undo.setdefault(block, {})

    def undo(self, block: int) -> None:
        """Write back what stood before a block (for :class:`Tables`)."""
        for key, value in self._undo.pop(block, {}).items():
            self._write(key, value)

    def forget(self, block: int) -> None:
        """Drop the undo of a block (for :class:`Tables`)."""
        self._undo.pop(block, None)

    def clear(self) -> None:
        """Drop all rows and undo (for :class:`Tables`)."""
        self.rows.clear()
        self._undo.clear()
        self._before = None
        self._replaced()

    def dump(self) -> _TableDump:
        """Return the rows and undo in key order (for :class:`Tables`)."""
        undo = [self._before_of(block, before) for block, before in sorted(self._undo.items()) if before]
        return _TableDump(self.name, self._column.encode(self.rows), undo)

    def _before_of(self, block: int, before: dict[bytes, Value | None]) -> _Before:
        absent = sorted(key for key, value in before.items() if value is None)
        rows = {key: value for key, value in before.items() if value is not None}
        return _Before(block, b"".join(absent), self._column.encode(rows))

    def load(self, dump: _TableDump) -> None:
        """Replace everything by a dump (for :class:`Tables`); ``ValueError`` when it cannot be one."""
        self.rows = self._column.decode(dump.rows, self._key_size)
        self._undo = {each.block: self._undo_of(each) for each in dump.undo}
        self._before = None
        self._replaced()

    def _undo_of(self, before: _Before) -> dict[bytes, Value | None]:
        absent = dict.fromkeys(_split(before.absent, self._key_size))
        return {**absent, **self._column.decode(before.rows, self._key_size)}


class Tables:
    """The tables of one venue: blocks are begun, undone, forgotten, dumped and loaded for all of them together.

    Args:
        version: Of the ledger that gives the rows their meaning; with one, dumps begin with it, and only its own load.
    """

    def __init__(self, version: str = "") -> None:
        self._header = f"{version}\n".encode() if version else b""
        self._tables: list[Table[Any]] = []
        self._blocks: list[int] = []
        self._final = -1

    def table(self, name: str, key_size: int, column: Column[Value]) -> Table[Value]:
        """Make a table; ``key_size`` is the length of each key in bytes, at least one."""
        table = Table(name, key_size, column)
        self._tables.append(table)
        return table

    def begin_block(self, number: int) -> None:
        """Start a block; changes from here on belong to it."""
        newest = self._blocks[-1] if self._blocks else self._final
        invariant(number > newest, f"block {number}", f"begins after block {newest}")
        self._blocks.append(number)
        self._each(lambda table: table.open(number))

    def undo_block(self, number: int) -> bool:
        """Take back the newest block when it is ``number``; return whether it was.

        Raises:
            InvariantBroken: a newer block stands, or the block's undo was forgotten.
        """
        invariant(number > self._final, f"block {number}", f"was final (to {self._final}) and cannot be undone")
        if not self._blocks or self._blocks[-1] < number:
            return False
        invariant(self._blocks[-1] == number, f"block {number}", f"is undone before block {self._blocks[-1]}")
        self._blocks.pop()
        self._each(lambda table: table.undo(number))
        self._reopen()
        return True

    def forget_undo(self, number: int) -> None:
        """Drop the undo of blocks up to ``number``; they can no longer be undone."""
        kept = [block for block in self._blocks if block > number]
        for block in self._blocks[: len(self._blocks) - len(kept)]:
            self._forget(block)
        self._blocks = kept
        self._final = max(self._final, number)

    def _forget(self, block: int) -> None:
        self._each(lambda table: table.forget(block))

    def clear(self) -> None:
        """Drop everything, as if nothing had ever been written."""
        self._blocks = []
        self._final = -1
        self._each(lambda table: table.clear())

    def _reopen(self) -> None:
        newest = self._blocks[-1] if self._blocks else None
        self._each(lambda table: table.open(newest))

    def _each(self, act: Callable[[Table[Any]], None]) -> None:
        for table in self._tables:
            act(table)

    def dump(self) -> bytes:
        """Return rows and undo of all tables in one canonical encoding."""
        tables = [table.dump() for table in self._tables]
        return self._header + encoder().encode(_Dump(self._blocks, self._final, tables))

    def load(self, raw: bytes, ledger: str = "a ledger") -> None:
        """Replace everything by a dump.

        Args:
            raw: The dump.
            ledger: Whose it is, for the error.

        Raises:
            JournalDamaged: the bytes are not a dump of these tables, or another version's.
        """
        if not raw.startswith(self._header):
            raise JournalDamaged(f"state of {ledger}", "another ledger version wrote it", "delete the snapshot")
        try:
            self._load(decoder(_Dump).decode(raw[len(self._header) :]))
        except (ValueError, RecursionError) as error:  # msgspec's own is a ValueError
            raise JournalDamaged(
                "ledger state", str(error), "delete the snapshot; it is rebuilt from records"
            ) from error

    def _load(self, dump: _Dump) -> None:
        if [table.name for table in self._tables] != [each.name for each in dump.tables]:
            raise ValueError("the tables are not those of this version")
        for table, each in zip(self._tables, dump.tables, strict=True):
            table.load(each)
        self._blocks = dump.blocks
        self._final = dump.final
        self._reopen()


def _split(raw: bytes, size: int) -> list[bytes]:
    if len(raw) % size:
        raise ValueError(f"{len(raw)} bytes are not a whole number of {size}")
    return [raw[at : at + size] for at in range(0, len(raw), size)]
