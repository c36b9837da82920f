"""The service is gone, and a customer leaves with nothing but a key: the lines of docs/contracts.md, as they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from eth_account import Account

from chainwallet.chain.contracts.currency_token import CurrencyToken
from chainwallet.ledger import AccountKind

if TYPE_CHECKING:
    from tests.integration.conftest import Bench

CONTRACTS = Path(__file__).parents[3] / "docs" / "contracts.md"
ETHER = 10**18


@pytest.fixture
def lines() -> Iterator[str]:
    """The code of the page's section, block by block."""
    section = CONTRACTS.read_text().split("### With nothing but a key")[1].split("\n### ")[0]
    return iter(re.findall(r"```python\n(.*?)```", section, re.DOTALL))


@pytest.mark.slow
def test_key_alone__asks_and_collects_and_the_books_catch_up(
    anvil_bench: Bench, lines: Iterator[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, services = anvil_bench, anvil_bench.services
    owner, payee = bench.funded(EUR="100.00"), bench.customer()
    transfer_id = bench.send(owner, payee, "EUR", "EUR", "30.00")
    with bench.database.transaction() as session:
        keystore = services.vault.export_keystore(session, owner.address, password="mine", scrypt_n=2)
    services.node.request("anvil_setBalance", [owner.address, hex(ETHER)])
    monkeypatch.setenv("RPC_URL", services.rpc_url)
    monkeypatch.setenv("PRIVATE_KEY", "0x" + Account.decrypt(keystore, "mine").hex())
    monkeypatch.setenv("HUB", services.hub.address)
    names: dict[str, Any] = {}
    for block in (next(lines), next(lines)):
        exec(block, names)
    services.node.request("evm_increaseTime", [services.hub.exit_delay() + 1])
    services.node.request("evm_mine", [])
    exec(next(lines), names)
    token = CurrencyToken(services.node, services.deployment.tokens["EUR"])
    assert token.balance_of(owner.address) == 100_000_000, "all of it, though a payment had been promised"
    bench.index()
    while bench.book():
        pass
    assert bench.transfer(transfer_id).failure_code == "TRANSFER_FUNDS_LEFT"
    assert bench.units(owner.id, "EUR") == (0, 0)
    assert bench.units(owner.id, "EUR", AccountKind.EXIT) == (0, 0)
    assert bench.compare().balanced
    assert next(lines, None) is None, "no line is left untried"
