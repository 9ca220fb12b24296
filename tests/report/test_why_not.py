"""Why nothing was done: each thing that can stand in the way is named, with its figures and since when."""

from __future__ import annotations

import msgspec

from keeper.core.facts import AccountsAudited, ContractRead, IntentDropped, PreflightSeen, RevertReason
from keeper.core.units import BaseAmount
from keeper.report.model import Gate
from tests.engine.history import (
    ALICE,
    BOB,
    CONFIG,
    PRICES,
    RIVAL,
    UNIT,
    History,
    admitted,
    config_with,
    position,
)
from tests.engine.toy import ETH, GOLD, POOL, USD
from tests.report.told import explained

TAKEN = ("liquidated", ALICE, RIVAL, USD, ETH, 1, 1)
MUCH = ("liquidated", ALICE, RIVAL, USD, ETH, 75_000_000, 43_750)
"""So much that ALICE is healthy again."""
FALL = ("price", ETH, 1800 * 10**4)
RISE = ("price", ETH, PRICES[ETH])


def market(history: History | None = None) -> History:
    """Return a history with one healthy account."""
    told = history or History()
    told.market()
    return told


def gate(told: History) -> Gate:
    """Return what is in the way of ALICE."""
    return explained(told).why_not.gate


def since(found: Gate) -> int | None:
    """Return the block since when."""
    return None if found.since is None else found.since.block


def test_who_was_never_liquidatable() -> None:
    """A healthy account has nothing to explain, from the beginning."""
    found = gate(market())

    assert (found.name, found.says, found.since) == ("healthy", "it is not liquidatable", None)


def test_not_liquidatable_until_a_block() -> None:
    """Before an intent the account was not liquidatable, and it says until which block."""
    told = market()
    told.block()
    told.breach()
    reasons = explained(told).why_not

    assert (reasons.earlier[0].name, reasons.earlier[0].says) == (
        "liquidatable",
        "it was not liquidatable until block 3",
    )
    assert (reasons.gate.name, since(reasons.gate)) == ("pending", 3)


def test_who_recovered() -> None:
    """An account that is healthy again is so since a block, and its breach stands before that."""
    told = market(History(config_with(live=False)))
    told.breach()
    told.block(RISE)
    reasons = explained(told).why_not

    assert (reasons.gate.name, since(reasons.gate)) == ("healthy", 3)
    assert [each.name for each in reasons.earlier] == ["liquidatable", "refused", "healthy"]


def test_unknown_says_why() -> None:
    """An account whose health is unknown was not helped for that reason, since the block that lost the figure."""
    told = market()
    told.block(("set", ALICE, GOLD, 1, 0))
    found = gate(told)

    assert (found.name, found.says, since(found)) == ("unknown", "its health is unknown: no price", 2)


def test_a_silent_chain_is_unknown() -> None:
    """While nothing is heard of the chain nobody's health is known."""
    told = market()
    told.tick(100)

    assert gate(told).says == "its health is unknown: watermark lags"


def test_an_audit_that_failed_is_unknown() -> None:
    """An account that an audit found wrong is unknown, though its figures say it is healthy."""
    told = market()
    tip = told.engine.chains[31337].tip
    assert tip is not None
    told.step(AccountsAudited(31337, "toy", tip.number, tip.hash, (ContractRead(POOL, bytes(ALICE), b"1 2", None),)))

    assert gate(told).says == "its health is unknown: audit failed"


def test_no_strategy_covers_the_venue() -> None:
    """A keeper that only watches says so, since the breach."""
    told = market(History(msgspec.structs.replace(CONFIG, strategies=())))
    told.breach()
    told.block()
    found = gate(told)

    assert (found.name, found.says, since(found)) == ("no_strategy", "no strategy covers toy", 2)


def test_a_block_behind_the_head_is_not_decided_on() -> None:
    """A keeper that catches up has not asked yet."""
    told = market()
    told.block(FALL, behind=3)
    found = gate(told)

    assert (found.name, found.says) == (
        "behind",
        "the journal is 3 blocks behind the head there, and decides only at the head",
    )


def test_refused_by_a_rule_with_its_figures() -> None:
    """A refusal that stands is named with what it weighed, since the first block that refused."""
    told = market(History(config_with(profit_base_min=BaseAmount(400 * UNIT))))
    told.breach()
    told.block()
    found = gate(told)

    assert (found.name, found.rule, since(found)) == ("refused", "profit_below_min", 2)
    assert found.says == "refused by profit_below_min: 37275000000 is below 40000000000 (USD 1e-8)"


