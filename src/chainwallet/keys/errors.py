"""Refusals of the keys room. None of them carries a secret, in its text or in its context."""

from __future__ import annotations

from chainwallet.kit.errors import ChainwalletError


class InvalidIntent(ChainwalletError):
    """A field of an order, a quote, a transaction or an address does not fit its type on chain."""

    code = "KEYS_INVALID_INTENT"
    status = 422


class SignatureRefused(ChainwalletError):
    """A signature that this system does not accept, even where an Ethereum library would."""

    code = "KEYS_SIGNATURE_REFUSED"
    status = 422


class PolicyRefused(ChainwalletError):
    """A signer will not sign this intent."""

    code = "KEYS_POLICY_REFUSED"
    status = 403


class InvalidPrivateKey(ChainwalletError):
    """Not a secp256k1 private key in hex."""

    code = "KEYS_INVALID_PRIVATE_KEY"
    status = 422


class InvalidMnemonic(ChainwalletError):
    """Not a BIP-39 phrase, or not a BIP-32 path."""

    code = "KEYS_INVALID_MNEMONIC"
    status = 422


class KeystoreRefused(ChainwalletError):
    """A keystore file that is malformed, too costly to open, or does not hold the key it says it holds."""

    code = "KEYS_KEYSTORE_REFUSED"
    status = 422


class WalletExists(ChainwalletError):
    """The owner has a wallet already, or the address belongs to one."""

    code = "KEYS_WALLET_EXISTS"
    status = 409


class WalletNotFound(ChainwalletError):
    """No managed wallet with this address."""

    code = "KEYS_WALLET_NOT_FOUND"
    status = 404


class WalletCorrupt(ChainwalletError):
    """A stored wallet was changed outside the vault: it does not decrypt, or holds another address's key."""

    code = "KEYS_WALLET_CORRUPT"
    status = 500


class KekRefused(ChainwalletError):
    """The key-encryption key is not 32 bytes."""

    code = "KEYS_KEK_REFUSED"
    status = 500


class SecretFileRefused(ChainwalletError):
    """A key file in the data folder is open to others, or does not hold a key."""

    code = "KEYS_SECRET_FILE_REFUSED"
    status = 500


class KekUnknown(ChainwalletError):
    """Wallets are wrapped under a key-encryption key that this process was not given."""

    code = "KEYS_KEK_UNKNOWN"
    status = 500
