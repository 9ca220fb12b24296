"""Scenario grids and the parameters of published portfolio margins, as frozen data.

A scenario moves the spot price by a factor x and every volatility up, down or not at all. How far a volatility moves
depends on the time to expiry::

    m_up = 1 + up (30 d / max(T, floor))^p,  m_down = max(0, 1 - down (30 d / max(T, floor))^p)

with one power p up to 30 days and another beyond. Sources: Derive, lyra-finance/v2-core, `PMRMLib` and the scenarios of
its deployment; Deribit, docs.deribit.com `private/pme/simulate` and support.deribit.com *Portfolio Margin*; CME's
overview of SPAN.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from keeper.core.errors import RiskInputError
from keeper.risk.inputs import DAYS_PER_YEAR, Floats, Integers, array, number, places

SHORT_TERM_DAYS = 30.0
"""Up to here the short-term power holds; and the time at which a shock has its nominal size."""


class VolShock(IntEnum):
    """Which way volatilities move."""

    NONE = 0
    UP = 1
    DOWN = 2


class VolRule(msgspec.Struct, frozen=True, kw_only=True):
    """How far a volatility moves.

    Attributes:
        up: The share that a 30-day volatility rises by.
        down: The share that it falls by.
        short_power: Of the time to expiry, up to 30 days.
        long_power: Beyond 30 days.
        floor_days: No time to expiry counts as shorter.
        least_before_up: A volatility that rises counts as at least this.

    Raises:
        RiskInputError: a share, a power or the least volatility is negative, or the floor is no time.
    """

    up: float
    down: float
    short_power: float = 0.30
    long_power: float = 0.13
    floor_days: float = 1.0
    least_before_up: float = 0.0

    def __post_init__(self) -> None:
        for name in ("up", "down", "short_power", "long_power", "least_before_up"):
            number(name, getattr(self, name), least=0.0)
        number("floor_days", self.floor_days, above=0.0)

    def multipliers(self, expiry_years: ArrayLike) -> tuple[Floats, Floats]:
        """Return what volatilities of these expiries are multiplied by when they rise, and when they fall.

        Raises:
            RiskInputError: an expiry is not positive.
        """
        days = array("expiry_years", expiry_years, above=0.0) * DAYS_PER_YEAR
        power = np.where(days <= SHORT_TERM_DAYS, self.short_power, self.long_power)
        reach = (SHORT_TERM_DAYS / np.maximum(days, self.floor_days)) ** power
        return 1.0 + self.up * reach, np.maximum(1.0 - self.down * reach, 0.0)

    def shocked(self, vol_annual: Floats, expiry_years: Floats, shocks: Integers) -> Floats:
        """Return the volatilities (O, S) of O options under S scenarios' shocks.

        Raises:
            RiskInputError: a volatility is negative, an expiry not positive, a shock unknown, or the lengths differ.
        """
        rises, falls = self.multipliers(array("expiry_years", expiry_years, ndim=1))
        vols = array("vol_annual", vol_annual, ndim=1, length=len(rises), least=0.0)
        risen = np.maximum(vols, self.least_before_up) * rises
        columns = np.stack([vols, risen, vols * falls], axis=1)
        return columns[:, places("shocks", shocks, len(VolShock))]


class ScenarioSet(msgspec.Struct, frozen=True, kw_only=True):
    """S scenarios.

    Attributes:
        names: One each.
        spot_moves: The share by which spot moves; 0 stands still.
        vol_shocks: Which way volatilities move.
        shares: What share of a loss counts; 1 but for extreme moves.

    Raises:
        RiskInputError: there is none, a field is shorter than the others, a move takes the whole price or a share is
            not one.
    """

    names: tuple[str, ...]
    spot_moves: tuple[float, ...]
    vol_shocks: tuple[VolShock, ...]
    shares: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse scenarios that are not all there, or leave no price."""
        lengths = {len(self.names), len(self.spot_moves), len(self.vol_shocks), len(self.shares)}
        if lengths != {len(self.names)} or not self.names:
            raise RiskInputError("scenarios", "are none, or lack a field", "give each its name, move, shock and share")
        array("spot_moves", self.spot_moves, above=-1.0)
        array("shares", self.shares, least=0.0, most=1.0)

    @classmethod
    def of(cls, rows: list[Scenario]) -> ScenarioSet:
        """Return these scenarios.

        Raises:
            RiskInputError: as the class says.
        """
        return cls(
            names=tuple(row.name for row in rows),
            spot_moves=tuple(row.spot_move for row in rows),
            vol_shocks=tuple(row.vol_shock for row in rows),
            shares=tuple(row.share for row in rows),
        )

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.names)

    @property
    def factors(self) -> Floats:
        """What spot is multiplied by, shape (S,)."""
        return 1.0 + np.array(self.spot_moves)

    @property
    def shocks(self) -> Integers:
        """The shocks of volatility, shape (S,)."""
        return np.array(self.vol_shocks, np.int64)

    @property
    def loss_shares(self) -> Floats:
        """What share of a loss counts, shape (S,)."""
        return np.array(self.shares)


