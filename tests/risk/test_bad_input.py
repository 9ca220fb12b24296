"""No public function of the risk engine answers a question that has no answer: each names what is wrong with it."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import keeper.risk
from keeper.core.errors import RiskInputError
from tests.risk import bad_closing, bad_margins

SENSIBLE = {"float": 0.5, "int": 1, "bool": False, "ArrayLike": [0.5] * 3, "Floats": np.full(3, 0.5)}
"""A value for each kind of parameter that is made of plain numbers."""
AMOUNTS = st.sampled_from([0.0, 1.0]) | st.integers(-2_000, 2_000).map(lambda each: each / 1_000) | st.floats(1e-6, 1e6)
SENSIBLE_VALUES: dict[str, st.SearchStrategy[object]] = {
    "float": AMOUNTS,
    "int": st.integers(0, 50),
    "bool": st.booleans(),
    "ArrayLike": st.lists(AMOUNTS, min_size=3, max_size=3) | AMOUNTS,
    "Floats": st.lists(AMOUNTS, min_size=3, max_size=3).map(np.array),
}
ARRAYS = ("ArrayLike", "Floats")
NUMBERS = ("float", *ARRAYS)
NO_DEBT = "health_factor"
"""Infinite where nothing is owed."""


class Asked(NamedTuple):
    """A function, and which of its parameters is given something bad."""

    module: str
    call: Callable[..., object]
    parameter: inspect.Parameter

    @property
    def name(self) -> str:
        """Read in a test's name."""
        return f"{self.module}.{self.call.__name__}({self.parameter.name})"

    def answer(self, bad: float, count: int = 3) -> object:
        """Call it, sensible but for the one parameter."""
        given: dict[str, Any] = {
            name: SENSIBLE[kind(each)]
            for name, each in inspect.signature(self.call).parameters.items()
            if each.default is each.empty
        }
        values = [0.5, bad, 0.5][:count]
        given[self.parameter.name] = values if kind(self.parameter) in ARRAYS else bad
        return self.call(**given)


def kind(parameter: inspect.Parameter) -> str:
    """Return how a parameter is annotated."""
    return str(parameter.annotation).strip("'")


def asked() -> Iterator[Asked]:
    """Return every public function that takes nothing but numbers, once for each of them."""
    for module in pkgutil.iter_modules(keeper.risk.__path__):
        inside = importlib.import_module(f"keeper.risk.{module.name}")
        for name, each in vars(inside).items():
            if name.startswith("_") or not inspect.isfunction(each) or each.__module__ != inside.__name__:
                continue
            parameters = inspect.signature(each).parameters.values()
            if module.name != "inputs" and all(
                one.default is not one.empty or kind(one) in SENSIBLE for one in parameters
            ):
                yield from (Asked(module.name, each, one) for one in parameters if kind(one) in NUMBERS)


ASKED = list(asked())
CHECKS = re.compile(r"raise RiskInputError|\b(array|number|whole|integer|history|places|flags|aligned)\(")
"""What refuses."""


def test_most_of_the_engine_is_asked() -> None:
    """The functions are found by looking for them: as many as when this was written, or more."""
    assert len({one.call for one in ASKED}) >= 90


@pytest.mark.parametrize("one", ASKED, ids=lambda one: one.name)
def test_what_is_not_a_number_is_refused(one: Asked) -> None:
    """NaN in any place, or anywhere in an array, is an error that names the thing: no figure comes of it."""
    with pytest.raises(RiskInputError):
        one.answer(math.nan)


@pytest.mark.parametrize("one", ASKED, ids=lambda one: one.name)
def test_what_is_beyond_all_markets_is_refused(one: Asked) -> None:
    """Infinity, and a figure whose square would be infinite, are errors too, but for the health of who owes nothing."""
    for bad in (1e200, -1e200, math.inf, -math.inf):
        if (one.parameter.name, bad) != (NO_DEBT, math.inf):
            with pytest.raises(RiskInputError):
                one.answer(bad)


