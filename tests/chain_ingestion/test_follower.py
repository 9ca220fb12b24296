"""The follower on a scripted node: gaps, forks, lies and lag, and always the same chain in the journal."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import pytest

from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import NO_RETRY, RetryPolicy
from keeper.chain.watch import Watch
from keeper.chain.window import BLOCKS_MAX, Window
from keeper.chain.wire import HeadHint
from keeper.core.errors import FinalityViolated, InvariantBroken, NodeMalformed, NodeRefused, RetryLater
from keeper.core.facts import (
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    BlockReverted,
    BlocksBackfilled,
    ContractRead,
    ReadRequest,
    SignerRead,
)
from keeper.core.ids import Address, to_hex
from keeper.core.units import Wei
from tests.chain_ingestion.fakes import Journal, JumpClock, Ledger, Troubles
from tests.chain_ingestion.scripted import (
    CHAIN_ID,
    EVENT,
    NAMED,
    OTHER,
    PASS,
    ROOT,
    Json,
    Refuse,
    ScriptedChain,
    ScriptedServer,
    hashes,
    header_json,
    log_of,
    some_hash,
)

PRICE = ReadRequest(ROOT, b"\x50")
BY_DEPTH = FollowerOptions(finality_depth_blocks=8, retry=NO_RETRY)


class Rig:
    """A follower with all that it was given."""

    def __init__(
        self,
        pool: ProviderPool,
        options: FollowerOptions = BY_DEPTH,
        window: Window | None = None,
        reads: Sequence[ReadRequest] = (PRICE,),
    ) -> None:
        self.journal = Journal()
        self.troubles = Troubles()
        self.follower = Follower(
            CHAIN_ID,
            pool,
            Watch([Ledger(ROOT, [EVENT, NAMED], NAMED, reads)]),
            self.journal,
            JumpClock(),
            window or Window(0),
            options,
            on_error=self.troubles,
        )


async def test_steady_state_is_one_round_trip(server: ScriptedServer, pool: ProviderPool) -> None:
    """A head on our tip costs one HTTP request, and is one group: the block, its logs, its reads, finality."""
    server.chain.finality_depth_blocks = 2
    rig = Rig(pool, FollowerOptions(retry=NO_RETRY))
    server.chain.mine_many(5)
    await rig.follower.follow(server.chain.head)
    server.bodies.clear()

    block = server.chain.mine(log_of(b"a"), log_of(b"b", 1))
    await rig.follower.follow(server.chain.head)

    assert len(server.bodies) == 1
    read = ContractRead(ROOT, PRICE.calldata, ROOT + block.header.hash, None)
    assert rig.journal.groups[-1] == [
        BlockApplied(CHAIN_ID, block.header, block.logs, (read,), 0, source=pool.statistics()[0].name),
        BlockFinalized(CHAIN_ID, 4, server.chain.branch[4].header.hash),
    ]


@pytest.mark.fault(28)
async def test_gap_is_filled_by_hash(server: ScriptedServer, pool: ProviderPool) -> None:
    """After missed heads every block between is applied, in order, with its logs; reads are made at the head only."""
    rig = Rig(pool)
    await rig.follower.follow(server.chain.head)
    server.chain.mine_many(30)

    await rig.follower.follow(server.chain.head)

    assert rig.journal.chain == hashes(server.chain.branch)
    assert [fact.logs for fact in rig.journal.applied] == [block.logs for block in server.chain.branch]
    assert [fact.behind_blocks for fact in rig.journal.applied] == [0, *range(29, -1, -1)]
    assert [len(fact.reads) for fact in rig.journal.applied] == [1, *[0] * 29, 1]


async def test_long_gap_comes_in_groups(server: ScriptedServer, pool: ProviderPool) -> None:
    """A gap of many blocks is recorded in groups of a bounded size; all but the last wait for the engine."""
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=8, group_blocks_max=10, retry=NO_RETRY))
    server.chain.mine_many(24)

    await rig.follower.follow(server.chain.head)

    assert [len([fact for fact in group if isinstance(fact, BlockApplied)]) for group in rig.journal.groups] == [
        10,
        10,
        5,
    ]
    assert rig.journal.awaited == 2
    assert rig.journal.chain == hashes(server.chain.branch)


@pytest.mark.parametrize("depth", [1, 2, 5])
@pytest.mark.parametrize("longer", [0, 3])
async def test_reorg_is_one_group(server: ScriptedServer, pool: ProviderPool, depth: int, longer: int) -> None:
    """A reorg is one group: the abandoned blocks newest first, then the new branch oldest first."""
    rig = Rig(pool)
    server.chain.mine_many(10)
    await rig.follower.follow(server.chain.head)
    abandoned = hashes(server.chain.branch[-depth:])[::-1]

    server.chain.fork(depth)
    server.chain.mine_many(depth + longer, salt="fork")
    await rig.follower.follow(server.chain.head)

    group = rig.journal.groups[-1]
    assert [(fact.number, fact.hash) for fact in group if isinstance(fact, BlockReverted)] == abandoned
    assert [type(fact) for fact in group[: depth + 1]] == [*[BlockReverted] * depth, BlockApplied]
    assert rig.journal.chain == hashes(server.chain.branch)


@pytest.mark.fault(13, 38)
async def test_reorg_without_logs_is_seen(server: ScriptedServer, pool: ProviderPool) -> None:
    """A reorg of blocks that have no watched log is seen: every header is kept."""
    rig = Rig(pool)
    for _ in range(5):
        server.chain.mine()
    await rig.follower.follow(server.chain.head)
    server.chain.fork(3)
    for _ in range(4):
        server.chain.mine(salt="fork")

    await rig.follower.follow(server.chain.head)

    assert rig.journal.chain == hashes(server.chain.branch)


@pytest.mark.fault(29, 30)
async def test_stale_and_repeated_heads_change_nothing(server: ScriptedServer, pool: ProviderPool) -> None:
    """Old and repeated heads of our branch change nothing and cost nothing."""
    rig = Rig(pool)
    server.chain.mine_many(10)
    await rig.follower.follow(server.chain.head)
    server.bodies.clear()

    for number, block_hash in [*hashes(server.chain.branch), (1, some_hash("an old fork"))]:
        await rig.follower.follow(HeadHint(number, block_hash))

    assert server.bodies == []
    assert len(rig.journal.groups) == 1


@pytest.mark.fault(30)
async def test_head_that_moved_down_is_followed_by_its_next_block(server: ScriptedServer, pool: ProviderPool) -> None:
    """When the head silently moves down, the next block at a used height replaces what was there."""
    rig = Rig(pool)
    server.chain.mine_many(10)
    await rig.follower.follow(server.chain.head)
    server.chain.fork(4)
    await rig.follower.follow(server.chain.head)
    server.chain.mine_many(1, salt="again")

    await rig.follower.follow(server.chain.head)

    assert rig.journal.chain == hashes(server.chain.branch)


@pytest.mark.fault(29)
async def test_heads_in_any_order_end_in_the_same_chain(server: ScriptedServer, pool: ProviderPool) -> None:
    """Random mining, forking, repeated and shuffled heads: the journal holds the canonical chain at each true head."""
    random = Random(20260801)
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=20, group_blocks_max=3, retry=NO_RETRY))
    server.chain.mine_many(20)
    hints = [server.chain.head]
    for turn in range(60):
        server.chain.fork(random.choice([0, 0, 0, 1, 2, 3]))
        server.chain.mine_many(random.choice([1, 1, 4]), salt=turn)
        hints.append(server.chain.head)
        await rig.follower.follow(random.choice(hints[-5:]))
        await rig.follower.follow(server.chain.head)

        assert rig.journal.chain == hashes(server.chain.branch)
    assert rig.troubles.errors == []


@pytest.mark.fault(35)
async def test_replaced_final_block_halts(server: ScriptedServer, pool: ProviderPool) -> None:
    """A branch that replaces a final block stops the process; nothing of it is recorded."""
    rig = Rig(pool)
    server.chain.mine_many(20)
    await rig.follower.follow(server.chain.head)
    server.chain.fork(10)
    server.chain.mine_many(12, salt="deep")

    with pytest.raises(FinalityViolated):
        await rig.follower.follow(server.chain.head)

    assert len(rig.journal.groups) == 1


@pytest.mark.fault(36)
async def test_finality_by_tag_never_goes_back(server: ScriptedServer, pool: ProviderPool) -> None:
    """Finality by tag moves forward only, and is absent while the chain knows none."""
    rig = Rig(pool, FollowerOptions(retry=NO_RETRY))
    server.chain.mine_many(4)
    for depth in (99, 2, 4, 2):
        server.chain.finality_depth_blocks = depth
        server.chain.mine_many(1)
        await rig.follower.follow(server.chain.head)

    assert [fact.number for fact in rig.journal.facts if isinstance(fact, BlockFinalized)] == [4, 6]


async def test_final_block_of_another_branch_is_malformed(server: ScriptedServer, pool: ProviderPool) -> None:
    """A node whose final block is not on the branch it serves is not believed; nothing is recorded."""
    rig = Rig(pool, FollowerOptions(retry=NO_RETRY))
    server.chain.mine_many(5)
    alien = BlockHeader(2, some_hash("alien"), some_hash("parent"), 0, 0, bytes(256))

    def lie(_: str, params: list[Json]) -> Json:
        return header_json(alien) if params[:1] == ["finalized"] else PASS

    server.fault = lie
    await rig.follower.follow(server.chain.head)

    assert isinstance(rig.troubles.errors[-1], NodeMalformed)
    assert rig.journal.groups == []


async def test_unknown_head_is_tried_again(server: ScriptedServer, pool: ProviderPool) -> None:
    """A head that the node does not know yet is tried again; an unknown block is never an empty one."""
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=8, retry=RetryPolicy(attempts_max=3)))
    server.chain.mine_many(3)
    unknown = iter([True, True, False])

    def lag(method: str, _: list[Json]) -> Json:
        return None if method == "eth_getBlockByHash" and next(unknown) else PASS

    server.fault = lag
    await rig.follower.follow(server.chain.head)

    assert len(rig.troubles.errors) == 2
    assert rig.journal.chain == hashes(server.chain.branch)


@pytest.mark.fault(31)
async def test_logs_of_unknown_block_are_not_empty(server: ScriptedServer, pool: ProviderPool) -> None:
    """A node that refuses the logs of a block as unknown stops that head; the next hint makes up for it."""
    rig = Rig(pool)
    server.chain.mine_many(3)

    def refuse(method: str, _: list[Json]) -> Json:
        if method == "eth_getLogs":
            raise Refuse(-32000, "unknown block")
        return PASS

    server.fault = refuse
    await rig.follower.follow(server.chain.head)
    assert isinstance(rig.troubles.errors[-1], NodeRefused)
    assert rig.journal.groups == []

    server.fault = None
    await rig.follower.follow(server.chain.head)
    assert rig.journal.chain == hashes(server.chain.branch)


def withhold(times: int) -> tuple[list[int], object]:
    """Return a fault that answers no log that often, and its count."""
    asked = [0]

    def fault(method: str, _: list[Json]) -> Json:
        if method == "eth_getLogs":
            asked[0] += 1
            if asked[0] <= times:
                return []
        return PASS

    return asked, fault


@pytest.mark.fault(31)
async def test_doubtful_emptiness_is_asked_again(server: ScriptedServer, pool: ProviderPool) -> None:
    """No log, but a bloom that may hold one: the question is asked once more before it is believed."""
    rig = Rig(pool)
    await rig.follower.follow(server.chain.head)
    block = server.chain.mine(log_of(b"hidden"))
    asked, server.fault = withhold(1)  # type: ignore[assignment] # one function type for many faults

    await rig.follower.follow(server.chain.head)

    assert asked == [2]
    assert rig.journal.applied[-1].logs == block.logs


@pytest.mark.fault(31)
async def test_doubtful_emptiness_is_asked_of_another(server: ScriptedServer, pool_of_two: ProviderPool) -> None:
    """A provider that keeps hiding a log is found out by another one."""
    rig = Rig(pool_of_two)
    await rig.follower.follow(server.chain.head)
    block = server.chain.mine(log_of(b"hidden"))
    _, server.fault = withhold(99)  # type: ignore[assignment] # one function type for many faults

    await rig.follower.follow(server.chain.head)

    assert rig.journal.applied[-1].logs == block.logs


async def test_another_provider_that_lags_does_not_stop_us(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """When the other provider does not know the block yet, the first is asked again."""
    rig = Rig(pool_of_two)
    await rig.follower.follow(server.chain.head)
    block = server.chain.mine(log_of(b"hidden"))
    asked, server.fault = withhold(1)  # type: ignore[assignment] # one function type for many faults

    def refuse(method: str, _: list[Json]) -> Json:
        if method == "eth_getLogs":
            raise Refuse(-32000, "unknown block")
        return PASS

    second.fault = refuse
    await rig.follower.follow(server.chain.head)

    assert asked == [2]
    assert rig.journal.applied[-1].logs == block.logs


@pytest.mark.fault(31)
async def test_false_positive_of_the_bloom_is_believed(server: ScriptedServer, pool: ProviderPool) -> None:
    """A bloom that only seems to hold a watched log does not stop the chain: asked twice, then empty."""
    counted: list[str] = []
    pool.on_count = lambda what, _: counted.append(what)
    rig = Rig(pool)
    await rig.follower.follow(server.chain.head)
    server.chain.mine(log_of(b"", 0, ROOT, some_hash("topic")), log_of(b"", 1, OTHER, EVENT))

    await rig.follower.follow(server.chain.head)

    assert server.methods.count("eth_getLogs") == 3
    assert rig.journal.applied[-1].logs == ()
    assert counted == ["bloom_false_positive"]


@pytest.mark.fault(31, 32)
async def test_receipts_tell_of_logs_that_are_not_indexed(server: ScriptedServer, pool: ProviderPool) -> None:
    """Where there is no other provider, the logs that the index withholds are found in the block's receipts."""
    rig = Rig(pool)
    server.chain.has_receipts = True
    await rig.follower.follow(server.chain.head)
    block = server.chain.mine(log_of(b"hidden"), log_of(b"", 1, OTHER, EVENT), log_of(b"", 2, ROOT, some_hash("topic")))
    _, server.fault = withhold(99)  # type: ignore[assignment] # one function type for many faults

    await rig.follower.follow(server.chain.head)

    assert rig.journal.applied[-1].logs == block.logs[:1]
    assert server.methods.count("eth_getBlockReceipts") == 1


