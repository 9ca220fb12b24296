"""What an explanation holds: facts, opinion, stages, and the records in order."""

from __future__ import annotations

import msgspec

from keeper.core.facts import BlocksBackfilled
from keeper.core.ids import content_id, to_hex
from keeper.core.runconfig import ChainSpec
from keeper.report.finding import nearest
from keeper.report.trail import BlockPlaces
from tests.engine.history import (
    ALICE,
    BOB,
    CHAIN,
    CONFIG,
    GWEI,
    SIGNER,
    UNIT,
    VENUE_SPEC,
    History,
    admitted,
    position,
)
from tests.engine.test_second_opinion import RISK
from tests.engine.toy import ETH, USD
from tests.report.told import explained, trail_of


def judged() -> History:
    """Return a history with a second opinion: ETH is told anew in block 2, USD in block 1."""
    told = History(msgspec.structs.replace(CONFIG, risk=(RISK,)))
    told.market()
    told.breach()
    return told


def acted() -> History:
    """Return a history of one intent with two attempts, mined and final, its stages told apart by the clock."""
    told = History()
    told.market()
    intent = admitted(told.breach())[0]
    told.unix_ms += 30
    told.send(told.prepare(intent, 0), "unknown")
    told.block()
    second = told.prepare(intent, 0, attempt=2, fee_wei=30 * GWEI)
    told.send(second)
    told.liquidation(second, intent)
    told.receipt(second, succeeded=True)
    told.unix_ms += 500
    told.block()
    told.finalize(4)
    return told


def test_the_opinion_names_the_fact_that_told_each_price() -> None:
    """Each component has its exposure, its move, its loss and the block that told its price."""
    told = judged()
    found = explained(told)
    assert found.opinion is not None
    parts = {
        one.asset: (int(one.exposure), one.move_ppm, int(one.loss), one.sequence) for one in found.opinion.components
    }

    assert parts == {
        USD: (-15_000 * UNIT, 50_000, 750 * UNIT, place(told, 1)),
        ETH: (14_400 * UNIT, 50_000, 720 * UNIT, place(told, 2)),
    }
    assert (found.opinion.status.value, found.opinion.model, int(found.opinion.surplus)) == (
        "breached",
        "static",
        -600 * UNIT,
    )


def place(told: History, number: int) -> int:
    """Return the fact of a block."""
    return next(
        one.sequence for one in told.records if getattr(getattr(one.body, "header", None), "number", 0) == number
    )


def test_the_facts_used_are_named() -> None:
    """The head, the last change of the position, and each price, with kind and block."""
    told = judged()
    told.block()

    assert [(one.role, one.asset, one.sequence, one.kind, one.block) for one in explained(told).facts] == [
        ("head", None, place(told, 3), "BlockApplied", 3),
        ("position", None, place(told, 1), "BlockApplied", 1),
        ("price", USD, place(told, 1), "BlockApplied", 1),
        ("price", ETH, place(told, 2), "BlockApplied", 2),
    ]


def test_a_position_that_a_reorg_changed_stands_where_the_branch_that_stayed_has_it() -> None:
    """The fact of an abandoned block is not the one that is named."""
    told = History()
    told.market()
    told.block(*position(BOB, eth=10, usd=1_000))
    told.revert()
    told.block(*position(BOB, eth=10, usd=2_000))
    blocks = [one.sequence for one in told.records if getattr(getattr(one.body, "header", None), "number", 0) == 2]

    assert [one.sequence for one in explained(told, BOB).facts if one.role == "position"] == blocks[1:]


def test_an_intent_is_told_to_its_end() -> None:
    """Attempts, answers, receipts, the effect, each move, and what each stage took."""
    told = acted()
    (story,) = explained(told).intents

    assert [(one.number, [each.answer for each in one.answers], len(one.receipts)) for one in story.attempts] == [
        (1, ["unknown"], 0),
        (2, ["accepted"], 1),
    ]
    assert [one.state for one in story.moves] == [
        *("prepared", "send_unknown", "prepared", "broadcast", "mined", "final_success")
    ]
    assert [(one.stage, one.blocks, one.ms) for one in story.stages] == [
        ("decided", 0, 0),
        ("sent", 0, 30),
        ("included", 2, 23_970),
        ("final", 1, 12_000),
    ]
    assert story.effect is not None
    assert (story.state, story.effect.liquidation.liquidator) == ("final_success", SIGNER)
    assert story.proposal is not None
    assert story.proposal.rationale.startswith("the smallest slice that restores health")


def test_records_stand_in_order_with_the_facts_they_follow_from() -> None:
    """Every decision about the account is there, behind its fact, once each."""
    told = judged()
    records = explained(told).records
    causes = {one.at.sequence for one in records if one.cause == 0}

    assert [one.at.sequence for one in records] == sorted({one.at.sequence for one in records})
    assert {one.cause for one in records if one.cause} <= causes
    assert [one.kind for one in records if one.at.block == 2] == [
        *("BlockApplied", "HealthChanged", "RiskHealthChanged", "IntentAdmitted")
    ]


def test_what_was_caught_up_with_has_its_block() -> None:
    """A liquidation in a range that was back-filled is told by that range's fact."""
    told = History()
    told.market()
    last = told.header(2)
    told.step(BlocksBackfilled(CHAIN, 2, last, (), (), 0, "node"))
    told.block(*position(BOB, eth=10, usd=1_000))

    assert [(one.role, one.block) for one in explained(told, BOB).facts] == [("head", 3), ("position", 3)]
    assert [(one.role, one.block, one.kind) for one in explained(told).facts][1] == ("position", 1, "BlockApplied")


def test_venues_of_other_chains_do_not_mix() -> None:
    """The blocks of each chain are counted apart."""
    other = ChainSpec(name="other", chain_id=1, finality_depth_blocks=None, stale_after_seconds=60, wrapped_native=None)
    second = msgspec.structs.replace(VENUE_SPEC, name="second", chain_id=1)
    told = History(msgspec.structs.replace(CONFIG, chains=(*CONFIG.chains, other), venues=(*CONFIG.venues, second)))
    told.market()
    told.breach()
    trail = trail_of(told)

    assert (trail.venues, trail.places[CHAIN].tip, 1 in trail.places) == (("toy",), 2, False)


def test_places_of_blocks_follow_the_branch_that_stays() -> None:
    """A block that was abandoned is forgotten, and a range answers for every block in it."""
    places = BlockPlaces()
    assert (places.tip, places.sequence_of(1)) == (None, None)
    for end, sequence in ((100, 5), (101, 7), (102, 9)):
        places.append(end, sequence)
    places.cut(102)
    places.append(102, 12)

    assert [places.sequence_of(number) for number in (50, 100, 101, 102, 103)] == [5, 5, 7, 12, None]


def test_the_nearest_ids_begin_most_alike() -> None:
    """Of many ids those with the longest common beginning are named, and no more than three."""
    known = sorted(to_hex(content_id(number)) for number in range(200))
    wanted = known[100][:20] + "0" * 46

    assert nearest(wanted, known)[0] == known[100]
    assert len(nearest(wanted, known)) == 3
    assert nearest(wanted, ()) == ()


def test_an_empty_trail_knows_no_venue() -> None:
    """An account without a record is not known by its records."""
    told = History()
    told.market()

    assert trail_of(told, ALICE).venues == ()
