"""The demo's figures as something a person enjoys reading: a coloured panel on a terminal, plain text elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, TextIO

from rich import box
from rich.console import Console, Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

_BAR_WIDTH = 40
_TITLE = "chainwallet demo"
_BARS_TITLE = "what a payment costs, in basis points of mid"

Row = tuple[str, str, str]  # what, how much, and what it means


def print_report(figures: Mapping[str, Any], file: TextIO | None = None) -> None:
    """Print the figures to `file` (standard output by default).

    `figures` is what `chainwallet demo --json` writes; an optional `corridors` (a list of {corridor, payments,
    volume_usd, cost_bps, world_bank_cost_bps}) adds the busiest routes, and `customer_cost_bps`,
    `netting_gain_usd` and `memory_mb` add a row each. A figure that is None is told as not known.
    """
    out = file if file is not None else sys.stdout
    if out.isatty():
        Console(file=out, highlight=False).print(as_panel(figures))
    else:
        out.write(as_text(figures))


def as_panel(figures: Mapping[str, Any]) -> Panel:
    """The report for a terminal."""
    parts: list[Any] = [_figure_table(report_rows(figures)), Text(_BARS_TITLE, "bold"), _bar_table(cost_bars(figures))]
    if figures.get("corridors"):
        parts.append(_corridor_table(corridor_rows(figures)))
    subtitle = f"{figures['chain']}, ECB fixing of {figures['rates_date']}"
    title = f"[bold]{_TITLE}[/]"
    return Panel(Group(*parts), title=title, subtitle=subtitle, box=box.ROUNDED, padding=(1, 2), expand=False)


def as_text(figures: Mapping[str, Any]) -> str:
    """The report in plain characters: for a log, a pipe or a file."""
    lines = [f"{_TITLE} ({figures['chain']}, ECB fixing of {figures['rates_date']})", ""]
    lines += [f"  {what:<34}{value:>18}  {meaning}".rstrip() for what, value, meaning in report_rows(figures)]
    lines += ["", f"  {_BARS_TITLE}"]
    lines += [f"  {what:<34}{value:>18}  {'#' * length}".rstrip() for what, value, length in cost_bars(figures)]
    if figures.get("corridors"):
        lines += ["", "  " + "".join(f"{cell:>16}" for cell in _CORRIDOR_COLUMNS)]
        lines += ["  " + "".join(f"{cell:>16}" for cell in row) for row in corridor_rows(figures)]
    return "\n".join(lines) + "\n"


def report_rows(figures: Mapping[str, Any]) -> list[Row]:
    """One row per figure, in people's units."""
    waited = figures["accepted_to_settled_ms"]
    ends = f"{_count(figures['settled'])} settled, {_count(figures['failed'])} failed"
    rows: list[Row] = [
        ("payments", _count(figures["payments"]), ends),
        ("batches", _count(figures["batches"]), f"{_ratio(figures['settled'], figures['batches'])} payments in each"),
        ("transactions", _count(figures["transactions"]), f"{_count(figures['gas_total'])} gas in all"),
        ("gas per payment", f"{_count(figures['gas_per_payment'])} gas", "all settlement gas, shared out"),
        ("makers traded", _usd(figures["maker_volume_usd"]), "what netting left for them"),
        ("makers would have traded", _usd(figures["maker_volume_usd_unnetted"]), "had each payment gone alone"),
        ("netting spared them", _saved(figures), "of that volume"),
        ("accepted to settled, median", _duration(waited["p50"]), ""),
        ("accepted to settled, 99 of 100", _duration(waited["p99"]), "or sooner"),
    ]
    rows += _optional_rows(figures)
    balanced = figures["reconciled"]
    speed = f"{_ratio(figures['settled'], figures['seconds'])} payments a second"
    return [
        *rows,
        ("books equal to the chain", "yes" if balanced else "NO", "" if balanced else "see GET /v1/reconciliation"),
        ("receipts verified", _count(figures["receipts_verified"]), "drawn at random, from the chain alone"),
        ("best execution verified", _count(figures["executions_verified"]), "drawn at random, from each record alone"),
        ("wall time", _duration(1000 * figures["seconds"]), speed),
    ]


