"""Writes the demo's payments: 2,000 credit transfers as one ISO 20022 pain.001.001.09 file, the same on every run.

    python scripts/generate_demo_payments.py [--output FILE]

Corridors are drawn by the World Bank's bilateral remittance estimates. What individuals send follows them in
their direction; a business invoice, one payment in five, is as likely to be paid against it, since goods and
services are bought from where wages are sent to as well. Amounts are as people send them: individuals round
numbers around USD 250, in whichever currency they fix; invoices USD 2,000 to 80,000 to the cent.

Rates of one past ECB fixing size the amounts, so the file does not change when newer rates come out.
"""

from __future__ import annotations

import argparse
import math
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from currency_converter import CurrencyConverter
from lxml import etree

from chainwallet.adapters.iso20022 import schemas
from chainwallet.entrypoints.demo.corridors import Corridor, load_corridors
from chainwallet.entrypoints.demo.population import BANKS, DemoCustomer, build_population
from chainwallet.kit.money import UNITS_PER_CURRENCY_UNIT, Money, currency, format_units

SEED = 20022
PAYMENTS = 2_000
INVOICES = PAYMENTS // 5
INVOICES_AGAINST = 0.5  # the share that runs against the remittances of its corridor: an assumption, not a figure
DOMESTIC = PAYMENTS // 25  # within one country and currency
BLOCK_TRANSFERS = 6
SIZING_DATE = date(2026, 6, 30)
MESSAGE = "pain.001.001.09"
CREATED_AT = "2026-11-02T08:00:00Z"
EXECUTED_ON = "2026-11-02"
INVOICED_ON = "2026-10-15"
OUTPUT = Path(__file__).parents[1] / "src/chainwallet/entrypoints/demo/data/payments.pain.001.001.09.xml"

_ROUND_FIGURES = (10, 12, 15, 20, 25, 30, 40, 50, 60, 70, 75, 80, 100)  # leading digits that people choose
_FAMILY = ("FAMI", "FAMI", "FAMI", "FAMI", "EDUC", "MDCS", "SAVG", "GIFT")
_WORDS = {
    "FAMI": "Family support", "EDUC": "School fees", "MDCS": "Medical costs", "SAVG": "Savings", "GIFT": "Gift",
}  # fmt: skip
_TRADE = ("GDDS", "GDDS", "SUPP", "SCVE")


@dataclass(frozen=True, slots=True)
class Draft:
    """One payment before it is XML; `fixed` is in the target currency or, if `is_source`, in the payer's."""

    debtor: DemoCustomer
    creditor: DemoCustomer
    fixed: Money
    is_source: bool
    purpose: str
    uetr: str


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="where to write (default: the committed file)")
    output: Path = parser.parse_args().output
    data = generate()
    output.write_bytes(data)
    print(f"{output}: {PAYMENTS} payments, {len(data):,} bytes")


def generate(seed: int = SEED) -> bytes:
    """The file's bytes; valid against ISO's schema, or ValueError."""
    document = _document(_blocks(draft_payments(random.Random(seed))))
    fault = schemas.first_fault(MESSAGE, document)
    if fault is not None:
        raise ValueError(f"{fault.path}: {fault.message}")
    data: bytes = etree.tostring(document, xml_declaration=True, encoding="UTF-8")
    return data + b"\n"


def draft_payments(rng: random.Random) -> Iterator[Draft]:
    """2,000 payments in a random order: invoices, payments within a country, and remittances."""
    kinds = [_invoice] * INVOICES + [_domestic] * DOMESTIC + [_remittance] * (PAYMENTS - INVOICES - DOMESTIC)
    rng.shuffle(kinds)
    for kind in kinds:
        yield kind(rng)


def _blocks(drafts: Iterable[Draft]) -> list[list[Draft]]:
    """The payments as a day brings them: a debtor's next ones together, a handful to a block, blocks as they open."""
    blocks: list[list[Draft]] = []
    unfinished: dict[str, list[Draft]] = {}
    for draft in drafts:
        block = unfinished.get(draft.debtor.alias)
        if block is None or len(block) == BLOCK_TRANSFERS:
            block = unfinished[draft.debtor.alias] = []
            blocks.append(block)
        block.append(draft)
    return blocks


