"""Reads a customer credit transfer initiation (ISO 20022 pain.001.001.09 to .13) into exact instructions.

Two ways to say how much, as the standard has them:
  InstdAmt                 fixed target: the creditor receives exactly this, in this currency
  EqvtAmt{Amt, CcyOfTrf}   fixed source: exactly Amt leaves the debtor's account and arrives in CcyOfTrf
An account holds many currencies, so DbtrAcct/Ccy says which one pays. An account is named by its IBAN or,
under Othr/Id, by an alias that the service knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from lxml import etree
from schwifty import IBAN
from schwifty.exceptions import SchwiftyException

from chainwallet.adapters.iso20022 import errors, schemas
from chainwallet.adapters.iso20022.guard import BYTES_MAX, check_structure, read_bytes
from chainwallet.kit.money import UNITS_PER_CURRENCY_UNIT, InvalidAmount, Money, UnknownCurrency, currency, format_units

# What would change the money if it were ignored, and what to do instead.
_UNSUPPORTED = {
    "XchgRateInf": "the rate is the one of the firm quote taken at execution",
    "ChqInstr": "payments are made to accounts, not by cheque",
    "SplmtryData": "supplementary data has no meaning agreed with this service",
}
_WHITESPACE = " \t\r\n"


@dataclass(frozen=True, slots=True)
class AccountRef:
    """An account by exactly one name: its IBAN (no spaces, checked) or an alias known to the service."""

    iban: str | None = None
    alias: str | None = None

    def __str__(self) -> str:
        return self.iban or self.alias or ""


@dataclass(frozen=True, slots=True)
class Instruction:
    """One credit transfer. Exactly one of `source` and `target` is set: the side that is fixed."""

    end_to_end_id: str
    instruction_id: str | None
    uetr: str | None
    payment_information_id: str
    requested_on: datetime
    debtor_account: AccountRef
    debtor_currency: str
    debtor_name: str
    creditor_account: AccountRef
    creditor_name: str
    source: Money | None
    target: Money | None
    target_currency: str
    purpose: str | None
    reference: str | None
    line: int

    @property
    def fixed(self) -> Money:
        """The amount that the sender fixed, on whichever side."""
        money = self.source if self.source is not None else self.target
        assert money is not None
        return money


@dataclass(frozen=True, slots=True)
class PaymentFile:
    """A whole file, checked; `message` names its version and `control_sum` is as written, over all currencies."""

    message: str
    message_id: str
    created_at: datetime
    initiating_party: str
    control_sum: str | None
    instructions: tuple[Instruction, ...]


def read_pain001(source: BinaryIO | bytes | Path, *, bytes_max: int = BYTES_MAX) -> PaymentFile:
    """Every instruction of a pain.001 file, or an `Iso20022Error` that says what is wrong, where, and what to do.

    Bounded: at most `bytes_max` bytes are read, and no tree is built before the structure has been checked.
    Nothing outside the bytes is ever read. The whole file is taken or none of it.
    """
    data = read_bytes(source, bytes_max=bytes_max)
    check_structure(data)
    root = _parse(data)
    message = _check_message(root)
    names = {"": schemas.namespace(message)}
    body = root[0]
    message_id = _text(body, names, "GrpHdr/MsgId") or ""
    try:
        _check_schema(message, root)
        created_at = _moment(body.find("GrpHdr/CreDtTm", names))
        reader = _Reader(names)
        reader.refuse_unsupported(body)
        blocks = body.findall("PmtInf", names)
        instructions = tuple(instruction for block in blocks for instruction in reader.block(block))
        reader.check_totals(body.find("GrpHdr", names), instructions)
    except errors.Iso20022Error as error:
        error.context.setdefault("message_id", message_id)
        raise
    return PaymentFile(
        message=message,
        message_id=message_id,
        created_at=created_at,
        initiating_party=_text(body, names, "GrpHdr/InitgPty/Nm") or "",
        control_sum=_text(body, names, "GrpHdr/CtrlSum"),
        instructions=instructions,
    )


@dataclass(frozen=True, slots=True)
class _Block:
    """What the transfers of one PmtInf share, read once: finding it again would walk past all of them."""

    payment_information_id: str
    requested_on: datetime
    debtor_name: str
    debtor_account: AccountRef
    debtor_currency: str | None
    account_element: Any


class _Reader:
    """Reads one file: what must be unique in it is remembered here."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = names
        self.seen: dict[tuple[str, str], int] = {}

    def block(self, element: Any) -> list[Instruction]:
        """The transfers of one PmtInf: one debtor, one account, one currency that pays."""
        method = element.find("PmtMtd", self.names)
        if method.text != "TRF":
            raise _unsupported(method, "only credit transfers are made here: write PmtMtd TRF")
        self.refuse_unsupported(element)
        block = self._debtor_side(element)
        transfers = element.findall("CdtTrfTxInf", self.names)
        instructions = [self._instruction(block, transfer) for transfer in transfers]
        self.check_totals(element, instructions)
        return instructions

    def _debtor_side(self, element: Any) -> _Block:
        account = element.find("DbtrAcct", self.names)
        stated = account.find("Ccy", self.names)
        return _Block(
            payment_information_id=self._once(element.find("PmtInfId", self.names), "PmtInfId"),
            requested_on=_moment(element.find("ReqdExctnDt", self.names)[0]),
            debtor_name=_text(element, self.names, "Dbtr/Nm") or "",
            debtor_account=self._account(account, errors.InvalidDebtorAccount),
            debtor_currency=None if stated is None else _currency(stated),
            account_element=account,
        )

    def _instruction(self, block: _Block, transfer: Any) -> Instruction:
        self.refuse_unsupported(transfer)
        end_to_end_id = self._once(transfer.find("PmtId/EndToEndId", self.names), "EndToEndId")
        uetr = transfer.find("PmtId/UETR", self.names)
        source, target, target_currency = self._amount(transfer.find("Amt", self.names)[0])
        return Instruction(
            end_to_end_id=end_to_end_id,
            instruction_id=_text(transfer, self.names, "PmtId/InstrId"),
            uetr=None if uetr is None else self._once(uetr, "UETR"),
            payment_information_id=block.payment_information_id,
            requested_on=block.requested_on,
            debtor_account=block.debtor_account,
            debtor_currency=self._debtor_currency(block, transfer, source),
            debtor_name=block.debtor_name,
            creditor_account=self._creditor(transfer, target_currency),
            creditor_name=_text(transfer, self.names, "Cdtr/Nm") or "",
            source=source,
            target=target,
            target_currency=target_currency,
            purpose=_text(transfer, self.names, "Purp/Cd") or _text(transfer, self.names, "Purp/Prtry"),
            reference=self._reference(transfer),
            line=transfer.sourceline,
        )

    def _amount(self, amount: Any) -> tuple[Money | None, Money | None, str]:
        """(source, target, target currency) of an InstdAmt or an EqvtAmt."""
        if etree.QName(amount).localname == "InstdAmt":
            target = _money(amount)
            return None, target, target.code
        currency_of_transfer = amount.find("CcyOfTrf", self.names)
        return _money(amount.find("Amt", self.names)), None, _currency(currency_of_transfer)

    def _debtor_currency(self, block: _Block, transfer: Any, source: Money | None) -> str:
        """What pays: DbtrAcct/Ccy. An equivalent amount is in it by definition, so it may stand in for it."""
        code = block.debtor_currency
        if source is None:
            if code is None:
                raise errors.InvalidInstructedCurrency(
                    f"{_at(block.account_element)}: the account holds several currencies and the file does not say "
                    "which one pays. Add DbtrAcct/Ccy.",
                    **_place(block.account_element),
                )
            return code
        if code is not None and code != source.code:
            amount = transfer.find("Amt/EqvtAmt/Amt", self.names)
            raise errors.InvalidInstructedCurrency(
                f"{_at(amount)}: an equivalent amount is in the debtor account's currency, {code}, but this one is "
                f"in {source.code}. Write it in {code}, or use InstdAmt.",
                **_place(amount),
            )
        return source.code

    def _creditor(self, transfer: Any, target_currency: str) -> AccountRef:
        account = transfer.find("CdtrAcct", self.names)
        if account is None:
            raise errors.InvalidCreditorAccount(
                f"{_at(transfer)}: there is no creditor account. Add CdtrAcct with an IBAN, or an alias under Othr/Id.",
                **_place(transfer),
            )
        stated = account.find("Ccy", self.names)
        if stated is not None and stated.text != target_currency:
            raise errors.InvalidInstructedCurrency(
                f"{_at(stated)}: the creditor account is in {stated.text} but {target_currency} is to arrive. To fix "
                f"what leaves and have {stated.text} arrive, use EqvtAmt with CcyOfTrf {stated.text}.",
                **_place(stated),
            )
        return self._account(account, errors.InvalidCreditorAccount)

    def _account(self, account: Any, refusal: type[errors.Iso20022Error]) -> AccountRef:
        iban = _text(account, self.names, "Id/IBAN")
        if iban is not None:
            if not _is_iban(iban):
                raise refusal(
                    f"{_at(account)}: {iban[:34]} is not an IBAN (length or check digits are wrong). Correct it.",
                    **_place(account),
                )
            return AccountRef(iban=iban)
        alias = _text(account, self.names, "Id/Othr/Id")
        if not alias:
            raise refusal(
                f"{_at(account)}: the account has no identification. Add Id/IBAN or Id/Othr/Id.", **_place(account)
            )
        return AccountRef(alias=alias)

    def _reference(self, transfer: Any) -> str | None:
        """What the creditor should see: free text, else the creditor's own reference, else the document's number."""
        lines = [line.text or "" for line in transfer.findall("RmtInf/Ustrd", self.names)]
        structured = ("RmtInf/Strd/CdtrRefInf/Ref", "RmtInf/Strd/RfrdDocInf/Nb")
        found = (_text(transfer, self.names, path) for path in structured)
        return " ".join(lines).strip(_WHITESPACE) or next((text for text in found if text), None)

    def refuse_unsupported(self, element: Any) -> None:
        for child in element:
            reason = _UNSUPPORTED.get(etree.QName(child).localname)
            if reason is not None:
                raise _unsupported(child, reason)
        bearer = element.find("ChrgBr", self.names)
        if bearer is not None and bearer.text == "CRED":
            raise _unsupported(bearer, "charges are part of what leaves the debtor's account; the creditor bears none")

    def _once(self, element: Any, kind: str) -> str:
        """The id in `element`, which no other element of its kind in this file may repeat."""
        value = (element.text or "").strip(_WHITESPACE)
        first = self.seen.get((kind, value))
        if not value or first is not None:
            said = f"{kind} '{value}' was used at line {first} already" if value else f"{kind} is blank"
            raise errors.DuplicateId(f"{_at(element)}: {said}. Give each one an id of its own.", **_place(element))
        self.seen[kind, value] = element.sourceline
        return value

    def check_totals(self, holder: Any, instructions: tuple[Instruction, ...] | list[Instruction]) -> None:
        """NbOfTxs and CtrlSum of the header or of a block, where given, against what is there; exactly."""
        count = holder.find("NbOfTxs", self.names)
        if count is not None and int(count.text) != len(instructions):
            raise errors.CountMismatch(
                f"{_at(count)}: NbOfTxs says {count.text} but there are {len(instructions)} transfers. "
                "The file may be incomplete: export it again.",
                **_place(count),
            )
        stated = holder.find("CtrlSum", self.names)
        total_units = sum(instruction.fixed.units for instruction in instructions)
        if stated is not None and Fraction(stated.text.strip(_WHITESPACE)) * UNITS_PER_CURRENCY_UNIT != total_units:
            raise errors.ControlSumMismatch(
                f"{_at(stated)}: CtrlSum says {stated.text} but the amounts add up to "
                f"{format_units(total_units, minor_digits=2)}. An amount was changed or lost: export the file again.",
                **_place(stated),
            )


