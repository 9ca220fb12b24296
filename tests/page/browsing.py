"""The system's Chromium, and a live keeper whose page it looks at."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, ViewportSize, async_playwright

from tests.app.keeper_process import KeeperProcess
from tests.app.market import Market

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
TOKEN = "a-token-for-the-browser"
ENVIRONMENT = {"KEEPER__HTTP__TOKEN": TOKEN}
SECOND_OPINION = (
    "[strategies.partial_liquidation]",
    '[venues.aave.risk]\nmodel = "volatility"\n\n[strategies.partial_liquidation]',
)
PHONE = ViewportSize(width=390, height=844)
DESK = ViewportSize(width=1360, height=900)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """Start the browser that is installed; it does not outlive the context."""
    async with async_playwright() as playwright:
        found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        assert found is not None, "install Chromium"
        browser = await playwright.chromium.launch(executable_path=found, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


async def url_of(keeper: KeeperProcess) -> str:
    """Return where a keeper's page is."""
    url: str = (await keeper.until_logged("started"))["http"]
    return url


async def sign_in(page: Page, url: str) -> None:
    """Give the token, as an operator does."""
    await page.goto(f"{url}/login")
    await page.get_by_label("Token").fill(TOKEN)
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}/")


async def until_shown(page: Page, selector: str, text: str) -> None:
    """Wait until an element has a text."""
    await page.locator(selector, has_text=text).first.wait_for()


def watched(market: Market) -> Market:
    """Let the keeper of a market form a second opinion as well."""
    market.changes.append(SECOND_OPINION)
    return market
