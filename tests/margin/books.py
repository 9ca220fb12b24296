"""Made-up books of forms, and price paths over them."""

from __future__ import annotations

from collections.abc import Iterator
from math import fsum
from typing import Literal

import numpy as np

from keeper.margin.forms import Floats, Form, Places

Path = Literal["calm", "crash", "jump", "one asset", "interest", "late interest", "bursts"]
PATHS: tuple[Path, ...] = ("calm", "crash", "jump", "one asset", "interest", "late interest", "bursts")
FACTORS = 7
"""Cash, and six assets."""
AT_THE_LINE = 1e-11
"""Of all that a row adds up: float64 cannot tell the sides of the line any closer."""


def form(chance: np.random.Generator, prices: Floats, *, cash: bool, factors: int = FACTORS) -> Form:
    """Return an account of one to three collaterals and debts, near its line or far from it, on either side."""
    first = 0 if cash else 1
    count = int(chance.integers(2, 5))
    held = chance.integers(first, factors, count)
    values = np.exp(chance.normal(5, 2, count))
    owed = int(chance.integers(1, count))
    distance = chance.choice([0.0, 1e-9, 1e-4, 0.002, 0.02, 0.1, 0.5, 2.0]) * chance.choice([1.0, 1.0, 1.0, -1.0])
    values[:owed] *= -values[owed:].sum() / values[:owed].sum() * np.exp(-distance)
    return Form(tuple(zip(held.tolist(), (values / prices[held]).tolist(), strict=True)))


def book(chance: np.random.Generator, prices: Floats, rows: int) -> dict[int, Form]:
    """Return a book of so many accounts; one in five has cash."""
    return {row_id: form(chance, prices, cash=bool(chance.random() < 0.2)) for row_id in range(rows)}


def first_prices(chance: np.random.Generator) -> Floats:
    """Return a price for every factor; cash is 1."""
    return np.concatenate([[1.0], np.exp(chance.normal(3, 2, FACTORS - 1))])


def walk(chance: np.random.Generator, prices: Floats, path: Path, ticks: int) -> Iterator[Floats]:
    """Yield the prices of every tick of a path."""
    logs = np.log(prices)
    for tick in range(ticks):
        match path:
            case "calm":
                logs[1:] += chance.normal(0, 3e-4, FACTORS - 1)
            case "crash":
                logs[1:-2] += chance.normal(-0.3 / ticks, 2e-3, FACTORS - 3)
            case "jump":
                logs[1:] += chance.normal(0, 0.2, FACTORS - 1) * (chance.random(FACTORS - 1) < 0.1)
            case "one asset":
                logs[1 + tick % 2] += chance.normal(0, 0.03)
            case "interest":
                logs[1:] += np.linspace(0, 1e-5, FACTORS - 1)
            case "late interest":
                logs[1:] += np.linspace(0, 0.01, FACTORS - 1) * (tick % 9 == 8)
            case "bursts":
                logs[1:] += chance.normal(0, 0.01 if tick // 8 % 2 else 1e-4, FACTORS - 1)
        yield np.exp(logs)


def agrees(found: Places, forms: dict[int, Form], prices: Floats) -> bool:
    """Tell whether nobody below the line is missing, account by account, and nobody is there who is not at it."""
    margins = {row_id: [value * prices[factor] for factor, value in each.terms] for row_id, each in forms.items()}
    reported = set(found.tolist())
    missed = [row_id for row_id, values in margins.items() if fsum(values) <= 0 and row_id not in reported]
    extra = [row_id for row_id in reported if fsum(margins[row_id]) > AT_THE_LINE * fsum(map(abs, margins[row_id]))]
    return not missed and not extra and len(reported) == len(found)
