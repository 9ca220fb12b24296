"""The postmortem in a real browser, opened from a file without any network."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import ConsoleMessage, Request, Route, ViewportSize

from keeper.report.page import page
from tests.engine.test_replay import eventful
from tests.page.browsing import DESK, PHONE, chromium
from tests.report.incidents import incident

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

HEADINGS = [
    *("Story", "Charts", "Timeline", "Accounts", "Who liquidated what", "Latency"),
    *("Refusals", "Reorgs and faults", "Money", "Proof", "Records"),
]


@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
async def test_it_opens_offline_and_fits(tmp_path: Path, size: ViewportSize) -> None:
    """No console error, no request beyond the file, every heading there, nothing wider than the window."""
    file = tmp_path / "report.html"
    file.write_text(page(incident(eventful())), encoding="utf-8")
    said: list[str] = []
    asked: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        said.append(message.text)

    def see(request: Request) -> None:
        asked.append(request.url)

    async def refuse(route: Route) -> None:
        await (route.continue_() if route.request.url == file.as_uri() else route.abort())

    async with chromium() as browser:
        context = await browser.new_context(viewport=size, offline=True)
        opened = await context.new_page()
        opened.on("console", hear)
        opened.on("pageerror", lambda error: said.append(str(error)))
        opened.on("request", see)
        await opened.route("**", refuse)
        await opened.goto(file.as_uri())
        headings = await opened.locator("h2").all_inner_texts()
        widths = await opened.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        drawn = await opened.locator(".plot .line").first.evaluate("each => each.getTotalLength()")

    assert (said, [each for each in asked if not each.startswith(("file:", "data:"))]) == ([], [])
    assert headings == HEADINGS
    assert widths[0] <= widths[1]
    assert drawn > 0
