"""A postmortem as one HTML file: styles, charts and records in it, no script, nothing from any network.

Everything that is shown goes through the template's escaping; figures are rounded here, the exact ones are in the JSON.
"""

from __future__ import annotations

from importlib.resources import files

import jinja2
from markupsafe import Markup

from keeper.core.ids import to_hex
from keeper.report import wording
from keeper.report.charts import charts, lanes, stage_bars, time_of, time_ticks
from keeper.report.incident import Incident

ROWS_OPEN = 12
"""A longer table is folded behind these rows."""


def page(told: Incident) -> str:
    """Return the file's text."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keeper.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    written = ("usd", "factor", "ether", "gwei", "span", "short", "utc", "clock", "counted")
    environment.filters |= {name: getattr(wording, name) for name in written}
    environment.filters["hex"] = to_hex
    style = files("keeper.report").joinpath("templates", "postmortem.css").read_text(encoding="utf-8")
    rendered: str = environment.get_template("postmortem.html.j2").render(
        told=told,
        charts=charts(told),
        lanes=lanes(told),
        lane_ticks=time_ticks(time_of(told)),
        bars={stage: places for stage, *places in stage_bars(told)},
        quoted=frozenset(each.at.sequence for each in told.citations),
        tiles=tiles(told),
        accounts=sorted(told.accounts, key=lambda each: (-int(each.repaid_base), each.venue, each.account)),
        style=Markup(style),  # noqa: S704 - the package's own file
        rows_open=ROWS_OPEN,
        none=wording.NOTHING,
    )
    return rendered


def tiles(told: Incident) -> list[tuple[str, str, str, str]]:
    """Return the figures at the top: name, value, what it is made of, and its tone."""
    hurt = {(each.venue, each.account) for each in told.breaches if each.status == "liquidatable"}
    helped = {(each.venue, each.account) for each in told.ours}
    called = {(each.venue, each.account) for each in told.calls}
    worst = sum(max((int(point.base) for point in path.points), default=0) for path in told.bad_debt)
    last = sum(int(path.points[-1].base) for path in told.bad_debt if path.points)
    stage = {each.stage: each for each in told.stages}
    waits = [wording.span(stage[name].median_ms) for name in ("decided", "sent", "included") if name in stage]
    gas = sum(int(each.wei) for each in told.gas)
    refused = sum(each.count for each in told.refusals)
    earned = sum(int(each.profit_base) for each in told.earned)
    repaid = sum(int(each.repaid_base) for each in told.earned)
    return [
        ("Profit", wording.usd(earned), f"{wording.usd(repaid)} repaid, final", "bad" if earned < 0 else "good"),
        ("Our slices", f"{len(told.ours):,}", f"of {wording.counted(len(helped), 'account')}", "good"),
        ("Fell below the line", f"{len(hurt):,}", f"{len(called):,} accounts were called", "bad" if hurt else "good"),
        (
            "Taken by others",
            f"{len(told.others):,}",
            "liquidations that were not ours",
            "bad" if told.others else "good",
        ),
        ("Bad debt at worst", wording.usd(worst), f"{wording.usd(last)} at the end", "bad" if worst else "good"),
        ("Median latency", " + ".join(waits) or wording.NOTHING, "decided, sent, included", ""),
        ("Gas", wording.ether(gas), f"coins, {sum(each.transactions for each in told.gas):,} transactions", ""),
        ("Refused proposals", f"{refused:,}", f"{len(told.reorgs):,} reorgs, {len(told.troubles):,} faults", ""),
    ]