def _remittance(rng: random.Random) -> Draft:
    corridor = _corridor(rng)
    return _draft(rng, corridor.sender_country, corridor.receiver_country, kind="individual")


def _domestic(rng: random.Random) -> Draft:
    country = rng.choice(_corridor(rng).countries)
    return _draft(rng, country, country, kind="individual")


def _invoice(rng: random.Random) -> Draft:
    payer, payee = _corridor(rng).countries
    if rng.random() < INVOICES_AGAINST:
        payer, payee = payee, payer
    return _draft(rng, payer, payee, kind="business")


def _corridor(rng: random.Random) -> Corridor:
    corridors = load_corridors()
    return rng.choices(corridors, weights=[one.usd_million_a_year for one in corridors])[0]


def _draft(rng: random.Random, payer: str, payee: str, *, kind: str) -> Draft:
    population = build_population()
    debtor = rng.choice(population.in_country(payer, kind=kind))
    creditor = rng.choice([one for one in population.in_country(payee, kind=kind) if one is not debtor])
    is_source = rng.random() < 0.5
    code = debtor.currency if is_source else creditor.currency
    return Draft(
        debtor=debtor,
        creditor=creditor,
        fixed=_invoiced(rng, code) if kind == "business" else _rounded(rng, code),
        is_source=is_source,
        purpose=rng.choice(_TRADE if kind == "business" else _FAMILY),
        uetr=str(uuid.UUID(int=rng.getrandbits(128), version=4)),
    )


def _rounded(rng: random.Random, code: str) -> Money:
    """About USD 250 (lognormal, 20 to 3,000) as the nearest figure that people choose in this currency."""
    usd = min(max(rng.lognormvariate(math.log(250), 0.65), 20.0), 3_000.0)
    amount = Decimal(usd) * _per_usd(code)
    scale = Decimal(10) ** (amount.adjusted() - 1)
    figure = min(_ROUND_FIGURES, key=lambda figure: abs(amount - figure * scale))
    return Money(code, int(figure * scale * UNITS_PER_CURRENCY_UNIT))


def _invoiced(rng: random.Random, code: str) -> Money:
    """USD 2,000 to 80,000 (lognormal around 9,000), to the last minor unit."""
    usd = min(max(rng.lognormvariate(math.log(9_000), 0.9), 2_200.0), 72_000.0)  # room for rates to move
    units = int(Decimal(usd) * _per_usd(code) * UNITS_PER_CURRENCY_UNIT)
    minor_units = currency(code).minor_units
    whole = units // (100 * minor_units) * 100
    return Money(code, (whole + rng.randrange(1, 100)) * minor_units)


@cache
def _per_usd(code: str) -> Decimal:
    """Units of a currency for one dollar on the day that sizes the file."""
    rate: Decimal = _converter().convert(1, "USD", code, date=SIZING_DATE)
    return rate


@cache
def _converter() -> CurrencyConverter:
    return CurrencyConverter(decimal=True)


def _document(blocks: list[list[Draft]]) -> Any:
    namespace = schemas.namespace(MESSAGE)
    document = etree.Element(etree.QName(namespace, "Document"), nsmap={None: namespace})
    add = _adder(namespace)
    body = add(document, "CstmrCdtTrfInitn")
    drafts = [draft for block in blocks for draft in block]
    header = add(body, "GrpHdr")
    add(header, "MsgId", f"DEMO-{SEED}")
    add(header, "CreDtTm", CREATED_AT)
    _add_totals(add, header, drafts)
    add(add(header, "InitgPty"), "Nm", "Demo banks")
    sent: Counter[str] = Counter()
    for number, block in enumerate(blocks, start=1):
        alias = block[0].debtor.alias
        _add_block(add, body, block, payment_information_id=f"DEMO-{number:04d}-{alias}", number=sent[alias] + 1)
        sent[alias] += len(block)
    return document


def _adder(namespace: str) -> Callable[..., Any]:
    def add(parent: Any, path: str, text: str | None = None, **attributes: str) -> Any:
        """The last element of a new chain of elements, such as Id/Othr/Id, under `parent`."""
        child = parent
        for name in path.split("/"):
            child = etree.SubElement(child, f"{{{namespace}}}{name}")
        child.text = text
        child.attrib.update(attributes)
        return child

    return add


