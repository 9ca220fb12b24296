"""Every fault of the list has a proof, and the page that says so is true."""

from __future__ import annotations

from tests.promises import ROOT, faults, page, proofs, simulated, unproved


def test_the_cases_are_numbered_from_one() -> None:
    """The list is whole: 44 cases, in order."""
    assert [fault.case for fault in faults()] == list(range(1, 45))


def test_every_case_has_a_proof() -> None:
    """Each case that one machine can show has a test or a fault of the simulator."""
    assert unproved(proofs(), simulated()) == []


def test_the_page_is_what_the_tests_say() -> None:
    """``docs/promises.md`` is what `make promises` makes of the marks."""
    assert (ROOT / "docs" / "promises.md").read_text(encoding="utf-8") == page()


def test_only_what_needs_a_cluster_is_left_to_one() -> None:
    """Four cases need a cluster of journal servers, no others."""
    assert [fault.case for fault in faults() if fault.needs] == [23, 24, 25, 26]
