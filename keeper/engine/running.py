"""What a new run may change, and what it may not.

A journal is the history of its venues. A venue that is added where the chain has already been followed, or changed, or
left out, would have a history with a hole, so it is refused before anything else happens. A signer's address stands for
its nonce slots and may not change either.
"""

from __future__ import annotations

from keeper.core.errors import ConfigError
from keeper.core.runconfig import RunConfig, VenueSpec
from keeper.engine.chain_state import ChainState
from keeper.engine.state import EngineState, OpenLedger

REMEDY = "start a new journal, or put the configuration back"


def configure(state: EngineState, config: RunConfig, open_ledger: OpenLedger) -> None:
    """Replace the configuration; ledgers and chains that are known are kept.

    Raises:
        ConfigError: the journal cannot go on under this configuration.
    """
    _check_venues(state, config)
    _check_signers(state, config)
    state.config = config
    for chain in config.chains:
        state.chains.setdefault(chain.chain_id, ChainState(chain.chain_id)).scan(on=chain.scanned)
    state.ledgers = {spec.name: state.ledgers.get(spec.name) or open_ledger(spec) for spec in config.venues}


def _check_venues(state: EngineState, config: RunConfig) -> None:
    known = {spec.name: spec for spec in state.config.venues} if state.config is not None else {}
    given = {spec.name: spec for spec in config.venues}
    for name, spec in known.items():
        if given.get(name) != spec:
            change = "was changed" if name in given else "was left out"
            raise ConfigError(f"venue {name}", f"{change} since this journal was begun", REMEDY)
    for name, spec in given.items():
        if name not in known and _has_passed(state, spec):
            raise ConfigError(
                f"venue {name}", f"begins at block {spec.from_block}, which was followed without it", REMEDY
            )


def _has_passed(state: EngineState, spec: VenueSpec) -> bool:
    chain = state.chains.get(spec.chain_id)
    return chain is not None and chain.tip is not None and chain.tip.number >= spec.from_block


def _check_signers(state: EngineState, config: RunConfig) -> None:
    known = state.config.signers if state.config is not None else ()
    given = {spec.name: spec.address for spec in config.signers}
    for spec in known:
        if given.get(spec.name, spec.address) != spec.address:
            raise ConfigError(f"signer {spec.name}", "has another address than in this journal", REMEDY)
    for tracked in state.intents.all_open():
        if tracked.intent.signer not in given:
            raise ConfigError(f"signer {tracked.intent.signer}", "was left out but has intents in flight", REMEDY)
