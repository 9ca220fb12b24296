"""The shipped dashboards as tests read them: their panels, their queries, and the variables in these resolved."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
LABEL_VALUES = re.compile(r"label_values\((\w+), (\w+)\)")
RATE_INTERVAL = "__rate_interval"
Json = Any


class Query(NamedTuple):
    """An expression of a dashboard: whose it is, and the text with its variables."""

    place: str
    expression: str

    def resolved(self, values: Mapping[str, str]) -> str:
        """Return the expression with values in place of variables; a variable without one fails the test."""
        return VARIABLE.sub(lambda found: values[found[1] or found[2]], self.expression)


def dashboard(path: Path) -> Json:
    """Return what a file holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def variables(content: Json) -> dict[str, Json]:
    """Return a dashboard's variables by name."""
    return {each["name"]: each for each in content["templating"]["list"]}


def label_values(content: Json) -> dict[str, tuple[str, str]]:
    """Return, of each variable that Prometheus gives the values of, the metric and the label they are read from."""
    found = {
        name: LABEL_VALUES.fullmatch(each["definition"])
        for name, each in variables(content).items()
        if "definition" in each
    }
    return {name: (match[1], match[2]) for name, match in found.items() if match}


def panel_queries(content: Json) -> Iterator[Query]:
    """Give the queries of a dashboard's panels."""
    for panel in content["panels"]:
        for target in panel["targets"]:
            yield Query(f"{content['uid']}: {panel['title']} {target['refId']}", target["expr"])


def annotation_queries(content: Json) -> Iterator[Query]:
    """Give the queries of a dashboard's annotations."""
    for each in content["annotations"]["list"]:
        yield Query(f"{content['uid']}: {each['name']}", each["expr"])