def _parse(data: bytes) -> Any:
    """The tree, without comments, so that what is read is the text that the schema saw."""
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False, remove_comments=True, remove_pis=True
    )
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError as error:  # such as a prefix without a namespace, which expat lets pass
        raise errors.MalformedXml(
            f"The file is not well-formed XML: {str(error)[:200]}. Export it again.", line=error.lineno
        ) from error


def _check_message(root: Any) -> str:
    name = etree.QName(root)
    message = schemas.message_of(name.namespace)
    if message not in schemas.INITIATIONS or name.localname != "Document" or not len(root):
        said = message or name.namespace or "no namespace"
        raise errors.UnknownMessage(
            f"This is {said[:80]}; the door takes {schemas.INITIATIONS[0]} to {schemas.INITIATIONS[-1]}. "
            "Convert the file or export it in one of these versions.",
            line=root.sourceline,
        )
    return message


def _check_schema(message: str, root: Any) -> None:
    fault = schemas.first_fault(message, root)
    if fault is not None:
        raise errors.SchemaViolation(
            f"{fault.path}, line {fault.line}: {fault.message[:400]} Correct it to match the {message} schema.",
            path=fault.path,
            line=fault.line,
        )


def _money(element: Any) -> Money:
    """An amount as its currency allows it, in the digits of the file; nothing is rounded."""
    try:
        return Money.parse(_currency_code(element.get("Ccy"), element), (element.text or "").strip(_WHITESPACE))
    except InvalidAmount as error:
        raise errors.InvalidInstructedAmount(f"{_at(element)}: {error.detail}", **_place(element)) from error


