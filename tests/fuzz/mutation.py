"""Inputs: nothing but bytes, or a valid sample that something happened to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import reduce
from typing import Any

import msgspec
from hypothesis import strategies as st

STEPS_MAX = 6
TOKENS = (
    b"",
    b"\0",
    b"\xff",
    b"\xff" * 32,
    b"\0" * 32,
    b"\x7f" + b"\xff" * 7,
    b"\x80" + b"\0" * 7,
    b"\xed\xa0\x80",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b'""',
    b'"',
    b"-1",
    b"0",
    b"1e999",
    b"1e-9999999999999999999",
    b"NaN",
    b"nan",
    b"inf",
    b"9" * 20,
    b"9" * 5000,
    b"0x",
    b"0x" + b"f" * 65,
    b"0x 1",
    b'"\\ud800"',
    b'"\\u0000"',
    b"\\u0000",
    b"a." * 2000 + b"b = 1\n",
    b"[" * 3000,
    b"a = " + b"[" * 3000,
    b'{"a":' * 3000,
    b"\x91" * 3000,
    b"\x81\xa1a" * 3000,
    b"\xdd\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\x28\xb5\x2f\xfd\xe0" + b"\x7f" * 8,
)
"""What decoders of text, of msgpack and of compressed bytes stumble over."""

Step = Callable[[bytes], bytes]
_PLACES = st.integers(0, 1 << 20)
_TOKENS = st.one_of(st.sampled_from(TOKENS), st.binary(min_size=1, max_size=40))


def _at(data: bytes, place: int) -> int:
    return place % (len(data) + 1)


def _flip(place: int, bit: int) -> Step:
    def step(data: bytes) -> bytes:
        at = _at(data, place)
        return data[:at] + bytes(byte ^ 1 << bit for byte in data[at : at + 1]) + data[at + 1 :]

    return step


def _replace(place: int, length: int, token: bytes) -> Step:
    return lambda data: data[: _at(data, place)] + token + data[_at(data, place) + length :]


def _cut(place: int) -> Step:
    return lambda data: data[: _at(data, place)]


def _repeat(place: int, length: int, times: int) -> Step:
    def step(data: bytes) -> bytes:
        at = _at(data, place)
        return data[:at] + data[at : at + length] * times + data[at + length :]

    return step


def _splice(place: int, other: bytes, from_place: int) -> Step:
    return lambda data: data[: _at(data, place)] + other[_at(other, from_place) :]


def _value(place: int, token: bytes) -> Step:
    """Put a token in place of a whole value of a text: what stands between two of its separators."""

    def step(data: bytes) -> bytes:
        start = max(data.find(separator, _at(data, place)) for separator in (b":", b"=", b"["))
        ends = [end for separator in (b",", b"}", b"]", b"\n") if (end := data.find(separator, start + 1)) > start]
        return data[: start + 1] + token + data[min(ends, default=len(data)) :]

    return step


_CODECS: tuple[tuple[Callable[[bytes], object], Callable[[object], bytes]], ...] = (
    (msgspec.json.decode, msgspec.json.encode),
    (msgspec.msgpack.decode, msgspec.msgpack.encode),
)
_VALUES: st.SearchStrategy[object] = st.one_of(
    st.sampled_from(
        [None, True, False, 0, 1, -1, 2**31, 2**63 - 1, -(2**63), 1.5, "", b"", [], {}, "0x", "0x0", "0x1"]
    ),
    st.sampled_from(["9" * 5000, "0x" + "f" * 64, "a\0b", [[]] * 100, b"\xff" * 32, b"\x80" * 200, {"a": {}}]),
    st.integers(-(2**63), 2**63 - 1),
    st.text(max_size=9),
    st.binary(max_size=40),
)


def _node(place: int, value: object, *, twice: bool) -> Step:
    """Put a value in place of any value of a document (JSON or msgpack) at any depth, or have an item twice."""

    def step(data: bytes) -> bytes:
        for decode, encode in _CODECS:
            with suppress(ValueError, RecursionError, TypeError):
                holders = list(_holders(document := [decode(data)]))
                holder, key = holders[place % len(holders)]
                if twice and isinstance(holder, list):
                    holder.insert(key, holder[key])
                else:
                    holder[key] = value
                return encode(document[0])
        return data

    return step


def _like(value: object, choice: int) -> object:
    """Return another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return (0, -1, value + 1, value - 1, (1 << 63) - 1, -(1 << 63))[choice % 6]
        case bytes():
            return (b"", value[:-1], bytes(len(value)), b"\xff" * len(value), value[::-1])[choice % 5]
        case str():
            return ("", "main", "toy", value.upper())[choice % 4]
        case list():
            return ([], value[:-1], value[1:], value * 2)[choice % 4]
    return value


def _alike(place: int, choice: int) -> Step:
    """Put a value of the same kind in place of any value of a document."""

    def step(data: bytes) -> bytes:
        for decode, encode in _CODECS:
            with suppress(ValueError, RecursionError, TypeError, OverflowError):
                holders = list(_holders(document := [decode(data)]))
                holder, key = holders[place % len(holders)]
                holder[key] = _like(holder[key], choice)
                return encode(document[0])
        return data

    return step


def _holders(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - a document
    keys = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
    for key in keys:
        yield value, key
        yield from _holders(value[key])


def _steps(samples: Sequence[bytes]) -> st.SearchStrategy[Step]:
    return st.one_of(
        st.builds(_flip, _PLACES, st.integers(0, 7)),
        st.builds(_replace, _PLACES, st.integers(0, 40), _TOKENS),
        st.builds(_value, _PLACES, _TOKENS),
        st.builds(_node, _PLACES, _VALUES, twice=st.sampled_from([False, False, False, True])),
        st.builds(_alike, _PLACES, st.integers(0, 59)),
        st.builds(_cut, _PLACES),
        st.builds(_repeat, _PLACES, st.integers(1, 64), st.sampled_from([0, 2, 3, 1000])),
        st.builds(_splice, _PLACES, st.sampled_from(samples), _PLACES),
    )


def inputs(samples: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """Return bytes: one time in eight any at all, else a sample after up to :data:`STEPS_MAX` accidents."""
    steps = st.lists(_steps(samples), max_size=STEPS_MAX)
    mutated = st.builds(
        lambda sample, done: reduce(lambda data, step: step(data), done, sample), st.sampled_from(samples), steps
    )
    return st.integers(0, 7).flatmap(lambda die: mutated if die else st.binary(max_size=200))
