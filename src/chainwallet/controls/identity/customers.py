"""Customers: people, businesses, market makers and banks, and the checks on what is stored about them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache

import pycountry
from eth_utils.address import is_checksum_address, to_checksum_address
from sqlalchemy import CheckConstraint, Column, DateTime, String
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.keys.errors import SignatureRefused
from chainwallet.keys.intents import AccountClaim, Domain, claim_digest
from chainwallet.keys.passkeys import signer_of
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.records import audit, outbox

NewAddress = Callable[[Session, str], str]
"""(session, owner id) -> the checksummed address of a wallet made for that owner in the same transaction."""

ALIAS_PATTERN = r"^[a-z0-9._-]{2,64}$"
NAME_MAX = 140  # ISO 20022 Max140Text
CLAIM_LASTS_S = 3_600
_EMAIL = re.compile(r"[^\s@\x00-\x1f]{1,64}@[^\s@.\x00-\x1f]+(?:\.[^\s@.\x00-\x1f]+)+")
_HEX_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}", re.ASCII)


class CustomerUnknown(ChainwalletError):
    code = "CUSTOMER_UNKNOWN"
    status = 404


class CustomerInvalid(ChainwalletError):
    code = "CUSTOMER_INVALID"
    status = 422


class CustomerAliasTaken(ChainwalletError):
    code = "CUSTOMER_ALIAS_TAKEN"
    status = 409


class CustomerIbanTaken(ChainwalletError):
    code = "CUSTOMER_IBAN_TAKEN"
    status = 409


class CustomerAddressTaken(ChainwalletError):
    code = "CUSTOMER_ADDRESS_TAKEN"
    status = 409


class CustomerKeyUnproven(ChainwalletError):
    """The claim to an address is not signed by its key, or was not signed just now."""

    code = "CUSTOMER_KEY_UNPROVEN"
    status = 422


class CustomerSignsItself(ChainwalletError):
    """The service has no key of this customer's, and what was asked for would need one."""

    code = "CUSTOMER_SIGNS_ITSELF"
    status = 409


class CustomerClosed(ChainwalletError):
    code = "CUSTOMER_CLOSED"
    status = 409


class CustomerType(StrEnum):
    INDIVIDUAL = "individual"
    BUSINESS = "business"
    MAKER = "maker"
    BANK = "bank"


class Custody(StrEnum):
    """Who signs for a customer's address."""

    MANAGED = "managed"  # this service, with a key that it keeps encrypted
    EXTERNAL = "external"  # the customer, with a key that this service never had


class CustomerStatus(StrEnum):
    ACTIVE = "active"
    FROZEN = "frozen"
    CLOSED = "closed"


class Customer(SQLModel, table=True):
    """A holder of accounts. `address` owns its positions on chain; `bank_id` is the bank it belongs to."""

    __tablename__ = "customer"
    __table_args__ = (
        CheckConstraint("type IN ('individual', 'business', 'maker', 'bank')", name="type"),
        CheckConstraint("status IN ('active', 'frozen', 'closed')", name="status"),
        CheckConstraint("custody IN ('managed', 'external')", name="custody"),
        CheckConstraint("alias = lower(alias)", name="alias_lower"),
        CheckConstraint("bank_id <> id", name="bank_is_another"),
    )

    id: str = Field(primary_key=True)
    type: str = Field(sa_column=Column(String, nullable=False))
    full_name: str = Field(max_length=NAME_MAX)
    country: str = Field(max_length=2)
    email: str | None = Field(default=None, max_length=254)
    address: str = Field(unique=True, max_length=42)
    custody: str = Field(
        default=Custody.MANAGED, sa_column=Column(String, nullable=False, server_default=Custody.MANAGED.value)
    )
    alias: str | None = Field(default=None, unique=True, max_length=64)
    iban: str | None = Field(default=None, unique=True, max_length=34)
    bank_id: str | None = Field(default=None, foreign_key="customer.id", index=True)
    status: str = Field(default=CustomerStatus.ACTIVE, sa_column=Column(String, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))

    @property
    def audience(self) -> tuple[str, ...]:
        """Who may see what happens to this customer: itself and its bank."""
        return (self.id,) if self.bank_id is None else (self.id, self.bank_id)


