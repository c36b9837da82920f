"""The corridors of the demo, with the World Bank's figures for each (corridors.csv names the sources)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files


@dataclass(frozen=True, slots=True)
class Corridor:
    """One direction between two countries (ISO 3166-1 alpha-2).

    `cost_bps` is the average total cost of sending USD 200, in basis points of the amount; None where the
    World Bank reports none.
    """

    sender_country: str
    receiver_country: str
    source_currency: str
    target_currency: str
    usd_million_a_year: int
    cost_bps: int | None

    @property
    def countries(self) -> tuple[str, str]:
        return self.sender_country, self.receiver_country


@cache
def load_corridors() -> tuple[Corridor, ...]:
    """Every corridor of corridors.csv, ordered by the countries' codes."""
    text = files(__package__).joinpath("corridors.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(line for line in text.splitlines() if not line.startswith("#"))
    return tuple(_corridor(row) for row in rows)


@cache
def country_currencies() -> dict[str, str]:
    """The currency of each country that a corridor starts or ends in."""
    found: dict[str, str] = {}
    for corridor in load_corridors():
        found[corridor.sender_country] = corridor.source_currency
        found[corridor.receiver_country] = corridor.target_currency
    return dict(sorted(found.items()))


@cache
def world_bank_costs() -> dict[tuple[str, str], int]:
    """Basis points by (sender country, receiver country), for the corridors that have a figure."""
    return {corridor.countries: corridor.cost_bps for corridor in load_corridors() if corridor.cost_bps is not None}


def _corridor(row: dict[str, str]) -> Corridor:
    return Corridor(
        sender_country=row["sender_country"],
        receiver_country=row["receiver_country"],
        source_currency=row["source_currency"],
        target_currency=row["target_currency"],
        usd_million_a_year=int(row["usd_million_a_year"]),
        cost_bps=int(Decimal(row["cost_percent"]) * 100) if row["cost_percent"] else None,
    )
