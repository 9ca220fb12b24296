"""``docs/adding_a_venue.md``: it names all that a ledger answers, and the skeleton keeps what it says."""

from __future__ import annotations

import inspect
import re

from hypothesis import given
from hypothesis import strategies as st

from keeper.core.facts import BlockHeader
from keeper.core.ids import content_id
from keeper.core.units import Wei
from keeper.core.venue import Ledger
from tests.docs.code import DOCS
from tests.engine.history import ALICE, BOB, BREACH, PRICES, RIVAL, VENUE_SPEC, opened_ledger
from tests.engine.toy import ETH, GOLD, USD, pool_log
from tests.venues.contract import Block, assert_keeps_the_contract

ROW = re.compile(r"^\| (`[^|]+`) \|", re.MULTILINE)
ACCOUNTS = st.sampled_from([ALICE, BOB])
AMOUNTS = st.integers(0, 10**9)
LOGS = st.one_of(
    st.tuples(st.just("price"), st.sampled_from([ETH, GOLD]), st.integers(1, 40) | st.just(BREACH)),
    st.tuples(st.just("set"), ACCOUNTS, st.sampled_from([ETH, GOLD]), AMOUNTS, st.just(0)),
    st.tuples(st.just("set"), ACCOUNTS, st.just(USD), st.just(0), AMOUNTS),
    st.tuples(st.just("liquidated"), ACCOUNTS, st.just(RIVAL), st.just(USD), st.just(ETH), st.just(0), st.just(0)),
)


def test_the_page_names_all_that_a_ledger_answers() -> None:
    """The table's members are those of the protocol, each once."""
    named = [
        name
        for row in ROW.findall((DOCS / "adding_a_venue.md").read_text("utf-8"))
        for name in re.findall(r"`(\w+)`", row)
    ]
    parts = [part for part in Ledger.__mro__ if part.__module__.startswith("keeper.")]
    members = {name for part in parts for name in {*vars(part), *inspect.get_annotations(part)}}

    assert sorted(named) == sorted(name for name in members if not name.startswith("_"))


@given(st.lists(st.lists(LOGS, max_size=4), min_size=1, max_size=5))
def test_the_skeleton_keeps_the_contract(blocks: list[list[tuple[object, ...]]]) -> None:
    """Over random histories the toy venue undoes exactly, dumps its state, and overlooks nobody."""
    first: list[tuple[object, ...]] = [("price", token, price) for token, price in PRICES.items() if token != GOLD]
    assert_keeps_the_contract(
        lambda: opened_ledger(VENUE_SPEC), [block(number, logs) for number, logs in enumerate([first, *blocks], 1)]
    )


def block(number: int, logs: list[tuple[object, ...]]) -> Block:
    """Build a block of the toy venue."""
    tx_hash = content_id("tx", number)
    header = BlockHeader(number, content_id("block", number), content_id("block", number - 1), number, Wei(0), b"")
    return Block(header, tuple(pool_log(place, tx_hash, *log) for place, log in enumerate(logs)))
