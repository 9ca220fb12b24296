"""Sampled accounts are compared with the venue every few blocks: in turn, the doubted first, at the block we hold."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from keeper.chain.audit import ACCOUNTS_PER_AUDIT, Audit
from keeper.chain.follower import Follower, FollowerOptions
from keeper.chain.pool import ProviderPool
from keeper.chain.retry import NO_RETRY
from keeper.chain.watch import Watch
from keeper.chain.window import Window
from keeper.core.errors import NodeError
from keeper.core.facts import AccountsAudited, ReadRequest
from keeper.core.ids import Address
from tests.chain_ingestion.fakes import JumpClock
from tests.chain_ingestion.fakes import Ledger as Watcher
from tests.chain_ingestion.folding import FoldingJournal
from tests.chain_ingestion.scripted import CHAIN_ID, EVENT, PASS, ROOT, Json, Refuse, ScriptedServer
from tests.execution.lever import LeverVenue

EVERY_BLOCKS = 5
ACCOUNTS = tuple(Address(bytes([number]) * 20) for number in range(1, 13))


class Venue(LeverVenue):
    """A venue with a dozen accounts; the call about an account is its address."""

    def accounts(self) -> tuple[Address, ...]:
        """All of them have debt."""
        return ACCOUNTS

    def audit_reads(self, accounts: Sequence[Address]) -> tuple[ReadRequest, ...]:
        """One call each."""
        return tuple(ReadRequest(ROOT, account) for account in accounts)


class Rig:
    """A follower and an audit of what it recorded."""

    def __init__(self, pool: ProviderPool) -> None:
        self.journal = FoldingJournal()
        self.doubted: list[Address] = []
        self.errors: list[object] = []
        watch = Watch([Watcher(ROOT, [EVENT])])
        options = FollowerOptions(finality_depth_blocks=8, retry=NO_RETRY)
        self.follower = Follower(CHAIN_ID, pool, watch, self.journal, JumpClock(), Window(0), options)
        self.audit = Audit(
            pool,
            watch,
            self.journal,
            JumpClock(),
            state=lambda: self.journal.state,
            ledgers=[Venue("lever", CHAIN_ID, ROOT)],
            doubted=lambda _: self.doubted,
            every_blocks=EVERY_BLOCKS,
            on_error=self.errors.append,
        )

    async def after(self, server: ScriptedServer, blocks: int) -> list[tuple[Address, ...]]:
        """Follow so many blocks, look, and return whom the audits so far were about."""
        server.chain.mine_many(blocks)
        await self.follower.follow(server.chain.head)
        await self.audit.look()
        facts = [fact for fact in self.journal.facts if isinstance(fact, AccountsAudited)]
        return [tuple(Address(read.calldata) for read in fact.reads) for fact in facts]


async def test_an_audit_is_due_after_so_many_blocks(server: ScriptedServer, pool: ProviderPool) -> None:
    """The first head is audited, and then one that is so many blocks later, pinned to its hash."""
    rig = Rig(pool)
    counts = [len(await rig.after(server, 1)) for _ in range(EVERY_BLOCKS + 1)]

    [first, second] = [fact for fact in rig.journal.facts if isinstance(fact, AccountsAudited)]
    assert counts == [1] * EVERY_BLOCKS + [2]
    assert second.block_number == first.block_number + EVERY_BLOCKS
    assert second.block_hash == server.chain.head.hash
    assert all(read.output is not None and read.output.endswith(second.block_hash) for read in second.reads)


async def test_every_account_has_its_turn(server: ScriptedServer, pool: ProviderPool) -> None:
    """Audits go round and round through the accounts."""
    rig = Rig(pool)
    for _ in range(3):
        audited = await rig.after(server, EVERY_BLOCKS)

    turn = [account for each in audited for account in each]
    assert turn == [*ACCOUNTS, *ACCOUNTS][: 3 * ACCOUNTS_PER_AUDIT]


async def test_the_doubted_are_asked_about_first(server: ScriptedServer, pool: ProviderPool) -> None:
    """Who was found wrong is audited again and again, beside the others in turn."""
    rig = Rig(pool)
    rig.doubted = [ACCOUNTS[9]]
    await rig.after(server, 1)
    audited = await rig.after(server, EVERY_BLOCKS)

    others = [account for account in (*ACCOUNTS, *ACCOUNTS) if account != ACCOUNTS[9]]
    assert [each[0] for each in audited] == [ACCOUNTS[9]] * 2
    assert [account for each in audited for account in each[1:]] == others[: 2 * (ACCOUNTS_PER_AUDIT - 1)]


@pytest.mark.fault(33)
async def test_providers_are_asked_in_turn(
    server: ScriptedServer, second: ScriptedServer, pool_of_two: ProviderPool
) -> None:
    """Each audit goes to another provider, so that none audits itself for ever."""
    rig = Rig(pool_of_two)
    for _ in range(4):
        await rig.after(server, EVERY_BLOCKS)

    assert [each.methods.count("eth_call") for each in (server, second)] == [2 * ACCOUNTS_PER_AUDIT] * 2


async def test_behind_the_head_nothing_is_audited(server: ScriptedServer, pool: ProviderPool) -> None:
    """While newer blocks are known nobody is asked: the answer would be void."""
    rig = Rig(pool)
    await rig.after(server, 1)
    rig.journal.state.behind_blocks = 1
    await rig.audit.look()

    assert len([fact for fact in rig.journal.facts if isinstance(fact, AccountsAudited)]) == 1


async def test_a_head_that_moves_on_voids_the_audit(server: ScriptedServer, pool: ProviderPool) -> None:
    """What was asked of a block that is not the newest any more is not recorded."""
    rig = Rig(pool)

    def moves_on(method: str, _params: list[Json]) -> Json:
        if method == "eth_call":
            del rig.journal.state.headers[3:]
        return PASS

    server.chain.mine_many(3)
    await rig.follower.follow(server.chain.head)
    server.fault = moves_on
    await rig.audit.look()

    assert [fact for fact in rig.journal.facts if isinstance(fact, AccountsAudited)] == []


async def test_a_failure_is_reported_and_tried_again(server: ScriptedServer, pool: ProviderPool) -> None:
    """A provider that cannot tell is no audit: it is said, and the next look asks again."""
    rig = Rig(pool)

    def refuses(method: str, _params: list[Json]) -> Json:
        if method == "eth_call":
            raise Refuse(-32000, "missing trie node")
        return PASS

    server.fault = refuses
    assert await rig.after(server, 1) == []
    server.fault = None
    await rig.audit.look()

    assert [isinstance(error, NodeError) for error in rig.errors] == [True]
    assert len([fact for fact in rig.journal.facts if isinstance(fact, AccountsAudited)]) == 1
