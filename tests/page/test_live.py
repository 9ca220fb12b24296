"""The live page in a real browser, over a live keeper on a real node: it moves, it explains, everybody can use it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page

from tests.app.keeper_process import KeeperProcess, started
from tests.app.looks import refused
from tests.app.market import Market, opened_market
from tests.page.browsing import DESK, ENVIRONMENT, PHONE, chromium, sign_in, until_shown, url_of, watched

pytestmark = [pytest.mark.chain, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

FOCUS = """() => {
  const at = document.activeElement, style = getComputedStyle(at);
  return {what: at.id || at.getAttribute("href") || at.value || at.tagName, ring: parseFloat(style.outlineWidth) || 0,
          style: style.outlineStyle};
}"""
WIDER = """() => [...document.querySelectorAll("body *")]
  .filter(each => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest(".skip"))
  .map(each => each.outerHTML.slice(0, 80))"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def market(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Market]:
    """A market that has fallen."""
    async with opened_market(tmp_path_factory.mktemp("market")) as opened:
        yield watched(opened)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keeper(market: Market) -> AsyncIterator[KeeperProcess]:
    """A dry run over it, which refuses every slice for being one."""
    async with started(market.keeper(environment=ENVIRONMENT)) as process:
        await process.until_answer("/readyz", HTTPStatus.OK)
        await market.crash(19)
        await market.crash(34)  # in steps that are believed
        await process.until_status(refused)
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """A browser without a window."""
    async with chromium() as opened:
        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    """A reader at a desk, with no cookie yet."""
    opened = await browser.new_context(viewport=DESK)
    yield opened
    await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext, keeper: KeeperProcess) -> AsyncIterator[Page]:
    """The page, connected; that anything is written to the console, or fails to load, is a failure."""
    opened, complaints = await context.new_page(), list[str]()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    await opened.goto(await url_of(keeper))
    await until_shown(opened, "#feed", "Connected")
    yield opened
    assert complaints == []


async def test_the_page_moves_with_the_chain(page: Page, market: Market) -> None:
    """When a block is mined its number appears, without the page being read again."""
    await page.evaluate("window.same = true")
    await market.mine()
    await until_shown(page, "#chains .block", f"{await market.height():,}")

    assert await page.evaluate("window.same") is True


async def test_a_refusal_shows_its_reason(page: Page) -> None:
    """What was refused stands with its reason, beside who is at risk by both opinions."""
    await until_shown(page, "#refusals td", "dry_run")
    await until_shown(page, "#at-risk .badge", "liquidatable")
    await until_shown(page, "#at-risk .badge", "breached")
    await until_shown(page, "#at-risk .rule", "dry_run")


async def test_a_venue_is_chosen_by_keyboard(page: Page) -> None:
    """Every link, scrolling part and control is reached by the tabulator, with a ring to be seen; enter follows."""
    stops = []
    for _ in range(20):
        await page.keyboard.press("Tab")
        stops.append(await page.evaluate(FOCUS))
        if stops[-1]["what"] == "BODY":
            break
    places = [stop["what"] for stop in stops]
    assert places[:6] == ["#main", "/", "/?venue=aave", "/status", "/metrics", "/login"]
    assert {"at-risk", "venues", "intents", "refusals", "decisions", "chains", "providers", "signers"} <= set(places)
    unseen = [stop for stop in stops if stop["what"] != "BODY" and (stop["ring"] < 2 or stop["style"] == "none")]
    assert unseen == []

    await page.get_by_role("link", name="aave", exact=True).focus()
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/?venue=aave")
    await until_shown(page, "[aria-current=page]", "aave")
    await until_shown(page, "#feed", "Connected")


async def test_the_focus_outlives_what_moves(page: Page, market: Market) -> None:
    """A part that is drawn anew keeps the focus."""
    await page.locator("#chains").focus()
    await market.mine()
    await until_shown(page, "#chains .block", f"{await market.height():,}")

    assert (await page.evaluate(FOCUS))["what"] == "chains"


async def test_a_phone_needs_no_sideways_scrolling(page: Page) -> None:
    """At the width of a phone nothing is wider than the screen."""
    await page.set_viewport_size(PHONE)
    await until_shown(page, "#at-risk .badge", "liquidatable")

    assert await page.evaluate(WIDER) == []
    assert await page.evaluate("document.scrollingElement.scrollWidth") <= PHONE["width"]


async def test_without_javascript_everything_is_there(browser: Browser, keeper: KeeperProcess, market: Market) -> None:
    """A reader that runs no script sees the same figures, and the page reads itself again."""
    context = await browser.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(await url_of(keeper))

    await until_shown(page, "#chains .block", f"{await market.height():,}")
    await until_shown(page, "#refusals td", "dry_run")
    assert "Read again every 10 seconds" in await page.inner_text("#feed")
    await context.close()


async def test_the_dark_is_dark(page: Page) -> None:
    """Who prefers a dark screen has one."""
    grounds = []
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme=scheme)
        colour = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        grounds.append(sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(",")))

    assert grounds[0] > 600
    assert grounds[1] < 100


@pytest.mark.parametrize("javascript", [True, False])
async def test_the_switch_is_armed_and_cleared(
    browser: Browser, keeper: KeeperProcess, market: Market, *, javascript: bool
) -> None:
    """Who signed in arms the kill switch by keyboard and clears it; the daemon sees it, and no script is needed."""
    context = await browser.new_context(java_script_enabled=javascript)
    page = await context.new_page()
    await sign_in(page, await url_of(keeper))
    for name, armed, shown in (("Arm: send nothing more", True, "armed"), ("Clear", False, "clear")):
        await page.get_by_role("button", name=name).focus()
        await page.keyboard.press("Enter")
        await until_shown(page, "#switch .badge", shown)
        assert market.kill_switch.exists() is armed
        assert (await keeper.status())["kill_switch_armed"] is armed
    await context.close()
