"""The Prometheus of the tests is a real one: it scrapes, answers and weighs rules."""

from __future__ import annotations

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge, start_http_server

from tests.deploy.prometheus_process import Prometheus, running_prometheus

RULES = """\
groups:
  - name: weather
    rules:
      - alert: Hot
        expr: degrees > 30
"""

pytestmark = pytest.mark.slow


async def until_known(server: Prometheus, metric: str) -> None:
    """Wait until a metric was scraped."""

    async def known() -> bool:
        return bool(await server.query(metric))

    await server.until(known)


async def test_what_is_exposed_is_queried(tmp_path: Path) -> None:
    """A figure that is exposed can be asked for, and an alert on it fires."""
    registry = CollectorRegistry()
    Gauge("degrees", "How warm it is.", ["place"], registry=registry).labels("roof").set(31)
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES, encoding="utf-8")
    http, thread = start_http_server(0, "127.0.0.1", registry)
    try:
        async with running_prometheus(tmp_path, [f"127.0.0.1:{http.server_port}"], [rules]) as server:
            await until_known(server, "degrees")
            (sample,) = await server.query("degrees")

            async def fires() -> bool:
                return [alert["state"] for alert in await server.alerts()] == ["firing"]

            await server.until(fires)
    finally:
        http.shutdown()
        http.server_close()
        thread.join()

    assert (sample.labels["place"], sample.labels["job"], sample.value) == ("roof", "keeper", 31)
