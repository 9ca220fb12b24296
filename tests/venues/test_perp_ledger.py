"""The parts of the perpetual ledger that a chain run does not reach: limits, damage, refusals and foreign bytes."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keeper.core.errors import JournalDamaged, NodeMalformed
from keeper.core.facts import ContractRead, RawLog
from keeper.core.ids import Hash32
from keeper.core.runconfig import ExchangeSpec, VenueSpec
from keeper.core.venue import Status
from keeper.venues.perp_v2 import codec
from keeper.venues.perp_v2.averages import begun, moved, sqrt_twap
from keeper.venues.perp_v2.ledger import PerpLedger
from keeper.venues.perp_v2.market import Unknown
from keeper.venues.perp_v2.math import Q96, TICK_MAX, divide, mul_div, sqrt_ratio_at_tick, to_settlement
from keeper.venues.perp_v2.state import Market
from tests.venues.event_logs import address, header

NAMES = [name for name in ExchangeSpec.__struct_fields__ if name != "settlement_decimals"]
CONTRACTS = ExchangeSpec(**{name: address(101 + place) for place, name in enumerate(NAMES)}, settlement_decimals=6)
SPEC = VenueSpec(
    name="perp",
    protocol="perp_v2",
    chain_id=1,
    root=address(100),
    from_block=0,
    prices="read",
    contracts=CONTRACTS,
)
TRADER, BASE, POOL = address(1), address(2), address(3)
_HASH = Hash32(bytes(32))


@given(st.integers(-(2**200), 2**200), st.integers(-(2**200), 2**200), st.integers(1, 2**100))
def test_quotients_truncate_towards_zero(value: int, factor: int, divisor: int) -> None:
    """Solidity's signed division drops the fraction whatever the sign."""
    assert mul_div(value, factor, divisor) == int(Fraction(value * factor, divisor))
    assert divide(value, divisor) == int(Fraction(value, divisor))


def test_a_debt_is_rounded_away_from_zero_in_settlement_tokens() -> None:
    """A fraction of a settlement token is lost to a creditor and owed by a debtor."""
    assert (to_settlement(10**12 + 1, 6), to_settlement(-(10**12) - 1, 6)) == (1, -2)


def test_the_root_of_the_price_is_that_of_uniswap_at_its_ends() -> None:
    """The smallest, the middle and the largest tick give the library's published constants."""
    assert sqrt_ratio_at_tick(-TICK_MAX) == 4295128739
    assert sqrt_ratio_at_tick(0) == Q96
    assert sqrt_ratio_at_tick(TICK_MAX) == 1461446703485210103287273052203988822378723970342


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(-TICK_MAX, TICK_MAX)), max_size=30), st.integers(10, 900))
def test_an_average_is_that_of_every_second(swaps: list[tuple[int, int]], interval: int) -> None:
    """The average over checkpoints is the average of the tick of each second, also after old ones were dropped."""
    ticks, now, seconds = begun(5), 10_000, [5] * 10_000
    for wait, tick in swaps:
        seconds += [ticks.points[-1].tick] * wait
        now += wait
        ticks = moved(ticks, now, tick, 900)
    seconds += [ticks.points[-1].tick] * 7
    average = divide(sum(seconds[-interval:]), interval)
    assert sqrt_twap(Market(POOL), ticks, now + 7, interval) == sqrt_ratio_at_tick(average)


def test_nobody_is_healthy_before_anything_was_read() -> None:
    """A ledger that has read nothing knows of nobody, and says why."""
    ledger = PerpLedger(SPEC)
    ledger.begin_block(header(1, 1_000))
    assert ledger.margin(TRADER).health.status is Status.UNKNOWN
    assert ledger.foretell(TRADER, BASE, 0, address(9)) == Unknown("the configuration was not read yet")


def test_a_foreign_dump_is_refused() -> None:
    """Bytes of another ledger, or of another version, are damage with a remedy."""
    with pytest.raises(JournalDamaged, match="another ledger version wrote it"):
        PerpLedger(SPEC).load(b"aave_v3/2\n")


def test_a_revert_has_its_message_for_a_name() -> None:
    """The protocol's errors are strings; anything else is shown as it came."""
    ledger = PerpLedger(SPEC)
    message = bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + (6).to_bytes(32, "big") + b"CH_EAV" + bytes(26)
    assert ledger.revert_name(message) == "CH_EAV"
    assert ledger.revert_name(b"\x01\x02") == "0x0102"


sources = st.sampled_from([SPEC.root, *(getattr(CONTRACTS, name) for name in NAMES), BASE, POOL])
words = st.sampled_from([bytes(12) + TRADER, bytes(12) + BASE, bytes(12) + POOL, bytes(32), b"\xff" * 32]) | st.binary(
    min_size=32, max_size=32
)
logs = st.builds(
    lambda source, first, topics, data: RawLog(source, (first, *topics), b"".join(data), 3, _HASH),
    sources,
    st.sampled_from(list(codec.DECODERS)),
    st.lists(words, max_size=3),
    st.lists(words, max_size=6),
)


@pytest.mark.slow
@settings(max_examples=150)
@given(st.lists(logs, max_size=25), st.lists(st.none() | st.lists(words, max_size=7), min_size=40, max_size=40))
def test_whatever_a_provider_sends_can_be_undone_dumped_and_loaded(
    sent: list[RawLog], outputs: list[list[bytes] | None]
) -> None:
    """Logs and answers of any content are folded or refused by name; undoing them leaves no trace."""
    ledger = PerpLedger(SPEC)
    ledger.begin_block(header(1, 1_000))
    before = ledger.dump()
    ledger.begin_block(header(2, 1_012))
    for log in sent:
        try:
            ledger.apply_log(log)
        except NodeMalformed:
            continue
    answers = zip(ledger.reads([]), outputs, strict=False)
    ledger.apply_reads(
        [
            ContractRead(each.target, each.calldata, None if output is None else b"".join(output), None)
            for each, output in answers
        ]
    )
    assert all(ledger.margin(account).health for account in (*ledger.accounts(), TRADER))
    loaded = PerpLedger(SPEC)
    loaded.load(ledger.dump())
    assert loaded.dump() == ledger.dump()
    ledger.undo_block(2)
    assert ledger.dump() == before
