"""Records in one line each."""

from __future__ import annotations

import typing

import pytest

from keeper.core.codec import AnyBody
from keeper.core.decisions import (
    AnyDecision,
    AuditAgreed,
    AuditFailed,
    IntentState,
    ProposalRefused,
    ProtectionRefused,
    SignerHalted,
    VenuePaused,
)
from keeper.core.facts import (
    AccountsAudited,
    AnyFact,
    BlockReverted,
    ClockTicked,
    KillSwitchChanged,
    LogsRepaired,
    ProviderChanged,
    RangeVerified,
    RunStopped,
    SettingsReloaded,
    SignerReleased,
)
from keeper.core.ids import content_id, to_hex
from keeper.core.units import BaseAmount, Wad
from keeper.observe import lines
from keeper.observe.lines import dollars, health, short_id, summary
from tests.observe import records

ACCOUNT, DEBT, COLLATERAL = map(to_hex, (records.ACCOUNT, records.DEBT, records.COLLATERAL))
SLICE = f"repay $100.00 of {DEBT}, seize $105.00 of {COLLATERAL}, health after 1.0500"
CARE = f"protection: repay 1000 of {DEBT}, $100.00, health 1.1000 -> 1.3000 (floor 1.1500, target 1.3000; the least)"
HALF, SIGNER = 5 * 10**17, to_hex(records.SIGNER)
LONG = "delta $1,000.00, band $100.00 (beyond the band)"
SHORT = "delta -$1,000.00, band $100.00 (beyond the band)"
INTENT, TX, BLOCK = (short_id(value) for value in (records.INTENT_ID, records.TX_HASH, records.block_hash(11)))

SAID: list[tuple[AnyBody, str]] = [
    (records.run_started(), f"run {short_id(content_id('run'))} of version 0.1.0, live"),
    (SettingsReloaded(records.run_config(), "{}", 5), "at 5 ms, 2 characters of settings"),
    (RunStopped(content_id("run"), "drained"), f"run {short_id(content_id('run'))}: drained"),
    (records.block_applied(11), f"block 11 {BLOCK}, 0 logs, 0 reads, at the head"),
    (records.block_applied(11, behind_blocks=2), f"block 11 {BLOCK}, 0 logs, 0 reads, 2 behind the head"),
    (BlockReverted(records.CHAIN_ID, 11, records.block_hash(11)), f"block 11 {BLOCK}"),
    (ClockTicked(7), "7 ms"),
    (KillSwitchChanged(False, "file"), "disarmed (file)"),
    (records.sent(), f"{INTENT} {TX} accepted by http://127.0.0.1:8545"),
    (records.receipt(), f"{INTENT} {TX} succeeded in block 11, 300000 gas at 2000000000 wei"),
    (records.admitted(), f"{INTENT} aave {ACCOUNT} liquidation: {SLICE}"),
    (ProposalRefused(records.proposal(), "dry_run", ""), f"aave {ACCOUNT} dry_run: {SLICE}, profit $2.00"),
    (records.hedge(), f"perp {SIGNER} at block 11: sell {HALF} / 10^18 of {COLLATERAL} at $1,980.00 or more, {LONG}"),
    (
        records.hedge(5 * 10**17),
        f"perp {SIGNER} at block 11: buy {HALF} / 10^18 of {COLLATERAL} at $2,020.00 or less, {SHORT}",
    ),
    (
        records.hedge(0),
        f"perp {SIGNER} at block 11: nothing of {COLLATERAL} to trade, delta $0.00, band $100.00 (beyond the band)",
    ),
    (records.protected(), f"{INTENT} aave {ACCOUNT} {CARE}"),
    (ProtectionRefused(records.protection(), "dry_run", "why"), f"aave {ACCOUNT} dry_run (why): {CARE}"),
    (
        records.liquidated(ours=False),
        (
            f"aave {ACCOUNT} at block 11 by others, refused-by-policy (dry_run): "
            f"repaid 1000 of {DEBT}, seized 500 of {COLLATERAL}"
        ),
    ),
    (records.advanced(IntentState.MINED, IntentState.FINAL_SUCCESS), f"{INTENT} mined -> final_success ()"),
    (SignerHalted("main", "foreign transaction"), "main: foreign transaction"),
    (VenuePaused("aave", "5 reverted", 9), "aave up to block 9: 5 reverted"),
    (SignerReleased("main", 31337, 7), "main goes on from nonce 7 on chain 31337"),
    (ProviderChanged(7, "http://node", up=False, reason="2 failures"), "http://node of chain 7 is down: 2 failures"),
    (ProviderChanged(7, "http://node", up=True, reason=""), "http://node of chain 7 is up"),
    (RangeVerified(records.CHAIN_ID, 3, 9, content_id("digest"), ("a", "b")), "blocks 3 to 9 by a and b"),
    (LogsRepaired(records.CHAIN_ID, 3, (), "b", "a"), "from block 3 on by b, a had been wrong"),
    (LogsRepaired(records.CHAIN_ID, 3, (), "b", ""), "from block 3 on by b, nobody known had been wrong"),
    (AccountsAudited(records.CHAIN_ID, "aave", 11, records.block_hash(11), ()), "0 accounts of aave at block 11"),
    (AuditAgreed("aave", (records.ACCOUNT,), 11), "1 accounts of aave at block 11"),
    (AuditFailed("aave", records.ACCOUNT, 11, "1", "2"), f"aave {ACCOUNT} at block 11: ours 1, the venue's 2"),
]


@pytest.mark.parametrize(("body", "line"), SAID)
def test_a_record_is_one_line(body: AnyBody, line: str) -> None:
    """A record is told in one line with its figures."""
    assert summary(body) == line


def test_every_kind_has_a_line() -> None:
    """No kind of record is without a line."""
    kinds = {*typing.get_args(AnyFact), *typing.get_args(AnyDecision)}

    assert kinds - set(lines._SUMMARIES) == set()


@pytest.mark.parametrize(
    ("amount", "text"), [(123_456_789_012, "$1,234.56"), (999_999, "$0.00"), (0, "$0.00"), (-150_000_000, "-$1.50")]
)
def test_dollars_are_exact_to_the_cent(amount: int, text: str) -> None:
    """Cents are cut off, not rounded up."""
    assert dollars(BaseAmount(amount)) == text


@pytest.mark.parametrize(("value", "text"), [(10**18, "1.0000"), (10**18 - 1, "0.9999"), (None, "-")])
def test_health_is_rounded_down(value: int | None, text: str) -> None:
    """A health just below one does not read as one."""
    assert health(None if value is None else Wad(value)) == text
