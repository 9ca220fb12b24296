"""The signing key, and the one thing that is done with it.

Only this module imports the libraries that sign (import-linter, contract *signing*). Three choices carry it:

* The key lives in a page of memory of its own and nowhere else: no Python object holds its bytes between signatures,
  and the kernel leaves the page out of core dumps and children. The class that holds it has no dictionary, no state to
  copy and no state to pickle.
* eth-account builds and encodes the transaction, but is given the signature, never the key. A mistake in the
  transaction's fields therefore raises in frames that have not seen the key, however their locals are printed.
* What was signed is decoded again from its bytes and compared with what was asked: every field, the sender that the
  signature recovers to, and a low ``s`` (EIP-2). Wrong bytes would be durable, and sent again, for ever.
"""

from __future__ import annotations

import mmap
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn, SupportsIndex

import coincurve
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hexbytes import HexBytes

from keeper.core.errors import CredentialError, InvariantBroken, invariant
from keeper.core.ids import Address, Hash32, to_hex
from keeper.core.units import Wei

if TYPE_CHECKING:
    from eth_account.typed_transactions.typed_transaction import TypedTransaction

SECP256K1_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY_LENGTH = 32
DYNAMIC_FEE_TYPE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """An EIP-1559 transaction (type 2, no access list), before its signature."""

    chain_id: int
    nonce: int
    to: Address
    data: bytes
    value_wei: Wei
    gas_limit: int
    fee_wei_max: Wei
    priority_fee_wei_max: Wei

    def fields(self) -> dict[str, Any]:
        """Return the fields under the names of the JSON-RPC interface, as eth-account takes them."""
        return {
            "type": DYNAMIC_FEE_TYPE,
            "chainId": self.chain_id,
            "nonce": self.nonce,
            "to": to_checksum_address(self.to),
            "data": HexBytes(self.data),
            "value": int(self.value_wei),
            "gas": self.gas_limit,
            "maxFeePerGas": int(self.fee_wei_max),
            "maxPriorityFeePerGas": int(self.priority_fee_wei_max),
            "accessList": (),
        }


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """The bytes that a node takes, and the hash the chain will know them by."""

    raw: bytes
    tx_hash: Hash32


class _PagedKey(coincurve.PrivateKey):
    """A key of coincurve that keeps its secret in a page of its own; coincurve's own class keeps it as plain bytes."""

    _page: mmap.mmap

    @property
    def secret(self) -> bytes:
        """Read the key, for the length of one call of the library."""
        return self._page[:KEY_LENGTH]

    @secret.setter
    def secret(self, key: bytes) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        if sys.platform == "linux":
            self._page.madvise(mmap.MADV_DONTDUMP)
            self._page.madvise(mmap.MADV_DONTFORK)
        self._page[:KEY_LENGTH] = key


class LocalSigner:
    """A key held in this process.

    Args:
        key: 32 bytes, a number from 1 to the group order less one.

    Raises:
        CredentialError: ``key`` is not a secp256k1 key. The message does not carry it.
    """

    __slots__ = ("_key", "address")

    def __init__(self, key: bytes) -> None:
        _typed_transaction()  # who holds a key will sign, and the first signature must not wait for an import
        valid = len(key) == KEY_LENGTH and 0 < int.from_bytes(key, "big") < SECP256K1_ORDER
        if not valid:
            del key
            raise CredentialError(
                "signing key", "is not a secp256k1 key", "give 32 bytes, 0x and 64 hexadecimal digits"
            )
        self._key = _PagedKey(key)
        del key
        self.address = _address(self._key.public_key)

    def __repr__(self) -> str:
        return f"LocalSigner({to_hex(getattr(self, 'address', b''))})"  # a refused key's traceback prints it too

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Refuse to be pickled or copied: the key stays in this object."""
        raise InvariantBroken(repr(self), "was about to be copied or pickled", "pass the signer itself")

    def sign(self, transaction: Transaction) -> SignedTransaction:
        """Sign a transaction, and check the bytes against what was asked.

        Raises:
            InvariantBroken: the signed bytes decode to something else than was asked, or to another sender.
        """
        typed = _typed_transaction()
        unsigned = typed.from_dict(transaction.fields())
        signature = self._key.sign_recoverable(unsigned.hash(), hasher=None)
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:64], "big")
        signed = typed.from_dict({**transaction.fields(), "v": signature[64], "r": r, "s": s})
        raw = bytes(signed.encode())
        verify_signed(raw, transaction, self.address)
        return SignedTransaction(raw, Hash32(keccak(raw)))


def verify_signed(raw: bytes, asked: Transaction, sender: Address) -> None:
    """Check that signed bytes are the transaction that was asked for, from the sender that was asked.

    Raises:
        InvariantBroken: a field differs, ``s`` is in the upper half (EIP-2), or another address signed.
    """
    decoded = _typed_transaction().from_bytes(HexBytes(raw))
    fields = decoded.as_dict()
    fields["to"] = to_checksum_address(fields["to"])
    differing = [name for name, value in asked.fields().items() if fields[name] != value]
    invariant(not differing, "signed transaction", f"differs from what was asked in {', '.join(differing)}")
    v, r, s = decoded.vrs()
    invariant(s <= SECP256K1_ORDER // 2, "signed transaction", "has a high s")
    signature = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])
    signed_by = _address(coincurve.PublicKey.from_signature_and_message(signature, decoded.hash(), hasher=None))
    invariant(signed_by == sender, "signed transaction", f"recovers to {to_hex(signed_by)}, not {to_hex(sender)}")


def _address(public_key: coincurve.PublicKey) -> Address:
    """Return the last 20 bytes of the hash of the uncompressed point (Ethereum yellow paper, appendix F)."""
    return Address(keccak(public_key.format(compressed=False)[1:])[-20:])


def _typed_transaction() -> type[TypedTransaction]:
    """Import eth-account where there is a key: it takes half of the start of a process that has none."""
    from eth_account.typed_transactions.typed_transaction import TypedTransaction  # noqa: PLC0415 - as said above

    return TypedTransaction
