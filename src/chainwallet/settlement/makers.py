"""Makers' signed quotes: what may be sold, at which price, until when, and how much of it is spoken for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Index, LargeBinary, Numeric, Text, text
from sqlmodel import Field, Session, SQLModel, col, select

from chainwallet.keys.attestations import QuoteAcknowledgement
from chainwallet.keys.intents import Domain, quote_digest
from chainwallet.keys.intents import MakerQuote as SignedQuote
from chainwallet.keys.signers import Signer
from chainwallet.keys.typed_data import typed_data
from chainwallet.kit.clock import unix_seconds, utc_now
from chainwallet.kit.database import Query, ask, insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.ids import new_id
from chainwallet.kit.money import Money, currency
from chainwallet.market.model import Book, Offer
from chainwallet.settlement.rejections import Rejected, note_rejections

LASTS_MAX = timedelta(days=7)


class MakerQuoteUnknown(ChainwalletError):
    code = "MAKER_QUOTE_UNKNOWN"
    status = 404


class MakerQuoteExpiryInvalid(ChainwalletError):
    code = "MAKER_QUOTE_EXPIRY_INVALID"
    status = 422


class MakerQuoteSameCurrency(ChainwalletError):
    code = "MAKER_QUOTE_SAME_CURRENCY"
    status = 422


class MakerNotAMaker(ChainwalletError):
    code = "MAKER_NOT_A_MAKER"
    status = 422


class MakerNotActive(ChainwalletError):
    """The maker is frozen or closed: nothing of it is filled."""

    code = "MAKER_NOT_ACTIVE"
    status = 409


class MakerQuoteRefusedByHub(ChainwalletError):
    """What the simulation of a batch said of a quote; its maker finds it among its rejections."""

    code = "MAKER_QUOTE_REFUSED_BY_HUB"
    status = 422


class MakerQuoteStatus(StrEnum):
    OPEN = "open"
    WITHDRAWN = "withdrawn"
    REFUSED = "refused"  # the hub would refuse it: no batch fills it, whatever was reserved of it


_IN_LADDER = "status = 'open' AND ladder_version IS NOT NULL"
_REPLACED = "status = 'withdrawn' AND ladder_version IS NOT NULL"


class MakerQuote(SQLModel, table=True):
    """`maker` sells up to `sell_units` of `sell` for `buy_units` of `buy`, in parts at that price or better.

    `ladder_version`: the version of the maker's ladder that it is a level of; None for one that was posted by itself.
    """

    __tablename__ = "maker_quote"
    __table_args__ = (
        CheckConstraint("sell_units > 0 AND buy_units > 0", name="amounts_positive"),
        CheckConstraint("reserved_units >= 0 AND filled_units >= 0", name="used_not_negative"),
        CheckConstraint("reserved_units + filled_units <= sell_units", name="within_signed_amount"),
        Index("ix_maker_quote_open", "expires_at", postgresql_where=text("status = 'open'")),
        Index("ix_maker_quote_ladder", "maker_id", "sell", "buy", postgresql_where=text(_IN_LADDER)),
        Index("ix_maker_quote_replaced", "withdrawn_at", postgresql_where=text(_REPLACED)),
    )

    id: str = Field(primary_key=True)
    maker_id: str = Field(index=True)
    maker: str
    sell: str
    sell_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    buy: str
    buy_units: int = Field(sa_column=Column(Numeric(38, 0), nullable=False))
    nonce: int = Field(sa_column=Column(BigInteger, nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    signature: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    quote_hash: str = Field(sa_column=Column(Text, nullable=False, unique=True))
    status: str = MakerQuoteStatus.OPEN
    ladder_version: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    withdrawn_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    reserved_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    filled_units: int = Field(default=0, sa_column=Column(Numeric(38, 0), nullable=False, server_default="0"))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))

    def signed(self) -> SignedQuote:
        """The quote as the hub and its maker's signature see it."""
        return SignedQuote(
            maker=self.maker,
            sell_currency=currency(self.sell).id,
            sell_units_max=int(self.sell_units),
            buy_currency=currency(self.buy).id,
            buy_units=int(self.buy_units),
            nonce=self.nonce,
            deadline=unix_seconds(self.expires_at),
        )


@dataclass(frozen=True, slots=True)
class QuoteRequest:
    """What a maker offers: `sell` is given for `buy`, at this price or better for the maker."""

    sell: Money
    buy: Money
    expires_at: datetime


def post_quotes(
    session: Session,
    requests: Sequence[QuoteRequest],
    *,
    maker_id: str,
    signer: Signer,
    domain: Domain,
) -> list[MakerQuote]:
    """Sign the quotes with the maker's key and open them. MAKER_QUOTE_* if one makes no sense."""
    rows = []
    for request in requests:
        check_terms(request.sell.code, request.buy.code, request.expires_at)
        quote = draft_quote(request, maker_id=maker_id, maker=signer.address)
        quote.signature = signer.sign_quote(domain, quote.signed())
        quote.quote_hash = hash_of(domain, quote)
        rows.append(quote)
    store_maker_quotes(session, rows)
    return rows