class Scenario(NamedTuple):
    """One scenario: by what share spot moves, which way volatilities do, and what share of a loss counts."""

    spot_move: float
    vol_shock: VolShock
    share: float = 1.0

    @property
    def name(self) -> str:
        """Such as ``spot -15 % vol up``."""
        return f"spot {100 * self.spot_move:+.4g} % vol {self.vol_shock.name.lower()}"


def grid(moves: tuple[float, ...], shocks: tuple[VolShock, ...] = tuple(VolShock)) -> list[Scenario]:
    """Return every move with every shock of volatility.

    Raises:
        RiskInputError: a move takes the whole price, or is not finite.
    """
    array("moves", moves, ndim=1, above=-1.0)
    return [Scenario(move, shock) for move in moves for shock in shocks]


class DeriveParameters(msgspec.Struct, frozen=True, kw_only=True):
    """Derive's portfolio margin manager (PMRM).

    Attributes:
        scenarios: What is looked at.
        vol_rule: How far volatilities move.
        initial_factor: What the worst loss is multiplied by for the initial margin.
        static_discount: What a positive value of an expiry is multiplied by, whatever its time.
        rate_factor, rate_addend: The rate that such a value is discounted at besides: ``rate * factor + addend``.
        basis_moves: The moves of the forward alone, down and up.
        basis_addend, basis_factor: The share of their loss that counts: ``addend + factor * T``.
        peg_threshold, peg_factor: Below this price of the stable coin the initial factor grows so fast.
        confidence_threshold, confidence_factor: Below this confidence so much of the size, at spot, is added.
        base_share, perpetual_share, option_share: Of spot, for each coin, perpetual and naked short option held.

    Raises:
        RiskInputError: a share is not one, a factor is negative, or a move takes the whole price.
    """

    scenarios: ScenarioSet
    vol_rule: VolRule
    initial_factor: float
    static_discount: float
    rate_factor: float
    rate_addend: float
    basis_moves: tuple[float, float]
    basis_addend: float
    basis_factor: float
    peg_threshold: float
    peg_factor: float
    confidence_threshold: float
    confidence_factor: float
    base_share: float
    perpetual_share: float
    option_share: float

    def __post_init__(self) -> None:
        """Refuse parameters under which a discount is a premium or a contingency a gain."""
        for name in ("static_discount", "base_share", "perpetual_share", "option_share", "confidence_threshold"):
            number(name, getattr(self, name), least=0.0, most=1.0)
        for name in ("rate_factor", "rate_addend", "basis_addend", "basis_factor", "peg_factor", "confidence_factor"):
            number(name, getattr(self, name), least=0.0)
        array("basis_moves", self.basis_moves, ndim=1, length=2, above=-1.0)
        number("initial_factor", self.initial_factor, least=1.0)
        number("peg_threshold", self.peg_threshold, above=0.0)


class GridParameters(msgspec.Struct, frozen=True, kw_only=True):
    """A margin that is the worst of a grid and of an extended table, such as Deribit's.

    Attributes:
        scenarios: The grid.
        extended: Far moves, of whose loss a share counts, less the dampener.
        vol_rule: How far volatilities move.
        dampener_usd: What an underlying's extended loss is lessened by.
        maintenance_share: Of the initial margin.

    Raises:
        RiskInputError: the share is not one, or the dampener negative.
    """

    scenarios: ScenarioSet
    extended: ScenarioSet | None
    vol_rule: VolRule
    dampener_usd: float
    maintenance_share: float

    def __post_init__(self) -> None:
        """Refuse a maintenance margin above the initial one, and a dampener that adds."""
        number("maintenance_share", self.maintenance_share, least=0.0, most=1.0)
        number("dampener_usd", self.dampener_usd, least=0.0)


