"""Deploy the contracts to a chain, or say what that would do.

    chainwallet deploy --rpc-url http://127.0.0.1:8545 --dev-account               what would be done
    chainwallet deploy --rpc-url http://127.0.0.1:8545 --dev-account --broadcast   do it; run again to resume
    chainwallet deploy --rpc-url embedded                                          rehearse on a chain in this process

The key comes from --private-key-file or CHAINWALLET_DEPLOYER_KEY. It becomes administrator, settler and sandbox
issuer: hand the roles on before real money moves (docs/chains.md).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chainwallet.chain.deployer import GWEI, Plan, deploy, plan
from chainwallet.chain.deployment import Deployment
from chainwallet.chain.node import Node, open_node
from chainwallet.entrypoints.cli.chain_options import add_chain_options, add_key_options, signer_from
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.errors import ChainwalletError

CURRENCIES = "EUR,USD,GBP,JPY,CHF,CNY"


def main(arguments: list[str] | None = None) -> int:
    """0 when everything is deployed or the plan was shown, 1 for a refusal."""
    options = _parse(arguments)
    console = Console(width=110 if not sys.stdout.isatty() else None)
    try:
        with tempfile.TemporaryDirectory(prefix="chainwallet-") as scratch:
            node = open_node(options.rpc_url, data_dir=Path(scratch))
            try:
                _run(node, options, console, Path(scratch))
            finally:
                node.close()
    except ChainwalletError as error:
        console.print(f"[red]{error.code}[/red]: {error.detail}", soft_wrap=True)
        return 1
    return 0


def _run(node: Node, options: argparse.Namespace, console: Console, scratch: Path) -> None:
    currencies = [code.strip().upper() for code in options.currencies.split(",") if code.strip()]
    rehearsal = node.kind == "embedded"
    folder = scratch if rehearsal else options.deployments
    signer = LocalSigner("0x" + os.urandom(32).hex()) if rehearsal else signer_from(node, options)
    if rehearsal:
        node.fund(signer.address)
    _show_plan(plan(node, signer, currencies=currencies, folder=folder, treasury=options.treasury), console)
    if not (options.broadcast or rehearsal):
        console.print("Nothing was sent. Add --broadcast to do it.")
        return
    deployment = deploy(
        node,
        signer,
        currencies=currencies,
        folder=folder,
        broadcast=True,
        treasury=options.treasury,
        say=lambda text: console.print(f"  {text}", soft_wrap=True, highlight=False),
    )
    _show_deployment(deployment, console)
    if rehearsal:
        console.print("This was a rehearsal: the chain ends with this process.")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chainwallet deploy",
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_chain_options(parser, url_help="JSON-RPC URL of the chain, or `embedded` for a rehearsal")
    parser.add_argument("--currencies", default=CURRENCIES, help=f"ISO 4217 codes (default {CURRENCIES})")
    parser.add_argument("--treasury", help="address that surplus goes to (default: the deployer); fixed for good")
    add_key_options(parser)
    return parser.parse_args(arguments)


def _show_plan(found: Plan, console: Console) -> None:
    console.print(
        f"Chain {found.chain_id}, deployer {found.deployer}: {found.done} steps done, {len(found.missing)} missing.",
        soft_wrap=True,
    )
    if not found.missing:
        return
    table = Table("step", "what", "gas, about")
    table.columns[2].justify = "right"
    for step in found.missing:
        table.add_row(step.id, step.title, f"{step.gas:,}")
    ether = found.fee_wei / 10**18
    table.add_section()
    table.add_row("", f"at most {ether:.4f} ether at {found.fee_wei // found.gas / GWEI:.2f} gwei", f"{found.gas:,}")
    console.print(table)


def _show_deployment(deployment: Deployment, console: Console) -> None:
    table = Table("contract", "address")
    table.add_row("access manager", deployment.access_manager)
    table.add_row("settlement hub", deployment.hub)
    table.add_row("audit anchor", deployment.anchor)
    for code, address in deployment.tokens.items():
        table.add_row(f"{code} token", address)
    console.print(table)
