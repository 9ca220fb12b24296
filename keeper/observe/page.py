"""The live page: the status as HTML, whole for a reader without JavaScript, by section for one with it.

Everything that is shown goes through the templates' escaping. Figures are rounded here and nowhere else; the exact ones
are in ``/status``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType

import jinja2
import msgspec
from markupsafe import Markup, escape

from keeper.core.units import BaseAmount, Wad
from keeper.observe.lines import dollars, health, percent
from keeper.observe.status import DecisionStatus, IntentStatus, Status, VenueStatus, unhealthy, unready

SECTIONS = (
    "state",
    "figures",
    "switch",
    "chains",
    "providers",
    "venues",
    "at-risk",
    "intents",
    "refusals",
    "decisions",
    "signers",
)
"""The parts of the page that move, by the ids that they have in it."""
CONTENT_TYPES: Mapping[str, str] = MappingProxyType(
    {"page.css": "text/css", "page.js": "text/javascript", "icon.svg": "image/svg+xml"}
)
NOTHING, MINUS = "\u2013", "\u2212"
METER_REACH = 0.2
"""The distance at the end of a bar: what is further off is drawn like it."""
METER_HALF = 30
_HEX = re.compile(r"0x[0-9a-f]{40,64}\b")
_HEAD, _TAIL = 8, 4
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))
_SHORT = 1_000
_LARGE = ((10**9, "bn"), (10**6, "m"), (10**4, "k"))


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader may do: ``switch`` says whether the kill switch is offered, to be signed in for, or neither."""

    signed_in: bool = False
    may_sign_in: bool = False
    switch: str = "none"


READER = Access()


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a page shows: the status, narrowed to a venue where one is asked for."""

    status: Status
    venue: str | None
    venues: tuple[VenueStatus, ...]
    intents: tuple[IntentStatus, ...]
    refusals: tuple[DecisionStatus, ...]
    decisions: tuple[DecisionStatus, ...]
    failing: tuple[tuple[str, str], ...]
    healthy: bool


def view_of(status: Status, venue: str | None) -> View:
    """Narrow a status to a venue; what is of no single venue stays."""

    def of(decisions: tuple[DecisionStatus, ...]) -> tuple[DecisionStatus, ...]:
        return tuple(each for each in decisions if venue is None or each.venue in (None, venue))

    return View(
        status=status,
        venue=venue,
        venues=tuple(each for each in status.venues if venue in (None, each.name)),
        intents=tuple(each for each in status.intents if venue in (None, each.venue)),
        refusals=of(status.last_refusals),
        decisions=of(status.last_decisions),
        failing=tuple((each.condition, each.reason) for each in unready(status)),
        healthy=not unhealthy(status),
    )


class Pages:
    """Renders; the templates are read once."""

    def __init__(self) -> None:
        self._environment = _environment()
        self._parts = self._environment.get_template("sections.html.j2").module

    def page(self, status: Status, venue: str | None, access: Access = READER) -> str:
        """Return the whole page."""
        sections = self.sections(status, venue, access)
        names = [each.name for each in status.venues]
        return self._environment.get_template("page.html.j2").render(
            status=status, venue=venue, names=names, access=access, sections=sections
        )

    def sections(self, status: Status, venue: str | None, access: Access = READER) -> dict[str, str]:
        """Return the HTML inside of each section, by id."""
        view = view_of(status, venue)
        return {name: str(getattr(self._parts, name.replace("-", "_"))(view, access)).strip() for name in SECTIONS}

    def login(self, *, wrong: bool) -> str:
        """Return the page that asks for the token."""
        return self._environment.get_template("login.html.j2").render(wrong=wrong)


def static_files() -> dict[str, tuple[bytes, str]]:
    """Return the files that the pages load: name -> content and type."""
    folder = files("keeper.observe") / "static"
    return {name: ((folder / name).read_bytes(), kind) for name, kind in CONTENT_TYPES.items()}


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("keeper.observe"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "usd": lambda base: usd(int(base)),
        "usd_exact": lambda base: dollars(BaseAmount(int(base))),
        "health": lambda wad: NOTHING if wad is None else health(Wad(int(wad))),
        "ppm": percent,
        "span": span,
        "hex": hexadecimal,
        "shortened": shortened,
        "words": lambda kind: _HUMP.sub(" ", kind).lower(),
        "clock": lambda unix_ms: f"{_moment(unix_ms):%H:%M:%S}",
        "iso": lambda unix_ms: _moment(unix_ms).isoformat(timespec="seconds"),
        "count": lambda number: f"{number:,}",
        "host": lambda name: name.partition("://")[2] or name,
        "meter": meter,
        "signed": lambda share: f"{share * 100:+.2f} %".replace("-", MINUS),
        "coins": lambda wei: f"{int(wei) / 10**18:,.4f}",
    }
    environment.globals["owed"] = owed
    return environment


def usd(base: int) -> str:
    """Write a USD amount to three or four digits."""
    whole = abs(base) // 10**8
    for size, unit in _LARGE:
        if whole >= size:
            scale = 1_000 if unit == "k" else size
            return f"{'-' if base < 0 else ''}${whole / scale:,.{1 if unit == 'k' else 2}f}{unit}"
    return dollars(BaseAmount(base)) if whole < _SHORT else f"{'-' if base < 0 else ''}${whole:,}"


def span(seconds: float | None) -> str:
    """Write a time span in its largest unit."""
    if seconds is None:
        return NOTHING
    for size, unit in _UNITS:
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(seconds, 0):.0f} s"


def hexadecimal(value: str | None) -> Markup:
    """Write an address or hash: its ends are seen, and all of it is there to be copied."""
    if value is None:
        return escape(NOTHING)
    head, middle, tail = value[:_HEAD], value[_HEAD:-_TAIL], value[-_TAIL:]
    parts = '<code class="hex" title="{0}">{1}<span class="mid">{2}</span>{3}</code>'
    return Markup(parts).format(value, head, middle, tail)  # noqa: S704 - ours; what goes in is escaped


def shortened(text: str) -> Markup:
    """Write a line with every address and hash in it as :func:`hexadecimal` does."""
    return Markup("").join(_pieces(text))


def _pieces(text: str) -> Iterator[Markup]:
    end = 0
    for found in _HEX.finditer(text):
        yield escape(text[end : found.start()])
        yield hexadecimal(found.group())
        end = found.end()
    yield escape(text[end:])


def meter(distance: float) -> Markup:
    """Draw a distance: a bar from the line to the left where it is passed, to the right where it is not."""
    reach = min(abs(distance) / METER_REACH, 1.0) * METER_HALF
    left = METER_HALF - reach if distance < 0 else METER_HALF
    kind = "past" if distance < 0 else "before"
    bar = (
        '<svg class="meter {kind}" viewBox="0 0 60 8" width="60" height="8" aria-hidden="true" focusable="false">'
        '<rect class="groove" x="0" y="3" width="60" height="2" rx="1"/>'
        '<rect class="bar" x="{left:.1f}" y="1" width="{reach:.1f}" height="6" rx="1"/>'
        '<rect class="line" x="29.5" y="0" width="1" height="8"/></svg>'
    )
    return Markup(bar).format(kind=kind, left=left, reach=max(reach, 1.0))  # noqa: S704 - ours, of figures


def _moment(unix_ms: int) -> datetime:
    return datetime.fromtimestamp(unix_ms / 1000, UTC)


def owed(venues: tuple[VenueStatus, ...], within: str) -> int:
    """Add up what is owed within a distance of the line."""
    return sum(int(each.owed_within.get(within, "0")) for each in venues)
