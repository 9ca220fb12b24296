"""The checks of what is meant for the operator's own accounts."""

from __future__ import annotations

from functools import partial

from keeper.cli.findings import Findings
from keeper.core.errors import CredentialError, NotHolding
from keeper.core.ids import Address, to_hex
from keeper.execution.keys import keystore_address
from keeper.settings import DeltaHedgeSettings, SelfProtectSettings, Settings


def examine_own(settings: Settings, findings: Findings) -> None:
    """Look at whose accounts are protected, and whether what may be done for them can be."""
    strategy = settings.strategies.self_protect
    if strategy is not None:
        findings.check("self_protect", partial(_protected, settings, strategy))
    hedge = settings.strategies.delta_hedge
    if hedge is not None:
        findings.check("delta_hedge", partial(_hedged, settings, hedge))


def _hedged(settings: Settings, strategy: DeltaHedgeSettings) -> str:
    """Say what would be hedged where.

    Raises:
        NotHolding: liquidations at the exchange are the same signer's, which leaves every position it has.
    """
    slices = settings.strategies.partial_liquidation
    if slices is not None and strategy.hedge_venue in slices.venues:
        shared = [name for name in strategy.all_signers if name in slices.all_signers]
        if shared:
            reason = (
                f"signer {shared[0]} liquidates at {strategy.hedge_venue} too, and leaves every position it has there"
            )
            raise NotHolding("delta_hedge", reason, "hedge with another signer")
    tokens = ", ".join(to_hex(token) for token, _ in strategy.exposures)
    return f"{tokens} beyond {strategy.band_usd} USD at {strategy.hedge_venue}, proposed and not sent"


def _protected(settings: Settings, strategy: SelfProtectSettings) -> str:
    """Say whose accounts are protected.

    Raises:
        NotHolding: an account that is no signer's is to be reduced, which only the account itself can do.
    """
    own = _addresses(settings, strategy)
    foreign = [account for account in strategy.accounts if account not in own]
    if foreign and "reduce" in strategy.actions and len(own) == len(strategy.all_signers):
        reason = f'{to_hex(foreign[0])} is no signer\'s, and "reduce" is for the account itself'
        remedy = 'take "reduce" out of strategies.self_protect.actions, or sign with the account\'s key'
        raise NotHolding("self_protect", reason, remedy)
    whose = [to_hex(account) for account in strategy.accounts or own]
    lines = f"below {strategy.floor_health} brought to {strategy.target_health}"
    return f"{', '.join(whose) or 'the accounts of its signers'}: {lines} by {', '.join(strategy.actions)}"


def _addresses(settings: Settings, strategy: SelfProtectSettings) -> list[Address]:
    """Return the signers' addresses, of those keystores that can be read."""
    found: list[Address] = []
    for name in strategy.all_signers:
        try:
            found.append(keystore_address(settings.signers[name].keystore))
        except CredentialError:
            continue
    return found
