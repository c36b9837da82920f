"""requestExit, requestExitFor, cancelExit, exit and cancelOrders."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hub_packing import pack_signature
from hub_world import (
    EUR,
    EXIT_DELAY_S,
    FAR,
    GBP,
    UNIT,
    USD,
    Order,
    Refusal,
    World,
    account,
    artifact,
    digest_of,
    mock,
)

PAYEE = account("payee").address
HAVEN = account("haven").address
EXIT_TYPE = {
    "ExitOrder": [
        {"name": "account", "type": "address"},
        {"name": "recipient", "type": "address"},
        {"name": "currency", "type": "uint16"},
        {"name": "amount", "type": "uint128"},
        {"name": "nonce", "type": "uint64"},
        {"name": "deadline", "type": "uint64"},
    ]
}


class ExitOrder(NamedTuple):
    account: str
    recipient: str
    currency: int
    units: int
    nonce: int = 1
    deadline: int = FAR


@pytest.fixture
def owner(world: World) -> str:
    """An account that can send transactions, with 1,000 EUR in the hub."""
    owner = world.who["stranger"]
    world.send(world.hub.functions.deposit(EUR, [(owner, 1_000 * UNIT, bytes(32))]), "issuer")
    return owner


def request(world: World, units: int = 400 * UNIT, *, recipient: str = HAVEN, currency: int = EUR) -> Any:
    return world.hub.functions.requestExit(currency, units, recipient)


def pass_delay(world: World) -> None:
    world.chain.pass_to(world.chain.now + EXIT_DELAY_S + 1)


def pending(world: World, owner: str, currency: int = EUR) -> list[Any]:
    return list(world.hub.functions.exitOf(owner, currency).call())


def held(world: World, who: str, currency: int = EUR) -> int:
    return int(world.tokens[currency].functions.balanceOf(who).call())


def sign(world: World, order: ExitOrder, label: str, *, chain_id: int | None = None, hub: str | None = None) -> bytes:
    digest = digest_of(EXIT_TYPE, order, chain_id=chain_id or world.chain.id, hub=hub or world.hub.address)
    kind, signed = pack_signature(bytes(account(label).unsafe_sign_hash(digest).signature))
    return bytes([kind]) + signed


def test_request_exit__covered__sets_the_amount_aside_at_once(world: World, owner: str) -> None:
    receipt = world.send(request(world), "stranger")
    available_at = world.chain.now + EXIT_DELAY_S
    assert world.balance(owner, EUR) == 600 * UNIT
    assert world.hub.functions.totalOf(EUR).call() == 1_000 * UNIT
    assert pending(world, owner) == [400 * UNIT, available_at, HAVEN]
    expected = {
        "account": owner,
        "currency": EUR,
        "recipient": HAVEN,
        "amount": 400 * UNIT,
        "availableAt": available_at,
    }
    assert world.chain.events(receipt) == [("ExitRequested", expected)]
    assert world.hub.functions.exitDelay().call() == EXIT_DELAY_S


def test_request_exit__then_an_order_for_the_same_money__is_refused(world: World) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    order = ExitOrder(payer, HAVEN, EUR, 100 * UNIT)
    batch = world.batch([Order(payer, PAYEE, EUR, 1, EUR, 1, nonce=2)])
    world.send(world.hub.functions.requestExitFor(tuple(order), sign(world, order, "payer")), "stranger")
    assert world.settle_refused(batch) == Refusal("OrderFundsShort", (0, payer, EUR, 0, 1))


def test_request_exit__after_a_batch_that_spent_the_money__refused(world: World) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    order = ExitOrder(payer, HAVEN, EUR, 100 * UNIT, nonce=2)
    world.settle(world.batch([Order(payer, PAYEE, EUR, 1, EUR, 1)]))
    refused = world.refused(world.hub.functions.requestExitFor(tuple(order), sign(world, order, "payer")), "stranger")
    assert refused == Refusal("ExitFundsShort", (payer, EUR, 100 * UNIT - 1, 100 * UNIT))


def test_request_exit__short_by_one_unit__refused(world: World, owner: str) -> None:
    refused = world.refused(request(world, 1_000 * UNIT + 1), "stranger")
    assert refused == Refusal("ExitFundsShort", (owner, EUR, 1_000 * UNIT, 1_000 * UNIT + 1))
    assert world.refused(request(world, 1, currency=GBP), "stranger") == Refusal("ExitFundsShort", (owner, GBP, 0, 1))


def test_request_exit__one_under_way__refused(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    assert world.refused(request(world), "stranger") == Refusal("ExitAlreadyRequested", (owner, EUR))
    world.send(world.hub.functions.deposit(USD, [(owner, UNIT, bytes(32))]), "issuer")
    world.send(request(world, UNIT, currency=USD), "stranger")


def test_request_exit__of_nothing__refused(world: World, owner: str) -> None:
    assert world.refused(request(world, 0), "stranger") == Refusal("ExitAmountZero")


@pytest.mark.parametrize("recipient", ["nobody", "hub"])
def test_request_exit__to_nobody_or_the_hub__refused(world: World, owner: str, recipient: str) -> None:
    to = "0x" + "00" * 20 if recipient == "nobody" else world.hub.address
    assert world.refused(request(world, recipient=to), "stranger") == Refusal("ExitRecipientInvalid", (to,))


def test_request_exit__frozen__refused(world: World, owner: str) -> None:
    world.send(world.hub.functions.freeze(owner), "compliance")
    assert world.refused(request(world), "stranger") == Refusal("AccountIsFrozen", (owner,))
    world.send(world.hub.functions.freeze(PAYEE), "compliance")
    world.send(world.hub.functions.unfreeze(owner), "compliance")
    world.send(request(world), "stranger")  # the freeze of another account is nothing to this one


def test_request_exit__keeps_the_order_nonce(world: World) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    world.settle(world.batch([Order(payer, PAYEE, EUR, 1, EUR, 1, nonce=7)]))
    order = ExitOrder(payer, HAVEN, EUR, UNIT, nonce=9)
    world.send(world.hub.functions.requestExitFor(tuple(order), sign(world, order, "payer")), "issuer")
    assert (world.nonce(payer, EUR), world.balance(payer, EUR)) == (9, 99 * UNIT - 1)


def test_exit__by_its_owner_alone_while_paused__pays(world: World, owner: str) -> None:
    """Nobody who runs the service takes part, and settlement is stopped."""
    world.send(world.hub.functions.pause(), "pauser")
    world.send(request(world, 1_000 * UNIT, recipient=owner), "stranger")
    pass_delay(world)
    receipt = world.send(world.hub.functions.exit(owner, EUR), "stranger")
    assert (held(world, owner), held(world, world.hub.address)) == (1_000 * UNIT, 0)
    assert world.hub.functions.totalOf(EUR).call() == 0
    expected = {"account": owner, "currency": EUR, "recipient": owner, "amount": 1_000 * UNIT}
    assert ("Exited", expected) in world.chain.events(receipt)
    assert world.refused(world.hub.functions.exit(owner, EUR), "stranger") == Refusal("ExitNotRequested", (owner, EUR))
    assert pending(world, owner) == [0, 0, "0x" + "00" * 20]


def test_exit__called_by_anyone__pays_the_recipient_of_the_request(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    pass_delay(world)
    world.send(world.hub.functions.exit(owner, EUR), "issuer")
    assert (held(world, HAVEN), world.balance(owner, EUR)) == (400 * UNIT, 600 * UNIT)
    assert world.hub.functions.totalOf(EUR).call() == 600 * UNIT


def test_exit__before_the_delay_has_passed__refused(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    available_at = pending(world, owner)[1]
    call = world.hub.functions.exit(owner, EUR)
    assert world.refused(call, "stranger") == Refusal("ExitNotYet", (available_at, world.chain.now))
    world.chain.pass_to(available_at - 1)
    if world.chain.now < available_at:
        assert world.refused(call, "stranger").name == "ExitNotYet"
    world.chain.pass_to(available_at + 1)
    world.send(call, "stranger")


def test_exit__never_requested__refused(world: World, owner: str) -> None:
    assert world.refused(world.hub.functions.exit(owner, EUR), "stranger") == Refusal("ExitNotRequested", (owner, EUR))


def test_exit__frozen_meanwhile__refused_until_unfrozen(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    world.send(world.hub.functions.freeze(owner), "compliance")
    pass_delay(world)
    call = world.hub.functions.exit(owner, EUR)
    assert world.refused(call, "stranger") == Refusal("AccountIsFrozen", (owner,))
    world.send(world.hub.functions.unfreeze(owner), "compliance")
    world.send(call, "stranger")
    assert held(world, HAVEN) == 400 * UNIT


def test_exit__token_that_refuses__leaves_the_request(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    pass_delay(world)
    world.send(world.tokens[EUR].functions.pause(), "pauser")
    assert world.refused(world.hub.functions.exit(owner, EUR), "stranger").name == "EnforcedPause"
    assert pending(world, owner)[0] == 400 * UNIT
    world.send(world.tokens[EUR].functions.unpause(), "pauser")
    world.send(world.hub.functions.exit(owner, EUR), "stranger")
    assert held(world, HAVEN) == 400 * UNIT


@pytest.mark.parametrize("name", ["exit", "cancelExit", "requestExit", "requestExitFor", "deposit"])
def test_exit__token_that_calls_back__is_not_let_in(world: World, owner: str, name: str) -> None:
    token = world.chain.deploy(mock("ReentrantToken"))
    world.send(world.hub.functions.listCurrency(1_001, token.address), "governor")
    world.send(token.functions.mint(world.who["issuer"], 10), "issuer")
    world.send(token.functions.approve(world.hub.address, 10), "issuer")
    world.send(world.hub.functions.deposit(1_001, [(owner, 10, bytes(32))]), "issuer")
    world.send(request(world, 4, currency=1_001), "stranger")
    pass_delay(world)
    again = {
        "exit": world.hub.functions.exit(owner, 1_001),
        "cancelExit": world.hub.functions.cancelExit(1_001),
        "requestExit": request(world, 1, currency=1_001),
        "requestExitFor": world.hub.functions.requestExitFor(tuple(ExitOrder(owner, HAVEN, 1_001, 1)), b""),
        "deposit": world.hub.functions.deposit(1_001, [(owner, 1, bytes(32))]),
    }[name]
    data = bytes.fromhex(again._encode_transaction_data()[2:])
    world.send(token.functions.arm(world.hub.address, data), "issuer")
    refused = world.refused(world.hub.functions.exit(owner, 1_001), "stranger")
    assert refused == Refusal("ReentrancyGuardReentrantCall")


def test_cancel_exit__request__puts_the_amount_back(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    world.send(world.hub.functions.freeze(owner), "compliance")
    receipt = world.send(world.hub.functions.cancelExit(EUR), "stranger")
    assert world.balance(owner, EUR) == world.hub.functions.totalOf(EUR).call() == 1_000 * UNIT
    expected = {"account": owner, "currency": EUR, "amount": 400 * UNIT}
    assert world.chain.events(receipt) == [("ExitCancelled", expected)]
    pass_delay(world)
    world.send(world.hub.functions.unfreeze(owner), "compliance")
    assert world.refused(world.hub.functions.exit(owner, EUR), "stranger").name == "ExitNotRequested"


def test_cancel_exit__none_of_the_callers__refused(world: World, owner: str) -> None:
    world.send(request(world), "stranger")
    refused = world.refused(world.hub.functions.cancelExit(EUR), "issuer")
    assert refused == Refusal("ExitNotRequested", (world.who["issuer"], EUR))


def test_request_exit_for__owners_signature__sets_aside_and_spends_the_nonce(world: World) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    order = ExitOrder(payer, HAVEN, EUR, 60 * UNIT, nonce=5)
    call = world.hub.functions.requestExitFor(tuple(order), sign(world, order, "payer"))
    receipt = world.send(call, "issuer")
    assert [name for name, _ in world.chain.events(receipt)] == ["OrdersCancelled", "ExitRequested"]
    assert (world.balance(payer, EUR), world.nonce(payer, EUR)) == (40 * UNIT, 5)
    assert world.refused(call, "issuer") == Refusal("NonceStale", (payer, EUR, 5, 5))
    digest = digest_of(EXIT_TYPE, order, chain_id=world.chain.id, hub=world.hub.address)
    assert world.hub.functions.hashExitOrder(tuple(order)).call() == digest
    pass_delay(world)
    world.send(world.hub.functions.exit(payer, EUR), "issuer")
    assert held(world, HAVEN) == 60 * UNIT


TAMPERED = {
    "account": account("other").address,
    "recipient": account("thief").address,
    "currency": USD,
    "units": 61 * UNIT,
    "nonce": 2,
    "deadline": FAR - 1,
}


@pytest.mark.parametrize("field", TAMPERED)
def test_request_exit_for__field_changed_after_signing__refused(world: World, field: str) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    world.fund("other", EUR, 100 * UNIT)
    world.fund("payer", USD, 100 * UNIT)
    order = ExitOrder(payer, HAVEN, EUR, 60 * UNIT)
    signature = sign(world, order, "payer")
    forged = order._replace(**{field: TAMPERED[field]})
    refused = world.refused(world.hub.functions.requestExitFor(tuple(forged), signature), "issuer")
    digest = digest_of(EXIT_TYPE, forged, chain_id=world.chain.id, hub=world.hub.address)
    assert refused == Refusal("ExitSignatureInvalid", (forged.account, digest))


@pytest.mark.parametrize("spoiled", ["signer", "chain", "hub", "empty", "longer", "shorter", "kind"])
def test_request_exit_for__signature_not_the_owners__refused(world: World, spoiled: str) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    order = ExitOrder(payer, HAVEN, EUR, 60 * UNIT)
    good = sign(world, order, "payer")
    signature = {
        "signer": sign(world, order, "thief"),
        "chain": sign(world, order, "payer", chain_id=world.chain.id + 1),
        "hub": sign(world, order, "payer", hub=HAVEN),
        "empty": b"",
        "longer": good + b"\x00",
        "shorter": good[:-1],
        "kind": b"\x07" + good[1:],
    }[spoiled]
    refused = world.refused(world.hub.functions.requestExitFor(tuple(order), signature), "issuer")
    assert refused.name == "ExitSignatureInvalid"


def test_request_exit_for__deadline_passed__refused(world: World) -> None:
    payer = world.fund("payer", EUR, 100 * UNIT)
    now = world.chain.now
    order = ExitOrder(payer, HAVEN, EUR, UNIT, deadline=now - 1)
    call = world.hub.functions.requestExitFor(tuple(order), sign(world, order, "payer"))
    assert world.refused(call, "issuer") == Refusal("ExitOrderExpired", (now - 1, now))
    last = order._replace(deadline=now)
    world.hub.functions.requestExitFor(tuple(last), sign(world, last, "payer")).call({"from": world.who["issuer"]})


def test_cancel_orders__nonce__ends_orders_up_to_it_and_no_other(world: World) -> None:
    wallet, owner = _wallet(world)
    orders = [Order(wallet, PAYEE, EUR, 1, EUR, 1, nonce=nonce) for nonce in (4, 5, 6)]
    receipt = world.send(owner.functions.execute(world.hub.address, _cancel(world, EUR, 5)), "stranger")
    assert world.chain.events(receipt) == [("OrdersCancelled", {"account": wallet, "currency": EUR, "nonce": 5})]
    for order in orders[:2]:
        refused = world.settle_refused(world.batch([order]))
        assert refused == Refusal("OrderNonceStale", (0, wallet, EUR, 5, order.nonce))
    world.settle(world.batch([orders[2]]))
    world.send(world.hub.functions.deposit(USD, [(wallet, 1, bytes(32))]), "issuer")
    world.settle(world.batch([Order(wallet, PAYEE, USD, 1, USD, 1, nonce=1)], batch_id=2))


@pytest.mark.parametrize("nonce", [0, 6, 7])
def test_cancel_orders__not_above_the_last_nonce__refused(world: World, owner: str, nonce: int) -> None:
    world.send(world.hub.functions.cancelOrders(EUR, 7), "stranger")
    refused = world.refused(world.hub.functions.cancelOrders(EUR, nonce), "stranger")
    assert refused == Refusal("NonceStale", (owner, EUR, 7, nonce))
    assert (world.nonce(owner, EUR), world.balance(owner, EUR)) == (7, 1_000 * UNIT)


def test_cancel_orders__frozen__cancels(world: World, owner: str) -> None:
    world.send(world.hub.functions.freeze(owner), "compliance")
    world.send(world.hub.functions.cancelOrders(EUR, 2**64 - 1), "stranger")
    assert world.nonce(owner, EUR) == 2**64 - 1


def test_constructor__exit_delay_above_thirty_days__refused(world: World) -> None:
    built = artifact("SettlementHub")
    factory = world.chain.web3.eth.contract(abi=built["abi"], bytecode=built["bytecode"])
    refused = world.refused_deployment(factory.constructor(world.manager.address, world.treasury, 30 * 86_400 + 1))
    assert refused == Refusal("ExitDelayTooLong", (30 * 86_400 + 1, 30 * 86_400))


def _wallet(world: World) -> tuple[str, Any]:
    """A contract account with 1,000 EUR that signs with `owner`'s key and calls what it is told to."""
    key = world.key("owner")
    wallet = world.chain.deploy(mock("ContractWallet"), key.address)
    world.keys[wallet.address] = key
    world.send(world.hub.functions.deposit(EUR, [(wallet.address, 1_000 * UNIT, bytes(32))]), "issuer")
    return wallet.address, wallet


def _cancel(world: World, currency: int, nonce: int) -> bytes:
    return bytes.fromhex(world.hub.functions.cancelOrders(currency, nonce)._encode_transaction_data()[2:])
