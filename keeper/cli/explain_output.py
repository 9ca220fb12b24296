"""What ``keeper explain`` prints for people: the answer first, then every figure and record that it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from keeper.cli.margin import figure, show_buckets
from keeper.cli.terminal import emit, emit_pairs, emit_table, emit_tree, styled
from keeper.cli.times import written
from keeper.core.ids import to_hex
from keeper.core.units import BigInt
from keeper.observe.lines import dollars, health, percent, short_id
from keeper.report.why_not import DONE, MINED

if TYPE_CHECKING:
    from keeper.cli.explain import AtVenue, Explained
    from keeper.core.decisions import Proposal
    from keeper.core.risk import RiskHealth
    from keeper.report.model import (
        Attempt,
        Change,
        Counterfactual,
        Explanation,
        FactUsed,
        Gate,
        IntentStory,
        Liquidated,
        Moment,
        Refused,
    )

FROM_THE_BEGINNING = "from the beginning"


def show(found: Explained) -> None:
    """Print the answer."""
    if found.intent is not None:
        _title(f"intent {to_hex(found.intent.intent.intent_id)}")
        _show_intent(found.intent)
    for each in found.venues:
        _show_venue(each, found.intent)
    place = f"block {found.watermark.block} of chain {found.watermark.chain} {found.watermark.hash}"
    emit()
    emit(styled(f"{found.account} at sequence {found.sequence}, {place}", "dim"))


def _show_venue(each: AtVenue, shown: IntentStory | None) -> None:
    told, margin = each.explanation, each.explanation.margin
    status = margin.health.status.value
    _title(f"{told.venue} {to_hex(told.account)}: {status if margin.health.reason is None else _unknown(told)}")
    pairs = [
        ("health", f"{health(margin.health_wad)}"),
        ("collateral", dollars(margin.collateral_base)),
        ("debt", dollars(margin.debt_base)),
        (
            "done" if told.why_not.gate.name in (DONE, MINED) else "in the way",
            f"{told.why_not.gate.says}, {_since(told.why_not.gate)}",
        ),
    ]
    emit_pairs([*pairs, *_what_if(told.counterfactual)])
    _show_earlier(told.why_not.earlier)
    _title(f"{each.breakdown.kind} margin")
    show_buckets(each.breakdown)
    _show_opinion(told.opinion, each)
    _show_facts(told.facts)
    for refused in told.refusals:
        _show_refused(refused)
    for story in (one for one in told.intents if one != shown):
        _title(f"intent {to_hex(story.intent.intent_id)}")
        _show_intent(story)
    _show_liquidations(told.liquidations)
    _title("records")
    rows = [
        (str(one.at.sequence), written(one.at.unix_ms), _block(one.at.block), one.kind, one.line)
        for one in told.records
    ]
    emit_table(("sequence", "time", "block", "record", ""), rows, right=("sequence", "block"))


def _unknown(told: Explanation) -> str:
    return f"{told.margin.health.status.value}: {told.margin.health.reason}"


def _what_if(found: Counterfactual | None) -> Iterator[tuple[str, str]]:
    if found is None:
        return
    settings = " ".join(f"--set {change.setting}={change.value}" for change in found.changes)
    outcome = {
        "admitted": f"it would have been admitted at block {found.at.block}",
        "refused": f"it would have been refused at block {found.at.block} by {found.rule}: {found.detail}",
        "nothing": f"nothing would have been proposed at block {found.at.block}",
    }[found.outcome]
    yield "what if", f"with {settings} {outcome}"
    for change in found.changes:
        yield "", _changed(change)


def _changed(change: Change) -> str:
    least = {True: ", one unit stricter is refused still", False: ", which may not be the least", None: ""}
    return f"{change.setting} was {change.was}; {change.rule} lets it pass from {change.value} on{least[change.least]}"


def _show_earlier(gates: Sequence[Gate]) -> None:
    if gates:
        _title("before that")
        rows = [
            ("", "", "", gate.says)
            if gate.since is None
            else (str(gate.since.sequence), written(gate.since.unix_ms), _block(gate.since.block), gate.says)
            for gate in gates
        ]
        emit_table(("sequence", "time", "block", "what"), rows, right=("sequence", "block"))


def _show_opinion(opinion: RiskHealth | None, each: AtVenue) -> None:
    if opinion is None:
        return
    _title(f"second opinion: {opinion.status.value}{'' if opinion.reason is None else f': {opinion.reason}'}")
    scale = next((bucket.scale for bucket in each.breakdown.buckets if bucket.name == opinion.bucket), BigInt(1))
    emit_pairs(
        [
            ("model", f"{opinion.model}, parameters {to_hex(opinion.params)}"),
            ("bucket", opinion.bucket or "-"),
            ("health", health(opinion.health_wad)),
            ("after the moves", health(opinion.stressed_wad)),
            ("left", figure(opinion.surplus, scale) or "0"),
            ("lost by the moves", figure(opinion.loss, scale) or "0"),
            ("chance of a breach", percent(opinion.breach_ppm)),
            ("loss expected", dollars(opinion.loss_expected_base)),
        ]
    )
    rows = [
        (
            to_hex(one.asset),
            figure(one.exposure, scale),
            percent(one.move_ppm),
            figure(one.loss, scale),
            str(one.sequence),
        )
        for one in opinion.components
    ]
    if rows:
        columns = ("exposure", "move", "loss", "price told by")
        emit_table(("asset", *columns), rows, right=columns)


def _show_facts(facts: Sequence[FactUsed]) -> None:
    _title("facts used")
    rows = [
        (
            one.role,
            "" if one.asset is None else to_hex(one.asset),
            str(one.sequence),
            one.kind,
            _block(one.block),
            _age(one),
            one.source,
        )
        for one in facts
    ]
    emit_table(("of", "asset", "sequence", "fact", "block", "before", "source"), rows, right=("sequence", "block"))


def _age(fact: FactUsed) -> str:
    """Write how long before the head a fact was, and whether a price is suspect for it."""
    if fact.age_seconds is None:
        return "-"
    hours = fact.age_seconds / 3600
    return f"{hours:.1f} h{', stale' if fact.stale else ''}" if hours >= 1 else f"{fact.age_seconds} s"


def _show_refused(refused: Refused) -> None:
    _title(f"refused by {refused.rule} {_at(refused.at)}")
    emit(refused.detail)
    _show_proposal(refused.proposal)


def _show_proposal(proposal: Proposal) -> None:
    preview = proposal.preview
    slices = [
        (
            "proposed",
            to_hex(preview.debt_asset),
            to_hex(preview.collateral_asset),
            str(int(preview.cover)),
            health(preview.health_after),
            dollars(proposal.profit_base),
            proposal.rationale,
        )
    ]
    slices += [
        (
            "beaten",
            to_hex(other.debt_asset),
            to_hex(other.collateral_asset),
            str(int(other.cover)),
            health(other.health_after),
            dollars(other.profit_base),
            other.why_not,
        )
        for other in proposal.alternatives
    ]
    figures = ("cover", "health after", "profit")
    emit_table(("slice", "debt", "collateral", *figures, "why"), slices, right=figures)
    costs = f"gas {dollars(proposal.gas_cost_base)}, slippage {dollars(proposal.slippage_base)}"
    emit(f"by {proposal.strategy} for {proposal.objective}, health before {health(proposal.health_before)}; {costs}")


def _show_intent(story: IntentStory) -> None:
    intent = story.intent
    emit_pairs(
        [
            ("what", f"{intent.kind} by {intent.signer} at {intent.venue} of {to_hex(intent.account)}"),
            ("admitted", f"{_at(story.at)}, valid to block {intent.valid_until_block}"),
            ("state", story.state),
            *([("why", intent.why)] if intent.why else []),
            *([("effect", _effect(story.effect))] if story.effect is not None else []),
            *[(stage.stage, f"{stage.ms} ms, {_block(stage.blocks)} blocks") for stage in story.stages],
        ]
    )
    if story.proposal is not None:
        _show_proposal(story.proposal)
    moves = [f"{move.previous} -> {move.state} {_at(move.at)}: {move.reason}" for move in story.moves]
    preflights = [
        f"{_at(one.at)}: {f'{one.gas} gas' if one.revert is None else f'would revert: {one.revert.name}'}"
        for one in story.preflights
    ]
    branches = [("preflights", preflights)] if preflights else []
    branches += [(_attempt(one), _leaves(one)) for one in story.attempts]
    emit_tree(short_id(intent.intent_id), [*branches, ("life cycle", moves)] if moves else branches)


def _attempt(one: Attempt) -> str:
    fees = f"fee {int(one.fee_wei_max)} wei, priority {int(one.priority_fee_wei_max)} wei"
    return f"attempt {one.number} ({one.kind}) {to_hex(one.tx_hash)} {_at(one.at)}: nonce {one.nonce}, {fees}"


def _leaves(one: Attempt) -> list[str]:
    answers = [f"{each.answer} by {each.provider} {_at(each.at)} {each.message}".rstrip() for each in one.answers]
    receipts = [
        f"{'succeeded' if each.succeeded else 'reverted' if each.revert is None else f'reverted: {each.revert.name}'} "
        f"in block {each.block_number}, {each.gas_used} gas at {int(each.gas_price_wei)} wei"
        for each in one.receipts
    ]
    return [*answers, *receipts]


def _effect(seen: Liquidated) -> str:
    return f"{_amounts(seen)} by {to_hex(seen.liquidation.tx_hash)} {_at(seen.at)}"


def _show_liquidations(seen: Sequence[Liquidated]) -> None:
    if not seen:
        return
    _title("liquidations")
    rows = [
        (
            str(one.at.sequence),
            _block(one.at.block),
            to_hex(one.liquidation.liquidator),
            one.verdict.value,
            one.why,
            _amounts(one),
        )
        for one in seen
    ]
    emit_table(("sequence", "block", "by", "verdict", "why", "what"), rows, right=("sequence", "block"))


def _amounts(seen: Liquidated) -> str:
    what = seen.liquidation
    repaid = f"repaid {int(what.repaid)} of {to_hex(what.debt_asset)}"
    return f"{repaid}, seized {int(what.seized)} of {to_hex(what.collateral_asset)}"


def _title(text: str) -> None:
    emit()
    emit(styled(text, "bold"))


def _since(gate: Gate) -> str:
    return FROM_THE_BEGINNING if gate.since is None else f"since {_at(gate.since).removeprefix('at ')}"


def _at(moment: Moment) -> str:
    return f"at block {_block(moment.block)} ({written(moment.unix_ms)}, sequence {moment.sequence})"


def _block(number: int | None) -> str:
    return "-" if number is None else str(number)