async def test_a_provider_without_receipts_is_asked_for_them_once(server: ScriptedServer, pool: ProviderPool) -> None:
    """That a provider has no receipts is remembered; its logs are asked for again instead."""
    rig = Rig(pool)
    for number in range(3):
        server.chain.mine(log_of(b"", 0, ROOT, some_hash("topic")), log_of(b"", 1, OTHER, EVENT), salt=number)
        await rig.follower.follow(server.chain.head)

    assert server.methods.count("eth_getBlockReceipts") == 1
    assert rig.journal.chain == hashes(server.chain.branch)


@pytest.mark.fault(33)
async def test_logs_outside_the_bloom_are_refused(server: ScriptedServer, pool: ProviderPool) -> None:
    """A log that the header excludes is not believed."""
    rig = Rig(pool)
    await rig.follower.follow(server.chain.head)
    block = server.chain.mine()
    block.logs = (log_of(b"fabricated"),)

    await rig.follower.follow(server.chain.head)

    assert "not in the header's bloom" in str(rig.troubles.errors[-1])
    assert len(rig.journal.groups) == 1


async def test_discovered_contracts_are_read_from_their_first_block(server: ScriptedServer, pool: ProviderPool) -> None:
    """A contract that a log makes necessary is watched in that very block, and the next reads wait for the engine."""
    rig = Rig(pool)
    await rig.follower.follow(server.chain.head)
    block = server.chain.mine(log_of(OTHER, 0, ROOT, NAMED), log_of(b"first", 1, OTHER))
    later = server.chain.mine(log_of(b"second", 0, OTHER))

    await rig.follower.follow(server.chain.head)

    assert [fact.logs for fact in rig.journal.applied[1:]] == [block.logs, later.logs]
    assert rig.journal.applied[-1].reads[-1].target == OTHER
    assert rig.journal.awaited == 1

    server.chain.mine(log_of(b"third", 0, OTHER))
    await rig.follower.follow(server.chain.head)
    assert len(rig.journal.applied[-1].logs) == 1
    assert rig.journal.awaited == 1