def cost_bars(figures: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """The three costs that are to be compared, each with the length of its bar; the longest fills the width."""
    named = [
        ("here, netted", figures["cost_bps"]),
        ("here, without netting", figures["cost_bps_unnetted"]),
        ("World Bank, sending USD 200", figures["world_bank_cost_bps"]),
    ]
    longest = max((float(bps) for _, bps in named if bps is not None), default=0.0)
    return [(what, _bps(bps), _bar_length(bps, longest)) for what, bps in named]


_CORRIDOR_COLUMNS = ("corridor", "payments", "volume", "here", "World Bank")


def corridor_rows(figures: Mapping[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            str(entry["corridor"]),
            _count(entry["payments"]),
            _usd(entry["volume_usd"]),
            _bps(entry.get("cost_bps")),
            _bps(entry.get("world_bank_cost_bps")),
        )
        for entry in figures["corridors"]
    ]


def _optional_rows(figures: Mapping[str, Any]) -> list[Row]:
    rows: list[Row] = []
    if figures.get("customer_cost_bps") is not None:
        rows.append(("customers were charged", _bps(figures["customer_cost_bps"]), "of mid, on average, fee included"))
    if figures.get("netting_gain_usd") is not None:
        rows.append(("netting saved", _usd(figures["netting_gain_usd"]), _split(figures.get("gain_shared_usd"))))
    if figures.get("memory_mb") is not None:
        rows.append(("memory at most", f"{_count(figures['memory_mb'])} MB", ""))
    return rows


def _split(shared: Mapping[str, Any] | None) -> str:
    if shared is None:
        return "left over in the hub"
    return ", ".join(f"{who} {_usd(amount)}" for who, amount in shared.items())


def _figure_table(rows: list[Row]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(style="dim")
    for what, value, meaning in rows:
        table.add_row(what, Text(value, "bold red" if value == "NO" else "bold"), meaning)
    table.add_row()
    return table


def _bar_table(bars: list[tuple[str, str, int]]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(justify="right", style="bold", no_wrap=True)
    table.add_column(no_wrap=True)
    for (what, value, length), colour in zip(bars, ("green", "yellow", "red"), strict=True):
        table.add_row(what, value, Text("█" * length, colour))
    return table


def _corridor_table(rows: list[tuple[str, ...]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title="the busiest corridors", title_justify="left")
    for number, name in enumerate(_CORRIDOR_COLUMNS):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _bar_length(bps: Any, longest: float) -> int:
    if bps is None or not longest:
        return 0
    return max(1, round(_BAR_WIDTH * float(bps) / longest)) if float(bps) > 0 else 0


def _count(number: Any) -> str:
    return "not known" if number is None else f"{round(number):,}"


def _ratio(part: Any, whole: Any) -> str:
    return f"{part / whole:,.1f}" if whole else "no"


def _usd(amount: Any) -> str:
    return "not known" if amount is None else f"USD {round(Decimal(str(amount))):,}"


def _bps(bps: Any) -> str:
    return "not known" if bps is None else f"{float(bps):,.1f} bp"


def _saved(figures: Mapping[str, Any]) -> str:
    alone, netted = figures["maker_volume_usd_unnetted"], figures["maker_volume_usd"]
    if alone is None or netted is None or not float(alone):
        return "not known"
    return f"{100 * (1 - float(netted) / float(alone)):.1f} %"


def _duration(milliseconds: Any) -> str:
    if milliseconds is None:
        return "not known"
    if milliseconds < 1000:
        return f"{milliseconds:,.0f} ms"
    seconds = milliseconds / 1000
    return f"{seconds:,.1f} s" if seconds < 120 else f"{seconds / 60:,.1f} min"
