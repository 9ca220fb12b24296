"""Lifting the halt of a signer, which only the operator may do, and only at the start of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keeper.app.chains import signers_of
from keeper.chain.pool import ProviderPool
from keeper.core.errors import UsageError
from keeper.core.facts import SignerReleased
from keeper.core.ids import to_hex
from keeper.core.runconfig import RunConfig
from keeper.engine.step import Engine
from keeper.execution.answers import count

_METHOD = "eth_getTransactionCount"


def check_release(config: RunConfig, engine: Engine, names: Sequence[str]) -> None:
    """Refuse to release what is not halted: the flag is for one start, not for a service file.

    Raises:
        UsageError: a name is of no signer, or of one that is not halted.
    """
    known = [spec.name for spec in config.signers]
    for name in names:
        if name not in known:
            raise UsageError(f"--release-signer {name}", "is not a signer of the configuration", f"it has {known}")
        if engine.intents.halted(name) is None:
            raise UsageError(f"--release-signer {name}", "that signer is not halted", "start without the option")


async def released(config: RunConfig, pools: Mapping[str, ProviderPool], names: Sequence[str]) -> list[SignerReleased]:
    """Return the facts that let signers go on from the mined count that each of their chains has now.

    Raises:
        NodeError: a node does not tell the count.
    """
    addresses = {spec.name: spec.address for spec in config.signers}
    facts = []
    for chain in config.chains:
        for name in names:
            if name in signers_of(config, chain.chain_id):
                answer = await pools[chain.name].call(_METHOD, (to_hex(addresses[name]), "latest"))
                facts.append(SignerReleased(name, chain.chain_id, count(answer, _METHOD)))
    return facts
