"""settle: the orders of a batch."""

from __future__ import annotations

import itertools

import pytest
from hub_chain import FAILURES
from hub_world import (
    EUR,
    FAR,
    GBP,
    UINT128_MAX,
    UNIT,
    USD,
    Order,
    Quote,
    Refusal,
    World,
    account,
    mock,
    sign_order,
    sign_quote,
)

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = CURVE_ORDER // 2
PAYEE = account("payee").address


@pytest.fixture
def payer(world: World) -> str:
    return world.fund("payer", EUR, 1_000 * UNIT)


def order_of(payer: str, /, **changes: object) -> Order:
    """100 EUR to the payee in EUR."""
    return Order(payer, PAYEE, EUR, 100 * UNIT, EUR, 100 * UNIT)._replace(**changes)


def test_settle__signed_order__moves_exactly_the_signed_amounts(world: World, payer: str) -> None:
    order = order_of(payer, nonce=7, memo=b"m" * 32)
    receipt = world.settle(world.batch([order], batch_id=5))
    assert world.balance(payer, EUR) == 900 * UNIT
    assert world.balance(PAYEE, EUR) == 100 * UNIT
    assert world.nonce(payer, EUR) == 7
    assert world.nonce(PAYEE, EUR) == 0
    assert world.chain.events(receipt) == [
        ("PaymentSettled", {"payee": PAYEE, "orderHash": world.order_hash(order)}),
        ("BatchSettled", {"batchId": 5, "payments": 1, "fills": 0}),
    ]


def test_settle__event__is_the_payee_and_the_hash_and_nothing_else(world: World, payer: str) -> None:
    order = order_of(payer)
    log = world.settle(world.batch([order]))["logs"][0]
    assert [bytes(topic) for topic in log["topics"]] == [bytes(12) + bytes.fromhex(PAYEE[2:])]
    assert bytes(log["data"]) == world.order_hash(order)


def test_settle__deadline_this_second__settles(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer, deadline=world.chain.now)])
    world.hub.functions.settle(*batch.arguments()).call({"from": world.who["settler"]})


def test_settle__money_received_by_an_earlier_order__can_be_spent(world: World, payer: str) -> None:
    middle = world.key("middle").address
    orders = [order_of(payer, payee=middle), order_of(middle)]
    world.settle(world.batch(orders))
    assert (world.balance(middle, EUR), world.balance(PAYEE, EUR)) == (0, 100 * UNIT)


def test_settle__money_received_by_a_later_order__cannot_be_spent(world: World, payer: str) -> None:
    middle = world.key("middle").address
    batch = world.batch([order_of(middle), order_of(payer, payee=middle)])
    assert world.settle_refused(batch) == Refusal("OrderFundsShort", (0, middle, EUR, 0, 100 * UNIT))


def test_settle__payer_is_payee__pays_only_the_fee(world: World, payer: str) -> None:
    world.settle(world.batch([order_of(payer, payee=payer, target_units=99 * UNIT, nonce=3)]))
    assert (world.balance(payer, EUR), world.nonce(payer, EUR)) == (999 * UNIT, 3)
    assert world.balance(world.treasury, EUR) == 1 * UNIT


def test_settle__source_above_target_in_one_currency__surplus_goes_to_the_treasury(world: World, payer: str) -> None:
    receipt = world.settle(world.batch([order_of(payer, target_units=99_500_000)]))
    assert world.balance(PAYEE, EUR) == 99_500_000
    assert world.balance(world.treasury, EUR) == 500_000
    assert ("SurplusCollected", {"currency": EUR, "amount": 500_000}) in world.chain.events(receipt)


def test_settle__nonce_with_a_gap__settles_and_closes_the_gap(world: World, payer: str) -> None:
    world.settle(world.batch([order_of(payer, nonce=10)]))
    refused = world.settle_refused(world.batch([order_of(payer, nonce=9)], batch_id=2))
    assert refused == Refusal("OrderNonceStale", (0, payer, EUR, 10, 9))


