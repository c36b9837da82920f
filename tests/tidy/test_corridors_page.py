"""docs/corridors.md says what the code does: every field, every violation, and the worked example to the cent."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

from chainwallet.adapters.rates.ecb import EcbRates
from chainwallet.controls.corridors.decisions import CorridorMap, Facts, ViolationCode
from chainwallet.controls.corridors.document import CorridorData, CorridorsData
from chainwallet.controls.corridors.hours import AfterCutOff
from chainwallet.kit.money import Money
from chainwallet.market.rates import MidMarket

PAGE = (Path(__file__).parents[2] / "docs" / "corridors.md").read_text()


def test_page__names_every_violation_and_no_other() -> None:
    assert set(re.findall(r"`(CORRIDOR_[A-Z_]+)`", PAGE)) - {"CORRIDOR_REFUSED"} == set(ViolationCode)


def test_page__names_every_field() -> None:
    told = set(re.findall(r"`\.?([a-z_.]+)`", PAGE.split("## Fees")[0].split("## Fields")[1]))
    names = {name.split(".")[0] for name in told}
    assert set(CorridorData.model_fields) <= names
    assert set(AfterCutOff) <= told


def test_worked_example__is_what_the_code_answers() -> None:
    document = json.loads(re.search(r"```json\n(.*?)```", PAGE, re.DOTALL)[1])  # type: ignore[index]
    data = CorridorsData(corridors=document["corridors"], risk=document["risk"])
    corridors, mids = CorridorMap(data, revision=1), MidMarket(EcbRates().fixing())
    facts = Facts(
        source="EUR",
        target="CNY",
        at=datetime.fromisoformat("2026-12-23T15:00:00+00:00"),
        amount=Money.parse("EUR", "5000.00"),
        payer_country="DE",
        payee_country="CN",
        purpose="GDDS",
    )
    verdict = corridors.decide(facts, mids)
    assert verdict.violations == ()
    assert verdict.corridor is not None
    tariff = verdict.corridor.tariff("EUR", None, mids, lifetime_s=60, standard_bps=10)
    items = tariff.items(facts.amount.units) if facts.amount else ()
    shown = [(str(item.kind), str(Money("EUR", item.units))) for item in items]
    assert shown == re.findall(r"^\| `(\w+)` \|.*\| ([0-9.]+ EUR) \|$", PAGE, re.MULTILINE)
    assert f"**{Money('EUR', tariff.fee(facts.amount.units if facts.amount else 0))}**" in PAGE
    assert verdict.corridor.hours.deliver_by(facts.at) == datetime.fromisoformat("2026-12-28T11:00:00+00:00")
    wrong = Facts(
        source="EUR",
        target="CNY",
        at=facts.at,
        amount=Money.parse("EUR", "400000.00"),
        payer_country="DE",
        payee_country="CN",
    )
    assert [found.code for found in corridors.decide(wrong, mids).violations] == [
        ViolationCode.PURPOSE_MISSING,
        ViolationCode.ABOVE_MAXIMUM,
    ]
