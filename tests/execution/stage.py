"""A lane on a real chain: the real engine, a real node, and between them a recorder and a node that can fail.

A test mines and follows explicitly, so nothing here waits. What the recorder holds is what a journal would: a *crash*
is an exception at any step, after which a new engine and a new lane are built from those entries alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from keeper.core.decisions import Intent, IntentAdvanced, IntentState
from keeper.core.errors import NodeError
from keeper.core.facts import (
    AnyFact,
    AttemptPrepared,
    AttemptSent,
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    BlockReverted,
    RawLog,
    ReceiptSeen,
    RunStarted,
    TokenSpend,
)
from keeper.core.ids import ZERO_ADDRESS, Address, Hash32, content_id, parse_address, parse_hash, to_hex
from keeper.core.ports import Node
from keeper.core.runconfig import ChainSpec, Limits, RunConfig, SignerSpec, VenueSpec
from keeper.core.units import BaseAmount, TokenAmount, Wei
from keeper.core.venue import Epoch
from keeper.engine.step import Engine
from keeper.execution.lane import Lane
from keeper.execution.observer import SignerObserver
from keeper.execution.signer import LocalSigner
from keeper.lab.localchain.rpc import LabRpc
from tests.execution.faults import SEND, Recorder, StageNode
from tests.execution.lever import CODE, PULL, LeverVenue

CHAIN_ID = 31337
SIGNER = "main"
VENUE = "lever"
GWEI = 10**9
RICH = 10**20
_STAGES = itertools.count()


class Stage:
    """Everything of one test: the node, the signer, the contract, the engine and its lane."""

    def __init__(self, rpc: LabRpc, contract: Address, bump_after_blocks: int = 3) -> None:
        self.rpc = rpc
        self.contract = contract
        self.signer = LocalSigner(content_id("signer", contract))
        self.spec = SignerSpec(
            name=SIGNER,
            address=self.signer.address,
            in_flight_max=4,
            bump_after_blocks=bump_after_blocks,
            valid_for_blocks=20,
            balance_wei_min=Wei(0),
        )
        self.limit = Wei(500 * GWEI)
        self.decision_ttl_blocks = 100
        self.troubles: list[NodeError] = []
        self.first_block = "latest"
        self.start([])

    # The process.

    def start(self, entries: Sequence[AnyFact | Intent]) -> None:
        """Start a process on a journal: a new engine, fed what is durable, and a new lane."""
        self.engine = Engine(self._open_ledger, {})
        self.recorder = Recorder(self.engine)
        self.node = StageNode(self.rpc, self.recorder)
        for entry in entries:
            self.recorder.put(entry)
        self.recorder.put(RunStarted(Hash32(bytes(32)), "test", self._config(), "{}", 0))
        self.observer = SignerObserver(
            node=self.node, chain_id=CHAIN_ID, signer=SIGNER, address=self.signer.address, ledgers=self._ledgers
        )
        self.lane = self.build_lane(self.node)

    def restart(self) -> None:
        """Die, and start again from what is durable."""
        self.start(self.recorder.entries)

    def build_lane(self, node: Node) -> Lane:
        """Build a lane on the current engine."""
        return Lane(
            chain_id=CHAIN_ID,
            spec=self.spec,
            signer=self.signer,
            node=node,
            providers=lambda: [("stage", node)],
            recorder=self.recorder,
            engine=self.engine,
            on_trouble=self.troubles.append,
        )

    def _open_ledger(self, spec: VenueSpec) -> LeverVenue:
        return LeverVenue(spec.name, spec.chain_id, self.contract)

    def _ledgers(self) -> list[LeverVenue]:
        return [ledger for ledger in self.engine.ledgers.values() if isinstance(ledger, LeverVenue)]

    def _config(self) -> RunConfig:
        nothing = BaseAmount(0)
        return RunConfig(
            live=True,
            chains=(
                ChainSpec(
                    name="local",
                    chain_id=CHAIN_ID,
                    finality_depth_blocks=None,
                    stale_after_seconds=60,
                    wrapped_native=None,
                ),
            ),
            venues=(
                VenueSpec(
                    name=VENUE,
                    protocol="lever",
                    chain_id=CHAIN_ID,
                    root=self.contract,
                    from_block=0,
                    prices="read",
                ),
            ),
            signers=(self.spec,),
            strategies=(),
            limits=Limits(
                profit_base_min=nothing,
                gas_price_wei_max=self.limit,
                spend_base_per_hour_max=nothing,
                spend_base_per_intent_max=nothing,
                attempts_per_account_max=3,
                head_age_seconds_max=60,
                decision_ttl_blocks=self.decision_ttl_blocks,
            ),
        )

    # The chain.

    async def mine(self, blocks: int = 1) -> None:
        """Mine what is in the pool, and empty blocks after it; follow each as the keeper would."""
        for _ in range(blocks):
            await self.rpc.call("evm_mine", answer=object)
            await self.follow()

    async def mine_without_ours(self) -> None:
        """Mine a block that has no room for our transactions, which stay in the pool; follow it."""
        waiting = [attempt for attempt in self.attempts() if await self.is_pooled(attempt.tx_hash)]
        await self.rpc.call("anvil_dropAllTransactions", answer=object)
        await self.rpc.call("evm_mine", answer=object)
        for attempt in waiting:
            await self.rpc.call(SEND, to_hex(attempt.raw), answer=object)
        await self.follow()

    async def is_pooled(self, tx_hash: Hash32) -> bool:
        """Tell whether the node holds a transaction that is in no block."""
        found = await self.rpc.call("eth_getTransactionByHash", to_hex(tx_hash), answer=object)
        return isinstance(found, dict) and found["blockHash"] is None

    async def drop(self, attempt: AttemptPrepared) -> None:
        """Make the pool lose a transaction."""
        await self.rpc.call("anvil_dropTransaction", to_hex(attempt.tx_hash), answer=object)

    async def follow(self) -> None:
        """Bring the engine to the node's head, through reorgs, without waking the lane."""
        newest = await self.header("latest")
        branch = [newest]
        chain = self.engine.chains[CHAIN_ID]
        if chain.tip is not None and chain.tip.hash == newest.hash:
            return
        facts: list[AnyFact] = []
        while chain.headers and not chain.is_canonical(branch[0].number - 1, branch[0].parent_hash):
            branch.insert(0, await self.header(hex(branch[0].number - 1)))
        facts += [
            BlockReverted(CHAIN_ID, held.number, held.hash)
            for held in reversed(chain.headers)
            if held.number >= branch[0].number
        ]
        for header in branch:
            behind = newest.number - header.number
            facts.append(BlockApplied(CHAIN_ID, header, await self._logs(header), (), behind))
        final = await self.header("finalized")
        if final.number > chain.finalized_number:
            facts.append(BlockFinalized(CHAIN_ID, final.number, final.hash))
        facts.insert(len(facts) - 1, await self.observer.read(newest))
        for fact in facts:
            self.recorder.put(fact)

    async def header(self, block: str) -> BlockHeader:
        """Return a header of the node's chain."""
        found = await self.rpc.call("eth_getBlockByNumber", block, False, answer=dict[str, object])
        return BlockHeader(
            number=int(str(found["number"]), 16),
            hash=parse_hash(str(found["hash"])),
            parent_hash=parse_hash(str(found["parentHash"])),
            timestamp=int(str(found["timestamp"]), 16),
            base_fee_wei=int(str(found["baseFeePerGas"]), 16),
            logs_bloom=b"",
        )

    async def _logs(self, header: BlockHeader) -> tuple[RawLog, ...]:
        wanted = {"address": to_hex(self.contract), "blockHash": to_hex(header.hash)}
        logs = await self.rpc.call("eth_getLogs", wanted, answer=list[dict[str, object]])
        return tuple(
            RawLog(parse_address(str(log["address"])), (), b"", index, parse_hash(str(log["transactionHash"])))
            for index, log in enumerate(logs)
        )

    async def act(self) -> None:
        """Wake the lane for the head, and let it make its pass."""
        self.lane.head()
        await self.lane.work()

    async def turn(self, blocks: int = 1) -> None:
        """Mine, follow and act, for each block."""
        for _ in range(blocks):
            await self.mine()
            await self.act()

    async def wait(self, blocks: int = 1) -> None:
        """Follow blocks that have no room for ours, and act at each."""
        for _ in range(blocks):
            await self.mine_without_ours()
            await self.act()

    # What a test asks for, and looks at.

    def admit(
        self,
        data: bytes = PULL,
        *,
        ceiling_gwei: int = 400,
        valid_for: int = 20,
        about: int | None = None,
        gas: int = 0,
    ) -> Hash32:
        """Admit a call of the contract, about an account of its own unless another's number is given."""
        tip = self.engine.chains[CHAIN_ID].tip_number
        number = len(self.recorder.of(Intent))
        intent = Intent(
            intent_id=content_id("test", self.contract, number),
            kind="liquidation",
            venue=VENUE,
            chain_id=CHAIN_ID,
            signer=SIGNER,
            account=Address((number if about is None else about).to_bytes(20, "big")),
            epoch=Epoch(tip, 0),
            to=self.contract,
            data=data,
            spend=TokenSpend(ZERO_ADDRESS, TokenAmount(0)),
            spend_base=BaseAmount(0),
            profit_base=BaseAmount(0),
            gas_price_wei_max=Wei(ceiling_gwei * GWEI),
            admitted_at_block=tip,
            valid_until_block=tip + valid_for,
            gas=gas,
        )
        self.recorder.put(intent)
        self.lane.admit(intent)
        return intent.intent_id

    def state(self, intent_id: Hash32) -> IntentState | None:
        """Return where an intent stands."""
        return self.engine.intents.state(intent_id)

    def attempts(self) -> list[AttemptPrepared]:
        """Return every durable attempt, in order."""
        return [entry for entry in self.recorder.entries if isinstance(entry, AttemptPrepared)]

    def answers(self) -> list[str]:
        """Return what the node answered to each send, in order."""
        return [entry.answer for entry in self.recorder.entries if isinstance(entry, AttemptSent)]

    def receipts(self) -> list[ReceiptSeen]:
        """Return every receipt that was recorded."""
        return [entry for entry in self.recorder.entries if isinstance(entry, ReceiptSeen)]

    def reasons(self, intent_id: Hash32) -> list[str]:
        """Return why an intent advanced, in order."""
        return [
            decision.reason
            for decision in self.recorder.decisions
            if isinstance(decision, IntentAdvanced) and decision.intent_id == intent_id
        ]

    async def pulls(self) -> int:
        """Count the times that the lever was pulled on the node's canonical chain."""
        wanted = {"address": to_hex(self.contract), "fromBlock": self.first_block, "toBlock": "latest"}
        return len(await self.rpc.call("eth_getLogs", wanted, answer=list[object]))

    async def mined_count(self) -> int:
        """Return the signer's nonce on the node's chain."""
        return int(
            await self.rpc.call("eth_getTransactionCount", to_hex(self.signer.address), "latest", answer=str), 16
        )

    async def set_balance(self, wei: int) -> None:
        """Give the signer native coin."""
        await self.rpc.call("anvil_setBalance", to_hex(self.signer.address), hex(wei), answer=object)

    async def set_base_fee(self, wei: int) -> None:
        """Set the base fee of the next block."""
        await self.rpc.call("anvil_setNextBlockBaseFeePerGas", hex(wei), answer=object)


async def open_stage(rpc: LabRpc) -> Stage:
    """Put up a new contract and a rich new signer, and follow the chain to its head."""
    contract = Address(content_id("contract", next(_STAGES))[:20])
    await rpc.call("anvil_setCode", to_hex(contract), to_hex(CODE), answer=object)
    stage = Stage(rpc, contract)
    await stage.set_balance(RICH)
    await stage.set_base_fee(GWEI)
    stage.first_block = hex((await stage.header("latest")).number)
    await stage.mine(3)
    return stage
