"""The signer signs what it was asked, and its key cannot be read out of anything that might be written down."""

import copy
import logging
import pickle
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace

import coincurve
import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from eth_keys.backends import get_backend
from eth_keys.backends.coincurve import CoinCurveECCBackend
from hypothesis import given
from hypothesis import strategies as st

from keeper.core.errors import CredentialError, InvariantBroken
from keeper.core.ids import Address, to_hex
from keeper.core.units import Wei
from keeper.execution.signer import SECP256K1_ORDER, LocalSigner, Transaction, verify_signed

keys = st.integers(min_value=1, max_value=SECP256K1_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))
long_keys = keys.map(lambda key: bytes(range(0x60, 0x70)) + key[16:])  # a short number's digits occur by accident
transactions = st.builds(
    Transaction,
    chain_id=st.integers(min_value=1, max_value=2**53),
    nonce=st.integers(min_value=0, max_value=2**40),
    to=st.binary(min_size=20, max_size=20).map(Address),
    data=st.binary(max_size=300),
    value_wei=st.integers(min_value=0, max_value=2**100).map(Wei),
    gas_limit=st.integers(min_value=21_000, max_value=30_000_000),
    fee_wei_max=st.integers(min_value=0, max_value=2**80).map(Wei),
    priority_fee_wei_max=st.integers(min_value=0, max_value=2**80).map(Wei),
)
KEY = bytes(range(1, 33))
TRANSACTION = Transaction(
    chain_id=31337,
    nonce=7,
    to=Address(b"\x11" * 20),
    data=b"\xab\xcd",
    value_wei=Wei(0),
    gas_limit=100_000,
    fee_wei_max=Wei(3 * 10**9),
    priority_fee_wei_max=Wei(10**9),
)


def writings_of(secret: bytes) -> list[str]:
    """Return the ways in which text could give the secret away."""
    return [secret.hex(), repr(secret)[2:-1], str(int.from_bytes(secret, "big")), repr(list(secret))[1:-1]]


def assert_hidden(secret: bytes, text: str) -> None:
    """Fail when text holds the secret in any writing."""
    assert [writing for writing in writings_of(secret) if writing.lower() in text.lower()] == []


@given(key=keys, transaction=transactions)
def test_signs_as_the_reference_does(key: bytes, transaction: Transaction) -> None:
    """The bytes and the hash are those that eth-account's own signing gives."""
    signed = LocalSigner(key).sign(transaction)
    reference = Account.from_key(key).sign_transaction({**transaction.fields(), "data": to_hex(transaction.data)})
    assert signed.raw == bytes(reference.raw_transaction)
    assert signed.tx_hash == bytes(reference.hash)


@given(keys)
def test_address(key: bytes) -> None:
    """The address is the one that every wallet derives from the key."""
    assert to_hex(LocalSigner(key).address) == Account.from_key(key).address.lower()


def test_signing_is_native() -> None:
    """The curve arithmetic is libsecp256k1's, for us and for eth-account."""
    assert isinstance(LocalSigner(KEY)._key, coincurve.PrivateKey)
    assert isinstance(get_backend(), CoinCurveECCBackend)


@pytest.mark.parametrize("key", [b"", bytes(32), KEY[:31], SECP256K1_ORDER.to_bytes(32, "big")])
def test_not_a_key(key: bytes) -> None:
    """Bytes that are no key are refused."""
    with pytest.raises(CredentialError):
        LocalSigner(key)


@pytest.mark.fault(41)
@pytest.mark.parametrize(
    "asked",
    [
        replace(TRANSACTION, chain_id=1),
        replace(TRANSACTION, nonce=8),
        replace(TRANSACTION, to=Address(b"\x12" * 20)),
        replace(TRANSACTION, data=b""),
        replace(TRANSACTION, value_wei=Wei(1)),
        replace(TRANSACTION, gas_limit=1),
        replace(TRANSACTION, fee_wei_max=Wei(1)),
        replace(TRANSACTION, priority_fee_wei_max=Wei(1)),
    ],
)
def test_other_bytes_are_refused(asked: Transaction) -> None:
    """Signed bytes that differ from what was asked, in any field, stop the process."""
    signer = LocalSigner(KEY)
    with pytest.raises(InvariantBroken, match="differs from what was asked"):
        verify_signed(signer.sign(TRANSACTION).raw, asked, signer.address)


@pytest.mark.fault(41)
def test_other_sender_is_refused() -> None:
    """Signed bytes that recover to another address stop the process."""
    with pytest.raises(InvariantBroken, match="recovers to"):
        verify_signed(LocalSigner(KEY).sign(TRANSACTION).raw, TRANSACTION, Address(bytes(20)))


