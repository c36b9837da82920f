"""Verifying a receipt: with a node of the chain, and nothing of the service that issued it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from chainwallet.chain.contracts.hub_events import PaymentSettled, SurplusShared, decode_log
from chainwallet.chain.node import Node
from chainwallet.chain.proofs import InclusionProof, verify_inclusion
from chainwallet.chain.transport import HttpTransport
from chainwallet.keys.intents import Domain, PaymentOrder, memo_of, order_digest
from chainwallet.keys.passkeys import signer_of
from chainwallet.keys.typed_data import parse_typed_data
from chainwallet.kit.checks import Check, Disproved
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency_by_id


class ReceiptMalformed(ChainwalletError):
    code = "RECEIPT_MALFORMED"
    status = 422


@dataclass(slots=True)
class _Evidence:
    """A receipt as it was read, and the proof of inclusion once the chain has given it."""

    receipt: Mapping[str, Any]
    domain: Domain
    order: PaymentOrder
    node: Node
    proof: InclusionProof | None = None

    @property
    def settlement(self) -> Mapping[str, Any]:
        return dict(self.receipt["settlement"])


def verify_receipt(receipt: Mapping[str, Any], *, rpc_url: str) -> list[Check]:
    """Check every claim of a receipt against the chain at `rpc_url`. RECEIPT_MALFORMED, CHAIN_UNREACHABLE.

    A check that fails does not stop the others, so that the whole difference is seen.
    """
    node = Node(HttpTransport(rpc_url), kind="remote", url=rpc_url)
    try:
        return verify_with(receipt, node)
    finally:
        node.close()


def verify_with(receipt: Mapping[str, Any], node: Node) -> list[Check]:
    """As `verify_receipt`, with a node that is open."""
    try:
        domain, order = parse_typed_data(receipt["order"])
        if not isinstance(order, PaymentOrder):
            raise ValueError("a receipt is about a PaymentOrder")
        evidence = _Evidence(receipt, domain, order, node)
        checks = [
            ("the amounts are those that were signed", _amounts),
            ("the order commits to its particulars", _memo),
            ("the payer signed this order", _signature),
            ("the node is of the right chain", _chain),
            ("the transaction is in the block, and the block in the chain", _inclusion),
            ("the hub executed exactly this order", _event),
            ("the hub gave its payer exactly this share of what the batch saved", _improvement),
        ]
        return [Check.of(claim, partial(find, evidence)) for claim, find in checks]
    except (KeyError, TypeError, ValueError) as error:
        raise ReceiptMalformed(f"This is not a receipt of version 1: {error!r}. Fetch it again.") from error


def _amounts(evidence: _Evidence) -> str:
    order, stated = evidence.order, evidence.receipt["transfer"]
    source = Money(currency_by_id(order.source_currency).code, order.source_units)
    target = Money(currency_by_id(order.target_currency).code, order.target_units)
    for name, signed in (("source_amount", source), ("target_amount", target)):
        if stated[name] != {"currency": signed.code, "value": signed.value}:
            raise Disproved(f"{name} says {stated[name]}, the order {signed}")
    return f"{source} left {order.payer}, {target} reached {order.payee}"


def _memo(evidence: _Evidence) -> str:
    particulars = evidence.receipt["transfer"]["particulars"]
    if memo_of(particulars) != evidence.order.memo:
        raise Disproved("they were changed after signing")
    return f"UETR {particulars['uetr']}"


def _signature(evidence: _Evidence) -> str:
    return signed_by_payer(evidence.domain, evidence.order, evidence.receipt)


def signed_by_payer(domain: Domain, order: PaymentOrder, document: Mapping[str, Any]) -> str:
    """Who signed the order of a document that has its `order_hash` and `signature`: Disproved unless its payer did."""
    digest = order_digest(domain, order)
    if "0x" + digest.hex() != document["order_hash"]:
        raise Disproved("the order does not hash to the order_hash beside it")
    signer = signer_of(digest, bytes.fromhex(document["signature"].removeprefix("0x")))
    if signer != order.payer:
        raise Disproved(f"it is signed by {signer}, not by the payer {order.payer}")
    return f"EIP-712 signature of {signer}"


def _chain(evidence: _Evidence) -> str:
    wanted = {evidence.domain.chain_id, int(evidence.settlement["chain_id"])}
    if wanted != {evidence.node.chain_id}:
        raise Disproved(f"the receipt is of chain {sorted(wanted)}, the node of chain {evidence.node.chain_id}")
    return f"chain {evidence.node.chain_id}"


def _inclusion(evidence: _Evidence) -> str:
    stated = evidence.settlement
    proof = evidence.proof = verify_inclusion(evidence.node, stated["tx_hash"])
    if (proof.block.number, proof.block.hash) != (stated["block_number"], stated["block_hash"]):
        raise Disproved(f"it is in block {proof.block.number} {proof.block.hash}, not where the receipt says")
    return f"block {proof.block.number}, receipts root and header hash rebuilt"


def _event(evidence: _Evidence) -> str:
    if evidence.proof is None:
        raise Disproved("the transaction is not proven")
    if evidence.settlement["hub"] != evidence.domain.hub:
        raise Disproved("the order was signed for another hub")
    for log in evidence.proof.logs:  # a transaction that reverted has none
        if log.log_index == evidence.settlement["log_index"] and log.address == evidence.domain.hub:
            found = decode_log(log.topics, log.data)
            break
    else:
        raise Disproved("the hub emitted nothing at the place the receipt names")
    order = evidence.order
    if found != PaymentSettled(order.payee, evidence.receipt["order_hash"]):
        raise Disproved(f"the event there is {found}")
    return f"PaymentSettled to {order.payee}"


def _improvement(evidence: _Evidence) -> str:
    """Shares name an order by its place among the batch's; a transaction of `settle` is one batch."""
    if evidence.proof is None:
        raise Disproved("the transaction is not proven")
    mine = [log for log in evidence.proof.logs if log.address == evidence.domain.hub]
    events = [decode_log(log.topics, log.data) for log in mine]
    payments = [event.order_hash for event in events if isinstance(event, PaymentSettled)]
    order, wanted = evidence.order, evidence.receipt["order_hash"]
    given = 0
    for event in events:
        for share in event.shares if isinstance(event, SurplusShared) else ():
            if not share.is_makers and payments[share.index] == wanted:
                if (share.account, share.currency) != (order.payer, order.source_currency):
                    raise Disproved(f"the share went to {share.account} in currency {share.currency}")
                given += share.amount
    found = Money(currency_by_id(order.source_currency).code, given)
    stated = evidence.receipt.get("improvement")
    if stated != ({"currency": found.code, "value": found.value} if given else None):
        raise Disproved(f"the receipt says {stated}, the hub {found}")
    return f"{found} back to {order.payer}" if given else "none"
