"""The hub at its ends: the largest amounts, the most currencies, products that overflow, the longest delay."""

from __future__ import annotations

from typing import Any

import pytest
from hub_packing import Packed, pack_order
from hub_world import (
    CNY,
    EUR,
    EXIT_DELAY_S,
    UINT128_MAX,
    UNIT,
    USD,
    Order,
    Quote,
    Refusal,
    World,
    account,
    artifact,
)
from test_hub_exit import HAVEN, ExitOrder, sign

PAYEE = account("payee").address
THIRTY_DAYS_S = 30 * 86_400


def fund_all(world: World, address: str, currency: int) -> None:
    """Deposits every unit that a currency can have."""
    world.send(world.tokens[currency].functions.mint(world.who["issuer"], UINT128_MAX), "issuer")
    world.send(world.hub.functions.deposit(currency, [(address, UINT128_MAX, bytes(32))]), "issuer")


@pytest.mark.parametrize(
    ("units", "payee"), [(2**127, PAYEE), (2**120, "0x" + "00" * 17 + "010000")], ids=["amounts", "amounts and payee"]
)
def test_settle__order_whose_numbers_multiply_to_nothing__settles(world: World, units: int, payee: str) -> None:
    payer = world.key("payer").address
    fund_all(world, payer, EUR)
    world.settle(world.batch([Order(payer, payee, EUR, units, EUR, units)]))
    assert (world.balance(payer, EUR), world.balance(payee, EUR)) == (UINT128_MAX - units, units)


def test_settle__all_that_a_currency_has__moves_at_once(world: World) -> None:
    payer = world.key("payer").address
    fund_all(world, payer, EUR)
    world.settle(world.batch([Order(payer, PAYEE, EUR, UINT128_MAX, EUR, UINT128_MAX)]))
    assert (world.balance(payer, EUR), world.balance(PAYEE, EUR)) == (0, UINT128_MAX)


def test_settle__maker_balance_beyond_128_bits__refused(world: World) -> None:
    payer, maker = world.fund("payer", USD, 10 * UNIT), world.fund("maker", USD, 10 * UNIT)
    fund_all(world, maker, EUR)
    quote = Quote(maker, USD, 10, EUR, 10)
    refused = world.settle_refused(world.batch([Order(payer, PAYEE, USD, 1, USD, 1)], [quote], [(0, 1)]))
    assert refused == Refusal("PositionTooLarge", (maker, EUR, UINT128_MAX, 1))


@pytest.mark.parametrize("unused", [127, 128])
def test_settle__more_than_255_currencies__refused(world: World, unused: int) -> None:
    """254 currencies of corridors that no order names, and the order's own; or 256 and that one."""
    payer = world.fund("payer", EUR, UNIT)
    order = Order(payer, PAYEE, EUR, 1, EUR, 1)
    corridors = [(EUR, EUR), *((2_000 + 2 * i, 2_001 + 2 * i) for i in range(unused))]
    call = world.hub.functions.settle(Packed(1, corridors, pack_order(order, world.sign(order), 0), b"", []).join())
    if unused == 127:
        world.send(call, "settler")
    else:
        assert world.refused(call, "settler").name == "TooManyCurrencies"


def test_settle__two_corridors_of_one_currency__share_its_sum(world: World) -> None:
    """A credit in one corridor is paid by the debit of another, and by no currency whose id ends in the same byte."""
    near = EUR + 256
    payer, other = world.fund("payer", EUR, 10), world.fund("other", USD, 10)
    orders = [Order(payer, PAYEE, EUR, 7, USD, 5), Order(other, PAYEE, USD, 5, EUR, 7)]
    world.settle(world.batch(orders))
    assert (world.balance(PAYEE, EUR), world.balance(PAYEE, USD)) == (7, 5)
    refused = world.settle_refused(world.batch([Order(payer, PAYEE, EUR, 1, near, 1, nonce=2)], batch_id=2))
    assert refused == Refusal("CurrencyNotConserved", (near, 1))


def test_settle__one_signature_of_zeros_in_a_passkeys_length__refused(world: World) -> None:
    payer = world.fund("payer", EUR, UNIT)
    order = Order(payer, PAYEE, EUR, 1, EUR, 1)
    body = bytes([2]) + pack_order(order, world.sign(order), 0)[1:-64] + (200).to_bytes(2, "big") + bytes(200)
    refused = world.refused(world.hub.functions.settle(Packed(1, [(EUR, EUR)], body, b"", []).join()), "settler")
    assert refused == Refusal("OrderSignatureInvalid", (0, payer, world.order_hash(order)))


