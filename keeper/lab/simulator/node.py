"""A node: which blocks it knows, its own head, its pool, and what it answers to JSON-RPC."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from keeper.core.errors import NodeRefused
from keeper.core.ids import Address, Hash32, to_hex
from keeper.execution.observer import ALLOWANCE, BALANCE_OF
from keeper.lab.simulator import market
from keeper.lab.simulator.chain import FINALITY_BLOCKS, Block, Chain, gas_of
from keeper.lab.simulator.faults import Chaos
from keeper.lab.simulator.market import Reverted, State
from keeper.lab.simulator.mempool import Mempool, PoolRefused
from keeper.lab.simulator.transactions import Transaction, decode_signed

CHAIN_ID = 31337
TIP_WEI = 2 * 10**9
RANGE_BLOCKS_MAX = 5
INDEX_LAG_BLOCKS = 2
LEFT_OUT_ANSWERS = 3
Json = Any


class Node:
    """One node of the chain, honest, as far as it knows.

    Args:
        name: What the provider in front of it is called.
        chain: The tree.
        chaos: Strikes what a node itself may suffer.
        gossip: Told of each transaction that it took, to tell other nodes.
    """

    def __init__(self, name: str, chain: Chain, chaos: Chaos, gossip: Callable[[Transaction], None]) -> None:
        self.name = name
        self.pool = Mempool()
        self.indexes_late = False
        self.tells_nobody = False
        self._chain = chain
        self._chaos = chaos
        self._gossip = gossip
        self.branch: list[Block] = list(chain.branch)
        self._known = {block.hash for block in self.branch}
        self._receipts: dict[Hash32, list[tuple[Block, int]]] = {}
        self._unindexed: dict[Hash32, int] = {}
        """At which height of the head a block's logs can be found."""
        self._left_out: dict[Hash32, int] = {}
        """How many more answers leave out a block's logs."""

    @property
    def head(self) -> Block:
        """The newest block that it follows."""
        return self.branch[-1]

    def follow(self, block: Block, *, lose: bool) -> None:
        """Import a block and its branch; transactions of abandoned blocks go back to the pool, or are lost."""
        path = [block]
        while not self._is_on_branch(self._chain.by_hash[path[-1].header.parent_hash]):
            path.append(self._chain.by_hash[path[-1].header.parent_hash])
        abandoned = self.branch[path[-1].number :]
        del self.branch[path[-1].number :]
        for each in reversed(path):
            self._import(each)
        self.pool.settle(block.state)
        for receipt in (receipt for each in abandoned for receipt in each.receipts if receipt.transaction.raw):
            if not lose:
                self.take(receipt.transaction)

    def take(self, transaction: Transaction) -> None:
        """Take a transaction that another node told of; what the pool refuses is nobody's trouble."""
        try:
            self.pool.add(transaction, self.head.state)
        except PoolRefused:
            pass

    def answer(self, method: str, params: Sequence[Json]) -> Json:
        """Answer a request; an error object is a value, as in a batch."""
        try:
            return getattr(self, "_" + method)(*params)
        except NodeRefused as refusal:
            return refusal

    def _import(self, block: Block) -> None:
        self.branch.append(block)
        self._known.add(block.hash)
        for index, receipt in enumerate(block.receipts):
            if receipt.transaction.raw:
                self._receipts.setdefault(receipt.transaction.hash, []).append((block, index))
        if self.indexes_late and block.logs and self._chaos.strikes("unindexed"):
            self._unindexed[block.hash] = block.number + INDEX_LAG_BLOCKS
        if self.indexes_late and block.logs and self._chaos.strikes("log-left-out"):
            self._left_out[block.hash] = LEFT_OUT_ANSWERS

    def _is_on_branch(self, block: Block) -> bool:
        return block.number < len(self.branch) and self.branch[block.number] is block

    # JSON-RPC, by the names of the methods.

    def _eth_chainId(self) -> str:  # noqa: N802 - the method's name
        return hex(CHAIN_ID)

    def _eth_getCode(self, _address: str, _block: Json) -> str:  # noqa: N802 - as above
        return "0xfe"

    def _eth_blockNumber(self) -> str:  # noqa: N802 - as above
        return hex(self.head.number)

    def _eth_getBlockByNumber(self, tag: str, _full: Json) -> Json:  # noqa: N802 - as above
        if tag == "finalized":
            return self._finalized()
        number = self.head.number if tag == "latest" else int(tag, 16)
        return self.branch[number].header_json if number <= self.head.number else None

    def _finalized(self) -> Json:
        number = max(0, self.head.number - FINALITY_BLOCKS)
        if self._chaos.strikes("finality-missing"):
            return None
        if self._chaos.strikes("finality-back"):
            number //= 2
        return self.branch[number].header_json

    def _eth_getBlockByHash(self, block_hash: str, _full: Json) -> Json:  # noqa: N802 - as above
        block = self._find(block_hash)
        return None if block is None else block.header_json

    def _eth_getLogs(self, wanted: dict[str, Json]) -> Json:  # noqa: N802 - as above
        if "blockHash" in wanted:
            block = self._find(wanted["blockHash"])
            if block is None:
                raise NodeRefused(self.name, -32000, "unknown block")
            blocks = [block]
        else:
            first, last = int(wanted["fromBlock"], 16), int(wanted["toBlock"], 16)
            if last - first >= RANGE_BLOCKS_MAX and self._chaos.strikes("range-limit"):
                raise NodeRefused(self.name, -32602, "query exceeds max block range")
            blocks = self.branch[first : last + 1]
        return [log for block in blocks for log in self._indexed(block) if _is_wanted(log, wanted)]

    def _indexed(self, block: Block) -> tuple[Json, ...]:
        if self._chaos.is_calm:
            return block.logs_json
        left = self._left_out.get(block.hash, 0)
        self._left_out[block.hash] = left - 1
        return () if left > 0 or self._unindexed.get(block.hash, 0) > self.head.number else block.logs_json

    def _eth_getBlockReceipts(self, block_hash: str) -> Json:  # noqa: N802 - as above
        """They lie with the block, not with the index of logs."""
        block = self._find(block_hash)
        if block is None:
            return None
        return [{"blockHash": block_hash, "logs": list(block.logs_json)}]

    def _eth_call(self, call: dict[str, str], at: Json) -> str:
        state = self._state(at)
        to, data = Address(bytes.fromhex(call["to"][2:])), bytes.fromhex(call["data"][2:])
        if data == market.GOLD_PRICE_CALL:
            return _word(state.prices.get(market.GOLD, 0))
        account = market.account_of(data)
        if account is not None:
            collateral, _, debt = market.sums(state.of(account), state.prices)
            return _word(collateral) + _word(debt)[2:]
        if data.startswith(BALANCE_OF):
            return _word(state.tokens.get(data[16:36] + to, 0))
        if data.startswith(ALLOWANCE):
            return _word(state.allowed.get(data[16:36] + to, 0))
        return self._simulated(state, call, to, data)

    def _simulated(self, state: State, call: dict[str, str], to: Address, data: bytes) -> str:
        sender = Address(bytes.fromhex(call["from"][2:]))
        try:
            state.copy().execute(sender, to, data)
        except Reverted as reverted:
            revert = to_hex(reverted.name.encode())
            raise NodeRefused(self.name, 3, f"execution reverted: {reverted.name}", revert) from None
        return "0x"

    def _eth_estimateGas(self, call: dict[str, str], at: Json) -> str:  # noqa: N802 - as above
        self._eth_call(call, at)
        return hex(gas_of(bytes.fromhex(call["data"][2:])))

    def _eth_getBalance(self, owner: str, at: Json) -> str:  # noqa: N802 - as above
        return hex(self._state(at).native.get(Address(bytes.fromhex(owner[2:])), 0))

    def _eth_getTransactionCount(self, owner: str, at: Json) -> str:  # noqa: N802 - as above
        address = Address(bytes.fromhex(owner[2:]))
        nonce = self._state(at).nonces.get(address, 0)
        while at == "pending" and any(each.nonce == nonce for each in self.pool):
            nonce += 1
        return hex(nonce)

    def _eth_maxPriorityFeePerGas(self) -> str:  # noqa: N802 - as above
        return hex(TIP_WEI)

    def _eth_sendRawTransaction(self, raw: str) -> str:  # noqa: N802 - as above
        transaction = decode_signed(bytes.fromhex(raw[2:]), self._chain.signer)
        try:
            self.pool.add(transaction, self.head.state)
        except PoolRefused as refused:
            if self.pool.find(transaction.hash) is not None:
                self._tell(transaction)  # what it holds it announces again: others may have evicted it
            raise NodeRefused(self.name, -32000, str(refused)) from None
        self._tell(transaction)
        return to_hex(transaction.hash)

    def _tell(self, transaction: Transaction) -> None:
        if not (self.tells_nobody and self._chaos.strikes("silence")):
            self._gossip(transaction)

    def _eth_getTransactionByHash(self, tx_hash: str) -> Json:  # noqa: N802 - as above
        wanted = bytes.fromhex(tx_hash[2:])
        if self.pool.find(wanted) is not None or self._mined(Hash32(wanted)) is not None:
            return {"hash": tx_hash}
        return None

    def _eth_getTransactionReceipt(self, tx_hash: str) -> Json:  # noqa: N802 - as above
        found = self._mined(Hash32(bytes.fromhex(tx_hash[2:])))
        if found is None:
            return None
        block, receipt = found[0], found[0].receipts[found[1]]
        return {
            "transactionHash": tx_hash,
            "blockNumber": hex(block.number),
            "blockHash": to_hex(block.hash),
            "status": hex(receipt.succeeded),
            "gasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(receipt.gas_price_wei),
            "logs": [log for log in block.logs_json if log["transactionHash"] == tx_hash],
        }

    def _mined(self, tx_hash: Hash32) -> tuple[Block, int] | None:
        return next((each for each in self._receipts.get(tx_hash, ()) if self._is_on_branch(each[0])), None)

    def _find(self, block_hash: str) -> Block | None:
        found = Hash32(bytes.fromhex(block_hash[2:]))
        return self._chain.by_hash[found] if found in self._known else None

    def _state(self, at: Json) -> State:
        if isinstance(at, dict):
            block = self._find(at["blockHash"])
        elif at in ("latest", "pending"):
            block = self.head
        else:
            block = self.branch[int(at, 16)] if int(at, 16) <= self.head.number else None
        if block is None:
            raise NodeRefused(self.name, -32000, "header not found")
        return block.state


def _is_wanted(log: Json, wanted: dict[str, Json]) -> bool:
    return log["address"] in wanted["address"] and log["topics"][0] in wanted["topics"][0]


def _word(value: int) -> str:
    return f"0x{value:064x}"
