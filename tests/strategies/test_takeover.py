"""How much of an unsafe position is taken over, on an exchange whose arithmetic fits in one's head."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.decisions import Proposal
from keeper.core.facts import RawLog
from keeper.core.ids import Address
from keeper.core.takeover import Takeover
from keeper.core.units import BaseAmount, BigInt, Bps, TokenAmount, Wad
from keeper.core.venue import AccountMargin, Call, Epoch, Health, Preview, Status, VenueView
from strategies.partial_liquidation import decide
from tests.engine.history import ALICE, BOB, STRATEGY_SPEC, VENUE_SPEC
from tests.engine.toy import ETH, GOLD, USD, ToyLedger

NEEDED_BPS, PENALTY_BPS, INITIAL_BPS = 625, 250, 1_000


class Desk:
    """Positions at a price of one dollar per unit; implements :class:`keeper.core.venue.TakeoverView`.

    ``value`` is the account's, ``positions`` the size by market, ``most`` the share that may be taken at once.
    """

    def __init__(self, value: int, positions: dict[Address, int], *, free: int = 10**9, most_bps: int = 10_000) -> None:
        self.value = value
        self.positions = positions
        self.free = free
        self.most_bps = most_bps
        self.target = BOB

    @property
    def margin(self) -> AccountMargin:
        """The account."""
        need = self.need()
        health = Health(Status.LIQUIDATABLE if self.value < need else Status.HEALTHY)
        wad = Wad(self.value * Wad.ONE // need)
        return AccountMargin("toy", ALICE, Epoch(1, 1), health, wad, BaseAmount(self.value), BaseAmount(need))

    def need(self, less: int = 0) -> int:
        """Return the requirement without a part of the positions."""
        return (sum(self.positions.values()) - less) * NEEDED_BPS // 10_000

    def largest(self, account: Address) -> tuple[tuple[Address, TokenAmount], ...]:
        """The share of each."""
        assert account == ALICE
        return tuple((market, TokenAmount(size * self.most_bps // 10_000)) for market, size in self.positions.items())

    def preview(self, account: Address, market: Address, size: TokenAmount, taker: Address) -> Preview:
        """A penalty, half of it for the taker."""
        assert (account, taker) == (ALICE, BOB)
        penalty, need = int(size) * PENALTY_BPS // 10_000, self.need(int(size))
        bound = int(size) * INITIAL_BPS // 10_000
        taken = Takeover(
            BigInt(size), TokenAmount(penalty // 2), BaseAmount(bound), BaseAmount(self.free - bound), BigInt(size)
        )
        return Preview(
            *(USD, market, size, size, size, TokenAmount(penalty - penalty // 2)),
            *(BaseAmount(int(size)), BaseAmount(int(size) + penalty // 2), BaseAmount(need)),
            *(Wad((self.value - penalty) * Wad.ONE // need) if need else None, None, taken),
        )

    def held(self, account: Address) -> tuple[tuple[Address, BigInt], ...]:  # noqa: ARG002 - nobody's
        """Nothing."""
        return ()

    def exit_call(self, account: Address, market: Address, slippage: Bps) -> Call | None:  # noqa: ARG002 - as above
        """None."""
        return None

    def moved(self, log: RawLog) -> Address | None:  # noqa: ARG002 - as above
        """Nobody's."""
        return None


class View:
    """A head with one exchange, without inventory, and a fixed cost of gas."""

    def __init__(self, desk: Desk, *, gas: int = 0, minimum: int = 0, reserved: int = 0, spend: int = 10**9) -> None:
        self.desk = desk
        self.gas = gas
        self.reserved = reserved
        self.signer = BOB
        self.profit_base_min = BaseAmount(minimum)
        self.spend_base_max = BaseAmount(spend)

    def venue(self, name: str) -> VenueView:
        """An exchange without debts."""
        assert name == "toy"
        ledger = ToyLedger(VENUE_SPEC)
        ledger.takeovers = self.desk
        return ledger

    def inventory(self, token: Address) -> TokenAmount:  # noqa: ARG002 - none of any
        """Nothing."""
        return TokenAmount(0)

    def balance(self, token: Address) -> TokenAmount | None:  # noqa: ARG002 - none of any
        """Nothing."""
        return TokenAmount(0)

    def margin_reserved_base(self, venue: str) -> BaseAmount:  # noqa: ARG002 - one venue
        """What is in flight."""
        return BaseAmount(self.reserved)

    def gas_cost_base(self, gas: int) -> BaseAmount | None:  # noqa: ARG002 - fixed
        """The cost."""
        return BaseAmount(self.gas)


