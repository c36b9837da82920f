"""Ladders: all that a maker sells of one currency for another, level by level; only the newest version counts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, Integer
from sqlmodel import Field, Session, SQLModel, col, select, tuple_

from chainwallet.keys.errors import SignatureRefused
from chainwallet.keys.intents import Domain
from chainwallet.keys.passkeys import signer_of
from chainwallet.keys.vault import Vault
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.market.rates import MidMarket, RateSource
from chainwallet.settlement.makers import (
    MakerQuote,
    MakerQuoteStatus,
    QuoteRequest,
    check_terms,
    draft_quote,
    hash_of,
    store_maker_quotes,
)
from chainwallet.settlement.rejections import Rejected, note_rejections

LEVELS_MAX = 20
VERSION_MAX = 2**53 - 1  # every JSON reader has it exactly


class MakerLadderStale(ChainwalletError):
    """The maker has sent this version, or a newer one, of the same ladder."""

    code = "MAKER_LADDER_STALE"
    status = 409


class MakerLadderUnknown(ChainwalletError):
    code = "MAKER_LADDER_UNKNOWN"
    status = 404


class MakerSignatureInvalid(ChainwalletError):
    """A level of a maker that signs by itself is not signed, or not by it."""

    code = "MAKER_SIGNATURE_INVALID"
    status = 422


class MakerQuoteKnown(ChainwalletError):
    """This very quote, nonce included, was sent before."""

    code = "MAKER_QUOTE_KNOWN"
    status = 409


class MakerLadder(SQLModel, table=True):
    """The newest version of what `maker_id` sells of `sell` for `buy`. Its levels are quotes of that version.

    A withdrawn ladder keeps its row, without levels, so that an older version still counts as old.
    """

    __tablename__ = "maker_ladder"
    __table_args__ = (CheckConstraint("version > 0 AND levels >= 0", name="version_positive"),)

    maker_id: str = Field(primary_key=True)
    sell: str = Field(primary_key=True)
    buy: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(BigInteger, nullable=False))
    levels: int = Field(sa_column=Column(Integer, nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    updated_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


@dataclass(frozen=True, slots=True)
class Level:
    """Up to `sell_units` for `buy_units`, in parts at that price. `nonce` and `signature` where the maker signs."""

    sell_units: int
    buy_units: int
    nonce: int | None = None
    signature: bytes | None = None


@dataclass(frozen=True, slots=True)
class Ladder:
    """One version of a maker's ladder; without levels it withdraws the one before."""

    sell: str
    buy: str
    version: int
    expires_at: datetime
    levels: tuple[Level, ...]

    @property
    def pair(self) -> tuple[str, str]:
        return self.sell, self.buy


@dataclass(frozen=True, slots=True)
class MakerSeat:
    """Whose ladders these are: `address` signs them, by itself where `signs_itself`, else with its managed key."""

    maker_id: str
    address: str
    signs_itself: bool


@dataclass(frozen=True, slots=True)
class LadderPost:
    """What one maker sends at once, at most one ladder per pair; and what was refused before it got here."""

    seat: MakerSeat
    ladders: tuple[Ladder, ...]
    refused: tuple[Rejected, ...] = ()


@dataclass(frozen=True, slots=True)
class LadderApplied:
    """The ladder is live: its quotes are priced with from now on."""

    ladder: Ladder
    quotes: tuple[MakerQuote, ...]


Outcome = LadderApplied | ChainwalletError
_Key = tuple[str, str, str]  # maker, sells, buys


