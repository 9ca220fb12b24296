"""Every decoder of outside bytes, for few inputs; ``make fuzz`` has more."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.harnesses import HARNESSES
from tests.fuzz.mutation import inputs

FOUND = [(name, raw) for name, harness in HARNESSES.items() for raw in (*harness.samples, *harness.found)]


@pytest.mark.fault(33)
@pytest.mark.slow
@pytest.mark.parametrize("name", HARNESSES)
@given(data=st.data())
@settings(max_examples=60)
def test_any_bytes_are_an_error_of_ours_at_worst(name: str, data: st.DataObject) -> None:
    """Whatever bytes a decoder of outside bytes is given, nothing but errors of ours comes out."""
    HARNESSES[name].run(data.draw(inputs(HARNESSES[name].samples)))


@pytest.mark.fault(33)
@pytest.mark.parametrize(("name", "raw"), FOUND, ids=[f"{name}-{place}" for place, (name, _) in enumerate(FOUND)])
def test_what_once_did_worse_does_not(name: str, raw: bytes) -> None:
    """The samples, and what was once found to do worse than an error, are decoded or refused."""
    HARNESSES[name].run(raw)
