"""Public vectors of BIP-39, BIP-32 and BIP-44."""

from __future__ import annotations

import pytest

from chainwallet.keys.errors import InvalidMnemonic
from chainwallet.keys.hd import (
    account_path,
    new_entropy,
    phrase_of,
    private_key_at,
    private_key_of_seed,
    seed_of_phrase,
)
from chainwallet.keys.signatures import SecretKey

JUNK = "test test test test test test test test test test test junk"

# The accounts that every Ethereum development node derives from the phrase above.
ACCOUNTS = [
    "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",
    "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    "0x3C44CdDdB6a900fa2b585dd299e03d12FA4293BC",
    "0x90F79bf6EB2c4f870365E785982E1f101E93b906",
    "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65",
]

# trezor/python-mnemonic vectors.json: entropy, phrase, seed with the passphrase TREZOR.
BIP39 = [
    (
        "00000000000000000000000000000000",
        "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about",
        "c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e9efa3708e53495531f09a6987599d18264c1e1c92f2cf141630c7a3c4ab7c8"
        "1b2f001698e7463b04",
    ),
    (
        "7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f7f",
        "legal winner thank year wave sausage worth useful legal winner thank yellow",
        "2e8905819b8723fe2c1d161860e5ee1830318dbf49a83bd451cfb8440c28bd6fa457fe1296106559a3c80937a1c1069be3a3a5bd381ee6"
        "260e8d9739fce1f607",
    ),
    (
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo zoo vote",
        "dd48c104698c30cfe2b6142103248622fb7bb0ff692eebb00089b32d22484e1613912f0a5b694407be899ffd31ed3992c456cdf60f5d45"
        "64b8ba3f05a69890ad",
    ),
]


@pytest.mark.parametrize(("entropy", "phrase", "seed"), BIP39)
def test_bip39__public_vectors__match(entropy: str, phrase: str, seed: str) -> None:
    assert phrase_of(bytes.fromhex(entropy)) == phrase
    assert seed_of_phrase(phrase, "TREZOR").hex() == seed


def test_bip32__vector_1__matches() -> None:
    key = private_key_of_seed(bytes.fromhex("000102030405060708090a0b0c0d0e0f"), "m/0'/1/2'/2/1000000000")
    assert key.hex() == "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8"


@pytest.mark.parametrize(("index", "address"), enumerate(ACCOUNTS))
def test_bip44__test_phrase__known_accounts(index: int, address: str) -> None:
    assert SecretKey(private_key_of_seed(seed_of_phrase(JUNK), account_path(index))).address == address


def test_private_key_at__entropy__is_the_phrase_way() -> None:
    entropy = bytes(range(32))
    by_phrase = private_key_of_seed(seed_of_phrase(phrase_of(entropy)), account_path(3))
    assert private_key_at(entropy, account_path(3)) == by_phrase


def test_new_entropy__twice__differs_and_makes_24_words() -> None:
    first, second = new_entropy(), new_entropy()
    assert first != second
    assert len(phrase_of(first).split()) == 24


@pytest.mark.parametrize("phrase", ["", "junk", JUNK.replace("junk", "test"), JUNK + " junk", "0x" + "11" * 32])
def test_seed_of_phrase__wrong_words__refused_without_quoting_them(phrase: str) -> None:
    with pytest.raises(InvalidMnemonic) as caught:
        seed_of_phrase(phrase)
    assert caught.value.__context__ is None, "the library's error quotes the words"
    assert "junk" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["", "m", "/0", "m/", "m/0''", "m/-1", "m/0/x", "m/2147483648", "n/0", "m/00", "m/0\n"]
)
def test_private_key_of_seed__not_a_path__refused(path: str) -> None:
    with pytest.raises(InvalidMnemonic):
        private_key_of_seed(bytes(64), path)


@pytest.mark.parametrize("index", [-1, 2**31])
def test_account_path__out_of_range__refused(index: int) -> None:
    with pytest.raises(InvalidMnemonic):
        account_path(index)
