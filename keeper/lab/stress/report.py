"""The report of a comparison: one HTML file with its charts in it, which asks nothing of any network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jinja2
import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from keeper import __version__
from keeper.lab.stress.answer import LIMITS, answer
from keeper.lab.stress.compare import ALL, METRIC, METRICS, Comparison, Estimate
from keeper.lab.stress.policies import POLICIES
from keeper.lab.stress.results import Trace
from keeper.lab.stress.toy import spiral
from keeper.risk.toxicity import cp_amm_slippage, toxic_frontier

BARS = ("extra_drop", "bad_debt_usd", "repaid_usd")
TRACED_MAX = 5
"""How many policies one chart of prices shows."""
COLLATERAL_USD = 1e6
BONUSES = (0.05, 0.10, 0.15)
TOY_DEPTHS = np.geomspace(1_000, 100_000, 60)
HEIGHT = 420


class Chart(NamedTuple):
    """A figure and what it says."""

    title: str
    note: str
    html: Markup


class TableCell(NamedTuple):
    """A cell; ``clear`` sets it in bold."""

    text: str
    clear: bool = False


class Table(NamedTuple):
    """A table and what it says."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[list[TableCell]]


def report(comparison: Comparison, traces: Mapping[tuple[str, str], Trace]) -> str:
    """Return the report.

    Args:
        comparison: What was compared.
        traces: Runs by hour, by (scenario, policy).
    """
    loader = jinja2.PackageLoader("keeper.lab.stress")
    environment = jinja2.Environment(loader=loader, autoescape=True, trim_blocks=True, undefined=jinja2.StrictUndefined)
    charts = [*(_bars(comparison, name) for name in BARS), _trade_off(comparison)]
    charts += [_prices(name, traces) for name in comparison.scenarios if any(name == place for place, _ in traces)]
    charts += [_frontier(), _phase_change()]
    rendered: str = environment.get_template("report.html.j2").render(
        answer=answer(comparison),
        charts=charts,
        tables=[_figures(comparison), _contrasts(comparison)],
        limits=LIMITS,
        policies=[POLICIES[name] for name in comparison.policies],
        plotly=Markup(get_plotlyjs()),  # noqa: S704 - the library's own code
        seeds=", ".join(map(str, comparison.seeds)),
        version=__version__,
    )
    return rendered


def _chart(title: str, note: str, figure: go.Figure) -> Chart:
    figure.update_layout(template="plotly_white", height=HEIGHT, margin={"t": 20, "r": 20}, legend={"orientation": "h"})
    html = figure.to_html(full_html=False, include_plotlyjs=False, div_id="".join(filter(str.isalnum, title)))
    return Chart(title, note, Markup(html))  # noqa: S704 - made by the library, of numbers and the names of policies


def _bars(comparison: Comparison, name: str) -> Chart:
    metric, figure = METRIC[name], go.Figure()
    for policy in comparison.policies:
        found = [comparison.cell(place, policy).figures[name] for place in (*comparison.scenarios, ALL)]
        figure.add_bar(
            name=policy,
            x=[*comparison.scenarios, ALL],
            y=[each.mean for each in found],
            error_y={"type": "data", "array": [_reach(each) for each in found], "thickness": 1},
        )
    figure.update_layout(barmode="group", yaxis_title=f"{metric.title}, {metric.unit}")
    return _chart(metric.title.capitalize(), "Means over seeds with 95 % intervals.", figure)


def _trade_off(comparison: Comparison) -> Chart:
    figure = go.Figure()
    for policy in comparison.policies:
        figures = comparison.cell(ALL, policy).figures
        withdrawn, debt = figures["withdrawn_stressed"], figures["bad_debt_usd"]
        figure.add_scatter(
            name=policy,
            x=[withdrawn.mean],
            y=[debt.mean],
            mode="markers",
            marker={"size": 12},
            error_x={"type": "data", "array": [_reach(withdrawn)], "thickness": 1},
            error_y={"type": "data", "array": [_reach(debt)], "thickness": 1},
        )
    figure.update_layout(xaxis_title="capacity withdrawn when the market moves most, %", yaxis_title="bad debt, M USD")
    note = (
        "Averages over the scenarios: to the left a venue lends on through the storm, at the bottom it loses nothing."
    )
    return _chart("Solvency against liquidity", note, figure)


