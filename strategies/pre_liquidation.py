"""Close a part of a debt before it is unsafe, where its borrower lets it be closed.

Between a pre-liquidation contract's line and the market's own, a share of the debt may be repaid (the close factor),
and collateral worth more is given for it (the incentive). Both grow as the account drifts through that zone, so waiting
seems to pay. It does not, for three reasons:

* The zone is a Dutch auction open to everybody: it clears at the incentive that covers the cheapest liquidator's costs,
  not at its top. Who waits for more leaves the slice to others.
* It shuts at the market's line. There, and after a price that jumps over the zone, all of the account is open at the
  full incentive, to whoever is first in the block: the very race, and the loss to the borrower, that this averts.
* What is sold at once moves its own price, and the cost of that grows with the square of the slice. Small slices with
  time between them, in which the market refills, cost less than one late and large.

So the first slice that pays for itself is proposed at once, and it is no larger than it needs to be:

* the smallest that brings the account back to the target, which lies below the line, and earns the operator's minimum
  after gas and the cost of selling. A minimum that gas eats makes the slice larger, as far as it may be;
* where the close factor (or the inventory) stops short of the target, the largest it lets that earns the minimum: the
  account is still in the zone at the next head, and the next slice is weighed anew;
* where nothing earns the minimum, the one that earns most: the gate refuses it, and the refusal, with its figures, is
  the record of why we waited.

The close factor falls again when the price recovers, and a call at its very edge would then revert. So a slice keeps a
headroom below what may be covered now. A slice that does not raise health, which is dust here, is not proposed: the
contract's incentive is bounded so that no other lowers it.

It is a pure function, like every strategy: see :mod:`strategies.partial_liquidation` for what that means.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.core.decisions import Alternative, Proposal
from keeper.core.runconfig import PreLiquidationSpec
from keeper.core.units import BaseAmount, Bps, Rounding, TokenAmount, Wad, mul_div
from keeper.core.venue import AccountMargin, Pair, StrategyView
from keeper.margin.slices import Costs, PairSlices, Slice, gas_of

OBJECTIVE = "target-health"
NO_DUST = BaseAmount(0)
"""What is left of a debt is not dust here: it is closed whenever it drifts into the zone again."""


def decide(view: StrategyView, at_risk: Sequence[AccountMargin], spec: PreLiquidationSpec) -> Iterator[Proposal]:
    """Propose at most one slice for each account.

    Args:
        view: The head of one chain.
        at_risk: Accounts past their contract's line, most urgent first.
        spec: The operator's parameters.
    """
    for margin in at_risk:
        proposal = _Account(view, margin, spec).proposal()
        if proposal is not None:
            yield proposal


class _Account:
    """One account and the slices that could be taken of it. ``_beaten`` collects the alternatives."""

    def __init__(self, view: StrategyView, margin: AccountMargin, spec: PreLiquidationSpec) -> None:
        self._view = view
        self._venue = view.venue(margin.venue)
        self._margin = margin
        self._spec = spec
        self._health = margin.health_wad if margin.health_wad is not None else Wad(0)
        self._gas_cost_base, self._gas_note = gas_of(view, margin.venue)
        self._beaten: list[Alternative] = []

    def proposal(self) -> Proposal | None:
        """Weigh every pair and propose the best slice; past the market's line there is no pair, and nothing."""
        found = [each for pair in self._venue.pairs(self._margin.account) if (each := self._sized(pair)) is not None]
        if not found:
            return None
        least, target = self._view.profit_base_min, int(self._spec.target_health)
        earning = [each for each in found if each.profit_base >= least]
        reaching = [each for each in earning if each.health >= target]
        if reaching:
            best, rationale = min(reaching, key=_repaid), f"the smallest slice that restores health to {target}"
        elif earning:
            best, rationale = max(earning, key=_health), "the largest slice short of the target that earns the minimum"
        else:
            best, rationale = max(found, key=_profit), f"waiting: no slice earns the minimum of {least}"
        for each in found:
            if each is not best:
                self._beat(each, "another pair is better")
        return self._propose(best, rationale + self._gas_note)

    def _sized(self, pair: Pair) -> Slice | None:
        """Return a pair's slice, ``None`` when there is none or the contract would refuse it."""
        headroom = Bps(Bps.ONE - int(self._spec.headroom_bps))
        allowed = TokenAmount(mul_div(pair.cover_max, headroom, Bps.ONE, Rounding.FLOOR))
        cover = min(allowed, self._view.inventory(pair.debt_asset))
        if cover <= TokenAmount(0):
            self._pass_over(pair, cover, "no free inventory" if allowed > cover else "nothing may be covered")
            return None
        costs = Costs.of(self._gas_cost_base, pair.collateral_asset, self._spec)
        slices = PairSlices(self._venue, self._margin, pair, cover, costs)
        largest = slices.largest()
        if largest is None:
            self._pass_over(pair, cover, f"would revert: {slices.refusal}")
            return None
        if largest.health <= int(self._health):
            self._beat(largest, "does not raise health")
            return None
        minimum_base = self._view.profit_base_min
        chosen = slices.restoring(largest, self._spec.target_health, minimum_base, NO_DUST)
        if chosen.health <= int(self._health):
            self._beat(chosen, "does not raise health")
            return None
        if largest.preview.cover != chosen.preview.cover:
            takes_more = largest.profit_base >= minimum_base
            self._beat(largest, "takes more than the target needs" if takes_more else "earns less than the minimum")
        return chosen

    def _propose(self, chosen: Slice, rationale: str) -> Proposal:
        return Proposal(
            strategy=self._spec.name,
            venue=self._margin.venue,
            account=self._margin.account,
            epoch=self._margin.epoch,
            objective=OBJECTIVE,
            health_before=self._health,
            preview=chosen.preview,
            gas_cost_base=self._gas_cost_base,
            slippage_base=chosen.slippage_base,
            profit_base=chosen.profit_base,
            rationale=rationale,
            alternatives=tuple(self._beaten),
        )

    def _beat(self, beaten: Slice, why_not: str) -> None:
        pair, preview, _, profit_base = beaten
        assets = (pair.debt_asset, pair.collateral_asset)
        self._beaten.append(Alternative(*assets, preview.cover, preview.health_after, profit_base, why_not))

    def _pass_over(self, pair: Pair, cover: TokenAmount, why_not: str) -> None:
        assets = (pair.debt_asset, pair.collateral_asset)
        self._beaten.append(Alternative(*assets, cover, self._health, BaseAmount(0), why_not))


def _health(found: Slice) -> int:
    return found.health


def _profit(found: Slice) -> int:
    return int(found.profit_base)


def _repaid(found: Slice) -> int:
    return int(found.preview.repaid_base)
