"""Which tokens of a venue a signer is read for: what liquidators repay, and what its other strategies touch."""

from __future__ import annotations

from collections.abc import Callable

from keeper.core.ids import Address
from keeper.core.runconfig import DeltaHedgeSpec, RunConfig, SelfProtectSpec
from keeper.core.venue import Ledger


def tokens_of(config: RunConfig, signer: str) -> Callable[[Ledger], tuple[Address, ...]]:
    """Return what gives a venue's tokens for a signer, each once.

    Args:
        config: Of the run.
        signer: Its name.
    """
    specs = [spec for spec in config.strategies if signer in spec.signers]

    def tokens(ledger: Ledger) -> tuple[Address, ...]:
        found = list(ledger.tokens())
        for spec in specs:
            if isinstance(spec, SelfProtectSpec) and ledger.name in spec.venues and ledger.protections is not None:
                found += ledger.protections.tokens()
            if isinstance(spec, DeltaHedgeSpec) and ledger.name == spec.venues[0]:
                found += [token for token, _ in spec.exposures]
        return tuple(dict.fromkeys(found))

    return tokens
