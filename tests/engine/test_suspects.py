"""The screen proposes and the contract's figures decide: none hangs on whom the index left out or on its past."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Literal

import msgspec
import pytest

from keeper.core.decisions import AnyDecision, HealthChanged, RiskHealthChanged
from keeper.core.facts import AnyFact, BlockApplied, BlockHeader, BlockReverted, ClockTicked, RawLog, RunStarted
from keeper.core.ids import Address, Hash32, content_id
from keeper.core.risk import MoveOf, RiskStatus
from keeper.core.runconfig import GarchSpec, RegimeSpec, RiskSpec, VenueSpec
from keeper.core.venue import Ledger
from keeper.engine.state import OpenLedger
from keeper.engine.step import Engine
from keeper.venues import open_ledger
from keeper.venues.aave_v3.ledger import AaveLedger
from keeper.venues.aave_v3.math import RAY
from strategies import STRATEGIES
from tests.engine.test_real_ledger import CONFIG
from tests.venues.event_logs import address, log_of
from tests.venues.synthetic import (
    BURN,
    CONFIGURATOR,
    POOL_PROXY,
    PRICES,
    USDC,
    VARIABLE,
    WETH,
    Chain,
    borrowed,
    discovery,
    listing,
    supplied,
)

USERS = [address(0x5000 + number) for number in range(120)]
BLOCKS = 150
SILENCE_MS = 61_000


RISK = RiskSpec(
    venue="aave",
    model="volatility",
    horizon_seconds=3_600,
    quantile=2.5,
    safety_factor=1.0,
    warning_factor=1.5,
    move=0.05,
    move_min=0.001,
    move_max=0.3,
    vol_annual=0.8,
    vols_annual={"0x" + USDC.hex(): 0.01},
    decay=0.9,
    sample_seconds=12,
    samples_min=3,
    half_life_seconds=120,
    heartbeat_seconds=3_600,
    step_max=0.1,
    confirmations=2,
)
"""Prices jump by more than is believed at once, and a move enlarged by the warning reaches whoever holds WETH."""


class Everyone(AaveLedger):
    """A ledger that screens nobody out."""

    def suspects(self) -> tuple[Address, ...]:
        """Return everybody."""
        return self.accounts()

    def near(self, move_of: MoveOf) -> tuple[Address, ...]:  # noqa: ARG002 - whatever moves
        """Return everybody."""
        return self.accounts()


def open_everyone(spec: VenueSpec) -> Ledger:
    """Open a ledger that screens nobody out."""
    return Everyone(spec)


class Story(Chain):
    """A market in random motion, told as facts: prices, borrowers, governance, silences, and reorgs."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)
        self.unix_ms = 0
        self.branch = 0
        self.hashes: list[Hash32] = []
        self.owed: dict[Address, int] = {}

    def facts(self, ledger: Ledger) -> Iterator[AnyFact]:
        """Yield them; ``ledger`` says what it wants to be read, and follows each fact before the next."""
        yield self.applied(ledger, [*discovery(), *listing(WETH), *listing(USDC)])
        for number in range(BLOCKS):
            self.move_prices()
            yield self.applied(ledger, list(self.logs()))
            if self.chance.random() < 0.05:
                self.unix_ms += SILENCE_MS
                yield ClockTicked(self.unix_ms)
            if self.chance.random() < 0.1 and number > 5:
                for _ in range(self.chance.randint(1, 3)):
                    yield self.reverted()
                self.branch += 1

    def move_prices(self) -> None:
        """Let WETH move a little, seldom much, and seldom be unknown."""
        price = self.prices[WETH] or PRICES[WETH]
        share = self.chance.gauss(1, 0.15 if self.chance.random() < 0.1 else 0.01)
        self.prices[WETH] = None if self.chance.random() < 0.03 else min(max(int(price * share), 10**10), 10**12)

    def logs(self) -> Iterator[RawLog]:
        """Yield what a few users do, and seldom what governance does."""
        for user in self.chance.sample(USERS, 3):
            owed = self.chance.randint(100, 1_650) * 10**6
            if user in self.owed and self.chance.random() < 0.5:
                yield log_of(VARIABLE[USDC], BURN, user, user, self.owed.pop(user), 0, RAY)
            elif user not in self.owed:
                yield from supplied(user, WETH, 10**18)
                yield borrowed(user, USDC, owed)
                self.owed[user] = owed
        if self.chance.random() < 0.1:
            threshold = self.chance.choice((0, 7_000, 8_000, 8_500))
            configured = "CollateralConfigurationChanged(address,uint256,uint256,uint256)"
            yield log_of(CONFIGURATOR, configured, WETH, min(threshold, 6_000), threshold, 10_500)
        if self.chance.random() < 0.1:
            yield log_of(POOL_PROXY, "UserEModeSet(address,uint8)", self.chance.choice(USERS), 1)

    def applied(self, ledger: Ledger, logs: list[RawLog]) -> BlockApplied:
        """Return the next block, with what the ledger wants to be read."""
        self.number += 1
        numbered = tuple(RawLog(log.address, log.topics, log.data, at, log.tx_hash) for at, log in enumerate(logs))
        parent = self.hashes[-1] if self.hashes else content_id("none")
        self.hashes.append(content_id("block", self.branch, self.number))
        head = BlockHeader(self.number, self.hashes[-1], parent, 12 * self.number, 10**9, b"")
        return BlockApplied(1, head, numbered, tuple(map(self._answer, ledger.reads(numbered))), 0)

    def reverted(self) -> BlockReverted:
        """Return the loss of the newest block; what was owed in it is forgotten, and may be owed again."""
        self.owed.clear()
        self.number -= 1
        return BlockReverted(1, self.number + 1, self.hashes.pop())


