"""A pool that is upgraded: what its logs mean waits for its revision, and what nobody can tell is unknown."""

from __future__ import annotations

from keeper.core.facts import ContractRead, RawLog
from keeper.core.venue import Health, Status
from keeper.venues.aave_v3 import reads
from keeper.venues.aave_v3.fold import MOVED_UNSEEN
from keeper.venues.aave_v3.math import RAY
from tests.venues.event_logs import address, header, log_of
from tests.venues.synthetic import (
    A_TOKEN,
    ALICE,
    BURN,
    MINT,
    POOL_PROXY,
    RATES,
    VARIABLE,
    WETH,
    Chain,
    discovery,
    listing,
    opened,
)

UPGRADED = "Upgraded(address)"
POOL_UPGRADED = log_of(POOL_PROXY, UPGRADED, address(55))
SUPPLIED = log_of(A_TOKEN[WETH], MINT, ALICE, ALICE, 4, 0, 3 * RAY)
"""By the rules of 3.0 this is 1 scaled; by those of 3.6 only 2 more print 4 at this index."""


def _health(chain: Chain) -> Health:
    return chain.ledger.margin(ALICE).health


def _scaled(chain: Chain) -> int:
    return chain.ledger._state.scaled[A_TOKEN[WETH] + ALICE] - 10**18


def _answered(chain: Chain, revision: int) -> list[ContractRead]:
    return [ContractRead(POOL_PROXY, reads.POOL_REVISION, revision.to_bytes(32, "big"), None)]


def _begin(chain: Chain, *logs: RawLog) -> None:
    chain.number += 1
    chain.ledger.begin_block(chain.head())
    for index, log in enumerate(logs):
        chain.ledger.apply_log(RawLog(log.address, log.topics, log.data, index, log.tx_hash))


def test_logs_before_an_upgrade_keep_the_old_rules_and_those_after_it_have_the_new() -> None:
    """Within one block too."""
    chain, other = opened(), opened()
    chain.revision = other.revision = 10
    chain.block(SUPPLIED, POOL_UPGRADED)
    other.block(POOL_UPGRADED, SUPPLIED)
    assert (_scaled(chain), _scaled(other)) == (1, 2)


def test_logs_wait_with_their_blocks_until_the_revision_is_known() -> None:
    """As when blocks are back-filled, or followed without reads: folded late, they have their own block's time."""
    chain, other = opened(), opened()
    rates = log_of(POOL_PROXY, RATES, WETH, RAY, 0, RAY, RAY, RAY)
    other.revision = 10
    _begin(chain, POOL_UPGRADED)
    other.block(POOL_UPGRADED)
    _begin(chain, rates, SUPPLIED)
    other.block(rates, SUPPLIED)
    assert _health(chain) == Health(Status.UNKNOWN, "the pool's revision is not known")
    _begin(chain)
    other.block()
    chain.ledger.apply_reads(_answered(chain, 10))
    assert _scaled(chain) == 2
    assert chain.ledger._state.interest.rows == other.ledger._state.interest.rows
    assert chain.ledger._state.epoch(ALICE) == other.ledger._state.epoch(ALICE)


def test_what_waits_calls_for_its_reads_with_the_revision() -> None:
    """A market whose logs wait asks at the next block for all that it would ask if they were that block's own."""
    waiting, at_once = Chain(), Chain()
    logs = [*discovery(), *listing(WETH)]
    _begin(waiting, *logs)
    wanted = waiting.ledger.reads([])
    assert set(wanted) == set(at_once.ledger.reads(logs))
    assert {request.calldata[:4] for request in wanted} >= {reads.POOL_REVISION, reads.ASSET_PRICE}


def test_undoing_the_block_that_answered_makes_the_logs_wait_again() -> None:
    """The state is the very one, and the next answer folds them again."""
    chain = opened()
    _begin(chain, POOL_UPGRADED, SUPPLIED)
    waiting = chain.ledger.dump()
    for _ in range(2):
        _begin(chain)
        chain.ledger.apply_reads(_answered(chain, 10))
        assert _scaled(chain) == 2
        chain.ledger.undo_block(chain.number)
        chain.number -= 1
        assert chain.ledger.dump() == waiting


def test_a_waiting_ledger_is_dumped_and_loaded_with_what_waits() -> None:
    """A snapshot between an upgrade and its answer loses nothing."""
    chain, loaded = opened(), Chain()
    _begin(chain, POOL_UPGRADED, SUPPLIED)
    loaded.ledger.load(chain.ledger.dump())
    for each in (chain, loaded):
        each.ledger.begin_block(header(9, 108))
        each.ledger.apply_reads(_answered(each, 10))
    assert loaded.ledger.dump() == chain.ledger.dump()
    assert _scaled(loaded) == 2


def test_what_moved_between_two_upgrades_is_unknown() -> None:
    """By which rules it moved was never read."""
    chain = opened()
    _begin(chain, POOL_UPGRADED, SUPPLIED, POOL_UPGRADED)
    chain.ledger.apply_reads(_answered(chain, 10))
    assert chain.ledger._state.reserves[WETH].doubt == MOVED_UNSEEN


def test_what_moved_under_an_unknown_revision_stays_unknown_after_it() -> None:
    """A revision with rules does not tell what those without did."""
    chain = opened()
    chain.revision = 7
    chain.block(POOL_UPGRADED)
    chain.block(log_of(VARIABLE[WETH], MINT, ALICE, ALICE, 10, 0, RAY))
    chain.revision = 10
    chain.block(POOL_UPGRADED)
    assert _health(chain) == Health(Status.UNKNOWN, f"0x{WETH.hex()}: {MOVED_UNSEEN}")


def test_a_token_is_followed_again_once_it_says_what_it_is() -> None:
    """Both tokens of the reserve must be those that the pool's rules are about; an upgrade asks them."""
    chain = opened()
    chain.revision = 10
    chain.block(POOL_UPGRADED, log_of(A_TOKEN[WETH], UPGRADED, address(56)))
    assert "one of its tokens was upgraded" in str(_health(chain).reason)
    chain.token_revision = 5
    chain.block(log_of(VARIABLE[WETH], UPGRADED, address(57)))
    assert _health(chain) == Health(Status.HEALTHY)


def test_an_upgrade_of_a_token_excuses_no_missing_log() -> None:
    """What was burnt without ever having been minted stays unknown."""
    chain = opened()
    chain.token_revision = 1
    chain.block(log_of(A_TOKEN[WETH], BURN, ALICE, ALICE, 2 * 10**18, 0, RAY))
    chain.block(log_of(A_TOKEN[WETH], UPGRADED, address(56)))
    assert "more was burnt than was ever minted" in str(_health(chain).reason)


def test_a_price_source_from_before_an_upgrade_makes_its_mode_unknown() -> None:
    """The new pool reads it as members; nothing is said of whoever is in that mode."""
    chain = opened()
    category = "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)"
    configurator = chain.ledger._state.market.configurator
    chain.block(
        log_of(configurator, category, 1, 9_000, 9_300, 10_200, WETH, ""),
        log_of(POOL_PROXY, "UserEModeSet(address,uint8)", ALICE, 1),
    )
    assert _health(chain) == Health(Status.HEALTHY)
    chain.revision = 10
    chain.block(POOL_UPGRADED)
    assert "had a price source before" in str(_health(chain).reason)
    chain.block(log_of(configurator, category, 1, 9_000, 9_300, 10_200, bytes(20), ""))
    assert "had a price source before" in str(_health(chain).reason)
