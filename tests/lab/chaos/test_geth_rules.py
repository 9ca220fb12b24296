"""The rules of geth's pool: what the local node would take, a real one refuses."""

from __future__ import annotations

import pytest

from keeper.core.ids import Address, content_id, to_hex
from keeper.core.units import Wei
from keeper.execution.signer import LocalSigner, Transaction
from keeper.lab.chaos.geth_rules import Offer, PoolRules, read_offer

HELD = Offer("0xaa", 7, 100, 1000)


def rules_with(held: Offer) -> PoolRules:
    """Return the rules of a pool that took one offer."""
    rules = PoolRules()
    rules.took(held)
    return rules


def test_an_offer_is_read_from_signed_bytes() -> None:
    """Nonce, fees and hash are those that were signed."""
    transaction = Transaction(
        chain_id=31337,
        nonce=5,
        to=Address(b"\x11" * 20),
        data=b"\x01",
        value_wei=Wei(0),
        gas_limit=21_000,
        fee_wei_max=Wei(30),
        priority_fee_wei_max=Wei(2),
    )
    signed = LocalSigner(content_id("key")).sign(transaction)

    assert read_offer(to_hex(signed.raw)) == Offer(to_hex(signed.tx_hash), 5, 2, 30)


@pytest.mark.parametrize("raw", ["0x", "0x01", "0x02", "0x02c0ff", "0x02f8"])
def test_bytes_that_are_no_dynamic_fee_transaction_are_left_to_the_node(raw: str) -> None:
    """What cannot be read is no offer."""
    assert read_offer(raw) is None


@pytest.mark.fault(9)
@pytest.mark.parametrize(
    ("offer", "refusal"),
    [
        (Offer("0xbb", 7, 110, 1100), None),
        (Offer("0xbb", 7, 109, 1100), "replacement transaction underpriced"),
        (Offer("0xbb", 7, 110, 1099), "replacement transaction underpriced"),
        (Offer("0xbb", 7, 100, 2000), "replacement transaction underpriced"),
        (HELD, "already known"),
    ],
)
def test_a_replacement_must_raise_both_fees_by_a_tenth(offer: Offer, refusal: str | None) -> None:
    """One field short of ten per cent is refused, and so are the bytes that are held."""
    rules = rules_with(HELD)

    assert rules.refusal(offer, rules.incumbent(offer)) == refusal


def test_another_nonce_replaces_nothing() -> None:
    """Who offers for a free nonce is compared with nobody."""
    offer = Offer("0xbb", 8, 1, 1)
    rules = rules_with(HELD)

    assert rules.incumbent(offer) is None
    assert rules.refusal(offer, None) is None