def test_a_refusal_that_no_longer_stands_is_not_why() -> None:
    """When the signer has nothing left, no slice is proposed: what was refused before is past."""
    told = market(History(config_with(profit_base_min=BaseAmount(400 * UNIT))))
    told.breach()
    told.read_signer(balance=0)
    told.block()
    reasons = explained(told).why_not

    assert reasons.gate.name == "not_proposed"
    assert reasons.gate.says == "no slice was proposed: none is possible with what main may spend"
    assert [each.rule for each in reasons.earlier] == [None, "profit_below_min"]


def test_a_signer_that_was_never_read() -> None:
    """Nothing is proposed for a live signer whose holdings nobody read."""
    told = History()
    told.start()
    told.block(*[("price", token, price) for token, price in PRICES.items()], *position(ALICE, eth=10, usd=15_000))
    told.breach()

    assert gate(told).says == "no slice was proposed: what main holds was never read"


def test_an_intent_that_is_pending() -> None:
    """An intent under way is why there is no other, in the state where it is."""
    told = market()
    intent = admitted(told.breach())[0]
    told.send(told.prepare(intent, 0))
    told.block()
    found = gate(told)

    assert (found.name, found.says, since(found)) == (
        "pending",
        f"intent 0x{intent.intent_id.hex()} is broadcast",
        2,
    )


def test_outbid() -> None:
    """Another's liquidation that landed while ours was not mined outbid us, at that block."""
    told = market()
    told.send(told.prepare(admitted(told.breach())[0], 0))
    told.block(MUCH)
    found = gate(told)

    assert (found.name, since(found)) == ("outbid", 3)
    assert found.says == "another liquidated it in block 3 and outbid us: our intent was broadcast"


def test_outbid_by_the_end() -> None:
    """Once our own intent has been given up, that we were outbid is what remains."""
    told = market()
    intent = admitted(told.breach())[0]
    told.block(MUCH)
    told.step(IntentDropped(intent.intent_id, "healthy again"))
    found = gate(told)

    assert (found.name, since(found)) == ("outbid", 3)
    assert found.says == "another liquidated it in block 3 and outbid us: our intent was admitted"


def test_reverted() -> None:
    """A transaction that reverted is why nothing is done until the next head."""
    told = market()
    intent = admitted(told.breach())[0]
    attempt = told.prepare(intent, 0)
    told.block()
    told.receipt(attempt, succeeded=False)
    found = gate(told)

    assert (found.name, since(found)) == ("reverted", 3)
    assert f"0x{intent.intent_id.hex()}" in found.says


def test_dropped_before_it_was_signed() -> None:
    """An intent that failed its simulation was abandoned for that reason."""
    told = market()
    intent = admitted(told.breach())[0]
    tip = told.engine.chains[31337].tip
    assert tip is not None
    told.step(
        PreflightSeen(intent.intent_id, tip.number, tip.hash, 0, RevertReason("45", b"")),
        IntentDropped(intent.intent_id, "preflight: 45"),
    )
    found = gate(told)

    assert (found.name, found.says) == (
        "abandoned",
        f"intent 0x{intent.intent_id.hex()} is abandoned (preflight: 45)",
    )


def test_taken_by_another_after_a_refusal() -> None:
    """Of an account that another took, the refusal before it is why not us, with its figures."""
    told = market(History(config_with(live=False)))
    told.breach()
    told.block(MUCH)
    found = gate(told)

    assert (found.name, found.rule, since(found)) == ("refused", "dry_run", 2)


def test_taken_in_the_block_that_made_it_liquidatable() -> None:
    """Nobody could have decided before: it was late, in that very block."""
    told = market()
    told.block(FALL, MUCH)
    found = gate(told)

    assert (found.name, since(found)) == ("late", 2)
    assert found.says.endswith("late, it became liquidatable in the very block")


def test_taken_while_nothing_was_proposed() -> None:
    """Of an account that was passed over, why it was is told, since its breach."""
    told = market(History(msgspec.structs.replace(CONFIG, strategies=())))
    told.breach()
    told.block(MUCH)
    found = gate(told)

    assert (found.name, since(found)) == ("no_strategy", 2)


def test_wrong_health_is_said_plainly() -> None:
    """A liquidation of an account that was held for healthy is named as what it is."""
    told = market()
    told.block(TAKEN)

    assert gate(told).name == "health_wrong"


def test_done() -> None:
    """What our own intent did is not why not."""
    told = market()
    intent = admitted(told.breach())[0]
    told.liquidation(told.prepare(intent, 0), intent)
    found = gate(told)

    assert (found.name, found.says, since(found)) == ("done", "we liquidated it in block 3", 3)


def test_another_account_is_another_story() -> None:
    """What happened to others leaves no trace in an explanation."""
    told = market()
    told.breach()
    told.block(*position(BOB, eth=10, usd=1_000))
    found = explained(told, BOB)

    assert (found.why_not.gate.name, found.records, found.intents) == ("healthy", (), ())
