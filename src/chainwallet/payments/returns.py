"""Returns: a settled payment sent back, whole and once, by the policy that its payer was promised.

The payee's key signs what it sends back, and nobody charges a fee. Where the original rate was promised, the account of
whoever bears its movement takes the payee's money and, once that has settled, pays out what was promised: so nobody
else can lose by it, whatever fails in between, and the bearer's position shows what it has cost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from chainwallet.controls.corridors.document import RefundChoice
from chainwallet.controls.corridors.store import Corridors
from chainwallet.controls.decisions import DENIALS, PaymentDenied
from chainwallet.controls.identity.access import may_act_for
from chainwallet.controls.identity.authenticator import OPERATOR_ID, AuthScopeMissing, Principal
from chainwallet.controls.identity.customers import Custody, CustomerStatus
from chainwallet.controls.identity.payees import Party, PayeeRef, parties_by_id
from chainwallet.kit.clock import utc_now
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money
from chainwallet.payments.acceptance import Acceptance
from chainwallet.payments.candidates import TransferRequest
from chainwallet.payments.pricing import Pricer, PriceRequest
from chainwallet.payments.quotes import Quote
from chainwallet.payments.transfers import HAS_MOVED, Transfer, TransferStatus, find_transfer


class TransferNotReturnable(ChainwalletError):
    code = "TRANSFER_NOT_RETURNABLE"
    status = 409


class TransferReturnUnderWay(ChainwalletError):
    code = "TRANSFER_RETURN_UNDER_WAY"
    status = 409


class ReturnUnfunded(ChainwalletError):
    code = "RETURN_UNFUNDED"
    status = 409


class Returns:
    """Sends payments back; `pay_out` keeps what was promised of those whose first half has settled."""

    def __init__(self, *, acceptance: Acceptance, pricer: Pricer, corridors: Corridors) -> None:
        self._acceptance = acceptance
        self._pricer = pricer
        self._corridors = corridors

    def send_back(self, session: Session, transfer_id: str, principal: Principal, *, reason: str) -> Transfer:
        """Accept the payment that sends a settled transfer's money back; the caller checks who may see it.

        `reason` is a code of ISO 20022 ExternalReturnReason1Code. TRANSFER_UNKNOWN, TRANSFER_NOT_RETURNABLE,
        TRANSFER_RETURN_UNDER_WAY, AUTH_SCOPE_MISSING unless the principal acts for the payee, RETURN_UNFUNDED; what
        pricing and acceptance refuse; a denial's own code. Nothing is changed then.
        """
        original = find_transfer(session, transfer_id)
        session.refresh(original, with_for_update=True)
        payer, payee = self._parties(session, original, principal)
        policy = promised(original, utc_now())
        receiver = self._bearer(session, original) if policy is RefundChoice.ORIGINAL_RATE else payer
        if receiver.id == payee.id:
            return self._pay_out(session, original, payee.id, reason)
        money = Money(original.target_currency, int(original.target_units))
        target = original.source_currency if policy is RefundChoice.CURRENT_RATE else money.code
        quote = self._pricer.price_return(session, PriceRequest(money.code, target, fixed_source=money))
        return self._accept(session, original, payee.id, receiver.id, quote, principal, reason)

    def owed(self, session: Session, *, besides: Iterable[str] = (), limit: int = 100) -> list[str]:
        """Returns whose first half has settled and whose second is not on its way: the original transfers' ids, the
        oldest first, without those of `besides`."""
        rows = session.connection().exec_driver_sql(
            f"""SELECT t.id FROM transfer r JOIN transfer t ON t.id = r.return_of AND t.status = 'settled'
               WHERE r.return_of IS NOT NULL AND r.status = 'settled' AND r.payee_id <> t.payer_id
                 AND NOT EXISTS (SELECT 1 FROM transfer p WHERE p.return_of = t.id AND p.payee_id = t.payer_id
                                   AND p.{HAS_MOVED})
                 AND t.id <> ALL(%(besides)s::text[])
               ORDER BY r.settled_at LIMIT %(limit)s""",
            {"limit": limit, "besides": list(besides)},
        )
        return [row[0] for row in rows]

    def pay_out(self, session: Session, transfer_id: str) -> Transfer:
        """Pay the original amount back out of the account that took the payee's money. Refusals as in `send_back`."""
        original = find_transfer(session, transfer_id)
        session.refresh(original, with_for_update=True)
        first, *rest = returns_of(session, transfer_id)
        if rest or not original.status == first.status == TransferStatus.SETTLED:
            raise _under_way([first, *rest])
        assert first.payee_id is not None
        return self._pay_out(session, original, first.payee_id, first.return_reason or "")

    def _pay_out(self, session: Session, original: Transfer, bearer_id: str, reason: str) -> Transfer:
        wanted = Money(original.source_currency, int(original.source_units) - int(original.fee_units))
        quote = self._pricer.price_return(
            session, PriceRequest(original.target_currency, wanted.code, fixed_target=wanted)
        )
        operator = Principal(OPERATOR_ID, frozenset(), None)
        return self._accept(session, original, bearer_id, original.payer_id, quote, operator, reason)

    def _parties(self, session: Session, original: Transfer, principal: Principal) -> tuple[Party, Party]:
        if original.return_of is not None:
            raise TransferNotReturnable("The transfer sends money back itself; send another payment instead.")
        if original.status != TransferStatus.SETTLED:
            detail = f"The transfer is {original.status}; only one that has settled can be sent back."
            raise TransferNotReturnable(detail, status=original.status)
        if original.payee_id is None:
            raise TransferNotReturnable(
                "The money went to an address that is no customer's here; its owner may pay back."
            )
        parties = parties_by_id(session, {original.payer_id, original.payee_id})
        payee = parties[original.payee_id]
        if not may_act_for(principal, payee):
            raise AuthScopeMissing("Only the payee, its bank or the operator may send the money back; ask them.")
        if under_way := returns_of(session, original.id):
            raise _under_way(under_way)
        return parties[original.payer_id], payee

    def _bearer(self, session: Session, original: Transfer) -> Party:
        """Whose account pays the original rate out."""
        assert original.terms is not None
        account = self._corridors.map.refund_account(original.terms["corridor"], utc_now())
        if account is None:
            raise ReturnUnfunded(
                f"The original rate was promised, but corridor {original.terms['corridor']} names no refund.account "
                "to pay it from; the operator adds one."
            )
        party = parties_by_id(session, {account}).get(account)
        if party is None or party.custody is not Custody.MANAGED or party.status is not CustomerStatus.ACTIVE:
            raise ReturnUnfunded(
                "The account that pays the original rate out is no active customer with a managed key."
            )
        return party

    def _accept(
        self,
        session: Session,
        original: Transfer,
        payer_id: str,
        payee_id: str,
        quote: Quote,
        principal: Principal,
        reason: str,
    ) -> Transfer:
        request = TransferRequest(
            quote=quote,
            payer_id=payer_id,
            payee=PayeeRef(customer_id=payee_id),
            principal=principal,
            reference=original.reference,
            end_to_end_id=original.end_to_end_id,
            return_of=original.id,
            return_reason=reason,
        )
        outcome = self._acceptance.accept(session, [request])[0]
        if isinstance(outcome, Exception):
            raise outcome
        transfer = find_transfer(session, outcome.transfer_id)
        if transfer.status == TransferStatus.DECLINED:
            raise DENIALS.get(transfer.failure_code or "", PaymentDenied)(transfer.failure_detail or "")
        return transfer


def promised(transfer: Transfer, now: datetime) -> RefundChoice:
    """By which policy a transfer goes back now: the one of its terms in time, later at the rate of the day.

    In one currency there is no rate that could move.
    """
    if transfer.source_currency == transfer.target_currency:
        return RefundChoice.TARGET_CURRENCY
    terms: dict[str, Any] | None = transfer.terms
    if terms is None or now >= datetime.fromisoformat(terms["refund"]["until"]):
        return RefundChoice.CURRENT_RATE
    return RefundChoice(terms["refund"]["policy"])


def returns_of(session: Session, transfer_id: str) -> Sequence[Transfer]:
    """What was sent to give this transfer's money back, the oldest first; those that moved nothing are left out."""
    statement = select(Transfer).where(Transfer.return_of == transfer_id, text(HAS_MOVED)).order_by(col(Transfer.id))
    return session.exec(statement).all()


def _under_way(returns: Sequence[Transfer]) -> TransferReturnUnderWay:
    detail = "The money is on its way back already; follow the transfer that brings it."
    return TransferReturnUnderWay(detail, return_id=returns[-1].id)
