"""The shipped alerts: promtool weighs each of them firing and silent, and they name what is exported."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from keeper.core.risk import UNMOVED_SECONDS_MAX
from keeper.observe.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
EXPORTED = re.compile(r"\bkeeper_[a-z0-9_]+")


def rules() -> list[dict[str, Any]]:
    """Return every shipped rule."""
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in PROMETHEUS.glob("rules/*.yml")]
    return [rule for each in files for group in each["groups"] for rule in group["rules"]]


def exported_names() -> set[str]:
    """Return the name of every series that a keeper can export."""
    registry = CollectorRegistry()
    Metrics(registry)
    return set(registry._names_to_collectors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "promtool check config prometheus.yml",
        "promtool test rules tests/alerts.yml",
        "amtool check-config alertmanager.yml",
    ],
)
def test_the_tools_agree(command: str) -> None:
    """Promtool and amtool accept the files, and each alert fires and is silent when it should."""
    done = subprocess.run(command.split(), cwd=PROMETHEUS, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout


def test_every_alert_is_tried_both_ways() -> None:
    """Each alert has a case in which it fires and, but for the one that always does, one in which it is silent."""
    cases = {case["name"] for case in yaml.safe_load((PROMETHEUS / "tests/alerts.yml").read_text())["tests"]}
    names = {rule["alert"] for rule in rules()}

    assert {f"{name} fires" for name in names} <= cases
    assert {f"{name} is silent" for name in names - {"KeeperWatchdog"}} <= cases


def test_every_alert_has_a_page() -> None:
    """Each alert has a heading in the runbook, to which its address leads."""
    headings = re.findall(r"^## (Keeper\w+)$", (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(headings) == sorted(rule["alert"] for rule in rules())
    assert [r for r in rules() if not r["annotations"]["runbook_url"].endswith(f"#{r['alert'].lower()}")] == []


def test_every_metric_is_exported() -> None:
    """Each metric in an expression is one of the registry."""
    assert {name for rule in rules() for name in EXPORTED.findall(rule["expr"])} - exported_names() == set()


def test_a_price_is_stale_here_as_on_the_page() -> None:
    """The alert's bound is the one by which the page, the explanation and the postmortem call a price stale."""
    (stale,) = (rule["expr"] for rule in rules() if rule["alert"] == "KeeperPriceStale")

    assert stale.endswith(f"keeper_price_unmoved_seconds > {UNMOVED_SECONDS_MAX}")