async def test_endless_discovery_is_a_bug(server: ScriptedServer, pool: ProviderPool) -> None:
    """A ledger that makes ever new contracts necessary is stopped."""
    rig = Rig(pool)
    for number in range(40):
        contract = Address(bytes([100 + number]) * 20)
        below = ROOT if number == 0 else Address(bytes([99 + number]) * 20)
        server.chain.mine(log_of(contract, 0, below, NAMED))

    with pytest.raises(InvariantBroken, match="discovery does not come to an end"):
        await rig.follower.follow(server.chain.head)


async def test_revert_of_a_read_is_an_answer(server: ScriptedServer, pool: ProviderPool) -> None:
    """A view that reverts is recorded with its error; any other failure is no answer."""
    rig = Rig(pool, reads=[ReadRequest(ROOT, b"")])
    await rig.follower.follow(server.chain.head)
    assert rig.journal.applied[-1].reads == (ContractRead(ROOT, b"", None, "execution reverted: NOPE"),)

    def fail(method: str, _: list[Json]) -> Json:
        if method == "eth_call":
            raise Refuse(-32000, "missing trie node")
        return PASS

    server.fault = fail
    server.chain.mine()
    await rig.follower.follow(server.chain.head)

    assert "missing trie node" in str(rig.troubles.errors[-1])
    assert len(rig.journal.groups) == 1


