"""Decoding: what a good node says comes through to the byte, and nothing else comes through at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.wire import (
    LogFilter,
    decode_block_logs,
    decode_header,
    decode_output,
    decode_range_logs,
    read_bytes,
    read_quantity,
)
from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import Address, Hash32
from tests.chain_ingestion.scripted import (
    EVENT,
    OTHER,
    ROOT,
    ScriptedChain,
    header_json,
    log_json,
    log_of,
    some_hash,
)

WANTED = LogFilter((ROOT,), (EVENT,))
HASHES = st.binary(min_size=32, max_size=32).map(Hash32)
HEADERS = st.builds(
    BlockHeader,
    number=st.integers(0, 2**40),
    hash=HASHES,
    parent_hash=HASHES,
    timestamp=st.integers(0, 2**40),
    base_fee_wei=st.integers(0, 2**63 - 1),
    logs_bloom=st.binary(min_size=256, max_size=256),
)
LOGS = st.builds(
    RawLog,
    address=st.binary(min_size=20, max_size=20).map(Address),
    topics=st.lists(HASHES, min_size=1, max_size=4).map(tuple),
    data=st.binary(max_size=200),
    log_index=st.integers(0, 2**30),
    tx_hash=HASHES,
)


def block_logs(*logs: RawLog) -> tuple[BlockHeader, list[dict[str, Any]]]:
    """Return a header and the node's JSON of its logs."""
    header = ScriptedChain().mine(*logs).header
    return header, [log_json(log, header) for log in logs]


@given(HEADERS)
def test_headers_round_trip(header: BlockHeader) -> None:
    """A header comes through as it was sent."""
    assert decode_header(header_json(header), number=header.number, block_hash=header.hash) == header


@pytest.mark.slow
@given(st.lists(LOGS, max_size=10, unique_by=lambda log: log.log_index), st.booleans())
def test_logs_round_trip(logs: list[RawLog], timestamps: bool) -> None:  # noqa: FBT001 - hypothesis gives it
    """Logs come through as they were sent, in order."""
    logs.sort(key=lambda log: log.log_index)
    header = ScriptedChain().mine(*logs).header
    wanted = LogFilter(tuple(log.address for log in logs), tuple(log.topics[0] for log in logs))
    sent = [log_json(log, header, timestamp=timestamps) for log in logs]

    assert decode_block_logs(sent, wanted, header.number, header.hash) == tuple(logs)


def test_header_before_base_fees() -> None:
    """A header without a base fee has a base fee of zero."""
    header = ScriptedChain().branch[0].header
    sent = header_json(header)
    del sent["baseFeePerGas"]

    assert decode_header(sent).base_fee_wei == 0


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("hash", "0x12", "is not 32 bytes of hexadecimal data"),
        ("hash", "0x" + "zz" * 32, "non-hexadecimal"),
        ("parentHash", None, "Expected `str`, got `null` - at `$.parentHash`"),
        ("number", "17", "is not a quantity"),
        ("number", 17, "Expected `str`, got `int` - at `$.number`"),
        ("timestamp", "0x", "is not a quantity"),
        ("number", "0x8000000000000000", "is not a quantity below 2^63"),
        ("timestamp", "0x" + "f" * 64, "is not a quantity below 2^63"),
        ("logsBloom", "0x00", "is not 256 bytes of hexadecimal data"),
    ],
)
def test_bad_header_is_named(field: str, value: object, reason: str) -> None:
    """A header field that is not what it should be is malformed, and the message says which."""
    with pytest.raises(NodeMalformed) as caught:
        decode_header({**header_json(ScriptedChain().branch[0].header), field: value}, number=0)

    assert reason in str(caught.value)


def test_missing_field_is_named() -> None:
    """A header without a field is malformed, and the message names the field."""
    sent = header_json(ScriptedChain().branch[0].header)
    del sent["parentHash"]

    with pytest.raises(NodeMalformed, match="parentHash"):
        decode_header(sent)


def test_unknown_block_is_an_error() -> None:
    """A block the node does not know is not an empty block."""
    with pytest.raises(NodeMalformed, match="block 7: unknown to the node"):
        decode_header(None, number=7)
    with pytest.raises(NodeRefused):
        decode_block_logs(NodeRefused("eth_getLogs", -32000, "unknown block"), WANTED, 1, some_hash(1))
    with pytest.raises(NodeRefused):
        decode_header(NodeRefused("eth_getBlockByHash", -32000, "unknown block"))


def test_another_block_is_refused() -> None:
    """A header other than the one asked for is malformed, by number and by hash."""
    sent = header_json(ScriptedChain().branch[0].header)

    with pytest.raises(NodeMalformed, match="header of block 1: is block 0"):
        decode_header(sent, number=1)
    with pytest.raises(NodeMalformed, match="is block 0"):
        decode_header(sent, block_hash=some_hash("other"))


