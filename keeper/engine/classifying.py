"""What a head says of a venue's accounts: the venue's own verdict first, then the second opinion."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from keeper.core.decisions import AnyDecision
from keeper.core.facts import BlockHeader
from keeper.core.ids import Address
from keeper.core.risk import RiskHealth, RiskStatus
from keeper.core.runconfig import RiskSpec
from keeper.core.venue import Ledger, Status
from keeper.engine.assessing import Assessor
from keeper.engine.health import LAGS, AccountKey
from keeper.engine.market import AssetTrack
from keeper.engine.state import EngineState


def classify(state: EngineState, ledger: Ledger, header: BlockHeader, sequence: int) -> list[AnyDecision]:
    """Classify the accounts that a head can have hurt; the decisions are what changed.

    Accounts that were healthy and are liquidatable now get a new budget of tries.

    Args:
        state: The engine's.
        ledger: A venue, at the head.
        header: The head.
        sequence: Of the fact that told it.
    """
    changes = state.health.classify(ledger, header.number)
    for change in changes:
        if (change.previous, change.margin.health.status) == (Status.HEALTHY.value, Status.LIQUIDATABLE):
            state.intents.tries.renew((change.margin.venue, change.margin.account))
    spec = state.risk_spec(ledger.name)
    if spec is None:
        return [*changes]
    state.risk.look(ledger, header.timestamp, sequence, spec)
    return [*changes, *state.risk.assess(ledger, state.health.margins, header.number, spec)]


class SecondOpinions:
    """The second opinions of all venues that have a model of risk, at their chains' heads; for reading."""

    def __init__(self, state: EngineState) -> None:
        self._state = state

    @property
    def unsafe(self) -> Mapping[AccountKey, RiskHealth]:
        """The opinion of every account that is not safe, by (venue, account)."""
        return self._state.risk.opinions

    def model(self, venue: str) -> RiskSpec | None:
        """Return a venue's model of risk, ``None`` where no opinion is formed."""
        return self._state.risk_spec(venue)

    def tracks(self, venue: str) -> Sequence[AssetTrack]:
        """Return what is remembered of a venue's prices."""
        market = self._state.risk.markets.get(venue)
        return () if market is None else market.tracks

    def vols_annual(self, venue: str) -> Mapping[Address, float]:
        """Return the volatility in a year that each price of a venue is reckoned with."""
        spec, market = self.model(venue), self._state.risk.markets.get(venue)
        return {} if spec is None or market is None else market.vols_annual(spec)

    def of(self, venue: str, account: Address) -> RiskHealth | None:
        """Form the opinion of an account, ``None`` where the venue has no model, or was never seen at a head.

        While nothing is heard of the chain it is unknown.
        """
        spec, market = self.model(venue), self._state.risk.markets.get(venue)
        if spec is None or market is None:
            return None
        opinion = Assessor(self._state.ledgers[venue], market, spec).opinions([account], self._state.health.margins)[0]
        if venue in self._state.health.seen:
            return opinion
        return msgspec.structs.replace(opinion, status=RiskStatus.UNKNOWN, reason=LAGS)