@dataclass(frozen=True, slots=True)
class ExternalKey:
    """A maker's claim to an address of its own: an EIP-712 AccountClaim, signed by that address's key."""

    address: str
    deadline: int
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerDraft:
    """What is asked for; `create_customer` checks and normalises it."""

    type: CustomerType
    full_name: str
    country: str
    email: str | None = None
    alias: str | None = None
    iban: str | None = None
    bank_id: str | None = None
    external_key: ExternalKey | None = None


def create_customer(
    session: Session, draft: CustomerDraft, *, new_address: NewAddress, actor: str, domain: Domain | None = None
) -> Customer:
    """Store a customer with a wallet of its own, an audit entry and the event customer.created.

    With an `external_key` the wallet stays with the customer, a maker, who has signed for it in `domain`.
    CustomerInvalid says which field and why; CustomerAliasTaken, CustomerIbanTaken, CustomerAddressTaken,
    CustomerKeyUnproven and CustomerUnknown (for the bank) say what is in the way.
    """
    if draft.external_key is not None:
        _check_key(draft.type, draft.external_key, domain)
    if draft.bank_id is not None:
        bank = session.get(Customer, draft.bank_id)
        if bank is None or bank.type != CustomerType.BANK:
            raise CustomerUnknown("There is no bank with this bank_id; create a customer of type bank first.")
    customer_id = new_id("cus")
    customer = Customer(
        id=customer_id,
        type=draft.type,
        full_name=clean_name(draft.full_name),
        country=clean_country(draft.country),
        email=None if draft.email is None else clean_email(draft.email),
        address="",
        alias=None if draft.alias is None else clean_alias(draft.alias),
        iban=None if draft.iban is None else clean_iban(draft.iban),
        bank_id=draft.bank_id,
        created_at=utc_now(),
    )
    if draft.external_key is None:
        customer.address = new_address(session, customer_id)
    else:
        customer.address, customer.custody = clean_address(draft.external_key.address), Custody.EXTERNAL
    _insert(session, customer)
    audit.record(
        session,
        actor=actor,
        action="customer.created",
        subject=customer_id,
        detail={
            "type": customer.type,
            "country": customer.country,
            "bank_id": customer.bank_id,
            "custody": customer.custody,
        },
    )
    _announce(session, customer, "customer.created")
    return customer


def find_customer(session: Session, customer_id: str) -> Customer:
    """The customer with this id; CustomerUnknown otherwise. For callers outside, use access.visible_customer."""
    found = session.get(Customer, customer_id)
    if found is None:
        raise unknown_customer()
    return found


def unknown_customer() -> CustomerUnknown:
    """One sentence for every customer that a caller cannot see, existing or not."""
    return CustomerUnknown("There is no such customer; check the id.")


def freeze_customer(session: Session, customer_id: str, *, actor: str, reason: str) -> Customer:
    """Stop a customer's payments, in and out. Freezing twice is no error; CustomerClosed if closed."""
    return _set_status(session, customer_id, CustomerStatus.FROZEN, actor=actor, reason=reason)


def unfreeze_customer(session: Session, customer_id: str, *, actor: str, reason: str) -> Customer:
    """Let a frozen customer pay again. Doing it twice is no error; CustomerClosed if closed."""
    return _set_status(session, customer_id, CustomerStatus.ACTIVE, actor=actor, reason=reason)


def list_customers(session: Session, *, within: str | None, after: str | None, limit: int) -> list[Customer]:
    """Customers by id after `after`; `within` is a customer who sees itself and, as a bank, its customers."""
    query = select(Customer).order_by(col(Customer.id)).limit(limit)
    if within is not None:
        query = query.where((Customer.id == within) | (Customer.bank_id == within))
    if after is not None:
        query = query.where(Customer.id > after)
    return list(session.exec(query))


def clean_name(name: str) -> str:
    """The name in Unicode form C without outer spaces; control and line-breaking characters are refused."""
    text = unicodedata.normalize("NFC", name).strip()
    if not 1 <= len(text) <= NAME_MAX:
        raise CustomerInvalid(f"full_name must have 1 to {NAME_MAX} characters.", field="full_name")
    if any(unicodedata.category(char) in ("Cc", "Cs", "Co", "Cn", "Zl", "Zp") for char in text):
        raise CustomerInvalid("full_name holds control characters; remove them.", field="full_name")
    return text


def clean_country(code: str) -> str:
    if code not in _countries():
        raise CustomerInvalid(
            "country must be an ISO 3166-1 alpha-2 code in capitals, such as DE or CN.", field="country"
        )
    return code


