"""Where a fold over records stands: the tip of each chain, when it was heard of, and what the configuration names."""

from __future__ import annotations

from keeper.core.codec import Record
from keeper.core.facts import (
    BlockApplied,
    BlockReverted,
    BlocksBackfilled,
    BootstrapStarted,
    RunStarted,
    SettingsReloaded,
)
from keeper.report.model import Moment


class Bearings:
    """Takes every record of a journal, before whoever asks it where that record stands."""

    def __init__(self) -> None:
        self.tips: dict[int, int] = {}
        self.names: dict[int, str] = {}
        self.stale_after_seconds: dict[int, int] = {}
        self.chains: dict[str, int] = {}
        self.seen_unix_ms: dict[int, int] = {}

    def take(self, record: Record) -> None:
        """Take the next record."""
        match record.body:
            case RunStarted(config=config) | SettingsReloaded(config=config):
                self.chains |= {spec.name: spec.chain_id for spec in config.venues}
                self.names |= {spec.chain_id: spec.name for spec in config.chains}
                self.stale_after_seconds |= {spec.chain_id: spec.stale_after_seconds for spec in config.chains}
            case BlockApplied() as fact:
                self.tips[fact.chain_id] = fact.header.number
                self.seen_unix_ms[fact.chain_id] = fact.seen_unix_ms or record.recorded_at_ms
            case BlocksBackfilled(chain_id=chain_id, last=header) | BootstrapStarted(chain_id=chain_id, header=header):
                self.tips[chain_id] = header.number
            case BlockReverted() as fact:
                self.tips[fact.chain_id] = fact.number - 1
            case _:
                pass

    def name(self, chain_id: int) -> str:
        """Return a chain's configured name, or its id where no run of the journal says."""
        return self.names.get(chain_id, str(chain_id))

    def of_chain(self, record: Record, chain_id: int | None) -> Moment:
        """Return where a record of a chain stands; without a chain, on the only one there is."""
        if chain_id is None and len(self.tips) == 1:
            chain_id = next(iter(self.tips))
        return Moment(record.sequence, record.recorded_at_ms, None if chain_id is None else self.tips.get(chain_id))

    def of_venue(self, record: Record, venue: str) -> Moment:
        """Return where a record of a venue stands."""
        return self.of_chain(record, self.chains.get(venue))