class LadderDesk:
    """Takes ladders, many makers' at once, in the caller's transaction."""

    def __init__(self, *, vault: Vault, domain: Domain, rates: RateSource) -> None:
        self._vault = vault
        self._domain = domain
        self._rates = rates

    def apply(self, session: Session, posts: Sequence[LadderPost]) -> list[tuple[Outcome, ...]]:
        """Replace ladders by their newer versions; an outcome per ladder, in the order of the posts.

        A refusal is a ChainwalletError: MAKER_LADDER_STALE, MAKER_QUOTE_*, MAKER_SIGNATURE_INVALID, MARKET_NO_MID;
        what was live stays so. What payments have reserved of a replaced quote stays good, the rest of it is withdrawn.
        """
        drafts = [_Draft(post.seat, ladder) for post in posts for ladder in post.ladders]
        self._draft_quotes(drafts)
        _refuse_known(session, [draft for draft in drafts if draft.seat.signs_itself])
        newest: dict[_Key, _Draft] = {}
        for draft in drafts:
            known = newest.get(draft.key)
            if draft.error is None and (known is None or known.ladder.version < draft.ladder.version):
                newest[draft.key] = draft
        won = _raise_versions(session, newest)
        unbeaten = {newest[key] for key in won}
        _refuse_stale(session, [draft for draft in drafts if draft.error is None and draft not in unbeaten])
        live = [draft for draft in drafts if draft.error is None]
        _withdraw(session, [draft.key for draft in live])
        self._sign(session, live)
        store_maker_quotes(session, [quote for draft in live for quote in draft.quotes])
        refused = [one for post in posts for one in post.refused]
        note_rejections(session, refused + [draft.rejected() for draft in drafts if draft.error is not None])
        return _by_post(posts, drafts)

    def _draft_quotes(self, drafts: Sequence[_Draft]) -> None:
        mids = MidMarket(self._rates.fixing())
        for draft in drafts:
            try:
                if draft.ladder.levels:
                    check_terms(*draft.ladder.pair, draft.ladder.expires_at)
                mids.mid(*draft.ladder.pair)  # MARKET_NO_MID: nothing is issued or priced in it
                draft.quotes = [self._quote(draft, level) for level in draft.ladder.levels]
            except ChainwalletError as error:
                draft.error = error

    def _quote(self, draft: _Draft, level: Level) -> MakerQuote:
        seat, ladder = draft.seat, draft.ladder
        sell, buy = Money(ladder.sell, level.sell_units), Money(ladder.buy, level.buy_units)
        terms = QuoteRequest(sell, buy, ladder.expires_at)
        quote = draft_quote(terms, maker_id=seat.maker_id, maker=seat.address, nonce=level.nonce)
        quote.ladder_version = ladder.version
        if not seat.signs_itself:
            if level.signature is not None or level.nonce is not None:
                raise MakerSignatureInvalid("The service signs for this maker; leave out nonce and signature.")
            return quote
        if level.signature is None or level.nonce is None:
            raise MakerSignatureInvalid("This maker signs by itself; send nonce and signature with each level.")
        if ladder.expires_at.microsecond:
            raise MakerSignatureInvalid("A signed deadline is in whole seconds; leave out fractions in expires_at.")
        quote.signature, quote.quote_hash = level.signature, hash_of(self._domain, quote)
        _check_signature(quote)
        return quote

    def _sign(self, session: Session, drafts: Sequence[_Draft]) -> None:
        managed = [draft for draft in drafts if not draft.seat.signs_itself and draft.quotes]
        self._vault.signers(session, {draft.seat.address for draft in managed})  # one query for those not in memory
        for draft in managed:
            signer = self._vault.signer(session, draft.seat.address, owner_id=draft.seat.maker_id)
            for quote in draft.quotes:
                quote.signature = signer.sign_quote(self._domain, quote.signed())
                quote.quote_hash = hash_of(self._domain, quote)


class _Draft:
    """A ladder on its way in: its quotes, or why it is refused."""

    __slots__ = ("error", "key", "ladder", "quotes", "seat")

    def __init__(self, seat: MakerSeat, ladder: Ladder) -> None:
        self.seat = seat
        self.ladder = ladder
        self.key: _Key = (seat.maker_id, *ladder.pair)
        self.quotes: list[MakerQuote] = []
        self.error: ChainwalletError | None = None

    def rejected(self) -> Rejected:
        assert self.error is not None
        maker_id, sell, buy = self.key
        return Rejected(maker_id=maker_id, sell=sell, buy=buy, error=self.error, version=self.ladder.version)

    def outcome(self) -> Outcome:
        return self.error or LadderApplied(self.ladder, tuple(self.quotes))


def _by_post(posts: Sequence[LadderPost], drafts: Sequence[_Draft]) -> list[tuple[Outcome, ...]]:
    rest = iter(drafts)
    return [tuple(next(rest).outcome() for _ in post.ladders) for post in posts]


