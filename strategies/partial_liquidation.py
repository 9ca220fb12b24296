"""Close an unsafe account a slice at a time.

A strategy answers one question: *given these accounts at risk, what would you do?* It is a pure function: it sees the
head of the chain through ``view`` (exact venue arithmetic, free inventory, the price of gas) and yields proposals. It
never sends anything, never reads a clock, and never needs to ask whether it may: the policy gate decides that, and
journals its refusal beside the proposal. Proposals are taken one at a time, so the inventory seen for the second
account is what the first one left.

Two objectives:

``target-health``
    The smallest slice, by repaid value, that restores the target health and earns the operator's minimum, over all debt
    and collateral pairs; one that would leave less than the dust limit of its debt takes all that may be covered. A
    slice that earns something comes before one that does not. When none does both, the one that raises health the most
    among those that earn the minimum.
``max-profit``
    The slice with the largest profit, over all covers of all pairs.

Profit is what is seized less what is repaid, less gas, less the assumed cost of selling the seized collateral, which
grows faster than the amount where the operator gives a token an impact.

A slice that lowers health (the bonus takes more than the debt relief gives: a *toxic* one) is held back, with one
exception: where debt will be left whatever is done, all that the contract lets be taken at once, if it earns something,
because then somebody will take it anyway. When nothing earns the minimum, the slice that earns most is proposed all the
same: the gate refuses it, and its refusal is on record with the figures.

Where the venue hands positions over instead, :mod:`strategies.takeover` sizes what is taken over, by the same
objectives; what it does not find is looked for among the pairs.

A slice whose call would revert is never proposed. Every proposal carries the alternatives it beat, each with why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from keeper.core.decisions import Alternative, Proposal
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.units import BaseAmount, TokenAmount, Wad
from keeper.core.venue import AccountMargin, Pair, StrategyView, VenueView
from keeper.margin.slices import Costs, PairSlices, Slice, gas_of
from strategies.takeover import AccountTakeovers

TOXIC = "toxic: lowers health"


def decide(view: StrategyView, at_risk: Sequence[AccountMargin], spec: PartialLiquidationSpec) -> Iterator[Proposal]:
    """Propose at most one slice for each account.

    Args:
        view: The head of one chain.
        at_risk: Liquidatable accounts of that chain, most urgent first.
        spec: The operator's parameters.
    """
    for margin in at_risk:
        takeovers = view.venue(margin.venue).takeovers
        taken = None if takeovers is None else AccountTakeovers(view, takeovers, margin, spec).proposal()
        proposal = taken or _Account(view, margin, spec).proposal()
        if proposal is not None:
            yield proposal


class _Account:
    """One account and the slices that could be taken of it. ``_beaten`` collects the alternatives."""

    def __init__(self, view: StrategyView, margin: AccountMargin, spec: PartialLiquidationSpec) -> None:
        self._view = view
        self._venue: VenueView = view.venue(margin.venue)
        self._margin = margin
        self._spec = spec
        self._health = margin.health_wad if margin.health_wad is not None else Wad(0)
        self._gas_cost_base, self._gas_note = gas_of(view, margin.venue)
        self._minimum_base = view.profit_base_min
        self._beaten: list[Alternative] = []

    def proposal(self) -> Proposal | None:
        """Weigh every pair and propose the best slice, if there is one."""
        sized = [found for pair in self._venue.pairs(self._margin.account) for found in self._sized(pair)]
        raising = [found for _, found in sized if found.health > int(self._health)]
        earning = [found for found in raising if found.profit_base >= self._minimum_base]
        toxic = [(slices, found) for slices, found in sized if found.health <= int(self._health)]
        if earning:
            self._beat([found for _, found in toxic], TOXIC)
            self._beat([found for found in raising if found.profit_base < self._minimum_base], "below the minimum")
            return self._best(earning, {id(found): slices for slices, found in sized})
        realising = [
            found for slices, found in toxic if slices.realises_bad_debt(found) and found.profit_base > BaseAmount(0)
        ]
        if realising and (not raising or max(map(_profit, realising)) >= int(self._minimum_base)):
            self._beat([found for _, found in sized if not _among(found, realising)], "toxic, or below the minimum")
            rationale = "toxic: debt will be left whatever is done; the most profitable of all that may be taken"
            return self._propose(max(realising, key=_profit), realising, rationale, "earns less")
        if raising:
            self._beat([found for _, found in toxic], TOXIC)
            rationale = f"no slice earns the minimum of {self._minimum_base}; this earns the most"
            return self._propose(max(raising, key=_profit), raising, rationale, "earns less")
        if not toxic:
            return None
        slices = [found for _, found in toxic]
        rationale = "toxic: every slice lowers health, and none realises bad debt at a profit"
        return self._propose(max(slices, key=_profit), slices, rationale, TOXIC, held_back=rationale)

    def _best(self, earning: list[Slice], slices: dict[int, PairSlices]) -> Proposal:
        """Choose among slices that raise health and earn the minimum."""
        if self._spec.objective == "max-profit":
            best = max(earning, key=_profit)
            self._split(slices[id(best)], best)
            return self._propose(best, earning, "the largest profit", "earns less")
        target = self._spec.target_health
        reaching = [found for found in earning if found.health >= int(target)]
        if reaching:
            self._beat([found for found in earning if not _among(found, reaching)], "misses the target")
            rationale = f"the smallest slice that restores health to {target}"
            return self._propose(
                min(reaching, key=_earning_then_small), reaching, rationale, "repays more, or earns nothing"
            )
        rationale = "no slice restores the target; this raises health the most"
        return self._propose(max(earning, key=_raised), earning, rationale, "raises less")

    def _split(self, slices: PairSlices, best: Slice) -> None:
        """Say what the same pair would earn in two slices, where the close factor binds."""
        split = slices.split()
        if split is None:
            return
        more = split.profit_base > best.profit_base
        why_not = "in two slices: earns more, if no rival takes the second" if more else "in two slices: earns less"
        first = split.first._replace(profit_base=split.profit_base)
        self._beat([first], why_not)

    def _sized(self, pair: Pair) -> list[tuple[PairSlices, Slice]]:
        """Return a pair's slice for the objective, or nothing when there is none or the contract would refuse it."""
        inventory = self._view.inventory(pair.debt_asset)
        cover = min(pair.cover_max, inventory)
        if cover <= TokenAmount(0):
            self._pass_over(pair, cover, "no free inventory" if pair.cover_max > cover else "nothing may be covered")
            return []
        costs = Costs.of(self._gas_cost_base, pair.collateral_asset, self._spec)
        slices = PairSlices(self._venue, self._margin, pair, cover, costs)
        largest = slices.largest()
        if largest is None:
            self._pass_over(pair, cover, f"would revert: {slices.refusal}")
            return []
        if largest.health <= int(self._health):
            return [(slices, largest)]
        if self._spec.objective == "max-profit":
            return [(slices, slices.most_profitable(largest))]
        spec = self._spec
        return [(slices, slices.restoring(largest, spec.target_health, self._minimum_base, spec.dust_base))]

    def _propose(
        self, chosen: Slice, considered: list[Slice], rationale: str, why_not: str, held_back: str | None = None
    ) -> Proposal:
        self._beat([found for found in considered if found is not chosen], why_not)
        return Proposal(
            strategy=self._spec.name,
            venue=self._margin.venue,
            account=self._margin.account,
            epoch=self._margin.epoch,
            objective=self._spec.objective,
            health_before=self._health,
            preview=chosen.preview,
            gas_cost_base=self._gas_cost_base,
            slippage_base=chosen.slippage_base,
            profit_base=chosen.profit_base,
            rationale=rationale + self._gas_note,
            alternatives=tuple(self._beaten),
            held_back=held_back,
        )

    def _beat(self, slices: list[Slice], why_not: str) -> None:
        for pair, preview, _, profit_base in slices:
            self._beaten.append(
                Alternative(
                    pair.debt_asset, pair.collateral_asset, preview.cover, preview.health_after, profit_base, why_not
                )
            )

    def _pass_over(self, pair: Pair, cover: TokenAmount, why_not: str) -> None:
        self._beaten.append(
            Alternative(pair.debt_asset, pair.collateral_asset, cover, self._health, BaseAmount(0), why_not)
        )


def _among(found: Slice, slices: list[Slice]) -> bool:
    return any(found is each for each in slices)


def _raised(found: Slice) -> int:
    return found.health


def _profit(found: Slice) -> int:
    return int(found.profit_base)


def _earning_then_small(found: Slice) -> tuple[bool, int]:
    return (found.profit_base <= BaseAmount(0), int(found.preview.repaid_base))