def acknowledge(quote: MakerQuote, *, operator: Signer, domain: Domain) -> dict[str, Any]:
    """What a maker can hold against the operator: the quote as it is signed, and that it was taken in, and when.

    Made anew each time it is asked for; the same every time. `received_at` in Unix seconds.
    """
    received_at = unix_seconds(quote.created_at)
    statement = QuoteAcknowledgement(bytes.fromhex(quote.quote_hash.removeprefix("0x")), received_at)
    return {
        "quote": typed_data(domain, quote.signed()),
        "signature": "0x" + bytes(quote.signature).hex(),
        "received_at": str(received_at),
        "operator_signature": "0x" + operator.sign_attestation(domain, statement).hex(),
    }


def check_terms(sell: str, buy: str, expires_at: datetime) -> None:
    """MAKER_QUOTE_SAME_CURRENCY, MAKER_QUOTE_EXPIRY_INVALID."""
    if sell == buy:
        raise MakerQuoteSameCurrency("A quote sells one currency for another; name two different currencies.")
    if not utc_now() < expires_at <= utc_now() + LASTS_MAX:
        raise MakerQuoteExpiryInvalid("expires_at must be in the future and at most seven days away.")


def draft_quote(request: QuoteRequest, *, maker_id: str, maker: str, nonce: int | None = None) -> MakerQuote:
    """The quote as its maker will sign it. A nonce only makes two equal quotes distinct; without one it is drawn."""
    return MakerQuote(
        id=new_id("mkq"),
        maker_id=maker_id,
        maker=maker,
        sell=request.sell.code,
        sell_units=request.sell.units,
        buy=request.buy.code,
        buy_units=request.buy.units,
        nonce=secrets.randbits(63) if nonce is None else nonce,
        expires_at=request.expires_at,
        signature=b"",
        quote_hash="",
        created_at=utc_now(),
    )


def hash_of(domain: Domain, quote: MakerQuote) -> str:
    """The quote's EIP-712 digest in hex: its name on chain."""
    return "0x" + quote_digest(domain, quote.signed()).hex()


def store_maker_quotes(session: Session, quotes: Sequence[MakerQuote]) -> None:
    """Open signed quotes, in one statement."""
    insert_many(session, MakerQuote, [quote.model_dump() for quote in quotes])


def withdraw_quote(session: Session, quote_id: str) -> MakerQuote:
    """Take a quote off the market. What payments have reserved of it stays good. MAKER_QUOTE_UNKNOWN."""
    return _close_quote(session, quote_id, MakerQuoteStatus.WITHDRAWN)


def refuse_quote(session: Session, quote_id: str, *, reason: str) -> MakerQuote:
    """Take a quote off the market that the hub would refuse: what payments have reserved of it is worth nothing.

    `reason` is the hub's own name for it; the maker finds it among its rejections.
    """
    quote = _close_quote(session, quote_id, MakerQuoteStatus.REFUSED)
    error = MakerQuoteRefusedByHub(f"The settlement contract would refuse this quote ({reason}); it is off the market.")
    version = quote.ladder_version
    rejected = Rejected(
        maker_id=quote.maker_id, sell=quote.sell, buy=quote.buy, error=error, version=version, quote_id=quote.id
    )
    note_rejections(session, [rejected])
    return quote


def _close_quote(session: Session, quote_id: str, status: MakerQuoteStatus) -> MakerQuote:
    quote = session.get(MakerQuote, quote_id, with_for_update=True)
    if quote is None:
        raise MakerQuoteUnknown("No maker quote has this id.")
    if quote.status != MakerQuoteStatus.REFUSED:
        quote.status, quote.withdrawn_at = status, quote.withdrawn_at or utc_now()
        session.add(quote)
    return quote


def find_quote(session: Session, quote_id: str) -> MakerQuote:
    """MAKER_QUOTE_UNKNOWN."""
    quote = session.get(MakerQuote, quote_id)
    if quote is None:
        raise MakerQuoteUnknown("No maker quote has this id.")
    return quote


def list_quotes(
    session: Session, *, maker_id: str | None, status: MakerQuoteStatus | None, before: str | None, limit: int
) -> list[MakerQuote]:
    """The newest quotes first, `limit` of them, older than the id `before`."""
    statement = select(MakerQuote).order_by(col(MakerQuote.id).desc()).limit(limit)
    if maker_id is not None:
        statement = statement.where(MakerQuote.maker_id == maker_id)
    if status is not None:
        statement = statement.where(MakerQuote.status == status)
    if before is not None:
        statement = statement.where(MakerQuote.id < before)
    return list(session.exec(statement))