def _currency(element: Any) -> str:
    return _currency_code(element.text or "", element)


def _currency_code(code: str, element: Any) -> str:
    try:
        return currency(code).code
    except UnknownCurrency as error:
        raise errors.InvalidInstructedCurrency(f"{_at(element)}: {error.detail}", **_place(element)) from error


@lru_cache(maxsize=4096)
def _is_iban(text: str) -> bool:
    try:
        return str(IBAN(text)) == text
    except SchwiftyException:
        return False


def _moment(element: Any) -> datetime:
    """An ISO date or date and time; without an offset it is UTC. A date's own offset moves no day and is dropped."""
    text = (element.text or "").strip(_WHITESPACE)
    try:
        moment = datetime.fromisoformat(text if "T" in text else text[:10])
    except ValueError as error:
        raise errors.SchemaViolation(
            f"{_at(element)}: '{text[:40]}' is no calendar date that can be kept. Write it as 2026-11-02 or "
            "2026-11-02T08:00:00Z.",
            **_place(element),
        ) from error
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _text(element: Any, names: dict[str, str], path: str) -> str | None:
    found = element.findtext(path, None, names)
    return None if found is None else found.strip(_WHITESPACE)


def _at(element: Any) -> str:
    return f"{schemas.path_of(element)}, line {element.sourceline}"


def _place(element: Any) -> dict[str, Any]:
    return {"path": schemas.path_of(element), "line": element.sourceline}


def _unsupported(element: Any, reason: str) -> errors.UnsupportedInstruction:
    name = etree.QName(element).localname
    return errors.UnsupportedInstruction(
        f"{_at(element)}: {name} cannot be honoured; {reason}. Remove it.", **_place(element)
    )