async def test_every_block_can_be_read(server: ScriptedServer, pool: ProviderPool) -> None:
    """Tests of exactness may have the reads of every block, each pinned to its hash."""
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=8, read_every_block=True, retry=NO_RETRY))
    server.chain.mine_many(4)

    await rig.follower.follow(server.chain.head)

    assert [fact.reads[0].output for fact in rig.journal.applied] == [
        ROOT + block.header.hash for block in server.chain.branch
    ]


async def test_signers_are_read_at_the_head_before_its_block(server: ScriptedServer, pool: ProviderPool) -> None:
    """A signer's account is read at the head only, and stands immediately before its block."""

    async def observe(header: BlockHeader) -> Sequence[SignerRead]:
        return [SignerRead(CHAIN_ID, "main", header.number, header.hash, Wei(1), 0, ())]

    rig = Rig(pool)
    rig.follower._observe = observe
    server.chain.mine_many(3)

    await rig.follower.follow(server.chain.head)

    kinds = [type(fact) for fact in rig.journal.groups[0]]
    assert kinds == [*[BlockApplied] * 3, SignerRead, BlockApplied]


async def test_far_behind_comes_in_ranges(server: ScriptedServer, pool: ProviderPool) -> None:
    """Far from the head, final blocks come in ranges and the rest one by one; all of it links up."""
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=8, gap_blocks_max=20, range_blocks_max=30, retry=NO_RETRY))
    server.chain.mine_many(100)

    await rig.follower.follow(server.chain.head)

    ranges = rig.journal.backfilled
    assert [(fact.first, fact.last.number) for fact in ranges] == [(0, 29), (30, 59), (60, 89), (90, 92)]
    assert [fact.behind_blocks for fact in ranges] == [71, 41, 11, 8]
    assert [len(fact.reads) for fact in ranges] == [0, 0, 0, 1]
    assert [fact.header.number for fact in rig.journal.applied] == list(range(93, 101))


