"""Fees are integers under a ceiling, and a raise is always enough for a node's replacement rule."""

from hypothesis import given
from hypothesis import strategies as st

from keeper.core.units import Wei
from keeper.execution.fees import TIP_WEI_MAX, Fees, call_ceiling, first_fees, raised_fees

wei = st.integers(min_value=0, max_value=10**15).map(Wei)
positive_wei = st.integers(min_value=1, max_value=10**15).map(Wei)
GWEI = 10**9


@st.composite
def previous_fees(draw: st.DrawFn) -> Fees:
    """Fees of an earlier attempt: a tip is never above the maximum."""
    fee = draw(wei)
    return Fees(fee, Wei(draw(st.integers(min_value=0, max_value=int(fee)))))


def test_first_offer() -> None:
    """The first offer is twice the base fee and the tip."""
    assert first_fees(Wei(30 * GWEI), Wei(2 * GWEI), Wei(200 * GWEI)) == Fees(Wei(62 * GWEI), Wei(2 * GWEI))


def test_no_offer_below_the_base_fee() -> None:
    """A ceiling below the base fee gives no fees: the transaction could not be included."""
    assert first_fees(Wei(30), Wei(1), Wei(29)) is None


def test_an_absurd_tip_is_not_believed() -> None:
    """A tip that a node suggests is bounded."""
    assert first_fees(Wei(1), TIP_WEI_MAX * 1000, TIP_WEI_MAX * 10) == Fees(Wei(2) + TIP_WEI_MAX, TIP_WEI_MAX)


@given(base_fee=wei, tip=wei, ceiling=wei)
def test_first_fees_are_bounded(base_fee: Wei, tip: Wei, ceiling: Wei) -> None:
    """A first offer is at least the base fee, at most the ceiling, and its tip is within it."""
    fees = first_fees(base_fee, tip, ceiling)
    assert fees is None or base_fee <= fees.fee_wei_max <= ceiling
    assert fees is None or fees.priority_fee_wei_max <= fees.fee_wei_max


@given(previous=previous_fees(), base_fee=wei, tip=wei, ceiling=wei)
def test_a_raise_is_an_eighth_in_both_fields(previous: Fees, base_fee: Wei, tip: Wei, ceiling: Wei) -> None:
    """Both fields rise by an eighth or more, strictly, and never past the ceiling."""
    fees = raised_fees(previous, base_fee, tip, ceiling)
    if fees is None:
        return
    for after, before in zip(fees, previous, strict=True):
        assert int(after) * 8 >= int(before) * 9
        assert after > before
    assert fees.priority_fee_wei_max <= fees.fee_wei_max <= ceiling


@given(previous=previous_fees(), base_fee=wei, tip=wei)
def test_a_raise_is_refused_only_by_the_ceiling(previous: Fees, base_fee: Wei, tip: Wei) -> None:
    """A ceiling of an eighth above, rounded up, is enough; one wei less is not."""
    least = Wei(max(-(-int(previous.fee_wei_max) * 9 // 8), int(previous.fee_wei_max) + 1))
    assert raised_fees(previous, base_fee, tip, least) is not None
    assert raised_fees(previous, base_fee, tip, least - Wei(1)) is None


def test_a_raise_follows_the_base_fee() -> None:
    """When the base fee has jumped, one raise catches up with it."""
    fees = raised_fees(Fees(Wei(3 * GWEI), Wei(GWEI)), Wei(100 * GWEI), Wei(GWEI), Wei(500 * GWEI))
    assert fees == Fees(Wei(201 * GWEI), Wei(GWEI + GWEI // 8))


@given(limit=positive_wei, intent_ceiling=positive_wei, base_fee=wei, tip=wei)
def test_a_call_leaves_room_for_its_cancel(limit: Wei, intent_ceiling: Wei, base_fee: Wei, tip: Wei) -> None:
    """Whatever a call offers under its ceiling, the operator's limit allows the raise that cancels it."""
    fees = first_fees(base_fee, tip, call_ceiling(limit, intent_ceiling))
    assert fees is None or int(limit) < 9 or raised_fees(fees, base_fee, tip, limit) is not None
