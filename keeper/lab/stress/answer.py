"""The answer in words, from the numbers alone: does tightening take liquidity away when it is needed, what damps it?

A difference counts as one when its interval leaves zero out.
"""

from __future__ import annotations

from keeper.lab.stress.compare import ALL, CONFIDENCE, METRIC, Comparison, Contrast, Estimate, baseline

TIGHTENING = ("scaled", "predictive")
SIZES = (
    ("slices-market", "full-market"),
    ("slices", "full"),
    ("slices-alone", "half"),
    ("scaled-slices", "scaled"),
    ("full-market", "full"),
)
"""Which sizes of a liquidation are set against each other."""
SPIRAL = "extra_drop"
FIGURES = ("repaid_usd", "extra_drop", "depressed", "bad_debt_usd", "under_water_hours")

LIMITS = (
    (
        "The prices of a recorded crash hold the forced sales of their day already; the laboratory's come on top. "
        "Its extra drops are to be compared with each other, not with the market."
    ),
    (
        "Borrowers do not open, move or close positions, but for those who repay once to defend themselves; "
        "nobody borrows anew. What a tightened requirement costs those who wanted to borrow is counted as "
        "capacity, not as welfare."
    ),
    (
        "One pool a coin stands for all of the market's depth, and arbitrage for everybody who buys; its depth "
        "and speed are assumptions, the same for all policies. So are the rivals, who never sell at a loss and "
        "see the market exactly."
    ),
    ("A step is a block of twenty minutes: what happens within it has no order but chance. Latencies are whole steps."),
    (
        "An insurance fund pays losses and does nothing else here, so that it cannot change a price. A fund that "
        "took positions over, or lenders who flee when there is none, would."
    ),
    (
        "Intervals are over seeds: over borrowers, noise and rivals. Five crashes are five crashes, and no "
        "interval speaks of a sixth."
    ),
)
"""What the model leaves out, and what follows for its figures."""


def answer(comparison: Comparison) -> tuple[str, ...]:
    """Return the answer, a paragraph each."""
    places = ", ".join(comparison.scenarios)
    head = (
        f"Over {places}, {len(comparison.seeds)} seed(s) each; differences are policy less policy on the same seeds, "
        f"with {CONFIDENCE:.0%} intervals."
    )
    said = [head, *_tightening(comparison), *_worst(comparison), *_damping(comparison), *_slices(comparison)]
    return tuple(said)


def _tightening(comparison: Comparison) -> list[str]:
    said = []
    for name in TIGHTENING:
        found = comparison.contrast(name, baseline(comparison))
        if found is None:
            continue
        figures = comparison.cell(ALL, name).figures
        stressed, usual = figures["withdrawn_stressed"], figures["withdrawn"]
        times = f", {stressed.mean / usual.mean:.1f} times its average" if usual.mean > 0 else ""
        took = _told("withdrawn_stressed", stressed)
        said.append(
            f"Does tightening take liquidity away when it is needed? {'Yes' if _raises(stressed) else 'Not clearly'}: "
            f"'{name}' takes {took} of borrowing capacity away in the tenth of the time when the market moves "
            f"most{times}. Against '{found.against}' it {_changes(found)}."
        )
    return said


def _worst(comparison: Comparison) -> list[str]:
    """Name the scenario in which tightening did most harm, where it did any."""
    if len(comparison.scenarios) == 1:
        return []
    said = []
    for name in TIGHTENING:
        each = [comparison.contrast(name, baseline(comparison), place) for place in comparison.scenarios]
        harmed = [found for found in each if found is not None and _raises(found.figures[SPIRAL])]
        helped = [found for found in each if found is not None and _lowers(found.figures["bad_debt_usd"])]
        if not harmed and not helped:
            continue
        parts = [f"deepened the fall in {_places(harmed)}"] * bool(harmed)
        parts += [f"left less bad debt in {_places(helped)}"] * bool(helped)
        said.append(f"Scenario by scenario, '{name}' clearly {' and '.join(parts)}.")
    return said


def _damping(comparison: Comparison) -> list[str]:
    against = baseline(comparison)
    found = [each for each in comparison.contrasts if each.scenario == ALL and each.against == against]
    if not found:
        return []
    calmer = sorted(
        (each for each in found if _lowers(each.figures[SPIRAL])), key=lambda each: each.figures[SPIRAL].mean
    )
    worse = sorted(
        (each for each in found if _raises(each.figures[SPIRAL])), key=lambda each: -each.figures[SPIRAL].mean
    )
    if calmer:
        best = calmer[0]
        told = f"Which policy damps the spiral? '{best.policy}' most: it {_changes(best)}, against '{against}'."
    else:
        told = f"Which policy damps the spiral? None set against '{against}' makes the extra drop clearly smaller."
    if worse:
        told += f" The spiral is clearly deeper under {_policies(worse)}."
    return [told]


def _slices(comparison: Comparison) -> list[str]:
    said = []
    for policy, against in SIZES:
        found = comparison.contrast(policy, against)
        if found is not None:
            said.append(f"Size: '{policy}' against '{against}' {_changes(found)}.")
    return said


def _changes(found: Contrast) -> str:
    clear = [_change(name, found.figures[name]) for name in FIGURES if found.figures[name].is_clear]
    unclear = [METRIC[name].title for name in FIGURES if not found.figures[name].is_clear]
    parts = [", ".join(clear)] * bool(clear)
    parts += [f"does not clearly change {', '.join(unclear)}"] * bool(unclear)
    return " and ".join(parts)


def _change(name: str, figure: Estimate) -> str:
    verb = "raises" if figure.mean > 0 else "lowers"
    return f"{verb} {METRIC[name].title} by {_told(name, figure, absolute=True)}"


def _told(name: str, figure: Estimate, *, absolute: bool = False) -> str:
    unit = METRIC[name].unit
    low, high, mean = figure.low, figure.high, figure.mean
    if absolute and mean < 0 and low is not None and high is not None:
        low, high, mean = -high, -low, -mean
    unit = "points" if absolute and unit == "%" else unit
    if low is None or high is None:
        return f"{abs(mean) if absolute else mean:,.2f} {unit}"
    return f"{mean:,.2f} {unit} [{low:,.2f}, {high:,.2f}]"


def _raises(figure: Estimate) -> bool:
    return figure.is_clear and figure.mean > 0


def _lowers(figure: Estimate) -> bool:
    return figure.is_clear and figure.mean < 0


def _places(found: list[Contrast]) -> str:
    return ", ".join(each.scenario for each in found)


def _policies(found: list[Contrast]) -> str:
    return ", ".join(f"'{each.policy}' ({_told(SPIRAL, each.figures[SPIRAL], absolute=True)} more)" for each in found)