def _check_signature(quote: MakerQuote) -> None:
    try:
        is_signed = signer_of(bytes.fromhex(quote.quote_hash[2:]), quote.signature) == quote.maker
    except SignatureRefused as refused:
        raise MakerSignatureInvalid(f"A level's signature is refused: {refused.detail}") from refused
    if not is_signed:
        raise MakerSignatureInvalid(
            f"A level is not signed by {quote.maker}: sign the EIP-712 MakerQuote with exactly these amounts, nonce "
            "and deadline, in this hub's domain (GET /v1/chain)."
        )


def _refuse_known(session: Session, drafts: Sequence[_Draft]) -> None:
    """A quote is filled once over, whoever sends it how often: each has a nonce of its own."""
    hashes = [quote.quote_hash for draft in drafts for quote in draft.quotes]
    statement = select(MakerQuote.quote_hash).where(col(MakerQuote.quote_hash).in_(hashes))
    known = set(session.exec(statement)) if hashes else set()
    for draft in drafts:
        mine = [quote.quote_hash for quote in draft.quotes]
        if draft.error is None and (len(set(mine)) < len(mine) or not known.isdisjoint(mine)):
            draft.error = MakerQuoteKnown("A level was sent before with the same nonce; sign it with a new one.")
        known.update(mine)


def _refuse_stale(session: Session, drafts: Sequence[_Draft]) -> None:
    keys = [draft.key for draft in drafts]
    place = (MakerLadder.maker_id, MakerLadder.sell, MakerLadder.buy)
    statement = select(*place, MakerLadder.version).where(tuple_(*place).in_(keys))
    versions = {(maker, sell, buy): version for maker, sell, buy, version in session.exec(statement)} if keys else {}
    for draft in drafts:
        ladder, newest = draft.ladder, versions[draft.key]
        draft.error = MakerLadderStale(
            f"Version {ladder.version} of the ladder {ladder.sell}-{ladder.buy} is not newer than {newest}; "
            "send a higher one.",
            version=newest,
        )


_RAISE = """
INSERT INTO maker_ladder (maker_id, sell, buy, version, levels, expires_at, updated_at)
SELECT u.maker_id, u.sell, u.buy, u.version, u.levels, u.expires_at, %(now)s
FROM unnest(%(makers)s::text[], %(sells)s::text[], %(buys)s::text[], %(versions)s::bigint[], %(levels)s::int[],
            %(expiries)s::timestamptz[]) AS u(maker_id, sell, buy, version, levels, expires_at)
ORDER BY u.maker_id, u.sell, u.buy
ON CONFLICT (maker_id, sell, buy) DO UPDATE
SET version = excluded.version, levels = excluded.levels, expires_at = excluded.expires_at,
    updated_at = excluded.updated_at
WHERE maker_ladder.version < excluded.version
RETURNING maker_id, sell, buy
"""


def _raise_versions(session: Session, newest: Mapping[_Key, _Draft]) -> set[_Key]:
    """Make these the newest versions where they are; the ladders that rose."""
    if not newest:
        return set()
    ladders = [draft.ladder for draft in newest.values()]
    rows = session.connection().exec_driver_sql(
        _RAISE,
        {
            **_columns(newest),
            "versions": [ladder.version for ladder in ladders],
            "levels": [len(ladder.levels) for ladder in ladders],
            "expiries": [ladder.expires_at for ladder in ladders],
            "now": utc_now(),
        },
    )
    return {(maker_id, sell, buy) for maker_id, sell, buy in rows}


_WITHDRAW = """
WITH old AS (
  SELECT q.id FROM maker_quote q
  JOIN unnest(%(makers)s::text[], %(sells)s::text[], %(buys)s::text[]) AS u(maker_id, sell, buy)
    ON q.maker_id = u.maker_id AND q.sell = u.sell AND q.buy = u.buy
  WHERE q.status = 'open' AND q.ladder_version IS NOT NULL
  ORDER BY q.id FOR UPDATE OF q
)
UPDATE maker_quote q SET status = 'withdrawn', withdrawn_at = %(now)s FROM old WHERE q.id = old.id
"""


def _withdraw(session: Session, keys: Sequence[_Key]) -> None:
    if keys:
        session.connection().exec_driver_sql(_WITHDRAW, {**_columns(keys), "now": utc_now()})