def clean_email(email: str) -> str:
    if len(email) > 254 or _EMAIL.fullmatch(email) is None:
        raise CustomerInvalid("email must be an address such as payments@example.com.", field="email")
    return email


def clean_alias(alias: str) -> str:
    """The handle in lower case: 2 to 64 of a-z, 0-9, point, hyphen, underscore."""
    text = alias.lower()
    if re.fullmatch(ALIAS_PATTERN, text, re.ASCII) is None:
        raise CustomerInvalid(
            "alias must have 2 to 64 characters of a-z, 0-9, point, hyphen and underscore.", field="alias"
        )
    return text


def clean_iban(iban: str) -> str:
    """The IBAN without spaces, its country, length and check digits verified (ISO 13616, modulo 97)."""
    from schwifty import IBAN
    from schwifty.exceptions import SchwiftyException

    if len(iban) > 42 or not iban.isascii():
        raise CustomerInvalid("iban must be an IBAN such as DE89370400440532013000.", field="iban")
    try:
        return str(IBAN(iban).compact)
    except SchwiftyException as error:
        raise CustomerInvalid(f"iban is not valid: {error}. Check it for typing errors.", field="iban") from error


def clean_address(address: str) -> str:
    """The address with its EIP-55 checksum; one in mixed case must already have it right."""
    if _HEX_ADDRESS.fullmatch(address) is None:
        raise CustomerInvalid("address must be 0x and 40 hexadecimal digits.", field="address")
    one_case = address[2:] in (address[2:].lower(), address[2:].upper())
    if not one_case and not is_checksum_address(address):
        raise CustomerInvalid("address has a wrong checksum (EIP-55); check it for typing errors.", field="address")
    return str(to_checksum_address(address))


@cache
def _countries() -> frozenset[str]:
    return frozenset(country.alpha_2 for country in pycountry.countries)


def _check_key(kind: CustomerType, key: ExternalKey, domain: Domain | None) -> None:
    """Payments are signed by the service; so far only what makers sign can come from elsewhere."""
    if kind != CustomerType.MAKER or domain is None:
        raise CustomerInvalid("Only a maker may bring a key of its own; leave external_key out.", field="external_key")
    address, now_s = clean_address(key.address), unix_seconds(utc_now())
    if not now_s < key.deadline <= now_s + CLAIM_LASTS_S:
        raise CustomerKeyUnproven(f"The claim's deadline must be in the next {CLAIM_LASTS_S} seconds; sign it anew.")
    try:
        signer = signer_of(claim_digest(domain, AccountClaim(address, key.deadline)), key.signature)
    except SignatureRefused as refused:
        raise CustomerKeyUnproven(f"The claim's signature is refused: {refused.detail}") from refused
    if signer != address:
        raise CustomerKeyUnproven(f"The claim is not signed by {address}: sign the EIP-712 AccountClaim with its key.")


def _insert(session: Session, customer: Customer) -> None:
    try:
        with session.begin_nested():
            session.add(customer)
            session.flush()
    except IntegrityError as error:
        constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", "") or ""
        if "alias" in constraint:
            raise CustomerAliasTaken("This alias belongs to someone else; choose another.") from error
        if "address" in constraint:
            raise CustomerAddressTaken("This address belongs to a customer already; use another key.") from error
        if "iban" in constraint:
            raise CustomerIbanTaken("This IBAN is already that of another customer; check it.") from error
        raise


def _set_status(session: Session, customer_id: str, status: CustomerStatus, *, actor: str, reason: str) -> Customer:
    customer = session.get(Customer, customer_id, with_for_update=True)
    if customer is None:
        raise unknown_customer()
    if customer.status == CustomerStatus.CLOSED:
        raise CustomerClosed("This customer is closed; its status cannot change any more.")
    if customer.status != status:
        customer.status = status
        session.flush()
        action = "customer.frozen" if status is CustomerStatus.FROZEN else "customer.unfrozen"
        audit.record(session, actor=actor, action=action, subject=customer_id, detail={"reason": reason})
        _announce(session, customer, action)
    return customer


def _announce(session: Session, customer: Customer, event_type: str) -> None:
    payload = {"id": customer.id, "type": customer.type, "status": customer.status, "address": customer.address}
    outbox.append(session, [outbox.Event(event_type, customer.id, customer.audience, payload)])
