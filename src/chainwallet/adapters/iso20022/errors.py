"""Why a file is refused: one class per cause, each with the ISO status reason a bank's system understands.

`iso_reason` is a code of ISO 20022's external code set StatusReason1Code. `context` carries `path` and
`line` of the fault where they are known, and `message_id` once the header has been read.
"""

from __future__ import annotations

from typing import ClassVar

from chainwallet.kit.errors import ChainwalletError


class Iso20022Error(ChainwalletError):
    """Any refusal of a file. Sending the same bytes again cannot help."""

    status = 422
    iso_reason: ClassVar[str] = "FF01"  # InvalidFileFormat


class FileTooLarge(Iso20022Error):
    code = "ISO20022_TOO_LARGE"
    status = 413


class ForbiddenXml(Iso20022Error):
    """A document type, an entity, a processing instruction, or an encoding other than UTF-8."""

    code = "ISO20022_FORBIDDEN_XML"


class MalformedXml(Iso20022Error):
    code = "ISO20022_MALFORMED_XML"
    status = 400


class UnknownMessage(Iso20022Error):
    code = "ISO20022_UNKNOWN_MESSAGE"


class SchemaViolation(Iso20022Error):
    code = "ISO20022_SCHEMA_VIOLATION"


class DuplicateId(Iso20022Error):
    code = "ISO20022_DUPLICATE_ID"
    iso_reason = "DU04"  # DuplicateEndToEndID


class CountMismatch(Iso20022Error):
    code = "ISO20022_COUNT_MISMATCH"
    iso_reason = "AM18"  # InvalidNumberOfTransactions


class ControlSumMismatch(Iso20022Error):
    code = "ISO20022_CONTROL_SUM_MISMATCH"
    iso_reason = "AM10"  # InvalidControlSum


class InvalidInstructedAmount(Iso20022Error):
    code = "ISO20022_INVALID_AMOUNT"
    iso_reason = "AM12"  # InvalidAmount


class InvalidInstructedCurrency(Iso20022Error):
    code = "ISO20022_INVALID_CURRENCY"
    iso_reason = "AM11"  # InvalidTransactionCurrency


class InvalidDebtorAccount(Iso20022Error):
    code = "ISO20022_INVALID_DEBTOR_ACCOUNT"
    iso_reason = "AC02"  # InvalidDebtorAccountNumber


class InvalidCreditorAccount(Iso20022Error):
    code = "ISO20022_INVALID_CREDITOR_ACCOUNT"
    iso_reason = "AC03"  # InvalidCreditorAccountNumber


class UnsupportedInstruction(Iso20022Error):
    """The file asks, validly, for something that this service would otherwise have to ignore."""

    code = "ISO20022_UNSUPPORTED"
    iso_reason = "AG01"  # TransactionForbidden
