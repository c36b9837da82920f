"""Deposit and settle through the wrappers, on both chains, and read everything back."""

from __future__ import annotations

import time
from typing import Any

import pytest

from chainwallet.chain.contracts.access_manager import AccessManager, Role
from chainwallet.chain.contracts.currency_token import CurrencyToken
from chainwallet.chain.contracts.hub_events import BatchSettled, PaymentSettled, QuoteFilled, SurplusCollected
from chainwallet.chain.errors import CallReverted
from chainwallet.chain.proofs import verify_inclusion
from chainwallet.keys.intents import MakerQuote, PaymentOrder, order_digest, quote_digest
from chainwallet.keys.signers import LocalSigner

EUR, USD = 978, 840
UNIT = 10**6


@pytest.fixture
def parties(world: Any) -> tuple[LocalSigner, LocalSigner, str]:
    """A payer with 1,000 EUR, a maker with 5,000 USD, and a payee's address."""
    payer, maker = LocalSigner("0x" + "22" * 32), LocalSigner("0x" + "33" * 32)
    for signer in (payer, maker):
        signer.pin(world.domain)
    world.deposit("EUR", EUR, payer.address, 1_000 * UNIT)
    world.deposit("USD", USD, maker.address, 5_000 * UNIT)
    return payer, maker, LocalSigner("0x" + "44" * 32).address


def _order(payer: str, payee: str, *, nonce: int = 1, deadline: int | None = None) -> PaymentOrder:
    return PaymentOrder(
        payer, payee, EUR, 101 * UNIT, USD, 110 * UNIT, nonce, deadline or int(time.time()) + 600, b"\x07" * 32
    )


def test_settle__one_order_over_one_quote__moves_exactly_what_was_signed(world: Any, parties: Any) -> None:
    payer, maker, payee = parties
    order = _order(payer.address, payee)
    quote = MakerQuote(maker.address, USD, 1_000 * UNIT, EUR, 900 * UNIT, 5, order.deadline)
    batch = world.settle(
        9,
        [(order, payer.sign_order(world.domain, order))],
        (quote, maker.sign_quote(world.domain, quote)),
        110 * UNIT,
    )
    tx_hash = world.send(world.hub.address, batch)
    receipt = world.node.receipt(tx_hash)

    events = [event for _, event in world.hub.decode_events(receipt.logs)]
    assert events == [
        PaymentSettled(payee, "0x" + order_digest(world.domain, order).hex()),
        QuoteFilled(maker.address, "0x" + quote_digest(world.domain, quote).hex(), 110 * UNIT, 99 * UNIT),
        SurplusCollected(EUR, 2 * UNIT),
        BatchSettled(9, 1, 1),
    ]
    block = receipt.block_number
    pairs = [
        (payer.address, EUR),
        (payee, USD),
        (maker.address, USD),
        (maker.address, EUR),
        (world.hub.treasury(), EUR),
    ]
    assert world.hub.positions(pairs, block=block) == [899 * UNIT, 110 * UNIT, 4_890 * UNIT, 99 * UNIT, 2 * UNIT]
    assert world.hub.positions(pairs, block=block - 1) == [1_000 * UNIT, 0, 5_000 * UNIT, 0, 0]
    assert world.hub.position(payer.address, EUR).nonce == 1
    assert world.hub.total(EUR, block=block) == 1_000 * UNIT
    assert world.hub.totals([EUR, USD]) == [1_000 * UNIT, 5_000 * UNIT]
    assert world.hub.quote_sold(quote_digest(world.domain, quote)) == 110 * UNIT
    assert world.hub.is_settled(9)
    assert not world.hub.is_settled(10)
    proof = verify_inclusion(world.node, tx_hash)
    assert [event for _, event in world.hub.decode_events(proof.logs)] == events


def test_settle__same_batch_again__reverts_by_name(world: Any, parties: Any) -> None:
    payer, maker, payee = parties
    order = _order(payer.address, payee)
    quote = MakerQuote(maker.address, USD, 1_000 * UNIT, EUR, 900 * UNIT, 5, order.deadline)
    batch = world.settle(
        9,
        [(order, payer.sign_order(world.domain, order))],
        (quote, maker.sign_quote(world.domain, quote)),
        110 * UNIT,
    )
    world.send(world.hub.address, batch)
    with pytest.raises(CallReverted) as caught:
        world.node.call(world.hub.address, batch, sender=world.operator.address)
    assert (caught.value.name, caught.value.args_by_name) == ("BatchAlreadySettled", {"batchId": 9})


def test_settle__orders_that_the_hub_refuses__are_named_by_index(world: Any, parties: Any) -> None:
    payer, maker, payee = parties
    good = _order(payer.address, payee)
    forged = _order(payer.address, payee, nonce=2)
    quote = MakerQuote(maker.address, USD, 1_000 * UNIT, EUR, 900 * UNIT, 5, good.deadline)
    signed = payer.sign_order(world.domain, good)
    batch = world.settle(9, [(good, signed), (forged, signed)], (quote, maker.sign_quote(world.domain, quote)), UNIT)
    with pytest.raises(CallReverted) as caught:
        world.node.call(world.hub.address, batch, sender=world.operator.address)
    assert caught.value.name == "OrderSignatureInvalid"
    assert caught.value.args_by_name["order"] == 1
    assert caught.value.args_by_name["payer"] == payer.address


def test_settle__by_a_stranger__refused_by_the_access_manager(world: Any, parties: Any) -> None:
    payer, maker, payee = parties
    order = _order(payer.address, payee)
    quote = MakerQuote(maker.address, USD, 1_000 * UNIT, EUR, 900 * UNIT, 5, order.deadline)
    batch = world.settle(
        9,
        [(order, payer.sign_order(world.domain, order))],
        (quote, maker.sign_quote(world.domain, quote)),
        110 * UNIT,
    )
    with pytest.raises(CallReverted) as caught:
        world.node.call(world.hub.address, batch, sender=payer.address)
    assert caught.value.name == "AccessManagedUnauthorized"
    assert caught.value.args_by_name == {"caller": payer.address}


def test_hub__the_digests_and_the_domain__are_those_of_the_keys_room(world: Any, parties: Any) -> None:
    assert world.hub.domain_separator() == world.domain.separator()


def test_views__tokens_and_roles__as_deployed(world: Any) -> None:
    operator = world.operator.address
    assert world.hub.token(EUR) == world.deployment.tokens["EUR"]
    assert world.hub.token(392) is None
    assert world.hub.treasury() == operator
    manager = AccessManager(world.node, world.deployment.access_manager)
    assert all(manager.has_role(role, operator) for role in Role)
    assert not manager.has_role(Role.SETTLER, world.hub.address)
    token = CurrencyToken(world.node, world.deployment.tokens["EUR"])
    world.deposit("EUR", EUR, operator, 7 * UNIT)
    assert token.balance_of(world.hub.address) == token.total_supply() == 7 * UNIT
    assert token.minter_allowance(operator) == 2**256 - 1 - 7 * UNIT
    assert token.allowance(operator, world.hub.address) == 2**256 - 1


def test_positions__more_than_one_call_holds__in_order(world: Any) -> None:
    world.deposit("USD", USD, world.operator.address, 3 * UNIT)
    pairs = [(world.operator.address, USD if i % 2 else EUR) for i in range(2_500)]
    assert world.hub.positions(pairs) == [3 * UNIT if i % 2 else 0 for i in range(2_500)]
    assert world.hub.positions([]) == []