def proposed(view: View, **changes: object) -> Proposal:
    """Return what is proposed for the account."""
    spec = msgspec.structs.replace(STRATEGY_SPEC, **changes)
    proposal = next(decide(view, [view.desk.margin], spec))
    assert proposal.preview.takeover is not None
    return proposal


def size_of(view: View, **changes: object) -> int:
    """Return how much is proposed."""
    return int(proposed(view, **changes).preview.cover)


@given(st.integers(260_000, 600_000))
def test_the_smallest_size_that_restores_the_target_is_taken(value: int) -> None:
    """One unit less would miss it; where only a position without a crumb left does, all of it is taken."""
    desk = Desk(value, {ETH: 10**7})
    size = size_of(View(desk))
    health = desk.preview(ALICE, ETH, TokenAmount(size), BOB).health_after
    less = desk.preview(ALICE, ETH, TokenAmount(size - 1), BOB).health_after
    assert health is None or health >= Wad(105 * 10**16)
    assert less is not None
    assert size == 10**7 or less < Wad(105 * 10**16)


def test_no_more_is_taken_than_the_protocol_the_operator_and_the_deposit_allow() -> None:
    """Each of the three binds, and what is in flight is reserved."""
    positions = {ETH: 10**7}
    assert size_of(View(Desk(300_000, positions, most_bps=2_000))) == 2_000_000
    assert size_of(View(Desk(300_000, positions), spend=1_500_000)) == 1_500_000
    assert size_of(View(Desk(300_000, positions, free=100_000))) == 1_000_009
    assert size_of(View(Desk(300_000, positions, free=100_000), reserved=40_000)) == 600_009


def test_without_a_deposit_the_wish_goes_on_record() -> None:
    """The gate must refuse something, so that somebody learns what is missing."""
    proposal = proposed(View(Desk(300_000, {ETH: 10**7}, free=0), minimum=1))
    assert proposal.preview.takeover is not None
    assert proposal.preview.takeover.free_base < BaseAmount(0)


def test_a_size_grows_until_it_earns_the_minimum() -> None:
    """Gas makes a small slice pay nothing; a larger one of the same account does."""
    desk = Desk(620_000, {ETH: 10**7})
    assert size_of(View(desk)) < size_of(View(desk, gas=50_000, minimum=1))
    assert proposed(View(desk, gas=50_000, minimum=1)).profit_base == BaseAmount(1)


def test_what_lowers_health_takes_all_at_once() -> None:
    """Below two fifths every size lowers health: of two markets the larger position goes whole."""
    proposal = proposed(View(Desk(-5_000, {ETH: 6 * 10**6, GOLD: 4 * 10**6})))
    assert (proposal.preview.collateral_asset, int(proposal.preview.cover)) == (ETH, 6 * 10**6)
    assert "all that may be taken" in proposal.rationale
    assert proposal.alternatives[0].why_not == "takes less over"


def test_crumbs_are_taken_along() -> None:
    """What would leave less than the dust limit takes all."""
    desk = Desk(300_000, {ETH: 10**7})
    assert size_of(View(desk), dust_base=BaseAmount(9 * 10**6)) == 10**7


def test_the_largest_profit_weighs_what_leaving_costs() -> None:
    """Where leaving costs more with every unit, more is not better; the fee is all that is earned."""
    desk, impact = Desk(300_000, {ETH: 10**7}), {"0x" + ETH.hex(): Bps(10_000)}
    best = proposed(View(desk), objective="max-profit")
    assert int(best.preview.cover) == 10**7
    assert best.profit_base == BaseAmount(125_000)
    assert best.slippage_base == BaseAmount(0)
    costly = proposed(View(desk), objective="max-profit", slippage_bps=impact)
    assert costly.slippage_base == BaseAmount(int(costly.preview.repaid_base))
