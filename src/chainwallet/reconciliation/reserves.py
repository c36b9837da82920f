"""Statements of what is owed: a tree over everybody's claims, its root anchored, and each customer's part of it."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, DateTime, Identity, LargeBinary, Numeric, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, Session, SQLModel, select

from chainwallet.chain.contracts.audit_anchor import AnchorKind, encode_anchor
from chainwallet.chain.contracts.currency_token import balances_of
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.node import Node
from chainwallet.keys.addresses import address_bytes
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import insert_many
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency, currency_by_id
from chainwallet.reconciliation.claims import Claims
from chainwallet.reconciliation.sum_tree import (
    EMPTY,
    CurrencyTotal,
    leaf,
    levels,
    liabilities_root,
    siblings_of,
)
from chainwallet.reconciliation.sum_tree import Node as SumNode
from chainwallet.settlement.lanes import Call, TxKind, TxStatus

GAS_ANCHOR = 200_000  # a bound: two new slots, a list entry and an event
STATEMENTS_KEPT = 31  # of older ones the trees are dropped; their roots stay, here and on chain


class ReservesDiffer(ChainwalletError):
    code = "RESERVES_DIFFER"
    status = 409


class ReservesShort(ChainwalletError):
    code = "RESERVES_SHORT"
    status = 409


class ReservesNotAnchored(ChainwalletError):
    code = "RESERVES_NOT_ANCHORED"
    status = 409
    retryable = True


class LiabilitiesStatement(SQLModel, table=True):
    """What was owed at a block, as one root. `period` is that block's Unix second; `totals` by currency, in order."""

    __tablename__ = "liabilities_statement"

    id: int | None = Field(default=None, sa_column=Column(BigInteger, Identity(), primary_key=True))
    block_number: int = Field(sa_column=Column(BigInteger, nullable=False))
    block_hash: str
    period: int = Field(sa_column=Column(BigInteger, nullable=False, unique=True))
    root: str = Field(sa_column=Column(Text, nullable=False))
    totals: list[dict[str, Any]] = Field(sa_column=Column(JSONB, nullable=False))
    created_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


class LiabilityLeaf(SQLModel, table=True):
    """A claim in a statement: where its leaf stands in its currency's tree, and the salt that hides it there."""

    __tablename__ = "liability_leaf"

    statement_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    account: str = Field(primary_key=True)
    currency: str = Field(primary_key=True)
    place: int = Field(sa_column=Column(BigInteger, nullable=False))
    units: int = Field(sa_column=Column(Numeric(39, 0), nullable=False))
    salt: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class LiabilityNode(SQLModel, table=True):
    """A node of a statement's tree, leaves on level 0."""

    __tablename__ = "liability_node"

    statement_id: int = Field(sa_column=Column(BigInteger, primary_key=True))
    currency: str = Field(primary_key=True)
    level: int = Field(primary_key=True)
    place: int = Field(sa_column=Column(BigInteger, primary_key=True))
    hash: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    units: int = Field(sa_column=Column(Numeric(39, 0), nullable=False))


@dataclass(frozen=True, slots=True)
class Draft:
    """A statement that is not stored yet, with its trees by currency."""

    claims: Claims
    period: int
    root: bytes
    totals: tuple[CurrencyTotal, ...]
    leaves: tuple[dict[str, Any], ...]
    trees: Mapping[str, list[list[SumNode]]]

    @property
    def records(self) -> int:
        return sum(total.leaves for total in self.totals)

    @property
    def anchor_data(self) -> bytes:
        """The anchor's call that keeps the root under the block's second."""
        return encode_anchor(AnchorKind.LIABILITIES, self.period, self.root, self.records)


