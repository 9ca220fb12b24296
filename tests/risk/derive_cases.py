"""Margins that Derive's own tests ask of its portfolio margin manager, with all that they were computed from.

Numbers of derivexyz/v2-core (formerly lyra-finance/v2-core): ``test/risk-managers/unit-tests/PMRM/``,
``testAndVerifyScenarios.json`` at commit 740ef29 and ``test-cases-portfolio-pm.json`` at 8627da5 with the forwards of
``TestCaseExpiries.t.sol``. The former's figures are rounded here to 1e-9 USD, the latter's are cut to whole dollars.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from keeper.risk.grouping import GroupedBook
from keeper.risk.instruments import Contract, Instruments, Kind, Portfolio, Underlying
from keeper.risk.portfolio import DeriveMargins, derive_margins
from keeper.risk.scenarios import DERIVE_TEST, DeriveParameters
from tests.risk.markets import years

FORWARDS = {
    900: (1101.666666666666754048, 375.000374572104941568, 0.01),
    500_400: (0.0, 1500.833279310993817600, 0.03),
    1_191_600: (0.0, 1501.985045187195830272, 0.05),
    2_487_600: (0.0, 1504.146989085687808, 0.04),
    7_758_000: (0.0, 1512.971000787409567744, 0.10),
}
"""By seconds to expiry: the forward's fixed part (of the nearest, three quarters are), its variable part, the rate."""


class Option(NamedTuple):
    """Seconds to expiry, strike, whether a call, contracts, volatility."""

    seconds: int
    strike: float
    is_call: bool
    size: float
    vol: float


class Expected(NamedTuple):
    """What the test asks for."""

    initial: float
    maintenance: float
    value: float
    static: float = 0.0
    basis: float = 0.0
    confidence: float = 0.0
    scenarios: float | None = None
    """The least loss over scenarios."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One test: spot 1,500, perpetual 1,505. Profit of perpetuals that is not settled counts as cash."""

    expected: Expected
    options: tuple[Option, ...] = ()
    perpetuals: float = 0.0
    coins: float = 0.0
    cash: float = 0.0
    spot_confidence: float = 1.0
    option_confidence: float = 1.0
    stable_price: float = 1.0


ATM = 1.04788449408498624
CALL = Option(500_400, 1500.0, True, 1.0, ATM)
SHORT_CALL = CALL._replace(size=-1.0)
FAR = 1.326538658030860032
BOX = (
    CALL,
    Option(500_400, 1500.0, False, -1.0, ATM),
    Option(500_400, 2500.0, True, -1.0, FAR),
    Option(500_400, 2500.0, False, 1.0, FAR),
)


def long_call(initial: float, confidence: float = 0.0) -> Expected:
    """Return what is asked of one long call, which differs by its feeds only."""
    return Expected(initial, 0.230453188, 79.371585189, 0.0, -8.477300890, confidence, -79.141132001)


