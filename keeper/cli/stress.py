"""``keeper stress``: the risk engine tried on what markets have done before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from keeper.cli.options import JsonOption
from keeper.cli.stress_contagion import command as contagion
from keeper.cli.stress_inventory import command as inventory
from keeper.cli.stress_lab import compare_command, list_command, run_command
from keeper.cli.terminal import emit_json, emit_table
from keeper.core.errors import NotHolding

if TYPE_CHECKING:
    from keeper.lab.stress.backtest import BacktestRow

app = typer.Typer(no_args_is_help=True, help="Try the risk engine on what markets have done before.")
app.command("contagion", epilog="Example: keeper stress contagion -c keeper.toml --asset all --shock 30")(contagion)
app.command("inventory", epilog="Example: keeper stress inventory -c keeper.toml --horizon 900")(inventory)


@app.callback()
def _stress() -> None:
    """Try the risk engine on what markets have done before."""


app.command("list", epilog="Example: keeper stress list --json")(list_command)
app.command("run", epilog="Example: keeper stress run 2020-03 --policy slices --seed 7")(run_command)
app.command("compare", epilog="Example: keeper stress compare --seeds 4 --jobs 2 --out report.html")(compare_command)


@app.command(epilog="Example: keeper stress backtest --level 0.99 --window 500")
def backtest(
    *,
    level: Annotated[float, typer.Option(help="The confidence of the value at risk.")] = 0.99,
    window: Annotated[int, typer.Option(help="Days that the historical models draw from.")] = 500,
    as_json: JsonOption = False,
) -> None:
    """Test models of value at risk on nine years of bitcoin and ether; leave with 1 when FHS does not hold."""
    from keeper.lab.stress.backtest import backtests

    rows = backtests(level, window)
    if as_json:
        emit_json({"level": level, "window_days": window, "rows": rows})
    else:
        _show_backtests(rows)
    _require_fhs(rows)


def _show_backtests(rows: Sequence[BacktestRow]) -> None:
    right = ("exceptions", "days", "expected", "LR coverage", "LR independence", "LR joint")
    emit_table(("asset", "model", *right, "verdict"), [_cells(row) for row in rows], right=right)


def _cells(row: BacktestRow) -> tuple[str, ...]:
    expected = f"{row.n * (1 - row.level):.1f}"
    ratios = (f"{ratio:.2f}" for ratio in (row.lr_uc, row.lr_ind, row.lr_joint))
    return (row.asset, row.model, str(row.exceptions), str(row.n), expected, *ratios, row.verdict)


def _require_fhs(rows: Sequence[BacktestRow]) -> None:
    """Check the model that margins rest on.

    Raises:
        NotHolding: it is rejected for an asset.
    """
    from keeper.lab.stress.backtest import HOLDS
    from keeper.risk.backtest import Model

    failed = [row for row in rows if row.model == Model.FHS and row.verdict != HOLDS]
    if failed:
        reasons = "; ".join(f"{row.asset} {row.verdict}" for row in failed)
        raise NotHolding("filtered historical simulation", reasons, "rest no margin on this level and window")
