"""Records of earlier versions, as they lie in old journals."""

from __future__ import annotations

import pytest

from keeper.core.codec import encoder
from keeper.core.decisions import LiquidationObserved, Verdict
from keeper.core.ids import Address, Hash32
from keeper.core.units import TokenAmount
from keeper.core.venue import LiquidationSeen
from keeper.journal.upcast import NOT_JUDGED, UPCASTS, upgrade_records

SOMEBODY = Address(b"\x01" * 20)
SEEN = LiquidationSeen(
    "aave", SOMEBODY, SOMEBODY, SOMEBODY, SOMEBODY, TokenAmount(1), TokenAmount(2), Hash32(bytes(32))
)
INTENT = Hash32(b"\x02" * 32)


@pytest.mark.parametrize(
    ("intent_id", "verdict", "why"), [(INTENT, Verdict.OURS, ""), (None, Verdict.UNKNOWN, NOT_JUDGED)]
)
def test_a_liquidation_before_verdicts(intent_id: Hash32 | None, verdict: Verdict, why: str) -> None:
    """A liquidation that was recorded without a verdict is ours by its intent, and unknown otherwise."""
    packed = encoder().encode([[7, 0, 6, ["LiquidationObserved/1", SEEN, 11, intent_id]]])

    (record,) = upgrade_records(packed, UPCASTS)

    assert record.body == LiquidationObserved(SEEN, 11, intent_id, verdict, why)
