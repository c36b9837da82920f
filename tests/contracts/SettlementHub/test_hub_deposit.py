"""deposit, listCurrency."""

from __future__ import annotations

from typing import Any

import pytest
from hub_world import CNY, EUR, UINT128_MAX, UNIT, USD, Refusal, World, account, mock

FIRST, SECOND = account("first").address, account("second").address
ID = b"\x07" * 32


def list_mock(world: World, name: str, currency: int = CNY) -> Any:
    """A mock token, listed; the stranger holds a thousand and allows the hub to take them."""
    token = world.chain.deploy(mock(name))
    world.send(world.hub.functions.listCurrency(currency, token.address), "governor")
    world.send(token.functions.mint(world.who["stranger"], 1_000 * UNIT), "stranger")
    world.send(token.functions.approve(world.hub.address, 1_000 * UNIT), "stranger")
    return token


def test_deposit__two_accounts__credits_both_and_pulls_the_sum(world: World) -> None:
    token = world.tokens[EUR]
    held = token.functions.balanceOf(world.who["issuer"]).call()
    deposits = [(FIRST, 30 * UNIT, ID), (SECOND, 12 * UNIT, bytes(32))]
    receipt = world.send(world.hub.functions.deposit(EUR, deposits), "issuer")
    assert (world.balance(FIRST, EUR), world.balance(SECOND, EUR)) == (30 * UNIT, 12 * UNIT)
    assert world.hub.functions.totalOf(EUR).call() == 42 * UNIT
    assert token.functions.balanceOf(world.hub.address).call() == 42 * UNIT
    assert token.functions.balanceOf(world.who["issuer"]).call() == held - 42 * UNIT
    deposited = [values for name, values in world.chain.events(receipt) if name == "Deposited"]
    assert deposited == [
        {"account": FIRST, "currency": EUR, "amount": 30 * UNIT, "id": ID},
        {"account": SECOND, "currency": EUR, "amount": 12 * UNIT, "id": bytes(32)},
    ]


def test_deposit__account_named_twice__is_credited_twice(world: World) -> None:
    world.send(world.hub.functions.deposit(EUR, [(FIRST, 1, ID), (FIRST, 2, ID)]), "issuer")
    assert world.balance(FIRST, EUR) == 3


def test_deposit__frozen_account__is_credited(world: World) -> None:
    world.send(world.hub.functions.freeze(FIRST), "compliance")
    world.send(world.hub.functions.deposit(EUR, [(FIRST, 1, ID)]), "issuer")
    assert world.balance(FIRST, EUR) == 1


def test_deposit__currency_not_listed__refused(world: World) -> None:
    assert world.refused(world.hub.functions.deposit(999, [(FIRST, 1, ID)]), "issuer") == Refusal(
        "CurrencyNotListed", (999,)
    )


def test_deposit__none__refused(world: World) -> None:
    assert world.refused(world.hub.functions.deposit(EUR, []), "issuer") == Refusal("DepositsEmpty")


def test_deposit__account_or_amount_zero__refused_by_index(world: World) -> None:
    nobody = "0x" + "00" * 20
    to_nobody = world.hub.functions.deposit(EUR, [(FIRST, 1, ID), (nobody, 1, ID)])
    assert world.refused(to_nobody, "issuer") == Refusal("DepositAccountZero", (1,))
    nothing = world.hub.functions.deposit(EUR, [(FIRST, 1, ID), (FIRST, 0, ID)])
    assert world.refused(nothing, "issuer") == Refusal("DepositAmountZero", (1,))


def test_deposit__total_beyond_128_bits__refused(world: World) -> None:
    world.fund("first", EUR, 1)
    over = world.hub.functions.deposit(EUR, [(FIRST, UINT128_MAX, ID)])
    assert world.refused(over, "issuer") == Refusal("TotalTooLarge", (EUR, UINT128_MAX + 1))
    twice = world.hub.functions.deposit(USD, [(FIRST, UINT128_MAX, ID), (FIRST, 1, ID)])
    assert world.refused(twice, "issuer") == Refusal("TotalTooLarge", (USD, UINT128_MAX + 1))


def test_deposit__total_of_exactly_128_bits__is_accepted_and_leaves_room_for_no_more(world: World) -> None:
    issuer = world.who["issuer"]
    world.send(world.tokens[EUR].functions.mint(issuer, UINT128_MAX - 10**15), "issuer")
    world.send(world.hub.functions.deposit(EUR, [(FIRST, UINT128_MAX, ID)]), "issuer")
    assert world.balance(FIRST, EUR) == UINT128_MAX
    one_more = world.hub.functions.deposit(EUR, [(SECOND, 1, ID)])
    assert world.refused(one_more, "issuer") == Refusal("TotalTooLarge", (EUR, UINT128_MAX + 1))


