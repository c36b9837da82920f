"""Compliance rules: who may pay whom."""

from __future__ import annotations

from dataclasses import dataclass

from chainwallet.controls.decisions import (
    CompliancePayeeNotActive,
    CompliancePayerNotActive,
    ComplianceSameParty,
    Deny,
    PaymentContext,
)
from chainwallet.controls.identity.customers import CustomerStatus


@dataclass(frozen=True, slots=True)
class PayerActive:
    """A frozen or closed customer pays nobody."""

    id: str = "compliance.payer-active.1"

    def judge(self, context: PaymentContext) -> Deny | None:
        if context.payer.status is CustomerStatus.ACTIVE:
            return None
        detail = f"The payer's account is {context.payer.status}; it cannot pay. Contact the bank."
        return Deny(CompliancePayerNotActive.code, detail, self.id)


@dataclass(frozen=True, slots=True)
class PayeeActive:
    """Nobody pays a frozen or closed customer. The payer is not told which of the two it is."""

    id: str = "compliance.payee-active.1"

    def judge(self, context: PaymentContext) -> Deny | None:
        if context.payee is None or context.payee.status is CustomerStatus.ACTIVE:
            return None
        detail = "The payee cannot receive payments at present; ask the payee to contact their bank."
        return Deny(CompliancePayeeNotActive.code, detail, self.id)


@dataclass(frozen=True, slots=True)
class DifferentParties:
    """Nobody pays themselves within one currency; exchanging one's own money into another is fine."""

    id: str = "compliance.different-parties.1"

    def judge(self, context: PaymentContext) -> Deny | None:
        exchanges = context.target_currency not in (None, context.source.code)
        if exchanges or context.payee is None or context.payer.id != context.payee.id:
            return None
        return Deny(ComplianceSameParty.code, "Payer and payee are the same customer; name another payee.", self.id)
