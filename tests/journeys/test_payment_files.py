"""A bank's file of payments: taken whole or refused whole, then each instruction goes its own way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from chainwallet.controls.identity.authenticator import OPERATOR_ID, Principal
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.kit.money import Money
from chainwallet.payments.files import InstructionDraft, receive_file

from .conftest import World, refusal

PATH = "/v1/payment-files"
XML = {"Content-Type": "application/xml"}
PAYER_IBAN = "DE89370400440532013000"


@dataclass
class Line:
    """One instruction: so much, in this currency, to this alias."""

    alias: str
    value: str
    code: str = "EUR"
    uetr: str = ""

    def xml(self, end_to_end_id: str, number: int) -> str:
        uetr = f"<UETR>{self.uetr}</UETR>" if self.uetr else ""
        return (
            f"<CdtTrfTxInf><PmtId><EndToEndId>{end_to_end_id}</EndToEndId>{uetr}</PmtId>"
            f'<Amt><InstdAmt Ccy="{self.code}">{self.value}</InstdAmt></Amt><Cdtr><Nm>Payee {number}</Nm></Cdtr>'
            f"<CdtrAcct><Id><Othr><Id>{self.alias}</Id></Othr></Id></CdtrAcct>"
            f"<RmtInf><Ustrd>Invoice {number}</Ustrd></RmtInf></CdtTrfTxInf>"
        )


def pain001(message_id: str, lines: list[Line], *, iban: str = PAYER_IBAN, count: int | None = None) -> bytes:
    body = "".join(line.xml(f"{message_id}/{number}", number) for number, line in enumerate(lines))
    return (
        '<?xml version="1.0" encoding="UTF-8"?><Document xmlns="urn:iso:std:iso:20022:tech:xsd:pain.001.001.09">'
        f"<CstmrCdtTrfInitn><GrpHdr><MsgId>{message_id}</MsgId><CreDtTm>2026-11-02T08:00:00+01:00</CreDtTm>"
        f"<NbOfTxs>{len(lines) if count is None else count}</NbOfTxs><InitgPty><Nm>Bank</Nm></InitgPty></GrpHdr>"
        "<PmtInf><PmtInfId>P-1</PmtInfId><PmtMtd>TRF</PmtMtd><ReqdExctnDt><Dt>2026-11-02</Dt></ReqdExctnDt>"
        f"<Dbtr><Nm>Payer</Nm></Dbtr><DbtrAcct><Id><IBAN>{iban}</IBAN></Id><Ccy>EUR</Ccy></DbtrAcct>"
        "<DbtrAgt><FinInstnId><Othr><Id>BANK-1</Id></Othr></FinInstnId></DbtrAgt>"
        f"{body}</PmtInf></CstmrCdtTrfInitn></Document>"
    ).encode()


@dataclass
class Office:
    """A bank whose payer sends files."""

    secret: str
    payer: Any
    payee: Any

    @property
    def alias(self) -> str:
        return str(self.payee["alias"])


@pytest.fixture(scope="module")
def office(world: World) -> Iterator[Office]:
    bank = world.customer("bank")
    payer = world.customer(bank_id=bank["id"], iban=PAYER_IBAN)
    world.fund(payer["id"], "EUR", "10000.00")
    world.maker(("USD", "50000.00", "EUR", "46000.00"))
    payee = world.customer(alias=f"file-payee-{payer['id'][-6:].lower()}")
    yield Office(world.key("payment_files", "read", customer_id=bank["id"]), payer, payee)
    assert world.get("/v1/reconciliation")["status"] == "balanced"


def hand_in(world: World, office: Office, content: bytes, *, headers: dict[str, str] | None = None) -> Any:
    return world.send("POST", PATH, content=content, headers=XML | (headers or {}), auth=office.secret)


def finished(world: World, office: Office, file_id: str) -> Any:
    """The file once each of its instructions has ended one way or the other."""

    def ends() -> bool:
        counts = world.get(f"{PATH}/{file_id}", auth=office.secret)["counts"]
        return not {"pending", "accepted", "submitted"} & counts.keys()

    world.until(ends, "the file is worked through")
    return world.get(f"{PATH}/{file_id}", auth=office.secret)


def test_file__with_good_and_bad_instructions__each_goes_its_own_way(world: World, office: Office) -> None:
    before = world.balance(office.payer["id"], "EUR")
    paid_before = world.balance(office.payee["id"], "USD")["settled"]
    lines = [
        Line(office.alias, "100.00"),
        Line(office.alias, "250.50", "USD"),
        Line("nobody-has-this", "10.00"),
        Line(office.alias, "50000.00"),
        Line(office.alias, "10", "ISK"),
        Line(office.alias, "0.01"),
    ]
    answer = hand_in(world, office, pain001("MIXED-1", lines))
    assert answer.status_code == 202
    file = answer.json()
    assert file["instructions"] == 6
    assert file["counts"] == {"pending": 6}, "nothing is decided while the file is taken"
    done = finished(world, office, file["id"])
    assert sum(done["counts"].values()) == 6, "every instruction is counted once"
    told = {one["end_to_end_id"]: one["code"] for one in done["rejections"]}
    assert told == {
        "MIXED-1/2": "PAYEE_UNKNOWN",
        "MIXED-1/3": "LEDGER_INSUFFICIENT_FUNDS",
        "MIXED-1/4": "MARKET_NO_ROUTE",
    }
    assert all(one["detail"].endswith(".") for one in done["rejections"])
    assert done["counts"] == {"settled": 3, "rejected": 3}
    paid = world.get("/v1/transfers", payer_id=office.payer["id"], limit=200)["items"]
    mine = {one["end_to_end_id"]: one for one in paid if one["end_to_end_id"].startswith("MIXED-1/")}
    assert mine.keys() == {"MIXED-1/0", "MIXED-1/1", "MIXED-1/5"}
    assert mine["MIXED-1/1"]["reference"] == "Invoice 1"
    assert mine["MIXED-1/1"]["target_amount"] == {"currency": "USD", "value": "250.50"}, "the instructed amount arrives"
    spent = sum(Decimal(one["source_amount"]["value"]) for one in mine.values())
    after = world.balance(office.payer["id"], "EUR")
    assert Decimal(before["settled"]) - Decimal(after["settled"]) == spent, "exactly the three source amounts left"
    assert after["held"] == "0.00"
    paid_after = world.balance(office.payee["id"], "USD")["settled"]
    assert Decimal(paid_after) - Decimal(paid_before) == Decimal("250.50"), "and exactly this arrived"


def test_file__handed_in_again__does_nothing_again_and_names_the_first(world: World, office: Office) -> None:
    content = pain001("AGAIN-1", [Line(office.alias, "1.00")])
    first = hand_in(world, office, content).json()
    finished(world, office, first["id"])
    before = world.books()
    problem = refusal(hand_in(world, office, content), 409, "PAYMENT_FILE_DUPLICATE")
    assert problem["context"] == {"payment_file_id": first["id"]}
    changed = pain001("AGAIN-1", [Line(office.alias, "2.00")])
    refusal(hand_in(world, office, changed), 409, "PAYMENT_FILE_DUPLICATE")
    assert world.books() == before, "a file pays once"


def test_file__handed_in_ten_times_at_once__is_taken_once(world: World, office: Office) -> None:
    content = pain001("AT-ONCE-1", [Line(office.alias, "1.00")])
    with ThreadPoolExecutor(max_workers=10) as pool:
        answers = list(pool.map(lambda _: hand_in(world, office, content), range(10)))
    assert sorted(answer.status_code for answer in answers) == [202] + [409] * 9
    taken = next(answer.json()["id"] for answer in answers if answer.status_code == 202)
    others = [answer.json()["context"]["payment_file_id"] for answer in answers if answer.status_code == 409]
    assert set(others) == {taken}, "everyone is told which file it was"
    assert finished(world, office, taken)["counts"] == {"settled": 1}


def test_message_ids__of_two_senders__do_not_meet(world: World, office: Office) -> None:
    other = world.customer("bank")
    secret = world.key("payment_files", customer_id=other["id"])
    content = pain001("SHARED-1", [Line(office.alias, "1.00")])
    mine = hand_in(world, office, content).json()
    theirs = world.send("POST", PATH, content=content, headers=XML, auth=secret)
    assert theirs.status_code == 202, "a message id belongs to its sender"
    assert finished(world, office, mine["id"])["counts"] == {"settled": 1}
    path = f"{PATH}/{theirs.json()['id']}"
    world.until(lambda: "pending" not in world.get(path, auth=secret)["counts"], "the other file is worked through")
    refused = world.get(path, auth=secret)["rejections"]
    assert [one["code"] for one in refused] == ["PAYER_UNKNOWN"], "the payer is not theirs to debit"
    world.refused("GET", f"{PATH}/{mine['id']}", 404, "PAYMENT_FILE_UNKNOWN", auth=secret)
    world.refused("GET", f"{PATH}/pay_nothing", 404, "PAYMENT_FILE_UNKNOWN", auth=secret)


GOOD = pain001("WHOLE-1", [Line("file-payee", "1.00")])
BROKEN: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "cut off": (GOOD[:-20], {}, 400, "ISO20022_MALFORMED_XML"),
    "nothing": (b"", {}, 422, "ISO20022_FORBIDDEN_XML"),
    "JSON": (b"{}", {}, 400, "ISO20022_MALFORMED_XML"),
    "an entity": (
        GOOD.replace(b"?><Document", b'?><!DOCTYPE d [<!ENTITY e SYSTEM "file:///etc/passwd">]><Document'),
        {},
        422,
        "ISO20022_FORBIDDEN_XML",
    ),
    "another message": (GOOD.replace(b"pain.001.001.09", b"pain.008.001.08"), {}, 422, "ISO20022_UNKNOWN_MESSAGE"),
    "an element too many": (GOOD.replace(b"<PmtMtd>", b"<Force/><PmtMtd>"), {}, 422, "ISO20022_SCHEMA_VIOLATION"),
    "one too few": (pain001("FEW-1", [Line("file-payee", "1.00")], count=2), {}, 422, "ISO20022_COUNT_MISMATCH"),
    "three decimals": (pain001("DEC-1", [Line("file-payee", "1.005")]), {}, 422, "ISO20022_INVALID_AMOUNT"),
    "unknown currency": (pain001("CCY-1", [Line("file-payee", "1.00", "EUX")]), {}, 422, "ISO20022_INVALID_CURRENCY"),
    "a wrong IBAN": (
        pain001("IBAN-1", [Line("file-payee", "1.00")], iban="DE88370400440532013000"),
        {},
        422,
        "ISO20022_INVALID_DEBTOR_ACCOUNT",
    ),
    "sent as JSON": (GOOD, {"Content-Type": "application/json"}, 415, "REQUEST_MEDIA_TYPE"),
    "sent as nothing": (GOOD, {"Content-Type": ""}, 415, "REQUEST_MEDIA_TYPE"),
    "nine megabytes": (GOOD.ljust(9 * 1024 * 1024), {}, 413, "REQUEST_TOO_LARGE"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_file__broken__is_refused_whole_by_name(world: World, office: Office, kind: str) -> None:
    content, headers, status, code = BROKEN[kind]
    world.quiet()
    before = world.books(), world.scalar("SELECT count(*) FROM payment_file")
    refusal(hand_in(world, office, content, headers=headers), status, code)
    assert (world.books(), world.scalar("SELECT count(*) FROM payment_file")) == before


def test_uetr__used_before__is_not_paid_again(world: World, office: Office) -> None:
    uetr = str(uuid4())
    for message_id, counts in (("UETR-1", {"settled": 1}), ("UETR-2", {"rejected": 1})):
        file = hand_in(world, office, pain001(message_id, [Line(office.alias, "1.00", uetr=uetr)])).json()
        done = finished(world, office, file["id"])
        assert done["counts"] == counts
    assert [one["code"] for one in done["rejections"]] == ["TRANSFER_UETR_USED"]


def test_uetr__in_two_files_at_once__is_paid_once_and_holds_nobody_up(world: World, office: Office) -> None:
    """Both files lie there before the worker's next pass, so that one pass meets both instructions."""
    uetr = str(uuid4())
    principal = Principal(OPERATOR_ID, frozenset(), None)
    with world.services.database.transaction() as session:
        files = [
            receive_file(
                session,
                message_id=f"BOTH-{uetr[:8]}-{number}",
                principal=principal,
                instructions=[
                    InstructionDraft(
                        end_to_end_id="E2E-0",
                        payer=PayeeRef(iban=PAYER_IBAN),
                        payee=PayeeRef(alias=office.alias),
                        source_currency="EUR",
                        target_currency="EUR",
                        fixed_source=Money("EUR", 1_000_000),
                        uetr=uetr,
                    )
                ],
            )
            for number in (1, 2)
        ]
    world.services.wake("ingest")
    world.quiet()
    ends = [world.get(f"{PATH}/{file.id}") for file in files]
    assert sorted(next(iter(end["counts"])) for end in ends) == ["rejected", "settled"], "paid once"
    assert [one["code"] for end in ends for one in end["rejections"]] == ["TRANSFER_UETR_USED"]