def draft_statement(claims: Claims, node: Node, hub: SettlementHub, tokens: Mapping[str, str]) -> Draft:
    """The statement of these claims, after asking the chain at their block about every currency.

    RESERVES_DIFFER if the hub counts other totals than the books, or has another block there; RESERVES_SHORT if it
    holds fewer tokens than are owed. Nothing untrue is anchored.
    """
    block = node.block(claims.block_number)
    if block is None or block.hash != claims.block_hash:
        raise ReservesDiffer("A fork undid the block that the books stand at; state the reserves again shortly.")
    _must_be_covered(node, hub, tokens, claims.totals(), claims.block_number)
    codes = sorted(tokens, key=lambda code: currency(code).id)
    salted, trees = _plant(claims, codes)
    totals = tuple(
        CurrencyTotal(currency(code).id, len(trees[code][0]) if trees[code][-1] != [EMPTY] else 0, trees[code][-1][0])
        for code in codes
    )
    root = liabilities_root(
        totals,
        chain_id=node.chain_id,
        hub=address_bytes(hub.address),
        block_number=claims.block_number,
        block_hash=bytes.fromhex(claims.block_hash[2:]),
    )
    return Draft(claims, block.timestamp, root, totals, tuple(salted), trees)


def _must_be_covered(
    node: Node, hub: SettlementHub, tokens: Mapping[str, str], owed: Mapping[str, int], block: int
) -> None:
    codes = sorted(tokens)
    counted = hub.totals([currency(code).id for code in codes], block=block)
    held = balances_of(node, [tokens[code] for code in codes], hub.address, block=block)
    for code, count, holding in zip(codes, counted, held, strict=True):
        if count != owed[code]:
            raise ReservesDiffer(
                f"The books owe {Money(code, owed[code])}, the hub counts {Money(code, count)} at block {block}: run "
                "`chainwallet reconcile` first."
            )
        if holding < owed[code]:
            raise ReservesShort(
                f"The hub holds {Money(code, holding)} against {Money(code, owed[code])} owed at block {block}: find "
                "out where they went."
            )


def _plant(claims: Claims, codes: Sequence[str]) -> tuple[list[dict[str, Any]], dict[str, list[list[SumNode]]]]:
    """Every claim as a row with its salt and place, and the tree of each currency."""
    by_code: dict[str, list[tuple[SumNode, dict[str, Any]]]] = defaultdict(list)
    for (account, code), units in claims.units.items():
        salt = secrets.token_bytes(32)
        row = {"account": account, "currency": code, "units": units, "salt": salt}
        by_code[code].append((leaf(salt, address_bytes(account), currency(code).id, units), row))
    rows = []
    for grown in by_code.values():
        grown.sort(key=lambda one: one[0].hash)
        rows += [row | {"place": place} for place, (_, row) in enumerate(grown)]
    return rows, {code: levels([node for node, _ in by_code[code]]) for code in codes}


def store_statement(session: Session, draft: Draft) -> LiabilitiesStatement | None:
    """Keep the statement with its trees; None where that second is stated already. Old trees are dropped."""
    totals = [
        {
            "currency": currency_by_id(one.currency).code,
            "leaves": one.leaves,
            "hash": "0x" + one.top.hash.hex(),
            "units": str(one.top.units),
        }
        for one in draft.totals
    ]
    row = {
        "block_number": draft.claims.block_number,
        "block_hash": draft.claims.block_hash,
        "period": draft.period,
        "root": "0x" + draft.root.hex(),
        "totals": totals,
        "created_at": utc_now(),
    }
    stored = insert_many(
        session,
        LiabilitiesStatement,
        [row],
        suffix="ON CONFLICT (period) DO NOTHING RETURNING liabilities_statement.id",
    )
    if not stored:
        return None
    statement = session.get_one(LiabilitiesStatement, stored[0][0])
    insert_many(session, LiabilityLeaf, [{"statement_id": statement.id, **one} for one in draft.leaves])
    insert_many(session, LiabilityNode, _node_rows(statement, draft))
    for table in ("liability_leaf", "liability_node"):
        session.connection().exec_driver_sql(
            f"""DELETE FROM {table} WHERE statement_id <= (
                  SELECT id FROM liabilities_statement ORDER BY id DESC OFFSET {STATEMENTS_KEPT} LIMIT 1)"""
        )
    return statement


