"""The charts of a postmortem as geometry: paths on a plane of 1000 by 1000, labels beside it in percent.

The plane is stretched to its place on the page and strokes are not, so a chart fits a phone and paper alike; labels are
text of the page. A chart is drawn by the template and needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from keeper.report.incident import AccountPath, Incident
from keeper.report.model import Moment
from keeper.report.sampling import distance
from keeper.report.wording import counted, factor, gwei, short, usd

PLANE = 1000
SERIES_MAX = 8
"""More lines than there are colours cannot be told apart."""
MOVED_MIN = 0.0005
"""A price that moved less than this is not drawn."""
LANE_BINS = 160
TICKS = 4
REACH_MIN = 0.15
"""A chart of distances shows at least so far from the line."""
_BASE = 10**8
_HALF, _NICE = 0.5, (1, 2, 5, 10)
_STEPS_MS = tuple(
    1000 * each for each in (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 7 * 86400)
)
_DAY_MS, _MINUTE_MS = 86_400_000, 60_000


class Tick(NamedTuple):
    """A label at a place of an axis, in percent from the top or from the left."""

    percent: float
    text: str


class Line(NamedTuple):
    """A path; ``tone`` is its class, ``name`` what a reader is told of it."""

    d: str
    tone: str
    name: str


class Key(NamedTuple):
    """An entry of the legend, with the last figure."""

    tone: str
    name: str
    value: str = ""


class Chart(NamedTuple):
    """A chart. ``zero`` is where its line of nought is, in units of the plane; ``below`` shades what is under it."""

    id: str
    title: str
    note: str
    lines: tuple[Line, ...]
    dots: tuple[Line, ...]
    y: tuple[Tick, ...]
    x: tuple[Tick, ...]
    legend: tuple[Key, ...]
    zero: float | None = None
    below: bool = False


class Lane(NamedTuple):
    """A row of the strip of events: bars as one path, and how many events there were."""

    name: str
    tone: str
    events: int
    d: str


class Scale(NamedTuple):
    """An interval."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Return where a value is, from 0 to the plane's size; what is outside of the interval is outside of it."""
        return round(PLANE * (value - self.low) / (self.high - self.low), 1)

    def down(self, value: float) -> float:
        """Return where it is from the top."""
        return round(PLANE - self.at(value), 1)


Point = tuple[int, float]


def time_of(told: Incident) -> Scale:
    """Return the axis of time that all charts share."""
    first, last = told.window.first_unix_ms, told.window.last_unix_ms
    return Scale(first, max(last, first + 1))


def charts(told: Incident) -> tuple[Chart, ...]:
    """Return the charts that have something to show."""
    time = time_of(told)
    venues = sorted({path.venue for path in told.accounts if path.points})
    found = [_prices(told, time), *(_distances(told, venue, time) for venue in venues)]
    found += [_profit(told, time), _bad_debt(told, time), _gas(told, time)]
    return tuple(chart for chart in found if chart is not None)


def _prices(told: Incident, time: Scale) -> Chart | None:
    moved: list[tuple[float, str, list[Point]]] = []
    for path in told.prices:
        first = int(path.points[0].price)
        if not first:
            continue
        points = [(each.at.unix_ms, 100 * int(each.price) / first) for each in path.points]
        values = [value for _, value in points]
        moved.append((max(values) - min(values), f"{path.venue} {short(path.asset)}", points))
    shown = sorted((each for each in moved if each[0] > 100 * MOVED_MIN), key=lambda each: (-each[0], each[1]))
    drawn = [(name, points) for _, name, points in shown[:SERIES_MAX]]
    left = len(told.prices) - len(drawn)
    note = "Each price as the venue has it, in percent of its first in the window."
    if left:
        note += f" {counted(left, 'price')} that moved less or not at all {'is' if left == 1 else 'are'} left out."
    return _steps("prices", "Prices", note, drawn, time, lambda value: f"{value:.4g} %")


def _profit(told: Incident, time: Scale) -> Chart | None:
    sums: dict[str, list[Point]] = {}
    final = [one for one in told.liquidations if one.final is not None and one.stands and one.profit_base is not None]
    for one in sorted(final, key=lambda each: each.final.sequence if each.final else 0):
        points = sums.setdefault(one.venue, [(int(time.low), 0.0)])
        at = one.final.unix_ms if one.final else 0
        points.append((at, points[-1][1] + int(one.profit_base or 0) / _BASE))
    note = "Added up as slices became final, by what the decisions reckoned for gas and slippage."
    return _steps("profit", "Profit", note, sorted(sums.items()), time, _dollars)