@pytest.mark.parametrize("delay_s", [0, THIRTY_DAYS_S])
def test_constructor__exit_delay_of_none_or_thirty_days__is_kept(world: World, delay_s: int) -> None:
    hub = world.chain.deploy(artifact("SettlementHub"), world.manager.address, world.treasury, delay_s)
    assert hub.functions.exitDelay().call() == delay_s
    assert (hub.functions.authority().call(), hub.functions.treasury().call()) == (
        world.manager.address,
        world.treasury,
    )


def test_exit__in_the_first_second_in_which_it_may__pays(world: World) -> None:
    hub = world.second_hub(exit_delay_s=0)
    owner = world.who["stranger"]
    world.send(world.tokens[EUR].functions.approve(hub.address, 10), "issuer")
    world.send(hub.functions.deposit(EUR, [(owner, 10, bytes(32))]), "issuer")
    world.send(hub.functions.requestExit(EUR, 10, HAVEN), "stranger")
    assert hub.functions.exitOf(owner, EUR).call()[1] == world.chain.now
    hub.functions.exit(owner, EUR).call({"from": owner})  # at the time of the block that took the request


def test_settle__in_the_last_second_beside_a_frozen_account__settles(world: World) -> None:
    """The filter says "maybe" of a payer whose address ends as the frozen one's: it is looked at again, not refused."""
    payer = world.fund("payer", EUR, UNIT)
    world.send(world.hub.functions.freeze("0x" + "11" * 19 + payer[-2:]), "compliance")
    batch = world.batch([Order(payer, PAYEE, EUR, UNIT, EUR, UNIT, deadline=world.chain.now)])
    world.hub.functions.settle(*batch.arguments()).call({"from": world.who["settler"]})


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"units": 0}, "ExitAmountZero"),
        ({"recipient": "0x" + "00" * 20}, "ExitRecipientInvalid"),
        ({"units": 101}, "ExitFundsShort"),
        ({"nonce": 0}, "NonceStale"),
    ],
    ids=["nothing", "nobody", "short", "nonce"],
)
def test_request_exit_for__what_request_exit_refuses__refused(
    world: World, change: dict[str, Any], expected: str
) -> None:
    payer = world.fund("payer", EUR, 100)
    order = ExitOrder(payer, HAVEN, EUR, 100)._replace(**change)
    call = world.hub.functions.requestExitFor(tuple(order), sign(world, order, "payer"))
    assert world.refused(call, "stranger").name == expected


def test_request_exit_for__frozen_or_one_under_way__refused(world: World) -> None:
    payer = world.fund("payer", EUR, 100)
    first, second = (ExitOrder(payer, HAVEN, EUR, 10, nonce=nonce) for nonce in (1, 2))
    world.send(world.hub.functions.requestExitFor(tuple(first), sign(world, first, "payer")), "stranger")
    call = world.hub.functions.requestExitFor(tuple(second), sign(world, second, "payer"))
    assert world.refused(call, "stranger") == Refusal("ExitAlreadyRequested", (payer, EUR))
    world.send(world.hub.functions.freeze(payer), "compliance")
    assert world.refused(call, "stranger") == Refusal("AccountIsFrozen", (payer,))


def test_list_currency__contract_without_decimals__refused(world: World) -> None:
    assert world.refused(world.hub.functions.listCurrency(CNY, world.manager.address), "governor") == Refusal("")


def test_deposit__beside_an_exit_under_way__counts_both(world: World) -> None:
    owner = world.who["stranger"]
    world.send(world.hub.functions.deposit(EUR, [(owner, 10, bytes(32))]), "issuer")
    world.send(world.hub.functions.requestExit(EUR, 4, HAVEN), "stranger")
    world.send(world.hub.functions.deposit(EUR, [(owner, 5, bytes(32))]), "issuer")
    assert (world.balance(owner, EUR), world.hub.functions.totalOf(EUR).call()) == (11, 15)
    world.chain.pass_to(world.chain.now + EXIT_DELAY_S + 1)
    world.send(world.hub.functions.exit(owner, EUR), "issuer")
    assert (world.balance(owner, EUR), world.hub.functions.totalOf(EUR).call()) == (11, 11)
    assert world.tokens[EUR].functions.balanceOf(world.hub.address).call() == 11
