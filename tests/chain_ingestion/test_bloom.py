"""Blooms: the published example, and no false negative."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from keeper.chain.bloom import bloom_mask, bloom_of, may_hold, outside
from keeper.core.facts import RawLog
from keeper.core.ids import Address, Hash32
from tests.chain_ingestion.scripted import EVENT, NAMED, OTHER, ROOT, log_of

LOGS = st.lists(
    st.builds(
        RawLog,
        address=st.binary(min_size=20, max_size=20).map(Address),
        topics=st.lists(st.binary(min_size=32, max_size=32), max_size=4).map(tuple),
        data=st.just(b""),
        log_index=st.just(0),
        tx_hash=st.just(Hash32(bytes(32))),
    ),
    max_size=20,
)


def test_mask_of_the_published_example() -> None:
    """The address 0x0f572e5295c57f15886f9b263e2f6d2d6c7b5ec6 sets bits 1323, 431 and 1319 (go-ethereum's test)."""
    mask = bloom_mask(bytes.fromhex("0f572e5295c57f15886f9b263e2f6d2d6c7b5ec6"))

    assert mask == 1 << 1323 | 1 << 431 | 1 << 1319


@given(LOGS)
def test_no_false_negative(logs: list[RawLog]) -> None:
    """Logs are never outside the bloom of a block that has them."""
    bloom = bloom_of(logs)

    assert outside(bloom, logs) is None
    assert all(may_hold(bloom, [log.address], log.topics[:1]) for log in logs if log.topics)


def test_a_foreign_log_is_outside() -> None:
    """A log whose address or topic the bloom excludes is found."""
    bloom = bloom_of([log_of(b"")])
    alien = log_of(b"", 1, OTHER)

    assert outside(bloom, [log_of(b""), alien]) is alien
    assert outside(bytes(256), [alien]) is alien


def test_address_and_topic_must_both_be_there() -> None:
    """A bloom with our contract but not our event, or the reverse, holds no log of ours."""
    bloom = bloom_of([log_of(b"")])

    assert may_hold(bloom, [OTHER, ROOT], [NAMED, EVENT])
    assert not may_hold(bloom, [OTHER], [EVENT])
    assert not may_hold(bloom, [ROOT], [NAMED])
    assert not may_hold(bytes(256), [ROOT], [EVENT])
