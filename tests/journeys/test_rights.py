"""Tenants do not see each other: what belongs to another looks like what does not exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from .conftest import World

SCOPES = ("customers", "deposits", "quotes", "transfers", "exits", "maker", "read", "webhooks", "payment_files")


@dataclass
class Bank:
    """A bank with a key, a payer, a payee, a settled transfer between them and a maker's quote of its own."""

    world: World
    bank: Any = None
    secret: str = ""
    payer: Any = None
    payee: Any = None
    transfer: Any = None
    deposit: Any = None
    maker_quote: Any = None
    webhook: Any = None
    own: dict[str, str] = field(default_factory=dict)

    def open(self) -> Bank:
        world = self.world
        self.bank = world.customer("bank")
        self.secret = world.key(*SCOPES, customer_id=self.bank["id"])
        self.payer, self.payee = (world.customer(bank_id=self.bank["id"]) for _ in range(2))
        maker = world.customer("maker", bank_id=self.bank["id"])
        body = {"customer_id": self.payer["id"], "amount": {"currency": "EUR", "value": "100.00"}}
        self.deposit = world.post("/v1/deposits", body, auth=self.secret)
        world.quiet()
        self.transfer = self.pay(self.payer, self.payee)
        world.settled(self.transfer["id"])
        self.maker_quote = world.maker_quote(maker["id"], "SEK", "10.00", "EUR", "1.00")
        hook = {"url": "http://127.0.0.1:9/hook", "events": ["transfer.settled"]}
        self.webhook = world.post("/v1/webhooks", hook, auth=self.secret)
        return self

    def quote(self, value: str = "10.00") -> Any:
        body = {
            "source_currency": "EUR",
            "target_currency": "EUR",
            "source_amount": {"currency": "EUR", "value": value},
        }
        return self.world.post("/v1/quotes", body, auth=self.secret)

    def pay(self, payer: Any, payee: Any) -> Any:
        body = {"quote_id": self.quote()["id"], "payer_id": payer["id"], "payee": {"customer_id": payee["id"]}}
        return self.world.post("/v1/transfers", body, auth=self.secret)


@pytest.fixture(scope="module")
def banks(world: World) -> tuple[Bank, Bank]:
    return Bank(world).open(), Bank(world).open()


def same_words(world: World, mine: Bank, method: str, path: str, foreign: str, code: str, **options: Any) -> None:
    """Asking for another's thing and for nothing at all are answered alike, word for word."""
    told = [
        world.refused(method, path.format(id=one), 404, code, auth=mine.secret, **options)
        for one in (foreign, foreign[:4] + "0" * 26)
    ]
    for problem in told:
        del problem["instance"]
    assert told[0] == told[1], f"{method} {path} tells that it exists"


def test_bank__asks_for_what_is_anothers__is_told_it_does_not_exist(world: World, banks: tuple[Bank, Bank]) -> None:
    mine, other = banks
    customer, transfer = other.payer["id"], other.transfer["id"]
    before = world.books()
    for method, path, foreign, code in (
        ("GET", "/v1/customers/{id}", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/customers/{id}/proof", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/customers/{id}/balances", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/customers/{id}/exits", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/transfers?payer_id={id}", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/deposits?customer_id={id}", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/maker-quotes?maker_id={id}", customer, "CUSTOMER_UNKNOWN"),
        ("GET", "/v1/transfers/{id}", transfer, "TRANSFER_UNKNOWN"),
        ("GET", "/v1/transfers/{id}/receipt", transfer, "TRANSFER_UNKNOWN"),
        ("POST", "/v1/transfers/{id}/cancel", transfer, "TRANSFER_UNKNOWN"),
        ("GET", "/v1/deposits/{id}", other.deposit["id"], "DEPOSIT_UNKNOWN"),
        ("DELETE", "/v1/maker-quotes/{id}", other.maker_quote["id"], "MAKER_QUOTE_UNKNOWN"),
        ("DELETE", "/v1/webhooks/{id}", other.webhook["id"], "WEBHOOK_UNKNOWN"),
    ):
        same_words(world, mine, method, path, foreign, code)
    assert world.books() == before
    quotes = world.get("/v1/maker-quotes", maker_id=other.maker_quote["maker_id"])["items"]
    assert [quote["status"] for quote in quotes] == ["open"], "another's quote was withdrawn"


