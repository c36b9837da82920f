"""Writes the answer to a pain.001 file: a customer payment status report (ISO 20022 pain.002.001.12).

A file that was taken is answered per transfer, grouped as the sender grouped them; a file that was refused is
answered once, for the whole of it, with the reason and where it was found. Every report is checked against ISO's
schema before it is handed out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from itertools import groupby
from typing import Any

from lxml import etree

from chainwallet.adapters.iso20022 import schemas
from chainwallet.adapters.iso20022.errors import Iso20022Error
from chainwallet.adapters.iso20022.pain001 import Instruction, PaymentFile

_ADDITIONAL_MAX = 105  # AddtlInf is Max105Text, as often as needed
_UNKNOWN_ID = "NOTPROVIDED"  # the standard's word for an id that was never given


class TransactionStatus(StrEnum):
    """The codes of ISO 20022's ExternalPaymentTransactionStatus1Code that this service says."""

    ACCEPTED = "ACCP"  # customer profile checked, amount held
    IN_PROCESS = "ACSP"  # in a settlement transaction
    SETTLED = "ACSC"  # settlement completed on the debtor's account
    PENDING = "PDNG"  # a person has to look at it
    REJECTED = "RJCT"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one transfer. `reason` is an ISO StatusReason1Code such as AM04; `detail` is for people."""

    status: TransactionStatus
    reason: str | None = None
    detail: str | None = None


def write_status_report(
    file: PaymentFile, outcomes: Mapping[str, Outcome], *, message_id: str, created_at: datetime
) -> bytes:
    """A report on every transfer of `file`; `outcomes` is keyed by EndToEndId and must have each one (KeyError)."""
    report, body = _open_report(message_id=message_id, created_at=created_at)
    statuses = [outcomes[instruction.end_to_end_id].status for instruction in file.instructions]
    group = _original_group(body, message_id=file.message_id, message=file.message)
    _add(group, "OrgnlCreDtTm", _iso_time(file.created_at))
    _add(group, "OrgnlNbOfTxs", str(len(statuses)))
    if file.control_sum is not None:
        _add(group, "OrgnlCtrlSum", file.control_sum)
    _add(group, "GrpSts", _group_status(statuses))
    _add_counts(group, statuses)
    for payment_information_id, block in groupby(file.instructions, key=lambda it: it.payment_information_id):
        _add_block(body, payment_information_id, list(block), outcomes)
    return _close_report(report)


def write_refusal(error: Iso20022Error, *, message_id: str, created_at: datetime) -> bytes:
    """A report that the whole file was refused, with the ISO reason, our code and the sentence for people."""
    report, body = _open_report(message_id=message_id, created_at=created_at)
    original = str(error.context.get("message_id") or _UNKNOWN_ID)
    group = _original_group(body, message_id=original, message=schemas.INITIATIONS[0])
    _add(group, "GrpSts", TransactionStatus.REJECTED)
    _add_reason(group, Outcome(TransactionStatus.REJECTED, error.iso_reason, f"{error.code}: {error.detail}"))
    return _close_report(report)


def _open_report(*, message_id: str, created_at: datetime) -> tuple[Any, Any]:
    namespace = schemas.namespace(schemas.STATUS_REPORT)
    report = etree.Element(etree.QName(namespace, "Document"), nsmap={None: namespace})
    body = _add(report, "CstmrPmtStsRpt")
    header = _add(body, "GrpHdr")
    _add(header, "MsgId", message_id)
    _add(header, "CreDtTm", _iso_time(created_at))
    return report, body


def _original_group(body: Any, *, message_id: str, message: str) -> Any:
    group = _add(body, "OrgnlGrpInfAndSts")
    _add(group, "OrgnlMsgId", message_id)
    _add(group, "OrgnlMsgNmId", message)
    return group


def _add_block(
    body: Any, payment_information_id: str, instructions: list[Instruction], outcomes: Mapping[str, Outcome]
) -> None:
    block = _add(body, "OrgnlPmtInfAndSts")
    statuses = [outcomes[instruction.end_to_end_id].status for instruction in instructions]
    _add(block, "OrgnlPmtInfId", payment_information_id)
    _add(block, "OrgnlNbOfTxs", str(len(statuses)))
    _add(block, "PmtInfSts", _group_status(statuses))
    for instruction in instructions:
        outcome = outcomes[instruction.end_to_end_id]
        entry = _add(block, "TxInfAndSts")
        if instruction.instruction_id is not None:
            _add(entry, "OrgnlInstrId", instruction.instruction_id)
        _add(entry, "OrgnlEndToEndId", instruction.end_to_end_id)
        if instruction.uetr is not None:
            _add(entry, "OrgnlUETR", instruction.uetr)
        _add(entry, "TxSts", outcome.status)
        _add_reason(entry, outcome)


def _add_reason(parent: Any, outcome: Outcome) -> None:
    if outcome.reason is None and outcome.detail is None:
        return
    information = _add(parent, "StsRsnInf")
    if outcome.reason is not None:
        _add(_add(information, "Rsn"), "Cd", outcome.reason)
    detail = _printable(outcome.detail or "")
    for start in range(0, len(detail), _ADDITIONAL_MAX):
        _add(information, "AddtlInf", detail[start : start + _ADDITIONAL_MAX])


def _add_counts(group: Any, statuses: Iterable[TransactionStatus]) -> None:
    for status, count in sorted(Counter(statuses).items()):
        entry = _add(group, "NbOfTxsPerSts")
        _add(entry, "DtldNbOfTxs", str(count))
        _add(entry, "DtldSts", status)


def _group_status(statuses: Iterable[TransactionStatus]) -> str:
    """The status they share, or PART when some were accepted and others not (or not yet)."""
    distinct = set(statuses)
    return distinct.pop() if len(distinct) == 1 else "PART"


def _add(parent: Any, name: str, text: str | None = None) -> Any:
    child = etree.SubElement(parent, etree.QName(etree.QName(parent).namespace, name))
    child.text = text
    return child


def _printable(text: str) -> str:
    """Without the control characters that XML cannot carry; a detail may quote what a stranger sent."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _iso_time(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _close_report(report: Any) -> bytes:
    fault = schemas.first_fault(schemas.STATUS_REPORT, report)
    if fault is not None:
        raise ValueError(f"The status report breaks its schema at {fault.path}: {fault.message}")
    data: bytes = etree.tostring(report, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return data
