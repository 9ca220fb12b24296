"""The journal as an archive: Parquet by kind and day, or JSON lines. Columns are read off the records' own types.

Integers that may pass 64 bits and their JSON-unfriendly kin are decimal strings (DuckDB: ``::HUGEINT``, exact); bytes
are lower-case 0x hex; a run's configuration is JSON.
"""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import msgspec
import msgspec.inspect as mi

from keeper.cli.plain import plain
from keeper.core.codec import AnyBody, Record
from keeper.core.errors import UsageError
from keeper.core.facts import RunStarted
from keeper.core.ids import to_hex
from keeper.core.runconfig import RunConfig
from keeper.core.units import BigInt

BODIES: tuple[type, ...] = get_args(AnyBody)
VIEWS = "views.sql"
ROWS_BUFFERED = 5000
_COMMON = ("sequence", "run", "recorded_at", "chain_id", "block_number", "causation")
_MACROS = """\
-- For DuckDB, in this directory: duckdb -init views.sql. Each kind of record is a view, also one that did not occur.
CREATE OR REPLACE MACRO usd(base) AS base::HUGEINT / 100000000;
CREATE OR REPLACE MACRO coins(wei) AS wei::HUGEINT / 1000000000000000000;
CREATE OR REPLACE MACRO ratio(wad) AS wad::DOUBLE / 1000000000000000000;
CREATE OR REPLACE MACRO utc(moment) AS epoch_ms(epoch_ms(moment));
CREATE OR REPLACE MACRO short(hex) AS left(hex, 6) || '…' || right(hex, 4);
"""
_NUMBERS = ("block_number", "number", "at_block")
_INSIDE = ("header", "last", "intent")


def rows(records: Iterable[Record], kept: Callable[[int], bool]) -> Iterator[dict[str, Any]]:
    """Give each record that is wanted its common columns; ``kept`` judges Unix milliseconds."""
    run: str | None = None
    for record in records:
        body = record.body
        if isinstance(body, RunStarted):
            run = to_hex(body.run_id)
        if kept(record.recorded_at_ms):
            yield {
                "sequence": record.sequence,
                "run": run,
                "recorded_at": datetime.fromtimestamp(record.recorded_at_ms / 1000, UTC),
                "chain_id": _found(body, ("chain_id",)),
                "block_number": _found(body, _NUMBERS),
                "kind": type(body).__name__,
                "causation": record.cause or None,
                "body": body,
            }


def _found(body: object, names: tuple[str, ...]) -> int | None:
    for holder in (body, *(getattr(body, name, None) for name in _INSIDE)):
        for name in names:
            value = getattr(holder, name, None)
            if isinstance(value, int):
                return value
    return None


def line(row: dict[str, Any]) -> str:
    """Write a row as one line of JSON."""
    shown = {**row, "recorded_at": row["recorded_at"].isoformat(timespec="milliseconds"), "body": plain(row["body"])}
    return msgspec.json.encode(shown).decode()


def write_parquet(found: Iterable[dict[str, Any]], out: Path) -> dict[str, int]:
    """Write rows below a directory that appears whole or not at all; say how many there are of each kind.

    Raises:
        UsageError: the directory is there already, or the extra is not installed.
    """
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise UsageError("--format parquet", "pyarrow is not installed", "install margin-keeper[archive]") from None
    if out.exists():
        raise UsageError(f"--out {out}", "is there already", "name a directory that is not")
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        counts = _Archive(arrow, parquet, temporary).write(found)
        (temporary / VIEWS).write_text(views(), encoding="utf-8")
        temporary.rename(out)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return counts


def views() -> str:
    """Return the SQL by which DuckDB sees each kind as a view, and ``records``: what all kinds have in common."""
    kinds = [kind.__name__ for kind in BODIES]
    each = [
        f"CREATE OR REPLACE VIEW {kind} AS FROM read_parquet('kind={kind}/**/*.parquet', hive_partitioning = false);\n"
        for kind in kinds
    ]
    every = "\nUNION ALL ".join(f"FROM {kind} SELECT {', '.join(_COMMON)}, '{kind}' AS kind" for kind in kinds)
    return "".join([_MACROS, *each, f"CREATE OR REPLACE VIEW records AS {every};\n"])


