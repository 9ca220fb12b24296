"""``keeper stress list``, ``run`` and ``compare``: what they print, write and leave with."""

from __future__ import annotations

from pathlib import Path

import pytest

from keeper.lab.stress.policies import POLICIES
from keeper.lab.stress.scenarios import SCENARIOS
from tests.cli.conftest import Keeper

SHORT = ("--scenario", "2025-10", "--policy", "half", "--policy", "scaled", "--jobs", "1")


def test_everything_that_can_be_run_is_listed(keeper: Keeper) -> None:
    """Every scenario and policy is shown, in the table and in the document."""
    table, document = keeper("stress", "list").out, keeper("stress", "list", "--json").document

    assert all(f"\n{name} " in table for name in (*SCENARIOS, *POLICIES))
    assert [each["name"] for each in document["scenarios"]] == list(SCENARIOS)
    assert [each["name"] for each in document["policies"]] == list(POLICIES)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ("run", "2020-04"),
            "keeper: scenario 2020-04: is not known; did you mean 2020-03? keeper stress list shows all",
        ),
        (
            ("run", "gbm", "--policy", "slice"),
            "keeper: policy slice: is not known; did you mean slices? keeper stress list shows all",
        ),
        (
            ("compare", "--policy", "zzz"),
            "keeper: policy zzz: is not known; keeper stress list shows all",
        ),
        (
            ("compare", "--out", "nowhere/report.html"),
            "keeper: --out nowhere/report.html: is in no directory that there is; make the directory first",
        ),
    ],
)
def test_bad_usage_is_one_line(keeper: Keeper, arguments: tuple[str, ...], line: str) -> None:
    """A name that is not known, or a place that is not there, is one line with the remedy, before anything runs."""
    outcome = keeper("stress", *arguments)

    assert (outcome.code, outcome.out, outcome.err) == (2, "", f"{line}\n")


@pytest.mark.slow
def test_one_run_is_shown_and_told(keeper: Keeper) -> None:
    """The figures for people are those of the document, and the same seed gives them again."""
    shown = keeper("stress", "run", "2025-10", "--seed", "3")
    document = keeper("stress", "run", "2025-10", "--seed", "3", "--json").document

    assert (shown.code, document["scenario"], document["policy"], document["seed"]) == (0, "2025-10", "half", 3)
    assert shown.out.split()[-1] == document["state_hash"]
    assert f"{document['repaid_usd'] / 1e6:,.2f} M USD" in shown.out


@pytest.mark.slow
def test_a_comparison_is_shown_told_and_written(keeper: Keeper, tmp_path: Path) -> None:
    """Tables and the answer on the terminal, one document for programs, and one file that needs no network."""
    shown = keeper("stress", "compare", *SHORT, "--seeds", "2", "--out", tmp_path / "report.html")
    document = keeper("stress", "compare", *SHORT, "--seeds", "2", "--json").document
    page = (tmp_path / "report.html").read_text(encoding="utf-8")

    assert shown.code == 0
    assert "scaled - half" in shown.out
    assert all(sentence in shown.out for sentence in document["answer"])
    assert len(document["comparison"]["results"]) == 4
    assert "Does tightening take liquidity away" in page
    assert "<script src" not in page
    assert "<link" not in page
