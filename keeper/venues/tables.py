"""Tables that remember what they overwrote, so that a reorganisation is ``undo_block`` for every venue alike.

A venue keeps its state in rows of :class:`Table` objects made by one :class:`Tables`. ``set`` stores a value and,
once for each block and key, the value that stood there when the block began. Undoing a block writes those values
back; no venue has code for it.

Three properties make the dump usable as a state hash. Rows are written in key order, so the order of arrival does not
show. A block's undo holds exactly the keys whose value at its end differs from that at its beginning (a value that is
set back takes its entry with it), so the path inside the block does not show. And absence is the only empty value:
setting ``None`` deletes the row.

Keys have one length per table and values one width per column, so a million rows are two joined byte strings and the
dump costs a sort and a join, not a million encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import GenericAlias
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from keeper.core.codec import decoder, encoder
from keeper.core.errors import JournalDamaged, invariant

Value = TypeVar("Value")


class Column(Protocol[Value]):
    """How the values of a table become bytes."""

    def encode(self, values: Sequence[Value]) -> bytes:
        """Join values."""

    def decode(self, raw: bytes) -> list[Value]:
        """Split what :meth:`encode` joined; ``ValueError`` when it cannot be that."""


class UnsignedColumn:
    """Unsigned integers of ``size`` bytes each, big-endian."""

    def __init__(self, size: int) -> None:
        self._size = size

    def encode(self, values: Sequence[int]) -> bytes:
        """Join the integers; ``OverflowError`` for one that does not fit."""
        size = self._size
        return b"".join([value.to_bytes(size, "big") for value in values])

    def decode(self, raw: bytes) -> list[int]:
        """Split into integers."""
        whole = int.from_bytes
        return [whole(part, "big") for part in _split(raw, self._size)]


class StructColumn(Generic[Value]):
    """Frozen msgspec structs of one type, for tables that stay small."""

    def __init__(self, kind: type[Value]) -> None:
        self._encoder = encoder()
        self._decoder = decoder(GenericAlias(list, (kind,)))

    def encode(self, values: Sequence[Value]) -> bytes:
        """Encode as one list."""
        return self._encoder.encode(values)

    def decode(self, raw: bytes) -> list[Value]:
        """Decode one list."""
        try:
            values: list[Value] = self._decoder.decode(raw)
        except (msgspec.MsgspecError, NotImplementedError) as error:
            raise ValueError(str(error)) from error
        return values


class _Columns(msgspec.Struct, array_like=True):
    """Rows as bytes: ``present`` has a byte for each key, zero where there was no row (undo only)."""

    keys: bytes
    present: bytes
    values: bytes


class _TableDump(msgspec.Struct, array_like=True):
    name: str
    rows: _Columns
    undo: list[tuple[int, _Columns]]


class _Dump(msgspec.Struct, array_like=True):
    blocks: list[int]
    final: int
    tables: list[_TableDump]


class Table(Generic[Value]):
    """Rows by key; made by :meth:`Tables.table`. ``rows`` is for reading."""

    __slots__ = ("_before", "_column", "_key_size", "_undo", "name", "rows")

    def __init__(self, name: str, key_size: int, column: Column[Value]) -> None:
        self.name = name
        self.rows: dict[bytes, Value] = {}
        self._key_size = key_size
        self._column = column
        self._undo: dict[int, dict[bytes, Value | None]] = {}
        self._before: dict[bytes, Value | None] | None = None

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

    def _write(self, key: bytes, value: Value | None) -> None:
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

    def dump(self) -> _TableDump:
        """Return the rows and undo in key order (for :class:`Tables`)."""
        undo = [(block, self._join(before)) for block, before in sorted(self._undo.items()) if before]
        return _TableDump(self.name, self._join(self.rows), undo)

    def _join(self, rows: dict[bytes, Value] | dict[bytes, Value | None]) -> _Columns:
        keys = sorted(rows)
        values = [rows[key] for key in keys]
        present = bytes([value is not None for value in values]) if None in values else b""
        return _Columns(b"".join(keys), present, self._column.encode([value for value in values if value is not None]))

    def load(self, dump: _TableDump) -> None:
        """Replace everything by a dump (for :class:`Tables`); ``ValueError`` when it cannot be one."""
        self.rows = {key: value for key, value in self._parted(dump.rows) if value is not None}
        self._undo = {block: dict(self._parted(columns)) for block, columns in dump.undo}
        self._before = None

    def _parted(self, columns: _Columns) -> zip[tuple[bytes, Value | None]]:
        keys = _split(columns.keys, self._key_size)
        values: list[Value | None] = list(self._column.decode(columns.values))
        if columns.present:
            given = iter(values)
            values = [next(given) if flag else None for flag in columns.present]
        if len(keys) != len(values):
            raise ValueError(f"{len(keys)} keys and {len(values)} values in table {self.name}")
        return zip(keys, values, strict=True)


class Tables:
    """The tables of one venue: blocks are begun, undone, forgotten, dumped and loaded for all of them together."""

    def __init__(self) -> None:
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

    def _reopen(self) -> None:
        newest = self._blocks[-1] if self._blocks else None
        self._each(lambda table: table.open(newest))

    def _each(self, act: Callable[[Table[Any]], None]) -> None:
        for table in self._tables:
            act(table)

    def dump(self) -> bytes:
        """Return rows and undo of all tables in one canonical encoding."""
        tables = [table.dump() for table in self._tables]
        return encoder().encode(_Dump(self._blocks, self._final, tables))

    def load(self, raw: bytes) -> None:
        """Replace everything by a dump.

        Raises:
            JournalDamaged: the bytes are not a dump of these tables.
        """
        try:
            self._load(decoder(_Dump).decode(raw))
        except (msgspec.MsgspecError, ValueError) as error:
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
