"""The page says what the status says, and lets nothing in it become markup."""

from __future__ import annotations

import msgspec
import pytest

from keeper.observe.page import SECTIONS, Pages, hexadecimal, meter, shortened, span, usd
from keeper.observe.status import AtRiskStatus, DecisionStatus, ProviderStatus, Status
from tests.observe.pictures import VENUE, WELL, changed, with_chain, with_venue

ACCOUNT = "0x" + "0123456789" * 4
AT_RISK = AtRiskStatus(
    account=ACCOUNT,
    status="liquidatable",
    reason=None,
    health_wad=str(97 * 10**16),
    distance=-0.0305,
    collateral_base="200000000000",
    debt_base="150000000000",
    refused="profit_after_gas",
    risk_status="breached",
    risk_stressed_wad=str(9 * 10**17),
    risk_breach_ppm=1_000_000,
)
REFUSAL = DecisionStatus(
    sequence=7,
    unix_ms=1_700_000_000_000,
    kind="ProposalRefused",
    summary="aave refused",
    venue="aave",
    account=ACCOUNT,
    reason="profit_after_gas: $1.00 is below $5.00",
)


def busy() -> Status:
    """Return a status of which every section has something to show."""
    venue = msgspec.structs.replace(VENUE, at_risk=(AT_RISK,), at_risk_count=60)
    other = msgspec.structs.replace(VENUE, name="morpho", risk=None)
    provider = ProviderStatus(
        chain="local",
        name="https://node.example:8545",
        up=True,
        failures=0,
        seconds=0.012,
        lag_blocks=0,
        quarantine=None,
    )
    elsewhere = msgspec.structs.replace(REFUSAL, venue="morpho", reason="stale_head: 40 s")
    return changed(
        venues=(venue, other),
        providers=(provider,),
        last_refusals=(REFUSAL, elsewhere),
        last_decisions=(REFUSAL,),
    )


def test_an_account_at_risk_has_both_opinions_and_its_distance() -> None:
    """The row has the venue's verdict, the second opinion's, the distance, and what the gate says."""
    row = Pages().sections(busy(), None)["at-risk"]

    for shown in (
        "liquidatable",
        "breached",
        "0.9700",
        "\u22123.05 %",
        "0.9000",
        "100.00%",
        "profit_after_gas",
        "59 more",
    ):
        assert shown in row


def test_a_refusal_shows_its_reason() -> None:
    """What was refused stands with the rule and the figures it went by."""
    assert "profit_after_gas: $1.00 is below $5.00" in Pages().sections(busy(), None)["refusals"]


def test_a_price_in_doubt_is_shown() -> None:
    """A price that is not believed, or that stands still, is named below the venues with why; a good one is not."""
    assert VENUE.risk is not None
    good, missing = VENUE.risk.prices
    still = msgspec.structs.replace(good, asset="0x" + "06" * 20, unmoved_seconds=93_600)
    risk = msgspec.structs.replace(VENUE.risk, prices=(good, missing, still))
    venues = Pages().sections(with_venue(risk=risk), None)["venues"]

    assert "prices in doubt" in venues
    assert "missing: none" in venues
    assert "stale: nothing new for 26.0 h" in venues
    assert good.asset not in venues


def test_a_venue_is_shown_alone() -> None:
    """Narrowed to a venue, no account and no refusal of another is shown."""
    sections = Pages().sections(busy(), "morpho")

    assert "stale_head" in sections["refusals"]
    assert "profit_after_gas" not in "".join(sections.values())
    assert "Nobody is at risk" in sections["at-risk"]


def test_a_provider_is_named_by_its_host_alone() -> None:
    """No URL of a provider is on the page."""
    page = Pages().page(busy(), None)

    assert "node.example:8545" in page
    assert "https://" not in page


@pytest.mark.parametrize("venue", [None, "aave"])
def test_the_whole_page_has_every_section(venue: str | None) -> None:
    """Each section that moves is an element of the page, filled without JavaScript."""
    page, sections = Pages().page(busy(), venue), Pages().sections(busy(), venue)

    assert [name for name in SECTIONS if f'id="{name}"' not in page or sections[name] not in page] == []


def test_nothing_becomes_markup() -> None:
    """What others wrote is text, wherever it stands."""
    evil = "<img src=x onerror=alert(1)>"
    refusal = msgspec.structs.replace(REFUSAL, reason=evil, summary=evil)
    venue = msgspec.structs.replace(VENUE, name=evil, protocol=evil, at_risk=(AT_RISK,))
    status = changed(last_refusals=(refusal,), last_decisions=(refusal,), venues=(venue,), code_version=evil)
    page = Pages().page(status, None)

    assert "<img" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") == 8
    assert "<b>" not in shortened("<b>" + ACCOUNT) + hexadecimal("<b>" * 20)


def test_nothing_is_inline() -> None:
    """The page has no inline script and no inline style, so that its policy need not allow any."""
    page = Pages().page(busy(), None) + Pages().login(wrong=True)

    assert "<style" not in page
    assert " style=" not in page
    assert page.count("<script") == page.count('<script src="/static/page.js" defer></script>') == 1


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (WELL, "ready"),
        (with_chain(behind_blocks=3), "3 blocks behind the head"),
        (with_venue(paused=True, reverts=0), "paused</span> after reverts"),
        (with_venue(reverts=2), "2 reverts</span> with no success between"),
        (changed(kill_switch_armed=True), "kill switch armed"),
        (changed(draining=True, kill_switch_armed=True), "draining"),
        (changed(progress_age_seconds=60.0), "unhealthy"),
        (changed(chains=(), venues=(), signers=()), "No chain is followed yet"),
        (with_chain(watermark=None), "no block was applied yet"),
    ],
)
def test_the_state_is_said(status: Status, shown: str) -> None:
    """Whatever state the keeper is in, the page says so."""
    assert shown in Pages().page(status, None)


@pytest.mark.parametrize(
    ("base", "written"),
    [
        (0, "$0.00"),
        (123_45 * 10**6, "$123.45"),
        (9_999 * 10**8, "$9,999"),
        (12_340 * 10**8, "$12.3k"),
        (1_234_567 * 10**8, "$1.23m"),
        (-2 * 10**17, "-$2.00bn"),
    ],
)
def test_an_amount_is_written_short(base: int, written: str) -> None:
    """Large amounts are rounded to what the eye can compare."""
    assert usd(base) == written


@pytest.mark.parametrize(
    ("seconds", "written"), [(None, "\u2013"), (-3, "0 s"), (119, "119 s"), (120, "2 min"), (172_800, "2 d")]
)
def test_a_span_is_written_in_its_largest_unit(seconds: float | None, written: str) -> None:
    """A span of two units or more is told in whole units."""
    assert span(seconds) == written


def test_a_distance_is_drawn_to_its_side() -> None:
    """A bar leaves the line to the left when it is passed, to the right when it is not, and ends at the edge."""
    assert 'x="0.0" y="1" width="30.0"' in meter(-3.0)
    assert 'x="30.0" y="1" width="15.0"' in meter(0.1)