def _add_totals(add: Callable[..., Any], parent: Any, drafts: list[Draft]) -> None:
    add(parent, "NbOfTxs", str(len(drafts)))
    add(parent, "CtrlSum", format_units(sum(draft.fixed.units for draft in drafts), minor_digits=2))


def _add_block(
    add: Callable[..., Any], body: Any, drafts: list[Draft], *, payment_information_id: str, number: int
) -> None:
    """One PmtInf; its transfers are numbered from `number` on, per debtor over the whole file."""
    debtor = drafts[0].debtor
    bank = next(one for one in BANKS if one.alias == debtor.bank_alias)
    block = add(body, "PmtInf")
    block.getprevious().tail = "\n"
    add(block, "PmtInfId", payment_information_id)
    add(block, "PmtMtd", "TRF")
    _add_totals(add, block, drafts)
    add(block, "ReqdExctnDt/Dt", EXECUTED_ON)
    _add_party(add, block, "Dbtr", debtor)
    account = add(block, "DbtrAcct")
    _add_account_id(add, account, debtor)
    add(account, "Ccy", debtor.currency)
    agent = add(block, "DbtrAgt/FinInstnId")
    add(agent, "Nm", bank.full_name)
    add(agent, "Othr/Id", bank.alias)
    add(block, "ChrgBr", "DEBT").tail = "\n"
    for place, draft in enumerate(drafts, start=number):
        _add_transfer(add, block, draft, place).tail = "\n"


def _add_transfer(add: Callable[..., Any], block: Any, draft: Draft, number: int) -> Any:
    transfer = add(block, "CdtTrfTxInf")
    end_to_end_id = f"{draft.debtor.alias}-{number:04d}"
    ids = add(transfer, "PmtId")
    add(ids, "InstrId", str(number))
    add(ids, "EndToEndId", end_to_end_id)
    add(ids, "UETR", draft.uetr)
    if draft.is_source:
        equivalent = add(transfer, "Amt/EqvtAmt")
        add(equivalent, "Amt", draft.fixed.value, Ccy=draft.fixed.code)
        add(equivalent, "CcyOfTrf", draft.creditor.currency)
    else:
        add(transfer, "Amt/InstdAmt", draft.fixed.value, Ccy=draft.fixed.code)
    _add_party(add, transfer, "Cdtr", draft.creditor)
    _add_account_id(add, add(transfer, "CdtrAcct"), draft.creditor)
    add(transfer, "Purp/Cd", draft.purpose)
    _add_remittance(add, transfer, draft, end_to_end_id)
    return transfer


def _add_party(add: Callable[..., Any], parent: Any, role: str, customer: DemoCustomer) -> None:
    party = add(parent, role)
    add(party, "Nm", customer.full_name)
    add(party, "PstlAdr/Ctry", customer.country)


def _add_account_id(add: Callable[..., Any], account: Any, customer: DemoCustomer) -> None:
    if customer.iban is not None:
        add(account, "Id/IBAN", customer.iban)
    else:
        add(account, "Id/Othr/Id", customer.alias)


def _add_remittance(add: Callable[..., Any], transfer: Any, draft: Draft, end_to_end_id: str) -> None:
    information = add(transfer, "RmtInf")
    if draft.purpose in _WORDS:
        add(information, "Ustrd", _WORDS[draft.purpose])
        return
    structured = add(information, "Strd")
    document = add(structured, "RfrdDocInf")
    add(document, "Tp/CdOrPrtry/Cd", "CINV")
    add(document, "Nb", f"INV-{end_to_end_id}")
    add(document, "RltdDt", INVOICED_ON)
    reference = add(structured, "CdtrRefInf")
    add(reference, "Tp/CdOrPrtry/Cd", "SCOR")
    add(reference, "Ref", _creditor_reference(end_to_end_id.replace("-", "")))


def _creditor_reference(text: str) -> str:
    """An ISO 11649 reference: RF, two check digits (ISO 7064 mod 97-10), and the text."""
    digits = "".join(str(int(character, 36)) for character in f"{text}RF00")
    return f"RF{98 - int(digits) % 97:02d}{text}"


if __name__ == "__main__":
    main()
