"""`chainwallet`: the commands, one function each."""

from __future__ import annotations

import gc
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.settings import Settings
from chainwallet.kit.telemetry import configure_logging

if TYPE_CHECKING:
    from chainwallet.kit.checks import Check

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Cross-border payments on an EVM chain.")
_out = Console()
_err = Console(stderr=True)

DataDir = Annotated[Path | None, typer.Option(help="Folder of the embedded database, the managed chain and the keys.")]


@contextmanager
def _plain_errors() -> Iterator[None]:
    try:
        yield
    except ChainwalletError as error:
        _err.print(f"[bold red]{error.code}[/] {error.detail}")
        raise typer.Exit(1) from error


def _settings(data_dir: Path | None) -> Settings:
    settings = Settings()
    configure_logging(settings.log_level)
    return settings if data_dir is None else settings.model_copy(update={"data_dir": data_dir})


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    data_dir: DataDir = None,
    workers: Annotated[bool, typer.Option(help="Run the workers in this process too.")] = True,
    demo: Annotated[bool, typer.Option(help="Fill a fresh service with the demo's customers and makers.")] = False,
) -> None:
    """Run the service: REST under /v1, docs under /docs, and the workers that settle."""
    gc.disable()  # until it serves: modules only add to what is there, and looking it through takes as long as they do
    from chainwallet.entrypoints.cli.serving import run_service

    with _plain_errors():
        run_service(_settings(data_dir), host=host, port=port, with_workers=workers, with_demo=demo)


@app.command()
def demo(
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
    payments: Annotated[Path | None, typer.Option(help="Another pain.001 file of payments.")] = None,
    data_dir: DataDir = None,
    chain: Annotated[str | None, typer.Option(help="anvil or embedded; anvil where it is installed.")] = None,
) -> None:
    """Send 2,000 cross-border payments through a fresh service and its chain, and print what it took."""
    from chainwallet.entrypoints.demo.report import print_report
    from chainwallet.entrypoints.demo.run import run_demo

    with _plain_errors():
        figures = run_demo(payments_file=payments, data_dir=data_dir, chain=chain, console=_out)
    if json_file is not None:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(figures, indent=2) + "\n")
    print_report(figures)
    if figures["settled"] != figures["payments"] or not figures["reconciled"]:
        raise typer.Exit(1)


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    options_metavar="--rpc-url URL [--broadcast] [--help]",
)
def deploy(context: typer.Context) -> None:
    """Deploy the contracts to a chain, or go on where a deployment stopped; dry without --broadcast."""
    from chainwallet.entrypoints.cli.deploying import main

    raise typer.Exit(main(context.args))


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    options_metavar="POWER ... --rpc-url URL [--broadcast] [--help]",
)
def govern(context: typer.Context) -> None:
    """Use a power over the contracts: roles, freezes, pauses, minters, listings, anchors; dry without --broadcast."""
    from chainwallet.entrypoints.cli.governing import main

    raise typer.Exit(main(context.args))


@app.command()
def maker(
    pairs: Annotated[str, typer.Option(help="Pairs to quote, both ways: EUR-USD,EUR-GBP.")],
    key: Annotated[str, typer.Option(envvar="CHAINWALLET_OPERATOR_KEY", help="Bearer key with the scope maker.")],
    url: Annotated[str, typer.Option(help="Where the service listens.")] = "http://127.0.0.1:8000",
    spread_bps: Annotated[float, typer.Option(help="From mid to the first level; each further one half of it.")] = 10,
    levels: Annotated[int, typer.Option(min=1, max=20, help="Of each ladder; each twice as large as the last.")] = 3,
    size: Annotated[str, typer.Option(help="What the first level is worth, in euros.")] = "10000",
    skew_bps: Annotated[float, typer.Option(help="How far too much or too little of a currency moves it.")] = 5,
    lasts_s: Annotated[float, typer.Option(min=120, max=86_400, help="How long a ladder lasts unless renewed.")] = 600,
    maker_id: Annotated[str | None, typer.Option(help="Whose ladders; without it a maker is opened.")] = None,
    alias: Annotated[str, typer.Option(help="Of the maker that is opened, or found again.")] = "reference-maker",
    fund: Annotated[str | None, typer.Option(help="Deposit up to this many euros' worth of each currency.")] = None,
    rates: Annotated[str, typer.Option(help="What to quote around: service or ecb.")] = "service",
) -> None:
    """Make a market on a running service: ladders around mid, skewed by inventory, renewed until it is stopped."""
    from chainwallet.client import ApiError
    from chainwallet.client.stream import StreamEnded
    from chainwallet.entrypoints.cli.making import MakerOptions, make_market

    configure_logging(Settings().log_level)
    options = MakerOptions(url, key, pairs, spread_bps, levels, size, skew_bps, lasts_s, maker_id, alias, fund, rates)
    try:
        with _plain_errors():
            make_market(options, say=lambda what: _err.print(f"[dim]{what}[/]"))
    except (ApiError, StreamEnded) as error:
        _err.print(f"[bold red]{error}[/]")
        raise typer.Exit(1) from error


