"""Reserves and liabilities: stated from the books, anchored on chain, verified by anyone; every lie is found."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from chainwallet.chain.contracts.audit_anchor import AnchorKind, AuditAnchor, encode_anchor
from chainwallet.chain.errors import CallReverted
from chainwallet.chain.serve import serve
from chainwallet.controls.identity.customers import Customer
from chainwallet.entrypoints.cli.anchoring import anchor_reserves
from chainwallet.entrypoints.cli.main import app
from chainwallet.entrypoints.workers.anchor import Anchorer, state_reserves
from chainwallet.entrypoints.workers.leadership import LeaderLock
from chainwallet.entrypoints.workers.loop import Worker
from chainwallet.keys.addresses import address_bytes
from chainwallet.kit.money import currency
from chainwallet.reconciliation.inclusion import ProofMalformed, parse_proof, verify_with
from chainwallet.reconciliation.reserves import ReservesDiffer, ReservesNotAnchored, ReservesShort, proof_for
from chainwallet.reconciliation.sum_tree import CurrencyTotal, leaf, levels, liabilities_root, siblings_of
from chainwallet.settlement.lanes import Call, Fees, TxKind, store_calls

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

SEED = 20260101
GWEI = 10**9


def proven(bench: Bench, account: str) -> dict[str, Any]:
    services = bench.services
    with bench.database.transaction() as session:
        hub, anchor = services.hub.address, services.deployment.anchor
        return proof_for(session, account, chain_id=services.node.chain_id, hub=hub, anchor=anchor)


def holds(bench: Bench, document: Any) -> bool:
    """Whether every check of the proof passes; a document that is none does not."""
    try:
        return all(check.passed for check in verify_with(parse_proof(document), bench.services.node))
    except ProofMalformed:
        return False


def failing(bench: Bench, document: Any) -> list[str]:
    checks = verify_with(parse_proof(document), bench.services.node)
    return [check.claim for check in checks if not check.passed]


def later(bench: Bench) -> None:
    """Let a second pass on the chain: there is one statement a second."""
    bench.services.node.request("evm_increaseTime", [1])
    bench.services.node.request("evm_mine", [])
    bench.run()


def anchored(bench: Bench) -> None:
    later(bench)
    assert state_reserves(bench.services) is not None
    bench.run()


@pytest.fixture
def people(bench: Bench) -> list[Customer]:
    """Six customers with claims, one of them in two currencies, after a payment between two; all of it anchored."""
    found = [bench.funded(EUR=f"{10 + n}.00") for n in range(5)]
    found.append(bench.funded(EUR="100.00", USD="50.00"))
    bench.send(found[5], found[0], "EUR", "EUR", "25.00")
    bench.run()
    anchored(bench)
    return found


def test_statement__every_customer__verifies_with_a_node_alone(bench: Bench, people: list[Customer]) -> None:
    for customer in [*people, bench.customer()]:
        document = json.loads(json.dumps(proven(bench, customer.address)))
        assert failing(bench, document) == []
    owed = {one["currency"]: one["units"] for one in proven(bench, people[5].address)["positions"]}
    assert owed == {"EUR": "75000000", "USD": "50000000"}


def test_statement__counts_all_that_the_hub_holds(bench: Bench, people: list[Customer]) -> None:
    document = proven(bench, people[0].address)
    hub, block = bench.services.hub, document["block_number"]
    for total in document["currencies"]:
        assert int(total["units"]) == hub.total(currency(total["currency"]).id, block=block)
    kept = AuditAnchor(bench.services.node, document["anchor"]).anchored(AnchorKind.LIABILITIES, document["period"])
    assert kept is not None
    assert kept.records == sum(total["leaves"] for total in document["currencies"])


def test_proof__shows_nobody_elses_name(bench: Bench, people: list[Customer]) -> None:
    shown = json.dumps(proven(bench, people[0].address)).lower()
    for other in people[1:]:
        assert other.id.lower() not in shown
        assert other.address.lower() not in shown
        assert other.address[2:].lower() not in shown


def _flipped(text_: str, draw: random.Random) -> str:
    """The text with one character changed into another of the same kind, or any."""
    at = draw.randrange(len(text_))
    kinds = ["0123456789", "abcdef", "ABCDEF", '"{}[]:,xX', "ghijklmnopqrstuvwyz_-. "]
    new = draw.choice([c for kind in kinds for c in kind if c != text_[at]])
    return text_[:at] + new + text_[at + 1 :]


def test_proof__any_byte_changed__is_found(bench: Bench, people: list[Customer]) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    canonical = json.dumps(proven(bench, people[5].address), separators=(",", ":"))
    assert holds(bench, json.loads(canonical))
    tried = 0
    for _ in range(150):
        changed = _flipped(canonical, draw)
        try:
            document = json.loads(changed)
        except ValueError:
            continue  # no JSON any more
        tried += 1
        assert not holds(bench, document), changed
    assert tried > 50


def _leaves(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in children:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _leaves(value, (*path, key))


@pytest.mark.slow
def test_proof__every_field_left_out_or_replaced__is_found(bench: Bench, people: list[Customer]) -> None:
    good = proven(bench, people[5].address)
    for path in _leaves(good):
        if path[0] == "currencies" and len(path) > 1 and path[1] > 1:
            continue  # each has the same fields
        for action in ("left out", None, True, -1, "", "-5", 1.0, [], {}):
            document = json.loads(json.dumps(good))
            place = document
            for key in path[:-1]:
                place = place[key]
            if action == "left out":
                del place[path[-1]]
            elif place[path[-1]] == action:
                continue
            else:
                place[path[-1]] = action
            assert not holds(bench, document), (path, action)


def test_proof__of_another_account_or_statement__is_found(bench: Bench, people: list[Customer]) -> None:
    mine, other = (proven(bench, one.address) for one in people[:2])
    assert not holds(bench, mine | {"account": other["account"]})
    assert not holds(bench, mine | {"positions": other["positions"]})
    bench.fund(people[0], EUR="1.00")
    anchored(bench)
    later = proven(bench, people[0].address)
    assert holds(bench, mine), "an older statement stays as true as it was"
    assert not holds(bench, mine | {"positions": later["positions"]})
    assert not holds(bench, mine | {name: later[name] for name in ("root", "period")})


Lie = Callable[[dict[tuple[str, str], int], Customer], None]


def _hide(claims: dict[tuple[str, str], int], victim: Customer) -> None:
    del claims[victim.address, "EUR"]


def _shrink(claims: dict[tuple[str, str], int], victim: Customer) -> None:
    claims[victim.address, "EUR"] -= 1


def _swap(claims: dict[tuple[str, str], int], victim: Customer) -> None:
    claims[victim.address, "USD"] = claims.pop((victim.address, "EUR"))


def _shift(claims: dict[tuple[str, str], int], victim: Customer) -> None:
    """To an account of the operator's own: the totals stay as they are."""
    claims["0x00000000000000000000000000000000000000AA", "EUR"] = claims.pop((victim.address, "EUR"))


