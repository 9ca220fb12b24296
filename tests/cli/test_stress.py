"""``keeper stress``: what it prints, and what it leaves with."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Keeper


def test_the_table_says_which_models_hold(keeper: Keeper) -> None:
    """At 99 % every model is a row, the normal quantile is rejected, and FHS holds: exit code 0."""
    outcome = keeper("stress", "backtest")
    rows = [" ".join(line.split()) for line in outcome.out.splitlines()[1:]]

    assert (outcome.code, len(rows)) == (0, 8)
    assert rows[0] == "BTC ewma-normal 63 2898 29.0 30.21 0.11 30.32 rejected: coverage, joint"
    assert rows[7] == "ETH fhs 33 2648 26.5 1.50 3.31 4.81 holds"


def test_programs_get_the_same_rows(keeper: Keeper) -> None:
    """``--json`` is one document with the question beside the rows."""
    document = keeper("stress", "backtest", "--json").document

    assert (document["level"], document["window_days"], len(document["rows"])) == (0.99, 500, 8)
    fhs = next(row for row in document["rows"] if (row["asset"], row["model"]) == ("BTC", "fhs"))
    assert (fhs["level"], fhs["exceptions"], fhs["n"], fhs["verdict"]) == (0.99, 32, 2648, "holds")
    assert [fhs[name] for name in ("lr_uc", "lr_ind", "lr_joint")] == pytest.approx([1.09, 0.70, 1.79], abs=5e-3)


def test_a_rejected_model_is_exit_code_1(keeper: Keeper) -> None:
    """At 95 % the exceptions of ether come in clusters, so FHS does not hold: the table, one line, and 1."""
    outcome = keeper("stress", "backtest", "--level", "0.95")

    assert (outcome.code, len(outcome.out.splitlines())) == (1, 9)
    assert outcome.err == (
        "keeper: filtered historical simulation: ETH rejected: independence, joint; "
        "rest no margin on this level and window\n"
    )


@pytest.mark.parametrize("arguments", [("--level", "1"), ("--window", "4000"), ("--window", "29"), ("--level", "high")])
def test_a_question_without_an_answer_is_exit_code_2(keeper: Keeper, arguments: tuple[str, str]) -> None:
    """A level or a window out of range is bad usage, and no table is printed."""
    outcome = keeper("stress", "backtest", *arguments)

    assert (outcome.code, outcome.out) == (2, "")