@app.command()
def reconcile(data_dir: DataDir = None) -> None:
    """Compare the books with the chain, position by position; exit status 1 if they differ."""
    from chainwallet.entrypoints.cli.reconciling import reconcile_now

    with _plain_errors():
        comparison = reconcile_now(_settings(data_dir), say=lambda what: _err.print(f"[dim]{what}[/]"))
    table = Table("what", "about", "difference", title=f"as of block {comparison.as_of_block}")
    for difference in comparison.differences:
        table.add_row(difference.kind, difference.subject, difference.detail)
    if comparison.differences:
        _out.print(table)
        raise typer.Exit(1)
    _out.print(f"balanced: {comparison.positions} positions equal the chain at block {comparison.as_of_block}")


@app.command()
def rebuild(
    data_dir: DataDir = None,
    adopt: Annotated[
        bool, typer.Option(help="Book what differs as the chain has it: after restoring a backup.")
    ] = False,
) -> None:
    """Make the settled books again from the chain alone and compare; exit status 1 if they differ."""
    from chainwallet.entrypoints.cli.rebuilding import rebuild_now

    with _plain_errors():
        rebuilt = rebuild_now(_settings(data_dir), say=lambda what: _err.print(f"[dim]{what}[/]"), adopt_chain=adopt)
    books = rebuilt.books
    made = f"{len(books.claims.units)} positions, {len(books.payments)} payments, {len(books.deposits)} deposits"
    if not rebuilt.differences:
        _out.print(f"equal: {made} from the chain alone, as of block {books.claims.block_number}")
        return
    table = Table("what", "about", "difference", title=f"as of block {books.claims.block_number}")
    for difference in rebuilt.differences:
        table.add_row(difference.kind, difference.subject, difference.detail)
    _out.print(table)
    raise typer.Exit(1)


@app.command("verify-receipt")
def verify_receipt(
    file: Annotated[Path, typer.Argument(help="A receipt, as GET /v1/transfers/{id}/receipt gives it.")],
    rpc_url: Annotated[str, typer.Option(help="JSON-RPC address of any node of the chain.")],
) -> None:
    """Verify a receipt against the chain alone; exit status 1 if anything in it is not so."""
    from chainwallet.chain.receipts import verify_receipt as verify

    with _plain_errors():
        checks = verify(json.loads(file.read_text()), rpc_url=rpc_url)
    _print_checks(checks)


@app.command("verify-execution")
def verify_execution(
    file: Annotated[Path, typer.Argument(help="A record, as GET /v1/transfers/{id}/execution gives it.")],
    operator: Annotated[str | None, typer.Option(help="Address that should have committed to the market.")] = None,
    acknowledgement: Annotated[
        Path | None, typer.Option(help="A maker's acknowledged quote: was it withheld from this payment?")
    ] = None,
) -> None:
    """Verify from the record alone that nothing on offer was cheaper; exit status 1 if anything in it is not so."""
    from chainwallet.payments.execution_check import ExecutionMalformed, check_execution

    with _plain_errors():
        try:
            document = json.loads(file.read_text())
            acknowledged = None if acknowledgement is None else json.loads(acknowledgement.read_text())
        except ValueError as error:
            raise ExecutionMalformed(f"This is not JSON: {error}.") from error
        checks = check_execution(document, operator=operator, acknowledgement=acknowledged)
    _print_checks(checks)


@app.command("verify-proof")
def verify_proof(
    file: Annotated[Path, typer.Argument(help="A proof, as GET /v1/customers/{id}/proof gives it.")],
    rpc_url: Annotated[str, typer.Option(help="JSON-RPC address of any node of the chain.")],
) -> None:
    """Verify against the chain alone that one is counted and that reserves cover what is owed; exit status 1 if not."""
    from chainwallet.reconciliation.inclusion import ProofMalformed
    from chainwallet.reconciliation.inclusion import verify_proof as verify

    with _plain_errors():
        try:
            document = json.loads(file.read_text())
        except ValueError as error:
            raise ProofMalformed(f"{file} is not JSON: {error}.") from error
        checks = verify(document, rpc_url=rpc_url)
    _print_checks(checks)


@app.command("anchor-reserves")
def anchor_reserves(data_dir: DataDir = None) -> None:
    """State what everybody is owed at the last final block, and anchor its root on chain."""
    from chainwallet.entrypoints.cli.anchoring import anchor_reserves_now

    with _plain_errors():
        stated = anchor_reserves_now(_settings(data_dir), say=lambda what: _err.print(f"[dim]{what}[/]"))
    claims = sum(int(total["leaves"]) for total in stated.totals)
    _out.print(f"anchored: {stated.root} over {claims} claims as of block {stated.block_number}", soft_wrap=True)


def _print_checks(checks: Sequence[Check]) -> None:
    for check in checks:
        mark = "[green]ok[/]" if check.passed else "[bold red]NO[/]"
        _out.print(f"{mark} {check.claim}: {check.detail}")
    if not all(check.passed for check in checks):
        raise typer.Exit(1)
