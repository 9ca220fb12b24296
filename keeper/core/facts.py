"""Facts: what was observed. Past tense, frozen, versioned by tag (``Name/version``).

Raw chain data is stored as the node gave it (bytes), so a better decoder can re-read the past. A fact holds
everything that later steps may look at: the engine has no other source of truth, of time or of chance.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from keeper.core.ids import Address, Hash32
from keeper.core.runconfig import Holding, RunConfig
from keeper.core.units import TokenAmount, Wei


class Fact(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The base of all facts. A field that this version does not know is refused, never skipped."""


class RawLog(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One event log as the node returned it. ``log_index`` is the index in the block."""

    address: Address
    topics: tuple[bytes, ...]
    data: bytes
    log_index: int
    tx_hash: Hash32


class BlockHeader(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The header fields that are used. ``timestamp`` in seconds; ``base_fee_wei`` is zero before EIP-1559."""

    number: int
    hash: Hash32
    parent_hash: Hash32
    timestamp: int
    base_fee_wei: int
    logs_bloom: bytes


class ReadRequest(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A view call that a venue wants made at each block it is told about."""

    target: Address
    calldata: bytes


class ContractRead(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """The answer to a :class:`ReadRequest`: ``output`` bytes, or ``error`` when the view reverted."""

    target: Address
    calldata: bytes
    output: bytes | None
    error: str | None


class BackfilledBlock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A finalised block that has watched logs."""

    number: int
    hash: Hash32
    timestamp: int
    logs: tuple[RawLog, ...]


class RepairedBlock(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A block's right logs, and the venue reads made at its end."""

    block: BackfilledBlock
    reads: tuple[ContractRead, ...]


class RunStarted(Fact, frozen=True, tag="RunStarted/1"):
    """A process opened the journal. ``run_id`` is derived from the journal's tip and the config."""

    run_id: Hash32
    code_version: str
    config: RunConfig
    settings_redacted_json: str
    unix_ms: int


class SettingsReloaded(Fact, frozen=True, tag="SettingsReloaded/1"):
    """The operator had the configuration file read again, and the run goes on by it.

    Chains, venues, signers' addresses and the mode are those of the run; only bounds and parameters may differ.
    """

    config: RunConfig
    settings_redacted_json: str
    unix_ms: int


class RunStopped(Fact, frozen=True, tag="RunStopped/1"):
    """The process drained and left in order. A run without it crashed."""

    run_id: Hash32
    reason: str


class BlocksBackfilled(Fact, frozen=True, tag="BlocksBackfilled/1"):
    """A complete range below finality: all watched logs of blocks ``first`` to ``last.number`` inclusive.

    ``reads`` were made at ``last``. ``behind_blocks`` and ``source`` as in :class:`BlockApplied`.
    """

    chain_id: int
    first: int
    last: BlockHeader
    blocks: tuple[BackfilledBlock, ...]
    reads: tuple[ContractRead, ...]
    behind_blocks: int
    source: str = ""


class BlockApplied(Fact, frozen=True, tag="BlockApplied/1"):
    """A block whose parent is the tip: all its watched logs, and the venue reads pinned to its hash.

    ``behind_blocks`` is how many known blocks follow it; the engine decides only at zero. ``seen_unix_ms`` is when the
    head that led to it was first heard of: it explains latency and decides nothing. ``source`` is the provider that
    gave the logs, by its redacted name: who verifies them must be another.
    """

    chain_id: int
    header: BlockHeader
    logs: tuple[RawLog, ...]
    reads: tuple[ContractRead, ...]
    behind_blocks: int
    seen_unix_ms: int = 0
    source: str = ""


class BlockReverted(Fact, frozen=True, tag="BlockReverted/1"):
    """The tip was abandoned by the chain; newest first when several are."""

    chain_id: int
    number: int
    hash: Hash32


class BlockFinalized(Fact, frozen=True, tag="BlockFinalized/1"):
    """This block and all before it can no longer change."""

    chain_id: int
    number: int
    hash: Hash32


class RangeVerified(Fact, frozen=True, tag="RangeVerified/1"):
    """The logs of final blocks ``first`` to ``last`` were read again elsewhere and are the ones recorded.

    ``digest`` is that of :func:`keeper.core.digest.range_digest`. ``providers`` gave it, by their redacted names.
    """

    chain_id: int
    first: int
    last: int
    digest: Hash32
    providers: tuple[str, ...]


class LogsRepaired(Fact, frozen=True, tag="LogsRepaired/1"):
    """What was recorded from block ``first`` on was wrong; this is right, up to the tip, which is the last block.

    ``blocks`` are those with watched logs or reads, oldest first. ``source`` gave them; ``liar`` had given the wrong
    ones, empty when nobody could be shown to have.
    """

    chain_id: int
    first: int
    blocks: tuple[RepairedBlock, ...]
    source: str
    liar: str


class AccountsAudited(Fact, frozen=True, tag="AccountsAudited/1"):
    """A venue's own view of some accounts, read at the tip; void when the tip has changed meanwhile."""

    chain_id: int
    venue: str
    block_number: int
    block_hash: Hash32
    reads: tuple[ContractRead, ...]


class BootstrapStarted(Fact, frozen=True, tag="BootstrapStarted/1"):
    """The venues of a chain are read at this final block; what was read of them before is forgotten.

    Holders found before are kept unless they are ``searched_anew``.
    """

    chain_id: int
    header: BlockHeader
    searched_anew: bool


class HoldersFound(Fact, frozen=True, tag="HoldersFound/1"):
    """Who else may have a position at a venue, by the logs of blocks ``first`` to ``last``.

    ``holders`` are the venue's keys (Aave: token and account joined). The logs themselves are not kept: their balances
    are read, and proved to be all.
    """

    chain_id: int
    venue: str
    first: int
    last: int
    holders: tuple[bytes, ...]


class VenueRead(Fact, frozen=True, tag="VenueRead/1"):
    """The answers to some of a venue's items, in their order, at the block that is being read."""

    chain_id: int
    venue: str
    block_hash: Hash32
    items: tuple[bytes, ...]
    reads: tuple[ContractRead, ...]


class BootstrapCompleted(Fact, frozen=True, tag="BootstrapCompleted/1"):
    """Every venue of the chain is read: the chain goes on from this block."""

    chain_id: int
    block_hash: Hash32


class ClockTicked(Fact, frozen=True, tag="ClockTicked/1"):
    """The wall clock, in milliseconds. The engine knows no other."""

    unix_ms: int


class KillSwitchChanged(Fact, frozen=True, tag="KillSwitchChanged/1"):
    """While ``armed``, nothing is admitted. ``reason``: ``"file"`` (the operator's switch) or ``"draining"``."""

    armed: bool
    reason: str


class ProviderChanged(Fact, frozen=True, tag="ProviderChanged/1"):
    """A provider, by its redacted name, is passed over from now on, or ``up`` again. It explains and decides nothing.

    A run begins with all of them up. ``reason`` is why it is passed over, else empty.
    """

    chain_id: int
    provider: str
    up: bool
    reason: str


class SignerRead(Fact, frozen=True, tag="SignerRead/1"):
    """A signer's account at one block: native balance, mined transaction count, token holdings.

    ``priority_fee_wei`` is what the node suggests to offer beside the base fee. ``pending_nonce`` is the highest count
    that any provider gave for the account, with what waits in its pool; ``None`` when none keeps a pool.
    """

    chain_id: int
    signer: str
    block_number: int
    block_hash: Hash32
    balance_wei: Wei
    nonce: int
    holdings: tuple[Holding, ...]
    priority_fee_wei: Wei = Wei(0)
    pending_nonce: int | None = None


class SignerReleased(Fact, frozen=True, tag="SignerReleased/1"):
    """The operator has looked into a halt and lifts it: every nonce below ``nonce`` is spent, whoever spent it."""

    signer: str
    chain_id: int
    nonce: int


class RevertReason(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Why a call reverted: decoded (``name``) where the contract's errors are known, and the raw data."""

    name: str
    data: bytes


class PreflightSeen(Fact, frozen=True, tag="PreflightSeen/1"):
    """A simulation of an intent's call at a block: its gas, or why it would revert."""

    intent_id: Hash32
    block_number: int
    block_hash: Hash32
    gas: int
    revert: RevertReason | None


class AttemptPrepared(Fact, frozen=True, tag="AttemptPrepared/1"):
    """A transaction was signed for an intent and has not left the process: it is durable before it is sent.

    ``kind`` is ``"call"`` (the intent's own) or ``"cancel"`` (an empty transaction in the same nonce slot).
    """

    intent_id: Hash32
    chain_id: int
    signer: str
    nonce: int
    attempt: int
    kind: Literal["call", "cancel"]
    tx_hash: Hash32
    raw: bytes
    gas_limit: int
    fee_wei_max: Wei
    priority_fee_wei_max: Wei
    at_block: int


class AttemptSent(Fact, frozen=True, tag="AttemptSent/1"):
    """What a provider answered to a transaction. Never an outcome: only a receipt on a canonical block is.

    ``answer``: ``accepted`` (or already known), ``unknown`` (time-out, reset, unclassified), ``underpriced``,
    ``nonce_too_low``, ``nonce_too_high``, ``insufficient_funds``, ``fee_cap_exceeded``.
    """

    intent_id: Hash32
    tx_hash: Hash32
    provider: str
    answer: Literal[
        "accepted",
        "unknown",
        "underpriced",
        "nonce_too_low",
        "nonce_too_high",
        "insufficient_funds",
        "fee_cap_exceeded",
    ]
    message: str


class ReceiptSeen(Fact, frozen=True, tag="ReceiptSeen/1"):
    """A transaction of ours is in a block. ``succeeded`` is the receipt's status."""

    intent_id: Hash32
    tx_hash: Hash32
    block_number: int
    block_hash: Hash32
    succeeded: bool
    gas_used: int
    gas_price_wei: Wei
    revert: RevertReason | None


class IntentDropped(Fact, frozen=True, tag="IntentDropped/1"):
    """An admitted intent was given up before any transaction was signed for it."""

    intent_id: Hash32
    reason: str


class TokenSpend(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What an intent takes from the signer's inventory."""

    token: Address
    amount: TokenAmount


AnyFact = (
    RunStarted
    | RunStopped
    | SettingsReloaded
    | BlocksBackfilled
    | BlockApplied
    | BlockReverted
    | BlockFinalized
    | RangeVerified
    | LogsRepaired
    | AccountsAudited
    | BootstrapStarted
    | HoldersFound
    | VenueRead
    | BootstrapCompleted
    | ClockTicked
    | KillSwitchChanged
    | ProviderChanged
    | SignerRead
    | SignerReleased
    | PreflightSeen
    | AttemptPrepared
    | AttemptSent
    | ReceiptSeen
    | IntentDropped
)
