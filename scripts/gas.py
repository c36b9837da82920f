#!/usr/bin/env python3
"""What a payment costs in gas, measured on anvil, beside what others charge and what the chain itself demands.

    python scripts/gas.py                    print the table
    python scripts/gas.py --write            and write tests/snapshots/gas.json anew

Everything is deterministic: the same contracts give the same figures, to the unit.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from chainwallet.chain.contracts.settlement_hub import (
    HubDeposit,
    encode_cancel_exit,
    encode_cancel_orders,
    encode_deposit,
    encode_exit,
    encode_request_exit,
)
from gas_chain import (
    EUR,
    TX_GAS_MAX,
    UNIT,
    USD,
    GasChain,
    Market,
    batch_gas,
    gas_chain,
    key_of,
    largest,
)
from gas_others import measure_others

SNAPSHOT = Path(__file__).resolve().parent.parent / "tests" / "snapshots" / "gas.json"
ACCOUNTS = 960
SIZES = (1, 10, 100, 500)
MARKETS = {
    "one_currency": Market(EUR),
    "two_currencies": Market(USD, is_mutual=True),
    "four_makers": Market(USD, makers=4),
    "repeated_payees": Market(USD, is_mutual=True, payments_a_payee=20),
}


def measure(codes: dict[str, bytes]) -> dict[str, int]:
    """Every figure by its name. Batches: gas per payment, rounded; `_listed`: with an access list."""
    with gas_chain(ACCOUNTS) as chain:
        found = {f"four_makers_fresh_quotes_{size}": _each(chain, size, MARKETS["four_makers"]) for size in SIZES}
        chain.draw_on_quotes()
        for name, market in MARKETS.items():
            for size in SIZES:
                if size > 1 or not market.is_mutual:  # one payment alone has nothing to net against
                    found[f"{name}_{size}"] = _each(chain, size, market)
                if size >= 100:
                    found[f"{name}_{size}_listed"] = _each(chain, size, market, listed=True)
        for name in ("one_currency", "four_makers"):
            size, gas = largest(chain, MARKETS[name], listed=False)
            found |= {f"{name}_most": size, f"{name}_most_each": round(gas / size)}
        shared = Market(USD, is_mutual=True, share=54_321)
        for size in (100, 500):
            more = batch_gas(chain, size, shared) - batch_gas(chain, size, MARKETS["two_currencies"])
            found[f"share_{size}"] = round(more / size)
        return found | _single_calls(chain) | measure_others(chain, codes)


def _each(chain: GasChain, size: int, market: Market, *, listed: bool = False) -> int:
    return round(batch_gas(chain, size, market, listed=listed) / size)


def _single_calls(chain: GasChain) -> dict[str, int]:
    """Deposits, exits and cancellations of an account that holds a balance."""
    hub, payer = chain.deployment.hub, key_of("payer-0")
    hundred = [HubDeposit(key_of(f"payer-{i}").address, UNIT, bytes(31) + b"\x01") for i in range(100)]
    found = {
        "deposit": chain.used(hub, encode_deposit(EUR, hundred[:1])),
        "deposits_100": round(chain.used(hub, encode_deposit(EUR, hundred)) / 100),
        "cancel_orders": chain.used(hub, encode_cancel_orders(EUR, 1_000), key=payer),
        "request_exit": chain.used(hub, encode_request_exit(EUR, UNIT, payer.address), key=payer),
        "cancel_exit": chain.used(hub, encode_cancel_exit(EUR), key=payer),
    }
    chain.used(hub, encode_request_exit(EUR, UNIT, payer.address), key=payer)
    chain.node.request("evm_increaseTime", [86_401])
    return found | {"exit": chain.used(hub, encode_exit(payer.address, EUR), key=payer)}


def compiled() -> dict[str, bytes]:
    """What creates the contracts to compare with."""
    from compile_contracts import compile_units

    units = [f"contracts/mocks/{name}.sol" for name in ("PlainToken", "CallBatch")]
    return {name: bytes.fromhex(one.bytecode[2:]) for name, one in compile_units(units).items()}


def main(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Measure the gas of settlement.")
    parser.add_argument("--write", action="store_true", help=f"write {SNAPSHOT.name} anew")
    options = parser.parse_args(arguments)
    console = Console()
    with console.status(f"measuring batches of up to {TX_GAS_MAX:,} gas"):
        found = measure(compiled())
    was: dict[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8")) if SNAPSHOT.exists() else {}
    table = Table("figure", "gas", "change")
    for name in sorted(found):
        change = found[name] - was.get(name, found[name])
        table.add_row(name, f"{found[name]:,}", f"{change:+,}" if change else "")
    console.print(table)
    if options.write:
        kept = {name: value for name, value in was.items() if name.startswith("bytes_")}
        SNAPSHOT.write_text(json.dumps(found | kept, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