@pytest.mark.fault(41)
def test_high_s_is_refused() -> None:
    """The other, malleable signature of the same transaction stops the process."""
    signer = LocalSigner(KEY)
    decoded = TypedTransaction.from_dict(TRANSACTION.fields())
    signature = coincurve.PrivateKey(KEY).sign_recoverable(decoded.hash(), hasher=None)
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
    flipped = {"v": signature[64] ^ 1, "r": r, "s": SECP256K1_ORDER - s}
    raw = bytes(TypedTransaction.from_dict({**TRANSACTION.fields(), **flipped}).encode())
    with pytest.raises(InvariantBroken, match="high s"):
        verify_signed(raw, TRANSACTION, signer.address)


@given(long_keys)
def test_key_is_not_printed(key: bytes) -> None:
    """No way of printing a signer, or what it gives, shows its key."""
    signer = LocalSigner(key)
    signed = signer.sign(TRANSACTION)
    shown = [repr(signer), str(signer), f"{signer}", repr([signer]), repr(signed), repr(TRANSACTION), signed.raw.hex()]
    shown += [str(getattr(signer, name)) for name in LocalSigner.__slots__]
    assert_hidden(key, "\n".join(shown))


def test_key_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Signing, at the lowest log level, writes no key."""
    caplog.set_level(logging.DEBUG)
    LocalSigner(KEY).sign(TRANSACTION)
    logging.getLogger("test").info("signer %r %s", LocalSigner(KEY), LocalSigner(KEY))
    assert_hidden(KEY, caplog.text)


def test_no_dictionary() -> None:
    """A signer has no dictionary to dump."""
    with pytest.raises(TypeError):
        vars(LocalSigner(KEY))


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, *(lambda s, p=p: pickle.dumps(s, p) for p in range(6))]
)
def test_no_copy(duplicate: object) -> None:
    """A signer refuses to be copied or pickled, by every protocol."""
    assert callable(duplicate)
    with pytest.raises(InvariantBroken) as caught:
        duplicate(LocalSigner(KEY))
    assert_hidden(KEY, str(caught.value))


@given(key=long_keys)
def test_key_is_not_in_a_traceback(key: bytes) -> None:
    """An error while signing, printed with every frame's locals, shows no key."""
    signer = LocalSigner(key)
    del key
    secret = signer._key.secret
    with pytest.raises(Exception, match="negative") as caught:
        signer.sign(replace(TRANSACTION, nonce=-1))
    tail = caught.value.__traceback__
    assert tail is not None  # the first frame is this test's, which holds the secret to compare with
    printed = "".join(
        traceback.TracebackException(caught.type, caught.value, tail.tb_next, capture_locals=True).format()
    )
    assert "transaction = Transaction(" in printed
    assert_hidden(secret, printed)


def test_a_bad_key_is_not_in_its_refusal() -> None:
    """The refusal of a malformed key does not carry it, nor do the frames below the caller's."""
    almost = KEY + b"\x21"
    with pytest.raises(CredentialError) as caught:
        LocalSigner(almost)
    tail = caught.value.__traceback__
    assert tail is not None
    frames = traceback.TracebackException(CredentialError, caught.value, tail.tb_next, capture_locals=True)
    assert_hidden(KEY, "".join(frames.format()))


@pytest.mark.slow
def test_the_signing_library_comes_with_the_key() -> None:
    """The slow library is imported with the first key: a process without keys does not wait, nor does a signature."""
    program = """
import sys
import keeper.app.daemon
print("eth_account" in sys.modules, "eth_keyfile" in sys.modules)
keeper.execution.signer.LocalSigner(bytes(31) + bytes([1]))
print("eth_account" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "False False\nTrue\n"


def test_the_library_keeps_no_copy() -> None:
    """The object that signs has no attribute that is the key; only asking for the key reads it."""
    key = LocalSigner(KEY)._key

    assert [name for name, value in vars(key).items() if isinstance(value, bytes | str | int)] == []
    assert_hidden(KEY, repr(vars(key)))
    assert key.secret == KEY


@pytest.mark.parametrize("print_it", [repr, str, format, lambda signer: f"{signer!r:>90}"])
def test_no_format_shows_the_key(print_it: Callable[[object], str]) -> None:
    """However a signer is formatted, it prints as its address."""
    assert_hidden(KEY, print_it(LocalSigner(KEY)))


def test_a_signer_has_no_state() -> None:
    """What copying asks an object for holds no key."""
    assert_hidden(KEY, repr(LocalSigner(KEY).__getstate__()))
