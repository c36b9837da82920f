"""What is read back from signed bytes is what was signed."""

from __future__ import annotations

from dataclasses import replace

from chainwallet.keys.intents import Transaction
from chainwallet.keys.policy import TransactionPolicy
from chainwallet.keys.signers import LocalSigner
from chainwallet.keys.transactions import access_list_of

SIGNER = LocalSigner("0x" + "07" * 32, transactions=TransactionPolicy(gas_price_max_wei=10**11, value_max_wei=0))
PLAIN = Transaction(31_337, 5, SIGNER.address, b"\x01\x02", 100_000, 10**9, 10**9)


def test_access_list_of__signed_bytes__is_the_one_that_was_signed() -> None:
    listed = ((SIGNER.address, (b"\x01" * 32, b"\x80" + b"\x00" * 31)),)
    assert access_list_of(SIGNER.sign_transaction(replace(PLAIN, access_list=listed)).raw) == listed
    assert access_list_of(SIGNER.sign_transaction(PLAIN).raw) == ()