def test_settle__same_nonce_in_two_currencies__settles_both(world: World, payer: str) -> None:
    world.fund("payer", USD, 100 * UNIT)
    orders = [order_of(payer, nonce=4), order_of(payer, nonce=4, source_currency=USD, target_currency=USD)]
    world.settle(world.batch(orders))
    assert (world.nonce(payer, EUR), world.nonce(payer, USD)) == (4, 4)


@pytest.mark.parametrize("field", ["source_units", "target_units"])
def test_settle__amount_zero__refused(world: World, payer: str, field: str) -> None:
    refused = world.settle_refused(world.batch([order_of(payer, **{field: 0})]))
    assert refused == Refusal("OrderAmountZero", (0,))


def test_settle__payee_zero__refused(world: World, payer: str) -> None:
    refused = world.settle_refused(world.batch([order_of(payer, payee="0x" + "00" * 20)]))
    assert refused == Refusal("OrderPayeeZero", (0,))


def test_settle__payer_zero__refused(world: World) -> None:
    """An order of nobody's: a failed recovery yields the zero address and must not pass for its signature."""
    nobody = "0x" + "00" * 20
    batch = world.batch([])
    batch.orders, batch.order_signatures = [order_of(nobody)], [bytes(64) + b"\x1b"]
    assert world.settle_refused(batch).name == "OrderSignatureInvalid"


def test_settle__deadline_passed__refused(world: World, payer: str) -> None:
    now = world.chain.now
    refused = world.settle_refused(world.batch([order_of(payer, deadline=now - 1)]))
    assert refused == Refusal("OrderExpired", (0, now - 1, now))


def test_settle__payer_frozen__refused_until_unfrozen(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)])
    world.send(world.hub.functions.freeze(payer), "compliance")
    assert world.settle_refused(batch) == Refusal("OrderPayerFrozen", (0, payer))
    world.send(world.hub.functions.unfreeze(payer), "compliance")
    world.settle(batch)


DEFECTS: dict[str, dict[str, object]] = {
    "nothing leaves": {"source_units": 0},
    "nothing arrives": {"target_units": 0},
    "nobody is paid": {"payee": "0x" + "00" * 20},
    "too late": {"deadline": 1},
    "frozen": {},
}


@pytest.mark.parametrize(("one", "other"), itertools.combinations(DEFECTS, 2))
def test_settle__two_defects_at_once__do_not_make_up_for_each_other(
    world: World, payer: str, one: str, other: str
) -> None:
    if "frozen" in (one, other):
        world.send(world.hub.functions.freeze(payer), "compliance")
    refused = world.settle_refused(world.batch([order_of(payer, **{**DEFECTS[one], **DEFECTS[other]})]))
    assert refused.name in ("OrderAmountZero", "OrderPayeeZero", "OrderExpired", "OrderPayerFrozen")


def test_settle__payee_frozen__is_paid(world: World, payer: str) -> None:
    world.send(world.hub.functions.freeze(PAYEE), "compliance")
    world.settle(world.batch([order_of(payer)]))
    assert world.balance(PAYEE, EUR) == 100 * UNIT


@pytest.mark.parametrize("nonce", [0, 4, 5])
def test_settle__nonce_not_above_the_last_one__refused(world: World, payer: str, nonce: int) -> None:
    world.settle(world.batch([order_of(payer, nonce=5)]))
    refused = world.settle_refused(world.batch([order_of(payer, nonce=nonce)], batch_id=2))
    assert refused == Refusal("OrderNonceStale", (0, payer, EUR, 5, nonce))


def test_settle__nonce_of_64_bits__is_kept_and_compared_whole(world: World, payer: str) -> None:
    world.settle(world.batch([order_of(payer, nonce=2**64 - 2**33)]))
    assert world.nonce(payer, EUR) == 2**64 - 2**33
    refused = world.settle_refused(world.batch([order_of(payer, nonce=2**33)], batch_id=2))
    assert refused == Refusal("OrderNonceStale", (0, payer, EUR, 2**64 - 2**33, 2**33))
    world.settle(world.batch([order_of(payer, nonce=2**64 - 1)], batch_id=2))


