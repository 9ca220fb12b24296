"""A postmortem's page: whole in one file, everything escaped, every figure of the document on it."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace

from keeper.report.charts import Scale, charts, lanes, time_of
from keeper.report.incident import Incident
from keeper.report.model import Entry, Moment
from keeper.report.page import page, tiles
from keeper.report.wording import NOTHING, ether, factor, span, usd
from tests.engine.history import UNIT, History, config_with
from tests.engine.test_replay import eventful
from tests.engine.toy import ETH
from tests.report.incidents import PROOF, incident
from tests.report.test_explaining import acted
from tests.report.test_incident import rivalled

SECTIONS = (
    *("story", "charts", "timeline", "accounts", "liquidations", "latency"),
    *("refusals", "faults", "money", "proof", "records"),
)
HOSTILE = '"><script>alert(1)</script>{{ 7 * 7 }}'


@pytest.fixture(scope="module")
def told() -> Incident:
    """An eventful window."""
    return incident(eventful())


@pytest.mark.parametrize("section", SECTIONS)
def test_every_part_has_its_heading(told: Incident, section: str) -> None:
    """Each part is there and can be reached from the list of parts."""
    text = page(told)

    assert f'<h2 id="{section}">' in text
    assert f'<a href="#{section}">' in text


def test_a_quiet_window_has_every_part_too() -> None:
    """Where there was nothing, the page says so."""
    history = History()
    history.market()
    text = page(incident(history))

    assert [section for section in SECTIONS if f'<h2 id="{section}">' not in text] == []
    assert "Nothing was refused." in text


def test_nothing_is_asked_of_a_network(told: Incident) -> None:
    """No address, no script, and a policy that forbids both."""
    text = page(told)

    assert re.findall(r'(?:src|href|action)="(?!#|data:,)[^"]*"|url\(|@import|https?:', text) == []
    assert "<script" not in text
    assert "default-src 'none'" in text


def test_what_a_chain_or_a_provider_says_is_text(told: Incident) -> None:
    """Names, reasons and records cannot become markup."""
    first = told.troubles[0]
    bad = replace(
        told,
        journal=HOSTILE,
        troubles=(replace(first, kind=HOSTILE, subject=HOSTILE, detail=HOSTILE),),
        liquidations=tuple(replace(one, why=HOSTILE, venue=HOSTILE) for one in told.liquidations),
        accounts=tuple(replace(one, venue=HOSTILE) for one in told.accounts),
        citations=(Entry(Moment(1, 0, None), 0, HOSTILE, HOSTILE),),
        proof=replace(told.proof, holds=False, divergence=HOSTILE),
    )
    text = page(bad)

    assert "<script" not in text
    assert "{{ 7 * 7 }}" in text


def test_the_proof_is_said_first(told: Incident) -> None:
    """Verified or not stands above all figures."""
    failed = replace(told, proof=replace(PROOF, holds=False, divergence="at sequence 7 it differs"))

    assert page(told).index("<strong>Verified.</strong>") < page(told).index('class="tiles"')
    assert "<strong>Not verified.</strong> A replay differs at sequence 7 it differs" in page(failed)


def test_every_link_leads_somewhere(told: Incident) -> None:
    """A sequence that is quoted links to its record, one that is not is text."""
    quoted = replace(told, citations=(Entry(Moment(told.liquidations[0].at.sequence, 0, None), 0, "A", "b"),))
    text = page(quoted)
    links = set(re.findall(r'href="#([^"]+)"', text))

    assert f"r{told.liquidations[0].at.sequence}" in links
    assert [each for each in links if f'id="{each}"' not in text] == []


def test_each_slice_has_its_row(told: Incident) -> None:
    """As many rows say ours or another's verdict as there are liquidations, with what they repaid."""
    for history in (acted(), rivalled()):
        found = incident(history)
        text = page(found).partition('id="liquidations"')[2].partition('id="latency"')[0]

        assert text.count('<span class="tag ok"') == sum(one.is_ours for one in found.liquidations)
        assert [one for one in found.liquidations if usd(one.repaid_base) not in text] == []
    assert page(told).count(">abandoned</span>") == 1


def test_tiles_are_the_sums(told: Incident) -> None:
    """Profit, slices and refusals at the top are those of the tables."""
    shown = {name: value for name, value, _, _ in tiles(told)}

    assert shown["Profit"] == usd(sum(int(one.profit_base) for one in told.earned))
    assert shown["Our slices"] == f"{len(told.ours)}"
    assert shown["Refused proposals"] == f"{sum(one.count for one in told.refusals)}"


def test_charts_are_well_formed(told: Incident) -> None:
    """Each drawing parses, and no path holds anything but numbers."""
    drawings = re.findall(r"<svg.*?</svg>", page(told), re.DOTALL)

    assert len(drawings) == len(charts(told)) + len(lanes(told))
    for drawing in drawings:
        paths = [each.attrib["d"] for each in ET.fromstring(drawing).iter("path")]
        assert [each for each in paths if not re.fullmatch(r"[MLHVhvz0-9. e-]+", each)] == []


def test_the_strip_counts_what_the_lists_have(told: Incident) -> None:
    """A lane has as many events as its list."""
    counts = {lane.name: lane.events for lane in lanes(told)}

    assert counts["slices of ours"] == sum(one.is_ours for one in told.liquidations)
    assert counts["reorgs"] == len(told.reorgs)


def test_a_price_is_drawn_in_percent_of_its_first() -> None:
    """Half the price is half way down to nothing."""
    history = History(config_with(live=False))
    history.market()
    history.block(("price", ETH, 1_000 * UNIT // 10**4))
    (chart,) = [one for one in charts(incident(history)) if one.id == "prices"]

    assert [key.value for key in chart.legend] == ["50 %"]


def test_bad_debt_has_a_chart_only_where_there_was_some() -> None:
    """What never was is not drawn."""
    history = History(config_with(live=False))
    history.market()
    assert [one.id for one in charts(incident(history)) if one.id == "bad-debt"] == []
    history.block(("price", ETH, 1_000 * UNIT // 10**4))

    assert [one.id for one in charts(incident(history)) if one.id == "bad-debt"] == ["bad-debt"]


def test_a_window_of_one_moment_has_an_axis(told: Incident) -> None:
    """Where all records were made at once nothing is divided by nought."""
    at_once = replace(told, window=replace(told.window, last_unix_ms=told.window.first_unix_ms))

    assert time_of(at_once).at(told.window.first_unix_ms) == 0


def test_a_scale_turns_up_side_down_for_the_page() -> None:
    """The lowest figure is at the bottom."""
    assert (Scale(0, 2).down(0), Scale(0, 2).down(1), Scale(0, 2).down(2)) == (1000, 500, 0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (usd(199_999_999), "$1.99"),
        (usd(-1), "-$0.01"),
        (usd(None), NOTHING),
        (factor(999_999_999_999_999_999), "0.9999"),
        (ether(1_999_999_999_999_999_999), "1.999999"),
        (span(999), "999 ms"),
        (span(1_000), "1.00 s"),
    ],
)
def test_figures_are_rounded_down(written: str, expected: str) -> None:
    """Nothing reads better than it was."""
    assert written == expected
