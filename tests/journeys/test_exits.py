"""Leaving through the service: held, signed, set aside on chain, paid out; and what is refused on the way."""

from __future__ import annotations

from typing import Any

from chainwallet.chain.contracts.currency_token import CurrencyToken

from .conftest import World

HAVEN = "0x" + "77" * 20


def leave(world: World, customer: Any, value: str, *, to: str = HAVEN, **options: Any) -> Any:
    body = {"amount": {"currency": "EUR", "value": value}, "recipient": to}
    return world.post(f"/v1/customers/{customer['id']}/exits", body, **options)


def exits(world: World, customer: Any) -> list[Any]:
    items: list[Any] = world.get(f"/v1/customers/{customer['id']}/exits")["items"]
    return items


def status(world: World, customer: Any) -> str:
    return str(exits(world, customer)[0]["status"])


def tokens(world: World, address: str) -> int:
    return CurrencyToken(world.services.node, world.services.deployment.tokens["EUR"]).balance_of(address)


def paid(world: World, customer: Any) -> bool:
    """The chain mines when it is asked to, and its clock goes on with it."""
    world.services.node.request("evm_mine", [])
    return status(world, customer) == "paid"


def test_exit__is_held_then_set_aside_then_paid_out(world: World) -> None:
    owner = world.funded("EUR", "100.00")
    made = leave(world, owner, "40.00", to=owner["address"])
    assert made["status"] == "placed"
    assert world.available(owner["id"], "EUR") == "60.00", "at once"
    world.until(lambda: status(world, owner) not in ("placed", "submitted"), "it is on chain")
    (waiting,) = exits(world, owner)
    assert waiting["amount"] == {"currency": "EUR", "value": "40.00"}
    assert waiting["ready_at"]
    world.until(lambda: paid(world, owner), "it is paid out")
    assert tokens(world, owner["address"]) == 40_000_000
    (item,) = world.get(f"/v1/customers/{owner['id']}/balances")["items"]
    assert {part: item[part]["value"] for part in ("available", "held", "settled", "exiting")} == {
        "available": "60.00",
        "held": "0.00",
        "settled": "60.00",
        "exiting": "0.00",
    }
    assert exits(world, owner)[0]["id"] == made["id"]
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def test_exit__behind_payments__ends_none_of_them(world: World) -> None:
    """The request's nonce would cancel every order before it: it waits until they have settled."""
    owner, payee = world.funded("EUR", "100.00"), world.customer()
    with world.batches_wait():
        transfers = [world.transfer(world.quote("EUR", "EUR", source="10.00"), owner, payee) for _ in range(3)]
        leave(world, owner, "70.00")
        assert status(world, owner) == "placed"
    assert [world.settled(one["id"])["status"] for one in transfers] == ["settled"] * 3
    world.until(lambda: paid(world, owner), "it is paid out")
    assert world.balance(owner["id"], "EUR") == {"available": "0.00", "held": "0.00", "settled": "0.00"}


def test_exit__asked_twice_under_one_key__is_one(world: World) -> None:
    owner = world.funded("EUR", "100.00")
    first, again = (leave(world, owner, "40.00", key=f"leave-{owner['id']}") for _ in range(2))
    assert first == again
    assert len(exits(world, owner)) == 1


def test_exit__refusals(world: World) -> None:
    owner = world.funded("EUR", "100.00")
    path = f"/v1/customers/{owner['id']}/exits"

    def refused(status: int, code: str, value: str = "10.00", recipient: str = HAVEN, currency: str = "EUR") -> None:
        body = {"amount": {"currency": currency, "value": value}, "recipient": recipient}
        world.refused("POST", path, status, code, json=body)

    refused(409, "LEDGER_INSUFFICIENT_FUNDS", value="100.01")
    refused(409, "LEDGER_INSUFFICIENT_FUNDS", currency="USD")
    for recipient in ("0x" + "00" * 20, world.services.hub.address, "0x12", "nobody", "0xAb" + "ab" * 19):
        refused(422, "EXIT_RECIPIENT_INVALID", recipient=recipient)
    refused(422, "DEPOSIT_CURRENCY_NOT_ISSUED", currency="KWD", value="1.000")
    world.post(f"/v1/customers/{owner['id']}/freeze", {"reason": "a trial"}, status=200)
    refused(403, "EXIT_NOT_ALLOWED")
    world.post(f"/v1/customers/{owner['id']}/unfreeze", {"reason": "it is over"}, status=200)
    assert world.balance(owner["id"], "EUR") == {"available": "100.00", "held": "0.00", "settled": "100.00"}
    assert exits(world, owner) == []
    leave(world, owner, "10.00")
    refused(409, "EXIT_UNDER_WAY")
    key = world.key("transfers", "read", customer_id=owner["id"])
    body = {"amount": {"currency": "EUR", "value": "1.00"}, "recipient": HAVEN}
    world.refused("POST", path, 403, "AUTH_SCOPE_MISSING", json=body, auth=key)
