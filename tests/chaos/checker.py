"""The independent checker: plain SQL, plain JSON-RPC, and the records of clients and receiver. None of the service.

It asserts what docs/chaos.md lists, and names everything that is not so.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import psycopg
import urllib3
from Crypto.Hash import keccak

from tests.chaos.record import Line

CURRENCY_IDS = {"EUR": 978, "USD": 840, "GBP": 826}  # ISO 4217
UNITS = 10**6
ENDED = ("settled", "failed", "declined", "cancelled", "returned")


class Chain:
    """A contract read by hand-made calls."""

    def __init__(self, url: str, hub: str) -> None:
        self._url, self._hub = url, hub
        self._pool = urllib3.PoolManager(retries=False, timeout=30)

    def ask(self, method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self._pool.request(
            "POST", self._url, body=json.dumps(body), headers={"Content-Type": "application/json"}
        )
        found = json.loads(answer.data)
        if "error" in found:
            raise AssertionError(f"{method}: {found['error']}")
        return found["result"]

    def call(self, to: str, signature: str, *arguments: str | int) -> list[int]:
        """The words that a view returns; addresses are given as hex, numbers as they are."""
        words = [f"{int(one, 16):064x}" if isinstance(one, str) else f"{one:064x}" for one in arguments]
        data = "0x" + _keccak(signature)[:8] + "".join(words)
        raw = self.ask("eth_call", {"to": to, "data": data}, "latest")[2:]
        return [int(raw[at : at + 64], 16) for at in range(0, len(raw), 64)]

    def position(self, account: str, currency: str) -> int:
        return self.call(self._hub, "positionOf(address,uint16)", account, CURRENCY_IDS[currency])[0]

    def total(self, currency: str) -> int:
        return self.call(self._hub, "totalOf(uint16)", CURRENCY_IDS[currency])[0]

    def tokens_held(self, currency: str) -> int:
        token = self.call(self._hub, "tokenOf(uint16)", CURRENCY_IDS[currency])[0]
        return self.call(f"0x{token:040x}", "balanceOf(address)", self._hub)[0]

    def treasury(self) -> str:
        return f"0x{self.call(self._hub, 'treasury()')[0]:040x}"

    def logs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(
            "eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest", "address": self._hub}
        )
        return found

    def settled_orders(self) -> list[str]:
        """Order hashes of every payment event: the anonymous ones, whose first topic is an address."""
        return [log["data"] for log in self.logs() if log["topics"][0].startswith("0x" + "00" * 12)]

    def deposits(self) -> dict[str, int]:
        """Units by deposit id; an id that comes twice is given twice its units."""
        topic = "0x" + _keccak("Deposited(address,uint16,uint128,bytes32)")
        units: Counter[str] = Counter()
        for log in self.logs():
            if log["topics"][0] == topic:
                units[log["topics"][3]] += int(log["data"], 16)
        return units


@dataclass(slots=True)
class Verdict:
    """What was counted, and everything that is wrong."""

    wrong: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def demand(self, holds: bool, what: str) -> None:
        if not holds:
            self.wrong.append(what)

    @property
    def is_sound(self) -> bool:
        return not self.wrong


def await_rest(database: psycopg.Connection[Any], *, timeout_s: float) -> list[str]:
    """Wait until nothing is under way; what still is when nothing came to its end for `timeout_s`."""
    before, end = math.inf, 0.0
    while True:
        left = {
            what: count
            for what, sql in _UNDER_WAY.items()
            if (count := database.execute(sql).fetchone()[0])  # type: ignore[index]
        }
        if not left:
            return []
        if sum(left.values()) < before:
            before, end = sum(left.values()), time.monotonic() + timeout_s
        if time.monotonic() > end:
            return [f"for {timeout_s:.0f} s still under way: {count} {what}" for what, count in left.items()]
        time.sleep(0.25)


_UNDER_WAY = {
    "transfers": "SELECT count(*) FROM transfer WHERE status IN ('accepted', 'submitted', 'in_review')",
    "deposits": "SELECT count(*) FROM deposit WHERE status <> 'settled'",
    "transactions": "SELECT count(*) FROM chain_tx WHERE status IN ('signed', 'sent')",
    "events of the chain": "SELECT count(*) FROM chain_event WHERE NOT matched AND NOT orphaned",
    "events without a position": "SELECT count(*) FROM outbox_event WHERE position IS NULL",
    "letters": "SELECT count(*) FROM webhook_delivery WHERE state = 'pending'",
    "open breaks": "SELECT count(*) FROM reconciliation_break WHERE closed_at IS NULL",
}


def check(database: psycopg.Connection[Any], chain: Chain, told: Sequence[Line], letters: Sequence[Line]) -> Verdict:
    """Compare the four tellers at rest: the clients' record, the books, the chain, the letters."""
    verdict = Verdict()
    rows = _transfers(database)
    _clients(verdict, told, rows)
    _effects(verdict, database, chain, rows)
    _positions(verdict, database, chain, told, rows)
    _ledger(verdict, database)
    _letters(verdict, database, letters, rows)
    verdict.counts |= {
        "transfers": len(rows),
        "settled": sum(row["status"] == "settled" for row in rows.values()),
        "failed": sum(row["status"] == "failed" for row in rows.values()),
        "letters": len(letters),
    }
    return verdict