def _prices(scenario: str, traces: Mapping[tuple[str, str], Trace]) -> Chart:
    figure = go.Figure()
    shown = [(policy, trace) for (place, policy), trace in traces.items() if place == scenario]
    for policy, trace in _telling(shown):
        figure.add_scatter(name=policy, x=trace.hours, y=trace.market_usd, mode="lines", line={"width": 1.3})
    first = shown[0][1]
    figure.add_scatter(
        name="without forced sales",
        x=first.hours,
        y=first.undisturbed_usd,
        mode="lines",
        line={"color": "#888", "dash": "dot"},
    )
    figure.update_layout(xaxis_title="hours", yaxis_title="ether, USD")
    return _chart(f"Ether's price in {scenario}", "The first seed, by the hour.", figure)


def _telling(shown: list[tuple[str, Trace]]) -> list[tuple[str, Trace]]:
    """Return the policies that one chart has room for: those that differ most from the path, and the first."""
    ranked = sorted(shown[1:], key=lambda each: min(each[1].market_usd))
    return [*shown[:1], *ranked[: TRACED_MAX - 1]]


def _frontier() -> Chart:
    depths, figure = np.geomspace(0.5, 1000, 80), go.Figure()
    for bonus in BONUSES:
        line = toxic_frontier(bonus, cp_amm_slippage(COLLATERAL_USD, depths * COLLATERAL_USD))
        figure.add_scatter(name=f"bonus {bonus:.0%}", x=depths.tolist(), y=(100 * line).tolist(), mode="lines")
    figure.update_layout(
        xaxis={"title": "the pool's reserve of dollars, by the account's collateral", "type": "log"},
        yaxis_title="loan to value, %",
    )
    note = "Above its line, repaying some of a debt and selling what is seized worsens the account's loan to value."
    return _chart("The toxic frontier", note, figure)


def _phase_change() -> Chart:
    found, figure = [spiral(float(depth)) for depth in TOY_DEPTHS], go.Figure()
    depths = TOY_DEPTHS.tolist()
    figure.add_scatter(name="accounts liquidated, of 20", x=depths, y=[each.accounts for each in found], mode="lines")
    drops = [100 * each.drop for each in found]
    figure.add_scatter(name="fall of the price, %", x=depths, y=drops, mode="lines", yaxis="y2")
    figure.update_layout(
        xaxis={"title": "depth of the pool, coins", "type": "log"},
        yaxis_title="accounts",
        yaxis2={"title": "%", "overlaying": "y", "side": "right"},
    )
    note = "Twenty equal accounts of 100 coins, a shock of 10 %, all that is seized sold at once: one depth divides."
    return _chart("Where a spiral begins", note, figure)


def _figures(comparison: Comparison) -> Table:
    risk = ("VaR 95 %", "VaR 99 %", "LaR 95 %", "LaR 99 %")
    columns = ("scenario", "policy", *(f"{metric.title}, {metric.unit}" for metric in METRICS), *risk)
    rows = [
        [
            TableCell(cell.scenario),
            TableCell(cell.policy),
            *(TableCell(_text(cell.figures[metric.name])) for metric in METRICS),
            *(TableCell(f"{value:,.2f}") for value in (cell.var95, cell.var99, cell.lar95, cell.lar99)),
        ]
        for cell in comparison.cells
    ]
    note = (
        "Means over seeds with 95 % intervals. VaR is the percentile of bad debt over all runs of a row, LaR that of "
        "what is repaid by force, both in M USD; with few runs a percentile is nearly the worst of them."
    )
    return Table("All figures", note, columns, rows)


def _contrasts(comparison: Comparison) -> Table:
    columns = ("scenario", "policy less another", *(f"{metric.title}, {metric.unit}" for metric in METRICS))
    rows = [
        [
            TableCell(each.scenario),
            TableCell(f"{each.policy} - {each.against}"),
            *(TableCell(_text(each.figures[m.name]), clear=each.figures[m.name].is_clear) for m in METRICS),
        ]
        for each in comparison.contrasts
    ]
    return Table("Differences, seed by seed", "In bold where the 95 % interval leaves zero out.", columns, rows)


def _reach(figure: Estimate) -> float:
    return 0.0 if figure.high is None else figure.high - figure.mean


def _text(figure: Estimate) -> str:
    if figure.low is None or figure.high is None:
        return f"{figure.mean:,.2f}"
    return f"{figure.mean:,.2f} [{figure.low:,.2f}, {figure.high:,.2f}]"