def _node_rows(statement: LiabilitiesStatement, draft: Draft) -> list[dict[str, Any]]:
    return [
        {
            "statement_id": statement.id,
            "currency": code,
            "level": level,
            "place": place,
            "hash": node.hash,
            "units": node.units,
        }
        for code, tree in draft.trees.items()
        for level, nodes in enumerate(tree)
        for place, node in enumerate(nodes)
        if node != EMPTY
    ]


def is_stated(session: Session, period: int) -> bool:
    """Whether there is a statement as of this second."""
    return (
        session.exec(select(LiabilitiesStatement.id).where(LiabilitiesStatement.period == period)).first() is not None
    )


def anchor_call(statement: LiabilitiesStatement, draft: Draft, anchor: str) -> Call:
    """The call that puts a statement's root on chain, for a lane to sign and store in the same transaction."""
    return Call(TxKind.ANCHOR, str(statement.id), anchor, draft.anchor_data, GAS_ANCHOR)


def anchored_statement(session: Session) -> LiabilitiesStatement:
    """The newest statement whose root is final on chain. RESERVES_NOT_ANCHORED while there is none."""
    row = session.connection().exec_driver_sql(
        """SELECT s.id FROM liabilities_statement s JOIN chain_tx t ON t.reference = s.id::text
           WHERE t.kind = %(kind)s AND t.status = %(status)s ORDER BY s.id DESC LIMIT 1""",
        {"kind": str(TxKind.ANCHOR), "status": str(TxStatus.CONFIRMED)},
    )
    found = row.scalar()
    if found is None:
        raise ReservesNotAnchored("No statement of what is owed is anchored yet; the operator anchors the next one.")
    return session.get_one(LiabilitiesStatement, found)


def proof_for(session: Session, account: str, *, chain_id: int, hub: str, anchor: str) -> dict[str, Any]:
    """What an address can take away to verify that it is counted, without the service. RESERVES_NOT_ANCHORED."""
    statement = anchored_statement(session)
    assert statement.id is not None
    leaves = session.exec(
        select(LiabilityLeaf).where(LiabilityLeaf.statement_id == statement.id, LiabilityLeaf.account == account)
    ).all()
    counts = {total["currency"]: int(total["leaves"]) for total in statement.totals}
    return {
        "version": 1,
        "chain_id": chain_id,
        "hub": hub,
        "anchor": anchor,
        "block_number": statement.block_number,
        "block_hash": statement.block_hash,
        "period": statement.period,
        "root": statement.root,
        "currencies": statement.totals,
        "account": account,
        "positions": [
            {
                "currency": one.currency,
                "units": str(int(one.units)),
                "salt": "0x" + bytes(one.salt).hex(),
                "place": one.place,
                "siblings": _siblings(session, statement.id, one, counts[one.currency]),
            }
            for one in sorted(leaves, key=lambda one: currency(one.currency).id)
        ],
    }


def _siblings(session: Session, statement_id: int, one: LiabilityLeaf, leaves: int) -> list[dict[str, str]]:
    way = siblings_of(one.place, leaves)
    rows = session.connection().exec_driver_sql(
        """SELECT n.hash, n.units FROM unnest(%(levels)s::int[], %(places)s::bigint[]) WITH ORDINALITY
             AS u(level, place, step)
           JOIN liability_node n ON n.statement_id = %(id)s AND n.currency = %(currency)s
             AND n.level = u.level AND n.place = u.place ORDER BY u.step""",
        {
            "levels": [level for level, _ in way],
            "places": [place for _, place in way],
            "id": statement_id,
            "currency": one.currency,
        },
    )
    return [{"hash": "0x" + bytes(found).hex(), "units": str(int(units))} for found, units in rows]
