"""Verifying that one is counted and that what is owed is there: a proof and a node, nothing of the service."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from chainwallet.chain.contracts.audit_anchor import AnchorKind, AuditAnchor
from chainwallet.chain.contracts.currency_token import balances_of
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.node import Node
from chainwallet.chain.proofs import verify_header
from chainwallet.chain.transport import HttpTransport
from chainwallet.keys.addresses import address_bytes
from chainwallet.kit.checks import Check, Disproved
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency
from chainwallet.reconciliation.sum_tree import CurrencyTotal, climb, leaf, liabilities_root
from chainwallet.reconciliation.sum_tree import Node as SumNode

_NUMBER = re.compile(r"0|[1-9][0-9]{0,38}", re.ASCII)
_HASH = re.compile(r"0x[0-9a-f]{64}", re.ASCII)
_FIELDS: Final = {
    "version",
    "chain_id",
    "hub",
    "anchor",
    "block_number",
    "block_hash",
    "period",
    "root",
    "currencies",
    "account",
    "positions",
}


class ProofMalformed(ChainwalletError):
    code = "RESERVES_PROOF_MALFORMED"
    status = 422


@dataclass(frozen=True, slots=True)
class _Position:
    """The account's leaf in one currency and its siblings on the way up."""

    code: str
    units: int
    salt: bytes
    place: int
    siblings: tuple[SumNode, ...]


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof as it was read: every byte of the document is in here, or the document is refused."""

    chain_id: int
    hub: str
    anchor: str
    block_number: int
    block_hash: str
    period: int
    root: str
    account: str
    totals: Mapping[str, CurrencyTotal]
    positions: tuple[_Position, ...]

    @property
    def records(self) -> int:
        return sum(total.leaves for total in self.totals.values())


def parse_proof(document: Any) -> Proof:
    """The proof in a document of version 1. RESERVES_PROOF_MALFORMED for anything that no service writes."""
    try:
        _has(document, _FIELDS)
        if document["version"] != 1 or type(document["version"]) is not int:
            raise ValueError("not version 1")
        return Proof(
            chain_id=_count(document["chain_id"]),
            hub=_address(document["hub"]),
            anchor=_address(document["anchor"]),
            block_number=_count(document["block_number"]),
            block_hash="0x" + _hash(document["block_hash"]).hex(),
            period=_count(document["period"]),
            root="0x" + _hash(document["root"]).hex(),
            account=_address(document["account"]),
            totals=_totals(document["currencies"]),
            positions=tuple(_position(one) for one in _list(document["positions"])),
        )
    except (KeyError, TypeError, ValueError, ChainwalletError) as error:
        raise ProofMalformed(f"This is not a proof of version 1: {error}. Fetch it again.") from error


def _totals(documents: Any) -> dict[str, CurrencyTotal]:
    totals = {}
    for one in _list(documents):
        _has(one, {"currency", "leaves", "hash", "units"})
        top = SumNode(_hash(one["hash"]), _units(one["units"]))
        totals[one["currency"]] = CurrencyTotal(currency(one["currency"]).id, _count(one["leaves"]), top)
    if len(totals) != len(documents):
        raise ValueError("a currency stands there twice")
    return totals


def _position(document: Any) -> _Position:
    _has(document, {"currency", "units", "salt", "place", "siblings"})
    siblings = []
    for one in _list(document["siblings"]):
        _has(one, {"hash", "units"})
        siblings.append(SumNode(_hash(one["hash"]), _units(one["units"])))
    return _Position(
        currency(document["currency"]).code,
        _units(document["units"]),
        _hash(document["salt"]),
        _count(document["place"]),
        tuple(siblings),
    )


def _has(document: Any, fields: set[str]) -> None:
    if not isinstance(document, dict) or set(document) != fields:
        raise ValueError(f"an object with exactly {', '.join(sorted(fields))} is missing")


def _list(document: Any) -> Sequence[Any]:
    if not isinstance(document, list):
        raise TypeError("a list is missing")
    return document


def _count(number: Any) -> int:
    if type(number) is not int or not 0 <= number < 1 << 63:
        raise ValueError(f"{number!r} is no count")
    return number


def _units(text: Any) -> int:
    if not isinstance(text, str) or _NUMBER.fullmatch(text) is None:
        raise ValueError("units are a string of plain digits")
    return int(text)


def _hash(text: Any) -> bytes:
    if not isinstance(text, str) or _HASH.fullmatch(text) is None:
        raise ValueError("a hash is 0x and 64 hexadecimal digits in lower case")
    return bytes.fromhex(text[2:])


def _address(text: Any) -> str:
    if not isinstance(text, str):
        raise TypeError("an address is a string")
    address_bytes(text)
    return text


def verify_proof(document: Any, *, rpc_url: str) -> list[Check]:
    """Check every claim of a proof, with the chain at `rpc_url`. RESERVES_PROOF_MALFORMED, CHAIN_UNREACHABLE.

    A check that fails does not stop the others. The proof names hub and anchor: they are what its holder trusts, so
    compare them with the addresses known from elsewhere.
    """
    proof = parse_proof(document)
    node = Node(HttpTransport(rpc_url), kind="remote", url=rpc_url)
    try:
        return verify_with(proof, node)
    finally:
        node.close()


def verify_with(proof: Proof, node: Node) -> list[Check]:
    """As `verify_proof`, with a node that is open."""
    checks: list[tuple[str, Callable[[Proof, Node], str]]] = [
        ("the account's claims are counted, and the sums add up", _inclusion),
        ("the currencies make up the root", _root),
        ("the node is of the right chain", _chain),
        ("the statement is of a block of the chain", _block),
        ("the root is anchored on chain", _anchored),
        ("the claims are all that the account had in the hub", _completeness),
        ("nobody's claim is left out of a total", _totals_of_hub),
        ("the hub held the tokens", _reserves),
    ]
    return [Check.of(claim, partial(find, proof, node)) for claim, find in checks]


def _inclusion(proof: Proof, _: Node) -> str:
    if len({one.code for one in proof.positions}) != len(proof.positions):
        raise Disproved("a currency is claimed twice")
    for one in proof.positions:
        total = proof.totals.get(one.code)
        if total is None:
            raise Disproved(f"{one.code} is claimed, and has no tree in the statement")
        start = leaf(one.salt, address_bytes(proof.account), total.currency, one.units)
        if climb(start, one.place, total.leaves, one.siblings) != total.top:
            raise Disproved(f"the leaf of {Money(one.code, one.units)} does not lead to the root of {one.code}")
    claimed = ", ".join(str(Money(one.code, one.units)) for one in proof.positions)
    return f"{proof.account} is owed {claimed or 'nothing'}"


def _root(proof: Proof, _: Node) -> str:
    root = liabilities_root(
        list(proof.totals.values()),
        chain_id=proof.chain_id,
        hub=address_bytes(proof.hub),
        block_number=proof.block_number,
        block_hash=bytes.fromhex(proof.block_hash[2:]),
    )
    if "0x" + root.hex() != proof.root:
        raise Disproved(f"they make up 0x{root.hex()}")
    return f"{proof.root} over {proof.records} claims in {len(proof.totals)} currencies"


def _chain(proof: Proof, node: Node) -> str:
    if node.chain_id != proof.chain_id:
        raise Disproved(f"the proof is of chain {proof.chain_id}, the node of chain {node.chain_id}")
    return f"chain {proof.chain_id}"


def _block(proof: Proof, node: Node) -> str:
    raw = node.raw_block(proof.block_number)
    if raw is None or raw["hash"].lower() != proof.block_hash:
        raise Disproved(f"the chain has another block {proof.block_number}")
    verify_header(raw)
    if int(raw["timestamp"], 16) != proof.period:
        raise Disproved(f"the block is of second {int(raw['timestamp'], 16)}, not of {proof.period}")
    return f"block {proof.block_number}, header hash rebuilt"


def _anchored(proof: Proof, node: Node) -> str:
    found = AuditAnchor(node, proof.anchor).anchored(AnchorKind.LIABILITIES, proof.period)
    if found is None:
        raise Disproved(f"the anchor {proof.anchor} has nothing for that second")
    if ("0x" + found.root.hex(), found.records) != (proof.root, proof.records):
        raise Disproved(f"the anchor keeps 0x{found.root.hex()} over {found.records} claims")
    return f"by {proof.anchor} at second {found.anchored_at}"


def _completeness(proof: Proof, node: Node) -> str:
    hub, ids = SettlementHub(node, proof.hub), [total.currency for total in proof.totals.values()]
    held = hub.positions([(proof.account, one) for one in ids], block=proof.block_number)
    exiting = hub.exiting([(proof.account, one) for one in ids], block=proof.block_number)
    claimed = {one.code: one.units for one in proof.positions}
    for code, position, leaving in zip(proof.totals, held, exiting, strict=True):
        owned, stated = Money(code, position + leaving), Money(code, claimed.get(code, 0))
        if owned != stated:
            raise Disproved(f"it had {owned}, the statement says {stated}")
    return f"in all {len(ids)} currencies, as of block {proof.block_number}"


def _totals_of_hub(proof: Proof, node: Node) -> str:
    ids = [total.currency for total in proof.totals.values()]
    counted = SettlementHub(node, proof.hub).totals(ids, block=proof.block_number)
    for (code, total), units in zip(proof.totals.items(), counted, strict=True):
        if units != total.top.units:
            raise Disproved(f"the hub counts {Money(code, units)}, the statement {Money(code, total.top.units)}")
    return f"the hub {proof.hub} counts the same"


def _reserves(proof: Proof, node: Node) -> str:
    ids = [total.currency for total in proof.totals.values()]
    tokens = SettlementHub(node, proof.hub).tokens(ids, block=proof.block_number)
    known = [token for token in tokens if token is not None]
    if len(known) != len(ids):
        raise Disproved("the hub has no token of a currency of the statement")
    held = balances_of(node, known, proof.hub, block=proof.block_number)
    for (code, total), units in zip(proof.totals.items(), held, strict=True):
        if units < total.top.units:
            raise Disproved(f"it held {Money(code, units)} against {Money(code, total.top.units)}")
    return f"at least what is owed, in all {len(ids)} currencies"
