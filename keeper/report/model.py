"""What an explanation consists of: frozen structs, each figure with the record that told it."""

from __future__ import annotations

import msgspec

from keeper.core.decisions import Intent, Proposal, Verdict
from keeper.core.facts import RevertReason
from keeper.core.ids import Address, Hash32
from keeper.core.risk import RiskHealth
from keeper.core.units import Wei
from keeper.core.venue import AccountMargin, LiquidationSeen


class Moment(msgspec.Struct, frozen=True):
    """A place in the journal. ``block`` is the chain's watermark there, ``None`` before the first."""

    sequence: int
    unix_ms: int
    block: int | None


class Entry(msgspec.Struct, frozen=True):
    """One record that led here, as a line. ``cause`` is the fact that a decision follows from, else zero."""

    at: Moment
    cause: int
    kind: str
    line: str


class FactUsed(msgspec.Struct, frozen=True):
    """A fact that the figures rest on.

    Attributes:
        role: What it told: ``head``, ``position`` or ``price``.
        asset: Whose price, else ``None``.
        sequence: Its place.
        kind: Its name.
        block: The block that it tells of.
        source: The provider that gave it, by its redacted name; empty where it is not recorded.
        age_seconds: How long before the head it was, by the chain's clock; ``None`` where that is not known.
        stale: Whether it told a price that moves, and has not for suspiciously long.
    """

    role: str
    asset: Address | None
    sequence: int
    kind: str
    block: int | None
    source: str
    age_seconds: int | None = None
    stale: bool = False


class Refused(msgspec.Struct, frozen=True):
    """A proposal that the gate refused, with the rule and its figures.

    ``cause`` is the fact at whose head it was; ``clock_unix_ms`` is the wall clock that was last told before it.
    """

    at: Moment
    rule: str
    detail: str
    proposal: Proposal
    cause: int
    clock_unix_ms: int


class Liquidated(msgspec.Struct, frozen=True):
    """A liquidation on chain, and what it says about us."""

    at: Moment
    verdict: Verdict
    why: str
    intent_id: Hash32 | None
    liquidation: LiquidationSeen


class Preflight(msgspec.Struct, frozen=True):
    """A simulation of the intent's call."""

    at: Moment
    block_number: int
    gas: int
    revert: RevertReason | None


class Answer(msgspec.Struct, frozen=True):
    """What a provider answered to a transaction."""

    at: Moment
    provider: str
    answer: str
    message: str


class Included(msgspec.Struct, frozen=True):
    """A receipt."""

    at: Moment
    block_number: int
    succeeded: bool
    gas_used: int
    gas_price_wei: Wei
    revert: RevertReason | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One signed transaction: when it was prepared, what providers answered, and its receipts."""

    at: Moment
    number: int
    kind: str
    tx_hash: Hash32
    nonce: int
    gas_limit: int
    fee_wei_max: Wei
    priority_fee_wei_max: Wei
    answers: tuple[Answer, ...]
    receipts: tuple[Included, ...]


class Move(msgspec.Struct, frozen=True):
    """One step along the life cycle."""

    at: Moment
    previous: str
    state: str
    reason: str


class Stage(msgspec.Struct, frozen=True):
    """How long a stage took since the one before; ``blocks`` is ``None`` where no block was known yet.

    The stages are ``decided`` (since the head was heard of), ``sent``, ``included`` and ``final``.
    """

    stage: str
    blocks: int | None
    ms: int


class IntentStory(msgspec.Struct, frozen=True, kw_only=True):
    """An intent from its admission to where it stands."""

    at: Moment
    intent: Intent
    proposal: Proposal | None
    state: str
    preflights: tuple[Preflight, ...]
    attempts: tuple[Attempt, ...]
    moves: tuple[Move, ...]
    effect: Liquidated | None
    stages: tuple[Stage, ...]


class Gate(msgspec.Struct, frozen=True):
    """What stood between the account and an intent, and since when.

    Attributes:
        name: ``healthy``, ``unknown``, ``liquidatable``, ``behind``, ``no_strategy``, ``not_proposed``, ``refused``,
            ``pending``, ``mined``, ``done``, ``reverted``, ``abandoned``, ``outbid``, ``late``, ``untracked`` or
            ``health_wrong``.
        rule: The rule of the policy gate that refused, else ``None``.
        says: The same in words, with the figures.
        since: Where it began, ``None`` for what was so from the beginning.
    """

    name: str
    rule: str | None
    says: str
    since: Moment | None


class WhyNot(msgspec.Struct, frozen=True):
    """Why nothing was done by now, and what stood in the way before that, oldest first."""

    gate: Gate
    earlier: tuple[Gate, ...]


class Change(msgspec.Struct, frozen=True):
    """A setting that governs a refusal, and the least change of it with which the rule lets the proposal pass.

    Attributes:
        rule: The rule that refused.
        setting: The key in the configuration.
        was: Its value in force.
        value: The value that lets the proposal pass.
        least: Whether one unit less is still refused by the rule; ``None`` where there is no unit.
    """

    rule: str
    setting: str
    was: str
    value: str
    least: bool | None


class Counterfactual(msgspec.Struct, frozen=True):
    """What the engine decides at the same head with other settings: it was run again with them.

    Attributes:
        at: The refusal that is looked at.
        changes: In the order of the rules that refused.
        outcome: ``admitted``, ``refused`` (by ``rule``, which no value of a setting governs) or ``nothing``.
        rule: The rule that refuses still, else ``None``.
        detail: Its figures.
        intent_id: What would have been admitted, else ``None``.
    """

    at: Moment
    changes: tuple[Change, ...]
    outcome: str
    rule: str | None
    detail: str
    intent_id: Hash32 | None


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All there is to say of an account at one venue, as of a place."""

    venue: str
    account: Address
    margin: AccountMargin
    opinion: RiskHealth | None
    facts: tuple[FactUsed, ...]
    why_not: WhyNot
    counterfactual: Counterfactual | None
    refusals: tuple[Refused, ...]
    intents: tuple[IntentStory, ...]
    liquidations: tuple[Liquidated, ...]
    records: tuple[Entry, ...]