@pytest.mark.parametrize("depth", [0, None])
async def test_the_head_is_never_part_of_a_range(server: ScriptedServer, pool: ProviderPool, depth: int | None) -> None:
    """Even where the head itself is final it is applied as a block: decisions are made on blocks at the head."""
    server.chain.finality_depth_blocks = 0
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=depth, gap_blocks_max=20, retry=NO_RETRY))
    server.chain.mine_many(40)

    await rig.follower.follow(server.chain.head)

    assert [fact.behind_blocks for fact in rig.journal.backfilled] == [1]
    assert [(fact.header.number, fact.behind_blocks) for fact in rig.journal.applied] == [(40, 0)]


async def test_a_hint_far_ahead_makes_nothing_final(server: ScriptedServer, pool: ProviderPool) -> None:
    """A head that no provider knows does not move finality by depth: only a block that was seen counts."""
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=8, gap_blocks_max=20, range_blocks_max=30, retry=NO_RETRY))
    server.chain.mine_many(40)

    await rig.follower.follow(HeadHint(1000, some_hash("a lie")))

    assert rig.journal.groups == []
    assert [type(error) for error in rig.troubles.errors] == [NodeMalformed]


async def test_parent_with_a_wrong_number_is_malformed(server: ScriptedServer, pool: ProviderPool) -> None:
    """A parent whose number is not one less than its child's is not believed."""
    rig = Rig(pool)
    server.chain.mine_many(3)
    await rig.follower.follow(server.chain.head)
    server.chain.fork(2)
    server.chain.mine_many(3, salt="fork")
    wrong = server.chain.branch[2].header

    def lie(_: str, params: list[Json]) -> Json:
        return {**header_json(wrong), "number": "0x1"} if params[0] == to_hex(wrong.hash) else PASS

    server.fault = lie
    await rig.follower.follow(server.chain.head)

    assert "has number 1, not 2" in str(rig.troubles.errors[-1])
    assert len(rig.journal.groups) == 1


