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
RECORDED = re.compile(r"(instance)(_[a-z]+)*:keeper_[a-z_]+:[a-z0-9_]+")
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


def alerts() -> list[dict[str, Any]]:
    """Return every shipped alert."""
    return [rule for rule in rules() if "alert" in rule]


def recordings() -> list[dict[str, Any]]:
    """Return every shipped recording."""
    return [rule for rule in rules() if "record" in rule]


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        "promtool check config prometheus.yml",
        "promtool test rules tests/alerts.yml tests/recording.yml",
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
    names = {rule["alert"] for rule in alerts()}

    assert {f"{name} fires" for name in names} <= cases
    assert {f"{name} is silent" for name in names - {"KeeperWatchdog"}} <= cases


def test_every_alert_has_a_page() -> None:
    """Each alert has a heading in the runbook, to which its address leads."""
    headings = re.findall(r"^## (Keeper\w+)$", (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8"), re.MULTILINE)

    assert sorted(headings) == sorted(rule["alert"] for rule in alerts())
    assert [r for r in alerts() if not r["annotations"]["runbook_url"].endswith(f"#{r['alert'].lower()}")] == []


def test_every_page_says_what_to_do() -> None:
    """Each alert's entry says what it means, where to look and what to do, in that order."""
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    entries = re.findall(r"^## (Keeper\w+)\n(.*?)(?=^## )", text, re.MULTILINE | re.DOTALL)
    said = {name: re.findall(r"^- (Meaning|Look|Act): \S", entry, re.MULTILINE) for name, entry in entries}

    assert said == {rule["alert"]: ["Meaning", "Look", "Act"] for rule in alerts()}


def test_every_metric_is_exported() -> None:
    """Each metric in an expression is one of the registry."""
    assert {name for rule in rules() for name in EXPORTED.findall(rule["expr"])} - exported_names() == set()


def test_a_price_is_stale_here_as_on_the_page() -> None:
    """The alert's bound is the one by which the page, the explanation and the postmortem call a price stale."""
    (stale,) = (rule["expr"] for rule in alerts() if rule["alert"] == "KeeperPriceStale")

    assert stale.endswith(f"keeper_price_unmoved_seconds > {UNMOVED_SECONDS_MAX}")


def test_every_recording_is_tried() -> None:
    """Each recording is named by its level, metric and operation, and has a case that states its figure."""
    cases = yaml.safe_load((PROMETHEUS / "tests/recording.yml").read_text(encoding="utf-8"))["tests"]
    tried = {test["expr"] for case in cases for test in case["promql_expr_test"]}
    names = {rule["record"] for rule in recordings()}

    assert [name for name in names if not RECORDED.fullmatch(name)] == []
    assert [name for name in names if not any(name in expression for expression in tried)] == []


def test_an_alert_needs_no_recording() -> None:
    """No alert waits for another rule: it would be silent wherever that one is not loaded."""
    assert [rule["alert"] for rule in alerts() for each in recordings() if each["record"] in rule["expr"]] == []
