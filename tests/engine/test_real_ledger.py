"""The engine and the shipped strategy on the exact Aave ledger: one breach, one slice, to the last unit."""

from __future__ import annotations

import pytest

from keeper.core.decisions import IntentAdmitted, Proposal
from keeper.core.facts import BlockApplied, BlockHeader, RawLog, RunStarted, SignerRead
from keeper.core.ids import Address, content_id
from keeper.core.runconfig import ChainSpec, Holding, PartialLiquidationSpec, RunConfig, SignerSpec, VenueSpec
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, TokenAmount, Wad, Wei
from keeper.core.venue import Preview
from keeper.engine.step import Engine
from keeper.venues import open_ledger
from keeper.venues.aave_v3.ledger import AaveLedger
from strategies import STRATEGIES
from tests.engine.history import LIMITS
from tests.venues.synthetic import (
    ALICE,
    BOB,
    POOL_PROXY,
    ROOT,
    USDC,
    WETH,
    Chain,
    borrowed,
    discovery,
    listing,
    supplied,
)

CONFIG = RunConfig(
    live=True,
    chains=(
        ChainSpec(name="main", chain_id=1, finality_depth_blocks=None, stale_after_seconds=60, wrapped_native=WETH),
    ),
    venues=(VenueSpec(name="aave", protocol="aave_v3", chain_id=1, root=ROOT, from_block=0, prices="read"),),
    signers=(
        SignerSpec(
            name="main", address=BOB, in_flight_max=4, bump_after_blocks=2, valid_for_blocks=10, balance_wei_min=Wei(0)
        ),
    ),
    strategies=(
        PartialLiquidationSpec(
            name="partial_liquidation",
            venues=("aave",),
            signer="main",
            objective="target-health",
            target_health=Wad(105 * 10**16),
            slippage_bps={},
            slippage_bps_default=Bps(0),
            dust_base=BaseAmount(0),
        ),
    ),
    limits=LIMITS,
)


class WatchedChain(Chain):
    """A synthetic market that an engine follows."""

    def __init__(self) -> None:
        super().__init__()
        self.engine = Engine(open_ledger, STRATEGIES)
        self.engine.step(RunStarted(content_id("run"), "1", CONFIG, "{}", 0), 1)
        self.admitted: list[IntentAdmitted] = []

    def block(self, *logs: RawLog) -> AaveLedger:
        """Add a block to the chain and give the engine the same."""
        numbered = tuple(RawLog(log.address, log.topics, log.data, at, log.tx_hash) for at, log in enumerate(logs))
        ledger = super().block(*logs)
        reads = tuple(self._answer(request) for request in self.engine.ledgers["aave"].reads(numbered))
        head = BlockHeader(
            self.number, content_id(self.number), content_id(self.number - 1), 12 * self.number, 10**9, b""
        )
        sequence = self.engine.sequence
        self.engine.step(self._signer_read(), sequence + 1)
        made = self.engine.step(BlockApplied(1, head, numbered, reads, 0), sequence + 2)
        self.admitted += [decision for decision in made if isinstance(decision, IntentAdmitted)]
        return ledger

    def _signer_read(self) -> SignerRead:
        holding = Holding(USDC, POOL_PROXY, TokenAmount(10**12), TokenAmount(UINT256_MAX))
        return SignerRead(1, "main", self.number, content_id(self.number), Wei(10**18), 0, (holding,))


def breach() -> WatchedChain:
    """Return a market in which ALICE's collateral fell until she is at 0.98."""
    chain = WatchedChain()
    chain.block(*discovery(), *listing(WETH), *listing(USDC))
    chain.block(*supplied(ALICE, WETH, 10**18), borrowed(ALICE, USDC, 1_500 * 10**6))
    chain.prices[WETH] = 1_730 * 10**8
    chain.block()
    return chain


@pytest.fixture
def breached() -> WatchedChain:
    """Return a market with one admitted slice."""
    return breach()


def proposal_of(chain: WatchedChain) -> Proposal:
    """Return the one proposal that was admitted."""
    assert len(chain.admitted) == 1
    assert chain.admitted[0].proposal is not None
    return chain.admitted[0].proposal


def test_same_margin(breached: WatchedChain) -> None:
    """The engine's margin is the ledger's own."""
    assert breached.engine.margins["aave", ALICE] == breached.ledger.margin(ALICE)


def test_exact_slice(breached: WatchedChain) -> None:
    """The admitted slice reaches the target, and one unit less would not."""
    preview = proposal_of(breached).preview
    less = breached.ledger.preview(ALICE, USDC, WETH, TokenAmount(int(preview.cover) - 1))
    assert preview == breached.ledger.preview(ALICE, USDC, WETH, preview.cover)
    assert less.health_after is not None
    assert preview.health_after is not None
    assert less.health_after < Wad(105 * 10**16) <= preview.health_after


def test_few_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    """The closed form is so close that finding the slice takes few exact previews."""
    covers: list[TokenAmount] = []
    exact = AaveLedger.preview

    def counted(
        ledger: AaveLedger, account: Address, debt: Address, collateral: Address, cover: TokenAmount
    ) -> Preview:
        covers.append(cover)
        return exact(ledger, account, debt, collateral, cover)

    monkeypatch.setattr(AaveLedger, "preview", counted)
    breach()
    assert len(covers) < 25


def test_snapshot(breached: WatchedChain) -> None:
    """A restored engine has the same state, ledger and intents included."""
    restored = Engine(open_ledger, STRATEGIES)
    restored.load(breached.engine.snapshot())
    assert restored.state_hash() == breached.engine.state_hash()
    assert restored.intents.state(breached.admitted[0].intent.intent_id) is not None
