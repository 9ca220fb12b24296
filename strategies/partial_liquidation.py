"""Close an unsafe account a slice at a time.

A strategy answers one question: *given these accounts at risk, what would you do?* It is a pure function: it sees the
head of the chain through ``view`` (exact venue arithmetic, free inventory, the price of gas) and yields proposals. It
never sends anything, never reads a clock, and never needs to ask whether it may: the policy gate decides that, and
journals its refusal beside the proposal. Proposals are taken one at a time, so the inventory seen for the second
account is what the first one left.

Two objectives:

``target-health``
    The smallest slice, by repaid value, that restores the target health, over all debt and collateral pairs; one that
    would leave less than the dust limit of its debt takes all that may be covered. A slice that earns something comes
    before one that does not. When no pair reaches the target, the slice that raises health the most. When every slice
    lowers health (the bonus takes more than the debt relief gives: a *toxic* account), the most profitable full cover,
    if it has a profit at all, because then somebody will take it anyway.
``max-profit``
    The slice with the largest profit. Profit is linear in the cover until the collateral is exhausted, and the contract
    takes no more than that, so the full cover of each pair is the only candidate.

Profit is what is seized less what is repaid, less gas, less the assumed cost of selling the seized collateral.
A slice whose call would revert is never proposed. Every proposal carries the alternatives it beat, each with why.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from keeper.core.decisions import Alternative, Proposal
from keeper.core.ids import to_hex
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.units import UINT256_MAX, BaseAmount, Bps, Rounding, TokenAmount, Wad, mul_div
from keeper.core.venue import AccountMargin, Pair, Preview, StrategyView, VenueView
from keeper.margin.sizing import smallest_cover, target_cover_base

REVERTS = -1
"""The health of a slice that the contract would refuse: below every target."""


class Slice(NamedTuple):
    """A candidate that the contract would accept, and what it earns (USD 1e-8)."""

    pair: Pair
    preview: Preview
    slippage_base: BaseAmount
    profit_base: BaseAmount


def decide(view: StrategyView, at_risk: Sequence[AccountMargin], spec: PartialLiquidationSpec) -> Iterator[Proposal]:
    """Propose at most one slice for each account.

    Args:
        view: The head of one chain.
        at_risk: Liquidatable accounts of that chain, lowest health first.
        spec: The operator's parameters.
    """
    for margin in at_risk:
        proposal = _Account(view, margin, spec).proposal()
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
        gas_cost_base = view.gas_cost_base(margin.venue, self._venue.liquidation_gas)
        self._gas_note = "" if gas_cost_base is not None else "; gas cannot be valued and counts as nothing"
        self._gas_cost_base = gas_cost_base if gas_cost_base is not None else BaseAmount(0)
        self._beaten: list[Alternative] = []

    def proposal(self) -> Proposal | None:
        """Weigh every pair and propose the best slice, if there is one."""
        full = [found for pair in self._venue.pairs(self._margin.account) for found in self._full_cover(pair)]
        if not full:
            return None
        if self._spec.objective == "max-profit":
            return self._propose(max(full, key=_profit), full, "the largest profit", "earns less")
        return self._restore(full)

    def _restore(self, full: list[Slice]) -> Proposal | None:
        """Choose for the objective ``target-health``; ``full`` has the largest slice of each pair."""
        reaching = [self._smallest(found) for found in full if _reaches(found, self._spec.target_health)]
        if reaching:
            self._beat([found for found in full if not _reaches(found, self._spec.target_health)], "misses the target")
            rationale = f"the smallest slice that restores health to {self._spec.target_health}"
            return self._propose(
                min(reaching, key=_earning_then_small), reaching, rationale, "repays more, or earns nothing"
            )
        best = max(full, key=_health)
        if _health(best) > int(self._health):
            return self._propose(best, full, "no slice restores the target; this raises health the most", "raises less")
        best = max(full, key=_profit)
        if best.profit_base <= BaseAmount(0):
            return None
        rationale = "toxic: every slice lowers health; the most profitable full cover"
        return self._propose(best, full, rationale, "earns less")

    def _full_cover(self, pair: Pair) -> list[Slice]:
        """Return the largest slice of a pair, or nothing when there is none or the contract would refuse it."""
        inventory = self._view.inventory(pair.debt_asset)
        cover = min(pair.cover_max, inventory)
        if cover <= TokenAmount(0):
            self._pass_over(pair, cover, "no free inventory" if pair.cover_max > cover else "nothing may be covered")
            return []
        preview = self._preview(pair, int(cover))
        if preview.revert is not None:
            self._pass_over(pair, cover, f"would revert: {preview.revert}")
            return []
        return [self._slice(pair, preview)]

    def _smallest(self, full: Slice) -> Slice:
        """Return the smallest slice of a pair that reaches the target, or the full one when dust would be left."""
        pair, limit = full.pair, int(full.preview.cover)
        cover = smallest_cover(
            lambda cover: _health_after(self._preview(pair, cover)),
            limit,
            int(self._spec.target_health),
            self._guess(full),
        )
        if cover is None or cover == limit:
            return full
        found = self._slice(pair, self._preview(pair, cover))
        left_base = pair.debt_base - found.preview.repaid_base
        return full if BaseAmount(0) < left_base < self._spec.dust_base else found

    def _guess(self, full: Slice) -> int:
        """Return the closed form's cover in tokens, or the full cover where it has no answer."""
        pair, limit = full.pair, full.preview.cover
        target_base = target_cover_base(
            self._margin.debt_base, self._health, self._spec.target_health, pair.bonus, pair.liquidation_threshold
        )
        limit_base = self._venue.value_base(pair.debt_asset, limit)
        if target_base is None or not limit_base:
            return int(limit)
        return mul_div(limit, target_base, int(limit_base), Rounding.CEIL)

    def _preview(self, pair: Pair, cover: int) -> Preview:
        return self._venue.preview(self._margin.account, pair.debt_asset, pair.collateral_asset, TokenAmount(cover))

    def _slice(self, pair: Pair, preview: Preview) -> Slice:
        bps = self._spec.slippage_bps.get(to_hex(pair.collateral_asset), self._spec.slippage_bps_default)
        slippage_base = BaseAmount(mul_div(preview.seized_base, bps, Bps.ONE, Rounding.CEIL))
        profit_base = preview.seized_base - preview.repaid_base - self._gas_cost_base - slippage_base
        return Slice(pair, preview, slippage_base, profit_base)

    def _propose(self, chosen: Slice, considered: list[Slice], rationale: str, why_not: str) -> Proposal:
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


def _health_after(preview: Preview) -> int | None:
    if preview.revert is not None:
        return REVERTS
    return None if preview.health_after is None else int(preview.health_after)


def _health(found: Slice) -> int:
    """Order slices by the health they leave; no debt left is the best."""
    return UINT256_MAX if found.preview.health_after is None else int(found.preview.health_after)


def _reaches(found: Slice, target: Wad) -> bool:
    return _health(found) >= int(target)


def _profit(found: Slice) -> int:
    return int(found.profit_base)


def _earning_then_small(found: Slice) -> tuple[bool, int]:
    return (found.profit_base <= BaseAmount(0), int(found.preview.repaid_base))