def live_book(
    session: Session, *, lasting_s: float, version: int = 0, released: Mapping[str, int] | None = None
) -> Book:
    """What makers sell now: open quotes good for `lasting_s` more seconds, and each maker's free inventory.

    `released` gives units of quotes that are reserved for the payments at hand: they count as free here, and
    so does the inventory behind them, even where the quote has been withdrawn since. A refused quote is not there.
    """
    released = released or {}
    rows = (
        session.connection()
        .exec_driver_sql(
            """SELECT id, maker_id, sell, buy, sell_units, buy_units, sell_units - reserved_units - filled_units, status
           FROM maker_quote
           WHERE expires_at > %(until)s
             AND status <> 'refused'
             AND (status = 'open' AND reserved_units + filled_units < sell_units OR id = ANY(%(released)s))
           ORDER BY id""",
            {"until": utc_now() + timedelta(seconds=lasting_s), "released": sorted(released)},
        )
        .all()
    )
    inventory_units = _inventory(session, {row[1] for row in rows})
    offers = []
    for quote_id, maker, sell, buy, sell_units, buy_units, left, status in rows:
        mine = released.get(quote_id, 0)
        free = mine + (int(left) if status == MakerQuoteStatus.OPEN else 0)
        inventory_units[maker, sell] = inventory_units.get((maker, sell), 0) + mine
        offers.append(Offer(quote_id, maker, sell, buy, int(sell_units), int(buy_units), free))
    return Book(version=version, offers=tuple(offers), inventory_units=inventory_units)


def _inventory(session: Session, makers: set[str]) -> dict[tuple[str, str], int]:
    rows = session.connection().exec_driver_sql(
        """SELECT owner_id, currency, posted_units - held_units FROM account
           WHERE owner_id = ANY(%(makers)s) AND kind = 'customer'""",
        {"makers": sorted(makers)},
    )
    return {(owner, code): int(units) for owner, code, units in rows}


_CHANGE = """
WITH locked AS (
  SELECT q.id, u.reserve, u.fill FROM maker_quote q
  JOIN unnest(%(ids)s::text[], %(reserve)s::numeric[], %(fill)s::numeric[]) AS u(id, reserve, fill) ON q.id = u.id
  ORDER BY q.id FOR UPDATE OF q
)
UPDATE maker_quote q SET reserved_units = q.reserved_units + l.reserve, filled_units = q.filled_units + l.fill
FROM locked l
WHERE q.id = l.id AND q.reserved_units + q.filled_units + l.reserve + l.fill <= q.sell_units
"""
_RESERVE = f"{_CHANGE} AND q.status = 'open' AND q.expires_at > %(until)s RETURNING q.id"
_USE = f"{_CHANGE} RETURNING q.id"


def reserve_quotes(session: Session, units: Mapping[str, int], *, lasting_s: float) -> frozenset[str]:
    """Reserve units of open quotes: see `reserve_query`."""
    return ask(session, reserve_query(units, lasting_s=lasting_s))


def reserve_query(units: Mapping[str, int], *, lasting_s: float) -> Query[frozenset[str]]:
    """Reserve units of open quotes that are good for `lasting_s` more seconds; the ids of those that had them left.

    All of a quote's units or none of them. What is reserved is given back by `use_quotes` with minus units.
    """
    return _change(_RESERVE, units, {}, until=utc_now() + timedelta(seconds=lasting_s))


def use_quotes(session: Session, *, reserve: Mapping[str, int], fill: Mapping[str, int]) -> frozenset[str]:
    """Change what is reserved and filled of quotes, by units that may be negative; the ids of those that had room.

    Quotes are locked in id order until the transaction ends.
    """
    return ask(session, _change(_USE, reserve, fill))


def give_back(session: Session, units: Mapping[str, int]) -> None:
    """Free what was reserved. Nothing is read back, so it may be one of several statements in a pipeline."""
    query = _change(_CHANGE, {key: -taken for key, taken in units.items()}, {})
    if query.sql:
        session.connection().exec_driver_sql(query.sql, dict(query.parameters))


def _change(
    statement: str, reserve: Mapping[str, int], fill: Mapping[str, int], **parameters: datetime
) -> Query[frozenset[str]]:
    wanted = sorted({*reserve, *fill})
    figures = {
        name: "{" + ",".join(str(units.get(key, 0)) for key in wanted) + "}"
        for name, units in (("reserve", reserve), ("fill", fill))
    }
    parameters_all = {"ids": wanted, **figures, **parameters}
    return Query(statement if wanted else "", parameters_all, lambda rows: frozenset(row[0] for row in rows))
