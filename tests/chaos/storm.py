"""One key, many times at once, over several processes: each key has one effect and one answer."""

from __future__ import annotations

import threading
from collections import defaultdict

from tests.chaos.fleet import Caller
from tests.chaos.world import World


def storm(world: World, *, keys: int, at_once: int) -> list[str]:
    """Ask for `keys` payments, each `at_once` times over every process; what is wrong with the answers."""
    assert world.stage is not None
    payer, payee = world.stage.payers[0], world.stage.payees[0]
    gate = threading.Barrier(at_once)
    answers: dict[str, list[tuple[int, str]]] = defaultdict(list)
    names = [f"storm-{world.seed}-{number}" for number in range(keys)]
    bodies = {name: _body(name, payer, payee) for name in names}
    for name in names:
        world.record.add("asked", key=name, body=bodies[name])

    def ask(number: int) -> None:
        caller = Caller(world.urls[number % len(world.urls) :] + world.urls[: number % len(world.urls)], world.key)
        gate.wait(timeout=60)
        for name in names:
            answer = caller.call("POST", "/v1/transfers", bodies[name], key=name)
            answers[name].append((answer.status, str(answer.body.get("id"))))
            if answer.status == 201:
                world.record.add("told", key=name, transfer=answer.body)

    threads = [threading.Thread(target=ask, args=(number,), daemon=True) for number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wrong = [f"{name}: {sorted(set(got))}" for name, got in answers.items() if len(set(got)) > 1 or got[0][0] != 201]
    with world.postgres.connect() as database:
        row = database.execute("SELECT count(*) FROM transfer WHERE reference LIKE 'storm-%'").fetchone()
    effects = 0 if row is None else int(row[0])
    return wrong + ([] if effects == keys else [f"{effects} effects of {keys} keys"])


def _body(name: str, payer: str, payee: str) -> dict[str, object]:
    amount = {"currency": "EUR", "value": "1.00"}
    quote = {"source_currency": "EUR", "target_currency": "EUR", "source_amount": amount}
    return {"quote": quote, "payer_id": payer, "payee": {"customer_id": payee}, "reference": name}
