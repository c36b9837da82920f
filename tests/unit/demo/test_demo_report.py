"""The report: every figure is told, unknown ones too, on a terminal and in a pipe."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from chainwallet.entrypoints.demo.report import as_panel, as_text, cost_bars, print_report

FIGURES: dict[str, Any] = {
    "payments": 2_000,
    "settled": 1_999,
    "failed": 1,
    "batches": 9,
    "transactions": 11,
    "gas_total": 27_812_345,
    "gas_per_payment": 13_906.4,
    "cost_bps": 12.3,
    "cost_bps_unnetted": 21.8,
    "world_bank_cost_bps": 561.6,
    "maker_volume_usd": "3194349.42",
    "maker_volume_usd_unnetted": "5739463.97",
    "accepted_to_settled_ms": {"p50": 812.4, "p99": 2_410.0},
    "reconciled": True,
    "receipts_verified": 20,
    "executions_verified": 20,
    "rates_date": "2026-10-30",
    "chain": "anvil 31337",
    "seconds": 41.2,
}
TOLD = (
    "1,999 settled, 1 failed", "27,812,345", "13,906 gas", "12.3 bp", "21.8 bp", "561.6 bp", "USD 3,194,349",
    "USD 5,739,464", "44.3 %", "812 ms", "2.4 s", "yes", "20", "41.2 s", "anvil 31337", "2026-10-30",
)  # fmt: skip


def on_terminal(figures: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=110, force_terminal=True, color_system=None).print(as_panel(figures))
    return out.getvalue()


@pytest.mark.parametrize("render", [as_text, on_terminal])
def test_every_figure_is_told(render: Any) -> None:
    text = render(FIGURES)
    assert [told for told in TOLD if told not in text] == []


@pytest.mark.parametrize("render", [as_text, on_terminal])
def test_extras_are_told_when_given(render: Any) -> None:
    corridor = {"corridor": "US to MX", "payments": 249, "volume_usd": "81234.5", "cost_bps": 9.9}
    extras = {"customer_cost_bps": 11.0, "netting_gain_usd": "1234.5", "memory_mb": 310, "corridors": [corridor]}
    text = render(FIGURES | extras)
    for told in ("11.0 bp", "USD 1,234", "310 MB", "US to MX", "USD 81,234", "not known"):
        assert told in text, told


@pytest.mark.parametrize("render", [as_text, on_terminal])
def test_what_is_not_known_or_not_well__is_said(render: Any) -> None:
    unknown = {"world_bank_cost_bps": None, "cost_bps_unnetted": None, "maker_volume_usd_unnetted": None, "batches": 0}
    text = render(FIGURES | unknown | {"reconciled": False, "accepted_to_settled_ms": {"p50": None, "p99": None}})
    assert "not known" in text
    assert "NO" in text


def test_bars__are_in_proportion() -> None:
    bars = cost_bars(FIGURES | {"cost_bps": 10, "cost_bps_unnetted": 20, "world_bank_cost_bps": 40})
    assert [length for _, _, length in bars] == [10, 20, 40]


def test_print_report__is_plain_when_not_a_terminal(tmp_path: Any) -> None:
    with (tmp_path / "report.txt").open("w", encoding="utf-8") as out:
        print_report(FIGURES, out)
    text = (tmp_path / "report.txt").read_text(encoding="utf-8")
    assert text == as_text(FIGURES)
    assert text.isascii()
