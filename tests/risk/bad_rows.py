"""The form of a table of questions that have no answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

Row: TypeAlias = Callable[[Any], object]
"""Asks what it is given something it cannot answer."""
Table: TypeAlias = dict[str, list[Row]]
"""Rows by ``module.function``, ``module.Class`` or ``module.Class.method``."""
