"""Facts and decisions to journal, chosen or made up."""

from __future__ import annotations

from hypothesis import strategies as st

from keeper.core.codec import AnyBody
from keeper.core.decisions import AuditAgreed, AuditFailed, IntentAdvanced, IntentState, SignerHalted, VenuePaused
from keeper.core.facts import (
    AccountsAudited,
    BackfilledBlock,
    BlockApplied,
    BlockFinalized,
    BlockHeader,
    BlockReverted,
    BootstrapCompleted,
    BootstrapStarted,
    ClockTicked,
    HoldersFound,
    KillSwitchChanged,
    LogsRepaired,
    ProviderChanged,
    RangeVerified,
    RawLog,
    RepairedBlock,
    SignerRead,
    SignerReleased,
    VenueRead,
)
from keeper.core.ids import ADDRESS_LENGTH, HASH_LENGTH, Address, Hash32
from keeper.core.runconfig import Holding
from keeper.core.units import TokenAmount, Wei

Group = list[tuple[AnyBody, int]]

_NUMBERS = st.integers(0, 2**40)
_HASHES = st.binary(min_size=HASH_LENGTH, max_size=HASH_LENGTH).map(Hash32)
_ADDRESSES = st.binary(min_size=ADDRESS_LENGTH, max_size=ADDRESS_LENGTH).map(Address)
_LOGS = st.builds(RawLog, _ADDRESSES, st.tuples(_HASHES), st.binary(max_size=96), _NUMBERS, _HASHES)
_HEADERS = st.builds(BlockHeader, _NUMBERS, _HASHES, _HASHES, _NUMBERS, _NUMBERS, st.just(bytes(256)))
_HOLDINGS = st.builds(Holding, _ADDRESSES, _ADDRESSES, *[st.integers(0, 2**256 - 1).map(TokenAmount)] * 2)
_BACKFILLED = st.builds(BackfilledBlock, _NUMBERS, _HASHES, _NUMBERS, st.lists(_LOGS, max_size=2).map(tuple))
_REPAIRED = st.builds(RepairedBlock, _BACKFILLED, st.just(()))

ANY_BODY: st.SearchStrategy[AnyBody] = st.one_of(
    st.builds(ClockTicked, _NUMBERS),
    st.builds(KillSwitchChanged, st.booleans(), st.text(max_size=20)),
    st.builds(ProviderChanged, _NUMBERS, st.just("http://node"), st.booleans(), st.text(max_size=20)),
    st.builds(BlockReverted, _NUMBERS, _NUMBERS, _HASHES),
    st.builds(BlockFinalized, _NUMBERS, _NUMBERS, _HASHES),
    st.builds(BlockApplied, _NUMBERS, _HEADERS, st.lists(_LOGS, max_size=4).map(tuple), st.just(()), _NUMBERS),
    st.builds(
        RangeVerified, _NUMBERS, _NUMBERS, _NUMBERS, _HASHES, st.tuples(st.text(max_size=9), st.text(max_size=9))
    ),
    st.builds(LogsRepaired, _NUMBERS, _NUMBERS, st.tuples(_REPAIRED), st.just("a"), st.just("b")),
    st.builds(BootstrapStarted, _NUMBERS, _HEADERS, st.booleans()),
    st.builds(HoldersFound, _NUMBERS, st.just("aave"), _NUMBERS, _NUMBERS, st.tuples(st.binary(max_size=40))),
    st.builds(VenueRead, _NUMBERS, st.just("aave"), _HASHES, st.tuples(st.binary(max_size=41)), st.just(())),
    st.builds(BootstrapCompleted, _NUMBERS, _HASHES),
    st.builds(AccountsAudited, _NUMBERS, st.just("aave"), _NUMBERS, _HASHES, st.just(())),
    st.builds(
        SignerRead,
        _NUMBERS,
        st.just("main"),
        _NUMBERS,
        _HASHES,
        st.integers(0, 2**256).map(Wei),
        _NUMBERS,
        st.lists(_HOLDINGS, max_size=2).map(tuple),
    ),
    st.builds(SignerHalted, st.just("main"), st.text(max_size=40)),
    st.builds(VenuePaused, st.just("aave"), st.text(max_size=40), _NUMBERS),
    st.builds(SignerReleased, st.just("main"), _NUMBERS, _NUMBERS),
    st.builds(AuditFailed, st.just("aave"), _ADDRESSES, _NUMBERS, st.text(max_size=9), st.text(max_size=9)),
    st.builds(AuditAgreed, st.just("aave"), st.tuples(_ADDRESSES), _NUMBERS),
    st.builds(IntentAdvanced, _HASHES, st.sampled_from(IntentState), st.sampled_from(IntentState), st.text(max_size=9)),
)
ANY_GROUPS = st.lists(st.lists(st.tuples(ANY_BODY, _NUMBERS), min_size=1, max_size=12), min_size=1, max_size=12)


def ticks(count: int, start: int = 0) -> Group:
    """Return a group of clock ticks that differ from each other."""
    return [(ClockTicked(start + index), 0) for index in range(count)]


def block(number: int, log_count: int = 1) -> BlockApplied:
    """Return a block with incompressible hashes and some logs."""
    own = Hash32(number.to_bytes(4, "big") * 8)
    header = BlockHeader(number, own, Hash32(bytes(32)), 1_700_000_000 + number, 10**9, b"")
    log = RawLog(Address(b"\x01" * 20), (own,), bytes(32), 0, own)
    return BlockApplied(31337, header, (log,) * log_count, (), 0)
