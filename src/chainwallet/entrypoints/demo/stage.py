"""Sets the demo's stage through the REST API: banks, makers, customers, their money, and the makers' quotes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chainwallet.adapters.iso20022 import Instruction
from chainwallet.client import Client, Json
from chainwallet.entrypoints.demo.makers import MAKERS, QuoteDraft, maker_funding, maker_quotes
from chainwallet.entrypoints.demo.population import (
    Funding,
    Mid,
    build_population,
    currency_volumes,
    funding_needs,
)
from chainwallet.kit.money import Money

Tell = Callable[[str, int, int], None]  # what is going on, how far, of how much


@dataclass(frozen=True, slots=True)
class Stage:
    """Who takes part, by alias, and how many quotes the makers have out."""

    ids: dict[str, str]
    quotes: int


def amount(money: Money) -> Json:
    return {"currency": money.code, "value": money.value}


def set_stage(
    client: Client, instructions: Sequence[Instruction], mid: Mid, currencies: Sequence[str], tell: Tell
) -> Stage:
    """Create everyone, fund everyone, and open the market; returns once all the money is there.

    Doing it again is harmless: every call carries an idempotency key made of what it is for. Only quotes are new
    each time, because they expire.
    """
    ids = _create(client, tell)
    quotes = maker_quotes(mid, currencies, volumes_usd_units=currency_volumes(instructions, mid))
    deposits = [*maker_funding(quotes), *funding_needs(instructions, mid)]
    _fund(client, ids, deposits, tell)
    _quote(client, ids, quotes, tell)
    return Stage(ids, len(quotes))


def _each(items: Iterable[Any], work: Callable[[Any], Any], what: str, tell: Tell) -> list[Any]:
    todo = list(items)
    done = []
    with ThreadPoolExecutor(max_workers=8) as pool:
        for result in pool.map(work, todo):
            done.append(result)
            tell(what, len(done), len(todo))
    return done


def _create(client: Client, tell: Tell) -> dict[str, str]:
    population = build_population()
    firsts = [("bank", bank.alias, bank.full_name, bank.country) for bank in population.banks]
    firsts += [("maker", maker.alias, maker.full_name, maker.country) for maker in MAKERS]
    ids = {alias: _customer(client, kind, alias, name, country)["id"] for kind, alias, name, country in firsts}

    def create(one: Any) -> tuple[str, str]:
        extra = {"bank_id": ids[one.bank_alias]} | ({"iban": one.iban} if one.iban else {})
        return one.alias, _customer(client, one.type, one.alias, one.full_name, one.country, **extra)["id"]

    return ids | dict(_each(population.customers, create, "opening accounts", tell))


def _customer(client: Client, kind: str, alias: str, full_name: str, country: str, **extra: str) -> Json:
    body = {"type": kind, "alias": alias, "full_name": full_name, "country": country, **extra}
    return client.post("/v1/customers", body, idempotency_key=f"demo-customer-{alias}")


def _fund(client: Client, ids: dict[str, str], fundings: Sequence[Funding], tell: Tell) -> None:
    def fund(one: Funding) -> str:
        key = f"demo-deposit-{one.alias}-{one.code}-{one.units}"
        money = amount(Money(one.code, one.units))
        return str(client.deposit(ids[one.alias], money, idempotency_key=key)["id"])

    total = len(_each(fundings, fund, "funding them", tell))
    deadline = time.monotonic() + 120
    while (outstanding := _outstanding(client)) and time.monotonic() < deadline:
        tell("money arriving on chain", max(total - outstanding, 0), total)
        time.sleep(0.1)
    if outstanding:
        raise TimeoutError(f"{outstanding} deposits did not settle within two minutes.")
    tell("money arriving on chain", total, total)


def _outstanding(client: Client) -> int:
    return sum(
        len(client.get("/v1/deposits", status=status, limit=200)["items"]) for status in ("pending", "submitted")
    )


def _quote(client: Client, ids: dict[str, str], quotes: Sequence[QuoteDraft], tell: Tell) -> None:
    expires_at = (datetime.now(UTC) + timedelta(days=1)).isoformat()

    def post(numbered: tuple[int, QuoteDraft]) -> str:
        number, quote = numbered
        body = {
            "maker_id": ids[quote.maker_alias],
            "sell": amount(Money(quote.sell_code, quote.sell_units)),
            "buy": amount(Money(quote.buy_code, quote.buy_units)),
            "expires_at": expires_at,
        }
        return str(client.post("/v1/maker-quotes", body, idempotency_key=f"demo-quote-{number}-{expires_at}")["id"])

    _each(enumerate(quotes), post, "makers quoting", tell)
