"""The answers a bank gets: valid by ISO's schema, one entry per transfer, and the reason where there is one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from lxml import etree
from pain001_document import Transfer

from chainwallet.adapters.iso20022 import (
    Iso20022Error,
    Outcome,
    TransactionStatus,
    errors,
    read_pain001,
    schemas,
    write_refusal,
    write_status_report,
)

NOW = datetime(2026, 11, 2, 8, 1, tzinfo=UTC)
Build = Callable[..., bytes]


def texts(report: bytes, name: str) -> list[str]:
    root: Any = etree.fromstring(report)
    assert schemas.first_fault(schemas.STATUS_REPORT, root) is None, "what is handed out is valid"
    return [element.text for element in root.iter(f"{{{schemas.namespace(schemas.STATUS_REPORT)}}}{name}")]


@pytest.mark.parametrize(
    ("statuses", "group"),
    [
        (["ACSC", "ACSC"], "ACSC"),
        (["RJCT", "RJCT"], "RJCT"),
        (["ACSC", "RJCT"], "PART"),
        (["ACCP", "ACSC"], "PART"),
    ],
)
def test_status_report__says_what_became_of_each(document: Build, statuses: list[str], group: str) -> None:
    transfers = [Transfer(end_to_end_id=f"E-{number}") for number in range(2)]
    file = read_pain001(document(transfers=transfers, count="2", total="9000.00"))
    outcomes = {f"E-{number}": Outcome(TransactionStatus(status)) for number, status in enumerate(statuses)}
    report = write_status_report(file, outcomes, message_id="R-1", created_at=NOW)
    assert texts(report, "GrpSts") == [group]
    assert texts(report, "PmtInfSts") == [group]
    assert texts(report, "TxSts") == statuses
    assert texts(report, "OrgnlEndToEndId") == ["E-0", "E-1"]
    assert texts(report, "OrgnlMsgId") == ["MSG-1"]
    assert texts(report, "OrgnlCtrlSum") == ["9000.00"]
    assert sum(map(int, texts(report, "DtldNbOfTxs"))) == 2


def test_status_report__carries_reason_and_detail(document: Build) -> None:
    detail = "There is too little EUR on the account.\nAdd funds. " * 4
    outcome = Outcome(TransactionStatus.REJECTED, reason="AM04", detail=detail)
    report = write_status_report(read_pain001(document()), {"E2E-1": outcome}, message_id="R-1", created_at=NOW)
    assert texts(report, "Cd") == ["AM04"]
    assert max(map(len, texts(report, "AddtlInf"))) <= 105
    assert "".join(texts(report, "AddtlInf")) == detail.replace("\n", " ").strip()


def test_status_report__refuses_to_leave_a_transfer_out(document: Build) -> None:
    with pytest.raises(KeyError):
        write_status_report(read_pain001(document()), {}, message_id="R-1", created_at=NOW)


def test_refusal__names_the_file_the_iso_reason_and_our_code(document: Build) -> None:
    with pytest.raises(Iso20022Error) as caught:
        read_pain001(document(total="1"))
    report = write_refusal(caught.value, message_id="R-1", created_at=NOW)
    assert texts(report, "OrgnlMsgId") == ["MSG-1"]
    assert texts(report, "GrpSts") == ["RJCT"]
    assert texts(report, "Cd") == ["AM10"]
    assert "".join(texts(report, "AddtlInf")).startswith("ISO20022_CONTROL_SUM_MISMATCH: GrpHdr/CtrlSum, line 3")


def test_refusal__of_bytes_that_name_no_message(document: Build) -> None:
    report = write_refusal(errors.MalformedXml("The file\x00is \ud800not XML."), message_id="R-1", created_at=NOW)
    assert texts(report, "OrgnlMsgId") == ["NOTPROVIDED"]
    assert texts(report, "Cd") == ["FF01"]