FORESEEN = msgspec.structs.replace(
    RISK,
    garch=GarchSpec(alpha=0.1, beta=0.85),
    regimes=RegimeSpec(stress_vol_factor=3.0, calm_samples=100, stress_samples=10, move_factor_max=1.5),
)
"""The same with all that may raise a move; every sample steps both models."""


def begun(opened: OpenLedger, model: Literal["static", "volatility", "portfolio"], risk: RiskSpec) -> Engine:
    """Return an engine whose run has begun."""
    engine = Engine(opened, STRATEGIES)
    config = msgspec.structs.replace(CONFIG, risk=(msgspec.structs.replace(risk, model=model),))
    engine.step(RunStarted(content_id("run"), "1", config, "{}", 0), 1)
    return engine


@pytest.mark.parametrize(
    "risk", [pytest.param(RISK, id="plain"), pytest.param(FORESEEN, id="foreseen", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("seed", "model"),
    [
        (0, "static"),
        pytest.param(1, "volatility", marks=pytest.mark.soak),
        pytest.param(2, "portfolio", marks=pytest.mark.soak),
    ],
)
def test_no_decision_hangs_on_the_screen(
    seed: int, model: Literal["static", "volatility", "portfolio"], risk: RiskSpec
) -> None:
    """Screened, restored from a snapshot at any time, or looking at everybody: every fact has the same decisions."""
    screened, restored, everyone = (begun(opened, model, risk) for opened in (open_ledger, open_ledger, open_everyone))
    story, ledger = Story(seed), screened.ledgers["aave"]
    made: list[AnyDecision] = []
    spared = far = 0
    for sequence, fact in enumerate(story.facts(ledger), 2):
        decisions = screened.step(fact, sequence)
        assert everyone.step(fact, sequence) == decisions, f"seed {seed}, fact {sequence}"
        assert restored.step(fact, sequence) == decisions, f"seed {seed}, fact {sequence}"
        made += decisions
        spared += len(ledger.accounts()) - len(ledger.suspects())
        far += len(ledger.accounts()) - len(ledger.near(lambda _: 0.01))
        if story.chance.random() < 0.1:
            snapshot, restored = screened.snapshot(), Engine(open_ledger, STRATEGIES)
            restored.load(snapshot)
    statuses = {each.margin.health.status.value for each in made if isinstance(each, HealthChanged)}
    assert statuses == {"healthy", "liquidatable", "unknown"}
    assert everyone.snapshot() == screened.snapshot() == restored.snapshot()
    opinions = {each.opinion.status for each in made if isinstance(each, RiskHealthChanged)}
    assert opinions == set(RiskStatus)
    assert min(spared, far) > BLOCKS
