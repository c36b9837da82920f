"""What a principal may see: the one place where tenants are told apart."""

from __future__ import annotations

from sqlmodel import Session

from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import Customer, unknown_customer
from chainwallet.controls.identity.payees import Party


def may_act_for(principal: Principal, customer: Customer | Party) -> bool:
    """The operator for everyone; a customer's key for itself; a bank's key also for the bank's customers."""
    return principal.customer_id is None or principal.customer_id in (customer.id, customer.bank_id)


def visible_customer(session: Session, principal: Principal, customer_id: str) -> Customer:
    """The customer if the principal may act for it; CustomerUnknown, in the same words, if not or if there is none."""
    found = session.get(Customer, customer_id)
    if found is None or not may_act_for(principal, found):
        raise unknown_customer()
    return found