def derive_scenarios(widest: tuple[float, ...], moves: tuple[float, ...]) -> ScenarioSet:
    """Return a grid, before it the widest moves with volatility up only.

    Raises:
        RiskInputError: there is no move, or one takes the whole price.
    """
    return ScenarioSet.of(grid(widest, (VolShock.UP,)) + grid(moves))


DERIVE_MOVES = (0.15, 0.10, 0.05, 0.0, -0.05, -0.10, -0.15)
DERIVE_MAINNET = DeriveParameters(
    scenarios=derive_scenarios((0.20, -0.20), DERIVE_MOVES),
    vol_rule=VolRule(up=0.60, down=0.30),
    initial_factor=1.25,
    static_discount=0.95,
    rate_factor=1.0,
    rate_addend=0.12,
    basis_moves=(-0.05, 0.05),
    basis_addend=1.0,
    basis_factor=1.2,
    peg_threshold=0.99,
    peg_factor=4.0,
    confidence_threshold=0.55,
    confidence_factor=1.0,
    base_share=0.03,
    perpetual_share=0.03,
    option_share=0.02,
)
"""Derive's deployment: 23 scenarios."""
DERIVE_TEST = DeriveParameters(
    scenarios=derive_scenarios((), DERIVE_MOVES),
    vol_rule=VolRule(up=0.45, down=0.30),
    initial_factor=1.30,
    static_discount=0.95,
    rate_factor=4.0,
    rate_addend=0.05,
    basis_moves=(-0.05, 0.05),
    basis_addend=0.25,
    basis_factor=0.01,
    peg_threshold=0.98,
    peg_factor=2.0,
    confidence_threshold=0.60,
    confidence_factor=0.5,
    base_share=0.02,
    perpetual_share=0.02,
    option_share=0.01,
)
"""The configuration of Derive's own tests: 21 scenarios."""

DERIBIT_RANGE = 0.16
DERIBIT_BUCKETS = 4
DERIBIT_EXTENDED_MOVES = (-0.66, -0.33, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0)


def deribit(dampener_usd: float) -> GridParameters:
    """Return Deribit's grid: 16 % in four steps each way, three shocks of volatility, and the extended table.

    Of an extended loss "a fraction" counts that is not published: here the range over the size of the move. The delta,
    roll and liquidity add-ons, whose formulas are not published either, are not part of it.

    Args:
        dampener_usd: 25,000 for most currencies and 100,000 for BTC in the documentation's sample.

    Raises:
        RiskInputError: the dampener is negative or not finite.
    """
    steps = tuple(DERIBIT_RANGE * step / DERIBIT_BUCKETS for step in range(-DERIBIT_BUCKETS, DERIBIT_BUCKETS + 1))
    far = [Scenario(move, VolShock.UP, min(1.0, DERIBIT_RANGE / abs(move))) for move in DERIBIT_EXTENDED_MOVES]
    return GridParameters(
        scenarios=ScenarioSet.of(grid(steps)),
        extended=ScenarioSet.of(far),
        vol_rule=VolRule(up=0.50, down=0.25, least_before_up=0.5),
        dampener_usd=dampener_usd,
        maintenance_share=0.8,
    )


def span16(
    price_scan_range: float,
    vol_scan_range: float,
    *,
    extreme_multiple: float = 3.0,
    cover: float = 0.33,
    maintenance_share: float = 1.0,
) -> GridParameters:
    """Return the sixteen scenarios of SPAN: thirds of the price scan range with volatility up and down, two extremes.

    Args:
        price_scan_range: The share by which the price may move.
        vol_scan_range: The share by which every volatility moves, whatever the expiry.
        extreme_multiple: How many ranges an extreme move is.
        cover: What share of an extreme loss counts.
        maintenance_share: Of the initial margin.

    Raises:
        RiskInputError: a range is not positive, an extreme move is within it or takes the whole price, or a share is
            none.
    """
    scan = number("price_scan_range", price_scan_range, above=0.0)
    thirds = tuple(scan * third / 3 for third in (0, 1, -1, 2, -2, 3, -3))
    far = number("extreme_multiple", extreme_multiple, least=1.0) * scan
    extremes = [Scenario(far, VolShock.NONE, cover), Scenario(-far, VolShock.NONE, cover)]
    return GridParameters(
        scenarios=ScenarioSet.of(grid(thirds, (VolShock.UP, VolShock.DOWN)) + extremes),
        extended=None,
        vol_rule=VolRule(up=vol_scan_range, down=vol_scan_range, short_power=0.0, long_power=0.0),
        dampener_usd=0.0,
        maintenance_share=maintenance_share,
    )
