"""Decisions: what the engine concluded from the facts. Re-running the facts gives them again, byte for byte."""

from __future__ import annotations

from enum import Enum
from typing import Literal

import msgspec

from keeper.core.facts import TokenSpend
from keeper.core.ids import Address, Hash32
from keeper.core.own_money import HedgePlan, ProtectionProposal
from keeper.core.risk import RiskHealth
from keeper.core.units import BaseAmount, TokenAmount, Wad, Wei
from keeper.core.venue import AccountMargin, Epoch, LiquidationSeen, Preview


class Decision(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The base of all decisions. A field that this version does not know is refused, never skipped."""


class IntentState(Enum):
    """Where an intent stands; the legal transitions are one table in ``keeper.engine.intents``."""

    ADMITTED = "admitted"
    PREPARED = "prepared"
    BROADCAST = "broadcast"
    SEND_UNKNOWN = "send_unknown"
    MINED = "mined"
    FINAL_SUCCESS = "final_success"
    FINAL_REVERTED = "final_reverted"
    FINAL_CANCELLED = "final_cancelled"
    ABANDONED = "abandoned"
    SLOT_LOST = "slot_lost"


class Alternative(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A slice that was considered and beaten, and by what."""

    debt_asset: Address
    collateral_asset: Address
    cover: TokenAmount
    health_after: Wad | None
    profit_base: BaseAmount
    why_not: str


class Proposal(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a strategy would like: one slice of one account, with everything it was weighed by.

    ``profit_base`` = seized less repaid, gas and slippage, all USD 1e-8. ``held_back`` is why the strategy itself would
    not take the best slice it found: the gate refuses it, so that the reason is on record.
    """

    strategy: str
    venue: str
    account: Address
    epoch: Epoch
    objective: str
    health_before: Wad
    preview: Preview
    gas_cost_base: BaseAmount
    slippage_base: BaseAmount
    profit_base: BaseAmount
    rationale: str
    alternatives: tuple[Alternative, ...]
    held_back: str | None = None


class Intent(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """An admitted proposal, an allowance it needs, an exit from a signer's position, or the care of an own account.

    ``intent_id`` is derived from its content; ``why`` is the reason of what has no proposal to tell it.

    ``gas_price_wei_max`` is the ceiling its fees may be bumped to, ``gas`` what it is expected to take.
    ``margin_base`` is the most of the signer's free collateral at the venue that it binds.
    """

    intent_id: Hash32
    kind: Literal["liquidation", "approval", "exit", "protection"]
    venue: str
    chain_id: int
    signer: str
    account: Address
    epoch: Epoch
    to: Address
    data: bytes
    spend: TokenSpend
    spend_base: BaseAmount
    profit_base: BaseAmount
    gas_price_wei_max: Wei
    admitted_at_block: int
    valid_until_block: int
    gas: int = 0
    margin_base: BaseAmount = BaseAmount(0)
    why: str = ""


class HealthChanged(Decision, frozen=True, tag="HealthChanged/1"):
    """An account's status changed at a block."""

    margin: AccountMargin
    previous: str
    block_number: int


class RiskHealthChanged(Decision, frozen=True, tag="RiskHealthChanged/1"):
    """The second opinion of an account changed: a warning, a margin call, or the end of either."""

    opinion: RiskHealth
    previous: str
    block_number: int


class ProposalRefused(Decision, frozen=True, tag="ProposalRefused/1"):
    """The policy gate refused a proposal. Recorded once for each change of situation or reason."""

    proposal: Proposal
    reason: str
    detail: str


class IntentAdmitted(Decision, frozen=True, tag="IntentAdmitted/1"):
    """The policy gate admitted a proposal (``None`` for what is no slice); ``protection`` is that of an own account."""

    intent: Intent
    proposal: Proposal | None
    protection: ProtectionProposal | None = None


class ProtectionRefused(Decision, frozen=True, tag="ProtectionRefused/1"):
    """The policy gate refused to protect an own account. Recorded once for each change of situation or reason."""

    proposal: ProtectionProposal
    reason: str
    detail: str


class HedgeProposed(Decision, frozen=True, tag="HedgeProposed/1"):
    """A hedge of the operator's exposure, when it begins, ends, turns or changes by more than the band."""

    plan: HedgePlan
    block_number: int


class IntentAdvanced(Decision, frozen=True, tag="IntentAdvanced/1"):
    """An intent moved along its life cycle."""

    intent_id: Hash32
    previous: IntentState
    state: IntentState
    reason: str


class Verdict(Enum):
    """What a liquidation says about us: exactly one of these, worked out by ``keeper.engine.recall``."""

    OURS = "ours"
    """It is the effect of one of our intents."""
    OUTBID = "outbid"
    """Another's landed while an intent of ours about the account was not mined."""
    DECIDED_LATE = "late"
    """It was liquidatable before or in its block, and there was neither an intent nor a refusal."""
    REFUSED = "refused-by-policy"
    """What we would have done was refused, by a rule of the gate."""
    UNTRACKED = "untracked"
    """We did not know the account, or not that it had debt."""
    HEALTH_WRONG = "health_wrong"
    """We held it for healthy, with all figures known. A bug by definition."""
    UNKNOWN = "unknown"
    """We could not tell its health."""


class LiquidationObserved(Decision, frozen=True, tag="LiquidationObserved/2"):
    """A liquidation was seen on chain; ``intent_id`` when it is ours.

    ``why`` is the rule's name when it was refused, the reason when its health was unknown.
    """

    liquidation: LiquidationSeen
    block_number: int
    intent_id: Hash32 | None
    verdict: Verdict
    why: str


class SignerHalted(Decision, frozen=True, tag="SignerHalted/1"):
    """A signer will sign nothing more until the operator has looked."""

    signer: str
    reason: str


class AuditFailed(Decision, frozen=True, tag="AuditFailed/1"):
    """The venue's own figures of an account differ from ours; it is unknown until a later audit agrees."""

    venue: str
    account: Address
    block_number: int
    ours: str
    theirs: str


class AuditAgreed(Decision, frozen=True, tag="AuditAgreed/1"):
    """The venue's own figures of these accounts are ours."""

    venue: str
    accounts: tuple[Address, ...]
    block_number: int


class VenuePaused(Decision, frozen=True, tag="VenuePaused/1"):
    """Too many transactions reverted at a venue: nothing is admitted there up to and with block ``until_block``."""

    venue: str
    reason: str
    until_block: int


AnyDecision = (
    HealthChanged
    | RiskHealthChanged
    | ProposalRefused
    | ProtectionRefused
    | HedgeProposed
    | IntentAdmitted
    | IntentAdvanced
    | LiquidationObserved
    | SignerHalted
    | VenuePaused
    | AuditFailed
    | AuditAgreed
)
