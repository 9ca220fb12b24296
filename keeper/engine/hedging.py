"""What hedges are proposed, and which of them are news: a plan that lasts is recorded once, not at every block."""

from __future__ import annotations

from keeper.core.decisions import AnyDecision, HedgeProposed
from keeper.core.own_money import HedgePlan
from keeper.core.runconfig import DeltaHedgeSpec
from keeper.engine.round import Round, of_kind
from keeper.engine.view import Decide


def hedge(head: Round, spec: DeltaHedgeSpec, decide: Decide) -> list[AnyDecision]:
    """Record the plans that differ materially from those on record.

    Args:
        head: The round.
        spec: What is looked at; of another chain, nothing is.
        decide: The strategy.
    """
    if spec.hedge_venue not in head.ledgers:
        return []
    known, decisions = head.state.hedges, list[AnyDecision]()
    names = dict.fromkeys((*spec.venues, spec.hedge_venue))
    margins = [head.ledgers[name].margin(account) for name in names for account in spec.accounts]
    signer = head.signers(spec)[0]
    for plan in of_kind(HedgePlan, decide(head.view(signer), margins, spec)):
        key = (plan.strategy, plan.market)
        if is_news(known.get(key), plan):
            known[key] = plan
            decisions.append(HedgeProposed(plan, head.header.number))
    return decisions


def is_news(known: HedgePlan | None, plan: HedgePlan) -> bool:
    """Tell whether a plan is another than the one on record: begun, ended, turned, or changed by more than the band.

    Args:
        known: What was recorded last of the market, ``None`` for nothing.
        plan: What is planned now.
    """
    before = 0 if known is None else int(known.size_base)
    now = int(plan.size_base)
    if bool(plan.size) is not (known is not None and bool(known.size)):
        return True
    return before * now < 0 or abs(now - before) > int(plan.band_base)
