"""Files of payments: a bank's pain.001 in, its progress out."""

from __future__ import annotations

from typing import Annotated, Any, cast

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from chainwallet.adapters.iso20022 import AccountRef, Instruction, read_pain001
from chainwallet.adapters.iso20022 import errors as iso_errors
from chainwallet.bootstrap import Services
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.entrypoints.rest.auth import require
from chainwallet.entrypoints.rest.models import timestamp
from chainwallet.entrypoints.rest.problems import RequestMediaType, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.payments.files import (
    FileInstruction,
    InstructionDraft,
    PaymentFile,
    PaymentFileDuplicate,
    PaymentFileUnknown,
    find_file,
    receive_file,
    rejections,
)

router = new_router(tag="payment files")

Sender = Annotated[Principal, Depends(require(Scope.PAYMENT_FILES))]


class RejectionOut(BaseModel):
    end_to_end_id: str
    code: str | None
    detail: str | None


class PaymentFileOut(BaseModel):
    """A file and how far it is: `counts` by status, of instructions that wait and transfers that were made."""

    id: str
    message_id: str
    instructions: int
    counts: dict[str, int]
    rejections: list[RejectionOut] = Field(description="The first hundred that were refused, and why.")
    created_at: str


@router.post(
    "/v1/payment-files",
    status_code=202,
    response_model=PaymentFileOut,
    summary="Hand in an ISO 20022 pain.001 file",
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/xml": {"schema": {"type": "string", "contentMediaType": "application/xml"}}},
        }
    },
    responses=problem_responses(
        PaymentFileDuplicate,
        iso_errors.FileTooLarge,
        iso_errors.ForbiddenXml,
        iso_errors.MalformedXml,
        iso_errors.UnknownMessage,
        iso_errors.SchemaViolation,
        iso_errors.DuplicateId,
        iso_errors.CountMismatch,
        iso_errors.ControlSumMismatch,
        iso_errors.InvalidInstructedAmount,
        iso_errors.InvalidInstructedCurrency,
    ),
)
async def post_payment_file(request: Request, principal: Sender) -> Response:
    """The file is taken whole or refused whole; then each instruction is priced and accepted, or refused, on its own.

    A file is known by its message id: handing it in again does nothing again.
    """
    services = cast(Services, request.app.state.services)
    if request.headers.get("content-type", "").partition(";")[0].strip() not in ("application/xml", "text/xml"):
        raise RequestMediaType("Send the pain.001 document with Content-Type: application/xml.")
    body = await request.body()
    return await run_in_threadpool(_receive, services, principal, body)


def _receive(services: Services, principal: Principal, body: bytes) -> Response:
    document = read_pain001(body)
    drafts = [_draft(instruction) for instruction in document.instructions]
    with services.database.transaction() as session:
        file = receive_file(session, message_id=document.message_id, instructions=drafts, principal=principal)
    services.wake("ingest")
    return json_response(_show(file, {"pending": file.instructions}, []), 202)


def _draft(instruction: Instruction) -> InstructionDraft:
    return InstructionDraft(
        end_to_end_id=instruction.end_to_end_id,
        payer=_account(instruction.debtor_account),
        payee=_account(instruction.creditor_account),
        source_currency=instruction.debtor_currency,
        target_currency=instruction.target_currency,
        fixed_source=instruction.source,
        fixed_target=instruction.target,
        uetr=instruction.uetr,
        purpose=instruction.purpose,
        reference=instruction.reference,
    )


def _account(account: AccountRef) -> PayeeRef:
    return PayeeRef(iban=account.iban) if account.iban is not None else PayeeRef(alias=account.alias)


@router.get(
    "/v1/payment-files/{file_id}",
    response_model=PaymentFileOut,
    summary="How far a file is",
    responses=problem_responses(PaymentFileUnknown),
)
def get_payment_file(file_id: str, request: Request, principal: Sender) -> Response:
    services = cast(Services, request.app.state.services)
    with services.database.transaction() as session:
        file, counts = find_file(session, file_id)
        if principal.customer_id not in (None, file.customer_id):
            raise PaymentFileUnknown("No payment file has this id.")
        refused = rejections(session, file_id) if counts.get("rejected") else []
    return json_response(_show(file, counts, refused))


def _show(file: PaymentFile, counts: dict[str, int], refused: list[FileInstruction]) -> dict[str, Any]:
    return {
        "id": file.id,
        "message_id": file.message_id,
        "instructions": file.instructions,
        "counts": counts,
        "rejections": [{"end_to_end_id": r.end_to_end_id, "code": r.code, "detail": r.detail} for r in refused],
        "created_at": timestamp(file.created_at),
    }
