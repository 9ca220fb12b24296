"""What every risk figure asks of its inputs: finite, in range, of the right shape. Else a named error."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from keeper.core.errors import RiskInputError

Floats = NDArray[np.float64]
"""An array of float64, of any shape."""
Bools = NDArray[np.bool_]
"""An array of truth values, of any shape."""
Integers = NDArray[np.int64]
"""An array of int64, of any shape."""

SECONDS_PER_YEAR = 31_536_000
"""The year of option time: 365 days."""
DAYS_PER_YEAR = 365
MAGNITUDE_MOST = 1e100
"""No figure of a market is larger, and the product of three such is still a number."""


def number(
    name: str, value: float, *, least: float = -math.inf, most: float = math.inf, above: float = -math.inf
) -> float:
    """Return ``value`` as a float within ``[least, most]`` and greater than ``above``.

    Raises:
        RiskInputError: it is not a finite number, or out of range.
    """
    try:
        checked = float(value)
    except (TypeError, ValueError):
        raise RiskInputError(name, f"is {value!r}, not a number", "give a finite number") from None
    if not math.isfinite(checked):
        raise RiskInputError(name, f"is {checked}", "give a finite number")
    if abs(checked) > MAGNITUDE_MOST:
        raise RiskInputError(name, f"is {checked:g}", f"give a number of at most {MAGNITUDE_MOST:g} either way")
    if checked < least or checked > most or checked <= above:
        raise RiskInputError(name, f"is {checked:g}", f"give {_range(least, most, above)}")
    return checked


def whole(name: str, value: float, *, least: float = -math.inf, most: float = math.inf) -> int:
    """Return ``value`` as an integer within ``[least, most]``.

    Raises:
        RiskInputError: it is not a finite number, not whole, or out of range.
    """
    checked = number(name, value, least=least, most=most)
    if not checked.is_integer():
        raise RiskInputError(name, f"is {checked:g}", "give a whole number")
    return int(checked)


def integer(name: str, value: object, *, least: float = -math.inf, most: float = math.inf) -> int:
    """Return ``value`` as a plain integer within ``[least, most]``; an amount on a chain is no float, however whole.

    Raises:
        RiskInputError: it is of another kind, or out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise RiskInputError(name, f"is {value!r}, not an integer", "give an integer")
    plain = int(value)
    if not least <= plain <= most:
        raise RiskInputError(name, f"is {plain}", f"give {_range(least, most, -math.inf)}")
    return plain


def array(
    name: str,
    values: ArrayLike,
    *,
    ndim: int | None = None,
    length: int | None = None,
    least: float = -math.inf,
    most: float = math.inf,
    above: float = -math.inf,
) -> Floats:
    """Return ``values`` as a finite float64 array, each within ``[least, most]`` and greater than ``above``.

    Args:
        name: What it is, for the message.
        values: Anything numpy makes an array of.
        ndim: The number of dimensions it must have.
        length: The length its first dimension must have.
        least: The least value allowed.
        most: The greatest value allowed.
        above: Every value must be greater.

    Raises:
        RiskInputError: it has another shape, or a value is not finite or out of range; the first such is named.
    """
    try:
        checked: Floats = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise RiskInputError(name, "is not an array of numbers", "give finite numbers, in rows of one length") from None
    if ndim is not None and checked.ndim != ndim:
        raise RiskInputError(name, f"has {checked.ndim} dimensions", f"give {ndim}")
    if length is not None and (checked.ndim == 0 or checked.shape[0] != length):
        raise RiskInputError(name, f"has shape {checked.shape}", f"give {length} values")
    _each(name, checked, np.isfinite(checked), "a finite number")
    _each(name, checked, np.abs(checked) <= MAGNITUDE_MOST, f"a number of at most {MAGNITUDE_MOST:g} either way")
    _each(name, checked, (checked >= least) & (checked <= most) & (checked > above), _range(least, most, above))
    return checked


def history(name: str, values: ArrayLike, *, shortest: int, **limits: Any) -> Floats:  # noqa: ANN401 - those of array
    """Return a one-dimensional series of at least ``shortest`` values, checked as :func:`array` does.

    Raises:
        RiskInputError: it is shorter, or a value is not finite or out of range.
    """
    series = array(name, values, ndim=1, **limits)
    if len(series) < shortest:
        raise RiskInputError(name, f"has {len(series)} values", f"give at least {shortest}")
    return series


def places(name: str, values: ArrayLike, count: int) -> Integers:
    """Return ``values`` as a one-dimensional array of places among ``count`` things, from 0.

    Raises:
        RiskInputError: one is not whole, or out of range.
    """
    given = array(name, values, ndim=1, least=0, most=count - 1)
    _each(name, given, given == np.floor(given), "a whole number")
    return given.astype(np.int64)


def flags(name: str, values: ArrayLike) -> Bools:
    """Return ``values`` as an array of truth values, each given as true, false, 1 or 0.

    Raises:
        RiskInputError: one is neither: whatever is not zero, even what is no number, would count as true.
    """
    checked = array(name, values)
    _each(name, checked, (checked == 0) | (checked == 1), "true or false")
    held: Bools = checked == 1
    return held


def aligned(name: str, *values: Floats) -> tuple[Floats, ...]:
    """Return the arrays in the one shape that they broadcast to, as views that are not written to.

    Raises:
        RiskInputError: they do not go together.
    """
    try:
        return tuple(np.broadcast_arrays(*values))
    except ValueError:
        shapes = ", ".join(str(value.shape) for value in values)
        raise RiskInputError(name, f"have shapes {shapes}", "give shapes that broadcast") from None


def _each(name: str, values: Floats, holds: Bools, wanted: str) -> None:
    if bool(np.all(holds)):
        return
    where = tuple(int(place) for place in np.argwhere(~holds)[0])
    place = "".join(f"[{index}]" for index in where)
    raise RiskInputError(f"{name}{place}", f"is {float(values[where]):g}", f"give {wanted}")


def _range(least: float, most: float, above: float) -> str:
    parts = [f"more than {above:g}"] if above > -math.inf else []
    parts += [f"at least {least:g}"] if least > -math.inf else []
    parts += [f"at most {most:g}"] if most < math.inf else []
    return "a number of " + " and ".join(parts) if parts else "a finite number"