def _transfers(database: psycopg.Connection[Any]) -> dict[str, dict[str, Any]]:
    names = (
        "id",
        "status",
        "reference",
        "payer_id",
        "payee_id",
        "source_currency",
        "source",
        "target_currency",
        "target",
    )
    rows = database.execute(
        """SELECT id, status, reference, payer_id, payee_id, source_currency, source_units::text, target_currency,
                  target_units::text FROM transfer"""
    ).fetchall()
    return {row[0]: dict(zip(names, row, strict=True)) for row in rows}


def _clients(verdict: Verdict, told: Sequence[Line], rows: dict[str, dict[str, Any]]) -> None:
    """Nothing lost, nothing doubled, nothing that nobody asked for; answers never change."""
    asked = {line["key"]: line["body"] for line in told if line["what"] == "asked"}
    ids: dict[str, set[str]] = defaultdict(set)
    for line in told:
        if line["what"] == "told":
            ids[line["key"]].add(line["transfer"]["id"])
            _as_told(verdict, line, rows.get(line["transfer"]["id"]))
    refused = {line["key"] for line in told if line["what"] == "refused"}
    by_key = Counter(row["reference"] for row in rows.values())
    for key, found in ids.items():
        verdict.demand(len(found) == 1, f"{key}: told of several transfers {sorted(found)}")
    for key, count in by_key.items():
        verdict.demand(key in asked, f"{key}: a transfer that nobody asked for")
        verdict.demand(count == 1, f"{key}: doubled, {count} transfers")
        verdict.demand(key not in refused, f"{key}: refused and done all the same")
    verdict.counts |= {
        "asked": len(asked),
        "acknowledged": len(ids),
        "refused": len(refused),
        "never_answered": sum(line["what"] == "gave_up" for line in told),
    } | Counter(f"refused: {line['code']}" for line in told if line["what"] == "refused")


def _as_told(verdict: Verdict, line: Line, row: dict[str, Any] | None) -> None:
    said = line["transfer"]
    verdict.demand(row is not None, f"{line['key']}: acknowledged and lost, {said['id']}")
    if row is None:
        return
    amounts = (_units(said["source_amount"]), _units(said["target_amount"]))
    same = (int(row["source"]), int(row["target"])) == amounts and row["reference"] == line["key"]
    verdict.demand(same, f"{line['key']}: told {amounts}, stored {row}")
    verdict.demand(row["status"] in ENDED, f"{line['key']}: still {row['status']}")


def _effects(
    verdict: Verdict, database: psycopg.Connection[Any], chain: Chain, rows: dict[str, dict[str, Any]]
) -> None:
    """One event and one journal entry for each settled transfer; neither for any other."""
    hashes = dict(database.execute("SELECT id, order_hash FROM payment_order").fetchall())
    on_chain = Counter(chain.settled_orders())
    entries: Counter[str] = Counter(
        dict(
            database.execute(
                "SELECT reference, count(*) FROM journal_entry WHERE kind = 'payment' GROUP BY 1"
            ).fetchall()
        )
    )
    for transfer_id, row in rows.items():
        wanted = int(row["status"] == "settled")
        events = on_chain.pop(hashes[transfer_id], 0) if transfer_id in hashes else 0
        verdict.demand(events == wanted, f"{transfer_id}: {row['status']}, {events} events on chain")
        verdict.demand(
            entries[transfer_id] == wanted, f"{transfer_id}: {row['status']}, {entries[transfer_id]} entries"
        )
    verdict.demand(not on_chain, f"{len(on_chain)} payments on chain that are no transfer's: {list(on_chain)[:3]}")
    ours = {ref: int(units) for ref, units in database.execute("SELECT chain_ref, units::text FROM deposit").fetchall()}
    verdict.demand(chain.deposits() == ours, "deposits on chain are not those that were asked for")


