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
    if state.config is not None:
        _check_kept(state.config, config)
    _check_venues(state, config)
    _check_signers(state, config)
    state.config = config
    for chain in config.chains:
        state.chains.setdefault(chain.chain_id, ChainState(chain.chain_id)).scan(on=chain.scanned)
    state.risk.keep(spec.name for spec in config.venues if state.risk_spec(spec.name) is not None)
    state.ledgers = {spec.name: state.ledgers.get(spec.name) or open_ledger(spec) for spec in config.venues}


def check_same_history(recorded: RunConfig, changed: RunConfig) -> None:
    """See that a run's recorded facts are those that it would have had under a changed configuration.

    Raises:
        ConfigError: chains, venues or a signer's address differ.
    """
    _check_kept(recorded, changed)
    for thing, known, given in (
        ("chain", {str(each.chain_id) for each in recorded.chains}, [str(each.chain_id) for each in changed.chains]),
        ("venue", {each.name for each in recorded.venues}, [each.name for each in changed.venues]),
    ):
        for name in given:
            if name not in known:
                raise ConfigError(
                    f"{thing} {name}", "was not followed by this run, so nothing of it is recorded", REMEDY
                )
        for name in sorted(known - set(given)):
            raise ConfigError(f"{thing} {name}", "was left out since this journal was begun", REMEDY)


def _check_kept(known: RunConfig, config: RunConfig) -> None:
    """See that venues are still there and the same, and that signers have their addresses."""
    given = {spec.name: spec for spec in config.venues}
    for venue in known.venues:
        if given.get(venue.name) != venue:
            change = "was changed" if venue.name in given else "was left out"
            raise ConfigError(f"venue {venue.name}", f"{change} since this journal was begun", REMEDY)
    addresses = {spec.name: spec.address for spec in config.signers}
    for signer in known.signers:
        if addresses.get(signer.name, signer.address) != signer.address:
            raise ConfigError(f"signer {signer.name}", "has another address than in this journal", REMEDY)


def _check_venues(state: EngineState, config: RunConfig) -> None:
    known = {spec.name for spec in state.config.venues} if state.config is not None else set()
    for spec in config.venues:
        if spec.name not in known and _has_passed(state, spec):
            raise ConfigError(
                f"venue {spec.name}", f"begins at block {spec.from_block}, which was followed without it", REMEDY
            )


def _has_passed(state: EngineState, spec: VenueSpec) -> bool:
    chain = state.chains.get(spec.chain_id)
    return chain is not None and chain.tip is not None and chain.tip.number >= spec.from_block


def _check_signers(state: EngineState, config: RunConfig) -> None:
    given = {spec.name for spec in config.signers}
    for tracked in state.intents.all_open():
        if tracked.intent.signer not in given:
            raise ConfigError(f"signer {tracked.intent.signer}", "was left out but has intents in flight", REMEDY)
