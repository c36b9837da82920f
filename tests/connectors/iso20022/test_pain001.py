"""What a valid file means, and what becomes of every way in which a file can be wrong or hostile."""

from __future__ import annotations

import contextlib
import io
import re
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pain001_document import ALIAS, EQUIVALENT, IBAN, Document, Transfer

from chainwallet.adapters.iso20022 import AccountRef, Iso20022Error, errors, read_pain001, schemas
from chainwallet.adapters.iso20022.guard import BYTES_MAX, DEPTH_MAX, ELEMENTS_MAX
from chainwallet.kit.money import Money, currency, format_units

DEMO_FILE = Path(__file__).parents[3] / "src/chainwallet/entrypoints/demo/data/payments.pain.001.001.09.xml"
UETR = "0b6f8c1e-3d52-4a7e-9c1b-5f2a7d3e4c60"
Build = Callable[..., bytes]


class TestWhatAFileMeans:
    def test_instructed_amount__fixes_the_target(self, with_transfer: Build) -> None:
        file = read_pain001(with_transfer(uetr=UETR))
        (one,) = file.instructions
        assert (file.message_id, file.initiating_party, file.control_sum) == ("MSG-1", "Bank One", "4500.00")
        assert file.created_at == datetime(2026, 11, 2, 7, 0, tzinfo=UTC), "offsets are brought to UTC"
        assert (one.source, one.target, one.target_currency) == (None, Money("MXN", 4_500_000_000), "MXN")
        assert (one.end_to_end_id, one.instruction_id, one.uetr) == ("E2E-1", "1", UETR)
        assert (one.payment_information_id, one.line) == ("P-1", 5)
        assert one.debtor_account == AccountRef(iban="DE89370400440532013000")
        assert one.creditor_account == AccountRef(alias="MX-003")
        assert (one.debtor_currency, one.purpose, one.reference) == ("EUR", "FAMI", "Family support")
        assert one.requested_on == datetime(2026, 11, 2, tzinfo=UTC)

    def test_equivalent_amount__fixes_the_source(self, with_transfer: Build) -> None:
        (one,) = read_pain001(with_transfer(amount=EQUIVALENT, total="250.50")).instructions
        assert (one.source, one.target, one.target_currency) == (Money("EUR", 250_500_000), None, "MXN")
        assert one.fixed == one.source

    def test_equivalent_amount__stands_in_for_a_missing_account_currency(self, document: Build) -> None:
        data = document(
            transfers=[Transfer(amount=EQUIVALENT)], total="250.5", debtor_account=f"<DbtrAcct>{IBAN}</DbtrAcct>"
        )
        assert read_pain001(data).instructions[0].debtor_currency == "EUR"

    @pytest.mark.parametrize(
        ("information", "expected"),
        [
            ("", None),
            ("<RmtInf><Ustrd>first</Ustrd><Ustrd>second</Ustrd></RmtInf>", "first second"),
            ("<RmtInf><Strd><RfrdDocInf><Nb>INV-7</Nb></RfrdDocInf></Strd></RmtInf>", "INV-7"),
            (
                "<RmtInf><Strd><RfrdDocInf><Nb>INV-7</Nb></RfrdDocInf>"
                "<CdtrRefInf><Ref>RF18539007547034</Ref></CdtrRefInf></Strd></RmtInf>",
                "RF18539007547034",
            ),
        ],
    )
    def test_reference__text_then_creditor_reference_then_document(
        self, with_transfer: Build, information: str, expected: str | None
    ) -> None:
        assert read_pain001(with_transfer(after_creditor=information)).instructions[0].reference == expected

    @pytest.mark.parametrize("message", schemas.INITIATIONS)
    def test_every_version_of_the_message(self, document: Build, message: str) -> None:
        assert read_pain001(document(message=message)).message == message

    @pytest.mark.parametrize("wrap", [lambda data, _: data, lambda data, _: io.BytesIO(data), None])
    def test_bytes_stream_and_path_are_the_same(self, document: Build, tmp_path: Path, wrap: Build | None) -> None:
        path = tmp_path / "payments.xml"
        path.write_bytes(document())
        source = path if wrap is None else wrap(document(), tmp_path)
        assert len(read_pain001(source).instructions) == 1

    @pytest.mark.parametrize("amount", ["45<!-- 00 -->00.00", "<![CDATA[4500.00]]>", " 4500.00\n"])
    def test_amount_is_what_the_schema_saw__comments_and_cdata_hide_nothing(
        self, with_transfer: Build, amount: str
    ) -> None:
        data = with_transfer(amount=f'<InstdAmt Ccy="MXN">{amount}</InstdAmt>')
        assert read_pain001(data).instructions[0].target == Money("MXN", 4_500_000_000)

    @given(
        st.lists(
            st.tuples(st.sampled_from(["EUR", "JPY", "IDR", "BHD"]), st.integers(1, 10**11)), min_size=1, max_size=8
        )
    )
    def test_amounts_come_back_exactly(self, drawn: list[tuple[str, int]]) -> None:
        money = [Money(code, minor * currency(code).minor_units) for code, minor in drawn]
        transfers = [
            Transfer(end_to_end_id=f"E-{number}", amount=f'<InstdAmt Ccy="{one.code}">{one.value}</InstdAmt>')
            for number, one in enumerate(money)
        ]
        total = format_units(sum(one.units for one in money), minor_digits=2)
        file = read_pain001(Document(transfers=transfers, count=str(len(money)), total=total).xml())
        assert [instruction.fixed for instruction in file.instructions] == money

    def test_the_demo_file__is_read_within_a_second(self) -> None:
        taken_s = []
        for _ in range(3):
            started = time.process_time()
            file = read_pain001(DEMO_FILE)
            taken_s.append(time.process_time() - started)
        assert len(file.instructions) == 2_000
        assert min(taken_s) < 1, f"seconds of processor time: {taken_s}"

    def test_the_demo_file__is_read_in_bounded_memory(self) -> None:
        tracemalloc.start()
        read_pain001(DEMO_FILE)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 32 * 1024 * 1024, f"{peak:,} bytes of Python memory"

    def test_one_block_of_many_transfers__takes_time_in_proportion(self) -> None:
        def seconds(count: int) -> float:
            transfers = [Transfer(end_to_end_id=f"E-{number}") for number in range(count)]
            data = Document(transfers=transfers, count=str(count), total=str(4500 * count)).xml()
            started = time.process_time()
            read_pain001(data)
            return time.process_time() - started

        seconds(10)
        assert seconds(8_000) < 20 * max(seconds(1_000), 0.02), "eight times as many, with room for noise"


