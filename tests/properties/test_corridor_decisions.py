"""The verdict on a payment along its corridor: pure, whole, and the same as a plain reading of the rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import product
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chainwallet.controls.corridors.decisions import CorridorMap, Facts, Verdict
from chainwallet.controls.corridors.document import CorridorsData
from chainwallet.controls.identity.customers import CustomerType
from chainwallet.kit.money import Money
from chainwallet.market.rates import Fixing, MidMarket

MIDS = MidMarket(Fixing(date(2026, 11, 20), {"EUR": Fraction(1), "USD": Fraction(11, 10), "CNY": Fraction(8)}))
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
CURRENCIES, COUNTRIES, PURPOSES = ("EUR", "USD", "CNY"), ("DE", "US", "CN"), ("GDDS", "SALA", "RENT")
MONEY = {"EUR": 1_000_000, "USD": 1_100_000, "CNY": 8_000_000}


def money(code: str, euros: int) -> dict[str, str]:
    return {"currency": code, "value": f"{euros * MONEY[code] // 1_000_000}.00"}


@st.composite
def corridor(draw: st.DrawFn, number: int) -> dict[str, Any]:
    found: dict[str, Any] = {"id": f"c{number}", "enabled": draw(st.integers(0, 4)) > 0}
    for name, values in (
        ("source_currency", CURRENCIES),
        ("target_currency", CURRENCIES),
        ("payer_country", COUNTRIES),
        ("payee_country", COUNTRIES),
    ):
        found[name] = draw(st.none() | st.sampled_from(values))
    for name, hours in (
        ("valid_from", draw(st.sampled_from((None, -1, 1)))),
        ("valid_until", draw(st.sampled_from((None, 2, 3)))),
    ):
        found[name] = None if hours is None else (NOW + timedelta(hours=hours)).isoformat()
    if draw(st.booleans()):
        found["minimum"] = money(draw(st.sampled_from(CURRENCIES)), 100)
    if draw(st.booleans()):
        found["maximum"] = money(draw(st.sampled_from(CURRENCIES)), 1_000)
    if draw(st.booleans()):
        allowed = draw(st.sets(st.sampled_from(PURPOSES), max_size=2))
        found["purpose"] = {"codes": sorted(allowed), "required": draw(st.booleans())}
    if draw(st.booleans()):
        found["fees"] = {
            "standard": {"tiers": [{"rate_bps": "10"}]},
            "by_payer_type": {"business": {"tiers": [{"rate_bps": "5"}]}},
        }
    return found


@st.composite
def maps(draw: st.DrawFn) -> CorridorMap:
    wanted = [draw(corridor(number)) for number in range(draw(st.integers(1, 6)))]
    kept: dict[tuple[Any, ...], dict[str, Any]] = {}
    for one in wanted:
        kept[one["source_currency"], one["target_currency"], one["payer_country"], one["payee_country"]] = one
    return CorridorMap(CorridorsData.model_validate({"corridors": list(kept.values())}), revision=1)


known_facts = st.builds(
    Facts,
    source=st.sampled_from(CURRENCIES),
    target=st.sampled_from(CURRENCIES),
    at=st.just(NOW),
    amount=st.builds(
        lambda code, euros: Money(code, euros * MONEY[code]),
        st.sampled_from(CURRENCIES),
        st.sampled_from((99, 100, 500, 1_000, 1_001)),
    ),
    payer_country=st.sampled_from(COUNTRIES),
    payee_country=st.sampled_from(COUNTRIES),
    payer_type=st.sampled_from(CustomerType),
    purpose=st.none() | st.sampled_from(PURPOSES),
)


def read_aloud(corridors: CorridorMap, facts: Facts) -> tuple[str | None, set[str]]:
    """The rules in the order in which a person would apply them, of facts that are all known but the purpose."""
    matching = [
        (sum(part is not None for part in one.key), [part is not None for part in reversed(one.key)], one)
        for one in corridors.data.corridors
        if all(
            part in (None, fact)
            for part, fact in zip(
                one.key, (facts.source, facts.target, facts.payer_country, facts.payee_country), strict=True
            )
        )
        and (one.valid_from is None or one.valid_from <= facts.at)
        and (one.valid_until is None or one.valid_until > facts.at)
    ]
    if not matching:
        return None, {"CORRIDOR_NONE"}
    best = max(matching, key=lambda found: found[:2])[2]
    wrong = set() if best.enabled else {"CORRIDOR_DISABLED"}
    assert facts.amount is not None
    euros = facts.amount.units // MONEY[facts.amount.code]
    if best.minimum is not None and euros < 100:
        wrong.add("CORRIDOR_BELOW_MINIMUM")
    if best.maximum is not None and euros > 1_000:
        wrong.add("CORRIDOR_ABOVE_MAXIMUM")
    if best.purpose is not None and facts.purpose is None and best.purpose.required:
        wrong.add("CORRIDOR_PURPOSE_MISSING")
    if best.purpose is not None and facts.purpose and best.purpose.codes and facts.purpose not in best.purpose.codes:
        wrong.add("CORRIDOR_PURPOSE_NOT_ALLOWED")
    return best.id, wrong


def codes(verdict: Verdict) -> set[str]:
    return {violation.code for violation in verdict.violations}


@settings(deadline=None, max_examples=400)
@given(maps(), known_facts)
def test_all_is_known__the_verdict_is_the_rules_read_aloud(corridors: CorridorMap, facts: Facts) -> None:
    verdict = corridors.decide(facts, MIDS)
    assert (verdict.corridor.id if verdict.corridor else None, codes(verdict)) == read_aloud(corridors, facts)
    assert len(verdict.violations) == len(codes(verdict)), "each is told once"
    assert corridors.decide(facts, MIDS) == verdict, "and the same again"


@settings(deadline=None, max_examples=300)
@given(maps(), known_facts, st.sets(st.sampled_from(("payer_country", "payee_country", "payer_type", "amount"))))
def test_something_is_unsaid__what_is_told_holds_whatever_it_turns_out_to_be(
    corridors: CorridorMap, facts: Facts, unsaid: set[str]
) -> None:
    """Nothing is refused that could be right; and once nothing is missing, saying more changes no terms."""
    partial = Facts(**{name: None if name in unsaid else getattr(facts, name) for name in Facts.__slots__})
    verdict = corridors.decide(partial, MIDS)
    missing = {code for code in codes(verdict) if code.endswith("_MISSING")} - {"CORRIDOR_PURPOSE_MISSING"}
    for violation in verdict.violations:
        if violation.code in missing:
            assert violation.field in unsaid, "only what was not said is missing"
    completions = [
        Facts(
            **{name: getattr(facts, name) for name in Facts.__slots__}
            | {"payer_country": payer, "payee_country": payee}
        )
        for payer, payee in product(
            (*COUNTRIES, "FR") if "payer_country" in unsaid else (facts.payer_country,),
            (*COUNTRIES, "FR") if "payee_country" in unsaid else (facts.payee_country,),
        )
    ]
    told = [corridors.decide(whole, MIDS) for whole in completions]
    if not missing and verdict.corridor is not None:
        assert {found.corridor for found in told} == {verdict.corridor}, "the countries did not matter"
    if "amount" not in unsaid:
        assert all(codes(verdict) - missing <= codes(found) or found.corridor is None for found in told)


@settings(deadline=None)
@given(maps(), known_facts)
def test_asks_who__is_whether_the_parties_can_matter(corridors: CorridorMap, facts: Facts) -> None:
    assume(not corridors.asks_who(facts.source, facts.target))
    unknown = Facts(source=facts.source, target=facts.target, at=facts.at, amount=facts.amount, purpose=facts.purpose)
    assert corridors.decide(unknown, MIDS) == corridors.decide(facts, MIDS)
