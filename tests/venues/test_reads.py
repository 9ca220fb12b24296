"""Prices by events: a feed is read until nothing of it can be missed, and followed from there."""

from __future__ import annotations

import pytest

from keeper.core.units import BaseAmount, TokenAmount
from tests.venues.event_logs import address, header, log_of
from tests.venues.synthetic import FEED, ORACLE, WETH, Chain, discovery, listing, opened

ANSWER = "AnswerUpdated(int256,uint256,uint256)"
SOURCE = "AssetSourceUpdated(address,address)"


def _price_requests(chain: Chain) -> list[bytes]:
    return [bytes(each.calldata[16:36]) for each in chain.asked if each.target == ORACLE]


def test_a_feed_is_followed_once_it_is_surely_watched() -> None:
    """Asked for source and price, then for the price alone, then never again."""
    chain = Chain("events")
    chain.block(*discovery(), *listing(WETH))
    assert _price_requests(chain) == [WETH, WETH]
    assert FEED[WETH] in chain.ledger.watched()
    chain.block()
    assert _price_requests(chain) == [WETH]
    chain.block()
    assert _price_requests(chain) == []
    assert chain.ledger.value_base(WETH, TokenAmount(10**18)) == BaseAmount(2_000 * 10**8)


def test_a_request_of_a_lagging_ledger_does_not_start_the_following() -> None:
    """An answer that came with the source was asked for before the feed was watched."""
    chain = Chain("events")
    chain.block(*discovery(), *listing(WETH))
    late = chain.asked
    chain.ledger.begin_block(header(2, 24))
    chain.ledger.apply_reads([chain._answer(request) for request in late])
    assert [bytes(each.calldata[16:36]) for each in chain.ledger.reads([]) if each.target == ORACLE] == [WETH]


def test_a_followed_price_is_the_last_answer() -> None:
    """AnswerUpdated moves it, and nothing has to be read."""
    chain = _followed()
    chain.block(log_of(FEED[WETH], ANSWER, 1_999, 1, 1))
    assert chain.ledger.value_base(WETH, TokenAmount(10**18)) == BaseAmount(1_999)


@pytest.mark.fault(39)
def test_an_answer_that_is_not_positive_is_no_price() -> None:
    """The oracle turns to its fallback: unknown at the block, and read from the next one on."""
    chain = _followed()
    chain.block(log_of(FEED[WETH], ANSWER, -1, 1, 1))
    assert chain.ledger.value_base(WETH, TokenAmount(10**18)) is None
    chain.prices[WETH] = 77
    chain.block()
    assert chain.ledger.value_base(WETH, TokenAmount(10**18)) == BaseAmount(77)
    chain.prices[WETH] = 5
    chain.block(log_of(FEED[WETH], ANSWER, 5, 1, 1))
    chain.block(log_of(FEED[WETH], ANSWER, 6, 1, 1))
    assert (_price_requests(chain), chain.ledger.value_base(WETH, TokenAmount(10**18))) == ([], BaseAmount(6))


def test_a_new_source_is_read_once_and_followed() -> None:
    """It is discovered from its log, its price is asked for at that block, and its answers count from there."""
    chain = _followed()
    log = log_of(ORACLE, SOURCE, WETH, address(0x1E))
    assert chain.ledger.discover([log]) == (address(0x1E),)
    chain.prices[WETH] = 1_500
    chain.block(log)
    assert _price_requests(chain) == [WETH]
    chain.block(log_of(FEED[WETH], ANSWER, 3, 1, 1))
    assert chain.ledger.value_base(WETH, TokenAmount(10**18)) == BaseAmount(1_500)
    chain.block(log_of(address(0x1E), ANSWER, 1_400, 1, 1))
    assert chain.ledger.value_base(WETH, TokenAmount(10**18)) == BaseAmount(1_400)


def _followed() -> Chain:
    chain = opened("events")
    chain.block()
    return chain
