"""The shipped dashboards: readable in a diff, complete for who looks at them, and asking for what is exported."""

from __future__ import annotations

import json
import re
import subprocess
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from tests.deploy.dashboards import (
    FILES,
    GRAFANA,
    RATE_INTERVAL,
    VARIABLE,
    Json,
    annotation_queries,
    dashboard,
    label_values,
    panel_queries,
    variables,
)
from tests.deploy.test_rules import DEPLOY, EXPORTED, exported_names

COLUMNS = 24
OF_ONE_GRAFANA = {"id", "version", "iteration"}
"""What a Grafana adds on saving; in a file it would change without a reason."""
BUILT_IN = {RATE_INTERVAL, "__all"}
"""Variables that every Grafana has."""
EVERY = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def test_the_desk_is_complete() -> None:
    """Each subject has its dashboard, each with an address and a title of its own."""
    contents = [dashboard(path) for path in FILES]

    assert [path.stem for path in FILES] == [
        "accounts",
        "ingestion",
        "latency",
        "overview",
        "postmortem",
        "risk",
        "transactions",
    ]
    assert [content["uid"] for content in contents] == [f"keeper-{path.stem}" for path in FILES]
    assert len({content["title"] for content in contents}) == len(FILES)


@EVERY
def test_a_diff_shows_what_changed(path: Path) -> None:
    """A dashboard is written in one way, without what a server adds."""
    content = dashboard(path)

    assert json.dumps(content, indent=2, ensure_ascii=False) + "\n" == path.read_text(encoding="utf-8")
    assert OF_ONE_GRAFANA & set(content) == set()


@EVERY
def test_every_panel_says_what_it_shows(path: Path) -> None:
    """A panel has a title of its own, a sentence, a unit, thresholds, a way to the live page, and a chosen source."""
    content = dashboard(path)
    titles = [panel["title"] for panel in content["panels"]]

    assert len(set(titles)) == len(titles)
    for panel in content["panels"]:
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["description"].endswith(".")
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        assert "${keeper_url}/" in {link["url"] for link in panel["links"]}
        assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}


@EVERY
def test_panels_do_not_overlap(path: Path) -> None:
    """No panel covers another, or leaves the page."""
    places = [panel["gridPos"] for panel in dashboard(path)["panels"]]

    assert [place for place in places if place["x"] + place["w"] > COLUMNS] == []
    assert [(a, b) for a, b in combinations(places, 2) if _overlap(a, b)] == []


@EVERY
def test_every_variable_is_declared_and_used(path: Path) -> None:
    """What a query, a link or another variable names is declared, and nothing is declared in vain."""
    content = dashboard(path)
    used = {found[1] or found[2] for found in VARIABLE.finditer(json.dumps(content))}

    assert used - BUILT_IN == set(variables(content))


@EVERY
def test_every_link_leads_somewhere(path: Path) -> None:
    """A link into the runbook has its heading there, and each alert's panel has one."""
    headings = {f"#{name.lower()}" for name in _runbook()}
    anchors = set(re.findall(r"\$\{runbook_url\}(#\w+)", path.read_text(encoding="utf-8")))

    assert anchors - headings == set()
    assert anchors


def test_every_alert_is_led_to() -> None:
    """Each alert but the watchdog is covered by a panel that leads to its page in the runbook."""
    texts = "".join(path.read_text(encoding="utf-8") for path in FILES)

    assert {name for name in _runbook() if f"#{name.lower()}" not in texts} == {"KeeperWatchdog"}


def test_every_metric_is_exported_and_shown() -> None:
    """Each metric that a dashboard names is one of the registry, and each of the registry's is on a dashboard."""
    named = set(EXPORTED.findall("".join(path.read_text(encoding="utf-8") for path in FILES))) - {"keeper_url"}

    assert named - exported_names() == set()
    assert {_family(name) for name in exported_names()} - {_family(name) for name in named} == set()


@pytest.mark.slow
def test_every_query_is_one(tmp_path: Path) -> None:
    """Promtool reads each query, of panels and of annotations, once its variables are resolved."""
    rules: list[dict[str, str]] = []
    for content in map(dashboard, FILES):
        values = {RATE_INTERVAL: "1m", **dict.fromkeys(label_values(content), ".*")}
        queries = [*panel_queries(content), *annotation_queries(content)]
        rules += [
            {"record": f"query:{len(rules) + n}", "expr": query.resolved(values)} for n, query in enumerate(queries)
        ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert f"{len(rules)} rules found" in done.stdout


def test_grafana_is_told_where_they_are() -> None:
    """The provisioned data source is one Prometheus, and the dashboards come from a directory that compose mounts."""
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text("utf-8"))["datasources"]
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/keeper.yaml").read_text("utf-8"))["providers"]
    compose = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")

    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in compose
    assert "./grafana/provisioning:/etc/grafana/provisioning:ro" in compose


def _runbook() -> list[str]:
    text = (DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
    return re.findall(r"^## (Keeper\w+)$", text, re.MULTILINE)


def _family(name: str) -> str:
    return re.sub(r"_(total|bucket|sum|count|created)$", "", name)


def _overlap(one: Json, other: Json) -> bool:
    return all(one[a] < other[a] + other[s] and other[a] < one[a] + one[s] for a, s in (("x", "w"), ("y", "h")))
