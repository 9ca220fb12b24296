"""``python -m tests.page.screenshots``: the picture of the live page in the docs, from a live keeper in a crash."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.async_api import ViewportSize

from tests.app.keeper_process import started
from tests.app.looks import in_flight, refused
from tests.app.market import opened_market
from tests.page.browsing import ENVIRONMENT, PHONE, chromium, sign_in, until_shown, url_of, watched

IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"
REFUSING = ("profit_usd_min = -100", "profit_usd_min = 20")
"""Small accounts are not worth helping."""
TALL = ViewportSize(width=1360, height=1120)


async def taken(folder: Path, *, everything: bool) -> None:
    """Let a market fall under a live keeper, no block taking what it sends, and take the pictures."""
    with TemporaryDirectory() as scratch:
        async with opened_market(Path(scratch)) as market:
            watched(market).changes.append(REFUSING)
            async with started(market.keeper("--live", environment=ENVIRONMENT)) as process, chromium() as browser:
                await market.until_allowed(process)
                await market.mine_only_when_told()
                await market.crash(12)
                await market.mine()
                await market.crash(22)
                await market.mine()
                await process.until_status(lambda status: in_flight(status, "liquidation") and refused(status))
                url = await url_of(process)
                for name, size, scheme in (
                    ("live_page", TALL, "light"),
                    *((("dark", TALL, "dark"), ("phone", PHONE, "light")) if everything else ()),
                ):
                    context = await browser.new_context(viewport=size, color_scheme=scheme)
                    page = await context.new_page()
                    await sign_in(page, url)
                    await until_shown(page, "#feed", "Connected")
                    await page.screenshot(path=folder / f"{name}.png", full_page=name == "phone")
                    await context.close()


def main() -> None:
    """Write the picture of the docs, or into the folder that is given all of them."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES
    asyncio.run(taken(folder, everything=folder != IMAGES))


if __name__ == "__main__":
    main()
