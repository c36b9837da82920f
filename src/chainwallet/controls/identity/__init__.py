"""Who is who: customers, the keys that speak for them, and what each key may see.

Owns: the tables customer and api_key; resolving a payee; authenticating a bearer key.
Never: keeps a secret in the clear, or tells a caller that someone else's customer exists.
Invariants: an address, an alias and an IBAN each name at most one customer; only customers of type bank
have customers of their own.
"""

from chainwallet.controls.identity.access import may_act_for, visible_customer
from chainwallet.controls.identity.api_keys import ApiKey, Scope
from chainwallet.controls.identity.authenticator import Authenticator, Principal, operator_key
from chainwallet.controls.identity.customers import (
    Customer,
    CustomerDraft,
    CustomerStatus,
    CustomerType,
    create_customer,
)
from chainwallet.controls.identity.payees import (
    Party,
    PayeeRef,
    PayeeUnknown,
    addresses_to_ids,
    ids_to_addresses,
    parties_by_id,
    resolve_payee,
    resolve_payees,
)

__all__ = [
    "ApiKey",
    "Authenticator",
    "Customer",
    "CustomerDraft",
    "CustomerStatus",
    "CustomerType",
    "Party",
    "PayeeRef",
    "PayeeUnknown",
    "Principal",
    "Scope",
    "addresses_to_ids",
    "create_customer",
    "ids_to_addresses",
    "may_act_for",
    "operator_key",
    "parties_by_id",
    "resolve_payee",
    "resolve_payees",
    "visible_customer",
]
