"""What a postmortem consists of: frozen structs; every figure stands with the record that told it."""

from __future__ import annotations

import msgspec

from keeper.core.ids import Address, Hash32
from keeper.core.units import BaseAmount, BigInt, TokenAmount, Wad, Wei
from keeper.report.model import Entry, Moment


class BlockSpan(msgspec.Struct, frozen=True):
    """The blocks of one chain that the window applied, lowest and highest."""

    chain_id: int
    chain: str
    first: int
    last: int


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """Which records are told of, both ends included."""

    first_sequence: int
    last_sequence: int
    first_unix_ms: int
    last_unix_ms: int
    records: int
    blocks: tuple[BlockSpan, ...]


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What was checked of the journal.

    Attributes:
        holds: Whether every replayed decision came out as recorded.
        divergence: The first that did not, in words, else ``None``.
        replayed_from: The first sequence whose facts were stepped again.
        replayed_to: The last.
        facts: How many facts were stepped.
        decisions: How many decisions came out.
        hash_before: The chain's hash before the window's first frame.
        hash_after: The chain's hash at the window's last frame.
        tip_sequence: Up to where the chain of hashes was followed.
        tip_hash: The hash there.
        first_sequence: The first record that is kept.
        engine_version: Of the engine that replayed.
        keeper_version: Of the program that wrote the report.
        run_versions: Of the programs that wrote the window's records.
    """

    holds: bool
    divergence: str | None
    replayed_from: int
    replayed_to: int
    facts: int
    decisions: int
    hash_before: str
    hash_after: str
    tip_sequence: int
    tip_hash: str
    first_sequence: int
    engine_version: int
    keeper_version: str
    run_versions: tuple[str, ...]


class PricePoint(msgspec.Struct, frozen=True):
    """A price at a head, in the venue's own unit."""

    at: Moment
    price: BigInt


class PricePath(msgspec.Struct, frozen=True):
    """A price through the window: a point for each change that was sampled."""

    venue: str
    asset: Address
    points: tuple[PricePoint, ...]


class DistancePoint(msgspec.Struct, frozen=True):
    """How far an account was from its line: the natural logarithm of its health, below zero beyond the line."""

    at: Moment
    distance: float | None


class AccountPath(msgspec.Struct, frozen=True, kw_only=True):
    """An account that something happened to.

    Attributes:
        venue: Where.
        account: Whose.
        points: Its distance, sampled at heads and at each record of its health; none for accounts beyond the bound.
        health_min: The lowest health that a record or a sample has.
        called: Its first margin call within the window, else the last one before it.
        breached: Where it first fell below the venue's line within the window.
        slices: Our liquidations of it that stand.
        taken_by_others: Others' that stand.
        repaid_base: What ours repaid.
        status: At the window's end; empty where the state there is not known.
        health: There.
        debt_base: There.
        collateral_base: There.
    """

    venue: str
    account: Address
    points: tuple[DistancePoint, ...]
    health_min: Wad | None
    called: Moment | None
    breached: Moment | None
    slices: int
    taken_by_others: int
    repaid_base: BaseAmount
    status: str
    health: Wad | None
    debt_base: BaseAmount
    collateral_base: BaseAmount


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A margin call by the second opinion, and the health that its moves would leave."""

    at: Moment
    venue: str
    account: Address
    previous: str
    health: Wad | None
    stressed: Wad | None
    breach_ppm: int


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """An account that fell below the venue's own line, or whose health became unknown (``reason``)."""

    at: Moment
    venue: str
    account: Address
    status: str
    reason: str | None
    health: Wad | None
    debt_base: BaseAmount


class Stages(msgspec.Struct, frozen=True):
    """How long an intent took, in milliseconds, each stage since the one before; ``None`` for what was not reached."""

    decided: int | None
    sent: int | None
    included: int | None
    final: int | None


class Liquidation(msgspec.Struct, frozen=True, kw_only=True):
    """A liquidation that was seen on chain within the window.

    Attributes:
        at: The record that observed it.
        block: Where it happened.
        stands: Whether its block stayed, as of the window's end.
        venue: Where.
        account: Whose.
        liquidator: By whom.
        verdict: What it says about us: ``ours``, or why not.
        why: The verdict's reason.
        intent_id: Ours, else ``None``.
        admitted: The record that admitted it, else ``None``.
        debt_asset: What was repaid.
        repaid: How much.
        collateral_asset: What was received.
        seized: How much.
        repaid_base: Its value, ``None`` where no price tells.
        seized_base: The same of what was received.
        profit_base: Of ours: received less repaid, gas and slippage as the decision reckoned them.
        health_before: As the decision saw it.
        health_after: As the decision foresaw it.
        state: Of our intent at the window's end.
        final: Where it became final, else ``None``.
        gas_wei: What its receipt says.
        tx_hash: The transaction.
        stages: How long it took.
    """

    at: Moment
    block: int
    stands: bool
    venue: str
    account: Address
    liquidator: Address
    verdict: str
    why: str
    intent_id: Hash32 | None
    admitted: Moment | None
    debt_asset: Address
    repaid: TokenAmount
    collateral_asset: Address
    seized: TokenAmount
    repaid_base: BaseAmount | None
    seized_base: BaseAmount | None
    profit_base: BaseAmount | None
    health_before: Wad | None
    health_after: Wad | None
    state: str | None
    final: Moment | None
    gas_wei: Wei | None
    tx_hash: Hash32
    stages: Stages | None

    @property
    def is_ours(self) -> bool:
        """Whether one of our intents had this effect."""
        return self.intent_id is not None


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """An intent that ended within the window without an effect, or is still open at its end."""

    at: Moment
    intent_id: Hash32
    kind: str
    venue: str
    account: Address
    state: str
    reason: str
    attempts: int
    gas_wei: Wei


