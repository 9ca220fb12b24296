"""A shock spreads over the venues that share collateral: mapped from their own margins, to a fixed point."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec
import numpy as np
import pytest

from keeper.core.errors import RiskInputError
from keeper.core.facts import RawLog
from keeper.core.ids import Address, to_hex
from keeper.core.units import BigInt
from keeper.core.venue import Ledger
from keeper.engine.contagion import (
    DEPTH_SHARE,
    SUPPLIERS,
    Claim,
    Claims,
    Contagion,
    Exposures,
    cleared,
    contagion,
    exposures_of,
    put_up,
)
from keeper.venues.perp_v2.margin import Account
from keeper.venues.perp_v2.state import Position
from tests.engine.history import BOB, CONFIG, RIVAL, History, position
from tests.engine.toy import ETH, GOLD, USD, pool_log
from tests.venues import morpho_logs, synthetic
from tests.venues.event_logs import address
from tests.venues.pre_liquidation_logs import SPEC as PRE_SPEC
from tests.venues.test_portfolio import WAD, Taker, now_at

OTHER_POOL = Address(b"\x98" * 20)
SECOND = msgspec.structs.replace(CONFIG.venues[0], name="second", root=OTHER_POOL)
CONFIG_OF_TWO = msgspec.structs.replace(CONFIG, venues=(*CONFIG.venues, SECOND))
DEEP = 1e15


def two_venues(bobs_debt: int = 14_000) -> History:
    """Return two venues with the same collateral: ALICE at 1.067 at the first, BOB a little better at the second."""
    history = History(CONFIG_OF_TWO)
    history.market()
    prices = [("price", ETH, 20_000 * 10**3), ("price", USD, 10**4)]
    logs = [*prices, *position(BOB, eth=10, usd=bobs_debt)]
    history.apply(tuple(_elsewhere(pool_log(place, history.transaction(), *log)) for place, log in enumerate(logs)))
    return history


def _elsewhere(log: RawLog) -> RawLog:
    return RawLog(OTHER_POOL, log.topics, log.data, log.log_index, log.tx_hash)


def exposures(*ledgers: Ledger) -> Exposures:
    """Return what these venues' accounts hold and owe."""
    return exposures_of({each.name: each for each in ledgers}, ())


def told(history: History) -> Exposures:
    """Return what the accounts of a history hold and owe."""
    return exposures_of(history.engine.ledgers, history.config.venues)


def fall(
    found: Exposures, shock: float, asset: Address = ETH, depth_usd: float | None = None, target: float = 1.0
) -> Contagion:
    """Return where a fall of an asset ends."""
    return contagion(found, {asset: shock}, {}, depth_usd=depth_usd, bonus=0.05, health_target=target)


def test_what_is_held_and_owed_is_read_from_every_venue() -> None:
    """Both venues' accounts are rows, and a token that both hold is one column."""
    found = told(two_venues())

    assert (found.venues, found.assets, found.venue.tolist()) == (("toy", "second"), (USD, ETH), [0, 1])
    assert found.borrowers.held_usd.toarray() == pytest.approx(np.array([[0, 20_000], [0, 20_000]]))
    assert found.borrowers.owed_usd.toarray() == pytest.approx(np.array([[15_000, 0], [14_000, 0]]))
    assert found.borrowers.surplus_usd == pytest.approx([1_000, 2_000])
    assert put_up(found) == (ETH,)


def test_a_liquidation_at_one_venue_brings_one_at_the_other() -> None:
    """A fall of 7 % liquidates ALICE alone in a deep market, and in a shallow one what she sells liquidates BOB."""
    deep, shallow = (fall(told(two_venues()), 0.07, depth_usd=depth) for depth in (DEEP, None))

    assert [each.liquidated for each in deep.venues] == [1, 0]
    assert [each.liquidated for each in shallow.venues] == [1, 1]
    assert ("toy", "second") in {(each.seller, each.holder) for each in shallow.spillovers}


def test_in_a_deep_market_only_the_shock_moves_prices() -> None:
    """ALICE is 120 short at 18,600: she sells 120 / (1 / 1.05 - 0.8) and repays that over 1.05."""
    found = fall(told(two_venues()), 0.07, depth_usd=DEEP)
    sold = 120 / (1 / 1.05 - 0.8)

    assert found.assets[0].sold_usd == pytest.approx(sold, rel=1e-6)
    assert found.assets[0].further_drop == pytest.approx(0, abs=1e-9)
    assert found.venues[0].debt_liquidated_usd == pytest.approx(sold / 1.05, rel=1e-6)
    assert [each.bad_debt_usd for each in found.venues] == [0, 0]


def test_the_further_drop_is_the_impact_of_what_was_sold() -> None:
    """The depth left out is a quarter of what is held, and the drop is that of an exponential impact."""
    found = fall(told(two_venues()), 0.07)
    eth = found.assets[0]

    assert eth.depth_usd == pytest.approx(DEPTH_SHARE * 40_000)
    assert eth.depth_assumed
    assert eth.further_drop == pytest.approx(1 - math.exp(-eth.sold_usd / eth.depth_usd), rel=1e-6)
    lost = 37_200 * eth.further_drop
    assert sum(each.cost_usd for each in found.spillovers) == pytest.approx(lost, rel=1e-6)


def test_a_fall_beyond_all_collateral_is_bad_debt() -> None:
    """At half its price 10,000 of collateral repays 10,000 / 1.05 of 15,000 in a deep market."""
    found = fall(told(two_venues()), 0.5, depth_usd=DEEP)

    assert found.venues[0].bad_debt_usd == pytest.approx(15_000 - 10_000 / 1.05, rel=1e-6)
    assert found.venues[0].bad_debt_before_usd == 0


