"""Finding whom a payment goes to: by id, address, alias or IBAN; many at once in one query."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session

from chainwallet.controls.identity.customers import (
    Custody,
    CustomerStatus,
    CustomerType,
    clean_address,
    clean_alias,
    clean_iban,
)
from chainwallet.kit.database import Query, ask
from chainwallet.kit.errors import ChainwalletError

_COLUMNS = "id, type, status, address, bank_id, country, full_name, alias, iban, custody"


class PayeeUnknown(ChainwalletError):
    code = "PAYEE_UNKNOWN"
    status = 404


class PayeeAmbiguous(ChainwalletError):
    code = "PAYEE_AMBIGUOUS"
    status = 422


@dataclass(frozen=True, slots=True)
class Party:
    """What a payment needs to know of a customer; detached, so it can be kept and handed to pure functions."""

    id: str
    type: CustomerType
    status: CustomerStatus
    address: str
    bank_id: str | None
    country: str
    full_name: str
    custody: Custody = Custody.MANAGED

    @property
    def audience(self) -> tuple[str, ...]:
        """Who may see what happens to this customer: itself and its bank."""
        return (self.id,) if self.bank_id is None else (self.id, self.bank_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PayeeRef:
    """Exactly one of four names for a payee; alias and IBAN in any spelling that a person may type."""

    customer_id: str | None = None
    address: str | None = None
    alias: str | None = None
    iban: str | None = None

    def key(self) -> tuple[str, str]:
        """(kind, normalised name); PayeeAmbiguous unless exactly one is given, CustomerInvalid if malformed."""
        given = [name for name in ("customer_id", "address", "alias", "iban") if getattr(self, name) is not None]
        if len(given) != 1:
            raise PayeeAmbiguous("Name the payee by exactly one of customer_id, address, alias and iban.")
        return given[0], _NORMALISE[given[0]](getattr(self, given[0]))


_NORMALISE: dict[str, Any] = {
    "customer_id": str,
    "address": clean_address,
    "alias": clean_alias,
    "iban": clean_iban,
}


def resolve_payee(session: Session, ref: PayeeRef) -> Party | str:
    """The customer that `ref` names, or the address itself if it is nobody's here; PayeeUnknown otherwise."""
    found = resolve_payees(session, [ref])[0]
    if isinstance(found, ChainwalletError):
        raise found
    return found


def resolve_payees(session: Session, refs: Sequence[PayeeRef]) -> list[Party | str | ChainwalletError]:
    """One outcome per reference, in order, in one query: see `payees_query`."""
    return ask(session, payees_query(refs))


def payees_query(refs: Sequence[PayeeRef]) -> Query[list[Party | str | ChainwalletError]]:
    """One outcome per reference, in order.

    A customer is a Party; an address that is no customer's is itself (checksummed: anyone with a key
    can hold a position on chain); anything else is the error that its own request is answered with.
    """
    keys: list[tuple[str, str] | ChainwalletError] = []
    for ref in refs:
        try:
            keys.append(ref.key())
        except ChainwalletError as error:
            keys.append(error)
    names: dict[str, list[str]] = {"customer_id": [], "address": [], "alias": [], "iban": []}
    for kind, name in {key for key in keys if isinstance(key, tuple)}:
        names[kind].append(name)

    def read(rows: Sequence[Any]) -> list[Party | str | ChainwalletError]:
        found = _by_name(rows)
        return [_outcome(key, found) if isinstance(key, tuple) else key for key in keys]

    return Query(_FIND if any(names.values()) else "", names, read)


def parties_by_id(session: Session, customer_ids: Iterable[str]) -> dict[str, Party]:
    """The customers with these ids, in one query; unknown ids are absent."""
    ids = list(set(customer_ids))
    rows = session.connection().exec_driver_sql(
        f"SELECT {_COLUMNS} FROM customer WHERE id = ANY (%(ids)s::text[])", {"ids": ids}
    )
    return {row[0]: _party(row) for row in rows}


def addresses_to_ids(session: Session, addresses: Iterable[str]) -> dict[str, str]:
    """Customer ids by checksummed address; addresses that are no customer's are absent."""
    rows = session.connection().exec_driver_sql(
        "SELECT address, id FROM customer WHERE address = ANY (%(addresses)s::text[])",
        {"addresses": list(set(addresses))},
    )
    return {row[0]: row[1] for row in rows}


def ids_to_addresses(session: Session, customer_ids: Iterable[str]) -> dict[str, str]:
    """Checksummed addresses by customer id; unknown ids are absent."""
    rows = session.connection().exec_driver_sql(
        "SELECT id, address FROM customer WHERE id = ANY (%(ids)s::text[])", {"ids": list(set(customer_ids))}
    )
    return {row[0]: row[1] for row in rows}


_FIND = (
    f"SELECT {_COLUMNS} FROM customer WHERE id = ANY (%(customer_id)s::text[])"
    " OR address = ANY (%(address)s::text[]) OR alias = ANY (%(alias)s::text[]) OR iban = ANY (%(iban)s::text[])"
)


def _by_name(rows: Sequence[Any]) -> dict[tuple[str, str], Party]:
    found: dict[tuple[str, str], Party] = {}
    for row in rows:
        party = _party(row)
        found |= {("customer_id", row[0]): party, ("address", row[3]): party}
        found |= {("alias", row[7]): party, ("iban", row[8]): party}
    return found


def _party(row: Any) -> Party:
    return Party(row[0], CustomerType(row[1]), CustomerStatus(row[2]), row[3], row[4], row[5], row[6], Custody(row[9]))


def _outcome(key: tuple[str, str], found: dict[tuple[str, str], Party]) -> Party | str | ChainwalletError:
    kind, name = key
    if key in found:
        return found[key]
    if kind == "address":
        return name
    detail = f"Nobody here has this {kind}; check it for typing errors, or ask the payee which one is theirs."
    return PayeeUnknown(detail, kind=kind)
