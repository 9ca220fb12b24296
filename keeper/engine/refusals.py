"""Which refusals were already recorded, so that a situation that lasts is recorded once and not at every block."""

from __future__ import annotations

import msgspec

from keeper.core.decisions import Proposal
from keeper.core.ids import Address
from keeper.core.venue import Epoch


class RefusedPlan(msgspec.Struct, frozen=True):
    """A refusal without its figures: the cover changes with every second of interest, the situation does not."""

    strategy: str
    venue: str
    account: Address
    epoch: Epoch
    debt_asset: Address
    collateral_asset: Address
    reason: str

    @classmethod
    def of(cls, proposal: Proposal, reason: str) -> RefusedPlan:
        """Take the plan of a refused proposal."""
        preview = proposal.preview
        return cls(
            proposal.strategy,
            proposal.venue,
            proposal.account,
            proposal.epoch,
            preview.debt_asset,
            preview.collateral_asset,
            reason,
        )


class RefusalMemory:
    """The newest refusal of each account by each strategy, as of each strategy's last round."""

    def __init__(self, plans: list[RefusedPlan] | None = None) -> None:
        self._plans = {_key(plan): plan for plan in plans or []}

    def is_new(self, plan: RefusedPlan) -> bool:
        """Remember a refusal; ``False`` when it is what was remembered."""
        known = self._plans.get(_key(plan))
        self._plans[_key(plan)] = plan
        return known != plan

    def standing(self, venue: str, account: Address) -> RefusedPlan | None:
        """Return what is refused of an account now; of several strategies the first by name."""
        found = [plan for plan in self._plans.values() if (plan.venue, plan.account) == (venue, account)]
        return min(found, key=_key) if found else None

    def end_round(self, strategy: str, venues: tuple[str, ...], refused: list[RefusedPlan]) -> None:
        """Forget, for one strategy and these venues, all that was not refused in the round that ends."""
        current = frozenset(_key(plan) for plan in refused)
        self._plans = {
            key: plan
            for key, plan in self._plans.items()
            if plan.strategy != strategy or plan.venue not in venues or key in current
        }

    def clear(self) -> None:
        """Forget everything: a new run states its own reasons."""
        self._plans = {}

    def entries(self) -> list[RefusedPlan]:
        """Return all, sorted by strategy, venue and account."""
        return [self._plans[key] for key in sorted(self._plans)]


def _key(plan: RefusedPlan) -> tuple[str, str, Address]:
    return (plan.strategy, plan.venue, plan.account)