TEN_OPTIONS = tuple(
    Option(seconds, strike, bool(call), size, vol)
    for seconds, strike, call, size, vol in (
        (500_400, 1.0, 1, 1.0, 3.603538277664962048),
        (500_400, 1500.0, 1, -1.0, 1.04788449408498624),
        (500_400, 1500.0, 0, 1.0, 1.04788449408498624),
        (500_400, 2700.0, 1, 1.0, 1.364990899660472832),
        (500_400, 2700.0, 0, -1.0, 1.364990899660472832),
        (1_191_600, 2950.0, 0, 1.0, 1.407606763626377984),
        (1_191_600, 1500.0, 1, -1.0, 1.047554809415723648),
        (1_191_600, 1500.0, 0, 1.0, 1.047554809415723648),
        (1_191_600, 2700.0, 1, 1.0, 1.364612791185947904),
        (1_191_600, 2700.0, 0, -1.0, 1.364612791185947904),
    )
)
THIRTY_OPTIONS = tuple(
    Option(seconds, strike, bool(call), size, vol)
    for seconds, strike, call, size, vol in (
        (1_191_600, 1600.0, 1, -3.0, 1.081048412239005184),
        (500_400, 4800.0, 1, -3.0, 1.624361247821863424),
        (7_758_000, 4400.0, 0, 1.0, 1.584405720806435328),
        (900, 2300.0, 1, 1.0, 1.28392543899142912),
        (900, 4800.0, 1, -1.0, 1.62459138014023552),
        (7_758_000, 1200.0, 0, 1.0, 1.144561774965308544),
        (500_400, 1600.0, 1, 5.0, 1.08148221631760128),
        (900, 2900.0, 0, -1.0, 1.400043082070291712),
        (900, 1200.0, 0, -3.0, 1.13855206095386688),
        (7_758_000, 3700.0, 0, 1.0, 1.508884353397713152),
        (7_758_000, 1600.0, 1, -1.0, 1.076946882275319424),
        (900, 3900.0, 1, 5.0, 1.536002173036551168),
        (900, 2700.0, 0, 5.0, 1.365264078859387136),
        (900, 5000.0, 0, -3.0, 1.6414495400304064),
        (7_758_000, 1000.0, 0, -1.0, 1.267221436484928256),
        (2_487_600, 1400.0, 0, 5.0, 1.041659241854383488),
        (900, 3500.0, 0, -3.0, 1.487763002948945408),
        (2_487_600, 4400.0, 1, -3.0, 1.58689298325996288),
        (2_487_600, 1600.0, 0, 5.0, 1.080236019562821504),
        (500_400, 1200.0, 1, 5.0, 1.138939398828297472),
        (2_487_600, 5000.0, 1, 1.0, 1.640315242477901056),
        (500_400, 4600.0, 1, -20.0, 1.606595828047296768),
        (500_400, 3100.0, 1, -20.0, 1.431496024043739648),
        (500_400, 5000.0, 1, 5.0, 1.641221757810627584),
        (500_400, 5000.0, 0, -1.0, 1.641221757810627584),
        (1_191_600, 3300.0, 1, -20.0, 1.460263628725004032),
        (900, 1400.0, 0, 1.0, 1.040710473518362496),
        (7_758_000, 3900.0, 1, -20.0, 1.532219430053102336),
        (1_191_600, 2900.0, 0, -3.0, 1.399407566479993088),
        (2_487_600, 2500.0, 1, 1.0, 1.325420899566138112),
    )
)
CASES = {
    "Test1": Case(
        options=(SHORT_CALL,),
        expected=Expected(-368.487619762, -301.768534860, -79.371585189, 15.0, -11.275911269, scenarios=-207.396949671),
    ),
    "Test2": Case(
        options=(Option(500_400, 1200.0, True, 1.0, 1.138939398828297472),),
        expected=Expected(14.004464630, 81.329742281, 305.747334449, 0.0, -17.381590857, scenarios=-224.417592169),
    ),
    "Test3": Case(
        options=(
            Option(500_400, 500.0, True, 1.0, 1.653152366370104064),
            Option(500_400, 900.0, True, -1.0, 1.32865746389711104),
        ),
        expected=Expected(332.344238459, 347.943066331, 399.939159236, 15.0, -0.027442548, scenarios=-36.996092906),
    ),
    "Test4": Case(options=(CALL,), spot_confidence=0.5, expected=long_call(-398.511886413, 375.0)),
    "Test5": Case(options=(CALL,), spot_confidence=0.1, expected=long_call(-698.511886413, 675.0)),
    "Test6": Case(options=(CALL,), spot_confidence=0.8, expected=long_call(-23.511886413)),
    "Test8": Case(options=(CALL,), option_confidence=0.4, expected=long_call(-473.511886413, 450.0)),
    "Test9": Case(options=(CALL,), option_confidence=0.1, expected=long_call(-698.511886413, 675.0)),
    "Test11": Case(options=(CALL,), option_confidence=0.3, expected=long_call(-548.511886413, 525.0)),
    "Test12": Case(options=(CALL,), stable_price=0.9, expected=long_call(-36.174467533)),
    "Test13": Case(
        options=TEN_OPTIONS,
        expected=Expected(500.576852329, 511.778253875, 549.116259026, 0.0, -37.338005151, scenarios=-32.914999692),
    ),
    "Test14": Case(
        options=(SHORT_CALL,),
        coins=1.0,
        expected=Expected(
            1114.746715017, 1185.334799584, 1420.628414811, 45.0, -11.275911269, scenarios=-190.293615226
        ),
    ),
    "Test15": Case(
        options=(CALL, Option(500_400, 1500.0, False, -1.0, ATM)),
        expected=Expected(-291.829210155, -224.291712586, 0.833279311, 0.0, -18.772323287, scenarios=-225.124991897),
    ),
    "Test16": Case(perpetuals=1.0, expected=Expected(-332.475, -255.75, 0.0, 30.0, scenarios=-225.75)),
    "Test17": Case(perpetuals=1.0, cash=1065.0, expected=Expected(732.525, 809.25, 1065.0, 30.0, scenarios=-225.75)),
    "Test18": Case(
        options=(Option(900, 1500.0, True, -1.0, 1.04812456681573312),),
        expected=Expected(-62.717997470, -48.246077389, -0.006343786, 15.0, -0.383812812, scenarios=-33.239733603),
    ),
    "Test19": Case(
        options=THIRTY_OPTIONS,
        perpetuals=420.0,
        coins=69.0,
        cash=12_100.0,
        expected=Expected(
            -63_945.423031228,
            -25_539.348818813,
            102_480.898555904,
            16_245.0,
            -369.522665125,
            scenarios=-111_775.247374717,
        ),
    ),
    "Test20": Case(
        options=tuple(leg._replace(size=-leg.size) for leg in BOX),
        expected=Expected(-1000.0, -1000.0, -1000.0, scenarios=0.0),
    ),
    "Test21": Case(options=BOX, expected=Expected(931.673090765, 947.440839050, 1000.0, scenarios=-52.559160950)),
}


def margins(case: Case, parameters: DeriveParameters = DERIVE_TEST) -> DeriveMargins:
    """Return the margins of a case's one account."""
    contracts = [
        Contract(name="ETH", kind=Kind.SPOT, underlying="ETH", mark_price_usd=1500.0),
        Contract(name="PERP", kind=Kind.PERPETUAL, underlying="ETH", mark_price_usd=1505.0),
    ]
    for place, option in enumerate(case.options):
        fixed, variable, rate = FORWARDS[option.seconds]
        contracts.append(
            Contract(
                name=f"option {place}",
                kind=Kind.OPTION,
                underlying="ETH",
                expiry_years=years(seconds=option.seconds),
                strike_usd=option.strike,
                is_call=option.is_call,
                forward_fixed_usd=fixed,
                forward_variable_usd=variable,
                vol_annual=option.vol,
                rate_annual=rate,
                confidence=case.option_confidence,
            )
        )
    spot = Underlying(name="ETH", spot_usd=1500.0, confidence=case.spot_confidence)
    instruments = Instruments.of(contracts, [spot])
    held = {f"option {place}": option.size for place, option in enumerate(case.options)}
    held |= {"ETH": case.coins, "PERP": case.perpetuals}
    portfolio = Portfolio.of(instruments, [(held, case.cash - 1505.0 * case.perpetuals)])
    return derive_margins(instruments, GroupedBook.of(instruments, portfolio), parameters, case.stable_price)
