"""Returns: a settled transfer's money sent back."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Request
from pydantic import AfterValidator, Field
from starlette.responses import Response

from chainwallet.bootstrap import Services
from chainwallet.controls.decisions import PaymentDenied
from chainwallet.controls.identity.customers import CustomerSignsItself
from chainwallet.entrypoints.rest.auth import Idempotent
from chainwallet.entrypoints.rest.models import StrictModel
from chainwallet.entrypoints.rest.once import answer_once
from chainwallet.entrypoints.rest.problems import problem_responses
from chainwallet.entrypoints.rest.routes.transfers import Spender, TransferOut, visible_transfer
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.kit.external_codes import external_codes
from chainwallet.kit.money import InvalidAmount
from chainwallet.ledger import InsufficientFunds
from chainwallet.market.errors import PRICE_REFUSALS
from chainwallet.payments.quotes import QuoteLiquidityGone, QuoteTooCostly
from chainwallet.payments.returns import ReturnUnfunded, TransferNotReturnable, TransferReturnUnderWay
from chainwallet.payments.transfers import TransferUnknown, describe
from chainwallet.records.idempotency import IdempotencyKeyInvalid, IdempotencyKeyMissing, IdempotencyKeyReused

router = new_router(tag="transfers")


def _return_reason(value: str) -> str:
    if value not in external_codes("ExternalReturnReason1Code"):
        raise ValueError("must be a code of ISO 20022 ExternalReturnReason1Code, such as CUST or AM05")
    return value


class ReturnIn(StrictModel):
    """Why the money goes back."""

    reason: Annotated[str, AfterValidator(_return_reason)] = Field(
        default="MS03",
        description="ISO 20022 ExternalReturnReason1Code: CUST at the payee's wish, AM05 for a payment made twice, "
        "AC04 for a closed account, MS03 unsaid.",
        examples=["CUST"],
    )


@router.post(
    "/v1/transfers/{transfer_id}/return",
    status_code=201,
    response_model=TransferOut,
    summary="Send a settled transfer's money back",
    responses=problem_responses(
        TransferUnknown,
        TransferNotReturnable,
        TransferReturnUnderWay,
        ReturnUnfunded,
        CustomerSignsItself,
        *PRICE_REFUSALS,
        QuoteTooCostly,
        QuoteLiquidityGone,
        InvalidAmount,
        PaymentDenied,
        InsufficientFunds,
        IdempotencyKeyMissing,
        IdempotencyKeyInvalid,
        IdempotencyKeyReused,
    ),
)
def post_return(transfer_id: str, body: ReturnIn, request: Request, principal: Spender, key: Idempotent) -> Response:
    """For the payee, its bank or the operator: whole, once, without fee, by the transfer's refund policy. The answer is
    the transfer that takes the money from the payee; the one that is sent back is `returned` when its payer has it."""
    services = cast(Services, request.app.state.services)

    def effect() -> dict[str, Any]:
        visible_transfer(session, principal, transfer_id)
        return describe(services.returns.send_back(session, transfer_id, principal, reason=body.reason))

    with services.database.transaction() as session:
        response = answer_once(session, principal, key, effect)
    services.wake("settle")
    return response