def test_bank__acts_for_anothers_customer__is_told_there_is_none(world: World, banks: tuple[Bank, Bank]) -> None:
    mine, other = banks
    before = world.books()
    amount = {"currency": "EUR", "value": "10.00"}
    deposit = {"customer_id": other.payer["id"], "amount": amount}
    world.refused("POST", "/v1/deposits", 404, "CUSTOMER_UNKNOWN", json=deposit, auth=mine.secret)
    leave = {"amount": amount, "recipient": "0x" + "99" * 20}
    path = f"/v1/customers/{other.payer['id']}/exits"
    world.refused("POST", path, 404, "CUSTOMER_UNKNOWN", json=leave, auth=mine.secret)
    maker_quote = {
        "maker_id": other.maker_quote["maker_id"],
        "sell": {"currency": "SEK", "value": "1.00"},
        "buy": amount,
        "expires_at": "2030-01-01T00:00:00Z",
    }
    world.refused("POST", "/v1/maker-quotes", 404, "CUSTOMER_UNKNOWN", json=maker_quote, auth=mine.secret)
    body = {"quote_id": mine.quote()["id"], "payer_id": other.payer["id"], "payee": {"customer_id": mine.payee["id"]}}
    world.refused("POST", "/v1/transfers", 404, "PAYER_UNKNOWN", json=body, auth=mine.secret)
    stolen = {"quote_id": other.quote()["id"], "payer_id": mine.payer["id"], "payee": {"customer_id": mine.payee["id"]}}
    world.refused("POST", "/v1/transfers", 404, "QUOTE_UNKNOWN", json=stolen, auth=mine.secret)
    assert world.books() == before, "no money of another's moved"


def test_bank__lists__only_its_own(world: World, banks: tuple[Bank, Bank]) -> None:
    for mine in banks:
        own = {mine.bank["id"], mine.payer["id"], mine.payee["id"], mine.maker_quote["maker_id"]}
        customers = world.get("/v1/customers", auth=mine.secret, limit=200)["items"]
        assert {one["id"] for one in customers} == own
        transfers = world.get("/v1/transfers", auth=mine.secret, limit=200)["items"]
        assert {one["payer_id"] for one in transfers} == {mine.payer["id"]}
        deposits = world.get("/v1/deposits", auth=mine.secret, limit=200)["items"]
        assert [one["id"] for one in deposits] == [mine.deposit["id"]]
        webhooks = world.get("/v1/webhooks", auth=mine.secret, limit=200)["items"]
        assert [one["id"] for one in webhooks] == [mine.webhook["id"]]
        world.refused("GET", "/v1/batches", 403, "AUTH_SCOPE_MISSING", auth=mine.secret)
        world.refused("GET", "/v1/batches/1", 403, "AUTH_SCOPE_MISSING", auth=mine.secret)
        world.refused("GET", "/v1/batches/1/picture.svg", 403, "AUTH_SCOPE_MISSING", auth=mine.secret)
        world.refused("GET", "/v1/api-keys", 403, "AUTH_SCOPE_MISSING", auth=mine.secret)


def test_bank__sees_its_own_whole(world: World, banks: tuple[Bank, Bank]) -> None:
    mine, _ = banks
    assert world.get(f"/v1/transfers/{mine.transfer['id']}", auth=mine.secret)["status"] == "settled"
    assert world.get(f"/v1/transfers/{mine.transfer['id']}/receipt", auth=mine.secret)["version"] == 1
    assert world.get(f"/v1/deposits/{mine.deposit['id']}", auth=mine.secret)["status"] == "settled"
    assert world.get(f"/v1/customers/{mine.payee['id']}/balances", auth=mine.secret)["items"]


def test_payees_bank__sees_what_arrives_and_may_not_cancel_it(world: World, banks: tuple[Bank, Bank]) -> None:
    mine, other = banks
    with world.batches_wait():
        transfer = mine.pay(mine.payer, other.payee)
        path = f"/v1/transfers/{transfer['id']}"
        assert world.get(path, auth=other.secret)["status"] == "accepted", "the payee's bank sees it come"
        world.refused("POST", f"{path}/cancel", 403, "AUTH_SCOPE_MISSING", auth=other.secret)
        assert world.get(path, auth=mine.secret)["status"] == "accepted", "only the payer's side may cancel"
    assert world.settled(transfer["id"])["status"] == "settled"


def test_customers_own_key__pays_for_itself_and_sees_only_itself(world: World, banks: tuple[Bank, Bank]) -> None:
    mine, _ = banks
    secret = world.key("quotes", "transfers", "read", customer_id=mine.payer["id"])
    items = world.get("/v1/customers", auth=secret)["items"]
    assert [one["id"] for one in items] == [mine.payer["id"]]
    world.refused("GET", f"/v1/customers/{mine.payee['id']}", 404, "CUSTOMER_UNKNOWN", auth=secret)
    world.refused("GET", f"/v1/customers/{mine.bank['id']}", 404, "CUSTOMER_UNKNOWN", auth=secret)


def test_revoked_key__opens_nothing(world: World) -> None:
    made = world.post("/v1/api-keys", {"name": "short-lived", "scopes": ["read"]})
    assert world.get("/v1/chain", auth=made["secret"])["hub"]
    assert world.send("DELETE", f"/v1/api-keys/{made['id']}").status_code == 204
    world.refused("GET", "/v1/chain", 401, "AUTH_KEY_INVALID", auth=made["secret"])