@pytest.mark.fault(37)
async def test_far_behind_on_an_abandoned_branch(server: ScriptedServer, pool: ProviderPool) -> None:
    """When our tip was abandoned while we were away, it is reverted before the ranges are applied."""
    rig = Rig(pool, FollowerOptions(finality_depth_blocks=8, gap_blocks_max=20, retry=NO_RETRY))
    server.chain.mine_many(12)
    await rig.follower.follow(server.chain.head)
    server.chain.fork(3)
    server.chain.mine_many(60, salt="while away")

    await rig.follower.follow(server.chain.head)

    kinds = [type(fact) for fact in rig.journal.groups[1]]
    assert kinds == [BlockReverted, BlockReverted, BlockReverted, BlocksBackfilled]
    assert rig.journal.backfilled[0].first == 10
    assert rig.journal.chain[-1] == server.chain.head


async def test_restart_rejoins_by_hash(server: ScriptedServer, pool: ProviderPool) -> None:
    """A restarted follower reverts what was abandoned while it was down and goes on."""
    server.chain.mine_many(12)
    held = hashes(server.chain.branch)
    server.chain.fork(2)
    server.chain.mine_many(5, salt="while down")
    rig = Rig(pool, window=Window.resumed(0, held, 5))
    rig.journal.chain = list(held)

    await rig.follower.follow(server.chain.head)

    assert rig.journal.chain == hashes(server.chain.branch)


async def test_chain_without_finality_is_bounded(server: ScriptedServer, pool: ProviderPool) -> None:
    """A head further away than can be held unfinalised is not followed, and the remedy is told."""
    server.chain.finality_depth_blocks = 10**9
    rig = Rig(pool, FollowerOptions(retry=NO_RETRY))

    await rig.follower.follow(HeadHint(BLOCKS_MAX + 1, some_hash("far")))

    assert isinstance(rig.troubles.errors[-1], RetryLater)
    assert rig.journal.groups == []


def stray(second: ScriptedServer) -> None:
    """Give the second provider a chain of its own with the same blocks so far."""
    chain = ScriptedChain()
    chain.branch, chain.by_hash = list(second.chain.branch), dict(second.chain.by_hash)
    second.chain = chain


@pytest.mark.fault(30)
async def test_a_branch_that_is_not_longer_needs_a_second_voice(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """A competing block of the same height is left alone until another provider has it there too."""
    rig = Rig(pool_of_two)
    server.chain.mine_many(5)
    await rig.follower.follow(server.chain.head)
    stray(second)
    server.chain.fork(1)
    server.chain.mine(log_of(b"rival"), salt="rival")
    await rig.follower.follow(server.chain.head)
    alone = list(rig.journal.chain)
    second.chain = server.chain
    await rig.follower.follow(server.chain.head)

    assert [alone[-1] == hashes(server.chain.branch)[-1], rig.journal.chain == hashes(server.chain.branch)] == [
        False,
        True,
    ]


@pytest.mark.fault(13, 30)
async def test_a_longer_branch_needs_no_second_voice(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """The next block decides: a branch that became longer is followed at once."""
    rig = Rig(pool_of_two)
    server.chain.mine_many(5)
    await rig.follower.follow(server.chain.head)
    stray(second)
    server.chain.fork(1)
    server.chain.mine_many(2, salt="rival")
    await rig.follower.follow(server.chain.head)

    assert rig.journal.chain == hashes(server.chain.branch)
