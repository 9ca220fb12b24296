"""Records and reports as plain JSON values.

Addresses and hashes are ``0x`` and hexadecimal digits. Money (every :class:`~keeper.core.units.BigInt`) is a decimal
string, and so is any other integer from 2^53 on, because a JSON reader may round it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from keeper.core.codec import Record
from keeper.core.units import BigInt

JSON_INTEGER_END = 2**53


def plain(value: object) -> object:
    """Return a value that any JSON reader understands."""
    match value:
        case Record():
            return record_document(value)
        case msgspec.Struct():
            fields = {field: getattr(value, field) for field in value.__struct_fields__}
            return {field: plain(item) for field, item in fields.items() if item is not msgspec.UNSET}
        case Mapping():
            return {key: plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
    return _scalar(value)


def _scalar(value: object) -> object:
    match value:
        case bytes():
            return "0x" + value.hex()
        case Enum():
            return value.value
        case int() if isinstance(value, BigInt) or abs(value) >= JSON_INTEGER_END:
            return str(int(value))
    return value


def record_document(record: Record) -> dict[str, object]:
    """Return a record with the name of its kind beside its fields."""
    return {
        "sequence": record.sequence,
        "recorded_at_ms": record.recorded_at_ms,
        "cause": record.cause,
        "kind": type(record.body).__name__,
        "body": plain(record.body),
    }