def test_an_account_without_figures_is_told_and_counted() -> None:
    """Who has no price is not in the sums; the venue says how many such there are."""
    history = two_venues()
    history.block(("set", RIVAL, GOLD, 1, 0), *position(RIVAL, usd=1)[1:])
    found = fall(told(history), 0.07)

    assert [(each.accounts, each.unknown) for each in found.venues] == [(1, 1), (1, 0)]


def test_the_line_of_each_venue_decides_on_a_token_that_they_share() -> None:
    """At 12.2 % off Aave's threshold of 85 % is passed and Morpho's of 86 % is not; at 15 % both are."""
    both = exposures(synthetic.opened().ledger, morpho_logs.opened().ledger)

    assert both.assets == (synthetic.WETH, synthetic.USDC)
    assert both.borrowers.surplus_usd == pytest.approx([200, 220], abs=1e-3)
    for shock, liquidated in ((0.122, [1, 0]), (0.15, [1, 1])):
        found = fall(both, shock, synthetic.WETH, depth_usd=DEEP)
        assert [each.liquidated for each in found.venues] == liquidated


def test_a_long_of_a_perpetual_is_closed_and_its_market_always_falls() -> None:
    """Three coins at 2,000 with 300 left need 375 at a ratio of 1/16: closed; markets are among all that falls."""
    taker = Account({address(1): Position(BigInt(3 * WAD), BigInt(-6_100 * WAD), BigInt(0))}, 500 * 10**6, {}, 0)
    ledger = Taker(now_at(), taker)
    ledger.accounts = lambda: (address(9),)  # type: ignore[method-assign]  # its one taker
    found = exposures(ledger)

    assert put_up(found) == (address(1),)
    assert found.borrowers.repays.tolist() == [False]
    assert found.borrowers.equity_usd == pytest.approx([400])
    result = fall(found, 0.01, address(1), depth_usd=DEEP)
    assert result.venues[0].liquidated == 1
    assert result.venues[0].bad_debt_usd == 0


def test_a_short_of_a_perpetual_gains_by_the_fall() -> None:
    """It owes what it sold: a fall of a tenth leaves it more."""
    taker = Account({address(1): Position(BigInt(-3 * WAD), BigInt(6_000 * WAD), BigInt(0))}, 500 * 10**6, {}, 0)
    ledger = Taker(now_at(), taker)
    ledger.accounts = lambda: (address(9),)  # type: ignore[method-assign]  # its one taker
    found = fall(exposures(ledger), 0.1, address(1))

    assert (found.venues[0].liquidated, found.venues[0].bad_debt_usd) == (0, 0)


def test_a_market_and_the_contract_that_closes_its_debts_are_one_venue() -> None:
    """The debts of a pre-liquidation venue are its market's, so it is left out, whichever is configured first."""
    ledgers = {"morpho": morpho_logs.opened().ledger, PRE_SPEC.name: morpho_logs.opened().ledger}
    for specs in ((morpho_logs.SPEC, PRE_SPEC), (PRE_SPEC, morpho_logs.SPEC)):
        found = exposures_of(ledgers, specs)
        assert (found.venues, found.left_out) == (("morpho",), (PRE_SPEC.name,))
    assert exposures_of(ledgers, (PRE_SPEC,)).left_out == ()


def test_nobody_anywhere_is_no_contagion() -> None:
    """A venue without accounts has nothing that could fall."""
    found = exposures(synthetic.Chain().ledger)

    assert (found.assets, put_up(found)) == ((), ())
    assert fall(found, 0.1).venues[0].accounts == 0


def test_bad_debt_is_cleared_between_venues() -> None:
    """By hand: toy lacks 5,476 and has 3,000; it owes 1,000 besides, and pays 3,000 / 6,476 of each."""
    found = fall(told(two_venues(bobs_debt=1_000)), 0.5, depth_usd=DEEP)
    rows, rounds = cleared(found, Claims([Claim("toy", "second", 1_000.0)], {"toy": 3_000.0}))
    by_node = {each.node: each for each in rows}
    bad = 15_000 - 10_000 / 1.05

    assert rounds == 1
    assert (by_node["toy"].defaults, by_node["second"].defaults) == (True, False)
    assert by_node["toy"].owes_usd == pytest.approx(bad + 1_000, rel=1e-6)
    assert by_node["second"].keeps_usd == pytest.approx(3_000 * 1_000 / (bad + 1_000), rel=1e-6)
    assert by_node[SUPPLIERS].keeps_usd == pytest.approx(3_000 * bad / (bad + 1_000), rel=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda found: fall(found, 1.5),
        lambda found: fall(found, 0.1, depth_usd=0.0),
        lambda found: contagion(found, {}, {ETH: -1.0}, bonus=0.05, health_target=1),
        lambda found: contagion(found, {}, {}, bonus=math.nan, health_target=1),
        lambda found: cleared(fall(found, 0.1), Claims([Claim("toy", "toy", 1.0)])),
        lambda found: cleared(fall(found, 0.1), Claims([Claim("toy", "second", -1.0)])),
        lambda found: cleared(fall(found, 0.1), Claims([], {"toy": math.inf})),
    ],
)
def test_nonsense_is_refused(wrong: Callable[[Exposures], object]) -> None:
    """A number out of range is named, and nothing comes of it."""
    with pytest.raises(RiskInputError):
        wrong(told(two_venues()))


def test_an_asset_is_named_by_its_address() -> None:
    """Effects carry the address in hexadecimal digits, what is held most first."""
    assert [each.asset for each in fall(told(two_venues()), 0.1).assets] == [to_hex(ETH), to_hex(USD)]
