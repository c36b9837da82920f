"""settle and requestExitFor: accounts of passkeys."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hub_packing import Packed, pack_order, pack_signature
from hub_passkeys import SoftPasskey, high_s
from hub_world import EUR, ROOT, UNIT, USD, Chain, Order, Quote, Refusal, World, account, digest_of, mock
from test_hub_exit import EXIT_TYPE, HAVEN, ExitOrder

from chainwallet.keys.errors import SignatureRefused
from chainwallet.keys.passkeys import (
    PasskeyPublicKey,
    client_data_of,
    pack_assertion,
    passkey_assertion,
    signer_of,
)

PAYEE = account("payee").address


@pytest.fixture(scope="module")
def passkey() -> SoftPasskey:
    return SoftPasskey("customer")


@pytest.fixture
def order(world: World, passkey: SoftPasskey) -> Order:
    """100 EUR from the passkey's account, which holds 1,000."""
    world.send(world.hub.functions.deposit(EUR, [(passkey.address, 1_000 * UNIT, bytes(32))]), "issuer")
    return Order(passkey.address, PAYEE, EUR, 100 * UNIT, EUR, 100 * UNIT)


def settle_signed(world: World, order: Order, signature: bytes) -> None:
    world.send(world.hub.functions.settle(packed(order, signature)), "settler")


def packed(order: Order, signature: bytes) -> bytes:
    return Packed(1, [(EUR, EUR)], pack_order(order, signature, 0), b"", []).join()


def refused(world: World, order: Order, signature: bytes) -> Refusal:
    return world.refused(world.hub.functions.settle(packed(order, signature)), "settler")


def test_settle__order_signed_by_a_passkey__settles(world: World, passkey: SoftPasskey, order: Order) -> None:
    signature = passkey.sign(world.order_hash(order))
    assert signer_of(world.order_hash(order), signature) == passkey.address
    settle_signed(world, order, signature)
    assert (world.balance(PAYEE, EUR), world.nonce(passkey.address, EUR)) == (100 * UNIT, 1)


def test_settle__maker_with_a_passkey__is_filled(world: World) -> None:
    payer, maker = world.fund("payer", EUR, 100 * UNIT), SoftPasskey("maker")
    world.send(world.hub.functions.deposit(USD, [(maker.address, 100 * UNIT, bytes(32))]), "issuer")
    batch = world.batch([Order(payer, PAYEE, EUR, 100 * UNIT, USD, 90 * UNIT)])
    quote = Quote(maker.address, USD, 100 * UNIT, EUR, 100 * UNIT)
    batch.quotes, batch.fills = [quote], [(0, 90 * UNIT)]
    batch.quote_signatures = [maker.sign(world.quote_hash(quote))]
    world.settle(batch)
    assert (world.balance(maker.address, USD), world.balance(maker.address, EUR)) == (10 * UNIT, 90 * UNIT)


def test_request_exit_for__signed_by_a_passkey__sets_aside(world: World, passkey: SoftPasskey, order: Order) -> None:
    leaving = ExitOrder(passkey.address, HAVEN, EUR, 1_000 * UNIT)
    digest = digest_of(EXIT_TYPE, leaving, chain_id=world.chain.id, hub=world.hub.address)
    kind, signed = pack_signature(passkey.sign(digest))
    world.send(world.hub.functions.requestExitFor(tuple(leaving), bytes([kind]) + signed), "stranger")
    assert world.hub.functions.exitOf(passkey.address, EUR).call()[0] == 1_000 * UNIT


SPOILED = ["key", "order", "chain", "not verified", "not present", "backed up", "create", "client data", "auth data"]


@pytest.mark.parametrize("way", SPOILED)
def test_settle__assertion_that_is_not_the_payers__refused(
    world: World, passkey: SoftPasskey, order: Order, way: str
) -> None:
    digest = world.order_hash(order)
    other = world.order_hash(order._replace(payee=account("thief").address))
    created = client_data_of(digest, origin="https://bank.example").replace(b"webauthn.get", b"webauthn.new")
    good = passkey.assertion(digest)
    longer = {**good, "client_data": good["client_data"].replace(b"}", b',"x":1}')}
    counted = {**good, "authenticator_data": good["authenticator_data"][:-1] + b"\xff"}
    signature = {
        "key": lambda: SoftPasskey("thief").sign(digest),
        "order": lambda: passkey.sign(other),
        "chain": lambda: passkey.sign(digest_of_another_chain(world, order)),
        "not verified": lambda: passkey.sign(digest, flags=0x01),
        "not present": lambda: passkey.sign(digest, flags=0x04),
        "backed up": lambda: passkey.sign(digest, flags=0x15),
        "create": lambda: patched_type(passkey, digest, created),
        "client data": lambda: pack_assertion(passkey.public, **longer),
        "auth data": lambda: pack_assertion(passkey.public, **counted),
    }[way]()
    assert refused(world, order, signature) == Refusal("OrderSignatureInvalid", (0, passkey.address, digest))
    if way != "key":
        with pytest.raises(SignatureRefused):
            signer_of(digest, signature)


