"""``python -m tests.page.postmortem_picture REPORT.html``: the picture of a postmortem in the docs.

The report is that of a demo: ``keeper demo --out DIR``, then ``keeper postmortem --journal sqlite:///DIR/journal.db -o
REPORT.html``.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from playwright.async_api import ViewportSize

from tests.page.browsing import chromium
from tests.page.screenshots import IMAGES

WIDE = ViewportSize(width=1180, height=1500)
SHORTER = """() => {
  document.querySelectorAll("#timeline, #story").forEach(each => each.closest("section").remove());
  document.querySelector("nav").remove();
}"""
"""The story is words: the picture shows what is drawn."""


async def taken(url: str, picture: Path) -> None:
    """Take the picture of a report's top and first charts."""
    async with chromium() as browser:
        context = await browser.new_context(viewport=WIDE, color_scheme="light", offline=True)
        page = await context.new_page()
        await page.goto(url)
        await page.evaluate(SHORTER)
        await page.screenshot(path=picture)


if __name__ == "__main__":
    asyncio.run(taken(Path(sys.argv[1]).resolve().as_uri(), IMAGES / "postmortem.png"))