class TestHostileXml:
    @pytest.mark.parametrize(
        "prolog",
        [
            '<!DOCTYPE Document [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
            '<!DOCTYPE Document SYSTEM "http://127.0.0.1:1/x.dtd">',
            '<!DOCTYPE Document [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
            '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>',
            '<!DOCTYPE Document [<!ENTITY % p SYSTEM "http://127.0.0.1:1/p"> %p;]>',
            "<!DOCTYPE Document>",
        ],
        ids=["xxe", "external-dtd", "billion-laughs", "parameter-entity", "bare"],
    )
    def test_document_types_are_refused_before_anything_is_expanded(self, document: Build, prolog: str) -> None:
        with pytest.raises(errors.ForbiddenXml, match="DOCTYPE") as caught:
            read_pain001(document(prolog=prolog))
        assert caught.value.context["line"] == 1

    def test_an_undeclared_entity__is_malformed(self, with_transfer: Build) -> None:
        with pytest.raises(errors.MalformedXml):
            read_pain001(with_transfer(end_to_end_id="&x;"))

    @pytest.mark.parametrize("purpose", ["<x:Purp/>", "<Purp x:a='1'/>", f"<{'x' * 60_000}/>"])
    def test_what_expat_lets_pass_and_libxml_does_not__is_malformed(self, with_transfer: Build, purpose: str) -> None:
        with pytest.raises(errors.MalformedXml):
            read_pain001(with_transfer(after_creditor=purpose))

    def test_processing_instructions_are_refused(self, document: Build) -> None:
        with pytest.raises(errors.ForbiddenXml, match="processing instruction"):
            read_pain001(document(prolog='<?xml-stylesheet href="http://127.0.0.1:1/"?>'))

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-7", "cp037"])
    def test_other_encodings_are_refused(self, document: Build, encoding: str) -> None:
        with pytest.raises((errors.ForbiddenXml, errors.MalformedXml)):
            read_pain001(document(prolog=f'<?xml version="1.0" encoding="{encoding}"?>').decode().encode(encoding))

    def test_a_declared_encoding_that_is_not_the_real_one__is_refused(self, document: Build) -> None:
        with pytest.raises(errors.ForbiddenXml, match="ISO-8859-1"):
            read_pain001(document(prolog='<?xml version="1.0" encoding="ISO-8859-1"?>'))

    def test_deep_nesting_is_refused(self, with_transfer: Build) -> None:
        deep = DEPTH_MAX
        nested = f"<SplmtryData><Envlp>{'<x>' * deep}{'</x>' * deep}</Envlp></SplmtryData>"
        with pytest.raises(errors.FileTooLarge, match="nested"):
            read_pain001(with_transfer(after_creditor=nested))

    def test_a_file_that_is_too_long__is_read_no_further_than_its_cap(self) -> None:
        class Endless(io.RawIOBase):
            asked = 0

            def read(self, size: int = -1) -> bytes:
                Endless.asked = size
                return b" " * size

        with pytest.raises(errors.FileTooLarge) as caught:
            read_pain001(Endless())  # type: ignore[arg-type]
        assert caught.value.status == 413
        assert Endless.asked == BYTES_MAX + 1

    def test_too_many_elements_are_refused(self) -> None:
        with pytest.raises(errors.FileTooLarge, match="elements"):
            read_pain001(b"<a>" + b"<b/>" * ELEMENTS_MAX + b"</a>")

    def test_too_many_attributes_are_refused(self) -> None:
        with pytest.raises(errors.ForbiddenXml, match="attributes"):
            read_pain001(b"<a " + b" ".join(b"a%d=''" % number for number in range(17)) + b"/>")

    @pytest.mark.parametrize("data", [b"", b"not xml", b"<Document>", b"\xff\xfe<", b"<a>\x00</a>"])
    def test_rubbish_is_refused(self, data: bytes) -> None:
        with pytest.raises((errors.MalformedXml, errors.ForbiddenXml)):
            read_pain001(data)

    @given(st.integers(0, 1_800), st.binary(min_size=1, max_size=6))
    def test_damaged_bytes__read_or_refused_never_anything_else(self, place: int, noise: bytes) -> None:
        data = Document().xml()
        with contextlib.suppress(Iso20022Error):
            read_pain001(data[:place] + noise + data[place + len(noise) :])