BAD_LOGS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "removed": (lambda log: {**log, "removed": True}, "is marked removed"),
    "pending": (lambda log: {**log, "blockHash": None}, r"at `\$\[0\].blockHash`"),
    "address": (lambda log: {**log, "address": "0x11"}, "is not 20 bytes"),
    "topic": (lambda log: {**log, "topics": ["0x11"]}, "is not 32 bytes"),
    "data": (lambda log: {**log, "data": "0x1"}, "hexadecimal"),
    "spaces": (lambda log: {**log, "data": "0x 11 "}, "is not hexadecimal data"),
    "index": (lambda log: {**log, "logIndex": "-0x1"}, "is not a quantity"),
    "contract": (lambda log: {**log, "address": "0x" + OTHER.hex()}, "was not asked for"),
    "wrong topic": (lambda log: {**log, "topics": ["0x" + "ab" * 32]}, "was not asked for"),
    "no topic": (lambda log: {**log, "topics": []}, "was not asked for"),
    "another block": (lambda log: {**log, "blockNumber": "0x2"}, "out of place"),
    "another hash": (lambda log: {**log, "blockHash": "0x" + "ab" * 32}, "carry hash 0xabab"),
    "transaction": (lambda log: {key: log[key] for key in log if key != "transactionHash"}, "transactionHash"),
}


@pytest.mark.fault(34)
@pytest.mark.parametrize("name", list(BAD_LOGS))
def test_bad_log_is_named(name: str) -> None:
    """A log that is not a watched log of this block is malformed, and the message says why."""
    bend, reason = BAD_LOGS[name]
    header, sent = block_logs(log_of(b"a"))

    with pytest.raises(NodeMalformed, match=reason):
        decode_block_logs([bend(sent[0])], WANTED, header.number, header.hash)


@pytest.mark.parametrize("order", [(1, 0), (0, 0)])
def test_order_is_checked(order: tuple[int, int]) -> None:
    """Logs out of order or twice are malformed."""
    header, sent = block_logs(log_of(b"a", 0), log_of(b"b", 1))

    with pytest.raises(NodeMalformed, match="out of place or twice"):
        decode_block_logs([sent[index] for index in order], WANTED, header.number, header.hash)


@pytest.mark.parametrize("answer", [None, {}, "0x", [1], [[]]])
def test_logs_of_another_shape(answer: object) -> None:
    """What is not a list of logs is malformed, above all null."""
    with pytest.raises(NodeMalformed):
        decode_block_logs(answer, WANTED, 0, some_hash(0))


def test_ranges_group_by_block() -> None:
    """The logs of a range come as its blocks that have any, oldest first."""
    chain = ScriptedChain()
    blocks = [chain.mine(log_of(b"a", 0), log_of(b"b", 5)), chain.mine(), chain.mine(log_of(b"c", 2))]
    sent = [log_json(log, block.header) for block in blocks for log in block.logs]

    found = decode_range_logs(sent, WANTED, 1, 3)

    assert [(block.number, block.hash, block.timestamp, block.logs) for block in found] == [
        (block.header.number, block.header.hash, block.header.timestamp, block.logs) for block in blocks if block.logs
    ]


def test_one_block_has_one_hash() -> None:
    """Logs of one number with two hashes come from two branches: malformed."""
    header, sent = block_logs(log_of(b"a", 0), log_of(b"b", 1))
    sent[1]["blockHash"] = "0x" + "ab" * 32

    with pytest.raises(NodeMalformed, match="carry different hashes"):
        decode_range_logs(sent, WANTED, 0, header.number)


@pytest.mark.parametrize("answer", [None, 1, "0x1", "11", "0xzz"])
def test_call_output_is_data(answer: object) -> None:
    """The output of a call is hexadecimal data or malformed."""
    with pytest.raises(NodeMalformed):
        decode_output(answer)
    assert decode_output("0x0a") == b"\x0a"


@given(st.integers(0, 2**63 - 1))
def test_quantities_round_trip(value: int) -> None:
    """A quantity is read as it was written."""
    assert read_quantity(hex(value)) == value


@given(st.text(alphabet="0x1aA _+-\n", max_size=8))
def test_quantities_are_strict(text: str) -> None:
    """What Python's int() forgives (spaces, signs, underscores) a quantity does not."""
    digits = text[2:] if text.startswith("0x") else ""
    valid = digits != "" and all(digit in "0123456789abcdefABCDEF" for digit in digits)

    try:
        read_quantity(text)
    except ValueError:
        assert not valid
    else:
        assert valid


@given(st.binary(max_size=100))
def test_data_round_trips(raw: bytes) -> None:
    """Data is read as it was written, in either case."""
    assert read_bytes("0x" + raw.hex()) == raw == read_bytes("0x" + raw.hex().upper(), len(raw))