def _columns(keys: Sequence[_Key] | Mapping[_Key, Any]) -> dict[str, list[str]]:
    return {name: [key[place] for key in keys] for place, name in enumerate(("makers", "sells", "buys"))}


def withdraw_ladders(session: Session, maker_id: str, *, pair: tuple[str, str] | None = None) -> int:
    """Withdraw a maker's ladders, or that of one pair; how many there were. Their versions stay taken."""
    statement = select(MakerLadder).where(MakerLadder.maker_id == maker_id, MakerLadder.levels > 0)
    if pair is not None:
        statement = statement.where(MakerLadder.sell == pair[0], MakerLadder.buy == pair[1])
    place = (col(MakerLadder.sell), col(MakerLadder.buy))
    found = session.exec(statement.order_by(*place).with_for_update()).all()
    _withdraw(session, [(ladder.maker_id, ladder.sell, ladder.buy) for ladder in found])
    for ladder in found:
        ladder.levels, ladder.updated_at = 0, utc_now()
        session.add(ladder)
    return len(found)


def withdraw_everything(session: Session, maker_id: str) -> None:
    """Withdraw all that a maker offers, ladders and single quotes: nothing of it is priced with any more."""
    withdraw_ladders(session, maker_id)
    session.connection().exec_driver_sql(_WITHDRAW_SINGLE, {"maker": maker_id, "now": utc_now()})


_WITHDRAW_SINGLE = """
WITH old AS (SELECT id FROM maker_quote WHERE maker_id = %(maker)s AND status = 'open' ORDER BY id FOR UPDATE)
UPDATE maker_quote q SET status = 'withdrawn', withdrawn_at = %(now)s FROM old WHERE q.id = old.id
"""


def list_ladders(
    session: Session, maker_id: str, *, after: Sequence[str] | None = None, limit: int
) -> list[tuple[MakerLadder, list[MakerQuote]]]:
    """A maker's live ladders by pair, each with its quotes, the cheapest first."""
    place = (MakerLadder.sell, MakerLadder.buy)
    statement = (
        select(MakerLadder)
        .where(MakerLadder.maker_id == maker_id, MakerLadder.levels > 0, MakerLadder.expires_at > utc_now())
        .order_by(*place)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(*place) > tuple(after))
    ladders = session.exec(statement).all()
    quotes = _quotes_of(session, maker_id, [(ladder.sell, ladder.buy) for ladder in ladders])
    return [(ladder, quotes[ladder.sell, ladder.buy]) for ladder in ladders]


def _quotes_of(
    session: Session, maker_id: str, pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], list[MakerQuote]]:
    found: dict[tuple[str, str], list[MakerQuote]] = defaultdict(list)
    statement = select(MakerQuote).where(
        MakerQuote.maker_id == maker_id,
        MakerQuote.status == MakerQuoteStatus.OPEN,
        col(MakerQuote.ladder_version).is_not(None),
        tuple_(MakerQuote.sell, MakerQuote.buy).in_(pairs),
    )
    for quote in session.exec(statement) if pairs else ():
        found[quote.sell, quote.buy].append(quote)
    for quotes in found.values():
        quotes.sort(key=lambda quote: (quote.buy_units / quote.sell_units, quote.sell_units, quote.id))
    return found


_PURGE = """
DELETE FROM maker_quote WHERE id IN (
  SELECT q.id FROM maker_quote q
  WHERE q.status = 'withdrawn' AND q.ladder_version IS NOT NULL AND q.withdrawn_at BETWEEN %(since)s AND %(before)s
    AND q.reserved_units = 0 AND q.filled_units = 0
    AND NOT EXISTS (SELECT FROM batch_fill f WHERE f.quote_id = q.id)
  ORDER BY q.id LIMIT %(limit)s FOR UPDATE OF q SKIP LOCKED)
"""


def purge_replaced(session: Session, *, before: datetime, limit: int) -> int:
    """Forget at most `limit` levels of replaced ladders that nobody ever took any of; how many were forgotten.

    Only those withdrawn on the day before `before` are looked at.
    """
    since = before - timedelta(days=1)
    found = session.connection().exec_driver_sql(_PURGE, {"since": since, "before": before, "limit": limit})
    return found.rowcount