def _bad_debt(told: Incident, time: Scale) -> Chart | None:
    drawn = [
        (path.venue, [(int(time.low), 0.0), *((each.at.unix_ms, int(each.base) / _BASE) for each in path.points)])
        for path in told.bad_debt
        if path.points
    ]
    note = "What accounts owed beyond their collateral, at each head."
    return _steps("bad-debt", "Bad debt", note, drawn, time, _dollars)


def _gas(told: Incident, time: Scale) -> Chart | None:
    base = [(each.at.unix_ms, int(each.base_fee_wei) / 10**9) for each in told.gas_points]
    paid = [(each.at.unix_ms, int(each.paid_wei) / 10**9) for each in told.gas_points if each.paid_wei is not None]
    note = "The base fee of each block, and what our transactions paid in it; gwei."
    chart = _steps("gas", "Gas", note, [("base fee", base)] if base else [], time, lambda value: f"{value:,.3g}", paid)
    if chart is None or not paid:
        return chart
    scale = _scale([value for _, value in (*base, *paid)])
    dots = Line(_dotted((time.at(at), scale.down(value)) for at, value in paid), "ours", "paid by us")
    key = Key("ours dot", "paid by us", f"{gwei(round(paid[-1][1] * 10**9))} last")
    return chart._replace(dots=(dots,), legend=(*chart.legend, key))