def test_settle__first_nonce_zero__refused(world: World, payer: str) -> None:
    refused = world.settle_refused(world.batch([order_of(payer, nonce=0)]))
    assert refused == Refusal("OrderNonceStale", (0, payer, EUR, 0, 0))


def test_settle__same_order_in_a_later_batch__refused(world: World, payer: str) -> None:
    world.settle(world.batch([order_of(payer)]))
    refused = world.settle_refused(world.batch([order_of(payer)], batch_id=2))
    assert refused == Refusal("OrderNonceStale", (0, payer, EUR, 1, 1))


def test_settle__same_order_twice_in_a_batch__refused(world: World, payer: str) -> None:
    refused = world.settle_refused(world.batch([order_of(payer), order_of(payer)]))
    assert refused == Refusal("OrderNonceStale", (1, payer, EUR, 1, 1))


def test_settle__payer_short_by_one_unit__refused(world: World, payer: str) -> None:
    needed = 1_000 * UNIT + 1
    refused = world.settle_refused(world.batch([order_of(payer, source_units=needed, target_units=1)]))
    assert refused == Refusal("OrderFundsShort", (0, payer, EUR, 1_000 * UNIT, needed))


def test_settle__currency_not_listed__refused_for_want_of_funds(world: World, payer: str) -> None:
    refused = world.settle_refused(world.batch([order_of(payer, source_currency=999)]))
    assert refused == Refusal("OrderFundsShort", (0, payer, 999, 0, 100 * UNIT))


def test_settle__payee_balance_beyond_128_bits__refused(world: World, payer: str) -> None:
    world.fund("payee", EUR, 1)
    refused = world.settle_refused(world.batch([order_of(payer, target_units=UINT128_MAX)]))
    assert refused == Refusal("PositionTooLarge", (PAYEE, EUR, 1, UINT128_MAX))


TAMPERED = {
    "payer": account("other").address,
    "payee": account("thief").address,
    "source_currency": GBP,
    "source_units": 100 * UNIT + 1,
    "target_currency": USD,
    "target_units": 100 * UNIT - 1,
    "nonce": 2,
    "deadline": FAR + 1,
    "memo": b"\x01" * 32,
}


@pytest.mark.parametrize("field", TAMPERED)
def test_settle__field_changed_after_signing__refused(world: World, payer: str, field: str) -> None:
    world.fund("other", EUR, 1_000 * UNIT)
    world.fund("payer", GBP, 1_000 * UNIT)
    batch = world.batch([order_of(payer)])
    batch.orders[0] = order_of(payer, **{field: TAMPERED[field]})
    refused = world.settle_refused(batch)
    expected = (0, batch.orders[0].payer, world.order_hash(batch.orders[0]))
    assert refused == Refusal("OrderSignatureInvalid", expected)


def test_settle__signed_by_another_account__refused(world: World, payer: str) -> None:
    order = order_of(payer)
    batch = world.batch([order])
    batch.order_signatures[0] = sign_order(account("thief"), order, chain_id=world.chain.id, hub=world.hub.address)
    assert world.settle_refused(batch).name == "OrderSignatureInvalid"


@pytest.mark.parametrize("other", ["chain", "hub"])
def test_settle__signed_for_another_chain_or_hub__refused(world: World, payer: str, other: str) -> None:
    order = order_of(payer)
    chain_id = world.chain.id + 1 if other == "chain" else world.chain.id
    hub = account("hub").address if other == "hub" else world.hub.address
    batch = world.batch([order])
    batch.order_signatures[0] = sign_order(account("payer"), order, chain_id=chain_id, hub=hub)
    assert world.settle_refused(batch).name == "OrderSignatureInvalid"