class TestRefusals:
    @pytest.mark.parametrize(
        "message", ["pain.001.001.03", "pain.001.001.08", "pacs.008.001.08", "pain.001.001.99", "../../etc/passwd"]
    )
    def test_other_messages(self, document: Build, message: str) -> None:
        with pytest.raises(errors.UnknownMessage, match=re.escape("pain.001.001.09")):
            read_pain001(document(message=message))

    @pytest.mark.parametrize("data", [b"<Document/>", b'<Document xmlns="urn:x"><a/></Document>'])
    def test_other_namespaces(self, data: bytes) -> None:
        with pytest.raises(errors.UnknownMessage):
            read_pain001(data)

    def test_schema_violation__names_path_line_and_message_id(self, document: Build) -> None:
        transfers = [Transfer(end_to_end_id="E-1"), Transfer(end_to_end_id="E" * 36)]
        with pytest.raises(errors.SchemaViolation) as caught:
            read_pain001(document(transfers=transfers, count="2", total="9000"))
        assert caught.value.context == {
            "path": "PmtInf/CdtTrfTxInf[2]/PmtId/EndToEndId",
            "line": 6,
            "message_id": "MSG-1",
        }

    @pytest.mark.parametrize("value", ["1e3", "1E3", "NaN", "INF", "-1.00", "1,000.00", "0x10", "", "1.000001", "½"])
    def test_amounts_that_the_schema_refuses(self, with_transfer: Build, value: str) -> None:
        with pytest.raises(errors.SchemaViolation):
            read_pain001(with_transfer(amount=f'<InstdAmt Ccy="EUR">{value}</InstdAmt>'))

    @pytest.mark.parametrize(
        ("code", "value"),
        [
            ("EUR", "1.001"), ("JPY", "100.5"), ("JPY", "100.0"), ("KRW", "1.00"), ("BHD", "1.0001"), ("EUR", "0"),
            ("EUR", "0.00"), ("EUR", "007.00"), ("EUR", "+7.00"), ("EUR", ".50"), ("EUR", "7."),
        ],
    )  # fmt: skip
    def test_amounts_that_the_currency_refuses(self, with_transfer: Build, code: str, value: str) -> None:
        with pytest.raises(errors.InvalidInstructedAmount) as caught:
            read_pain001(with_transfer(amount=f'<InstdAmt Ccy="{code}">{value}</InstdAmt>', total=value))
        assert caught.value.context["path"] == "PmtInf/CdtTrfTxInf/Amt/InstdAmt"

    @pytest.mark.parametrize("code", ["XYZ", "XXX", "XAU", "BTC"])
    def test_unknown_currencies(self, with_transfer: Build, code: str) -> None:
        with pytest.raises(errors.InvalidInstructedCurrency, match=code):
            read_pain001(with_transfer(amount=f'<InstdAmt Ccy="{code}">1</InstdAmt>', total="1"))

    def test_unknown_currency_of_transfer(self, with_transfer: Build) -> None:
        with pytest.raises(errors.InvalidInstructedCurrency):
            read_pain001(with_transfer(amount=EQUIVALENT.replace("MXN", "XYZ"), total="250.50"))

    def test_an_account_of_many_currencies_must_say_which_one_pays(self, document: Build) -> None:
        with pytest.raises(errors.InvalidInstructedCurrency, match="which one"):
            read_pain001(document(debtor_account=f"<DbtrAcct>{IBAN}</DbtrAcct>"))

    def test_an_equivalent_amount_in_another_currency_than_the_account(self, with_transfer: Build) -> None:
        with pytest.raises(errors.InvalidInstructedCurrency, match="in EUR"):
            read_pain001(with_transfer(amount=EQUIVALENT.replace('"EUR"', '"USD"'), total="250.50"))

    def test_a_creditor_account_in_another_currency_than_arrives(self, with_transfer: Build) -> None:
        with pytest.raises(errors.InvalidInstructedCurrency, match="CcyOfTrf USD"):
            read_pain001(with_transfer(creditor_account=f"<CdtrAcct>{ALIAS}<Ccy>USD</Ccy></CdtrAcct>"))

    @pytest.mark.parametrize("account", ["", "<CdtrAcct><Id><IBAN>DE89370400440532013001</IBAN></Id></CdtrAcct>"])
    def test_creditor_accounts(self, with_transfer: Build, account: str) -> None:
        with pytest.raises(errors.InvalidCreditorAccount) as caught:
            read_pain001(with_transfer(creditor_account=account))
        assert caught.value.iso_reason == "AC03"

    @pytest.mark.parametrize("iban", ["DE89370400440532013001", "XX82WEST12345698765432", "DE8937040044053201300"])
    def test_debtor_accounts(self, document: Build, iban: str) -> None:
        with pytest.raises(errors.InvalidDebtorAccount, match=iban):
            read_pain001(document(debtor_account=f"<DbtrAcct><Id><IBAN>{iban}</IBAN></Id><Ccy>EUR</Ccy></DbtrAcct>"))

    def test_accounts_without_any_name(self, with_transfer: Build) -> None:
        with pytest.raises(errors.InvalidCreditorAccount, match="no identification"):
            read_pain001(with_transfer(creditor_account="<CdtrAcct><Id><Othr><Id> </Id></Othr></Id></CdtrAcct>"))

    @pytest.mark.parametrize("spread", ["\n", ""], ids=["own-lines", "one-line"])
    def test_duplicate_end_to_end_ids(self, document: Build, spread: str) -> None:
        data = document(transfers=[Transfer(), Transfer()], count="2", total="9000.00").replace(b"\n", spread.encode())
        with pytest.raises(errors.DuplicateId, match="E2E-1"):
            read_pain001(data)

    def test_duplicate_uetrs(self, document: Build) -> None:
        transfers = [Transfer(end_to_end_id=f"E-{number}", uetr=UETR) for number in range(2)]
        with pytest.raises(errors.DuplicateId, match="UETR"):
            read_pain001(document(transfers=transfers, count="2", total="9000.00"))

    def test_blank_end_to_end_id(self, with_transfer: Build) -> None:
        with pytest.raises(errors.DuplicateId, match="blank"):
            read_pain001(with_transfer(end_to_end_id=" "))

    @pytest.mark.parametrize("count", ["0", "2", "999999999999999"])
    def test_counts(self, document: Build, count: str) -> None:
        with pytest.raises(errors.CountMismatch) as caught:
            read_pain001(document(count=count))
        assert caught.value.context == {"path": "GrpHdr/NbOfTxs", "line": 3, "message_id": "MSG-1"}

    @pytest.mark.parametrize("total", ["4500.01", "0", "-4500", "4500.00000000000001", "450000"])
    def test_sums(self, document: Build, total: str) -> None:
        with pytest.raises(errors.ControlSumMismatch, match=re.escape("4500.00")):
            read_pain001(document(total=total))

    @pytest.mark.parametrize(
        ("totals", "refusal"),
        [
            ("<NbOfTxs>3</NbOfTxs>", errors.CountMismatch),
            ("<NbOfTxs>1</NbOfTxs><CtrlSum>4499</CtrlSum>", errors.ControlSumMismatch),
        ],
    )
    def test_totals_of_a_block(self, document: Build, totals: str, refusal: type[Iso20022Error]) -> None:
        with pytest.raises(refusal) as caught:
            read_pain001(document(block_totals=totals))
        assert caught.value.context["path"].startswith("PmtInf/")

    def test_sums_are_exact_where_floats_are_not(self, document: Build) -> None:
        amounts = ["0.10", "0.20", "9007199254740993.01"]
        transfers = [
            Transfer(end_to_end_id=str(number), amount=f'<InstdAmt Ccy="EUR">{value}</InstdAmt>')
            for number, value in enumerate(amounts)
        ]
        file = read_pain001(document(transfers=transfers, count="3", total="9007199254740993.31"))
        assert sum(Fraction(one.fixed.value) for one in file.instructions) == Fraction("9007199254740993.31")

    @pytest.mark.parametrize(
        "changes",
        [
            {"method": "CHK"},
            {"method": "TRA"},
            {"before_transfers": "<ChrgBr>CRED</ChrgBr>"},
            {"transfers": [Transfer(before_creditor="<XchgRateInf><XchgRate>1.5</XchgRate></XchgRateInf>")]},
            {"transfers": [Transfer(before_creditor="<ChrgBr>CRED</ChrgBr>")]},
            {"transfers": [Transfer(before_creditor="<ChqInstr/>")]},
            {"transfers": [Transfer(after_creditor="<SplmtryData><Envlp><x/></Envlp></SplmtryData>")]},
        ],
    )
    def test_what_would_have_to_be_ignored_is_refused(self, document: Build, changes: dict[str, object]) -> None:
        with pytest.raises(errors.UnsupportedInstruction):
            read_pain001(document(**changes))

    def test_supplementary_data_of_the_whole_file_is_refused(self, document: Build) -> None:
        extra = b"<SplmtryData><Envlp><x/></Envlp></SplmtryData></CstmrCdtTrfInitn>"
        with pytest.raises(errors.UnsupportedInstruction, match="SplmtryData"):
            read_pain001(document().replace(b"</CstmrCdtTrfInitn>", extra))

    @pytest.mark.parametrize("requested", ["<DtTm>2026-11-02T24:00:00</DtTm>", "<Dt>12026-11-02</Dt>"])
    def test_dates_that_no_calendar_here_keeps(self, document: Build, requested: str) -> None:
        with pytest.raises(errors.SchemaViolation, match="calendar"):
            read_pain001(document(requested=requested))
