"""Feed a ledger what ingestion would give it of a real chain, block by block, and nothing else.

Logs come by block hash with the ledger's own filter, fetched again until they name no new contract; reads are made at
the block's hash. What was fed is kept, so that blocks can be undone and fed again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Generic

import msgspec
from typing_extensions import TypeVar

from keeper.core.decisions import Verdict
from keeper.core.errors import NodeRefused
from keeper.core.facts import BlockHeader, ContractRead, RawLog, ReadRequest
from keeper.core.ids import Address, Hash32, parse_address, parse_hash, to_hex
from keeper.core.runconfig import VenueSpec
from keeper.core.venue import Ledger, LiquidationSeen, Status
from keeper.engine.recall import Block, fold_block
from keeper.lab.localchain.aave import AaveMarket
from keeper.lab.localchain.rpc import LabRpc, Request
from keeper.venues.aave_v3.ledger import AaveLedger

AnyLedger = TypeVar("AnyLedger", bound=Ledger, default=AaveLedger)


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    number: str
    hash: str
    parent_hash: str
    timestamp: str


class _Log(msgspec.Struct, frozen=True, rename="camel"):
    address: str
    topics: list[str]
    data: str
    log_index: str
    transaction_hash: str


@dataclass(frozen=True, slots=True)
class FedBlock:
    """What a ledger was given of one block."""

    header: BlockHeader
    logs: tuple[RawLog, ...]
    reads: tuple[ContractRead, ...]


def open_aave(market: AaveMarket, prices: str) -> AaveLedger:
    """Return an empty ledger of a local market; ``prices`` is ``"read"`` or ``"events"``."""
    root = parse_address(market.provider)
    fields = {"name": "aave", "protocol": "aave_v3", "chain_id": 31337, "root": root, "from_block": 0, "prices": prices}
    return AaveLedger(VenueSpec(**fields))  # type: ignore[arg-type]  # the fields are of several types


class Feed(Generic[AnyLedger]):
    """One ledger and the blocks it was fed, newest last; ``first`` is the first of them."""

    def __init__(self, rpc: LabRpc, ledger: AnyLedger, first: int = 0) -> None:
        self._rpc = rpc
        self._first = first
        self.ledger = ledger
        self.blocks: list[FedBlock] = []
        self.seen: list[LiquidationSeen] = []

    async def up_to(self, number: int) -> None:
        """Feed every block up to and including ``number``."""
        first = self.blocks[-1].header.number + 1 if self.blocks else self._first
        for each in range(first, number + 1):
            self.apply(await self.fetch(each))

    async def fetch(self, number: int) -> FedBlock:
        """Get a block as the ledger wants it now."""
        raw = await self._rpc.call("eth_getBlockByNumber", hex(number), False, answer=_Header)
        header = BlockHeader(
            int(raw.number, 16), parse_hash(raw.hash), parse_hash(raw.parent_hash), int(raw.timestamp, 16), 0, b""
        )
        logs = await self._logs(header.hash)
        return FedBlock(header, logs, await self.reads(header.hash, self.ledger.reads(logs)))

    async def _logs(self, block: Hash32) -> tuple[RawLog, ...]:
        addresses = set(self.ledger.watched())
        while True:
            logs = await self._filtered(block, sorted(addresses))
            found = set(self.ledger.discover(logs))
            if found <= addresses:
                return logs
            addresses |= found

    async def _filtered(self, block: Hash32, addresses: list[Address]) -> tuple[RawLog, ...]:
        wanted = {
            "blockHash": to_hex(block),
            "address": [to_hex(address) for address in addresses],
            "topics": [[to_hex(topic) for topic in self.ledger.topics]],
        }
        raw = await self._rpc.call("eth_getLogs", wanted, answer=list[_Log])
        return tuple(_log(each) for each in raw)

    async def reads(self, block: Hash32, requests: tuple[ReadRequest, ...]) -> tuple[ContractRead, ...]:
        """Get the answers at the end of a block."""
        calls = [
            Request(
                "eth_call",
                ({"to": to_hex(each.target), "data": to_hex(each.calldata)}, {"blockHash": to_hex(block)}),
            )
            for each in requests
        ]
        answers = await self._rpc.outcomes(calls, answer=str) if calls else []
        return tuple(_read(request, answer) for request, answer in zip(requests, answers, strict=True))

    def apply(self, block: FedBlock) -> None:
        """Fold a block."""
        self.ledger.begin_block(block.header)
        for log in block.logs:
            if (seen := self.ledger.apply_log(log)) is not None:
                self.seen.append(seen)
        self.ledger.apply_reads(block.reads)
        self.blocks.append(block)

    def undo(self) -> FedBlock:
        """Take back the newest block and return it."""
        block = self.blocks.pop()
        self.ledger.undo_block(block.header.number)
        return block


class JudgedFeed(Feed[AnyLedger]):
    """A feed that folds as the engine does, and keeps what the liquidations say of the ledger."""

    def __init__(self, rpc: LabRpc, ledger: AnyLedger, first: int = 0) -> None:
        super().__init__(rpc, ledger, first)
        self.verdicts: Counter[Verdict] = Counter()

    def apply(self, block: FedBlock) -> None:
        """Fold a block and judge its liquidations."""
        witnessed = fold_block(self.ledger, Block(block.header, block.logs, block.reads))
        self.seen += [each.seen for each in witnessed]
        self.verdicts.update(each.verdict for each in witnessed)
        self.ledger.apply_reads(block.reads)
        self.blocks.append(block)


def missed(ledger: Ledger) -> list[Address]:
    """Return the accounts that are not healthy and that the ledger does not suspect: none, or it is wrong."""
    suspects = set(ledger.suspects())
    unsafe = [each for each in ledger.accounts() if ledger.margin(each).health.status is not Status.HEALTHY]
    return [each for each in unsafe if each not in suspects]


def _log(raw: _Log) -> RawLog:
    topics = tuple(bytes.fromhex(topic[2:]) for topic in raw.topics)
    data = bytes.fromhex(raw.data[2:])
    return RawLog(parse_address(raw.address), topics, data, int(raw.log_index, 16), parse_hash(raw.transaction_hash))


def _read(request: ReadRequest, answer: str | NodeRefused) -> ContractRead:
    if isinstance(answer, NodeRefused):
        return ContractRead(request.target, request.calldata, None, answer.message)
    return ContractRead(request.target, request.calldata, bytes.fromhex(answer[2:]), None)