@pytest.mark.parametrize(
    ("lie", "found"),
    [
        (_hide, {"the claims are all that the account had in the hub", "nobody's claim is left out of a total"}),
        (_shrink, {"the claims are all that the account had in the hub", "nobody's claim is left out of a total"}),
        (_swap, {"the claims are all that the account had in the hub", "nobody's claim is left out of a total"}),
        (_shift, {"the claims are all that the account had in the hub"}),
    ],
    ids=["hidden account", "smaller claim", "swapped currency", "claim given to another"],
)
def test_lying_operator__anchors_a_consistent_tree_of_wrong_claims__is_found(
    bench: Bench, people: list[Customer], lie: Lie, found: set[str]
) -> None:
    """The tree is sound and its root is on chain: only the chain's own figures contradict it."""
    victim = people[1]
    document = _anchored_lie(bench, victim, lie)
    # A swap may also leave more owed in the other currency than there are tokens.
    assert set(failing(bench, document)) - {"the hub held the tokens"} == found


def _anchored_lie(bench: Bench, victim: Customer, lie: Lie) -> dict[str, Any]:
    """What a dishonest operator shows the victim after anchoring a tree over other claims than the true ones."""
    services = bench.services
    later(bench)
    block = services.node.head()
    owners = {row[0]: row[1] for row in bench.rows("SELECT id, address FROM customer")}
    owners["treasury"] = services.hub.treasury()
    rows = bench.rows("SELECT owner_id, currency, posted_units FROM account WHERE kind IN ('customer', 'treasury')")
    claims = {(owners.get(owner, owner), code): int(units) for owner, code, units in rows if units > 0}
    lie(claims, victim)
    totals, currencies, positions = [], [], []
    for code in sorted(services.deployment.tokens, key=lambda one: currency(one).id):
        salted = []
        for (account, of), units in claims.items():
            if of == code:
                salt = bytes(31) + b"\x07"
                salted.append((leaf(salt, address_bytes(account), currency(code).id, units), account, units, salt))
        salted.sort(key=lambda one: one[0].hash)
        tree = levels([one[0] for one in salted])
        total = CurrencyTotal(currency(code).id, len(salted), tree[-1][0])
        totals.append(total)
        shown = {"hash": "0x" + total.top.hash.hex(), "units": str(total.top.units)}
        currencies.append({"currency": code, "leaves": total.leaves, **shown})
        for place, (_, account, units, salt) in enumerate(salted):
            if account == victim.address:
                way = [tree[level][beside] for level, beside in siblings_of(place, len(salted))]
                siblings = [{"hash": "0x" + node.hash.hex(), "units": str(node.units)} for node in way]
                told = {"currency": code, "units": str(units), "salt": "0x" + salt.hex(), "place": place}
                positions.append(told | {"siblings": siblings})
    hub = address_bytes(services.hub.address)
    raw_hash = bytes.fromhex(block.hash[2:])
    root = liabilities_root(
        totals, chain_id=services.node.chain_id, hub=hub, block_number=block.number, block_hash=raw_hash
    )
    records = sum(total.leaves for total in totals)
    data = encode_anchor(AnchorKind.LIABILITIES, block.timestamp, root, records)
    with bench.database.transaction() as session:
        call = Call(TxKind.ANCHOR, "a lie", services.deployment.anchor, data, 200_000)
        fees = Fees(100 * GWEI, GWEI)
        store_calls(session, [call], signer=services.operator, chain_id=services.node.chain_id, fees=fees)
    bench.run()
    return {
        "version": 1,
        "chain_id": services.node.chain_id,
        "hub": services.hub.address,
        "anchor": services.deployment.anchor,
        "block_number": block.number,
        "block_hash": block.hash,
        "period": block.timestamp,
        "root": "0x" + root.hex(),
        "currencies": currencies,
        "account": victim.address,
        "positions": positions,
    }


