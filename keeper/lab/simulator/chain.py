"""The simulated chain: a tree of blocks linked by hash, each with the state after it.

Every block that was ever mined stays: a node may serve it, and the oracles look at all branches. Which branch counts is
the world's to say, by mining on it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from keeper.chain.bloom import bloom_of
from keeper.core.facts import BlockHeader, RawLog
from keeper.core.ids import Address, Hash32, content_id, to_hex
from keeper.lab.simulator import market
from keeper.lab.simulator.market import Emitted, Reverted, State
from keeper.lab.simulator.transactions import Transaction

FINALITY_BLOCKS = 16
BASE_FEE_WEI_MIN = 10**9


class Receipt(msgspec.Struct, frozen=True):
    """What a transaction did in its block."""

    transaction: Transaction
    succeeded: bool
    gas_used: int
    gas_price_wei: int


class Block(msgspec.Struct, frozen=True):
    """A block, what was in it, and the state after it. ``header_json`` and ``logs_json`` are what a node tells."""

    header: BlockHeader
    receipts: tuple[Receipt, ...]
    logs: tuple[RawLog, ...]
    state: State
    header_json: dict[str, Any]
    logs_json: tuple[dict[str, Any], ...]

    @property
    def number(self) -> int:
        """The height."""
        return self.header.number

    @property
    def hash(self) -> Hash32:
        """The hash."""
        return self.header.hash


class Chain:
    """The tree and its head. ``finalized`` never goes back; no branch leaves it below unless the world breaks it.

    Args:
        genesis: The state to begin with.
        timestamp: Of the first block, in seconds.
        base_fee_wei: Of the first block.
        signer: Whose transactions are signed.
    """

    def __init__(self, genesis: State, timestamp: int, base_fee_wei: int, signer: Address) -> None:
        self.signer = signer
        self.by_hash: dict[Hash32, Block] = {}
        self.branch: list[Block] = []
        self.finalized = 0
        self.forked = 0
        first = self._sealed(None, timestamp, base_fee_wei, (), (), genesis, 0)
        self.set_head(first)

    @property
    def head(self) -> Block:
        """The newest block of the branch that counts."""
        return self.branch[-1]

    def set_head(self, block: Block) -> None:
        """Let a block's branch count."""
        path = [block]
        while path[-1].number and not self.is_canonical(self.by_hash[path[-1].header.parent_hash]):
            path.append(self.by_hash[path[-1].header.parent_hash])
        del self.branch[path[-1].number :]
        self.branch.extend(reversed(path))
        self.finalized = max(self.finalized, block.number - FINALITY_BLOCKS)

    def is_canonical(self, block: Block) -> bool:
        """Tell whether a block is on the branch that counts."""
        return block.number < len(self.branch) and self.branch[block.number] is block

    def mine(
        self, parent: Block, timestamp: int, base_fee_wei: int, transactions: Iterable[Transaction], salt: int
    ) -> Block:
        """Add a block on a parent; it becomes the head only by :meth:`set_head`."""
        state = parent.state.copy()
        receipts: list[Receipt] = []
        drafts: list[tuple[Emitted, Hash32]] = []
        for transaction in transactions:
            receipt, emitted = _execute(state, transaction, base_fee_wei)
            receipts.append(receipt)
            drafts += [(each, transaction.hash) for each in emitted]
        logs = tuple(_log(draft, index, tx_hash) for index, (draft, tx_hash) in enumerate(drafts))
        return self._sealed(parent, timestamp, base_fee_wei, receipts, logs, state, salt)

    def _sealed(
        self,
        parent: Block | None,
        timestamp: int,
        base_fee_wei: int,
        receipts: Sequence[Receipt],
        logs: tuple[RawLog, ...],
        state: State,
        salt: int,
    ) -> Block:
        number, above = (0, Hash32(bytes(32))) if parent is None else (parent.number + 1, parent.hash)
        content = [receipt.transaction.hash for receipt in receipts]
        block_hash = content_id("block", number, above, timestamp, base_fee_wei, salt, *content)
        header = BlockHeader(number, block_hash, above, timestamp, base_fee_wei, bloom_of(logs))
        logs_json = tuple(_log_json(log, header) for log in logs)
        block = Block(header, tuple(receipts), logs, state, _header_json(header), logs_json)
        self.by_hash[block_hash] = block
        return block


def _execute(state: State, transaction: Transaction, base_fee_wei: int) -> tuple[Receipt, list[Emitted]]:
    """Carry out a transaction; one of ours pays for its gas whether it succeeds or not."""
    try:
        emitted, succeeded = state.execute(transaction.sender, transaction.to, transaction.data), True
    except Reverted:
        emitted, succeeded = [], False
    gas_used = gas_of(transaction.data, succeeded=succeeded)
    price = base_fee_wei + transaction.tip_wei(base_fee_wei)
    if transaction.raw:
        state.native[transaction.sender] -= gas_used * price
        state.nonces[transaction.sender] = transaction.nonce + 1
    return Receipt(transaction, succeeded, gas_used, price), emitted


def gas_of(data: bytes, *, succeeded: bool = True) -> int:
    """Return what a call uses."""
    if not data:
        return market.PLAIN_GAS
    if not succeeded:
        return market.REVERT_GAS
    return market.LIQUIDATION_GAS if b"liquidate" in data[:12] else market.APPROVAL_GAS


def _log(draft: Emitted, index: int, tx_hash: Hash32) -> RawLog:
    topic = market.TOPIC if draft.address != NOISE else NOISE_TOPIC
    return RawLog(draft.address, (topic,), msgspec.msgpack.encode(draft.fields), index, tx_hash)


NOISE = Address(b"\x97" * 20)
NOISE_TOPIC = b"\x55" * 32


def _header_json(header: BlockHeader) -> dict[str, Any]:
    return {
        "number": hex(header.number),
        "hash": to_hex(header.hash),
        "parentHash": to_hex(header.parent_hash),
        "timestamp": hex(header.timestamp),
        "baseFeePerGas": hex(header.base_fee_wei),
        "logsBloom": to_hex(header.logs_bloom),
    }


def _log_json(log: RawLog, header: BlockHeader) -> dict[str, Any]:
    return {
        "address": to_hex(log.address),
        "topics": [to_hex(topic) for topic in log.topics],
        "data": to_hex(log.data),
        "blockNumber": hex(header.number),
        "blockHash": to_hex(header.hash),
        "blockTimestamp": hex(header.timestamp),
        "transactionHash": to_hex(log.tx_hash),
        "logIndex": hex(log.log_index),
        "removed": False,
    }