def digest_of_another_chain(world: World, order: Order) -> bytes:
    from hub_world import ORDER_TYPE

    return digest_of(ORDER_TYPE, order, chain_id=world.chain.id + 1, hub=world.hub.address)


def patched_type(passkey: SoftPasskey, digest: bytes, client_data: bytes) -> bytes:
    """An assertion whose client data have another type; the packer looks for the right one, so its place is kept."""
    right = client_data.replace(b"webauthn.new", b"webauthn.get")
    made = passkey.assertion(digest, client_data=client_data)
    return pack_assertion(passkey.public, **{**made, "client_data": right}).replace(right, client_data)


def test_settle__high_s_twin_of_an_assertion__refused(world: World, passkey: SoftPasskey, order: Order) -> None:
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    digest = world.order_hash(order)
    good = passkey.sign(digest)
    assertion = passkey.assertion(digest)
    twins = [decode_dss_signature(der)[1] for der in (assertion["signature_der"], high_s(assertion["signature_der"]))]
    signature = good[:96] + max(twins).to_bytes(32, "big") + good[128:]
    assert refused(world, order, signature).name == "OrderSignatureInvalid"
    both = {pack_assertion(passkey.public, **{**assertion, "signature_der": der}) for der in _twins(assertion)}
    assert both == {good}, "the packer gives a signature one spelling"


def _twins(assertion: dict[str, bytes]) -> list[bytes]:
    return [assertion["signature_der"], high_s(assertion["signature_der"])]


@pytest.mark.parametrize("kept", [0, 1, 33, 64, 127, 133, 134, 150, 171, 200])
def test_settle__assertion_cut_short__refused(world: World, passkey: SoftPasskey, order: Order, kept: int) -> None:
    signature = passkey.sign(world.order_hash(order))
    spoiled = (passkey_assertion(signature) or b"")[:kept] + signature[-32:]
    assert refused(world, order, spoiled).name == "OrderSignatureInvalid"
    with pytest.raises(SignatureRefused):
        signer_of(world.order_hash(order), spoiled)


def test_settle__key_of_another_account__refused(world: World, passkey: SoftPasskey, order: Order) -> None:
    """The attacker's key and assertion are genuine; the account is not that key's."""
    thief = SoftPasskey("thief")
    assert refused(world, order, thief.sign(world.order_hash(order))).name == "OrderSignatureInvalid"


def test_passkey_address__is_apart_from_ethereums(passkey: SoftPasskey) -> None:
    from eth_utils import keccak

    x, y = passkey.public.x, passkey.public.y
    assert int(passkey.address, 16).to_bytes(20, "big") != keccak(x + y)[12:]
    tag = keccak(text="chainwallet passkey account, P-256, version 1")
    assert int(passkey.address, 16).to_bytes(20, "big") == keccak(tag + x + y)[12:]


def test_passkey_public_key__not_on_the_curve__refused() -> None:
    with pytest.raises(SignatureRefused):
        PasskeyPublicKey(bytes(31) + b"\x01", bytes(31) + b"\x01")


VECTORS = json.loads((ROOT / "tests" / "vectors" / "passkeys.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def harness() -> Any:
    return Chain().deploy(mock("PasskeysHarness"))


@pytest.mark.parametrize("number", range(len(VECTORS)))
def test_passkeys__recorded_in_a_browser__are_accepted_for_their_digest_alone(harness: Any, number: int) -> None:
    vector = {name: bytes.fromhex(text) for name, text in VECTORS[number].items()}
    key, digest = PasskeyPublicKey.from_der(vector["key_der"]), vector["digest"]
    parts = {name: vector[name] for name in ("authenticator_data", "client_data", "signature_der")}
    signature = pack_assertion(key, **parts)
    assert signer_of(digest, signature) == key.address
    assert harness.functions.accountOf(key.x, key.y).call() == key.address
    assertion = passkey_assertion(signature)
    assert harness.functions.isSigned(digest, key.address, assertion).call()
    assert not harness.functions.isSigned(bytes([digest[0] ^ 1]) + digest[1:], key.address, assertion).call()