def test_deposit__caller_without_tokens_or_allowance__refused(world: World) -> None:
    call = world.hub.functions.deposit(EUR, [(FIRST, 5, ID)])
    assert world.refused(call, "stranger").name == "ERC20InsufficientAllowance"
    world.send(world.tokens[EUR].functions.approve(world.hub.address, 5), "stranger")
    assert world.refused(call, "stranger").name == "ERC20InsufficientBalance"


def test_deposit__token_paused_or_hub_frozen_by_it__refused(world: World) -> None:
    token, call = world.tokens[EUR], world.hub.functions.deposit(EUR, [(FIRST, 5, ID)])
    world.send(token.functions.freeze(world.hub.address), "compliance")
    assert world.refused(call, "issuer").name == "AccountIsFrozen"
    world.send(token.functions.pause(), "pauser")
    assert world.refused(call, "issuer").name in {"EnforcedPause", "AccountIsFrozen"}


def test_deposit__fee_on_transfer__refused(world: World) -> None:
    list_mock(world, "FeeOnTransferToken")
    refused = world.refused(world.hub.functions.deposit(CNY, [(FIRST, 100 * UNIT, ID)]), "stranger")
    assert refused == Refusal("DepositAmountMismatch", (CNY, 100 * UNIT, 99 * UNIT))


def test_deposit__token_without_return_value__is_accepted(world: World) -> None:
    list_mock(world, "NoReturnToken")
    world.send(world.hub.functions.deposit(CNY, [(FIRST, 100 * UNIT, ID)]), "stranger")
    assert world.balance(FIRST, CNY) == 100 * UNIT


def test_deposit__token_that_silently_moves_nothing__refused(world: World) -> None:
    token = list_mock(world, "NoReturnToken")
    world.send(token.functions.setIdle(True), "stranger")
    refused = world.refused(world.hub.functions.deposit(CNY, [(FIRST, 100 * UNIT, ID)]), "stranger")
    assert refused == Refusal("DepositAmountMismatch", (CNY, 100 * UNIT, 0))


@pytest.mark.parametrize("target", ["deposit", "settle"])
def test_deposit__token_that_calls_back__refused(world: World, target: str) -> None:
    token = list_mock(world, "ReentrantToken")
    world.send(world.manager.functions.grantRole(2, token.address, 0), "admin")
    world.send(token.functions.mint(token.address, 1_000 * UNIT), "stranger")
    world.send(token.functions.approveAs(world.hub.address, 1_000 * UNIT), "stranger")
    calls = {
        "deposit": world.hub.functions.deposit(CNY, [(FIRST, 100 * UNIT, ID)]),
        "settle": world.hub.functions.settle(b""),
    }
    data = bytes.fromhex(calls[target]._encode_transaction_data()[2:])
    world.send(token.functions.arm(world.hub.address, data), "stranger")
    assert world.refused(calls["deposit"], "stranger") == Refusal("ReentrancyGuardReentrantCall")


def test_list_currency__free_id_and_token__binds_them(world: World) -> None:
    token = world.new_token("Yuan", "CNYT")
    receipt = world.send(world.hub.functions.listCurrency(CNY, token.address), "governor")
    assert world.hub.functions.tokenOf(CNY).call() == token.address
    assert ("CurrencyListed", {"currency": CNY, "token": token.address}) in world.chain.events(receipt)


def test_list_currency__further_issuer_of_a_currency__takes_an_id_of_its_own(world: World) -> None:
    token = world.new_token("Euro of another issuer", "EURX")
    world.send(world.hub.functions.listCurrency(1_978, token.address), "governor")
    assert world.hub.functions.tokenOf(1_978).call() == token.address
    assert world.hub.functions.tokenOf(EUR).call() == world.tokens[EUR].address


def test_list_currency__id_zero__refused(world: World) -> None:
    call = world.hub.functions.listCurrency(0, world.tokens[EUR].address)
    assert world.refused(call, "governor") == Refusal("CurrencyZero")


def test_list_currency__id_bound__cannot_be_pointed_elsewhere(world: World) -> None:
    token = world.new_token("Euro", "EUR2")
    bound = world.tokens[EUR].address
    for address in (token.address, bound):
        refused = world.refused(world.hub.functions.listCurrency(EUR, address), "governor")
        assert refused == Refusal("CurrencyAlreadyListed", (EUR, bound))


def test_list_currency__token_bound__refused(world: World) -> None:
    token = world.tokens[EUR].address
    refused = world.refused(world.hub.functions.listCurrency(CNY, token), "governor")
    assert refused == Refusal("TokenAlreadyListed", (token, EUR))


def test_list_currency__address_without_code__refused(world: World) -> None:
    refused = world.refused(world.hub.functions.listCurrency(CNY, FIRST), "governor")
    assert refused == Refusal("TokenWithoutCode", (FIRST,))


def test_list_currency__eight_decimals__refused(world: World) -> None:
    token = world.chain.deploy(mock("EightDecimalsToken"))
    refused = world.refused(world.hub.functions.listCurrency(CNY, token.address), "governor")
    assert refused == Refusal("TokenDecimalsUnsupported", (token.address, 8))
