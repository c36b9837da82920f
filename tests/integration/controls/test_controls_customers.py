"""Customers: what is stored, what is refused, how they are found."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from chainwallet.controls.identity.access import may_act_for, visible_customer
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import (
    Customer,
    CustomerAliasTaken,
    CustomerClosed,
    CustomerIbanTaken,
    CustomerInvalid,
    CustomerStatus,
    CustomerType,
    CustomerUnknown,
    freeze_customer,
    list_customers,
    unfreeze_customer,
)
from chainwallet.controls.identity.payees import (
    Party,
    PayeeAmbiguous,
    PayeeRef,
    PayeeUnknown,
    addresses_to_ids,
    ids_to_addresses,
    parties_by_id,
    resolve_payee,
    resolve_payees,
)
from chainwallet.kit.database import Database
from chainwallet.records.audit import verify
from chainwallet.records.outbox import place, read_after

Open = Callable[..., Customer]
IBAN = "DE89370400440532013000"


def test_a_customer_is_stored_normalised_audited_and_announced(database: Database, open_customer: Open) -> None:
    made = open_customer(full_name="  Zoe\u0308  ", alias="Zoe.Shop", iban="de89 3704 0044 0532 0130 00".upper())
    assert (made.full_name, made.alias, made.iban, made.status) == ("Zoë", "zoe.shop", IBAN, "active")
    with database.transaction() as session:
        assert verify(session).seq == 1
        place(session)
        event = read_after(session, 0, audience=made.id)[0]
    assert (event.type, event.payload["address"]) == ("customer.created", made.address)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("full_name", ""),
        ("full_name", " \t "),
        ("full_name", "x" * 141),
        ("full_name", "two\nlines"),
        ("full_name", "esc\x1b[31m"),
        ("full_name", "line\u2028separator"),
        ("country", "XX"),
        ("country", "de"),
        ("country", "DEU"),
        ("email", "nobody"),
        ("email", "a b@example.com"),
        ("email", "a@b"),
        ("email", "a@example..com"),
        ("alias", "a"),
        ("alias", "with space"),
        ("alias", "ümlaut"),
        ("alias", "x" * 65),
        ("iban", "DE89370400440532013001"),
        ("iban", "GB00"),
        ("iban", "not an iban"),
        ("iban", "XX89370400440532013000"),
    ],
)
def test_what_cannot_be_right_is_refused_by_field(open_customer: Open, field: str, value: str) -> None:
    with pytest.raises(CustomerInvalid) as refused:
        open_customer(**{field: value})
    assert refused.value.context["field"] == field


def test_an_alias_and_an_iban_belong_to_one_customer(open_customer: Open) -> None:
    open_customer(alias="shop", iban=IBAN)
    with pytest.raises(CustomerAliasTaken):
        open_customer(alias="SHOP")
    with pytest.raises(CustomerIbanTaken):
        open_customer(iban=IBAN)
    assert open_customer(alias="other").alias == "other"


def test_only_a_bank_has_customers(open_customer: Open) -> None:
    business = open_customer(type=CustomerType.BUSINESS)
    for bank_id in (business.id, "cus_nobody"):
        with pytest.raises(CustomerUnknown):
            open_customer(bank_id=bank_id)


def test_racing_for_an_alias_has_one_winner(database: Database, open_customer: Open) -> None:
    def take(number: int) -> bool:
        try:
            open_customer(alias="popular", full_name=f"Customer DE-{number:03}")
        except CustomerAliasTaken:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(take, range(24))) == 1


def test_a_payee_is_found_by_each_of_its_names_in_any_spelling(database: Database, open_customer: Open) -> None:
    made = open_customer(alias="shop", iban=IBAN)
    names = [
        PayeeRef(customer_id=made.id),
        PayeeRef(address=made.address.lower()),
        PayeeRef(address=made.address),
        PayeeRef(alias="SHOP"),
        PayeeRef(iban="DE89 3704 0044 0532 0130 00"),
    ]
    with database.transaction() as session:
        assert [found.id for found in resolve_payees(session, names) if isinstance(found, Party)] == [made.id] * 5


def test_each_reference_of_a_group_gets_its_own_outcome(database: Database, open_customer: Open) -> None:
    made = open_customer(alias="shop")
    stranger = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    wrong_checksum = "0x5aaeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    refs = [
        PayeeRef(alias="nobody"),
        PayeeRef(alias="shop"),
        PayeeRef(address=stranger),
        PayeeRef(address=wrong_checksum),
        PayeeRef(),
        PayeeRef(alias="shop", customer_id=made.id),
        PayeeRef(iban="DE00"),
    ]
    with database.transaction() as session:
        found = resolve_payees(session, refs)
        with pytest.raises(PayeeUnknown):
            resolve_payee(session, refs[0])
        assert resolve_payees(session, []) == []
    kinds = [type(one) for one in found]
    assert kinds == [PayeeUnknown, Party, str, CustomerInvalid, PayeeAmbiguous, PayeeAmbiguous, CustomerInvalid]
    assert found[2] == stranger


def test_lookups_by_id_and_address_leave_out_what_is_unknown(database: Database, open_customer: Open) -> None:
    one, two = open_customer(), open_customer()
    with database.transaction() as session:
        assert set(parties_by_id(session, [one.id, two.id, "cus_x"])) == {one.id, two.id}
        assert addresses_to_ids(session, [one.address, "0x0"]) == {one.address: one.id}
        assert ids_to_addresses(session, [two.id, "cus_x"]) == {two.id: two.address}


def test_freezing_is_audited_announced_and_reversible(database: Database, open_customer: Open) -> None:
    made = open_customer()
    with database.transaction() as session:
        assert freeze_customer(session, made.id, actor="key_1", reason="court order").status == CustomerStatus.FROZEN
        freeze_customer(session, made.id, actor="key_1", reason="again")
        assert unfreeze_customer(session, made.id, actor="key_1", reason="lifted").status == CustomerStatus.ACTIVE
        place(session)
        types = [event.type for event in read_after(session, 0, audience=made.id)]
        assert types == ["customer.created", "customer.frozen", "customer.unfrozen"]
        assert verify(session).seq == 3
        made_again = session.get_one(Customer, made.id)
        made_again.status = CustomerStatus.CLOSED
        session.flush()
        with pytest.raises(CustomerClosed):
            unfreeze_customer(session, made.id, actor="key_1", reason="no")
        with pytest.raises(CustomerUnknown):
            freeze_customer(session, "cus_nobody", actor="key_1", reason="no")


def test_tenants_are_told_apart_in_one_place(database: Database, open_customer: Open) -> None:
    bank, rival = open_customer(type=CustomerType.BANK), open_customer(type=CustomerType.BANK)
    mine, theirs = open_customer(bank_id=bank.id), open_customer(bank_id=rival.id)
    keys = {
        name: Principal("key", frozenset(), one)
        for name, one in {"operator": None, "bank": bank.id, "rival": rival.id, "mine": mine.id}.items()
    }
    sees = {
        "operator": {bank.id, rival.id, mine.id, theirs.id},
        "bank": {bank.id, mine.id},
        "rival": {rival.id, theirs.id},
        "mine": {mine.id},
    }
    for name, principal in keys.items():
        for customer in (bank, rival, mine, theirs):
            assert may_act_for(principal, customer) == (customer.id in sees[name]), (name, customer.id)
        with database.transaction() as session:
            listed = list_customers(session, within=principal.customer_id, after=None, limit=10)
            assert {customer.id for customer in listed} == sees[name]
    with database.transaction() as session:
        answers = set()
        for unseen in (theirs.id, "cus_nobody"):
            with pytest.raises(CustomerUnknown) as hidden:
                visible_customer(session, keys["bank"], unseen)
            answers.add((hidden.value.code, hidden.value.detail, str(hidden.value.context)))
    assert len(answers) == 1