def _distances(told: Incident, venue: str, time: Scale) -> Chart:
    paths = [path for path in told.accounts if path.venue == venue and path.points]
    known = sorted(each.distance for path in paths for each in path.points if each.distance is not None)
    far = known[-max(1, len(known) // 20)] if known else REACH_MIN
    low = min([-REACH_MIN / 3, *known[:1]])
    scale = _scale([low, max(REACH_MIN, far)], zero=True)
    hurt = [path for path in paths if path.breached is not None]
    lines = [_trace(path, scale, time) for path in sorted(paths, key=lambda path: path.breached is not None)]
    ours = [
        (time.at(one.at.unix_ms), scale.down(after))
        for one in told.ours
        if one.venue == venue and (after := distance(one.health_after)) is not None
    ]
    legend = [Key("hurt", "fell below the line", f"{len(hurt)}"), Key("calm", "did not", f"{len(paths) - len(hurt)}")]
    if ours:
        legend.append(Key("ours dot", "slice of ours, at the health it foresaw", f"{len(ours)}"))
    return Chart(
        id=f"distance-{venue}",
        title=f"Distance to liquidation at {venue}",
        note="The logarithm of health of every account involved: 0 is the line, 0.1 is a fall of about a tenth.",
        lines=tuple(line for line in lines if line.d),
        dots=(Line(_dotted(ours), "ours", "slices of ours"),) if ours else (),
        y=_ticks(scale, lambda value: f"{value:.3g}"),
        x=time_ticks(time),
        legend=tuple(legend),
        zero=scale.down(0.0),
        below=True,
    )


def _trace(path: AccountPath, scale: Scale, time: Scale) -> Line:
    """Draw an account; where its distance is not known the line has a gap."""
    parts, drawing = [], False
    for point in path.points:
        if point.distance is None:
            drawing = False
            continue
        parts.append(f"{'L' if drawing else 'M'}{time.at(point.at.unix_ms):g} {scale.down(point.distance):g}")
        drawing = True
    lowest = f", lowest health {factor(path.health_min)}"
    tone = "hurt" if path.breached is not None else "calm"
    return Line("".join(parts), tone, f"{short(path.account)}{lowest}")


def _steps(
    name: str,
    title: str,
    note: str,
    drawn: Sequence[tuple[str, list[Point]]],
    time: Scale,
    written: Callable[[float], str],
    more: Sequence[Point] = (),
) -> Chart | None:
    """Return a chart of figures that hold until they change; ``None`` without any."""
    if not drawn:
        return None
    scale = _scale([value for _, points in drawn for _, value in points] + [value for _, value in more])
    return Chart(
        id=name,
        title=title,
        note=note,
        lines=tuple(
            Line(_stepped(points, scale, time), f"s{place}", label) for place, (label, points) in enumerate(drawn)
        ),
        dots=(),
        y=_ticks(scale, written),
        x=time_ticks(time),
        legend=tuple(Key(f"s{place}", label, written(points[-1][1])) for place, (label, points) in enumerate(drawn)),
        zero=scale.down(0.0) if scale.low < 0 < scale.high else None,
    )


def _stepped(points: Sequence[Point], scale: Scale, time: Scale) -> str:
    (at, value), *later = points
    parts = [f"M{time.at(at):g} {scale.down(value):g}"]
    parts += [f"H{time.at(at):g}V{scale.down(value):g}" for at, value in later]
    return "".join(parts) + f"H{PLANE}"


def _dotted(places: Iterable[tuple[float, float]]) -> str:
    """Return a path of dots: strokes of no length, with round ends."""
    return "".join(f"M{x:g} {y:g}h0" for x, y in places)


def _scale(values: Sequence[float], *, zero: bool = False) -> Scale:
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(high) * 0.06 or 1.0
    if zero:
        return Scale(low - room / 4, high + room)
    return Scale(0.0 if 0 <= low < (high - low) * _HALF else low - room, high + room)


def _ticks(scale: Scale, written: Callable[[float], str]) -> tuple[Tick, ...]:
    rough = (scale.high - scale.low) / TICKS
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in _NICE if each * power >= rough * 0.999)
    first = math.ceil(scale.low / step - 1e-9)
    values = [place * step for place in range(first, math.floor(scale.high / step + 1e-9) + 1)]
    return tuple(Tick(scale.down(value) / 10, written(value)) for value in values)


def time_ticks(time: Scale) -> tuple[Tick, ...]:
    """Return round times of the axis, in UTC."""
    length = int(time.high - time.low)
    step = next((each for each in _STEPS_MS if length <= each * (TICKS + 1)), _STEPS_MS[-1])
    pattern = "%m-%d %H:%M" if length > _DAY_MS else "%H:%M" if step >= _MINUTE_MS else "%H:%M:%S"
    first = -(-int(time.low) // step) * step
    places = range(first, int(time.high) + 1, step)
    return tuple(Tick(time.at(at) / 10, datetime.fromtimestamp(at / 1000, UTC).strftime(pattern)) for at in places)


def lanes(told: Incident) -> tuple[Lane, ...]:
    """Return the strip of events, a lane for each kind that there was."""
    time = time_of(told)
    ours = [one.at for one in told.liquidations if one.is_ours]
    others = [one.at for one in told.liquidations if not one.is_ours]
    below = [one.at for one in told.breaches if one.status == "liquidatable"]
    unknown = [one.at for one in told.breaches if one.status != "liquidatable"]
    found = (
        ("margin calls", "warn", [one.at for one in told.calls]),
        ("fell below the line", "bad", below),
        ("health unknown", "odd", unknown),
        ("slices of ours", "ours", ours),
        ("liquidations by others", "bad", others),
        ("intents without effect", "quiet", [one.at for one in told.endings]),
        ("reorgs", "odd", [one.at for one in told.reorgs]),
        ("faults and switches", "warn", [one.at for one in told.troubles]),
    )
    return tuple(Lane(name, tone, len(places), _bars(places, time)) for name, tone, places in found if places)


def _bars(places: Sequence[Moment], time: Scale) -> str:
    bins: dict[int, int] = {}
    for at in places:
        slot = max(0, min(LANE_BINS - 1, int(time.at(at.unix_ms) * LANE_BINS / PLANE)))
        bins[slot] = bins.get(slot, 0) + 1
    return "".join(_bar(slot, count / max(bins.values())) for slot, count in sorted(bins.items()))


def _bar(slot: int, share: float) -> str:
    width = PLANE / LANE_BINS
    height = PLANE * (0.25 + 0.75 * share)
    return f"M{slot * width + width / 8:g} {PLANE}v-{height:g}h{width * 3 / 4:g}v{height:g}z"


def _dollars(value: float) -> str:
    return usd(round(value * _BASE)).removesuffix(".00")


def stage_bars(told: Incident) -> Iterator[tuple[str, float, float, float]]:
    """Yield each stage with where its median, 95 % and longest are on a logarithmic axis, in percent."""
    longest = max((each.max_ms for each in told.stages), default=1)
    top = math.log1p(max(1, longest))
    for each in told.stages:
        places = [round(100 * math.log1p(value) / top, 1) for value in (each.median_ms, each.p95_ms, each.max_ms)]
        yield each.stage, places[0], places[1], places[2]
