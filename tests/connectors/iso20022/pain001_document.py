"""A small valid pain.001 file in parts, so that a test changes exactly one."""

from __future__ import annotations

from dataclasses import dataclass, field

NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
INSTRUCTED = '<InstdAmt Ccy="MXN">4500.00</InstdAmt>'
EQUIVALENT = '<EqvtAmt><Amt Ccy="EUR">250.50</Amt><CcyOfTrf>MXN</CcyOfTrf></EqvtAmt>'
IBAN = "<Id><IBAN>DE89370400440532013000</IBAN></Id>"
ALIAS = "<Id><Othr><Id>MX-003</Id></Othr></Id>"


@dataclass
class Transfer:
    """One CdtTrfTxInf, part by part, so that a test changes exactly one."""

    end_to_end_id: str = "E2E-1"
    uetr: str = ""
    amount: str = INSTRUCTED
    before_creditor: str = ""
    creditor_account: str = f"<CdtrAcct>{ALIAS}</CdtrAcct>"
    after_creditor: str = "<Purp><Cd>FAMI</Cd></Purp><RmtInf><Ustrd>Family support</Ustrd></RmtInf>"

    def xml(self) -> str:
        uetr = f"<UETR>{self.uetr}</UETR>" if self.uetr else ""
        return (
            f"<CdtTrfTxInf><PmtId><InstrId>1</InstrId><EndToEndId>{self.end_to_end_id}</EndToEndId>{uetr}</PmtId>"
            f"<Amt>{self.amount}</Amt>{self.before_creditor}<Cdtr><Nm>Customer MX-003</Nm></Cdtr>"
            f"{self.creditor_account}{self.after_creditor}</CdtTrfTxInf>\n"
        )


@dataclass
class Document:
    """A whole file with one block."""

    transfers: list[Transfer] = field(default_factory=lambda: [Transfer()])
    count: str = "1"
    total: str = "4500.00"
    block_totals: str = ""
    method: str = "TRF"
    requested: str = "<Dt>2026-11-02</Dt>"
    debtor_account: str = f"<DbtrAcct>{IBAN}<Ccy>EUR</Ccy></DbtrAcct>"
    before_transfers: str = ""
    message: str = "pain.001.001.09"
    prolog: str = '<?xml version="1.0" encoding="UTF-8"?>\n'

    def xml(self) -> bytes:
        transfers = "".join(transfer.xml() for transfer in self.transfers)
        return (
            f'{self.prolog}<Document xmlns="{NAMESPACE}{self.message}"><CstmrCdtTrfInitn>\n'
            f"<GrpHdr><MsgId>MSG-1</MsgId><CreDtTm>2026-11-02T08:00:00+01:00</CreDtTm><NbOfTxs>{self.count}</NbOfTxs>"
            f"<CtrlSum>{self.total}</CtrlSum><InitgPty><Nm>Bank One</Nm></InitgPty></GrpHdr>\n"
            f"<PmtInf><PmtInfId>P-1</PmtInfId><PmtMtd>{self.method}</PmtMtd>{self.block_totals}"
            f"<ReqdExctnDt>{self.requested}</ReqdExctnDt><Dbtr><Nm>Customer DE-014</Nm></Dbtr>{self.debtor_account}"
            f"<DbtrAgt><FinInstnId><Othr><Id>BANK-1</Id></Othr></FinInstnId></DbtrAgt>{self.before_transfers}\n"
            f"{transfers}</PmtInf></CstmrCdtTrfInitn></Document>\n"
        ).encode()