def _positions(
    verdict: Verdict,
    database: psycopg.Connection[Any],
    chain: Chain,
    told: Sequence[Line],
    rows: dict[str, dict[str, Any]],
) -> None:
    """Customers' positions from what clients were told, the books, and the chain: three times the same figures."""
    expected: Counter[tuple[str, str]] = Counter()
    for line in told:
        if line["what"] == "deposited":
            expected[line["customer"], line["currency"]] += line["units"]
    deposited = Counter(dict.fromkeys(CURRENCY_IDS, 0))
    for (_, code), units in expected.items():
        deposited[code] += units
    for row in rows.values():
        if row["status"] == "settled":
            expected[row["payer_id"], row["source_currency"]] -= int(row["source"])
            expected[row["payee_id"], row["target_currency"]] += int(row["target"])
    makers = {line["customer"] for line in told if line["what"] == "maker"}
    addresses = dict(database.execute("SELECT id, address FROM customer").fetchall()) | {"treasury": chain.treasury()}
    sums: Counter[str] = Counter()
    accounts = database.execute(
        """SELECT owner_id, currency, posted_units::text, held_units::text FROM account
           WHERE kind IN ('customer', 'treasury')"""
    ).fetchall()
    for owner, code, posted, held in accounts:
        position = chain.position(addresses[owner], code)
        sums[code] += position
        verdict.demand(int(posted) == position, f"{owner}/{code}: books {posted}, chain {position}")
        if owner not in makers and owner != "treasury":
            wanted = expected[owner, code]
            verdict.demand(position == wanted, f"{owner}/{code}: chain {position}, clients were told {wanted}")
        verdict.demand(int(held) == 0, f"{owner}/{code}: {held} still held")
    for code in CURRENCY_IDS:
        total, tokens = chain.total(code), chain.tokens_held(code)
        verdict.demand(
            total == sums[code] == deposited[code],
            f"{code}: total {total}, positions {sums[code]}, in {deposited[code]}",
        )
        verdict.demand(tokens >= total, f"{code}: {tokens} tokens behind {total}")
    verdict.counts["positions"] = len(accounts)


def _ledger(verdict: Verdict, database: psycopg.Connection[Any]) -> None:
    for what, sql in _LEDGER.items():
        found = database.execute(sql).fetchall()
        verdict.demand(not found, f"{what}: {found[:3]}")


_LEDGER = {
    "entries that do not sum to zero": """SELECT p.entry_id, a.currency, sum(p.units) FROM posting p
        JOIN account a ON a.id = p.account_id GROUP BY 1, 2 HAVING sum(p.units) <> 0""",
    "balances that are not their postings": """SELECT a.id, a.posted_units, coalesce(sum(p.units), 0) FROM account a
        LEFT JOIN posting p ON p.account_id = a.id GROUP BY a.id HAVING a.posted_units <> coalesce(sum(p.units), 0)""",
    "open holds": "SELECT reference FROM hold WHERE status = 'open'",
    "order nonces given twice": """SELECT payer, source_currency, nonce FROM payment_order
        GROUP BY 1, 2, 3 HAVING count(*) > 1""",
    "nonces with several confirmed transactions": """SELECT sender, nonce FROM chain_tx
        WHERE status IN ('confirmed', 'reverted') GROUP BY 1, 2 HAVING count(*) > 1""",
    "orders in several settled batches": """SELECT order_hash FROM payment_order o
        JOIN chain_event e ON e.key1 = o.order_hash AND e.name = 'PaymentSettled' AND NOT e.orphaned
        GROUP BY 1 HAVING count(*) > 1""",
}


def _letters(
    verdict: Verdict,
    database: psycopg.Connection[Any],
    letters: Sequence[Line],
    rows: dict[str, dict[str, Any]],
) -> None:
    """Each settled transfer's letter came at least once, under one id, signed, and always with the same words."""
    bodies: dict[str, set[str]] = defaultdict(set)
    for letter in letters:
        bodies[letter["event"]].add(letter["body"])
    verdict.demand(all(letter["is_signed"] for letter in letters), "a letter without its signature")
    changed = [event for event, words in bodies.items() if len(words) > 1]
    verdict.demand(not changed, f"letters that changed their words: {changed[:3]}")
    effects: dict[str, set[str]] = defaultdict(set)
    for event, words in bodies.items():
        letter = json.loads(next(iter(words)))
        if letter["type"] == "transfer.settled":
            effects[letter["data"]["id"]].add(event)
    settled = {transfer_id for transfer_id, row in rows.items() if row["status"] == "settled"}
    _same(verdict, "settled without a letter", settled - effects.keys())
    _same(verdict, "letters of transfers that are not settled", effects.keys() - settled)
    twice = [transfer_id for transfer_id, events in effects.items() if len(events) > 1]
    verdict.demand(not twice, f"settled told under several ids: {twice[:3]}")
    dead = database.execute("SELECT count(*) FROM webhook_delivery WHERE state = 'dead'").fetchone()[0]  # type: ignore[index]
    verdict.demand(dead == 0, f"{dead} letters given up")


def _same(verdict: Verdict, what: str, extra: Iterable[str]) -> None:
    found = sorted(extra)
    verdict.demand(not found, f"{what}: {len(found)}, {found[:3]}")


def _units(amount: dict[str, str]) -> int:
    return int(Decimal(amount["value"]) * UNITS)


def _keccak(text: str) -> str:
    return keccak_hex(text.encode())


def keccak_hex(data: bytes) -> str:
    """Keccak-256 without 0x."""
    return keccak.new(digest_bits=256, data=data).hexdigest()