def published() -> Iterator[str]:
    """Return what of the engine can be asked: public functions, methods with arguments, and classes that check."""
    for module in pkgutil.iter_modules(keeper.risk.__path__):
        inside = importlib.import_module(f"keeper.risk.{module.name}")
        for name, each in vars(inside).items():
            if name.startswith("_") or getattr(each, "__module__", None) != inside.__name__:
                continue
            if inspect.isfunction(each):
                yield f"{module.name}.{name}"
            elif inspect.isclass(each):
                yield from (f"{module.name}.{name}{method}" for method in _asked_of(each))


def _asked_of(kind_of: type) -> Iterator[str]:
    """Return the methods of a class that take an argument, and nothing for the class itself where it checks."""
    own = vars(kind_of)
    if "__post_init__" in own or (inspect.isfunction(own.get("__init__")) and not dataclasses.is_dataclass(kind_of)):
        yield ""
    for name, each in own.items():
        method = each.__func__ if isinstance(each, classmethod) else each
        if not name.startswith("_") and inspect.isfunction(method) and len(inspect.signature(method).parameters) > 1:
            yield f".{name}"


def called(name: str) -> Callable[..., object]:
    """Return what a name of the table stands for."""
    module, path = name.split(".", 1)
    found: Callable[..., object] = attrgetter(path)(importlib.import_module(f"keeper.risk.{module}"))
    return found


ROWS = {**bad_closing.ROWS, **bad_margins.ROWS}


def test_everything_published_has_rows() -> None:
    """A new function is asked something it cannot answer, and a row of one that is gone is gone with it."""
    assert set(published()) == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_a_question_without_an_answer_is_refused_by_name(name: str) -> None:
    """Each row ends in one line that says what is wrong with what, and what to do about it."""
    for place, row in enumerate(ROWS[name]):
        with pytest.raises(RiskInputError) as refused:
            pytest.fail(f"row {place} of {name} answers {row(called(name))!r}")

        assert refused.value.thing
        assert refused.value.reason
        assert refused.value.remedy


@pytest.mark.parametrize("name", ROWS)
def test_what_is_published_says_what_it_returns_and_refuses(name: str) -> None:
    """A docstring has a summary that is a sentence, and the errors of what checks its arguments by itself."""
    asked_of = called(name)
    said = inspect.getdoc(asked_of) or ""
    source = inspect.getsource(asked_of)
    own = source.split("    def ", 1)[-1] if inspect.isclass(asked_of) else source

    assert said.split("\n\n")[0].endswith((".", "::", "`"))
    assert "Raises:\n" in said or not CHECKS.search(own)


@pytest.mark.parametrize("one", ASKED, ids=lambda one: one.name)
def test_shapes_that_do_not_go_together_are_refused(one: Asked) -> None:
    """Two of one thing and three of another are no pairs, and numpy's own error names neither."""
    if kind(one.parameter) in ARRAYS:
        with contextlib.suppress(RiskInputError):
            one.answer(0.5, count=2)


@given(st.data())
@settings(max_examples=20)
@pytest.mark.parametrize("call", list({one.call: None for one in ASKED}), ids=lambda call: call.__name__)
def test_what_is_sensible_has_no_nan_in_its_answer(call: Callable[..., object], data: st.DataObject) -> None:
    """Every function of plain numbers gives numbers, or says why not; infinity is an answer where it is documented."""
    given_values: dict[str, object] = {}
    for name, each in inspect.signature(call).parameters.items():
        if each.default is each.empty:
            given_values[name] = data.draw(SENSIBLE_VALUES[kind(each)], label=name)
    with contextlib.suppress(RiskInputError):
        assert not list(_nans(call(**given_values)))


def _nans(answer: object) -> Iterator[float]:
    """Return what is no number in an answer, however it is nested."""
    if isinstance(answer, float | np.floating) and math.isnan(answer):
        yield float(answer)
    elif isinstance(answer, np.ndarray) and answer.dtype.kind == "f":
        yield from answer[np.isnan(answer)].tolist()
    elif isinstance(answer, dict):
        yield from (found for value in answer.values() for found in _nans(value))
    elif isinstance(answer, tuple | list):
        yield from (found for value in answer for found in _nans(value))
    elif dataclasses.is_dataclass(answer):
        yield from (found for field in dataclasses.fields(answer) for found in _nans(getattr(answer, field.name)))
