"""The verdict on a payment: every rule is asked, and the strictest answer counts.

Pure: the same context under the same rule set gives the same decision, so that a decision can be
replayed. `RuleSet.version` names the rules that were in force.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from chainwallet.controls.identity.payees import Party
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money


@dataclass(frozen=True, slots=True)
class PaymentContext:
    """One payment and its payer's recent past. EUR figures are units at mid rates, for comparing with limits.

    `payee` is None where the money goes to an address that is no customer's here; without
    `target_currency` the payment stays in the source currency.
    `recent_count` and `recent_value_eur_units` cover RECENT_WINDOW_S before now, without this payment.
    """

    payer: Party
    payee: Party | None
    source: Money
    value_eur_units: int
    recent_count: int = 0
    recent_value_eur_units: int = 0
    target_currency: str | None = None


@dataclass(frozen=True, slots=True)
class Allow:
    """Nothing speaks against it."""


@dataclass(frozen=True, slots=True)
class Deny:
    """It may not happen: `code` is stable, `detail` is for the payer, `rule_id` for the file."""

    code: str
    detail: str
    rule_id: str

    def error(self) -> PaymentDenied:
        return DENIALS[self.code](self.detail, rule_id=self.rule_id)


@dataclass(frozen=True, slots=True)
class Review:
    """A person must look at it first; `reason` opens the case."""

    reason: str
    rule_id: str


Decision = Allow | Deny | Review


class Rule(Protocol):
    """A frozen dataclass: its fields are its figures, so that its repr names the rule completely."""

    @property
    def id(self) -> str: ...

    def judge(self, context: PaymentContext) -> Deny | Review | None: ...


class RuleSet:
    """Rules in order. The first denial counts; without one the first wish for a review; else it is allowed."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)
        self.version = hashlib.sha256("\n".join(map(repr, self.rules)).encode()).hexdigest()[:16]

    def decide(self, context: PaymentContext) -> Decision:
        review: Review | None = None
        for rule in self.rules:
            found = rule.judge(context)
            if isinstance(found, Deny):
                return found
            review = review or found
        return review or Allow()


class PaymentDenied(ChainwalletError):
    """The family of denials; each has its own code below."""

    code = "PAYMENT_DENIED"
    status = 403


class CompliancePayerNotActive(PaymentDenied):
    code = "COMPLIANCE_PAYER_NOT_ACTIVE"


class CompliancePayeeNotActive(PaymentDenied):
    code = "COMPLIANCE_PAYEE_NOT_ACTIVE"


class ComplianceSameParty(PaymentDenied):
    code = "COMPLIANCE_SAME_PARTY"


class RiskPaymentLimit(PaymentDenied):
    code = "RISK_PAYMENT_LIMIT"


class RiskVelocityLimit(PaymentDenied):
    code = "RISK_VELOCITY_LIMIT"
    retryable = True


DENIALS: dict[str, type[PaymentDenied]] = {
    kind.code: kind
    for kind in (
        CompliancePayerNotActive,
        CompliancePayeeNotActive,
        ComplianceSameParty,
        RiskPaymentLimit,
        RiskVelocityLimit,
    )
}
