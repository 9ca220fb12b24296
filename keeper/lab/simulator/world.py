"""The world of a run: it mines, forks, gossips and fails, and starts the next life when one has ended.

All of its steps are timers of the loop, outside of any process, so that it goes on whatever becomes of a life.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from keeper.chain.wire import HeadHint
from keeper.core.errors import FinalityViolated, JournalStopped
from keeper.core.units import Wei
from keeper.execution.signer import LocalSigner
from keeper.execution.signer import Transaction as Unsigned
from keeper.journal.recorder import Settled
from keeper.lab.simulator.actors import GWEI, Actors, genesis, opening
from keeper.lab.simulator.chain import FINALITY_BLOCKS, Block, Chain
from keeper.lab.simulator.clock import START_UNIX, SimulatedClock
from keeper.lab.simulator.config import SIGNER_KEY, run_config
from keeper.lab.simulator.disk import Disk, SimulatedJournal
from keeper.lab.simulator.faults import Chaos
from keeper.lab.simulator.life import Life, Parts, Surroundings, Watching
from keeper.lab.simulator.loop import Process, VirtualLoop
from keeper.lab.simulator.node import CHAIN_ID, Node
from keeper.lab.simulator.oracles import Oracles
from keeper.lab.simulator.provider import Transport
from keeper.lab.simulator.streams import Streams
from keeper.lab.simulator.transactions import Transaction, decode_signed

BLOCK_SECONDS = 12
STORM_BLOCKS = 36
CALM_BLOCKS = 44
REORG_DEPTH_MAX = 8
BASE_FEE_WEI = 10 * GWEI
BASE_FEE_WEI_MIN, BASE_FEE_WEI_MAX = 5 * GWEI, 60 * GWEI
SPIKE = 50
FUNDS_WEI = 10**19


class World:
    """One run.

    Args:
        loop: Virtual time.
        streams: The run's chance.
        chaos: The run's faults.
        parts: What a life is made of.
    """

    def __init__(self, loop: VirtualLoop, streams: Streams, chaos: Chaos, parts: Parts) -> None:
        self._loop = loop
        self._streams = streams
        self.chaos = chaos
        self.clock = SimulatedClock(loop)
        self._signer = LocalSigner(SIGNER_KEY)
        self.chain = Chain(genesis(self._signer.address, FUNDS_WEI), START_UNIX, BASE_FEE_WEI, self._signer.address)
        self._miner = Node("miner", self.chain, chaos, lambda _: None)
        self.nodes = [
            Node(f"node-{index}", self.chain, chaos, self._gossip) for index in range(streams.of("world").randint(2, 3))
        ]
        self.nodes[0].tells_nobody = True  # nor can anybody be reached when all nodes keep it to themselves
        self.nodes[-1].indexes_late = True  # one of them at most: two that are wrong together cannot be caught
        self.transports = [Transport(node, chaos, streams.of(f"transport {node.name}")) for node in self.nodes]
        self.disk = Disk(self._sync_seconds, self._disk_fault)
        config = run_config(self._signer.address)
        self.oracles = Oracles(config, self.chain, self.disk, self._signer.address, loop.stop)
        self._actors = Actors(streams, chaos)
        self._around = Surroundings(
            config=config,
            signer=self._signer,
            clock=self.clock,
            transports=self.transports,
            chance=streams.of("retries"),
            watching=Watching(
                on_settled=self._settled, on_request=self.oracles.requested, on_send=self.oracles.lane_sends
            ),
            parts=parts,
        )
        self.lives: list[Life] = []
        self.crashes = self.stops = self.reorgs = 0
        self._dear_until = self._spiked_until = 0
        self._lagging: dict[str, int] = {}
        self._silent_until = 0
        self._mined = 0
        self.over = asyncio.Event()

    async def run(self) -> None:
        """Run the storm and the calm after it, and end the last life in order."""
        self._extend(opening(self._streams.of("opening")))
        self._later(0.0, self._start_life)
        self._later(BLOCK_SECONDS, self._block)
        await self.over.wait()

    def _later(self, seconds: float, act: object, *args: object) -> None:
        self._loop.call_later(seconds, act, *args)  # type: ignore[arg-type, unused-ignore]

    # Lives

    def _start_life(self) -> None:
        chance = self._streams.of("lives")
        dies_at = int(10 ** chance.uniform(0, 4)) if self.chaos.strikes("crash") else None
        process = Process(dies_at)
        journal = SimulatedJournal(self.disk)
        life = Life(self._around, journal, process)
        self.oracles.born(life)
        self.lives.append(life)
        process.on_death = lambda: self._died(life)
        task = process.spawn(life.run())
        task.add_done_callback(lambda done: self._ended(life, done))
        if self.chaos.strikes("stop"):
            self._later(chance.uniform(1, 200), life.leave)

    def _died(self, life: Life) -> None:
        self.crashes += 1
        self._cut_power()
        self.oracles.died(life)
        self._later(self._streams.of("lives").uniform(0.5, 60), self._start_life)

    def _cut_power(self) -> None:
        unsynced, kept = self.disk.unsynced_bytes, 0
        if unsynced and not self.chaos.strikes("torn-tail"):
            kept = unsynced
        elif unsynced:
            kept = self._streams.of("disk").randint(0, unsynced)
        self.disk.cut_power(kept)

    def _ended(self, life: Life, task: asyncio.Task[None]) -> None:
        if life.process.dead:
            return
        error = task.exception() or life.error
        life.process.dead = True
        if error is None:
            self.stops += 1
        elif isinstance(error, JournalStopped) and life.journal.fault not in (None, "is closed"):  # type: ignore[attr-defined]
            self._cut_power()
        elif isinstance(error, FinalityViolated) and "finality-broken" in self.chaos.counts:
            self.oracles.finality_was_broken = True
            self.over.set()
            return
        else:
            self.oracles.violate("alive", f"a life ended: {error!r}")
            return
        self.oracles.ended(life)
        if self.chaos.is_calm and error is None and self._mined >= STORM_BLOCKS + CALM_BLOCKS:
            self.over.set()
        else:
            self._later(self._streams.of("lives").uniform(0.5, 30), self._start_life)

    @property
    def _life(self) -> Life | None:
        life = self.lives[-1] if self.lives else None
        return life if life is not None and not life.process.dead else None

    def _settled(self, life: Life, group: Settled) -> None:
        self.oracles.settled(life, group)

    # The disk

    def _sync_seconds(self) -> float:
        if self.chaos.strikes("slow-sync"):
            return self._streams.of("disk").uniform(0.5, 5)
        return self._streams.of("disk").uniform(0.0005, 0.01)

    def _disk_fault(self) -> str | None:
        if self.chaos.strikes("disk-full"):
            return self._streams.of("disk").choice(("No space left on device", "Input/output error at fsync"))
        return None

    # The chain

    def _block(self) -> None:
        """Mine the next block, or a branch; then the next timer."""
        self._mined += 1
        if self._mined == STORM_BLOCKS:
            self._calm()
        self._misfortunes()
        self._market_misfortunes()
        if self.chaos.strikes("reorg"):
            self._fork()
        elif self.chaos.strikes("finality-broken") and self.chain.head.number > FINALITY_BLOCKS + 4:
            self._fork(FINALITY_BLOCKS + 3)
        else:
            self._extend([*self._actors.acts(self.chain.head.state), *self._poverty()])
        if self._mined >= STORM_BLOCKS + CALM_BLOCKS:
            self._finish()
        else:
            self._later(BLOCK_SECONDS, self._block)

    def _calm(self) -> None:
        self.chaos.calm()
        self.clock.offset_ms = 0
        if self._life is not None:
            self._life.process.dies_at = None
        self._extend([self._actors.fund(self._signer.address, FUNDS_WEI)])

    def _finish(self) -> None:
        life = self._life
        if life is None:
            self.oracles.violate("alive", "no life at the end")
            return
        self._later(BLOCK_SECONDS - 2, self._look)

    def _look(self) -> None:
        life = self._life
        if life is not None:
            self.oracles.at_the_end(life)
            life.leave()

    def _misfortunes(self) -> None:
        """What may go wrong from here on, for some blocks."""
        chance = self._streams.of("misfortunes")
        for transport in self.transports:
            if self.chaos.strikes("outage"):
                transport.down_until = self._loop.time() + chance.uniform(5, 60)
            node = transport.node
            if self.chaos.strikes("lag"):
                self._lagging[node.name] = self._mined + chance.randint(1, 4)
        for node in (self._miner, *self.nodes):
            if self.chaos.strikes("eviction"):
                for held in node.pool:
                    node.pool.drop(held)
        if self.chaos.strikes("head-silent"):
            self._silent_until = self._mined + chance.randint(1, 5)
        if self.chaos.strikes("clock-jump"):
            self.clock.offset_ms = chance.choice((-3_600_000, -90_000, -1000, 1000, 90_000, 3_600_000, 0, 0))

    def _market_misfortunes(self) -> None:
        """What blocks may cost from here on, and what befalls the process and its key."""
        chance = self._streams.of("misfortunes")
        if self._life is not None and self.chaos.strikes("stall"):
            self._loop.hold(self._life.process, chance.uniform(1, 40))
        if self.chaos.strikes("foreign"):
            self._foreign()
        if self.chaos.strikes("fee-spike"):
            self._spiked_until = self._mined + chance.randint(2, 6)
        if self.chaos.strikes("busy"):
            self._dear_until = self._mined + chance.randint(1, 4)

    def _poverty(self) -> list[Transaction]:
        if not self.chaos.strikes("poor"):
            return []
        return [self._actors.drain(self._signer.address, self._streams.of("misfortunes").randint(0, 10**16))]

    def _extend(self, acts: Sequence[Transaction]) -> None:
        self._announce(self._built(self.chain.head, acts, START_UNIX + int(self._loop.time())), lose=False)

    def _fork(self, depth: int | None = None) -> None:
        """Replace the newest blocks by one more than there were."""
        chance = self._streams.of("forks")
        deepest = min(REORG_DEPTH_MAX, self.chain.head.number - max(1, self.chain.finalized))
        depth = chance.randint(1, deepest) if depth is None and deepest > 0 else depth
        if depth is None:
            return
        self.reorgs += 1
        lose = self.chaos.strikes("reorg-loss")
        dropped = [
            receipt.transaction
            for block in self.chain.branch[-depth:]
            for receipt in block.receipts
            if receipt.transaction.raw
        ]
        tip = self.chain.branch[-depth - 1]
        if not lose:
            for transaction in dropped:
                self._miner.take(transaction)
        for index in range(depth + 1):
            acts = self._actors.acts(tip.state, contested=index == 0 and chance.random() < 0.5)
            held = [] if chance.random() < 0.3 else dropped
            tip = self._built(tip, acts, tip.header.timestamp + BLOCK_SECONDS // 2, extra=() if lose else held)
        self._announce(tip, lose=lose)

    def _built(
        self, parent: Block, acts: Sequence[Transaction], timestamp: int, extra: Sequence[Transaction] = ()
    ) -> Block:
        """Mine a block from the pool and other people's transactions, by tip; each sender's nonces in order."""
        base_fee = self._base_fee(parent.header.base_fee_wei)
        tip_min = 40 * GWEI if self._dear_until > self._mined else 0
        for transaction in extra:
            self._miner.pool.drop(transaction)
            self._miner.take(transaction)
        ours = self._miner.pool.next_of(parent.state, base_fee, tip_min)
        least = 10**30
        ranked: list[tuple[int, int, Transaction]] = []
        for transaction in ours:
            least = min(least, transaction.tip_wei(base_fee))
            ranked.append((-least, len(ranked), transaction))
        ranked += [(-act.tip_wei_max, 100 + index, act) for index, act in enumerate(acts)]
        timestamp = max(timestamp, parent.header.timestamp + 1)
        order = [transaction for _, _, transaction in sorted(ranked, key=lambda each: each[:2])]
        return self.chain.mine(parent, timestamp, base_fee, order, len(self.chain.by_hash))

    def _base_fee(self, parent_wei: int) -> int:
        if self.chaos.is_calm:
            return BASE_FEE_WEI
        usual = min(max(parent_wei, BASE_FEE_WEI_MIN), BASE_FEE_WEI_MAX)
        if self._spiked_until > self._mined:
            return SPIKE * BASE_FEE_WEI
        return int(usual * self._streams.of("fees").uniform(0.88, 1.12))

    def _announce(self, head: Block, *, lose: bool) -> None:
        """Make a block the head: at once for the miner, later for each node."""
        self.chain.set_head(head)
        self._miner.follow(head, lose=lose)
        chance = self._streams.of("propagation")
        for node in self.nodes:
            lag = max(0, self._lagging.get(node.name, 0) - self._mined) * BLOCK_SECONDS
            self._later(chance.uniform(0.05, 1.5) + lag, self._reach, node, head, lose)

    def _reach(self, node: Node, head: Block, lose: bool) -> None:  # noqa: FBT001 - a timer's argument
        if head.number >= node.head.number and head is not node.head:
            node.follow(head, lose=lose)
            self._hint(node)

    def _hint(self, node: Node) -> None:
        """Announce a node's head to the life, as a websocket does, or not."""
        silent = self._silent_until > self._mined and not self.chaos.is_calm
        if silent or self.chaos.strikes("head-lost"):
            return
        heads = [node.head]
        if self.chaos.strikes("head-twice"):
            heads.append(node.head)
        if self.chaos.strikes("head-stale"):
            heads.append(node.branch[max(0, node.head.number - self._streams.of("hints").randint(1, 6))])
        for block in heads:
            self._later(self._streams.of("hints").uniform(0.0, 0.3), self._offer, node.name, block)

    def _offer(self, source: str, block: Block) -> None:
        if self._life is not None:
            self._life.slot.offer(source, HeadHint(block.number, block.hash))

    # Transactions

    def _gossip(self, transaction: Transaction) -> None:
        for node in (self._miner, *self.nodes):
            self._later(self._streams.of("gossip").uniform(0.05, 2), node.take, transaction)

    def _foreign(self) -> None:
        """Mine a transaction of our key that this keeper did not sign."""
        nonce = self.chain.head.state.nonces.get(self._signer.address, 0)
        unsigned = Unsigned(
            chain_id=CHAIN_ID,
            nonce=nonce,
            to=self._signer.address,
            data=b"",
            value_wei=Wei(0),
            gas_limit=21_000,
            fee_wei_max=Wei(10**13),
            priority_fee_wei_max=Wei(10**12),
        )
        foreign = decode_signed(self._signer.sign(unsigned).raw, self._signer.address)
        self.oracles.foreign.add(foreign.hash)
        self._gossip(foreign)
