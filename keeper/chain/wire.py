"""From JSON to facts, strictly: what does not fit is a malformed answer that is named, never a guess.

Checked here, because every one of these has been served by some provider: hexadecimal of the wrong length, a missing
field, a header other than the one asked for, a log of another block or contract, logs out of order or twice, and
logs marked ``removed`` (a hint of a reorg, never data: reorgs come from headers alone).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import msgspec

from keeper.chain.bloom import BLOOM_LENGTH
from keeper.core.codec import COUNT_LIMIT
from keeper.core.errors import NodeMalformed, NodeRefused
from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import ADDRESS_LENGTH, HASH_LENGTH, Address, Hash32, to_hex

Shape = TypeVar("Shape")
_REMEDY = "it is asked again, then another provider"
_quantity = re.compile("0x[0-9a-fA-F]{1,64}").fullmatch


class HeadHint(NamedTuple):
    """What a node says its newest block is. It is worth looking, nothing more."""

    number: int
    hash: Hash32


class LogFilter(msgspec.Struct, frozen=True):
    """Which logs are wanted: contracts, sorted, and first topics."""

    addresses: tuple[Address, ...]
    topics: tuple[bytes, ...]

    def at(self, block_hash: Hash32) -> dict[str, object]:
        """Return the ``eth_getLogs`` parameter for one block by its hash."""
        return {"blockHash": to_hex(block_hash), **self._wanted()}

    def between(self, first: int, last: int) -> dict[str, object]:
        """Return the ``eth_getLogs`` parameter for the blocks ``first`` to ``last``, both included."""
        return {"fromBlock": hex(first), "toBlock": hex(last), **self._wanted()}

    def _wanted(self) -> dict[str, object]:
        return {
            "address": [to_hex(each) for each in self.addresses],
            "topics": [[to_hex(each) for each in self.topics]],
        }


class BlockLogs(msgspec.Struct, frozen=True):
    """The logs of one block of a range. ``timestamp`` in seconds, ``None`` where the node does not say it."""

    number: int
    hash: Hash32
    timestamp: int | None
    logs: tuple[RawLog, ...]


class _WireHeader(msgspec.Struct, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str
    logs_bloom: str
    base_fee_per_gas: str | None = None


class _WireReceipt(msgspec.Struct):
    logs: list[_WireLog]


class _WireLog(msgspec.Struct, rename="camel"):
    address: str
    topics: list[str]
    data: str
    block_number: str
    block_hash: str
    transaction_hash: str
    log_index: str
    removed: bool = False
    block_timestamp: str | None = None


class _WireTransactionReceipt(msgspec.Struct, rename="camel"):
    block_hash: str
    logs: list[_WireLog]


def read_quantity(text: str) -> int:
    """Read a JSON-RPC quantity that counts something: heights, seconds, gas prices. The journal holds 63 bits of it.

    Raises:
        ValueError: not 0x and hexadecimal digits, or more than any of these can be.
    """
    value = -1 if _quantity(text) is None else int(text, 16)
    if not 0 <= value < COUNT_LIMIT:
        raise ValueError(f"{text[:80]!r} is not a quantity below 2^63")
    return value


def read_bytes(text: str, length: int | None = None) -> bytes:
    """Read JSON-RPC data, of exactly ``length`` bytes when given.

    Raises:
        ValueError: not 0x and pairs of hexadecimal digits, or another length.
    """
    raw = bytes.fromhex(text[2:])
    if not text.startswith("0x") or len(text) != 2 + 2 * len(raw) or length not in (None, len(raw)):
        raise ValueError(f"{text[:80]!r} is not {'' if length is None else f'{length} bytes of '}hexadecimal data")
    return raw


def decode_output(result: object) -> bytes:
    """Decode the result of ``eth_call``.

    Raises:
        NodeMalformed: not hexadecimal data.
    """
    try:
        return read_bytes(_convert(result, str))
    except ValueError as error:
        raise NodeMalformed("eth_call", str(error), _REMEDY) from None


def decode_header(result: object, *, number: int | None = None, block_hash: Hash32 | None = None) -> BlockHeader:
    """Decode a block without transactions; it must be the one that was asked for.

    Raises:
        NodeRefused: the node answered with an error object.
        NodeMalformed: the node does not know the block, or the answer is another block or no header.
    """
    if isinstance(result, NodeRefused):
        raise result
    asked = f"block {number if block_hash is None else to_hex(block_hash)}"
    if result is None:
        raise NodeMalformed(asked, "unknown to the node", _REMEDY)
    try:
        header = _header(_convert(result, _WireHeader))
    except ValueError as error:
        raise NodeMalformed(f"header of {asked}", str(error), _REMEDY) from None
    if number not in (None, header.number) or block_hash not in (None, header.hash):
        raise NodeMalformed(f"header of {asked}", f"is block {header.number} {to_hex(header.hash)}", _REMEDY)
    return header


def decode_block_logs(result: object, wanted: LogFilter, number: int, block_hash: Hash32) -> tuple[RawLog, ...]:
    """Decode the answer to ``eth_getLogs`` by block hash.

    Raises:
        NodeRefused: the node answered with an error object (an unknown block is not an empty block).
        NodeMalformed: an answer that is not the watched logs of this block in their order.
    """
    blocks = decode_range_logs(result, wanted, number, number)
    if not blocks:
        return ()
    if blocks[0].hash != block_hash:
        raise NodeMalformed(f"logs of block {to_hex(block_hash)}", f"carry hash {to_hex(blocks[0].hash)}", _REMEDY)
    return blocks[0].logs


def decode_receipt_logs(result: object, wanted: LogFilter, number: int, block_hash: Hash32) -> tuple[RawLog, ...]:
    """Decode the watched logs out of a block's receipts: the answer to ``eth_getBlockReceipts``.

    Raises:
        NodeRefused: the node answered with an error object.
        NodeMalformed: an answer that is not receipts of this block.
    """
    if isinstance(result, NodeRefused):
        raise result
    addresses, topics = ({to_hex(each) for each in values} for values in (wanted.addresses, wanted.topics))
    try:
        rows = [log for receipt in _convert(result, list[_WireReceipt]) for log in receipt.logs]
    except ValueError as error:
        raise NodeMalformed(f"receipts of block {to_hex(block_hash)}", str(error), _REMEDY) from None
    watched = [row for row in rows if row.address.lower() in addresses and row.topics[:1] and row.topics[0] in topics]
    return decode_block_logs(msgspec.to_builtins(watched), wanted, number, block_hash)


def decode_range_logs(result: object, wanted: LogFilter, first: int, last: int) -> tuple[BlockLogs, ...]:
    """Decode the answer to ``eth_getLogs`` by range: the blocks that have watched logs, oldest first.

    Raises:
        NodeRefused: the node answered with an error object.
        NodeMalformed: an answer that is not the watched logs of these blocks in their order.
    """
    if isinstance(result, NodeRefused):
        raise result
    thing = f"logs of blocks {first} to {last}"
    try:
        rows = _convert(result, list[_WireLog])
        return _grouped(rows, wanted, first, last)
    except ValueError as error:
        raise NodeMalformed(thing, str(error), _REMEDY) from None


def decode_transaction_logs(result: object, block_hash: Hash32) -> tuple[RawLog, ...]:
    """Decode the logs of a transaction's receipt; none when it is not in this block, or unknown.

    Raises:
        NodeRefused: the node answered with an error object.
        NodeMalformed: an answer that is not a receipt.
    """
    if isinstance(result, NodeRefused):
        raise result
    if result is None:
        return ()
    try:
        receipt = _convert(result, _WireTransactionReceipt)
        if read_bytes(receipt.block_hash, HASH_LENGTH) != block_hash:
            return ()
        return tuple(_log(row) for row in receipt.logs)
    except ValueError as error:
        raise NodeMalformed("receipt", str(error), _REMEDY) from None


def _convert(result: object, shape: type[Shape]) -> Shape:
    try:
        return msgspec.convert(result, shape)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _header(wire: _WireHeader) -> BlockHeader:
    return BlockHeader(
        number=read_quantity(wire.number),
        hash=Hash32(read_bytes(wire.hash, HASH_LENGTH)),
        parent_hash=Hash32(read_bytes(wire.parent_hash, HASH_LENGTH)),
        timestamp=read_quantity(wire.timestamp),
        base_fee_wei=read_quantity(wire.base_fee_per_gas or "0x0"),
        logs_bloom=read_bytes(wire.logs_bloom, BLOOM_LENGTH),
    )


def _grouped(rows: Sequence[_WireLog], wanted: LogFilter, first: int, last: int) -> tuple[BlockLogs, ...]:
    addresses, topics = frozenset(wanted.addresses), frozenset(wanted.topics)
    blocks: dict[int, list[RawLog]] = {}
    heads: dict[int, _WireLog] = {}
    place = (first, -1)
    for row in rows:
        number, log = read_quantity(row.block_number), _log(row)
        if (number, log.log_index) <= place or number > last:
            raise ValueError(f"log {log.log_index} of block {number} is out of place or twice")
        place = (number, log.log_index)
        if log.address not in addresses or not log.topics or log.topics[0] not in topics:
            raise ValueError(f"log {log.log_index} of block {number} was not asked for")
        if row.block_hash != heads.setdefault(number, row).block_hash:
            raise ValueError(f"logs of block {number} carry different hashes")
        blocks.setdefault(number, []).append(log)
    return tuple(_block(number, heads[number], logs) for number, logs in blocks.items())


def _block(number: int, row: _WireLog, logs: Sequence[RawLog]) -> BlockLogs:
    timestamp = None if row.block_timestamp is None else read_quantity(row.block_timestamp)
    return BlockLogs(number, Hash32(read_bytes(row.block_hash, HASH_LENGTH)), timestamp, tuple(logs))


def _log(row: _WireLog) -> RawLog:
    if row.removed:
        raise ValueError(f"log {row.log_index[:20]} of block {row.block_number[:20]} is marked removed")
    return RawLog(
        address=Address(read_bytes(row.address, ADDRESS_LENGTH)),
        topics=tuple([read_bytes(topic, HASH_LENGTH) for topic in row.topics]),
        data=read_bytes(row.data),
        log_index=read_quantity(row.log_index),
        tx_hash=Hash32(read_bytes(row.transaction_hash, HASH_LENGTH)),
    )
