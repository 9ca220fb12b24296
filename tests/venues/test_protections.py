"""What an own account can be helped by, at venues made of logs: options, figures, calls, and whose event it was."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from keeper.core.ids import ZERO_ADDRESS
from keeper.core.protection import ProtectionAction, ProtectionOption
from keeper.core.units import TokenAmount, Wad
from keeper.venues.aave_v3.math import RAY
from keeper.venues.aave_v3.protection import NOTHING_OF_IT, ROUNDED_AWAY, TOO_LOW, TOO_MUCH
from keeper.venues.abi import selector_of
from keeper.venues.morpho_blue.ledger import MorphoLedger
from keeper.venues.morpho_blue.math import to_assets_up
from keeper.venues.morpho_blue.pre_ledger import PreLiquidationLedger
from keeper.venues.morpho_blue.protection import ANOTHER_MARKET, MorphoProtections
from tests.venues import morpho_logs as morpho
from tests.venues import synthetic as aave
from tests.venues.event_logs import log_of
from tests.venues.pre_liquidation_logs import SPEC as PRE_SPEC
from tests.venues.synthetic import ALICE, BOB, BURN, MINT, POOL_PROXY, RATES, STABLE, USDC, VARIABLE, WETH

DOLLAR = 10**6
ETHER = 10**18
YEAR = 31_536_000


def amount(value: int) -> TokenAmount:
    """Return an amount."""
    return TokenAmount(value)


def both_sides() -> aave.Chain:
    """Return a market in which Alice put up one WETH (1,700 of power) and 500 USDC (425), and owes 1,500 USDC."""
    chain = aave.opened()
    chain.block(*aave.supplied(ALICE, USDC, 500 * DOLLAR))
    return chain


class TestAave:
    """One pool, three actions."""

    def test_options_are_of_what_the_account_has(self) -> None:
        """Collateral may be added to, debt repaid, and both reduced where they are one asset; nobody else has any."""
        protections = both_sides().ledger.protections
        assert protections.options(ALICE) == (
            ProtectionOption("top-up", WETH, amount(75 * ETHER // 10)),
            ProtectionOption("repay", USDC, amount(1_500 * DOLLAR)),
            ProtectionOption("top-up", USDC, amount(15_000 * DOLLAR)),
            ProtectionOption("reduce", USDC, amount(500 * DOLLAR)),
        )
        assert protections.options(BOB) == ()
        assert (protections.tokens(), protections.spender) == ((WETH, USDC), POOL_PROXY)

    def test_a_repayment_of_all_has_the_interest_to_come_on_top(self) -> None:
        """At a tenth a year, ten minutes of it."""
        chain = aave.opened()
        chain.block(log_of(POOL_PROXY, RATES, USDC, 0, 0, RAY // 10, RAY, RAY))
        (option,) = (each for each in chain.ledger.protections.options(ALICE) if each.action == "repay")
        assert 0 < int(option.amount_max) - 1_500 * DOLLAR - 1_500 * DOLLAR * 600 // (10 * YEAR) <= 2
        assert chain.ledger.protections.preview(ALICE, "repay", USDC, option.amount_max, 600).health_wad is None

    def test_a_paused_reserve_offers_nothing(self) -> None:
        """Neither repayment nor supply is possible then."""
        chain = aave.opened()
        chain.block(log_of(aave.CONFIGURATOR, "ReservePaused(address,bool)", USDC, True))
        assert {each.asset for each in chain.ledger.protections.options(ALICE)} == {WETH}

    def test_without_a_price_there_are_no_options(self) -> None:
        """What is not known cannot be restored."""
        chain = aave.opened()
        chain.prices[WETH] = None
        chain.block()
        assert chain.ledger.protections.options(ALICE) == ()
        told = chain.ledger.protections.preview(ALICE, "repay", USDC, amount(1))
        assert (told.health_wad, "price is unknown" in str(told.refusal)) == (None, True)

    @pytest.mark.parametrize(
        ("action", "asset", "value", "power", "debt"),
        [
            ("repay", USDC, 500 * DOLLAR, 2_125, 1_000),
            ("top-up", WETH, ETHER, 3_825, 1_500),
            ("top-up", USDC, 100 * DOLLAR, 2_210, 1_500),
            ("reduce", USDC, 100 * DOLLAR, 2_040, 1_400),
        ],
    )
    def test_health_after(self, action: ProtectionAction, asset: bytes, value: int, power: int, debt: int) -> None:
        """Power to borrow over debt, by hand, half up."""
        told = both_sides().ledger.protections.preview(ALICE, action, asset, amount(value))  # type: ignore[arg-type]  # an address
        assert told.refusal is None
        assert told.health_wad == Wad((power * Wad.ONE + debt // 2) // debt)

    def test_all_repaid_leaves_no_health(self) -> None:
        """Without debt there is no figure."""
        told = both_sides().ledger.protections.preview(ALICE, "repay", USDC, amount(2_000 * DOLLAR))
        assert (told.health_wad, told.refusal) == (None, None)

    def test_what_the_contract_refuses(self) -> None:
        """Nothing at all, more than there is, an asset that the account has nothing of."""
        preview = both_sides().ledger.protections.preview
        assert preview(ALICE, "repay", USDC, amount(0)).refusal == ROUNDED_AWAY
        assert preview(ALICE, "top-up", USDC, amount(0)).refusal == ROUNDED_AWAY
        assert preview(ALICE, "reduce", USDC, amount(501 * DOLLAR)).refusal == TOO_MUCH
        assert preview(BOB, "repay", USDC, amount(1)).refusal == NOTHING_OF_IT

    @pytest.mark.parametrize(("revision", "refusal"), [(1, None), (10, TOO_LOW)])
    def test_who_pays_with_collateral_is_healthy_afterwards_since_v36(self, revision: int, refusal: str | None) -> None:
        """In v3.0 nobody asks."""
        chain = aave.opened(revision=revision, debt=2_500 * DOLLAR)
        chain.token_revision = 5
        chain.block(*aave.supplied(ALICE, USDC, 500 * DOLLAR))
        told = chain.ledger.protections.preview(ALICE, "reduce", USDC, amount(100 * DOLLAR))
        assert told.refusal == refusal

    def test_all_of_a_collateral_may_pay(self) -> None:
        """Every unit of it."""
        told = both_sides().ledger.protections.preview(ALICE, "reduce", USDC, amount(500 * DOLLAR))
        assert (told.refusal, told.health_wad) == (None, Wad(1_700 * Wad.ONE // 1_000))

    @pytest.mark.parametrize(("revision", "left"), [(1, 1_499_999_933), (10, 1_499_999_934)])
    def test_a_burn_rounds_as_the_version_does(self, revision: int, left: int) -> None:
        """At an index of one and a half 100 units are 66 and two thirds scaled: v3.0 burns 67, v3.6 66 of them."""
        chain = aave.opened(revision=revision)
        chain.block(log_of(POOL_PROXY, RATES, USDC, 0, 0, 0, RAY, 3 * RAY // 2))
        told = chain.ledger.protections.preview(ALICE, "repay", USDC, amount(100))
        debt_base = 100 * (left * 3 // 2 if revision == 10 else (left * 3 + 1) // 2)
        weighted = 170_000_000_000 * (10_000 if revision == 10 else 1)
        health = (weighted * Wad.ONE + debt_base // 2) // debt_base
        assert told.health_wad == Wad(health // (10_000 if revision == 10 else 1))

    def test_calls_equal_eth_abi(self) -> None:
        """The pool is called on behalf of the account; a reduction is the sender's own."""
        protections = both_sides().ledger.protections
        repay, supply, reduce = (
            protections.call(ALICE, action, USDC, amount(7)) for action in ("repay", "top-up", "reduce")
        )
        assert {repay.to, supply.to, reduce.to} == {POOL_PROXY}
        kinds = ["address", "uint256", "uint256", "address"]
        assert repay.data[4:] == encode(kinds, [USDC, 7, 2, ALICE])
        assert supply.data[4:] == encode(["address", "uint256", "address", "uint16"], [USDC, 7, ALICE, 0])
        assert reduce.data[4:] == encode(["address", "uint256", "uint256"], [USDC, 7, 2])
        signatures = (
            "repay(address,uint256,uint256,address)",
            "supply(address,uint256,address,uint16)",
            "repayWithATokens(address,uint256,uint256)",
        )
        assert tuple(call.data[:4] for call in (repay, supply, reduce)) == tuple(map(selector_of, signatures))

    def test_whose_balance_moved(self) -> None:
        """A mint or a burn of the market's own tokens names the account; no other log of it does."""
        protections = both_sides().ledger.protections
        assert protections.moved(log_of(VARIABLE[USDC], BURN, ALICE, ZERO_ADDRESS, 5, 0, RAY)) == ALICE
        assert protections.moved(log_of(VARIABLE[USDC], MINT, BOB, ALICE, 5, 0, RAY)) == ALICE
        assert protections.moved(log_of(aave.A_TOKEN[WETH], MINT, BOB, ALICE, 5, 0, RAY)) == ALICE
        assert protections.moved(log_of(POOL_PROXY, BURN, ALICE, ZERO_ADDRESS, 5, 0, RAY)) is None
        assert protections.moved(log_of(POOL_PROXY, aave.ENABLED, WETH, ALICE)) is None
        stable = log_of(STABLE[USDC], "Burn(address,uint256,uint256,uint256,uint256,uint256)", ALICE, 1, 1, 1, 1, 1)
        assert protections.moved(stable) is None