class StageTimes(msgspec.Struct, frozen=True):
    """One stage over all intents that were decided in the window; milliseconds, percentiles by the nearest rank."""

    stage: str
    count: int
    median_ms: int
    p95_ms: int
    max_ms: int


class RefusalGroup(msgspec.Struct, frozen=True, kw_only=True):
    """Refused proposals of one rule at one venue.

    ``profit_base`` is the sum over accounts of the last refused proposal's: what was left on the table, if each could
    have been taken once. ``example`` is the detail of the last one.
    """

    venue: str
    strategy: str
    reason: str
    count: int
    accounts: int
    profit_base: BaseAmount
    first: Moment
    last: Moment
    example: str


class Reorg(msgspec.Struct, frozen=True, kw_only=True):
    """Blocks that were abandoned in a row: from ``first`` up, ``depth`` of them; ``undone`` liquidations went along."""

    at: Moment
    chain: str
    first: int
    depth: int
    undone: int


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Something that went wrong around us: what (``kind``), with whom (``subject``), and how often in a row."""

    at: Moment
    kind: str
    subject: str
    detail: str
    count: int


class BadDebtPoint(msgspec.Struct, frozen=True):
    """What accounts of a venue owed beyond their collateral, at a head; a point for each change."""

    at: Moment
    base: BaseAmount
    accounts: int


class BadDebtPath(msgspec.Struct, frozen=True):
    """A venue's bad debt through the window; no points when there was none."""

    venue: str
    points: tuple[BadDebtPoint, ...]


class Earned(msgspec.Struct, frozen=True, kw_only=True):
    """Our slices that became final within the window, by venue and strategy.

    The sums are those of the metrics ``keeper_repaid_usd_total``, ``keeper_seized_usd_total`` and
    ``keeper_profit_usd_total``. ``waiting`` slices had their effect and were not final at the window's end.
    """

    venue: str
    strategy: str
    slices: int
    waiting: int
    repaid_base: BaseAmount
    seized_base: BaseAmount
    gas_base: BaseAmount
    slippage_base: BaseAmount
    profit_base: BaseAmount


class GasSpent(msgspec.Struct, frozen=True, kw_only=True):
    """Fees by receipts of intents that ended within the window (``keeper_gas_spent_wei_total``)."""

    chain: str
    signer: str
    transactions: int
    reverted: int
    wei: Wei


class GasPoint(msgspec.Struct, frozen=True):
    """The base fee of a block, and what a transaction of ours paid there, ``None`` without one."""

    at: Moment
    base_fee_wei: Wei
    paid_wei: Wei | None


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the timeline. ``tone``: ``ok``, ``warn``, ``bad``, ``act`` or ``note``."""

    at: Moment
    kind: str
    tone: str
    text: str


class Sentence(msgspec.Struct, frozen=True):
    """A sentence and the records that it can be checked with; ``check`` is a command that does so."""

    text: str
    sequences: tuple[int, ...]
    check: str | None = None


class Chapter(msgspec.Struct, frozen=True):
    """Sentences that belong together."""

    title: str
    sentences: tuple[Sentence, ...]


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a postmortem says."""

    journal: str
    window: Window
    proof: Proof
    prices: tuple[PricePath, ...]
    accounts: tuple[AccountPath, ...]
    accounts_left_out: int
    calls: tuple[Call, ...]
    breaches: tuple[Breach, ...]
    liquidations: tuple[Liquidation, ...]
    endings: tuple[Ending, ...]
    stages: tuple[StageTimes, ...]
    refusals: tuple[RefusalGroup, ...]
    reorgs: tuple[Reorg, ...]
    troubles: tuple[Trouble, ...]
    bad_debt: tuple[BadDebtPath, ...]
    earned: tuple[Earned, ...]
    gas: tuple[GasSpent, ...]
    gas_points: tuple[GasPoint, ...]
    timeline: tuple[Happening, ...]
    narrative: tuple[Chapter, ...] = ()
    citations: tuple[Entry, ...] = ()

    @property
    def ours(self) -> tuple[Liquidation, ...]:
        """Our liquidations that stand."""
        return tuple(one for one in self.liquidations if one.is_ours and one.stands)

    @property
    def others(self) -> tuple[Liquidation, ...]:
        """Others' liquidations that stand."""
        return tuple(one for one in self.liquidations if not one.is_ours and one.stands)