class _Archive:
    """Files being written: rows wait together, and leave as row groups before there are too many."""

    def __init__(self, arrow: Any, parquet: Any, folder: Path) -> None:  # noqa: ANN401 - pyarrow is optional and untyped
        self._arrow, self._parquet, self._folder = arrow, parquet, folder
        self._waiting: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._writers: dict[tuple[str, str], Any] = {}
        self._schemas: dict[str, Any] = {}
        self._day = ""

    def write(self, found: Iterable[dict[str, Any]]) -> dict[str, int]:
        counts: dict[str, int] = {}
        try:
            for count, row in enumerate(found, 1):
                kind, body = row["kind"], row["body"]
                if kind not in self._schemas:
                    self._schemas[kind] = self._schema(type(body))
                place = (kind, row["recorded_at"].date().isoformat())
                if place[1] != self._day:
                    self._turn(place[1])
                shown = {key: value for key, value in row.items() if key != "kind"}
                self._waiting.setdefault(place, []).append({**shown, "body": cell(body)})
                counts[kind] = counts.get(kind, 0) + 1
                if count % ROWS_BUFFERED == 0:
                    self._flush()
            self._flush()
        finally:
            self._close()
        self._without_records(set(counts))
        return counts

    def _without_records(self, kinds: set[str]) -> None:
        """Write an empty file of each kind that did not occur, so that a query about it finds columns and no rows."""
        for kind in BODIES:
            if kind.__name__ not in kinds:
                folder = self._folder / f"kind={kind.__name__}"
                folder.mkdir()
                self._parquet.write_table(self._schema(kind).empty_table(), folder / "empty.parquet")

    def _turn(self, day: str) -> None:
        """Begin another day with no file open; a day that a clock set back comes to again gets another part."""
        self._flush()
        self._close()
        self._day = day

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _flush(self) -> None:
        for place, waiting in self._waiting.items():
            kind, day = place
            if place not in self._writers:
                folder = self._folder / f"kind={kind}" / f"day={day}"
                folder.mkdir(parents=True, exist_ok=True)
                path = folder / f"part-{len(list(folder.iterdir()))}.parquet"
                self._writers[place] = self._parquet.ParquetWriter(path, self._schemas[kind], compression="zstd")
            self._writers[place].write_table(self._arrow.Table.from_pylist(waiting, schema=self._schemas[kind]))
        self._waiting.clear()

    def _schema(self, kind: type) -> Any:  # noqa: ANN401 - a pyarrow schema
        pa = self._arrow
        numbers = [(name, pa.int64()) for name in ("chain_id", "block_number", "causation")]
        when = ("recorded_at", pa.timestamp("ms", tz="UTC"))
        body = ("body", self._type(mi.type_info(kind)))
        return pa.schema([("sequence", pa.int64()), ("run", pa.string()), when, *numbers, body])

    def _type(self, info: mi.Type) -> Any:  # noqa: ANN401 - a pyarrow type
        pa = self._arrow
        match info:
            case mi.StructType(cls=cls) if cls is RunConfig:
                return pa.string()
            case mi.StructType(fields=fields):
                return pa.struct([(field.name, self._type(field.type)) for field in fields])
            case mi.VarTupleType(item_type=item) | mi.ListType(item_type=item):
                return pa.list_(self._type(item))
            case mi.UnionType(types=types):
                return self._type(next(each for each in types if not isinstance(each, mi.NoneType)))
        return {mi.IntType: pa.int64, mi.FloatType: pa.float64, mi.BoolType: pa.bool_}.get(type(info), pa.string)()


def cell(value: object) -> object:
    """Make a value what its column holds."""
    if isinstance(value, RunConfig):
        return msgspec.json.encode(plain(value)).decode()
    if isinstance(value, msgspec.Struct):
        return {name: cell(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, (tuple, list)):
        return [cell(each) for each in value]
    if isinstance(value, int) and not isinstance(value, BigInt):
        return value
    return plain(value)