def test_statement__tokens_gone__is_refused_and_found_by_the_verifier(
    bench: Bench, people: list[Customer], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = proven(bench, people[0].address)
    later(bench)
    for module in ("reserves", "inclusion"):
        gone = f"chainwallet.reconciliation.{module}.balances_of"
        monkeypatch.setattr(gone, lambda _, tokens, *__, **___: [0] * len(tokens))
    with pytest.raises(ReservesShort):
        state_reserves(bench.services)
    assert failing(bench, document) == ["the hub held the tokens"]


def test_statement__books_that_differ__is_refused_and_nothing_stored(bench: Bench, people: list[Customer]) -> None:
    before = bench.rows("SELECT count(*) FROM liabilities_statement")
    later(bench)
    with bench.tampered_books(people[0].id, "EUR", 1), pytest.raises(ReservesDiffer):
        state_reserves(bench.services)
    assert bench.rows("SELECT count(*) FROM liabilities_statement") == before


def test_statement__at_one_block__is_made_once(bench: Bench, people: list[Customer]) -> None:
    later(bench)
    assert state_reserves(bench.services) is not None
    assert state_reserves(bench.services) is None
    bench.run()


def test_statement__refused_by_the_anchor__leaves_no_trace(
    bench: Bench, people: list[Customer], monkeypatch: pytest.MonkeyPatch
) -> None:
    later(bench)
    before = bench.rows("SELECT (SELECT count(*) FROM liabilities_statement), (SELECT count(*) FROM chain_tx)")
    nobody = "0x00000000000000000000000000000000000000AA"
    monkeypatch.setattr(type(bench.services.operator), "address", property(lambda _: nobody))
    with pytest.raises(CallReverted):
        state_reserves(bench.services)
    after = bench.rows("SELECT (SELECT count(*) FROM liabilities_statement), (SELECT count(*) FROM chain_tx)")
    assert after == before


def test_statement__not_mined_or_undone_by_a_fork__is_not_shown(bench: Bench, people: list[Customer]) -> None:
    earlier = proven(bench, people[0].address)["root"]
    later(bench)
    snapshot = bench.services.node.request("evm_snapshot", [])
    stated = state_reserves(bench.services)
    assert stated is not None
    assert proven(bench, people[0].address)["root"] == earlier, "signed and stored is not anchored"
    bench.run()
    assert proven(bench, people[0].address)["root"] == stated.root
    bench.services.node.request("evm_revert", [snapshot])
    bench.services.node.request("evm_mine", [])
    bench.index()
    assert proven(bench, people[0].address)["root"] == earlier, "a fork undid it"
    bench.run()
    document = proven(bench, people[0].address)
    assert document["root"] == stated.root, "the same bytes went out again"
    assert failing(bench, document) == []


def test_proof__before_any_statement__says_so(bench: Bench) -> None:
    bench.rows("UPDATE chain_tx SET kind = 'set aside' WHERE kind = 'anchor' RETURNING id")
    with pytest.raises(ReservesNotAnchored):
        proven(bench, bench.customer().address)
    bench.rows("UPDATE chain_tx SET kind = 'anchor' WHERE kind = 'set aside' RETURNING id")


def test_verify__node_of_another_chain__fails_that_check(
    bench: Bench, people: list[Customer], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = proven(bench, people[0].address)
    monkeypatch.setattr(bench.services.node, "chain_id", 5)
    assert failing(bench, document) == ["the node is of the right chain"]


def test_old_trees__are_dropped_and_their_roots_kept(bench: Bench, people: list[Customer], monkeypatch: Any) -> None:
    monkeypatch.setattr("chainwallet.reconciliation.reserves.STATEMENTS_KEPT", 1)
    bench.fund(people[0], EUR="1.00")
    anchored(bench)
    assert bench.rows("SELECT count(DISTINCT statement_id) FROM liability_leaf") == [(1,)]
    assert bench.rows("SELECT count(DISTINCT statement_id) FROM liability_node") == [(1,)]
    assert bench.rows("SELECT count(*) FROM liabilities_statement")[0][0] > 1
    assert holds(bench, proven(bench, people[0].address))


def test_worker__states_by_the_clock__only_when_told_to(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = Anchorer(bench.services)
    assert not worker.step(), "0: never"
    now = 1_000.0
    monkeypatch.setattr("chainwallet.entrypoints.workers.anchor.time.monotonic", lambda: now)
    usual = bench.services.settings
    monkeypatch.setattr(bench.services, "settings", usual.model_copy(update={"reserves_every_s": 60}))
    later(bench)
    assert worker.step()
    now += 59
    later(bench)
    assert not worker.step()
    now += 1
    assert worker.step()
    bench.run()


def test_commands__anchor_and_verify__alone_and_beside_a_service(bench: Bench, tmp_path: Path) -> None:
    customer = bench.funded(EUR="12.00")
    later(bench)
    said: list[str] = []
    stated = anchor_reserves(bench.services, say=said.append)
    assert "catching up with the chain" in said
    assert proven(bench, customer.address)["root"] == stated.root
    service = LeaderLock(bench.database)
    assert service.take()
    sender = Worker("service", lambda: bench.submit() or bench.index(), idle_s=0.05)
    sender.start()
    again = anchor_reserves(bench.services, say=said.append)
    sender.stop()
    sender.join()
    service.release()
    assert again.period >= stated.period
    assert proven(bench, customer.address)["root"] == again.root
    file = tmp_path / "proof.json"
    file.write_text(json.dumps(proven(bench, customer.address)))
    with serve(bench.services.node._transport) as url:  # type: ignore[arg-type]
        good = CliRunner().invoke(app, ["verify-proof", str(file), "--rpc-url", url], env={"COLUMNS": "200"})
        assert good.exit_code == 0, good.output
        assert "is owed 12.00 EUR" in good.output
        file.write_text(file.read_text().replace("12000000", "13000000", 1))
        bad = CliRunner().invoke(app, ["verify-proof", str(file), "--rpc-url", url], env={"COLUMNS": "200"})
        assert bad.exit_code == 1
        assert "NO" in bad.output
        file.write_text("no JSON")
        none = CliRunner().invoke(app, ["verify-proof", str(file), "--rpc-url", url], env={"COLUMNS": "200"})
        assert none.exit_code == 1
        assert "RESERVES_PROOF_MALFORMED" in none.output


def test_claims__of_the_treasury_and_of_strangers__are_leaves_too(bench: Bench, people: list[Customer]) -> None:
    document = proven(bench, bench.services.hub.treasury())
    assert failing(bench, document) == []
    assert document["positions"], "the treasury earned fees"