def test_settle__order_settled_on_a_first_hub__refused_on_a_second(world: World, payer: str) -> None:
    order = order_of(payer)
    batch = world.batch([order])
    second = world.second_hub()
    world.send(world.tokens[EUR].functions.approve(second.address, 2**256 - 1), "issuer")
    world.send(second.functions.deposit(EUR, [(payer, 1_000 * UNIT, bytes(32))]), "issuer")
    world.settle(batch)
    refused = world.refused(second.functions.settle(*batch.arguments()), "settler")
    assert refused.name == "OrderSignatureInvalid"


def test_settle__high_s_twin__refused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)])
    signature = batch.order_signatures[0]
    twin_s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    batch.order_signatures[0] = signature[:32] + twin_s.to_bytes(32, "big") + bytes([55 - signature[64]])
    assert world.settle_refused(batch).name == "OrderSignatureInvalid"


def misshapen(signature: bytes) -> dict[str, bytes]:
    """Signatures that are nearly one."""
    return {
        "empty": b"",
        "compact, other parity": signature[:32] + bytes([signature[32] | (28 - signature[64]) << 7]) + signature[33:64],
        "compact, high s": signature[:32] + (HALF_ORDER + 1).to_bytes(32, "big"),
        "63 bytes": signature[:63],
        "66 bytes": signature + b"\x00",
        "v is 0": signature[:64] + bytes([signature[64] - 27]),
        "v is 29": signature[:64] + b"\x1d",
        "v flipped": signature[:64] + bytes([55 - signature[64]]),
        "r is 0": bytes(32) + signature[32:],
        "s is 0": signature[:32] + bytes(32) + signature[64:],
    }


@pytest.mark.parametrize("shape", list(misshapen(bytes(64) + b"\x1b")))
def test_settle__misshapen_signature__refused(world: World, payer: str, shape: str) -> None:
    batch = world.batch([order_of(payer)])
    batch.order_signatures[0] = misshapen(batch.order_signatures[0])[shape]
    assert world.settle_refused(batch).name == "OrderSignatureInvalid"


def test_settle__quote_signature_for_an_order__refused(world: World, payer: str) -> None:
    batch = world.batch([order_of(payer)])
    quote = Quote(payer, EUR, 100 * UNIT, USD, 100 * UNIT)
    batch.order_signatures[0] = sign_quote(account("payer"), quote, chain_id=world.chain.id, hub=world.hub.address)
    assert world.settle_refused(batch).name == "OrderSignatureInvalid"


def test_settle__contract_account__settles_until_it_refuses(world: World) -> None:
    owner = world.key("owner")
    wallet = world.chain.deploy(mock("ContractWallet"), owner.address)
    world.keys[wallet.address] = owner
    world.send(world.hub.functions.deposit(EUR, [(wallet.address, 200 * UNIT, bytes(32))]), "issuer")
    world.settle(world.batch([order_of(wallet.address)]))
    assert world.balance(wallet.address, EUR) == 100 * UNIT
    world.send(wallet.functions.close(), "stranger")
    second = order_of(wallet.address, nonce=2)
    refused = world.settle_refused(world.batch([second], batch_id=2))
    assert refused == Refusal("OrderSignatureInvalid", (0, wallet.address, world.order_hash(second)))


def test_settle__contract_account_without_erc1271__refused(world: World) -> None:
    """A contract that has no isValidSignature: here the token itself."""
    world.keys[world.tokens[EUR].address] = world.key("owner")
    refused = world.settle_refused(world.batch([order_of(world.tokens[EUR].address)]))
    assert refused.name == "OrderSignatureInvalid"


def test_settle__third_of_three_refused__is_named_and_none_settles(world: World, payer: str) -> None:
    orders = [order_of(payer, nonce=1), order_of(payer, nonce=2), order_of(payer, nonce=2)]
    batch = world.batch(orders)
    assert world.settle_refused(batch) == Refusal("OrderNonceStale", (2, payer, EUR, 2, 2))
    with pytest.raises((*FAILURES, AssertionError)):
        world.settle(batch)
    assert (world.balance(payer, EUR), world.balance(PAYEE, EUR), world.nonce(payer, EUR)) == (1_000 * UNIT, 0, 0)
    assert not world.hub.functions.isSettled(batch.id).call()
