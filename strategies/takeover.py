"""Take part of an unsafe position over, where liquidators do not repay a debt but step into a position.

What is decided is how much of which market: no more than the protocol lets be taken at once, than the operator lets
one intent cost, and than the signer's free collateral at the venue carries.

* ``target-health``: the smallest size, by notional, that brings value over requirement to the target and earns the
  operator's minimum. Where none does, the one that raises it the most. Where every one lowers it (the penalty takes
  more than the requirement falls, below two fifths), all that may be taken: what is left of such an account is a loss
  that grows. What would leave less than the dust limit takes all that may be taken, and so does what leaves no
  requirement: the contract counts a crumb of a position as none, and would keep it.
* ``max-profit``: the largest fee after gas and the cost of leaving the position again.

Where the free collateral carries nothing that earns the minimum, what would be done with enough of it is proposed all
the same: the gate refuses it, and the refusal says how much is missing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from keeper.core.decisions import Alternative, Proposal
from keeper.core.ids import Address
from keeper.core.runconfig import PartialLiquidationSpec
from keeper.core.takeover import TakeoverView
from keeper.core.units import UINT256_MAX, BaseAmount, TokenAmount, Wad
from keeper.core.venue import AccountMargin, Preview, StrategyView
from keeper.margin.sizing import largest_cover, most_profitable_cover, smallest_cover
from keeper.margin.slices import Costs, gas_of

NO_HEALTH = -(2**255)
"""The health of what the contract would refuse: below every other."""


class Taken(NamedTuple):
    """A size that the contract would hand over, and what it earns (USD 1e-8)."""

    preview: Preview
    slippage_base: BaseAmount
    profit_base: BaseAmount

    @property
    def health(self) -> int:
        """The health it leaves; no requirement left is the best."""
        return _health(self.preview)


class AccountTakeovers:
    """One account and what could be taken over of it.

    Args:
        view: The head, through the eyes of one signer.
        takeovers: The venue's.
        margin: The account, at the head.
        spec: The operator's parameters; slippage is by base token and is what leaving the position costs.
    """

    def __init__(
        self, view: StrategyView, takeovers: TakeoverView, margin: AccountMargin, spec: PartialLiquidationSpec
    ) -> None:
        self._view = view
        self._takeovers = takeovers
        self._margin = margin
        self._spec = spec
        self._now = int(margin.health_wad or 0)
        self._gas_cost_base, self._gas_note = gas_of(view, margin.venue)
        self._reserved_base = view.margin_reserved_base(margin.venue)
        self._beaten: list[Alternative] = []

    def proposal(self) -> Proposal | None:
        """Weigh every market and propose the best size, if there is one; one's own position is left, not taken over."""
        if self._margin.account == self._view.signer:
            return None
        markets = self._takeovers.largest(self._margin.account)
        carried = [found for market, most in markets if (found := self._sized(market, int(most), funded=True))]
        carried = [found for found in carried if found.profit_base >= self._view.profit_base_min]
        sized = carried or [found for market, most in markets if (found := self._sized(market, int(most)))]
        if not sized:
            return None
        best, rationale, why_not = self._best(sized)
        for found in sized:
            if found is not best:
                self._beat(found.preview, found.profit_base, why_not)
        return Proposal(
            strategy=self._spec.name,
            venue=self._margin.venue,
            account=self._margin.account,
            epoch=self._margin.epoch,
            objective=self._spec.objective,
            health_before=Wad(self._now),
            preview=best.preview,
            gas_cost_base=self._gas_cost_base,
            slippage_base=best.slippage_base,
            profit_base=best.profit_base,
            rationale=rationale + self._gas_note,
            alternatives=tuple(self._beaten),
        )

    def _best(self, sized: list[Taken]) -> tuple[Taken, str, str]:
        """Return the best, why it is, and why the others are not."""
        if self._spec.objective == "max-profit":
            return max(sized, key=_profit), "the largest profit", "earns less"
        target = int(self._spec.target_health)
        reaching = [found for found in sized if found.health >= target]
        if reaching:
            rationale = f"the smallest size that restores health to {target}"
            return min(reaching, key=_notional), rationale, "takes more over, or misses the target"
        raising = [found for found in sized if found.health > self._now]
        if raising:
            return max(raising, key=lambda found: found.health), "no size restores the target", "raises less"
        rationale = "every size lowers health; all that may be taken at once"
        return max(sized, key=_notional), rationale, "takes less over"

    def _sized(self, market: Address, most: int, *, funded: bool = False) -> Taken | None:
        """Return a market's size for the objective, or nothing when the contract would refuse all.

        With ``funded`` it is one that the signer's free collateral carries.
        """
        previews: dict[int, Preview] = {}

        def told(size: int) -> Preview:
            if size not in previews:
                previews[size] = self._takeovers.preview(
                    self._margin.account, market, TokenAmount(size), self._view.signer
                )
            return previews[size]

        size = largest_cover(lambda each: self._is_taken(told(each), funded=funded), most)
        if size is None:
            self._beat(told(most), BaseAmount(0), _reason(told(most)))
            return None
        if self._spec.objective == "max-profit":
            size = most_profitable_cover(lambda each: _profit(self._weighed(told(each))), size, [size]) or size
        elif _health(told(size)) > self._now:
            size = self._smallest(told, size)
        return self._weighed(told(size))

    def _smallest(self, told: Callable[[int], Preview], most: int) -> int:
        """Return the smallest size that reaches the target and earns the minimum, as far as any does."""
        target, least = int(self._spec.target_health), int(self._view.profit_base_min)
        size = smallest_cover(lambda each: _health(told(each)), most, target, most // 2) or most
        if _profit(self._weighed(told(size))) < least:
            size = smallest_cover(lambda each: _profit(self._weighed(told(each))), most, least, size) or size
        left_base = told(most).repaid_base - told(size).repaid_base
        return most if told(size).health_after is None or left_base < self._spec.dust_base else size

    def _is_taken(self, preview: Preview, *, funded: bool) -> bool:
        taken = preview.takeover
        if preview.revert is not None or taken is None or preview.repaid_base > self._view.spend_base_max:
            return False
        return not funded or taken.free_base >= self._reserved_base

    def _weighed(self, preview: Preview) -> Taken:
        costs = Costs.of(self._gas_cost_base, preview.collateral_asset, self._spec)
        slippage = costs.slippage.cost_base(preview.repaid_base)
        return Taken(preview, slippage, preview.seized_base - preview.repaid_base - slippage - self._gas_cost_base)

    def _beat(self, preview: Preview, profit_base: BaseAmount, why_not: str) -> None:
        self._beaten.append(
            Alternative(
                preview.debt_asset,
                preview.collateral_asset,
                preview.cover,
                preview.health_after,
                profit_base,
                why_not,
            )
        )


def _reason(preview: Preview) -> str:
    if preview.revert is not None:
        return f"would revert: {preview.revert}"
    return "the free collateral carries none of it, or one intent may not cost as much"


def _health(preview: Preview) -> int:
    if preview.revert is not None:
        return NO_HEALTH
    return UINT256_MAX if preview.health_after is None else int(preview.health_after)


def _profit(found: Taken) -> int:
    return int(found.profit_base)


def _notional(found: Taken) -> int:
    return int(found.preview.repaid_base)
