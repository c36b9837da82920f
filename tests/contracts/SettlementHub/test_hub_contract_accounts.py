"""settle and requestExitFor: accounts that are contracts and are asked (ERC-1271), by either kind of signature."""

from __future__ import annotations

from typing import Any

import pytest
from hub_packing import CONTRACT_ACCOUNT, Packed, pack_order, pack_quote, sized
from hub_world import EUR, UNIT, USD, Order, Quote, Refusal, World, account, digest_of, mock
from test_hub_exit import EXIT_TYPE, HAVEN, ExitOrder

PAYEE = account("payee").address


@pytest.fixture
def wallet(world: World) -> Any:
    """An account that accepts what the key "owner" signs, with 100 EUR and 100 USD."""
    owner = world.key("owner")
    wallet = world.chain.deploy(mock("ContractWallet"), owner.address)
    world.keys[wallet.address] = owner
    for currency in (EUR, USD):
        deposit = world.hub.functions.deposit(currency, [(wallet.address, 100 * UNIT, bytes(32))])
        world.send(deposit, "issuer")
    return wallet


def asked(packed: bytes, signature: bytes) -> bytes:
    """An order or a quote, with its signature said to be for the account's contract."""
    return bytes([packed[0] | CONTRACT_ACCOUNT]) + packed[1:-64] + sized(signature)


def settle_asked(world: World, order: Order, signature: bytes, *, wide: bool = False) -> Any:
    packed = asked(pack_order(order, world.sign(order), 0, wide=wide), signature)
    return world.hub.functions.settle(Packed(1, [(EUR, EUR)], packed, b"", []).join())


@pytest.mark.parametrize("wide", [False, True])
def test_settle__signature_for_the_contract__is_given_to_it_whole(world: World, wallet: Any, *, wide: bool) -> None:
    order = Order(wallet.address, PAYEE, EUR, UNIT, EUR, UNIT)
    world.send(settle_asked(world, order, world.sign(order), wide=wide), "settler")
    assert (world.balance(PAYEE, EUR), world.nonce(wallet.address, EUR)) == (UNIT, 1)


@pytest.mark.parametrize("spoil", [lambda s: s[:-1], lambda s: b"", lambda s: s[:-1] + bytes([55 - s[-1]])])
def test_settle__signature_that_the_contract_refuses__refused(world: World, wallet: Any, spoil: Any) -> None:
    order = Order(wallet.address, PAYEE, EUR, UNIT, EUR, UNIT)
    refused = world.refused(settle_asked(world, order, spoil(world.sign(order))), "settler")
    assert refused == Refusal("OrderSignatureInvalid", (0, wallet.address, world.order_hash(order)))


def test_settle__key_holder_said_to_be_a_contract__refused(world: World) -> None:
    payer = world.fund("payer", EUR, UNIT)
    order = Order(payer, PAYEE, EUR, UNIT, EUR, UNIT)
    refused = world.refused(settle_asked(world, order, world.sign(order)), "settler")
    assert refused == Refusal("OrderSignatureInvalid", (0, payer, world.order_hash(order)))


def test_settle__bare_signature_said_to_be_for_a_contract__is_not_recovered(world: World) -> None:
    order = Order(world.fund("payer", EUR, UNIT), PAYEE, EUR, UNIT, EUR, UNIT)
    packed = bytes([CONTRACT_ACCOUNT]) + pack_order(order, world.sign(order), 0)[1:]
    refused = world.refused(world.hub.functions.settle(Packed(1, [(EUR, EUR)], packed, b"", []).join()), "settler")
    assert refused == Refusal("OrderSignatureInvalid", (0, order.payer, world.order_hash(order)))


@pytest.mark.parametrize("kind", ["recovered", "asked"])
def test_settle__maker_that_is_a_contract__is_filled_until_it_refuses(world: World, wallet: Any, kind: str) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    quote = Quote(wallet.address, USD, 100 * UNIT, EUR, 50 * UNIT)
    order = Order(payer, PAYEE, EUR, 5 * UNIT, USD, 10 * UNIT)
    batch = world.batch([order], [quote], [(0, 10 * UNIT)]).packed()
    if kind == "asked":
        signature = world.sign(quote)
        batch = batch._replace(quotes=asked(pack_quote(quote, signature), signature))
    call = world.hub.functions.settle(batch.join())
    snapshot = world.chain.node.snapshot()
    world.send(call, "settler")
    assert (world.balance(wallet.address, USD), world.balance(wallet.address, EUR)) == (90 * UNIT, 105 * UNIT)
    world.chain.node.revert(snapshot)
    world.send(wallet.functions.close(), "stranger")
    refused = world.refused(call, "settler")
    assert refused == Refusal("QuoteSignatureInvalid", (0, wallet.address, world.quote_hash(quote)))


def test_request_exit_for__contract_account__is_asked_until_it_refuses(world: World, wallet: Any) -> None:
    order = ExitOrder(wallet.address, HAVEN, EUR, UNIT)
    digest = digest_of(EXIT_TYPE, order, chain_id=world.chain.id, hub=world.hub.address)
    signature = bytes([CONTRACT_ACCOUNT]) + sized(bytes(world.key("owner").unsafe_sign_hash(digest).signature))
    call = world.hub.functions.requestExitFor(tuple(order), signature)
    call.call({"from": world.who["stranger"]})
    world.send(wallet.functions.close(), "stranger")
    assert world.refused(call, "stranger") == Refusal("ExitSignatureInvalid", (wallet.address, digest))
