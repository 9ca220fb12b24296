"""What the demo reads out of its journal."""

from __future__ import annotations

import msgspec

from keeper.core.codec import AnyBody, Record
from keeper.core.decisions import HealthChanged, RiskHealthChanged
from keeper.core.ids import content_id, to_hex
from keeper.core.risk import RiskHealth, RiskStatus
from keeper.core.units import BaseAmount, BigInt, Wad
from keeper.core.venue import AccountMargin, Epoch, Health, Status
from keeper.lab.demo.summary import summarise
from tests.observe.records import ACCOUNT, USD, admitted, block_applied, liquidated, receipt, sent


def breach(health_wad: int) -> HealthChanged:
    """Return the account falling below the line."""
    health = Health(Status.LIQUIDATABLE)
    margin = AccountMargin("aave", ACCOUNT, Epoch(5, 0), health, Wad(health_wad), BaseAmount(1), BaseAmount(1))
    return HealthChanged(margin, "healthy", 10)


def records(*bodies: tuple[int, AnyBody]) -> list[Record]:
    """Return records of bodies with the milliseconds they were recorded at."""
    return [Record(sequence, ms, 0, body) for sequence, (ms, body) in enumerate(bodies, 1)]


def test_a_slice_counts_by_its_own_event() -> None:
    """Values go with what the event says was repaid, gas is the receipt's, health the lowest that was classified."""
    summary = summarise(
        records(
            (100, block_applied(10, seen_unix_ms=90)),
            (100, breach(98 * 10**16)),
            (100, breach(97 * 10**16)),
            (100, admitted()),
            (120, sent()),
            (300, liquidated(repaid=500, seized=270)),
            (310, receipt()),
        )
    )
    (story,) = summary.accounts.values()

    assert (story.account, story.health_min_wad, story.slices) == (to_hex(ACCOUNT), 97 * 10**16, 1)
    assert (story.repaid_base, story.seized_base) == (50 * USD, 525 * USD // 10)
    assert story.profit_base == 525 * USD // 10 - 50 * USD - 1 * USD - 2 * USD
    assert story.gas_wei == 300_000 * 2 * 10**9
    assert summary.hurt == {"aave": 1}
    assert (summary.breaches, summary.blocks, summary.reverted) == ({"aave": 2}, 1, 0)
    assert summary.stage_median_ms == {
        "seen to decided": 10,
        "decided to sent": 20,
        "sent to included": 180,
        "seen to included": 210,
    }


def test_what_was_not_seen_on_chain_is_no_slice() -> None:
    """An intent that was sent, and reverted, helped nobody: its gas is spent and it has no stages."""
    reverted = msgspec.structs.replace(receipt(), succeeded=False)
    summary = summarise(records((100, block_applied(10)), (100, admitted()), (120, sent()), (310, reverted)))

    assert [story.slices for story in summary.accounts.values()] == [0]
    assert (summary.reverted, summary.stage_median_ms) == (1, {})


def test_others_are_not_counted() -> None:
    """A liquidation by somebody else is none of ours."""
    assert summarise(records((100, liquidated(ours=False)))).accounts == {}


def judged(status: RiskStatus, block_number: int) -> RiskHealthChanged:
    """Return a change of the second opinion of the account."""
    opinion = RiskHealth(
        venue="aave",
        account=ACCOUNT,
        status=status,
        reason=None,
        health_wad=Wad(10**18),
        stressed_wad=Wad(10**18),
        surplus=BigInt(1),
        loss=BigInt(2),
        breach_ppm=1,
        loss_expected_base=BaseAmount(0),
        bucket="account",
        model="static",
        params=content_id("params"),
        components=(),
    )
    return RiskHealthChanged(opinion, "safe", block_number)


def test_who_was_called_in_an_earlier_block_was_forewarned() -> None:
    """A call counts by the blocks between it and the first breach; one in the breach's own block warned nobody."""
    called = (100, judged(RiskStatus.CALL, 7))
    warned = (90, judged(RiskStatus.WARNING, 6))
    helped: list[tuple[int, AnyBody]] = [
        (110, breach(98 * 10**16)),
        (110, admitted()),
        (120, liquidated(repaid=500, seized=270)),
    ]
    early = summarise(records(warned, called, *helped))
    late = summarise(records((110, judged(RiskStatus.CALL, 10)), *helped))

    assert [story.called_blocks_before for story in early.accounts.values()] == [3]
    assert (early.warned, early.called, early.forewarned) == ({"aave": 1}, {"aave": 1}, {"aave": 1})
    assert (late.called, late.forewarned) == ({"aave": 1}, {})
