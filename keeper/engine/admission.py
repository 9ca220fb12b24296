"""What would be admitted: a proposal or an allowance, made into an intent whose id derives from its content."""

from __future__ import annotations

from keeper.core.decisions import Intent, Proposal
from keeper.core.facts import TokenSpend
from keeper.core.ids import Address, Hash32, content_id, to_hex
from keeper.core.runconfig import Limits, SignerSpec
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount
from keeper.core.venue import Call, Epoch, Ledger
from keeper.engine.gas import price_wei_borne

APPROVAL_GAS = 60_000
"""What an ``approve`` takes, and a little more."""


def liquidation_intent(
    proposal: Proposal,
    ledger: Ledger,
    signer: SignerSpec,
    limits: Limits,
    head_number: int,
    failed: int,
    native_base: BaseAmount | None,
) -> Intent:
    """Make a proposal into an intent.

    Its fees may rise until the profit above the operator's minimum is used up. A position that is taken over takes no
    token of the signer's: it binds what the signer has deposited at the venue, and its notional counts as spent.

    Args:
        proposal: The slice.
        ledger: Its venue.
        signer: Who would sign.
        limits: The operator's.
        head_number: The block that is decided on.
        failed: How often the account was tried in vain; part of the id, so that a new try is a new intent.
        native_base: The value of one native coin, USD 1e-8.
    """
    preview, taken = proposal.preview, proposal.preview.takeover
    call = ledger.liquidation_call(proposal.account, preview)
    headroom = proposal.profit_base + proposal.gas_cost_base - limits.profit_base_min
    return Intent(
        intent_id=_liquidation_id(proposal, ledger.chain_id, failed),
        kind="liquidation",
        venue=proposal.venue,
        chain_id=ledger.chain_id,
        signer=signer.name,
        account=proposal.account,
        epoch=proposal.epoch,
        to=call.to,
        data=call.data,
        spend=TokenSpend(preview.debt_asset, preview.cover if taken is None else TokenAmount(0)),
        spend_base=preview.repaid_base,
        profit_base=proposal.profit_base,
        gas_price_wei_max=price_wei_borne(headroom, ledger.liquidation_gas, native_base, limits.gas_price_wei_max),
        admitted_at_block=head_number,
        valid_until_block=head_number + signer.valid_for_blocks,
        gas=ledger.liquidation_gas,
        margin_base=BaseAmount(0) if taken is None else taken.margin_base,
    )


def approval_intent(token: Address, ledger: Ledger, signer: SignerSpec, limits: Limits, head_number: int) -> Intent:
    """Make the intent that lets a venue take a token, without limit.

    Without limit, because tokens in the manner of USDT refuse to change a non-zero allowance to another non-zero one,
    and because a re-approval in the middle of a crash costs the slot that a slice needs. Its epoch is the block that it
    was decided at.
    """
    call = ledger.approval_call(token, TokenAmount(UINT256_MAX))
    return Intent(
        intent_id=content_id("approval", ledger.chain_id, ledger.name, signer.name, token, head_number),
        kind="approval",
        venue=ledger.name,
        chain_id=ledger.chain_id,
        signer=signer.name,
        account=signer.address,
        epoch=Epoch(head_number, 0),
        to=call.to,
        data=call.data,
        spend=TokenSpend(token, TokenAmount(0)),
        spend_base=BaseAmount(0),
        profit_base=BaseAmount(0),
        gas_price_wei_max=limits.gas_price_wei_max,
        admitted_at_block=head_number,
        valid_until_block=head_number + signer.valid_for_blocks,
        gas=APPROVAL_GAS,
    )


def exit_intent(
    market: Address, call: Call, ledger: Ledger, signer: SignerSpec, limits: Limits, head_number: int, failed: int
) -> Intent:
    """Make the intent that leaves a position of the signer's own, whose account it is about."""
    epoch = ledger.margin(signer.address).epoch
    place = (epoch.block_number, epoch.log_index)
    return Intent(
        intent_id=content_id("exit", ledger.chain_id, ledger.name, signer.name, market, *place, failed),
        kind="exit",
        venue=ledger.name,
        chain_id=ledger.chain_id,
        signer=signer.name,
        account=signer.address,
        epoch=epoch,
        to=call.to,
        data=call.data,
        spend=TokenSpend(market, TokenAmount(0)),
        spend_base=BaseAmount(0),
        profit_base=BaseAmount(0),
        gas_price_wei_max=limits.gas_price_wei_max,
        admitted_at_block=head_number,
        valid_until_block=head_number + signer.valid_for_blocks,
        gas=ledger.liquidation_gas,
        why=f"{signer.name} holds a position in {to_hex(market)}",
    )


def _liquidation_id(proposal: Proposal, chain_id: int, failed: int) -> Hash32:
    preview = proposal.preview
    return content_id(
        "liquidation",
        chain_id,
        proposal.venue,
        proposal.account,
        proposal.epoch.block_number,
        proposal.epoch.log_index,
        preview.debt_asset,
        preview.collateral_asset,
        preview.cover,
        failed,
    )