def guard_of(ledger: MorphoLedger) -> MorphoProtections:
    """Return a market's protections."""
    assert isinstance(ledger.protections, MorphoProtections)
    return ledger.protections


class TestMorpho:
    """One market, two actions."""

    def test_options(self) -> None:
        """The debt with the interest to come, and collateral up to ten times the debt; nobody else has any."""
        protections = guard_of(morpho.opened().ledger)
        repay, top_up = protections.options(morpho.ALICE)
        assert (repay.action, repay.asset, top_up.action, top_up.asset) == ("repay", USDC, "top-up", morpho.WETH)
        assert amount(1_500 * DOLLAR) < repay.amount_max < amount(1_501 * DOLLAR)
        assert amount(75 * ETHER // 10) <= top_up.amount_max < amount(76 * ETHER // 10)
        assert protections.options(morpho.BOB) == ()
        assert (protections.tokens(), protections.spender) == ((USDC, morpho.WETH), morpho.MORPHO)

    def test_without_a_price_there_are_no_options(self) -> None:
        """What is not known cannot be restored."""
        chain = morpho.opened()
        chain.price = None
        protections = guard_of(chain.block())
        assert protections.options(morpho.ALICE) == ()
        told = protections.preview(morpho.ALICE, "repay", USDC, amount(DOLLAR))
        assert (told.health_wad, "price is unknown" in str(told.refusal)) == (None, True)

    def test_before_the_markets_creation_there_is_nothing(self) -> None:
        """Neither tokens nor options."""
        protections = guard_of(morpho.Chain().ledger)
        assert (protections.tokens(), protections.options(morpho.ALICE)) == ((), ())

    def test_a_repayment_of_all_leaves_no_crumb(self) -> None:
        """It is asked for in shares, all of them."""
        protections = guard_of(morpho.opened().ledger)
        repay, _ = protections.options(morpho.ALICE)
        assert protections.preview(morpho.ALICE, "repay", USDC, repay.amount_max, 600).health_wad is None
        call = protections.call(morpho.ALICE, "repay", USDC, repay.amount_max)
        assert int.from_bytes(call.data[4 + 6 * 32 :][:32], "big") == 1_500 * 10**12

    def test_a_repayment_costs_no_more_than_the_amount_ten_minutes_later(self) -> None:
        """The shares are counted at what they will cost then."""
        ledger = morpho.opened().ledger
        call = guard_of(ledger).call(morpho.ALICE, "repay", USDC, amount(500 * DOLLAR))
        shares = int.from_bytes(call.data[4 + 6 * 32 :][:32], "big")
        costs = [
            to_assets_up(shares, totals.borrow_assets, totals.borrow_shares)
            for totals in (ledger.market(ledger.market().timestamp + seconds).totals for seconds in (0, 600))
        ]
        assert costs[0] < costs[1] <= 500 * DOLLAR < costs[1] + 2

    def test_health_after(self) -> None:
        """A repayment takes no more than the amount ten minutes later; collateral counts by the line."""
        protections = guard_of(morpho.opened(irm=ZERO_ADDRESS).ledger)
        now = protections.preview(morpho.ALICE, "repay", USDC, amount(500 * DOLLAR)).health_wad
        assert now is not None
        assert abs(int(now) - 1_720 * Wad.ONE // 1_000) < 10**11
        more = protections.preview(morpho.ALICE, "top-up", morpho.WETH, amount(ETHER // 2)).health_wad
        assert more == Wad(2_580 * Wad.ONE // 1_500)

    def test_what_the_contract_refuses(self) -> None:
        """An amount worth no share, and tokens of another market."""
        preview = guard_of(morpho.opened().ledger).preview
        assert preview(morpho.ALICE, "repay", USDC, amount(0)).refusal == ROUNDED_AWAY
        assert preview(morpho.ALICE, "top-up", USDC, amount(1)).refusal == ANOTHER_MARKET
        assert preview(morpho.ALICE, "reduce", USDC, amount(1)).refusal == ANOTHER_MARKET

    def test_calls_equal_eth_abi(self) -> None:
        """The market's parameters, then amounts, whose account, and no callback."""
        protections = guard_of(morpho.opened(irm=ZERO_ADDRESS).ledger)
        params = (USDC, morpho.WETH, morpho.ORACLE, ZERO_ADDRESS, morpho.LLTV)
        kind = "(address,address,address,address,uint256)"
        repay = protections.call(morpho.ALICE, "repay", USDC, amount(3 * DOLLAR))
        supply = protections.call(morpho.ALICE, "top-up", morpho.WETH, amount(7))
        assert {repay.to, supply.to} == {morpho.MORPHO}
        shares = int.from_bytes(repay.data[4 + 6 * 32 :][:32], "big")
        assert repay.data[4:] == encode(
            [kind, "uint256", "uint256", "address", "bytes"], [params, 0, shares, ALICE, b""]
        )
        assert supply.data[4:] == encode([kind, "uint256", "address", "bytes"], [params, 7, ALICE, b""])
        signatures = (f"repay({kind},uint256,uint256,address,bytes)", f"supplyCollateral({kind},uint256,address,bytes)")
        assert (repay.data[:4], supply.data[:4]) == tuple(map(selector_of, signatures))

    def test_whose_position_moved(self) -> None:
        """A repayment or an addition names whose it is, whoever paid; of another market it is nobody's."""
        protections = guard_of(morpho.opened().ledger)
        repaid = (morpho.BOB, morpho.ALICE, 5, 5)
        assert protections.moved(morpho.morpho_log(morpho.REPAY, morpho.MARKET, *repaid)) == morpho.ALICE
        assert protections.moved(morpho.morpho_log(morpho.REPAY, morpho.OTHER_MARKET, *repaid)) is None
        assert protections.moved(morpho.morpho_log(morpho.PLEDGE, morpho.MARKET, *repaid[:3])) == morpho.ALICE
        assert protections.moved(morpho.morpho_log(morpho.SUPPLY, morpho.MARKET, *repaid)) is None

    def test_a_pre_liquidation_contract_has_none(self) -> None:
        """The account is cared for at the market itself."""
        assert PreLiquidationLedger(PRE_SPEC).protections is None
