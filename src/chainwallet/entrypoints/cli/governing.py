"""Use a power over the contracts, or say what that would do.

    chainwallet govern freeze hub 0xACCOUNT --rpc-url URL --private-key-file KEY               what it would do
    chainwallet govern freeze hub 0xACCOUNT --rpc-url URL --private-key-file KEY --broadcast   do it
    chainwallet govern grant COMPLIANCE 0xACCOUNT --rpc-url URL --from 0xMULTISIG              to send from elsewhere
    chainwallet govern minter EUR 0xISSUER 1000000.00 --rpc-url URL ... --broadcast            announce; again: execute

Without --broadcast nothing is sent: the call as its bytes say it, the role it takes, whether this key holds it, and how
the chain answers now. Where the key has an execution delay, the first --broadcast announces the call and one after the
delay executes it; --cancel takes an announcement back. Powers, holders and delays are in docs/contracts.md.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from chainwallet.chain import powers
from chainwallet.chain.blocks import Receipt
from chainwallet.chain.contracts.access_manager import AccessManager, Role
from chainwallet.chain.contracts.currency_token import UNLIMITED
from chainwallet.chain.deployment import Deployment, find_deployment
from chainwallet.chain.errors import PowerNotHeld, PowerUnknown
from chainwallet.chain.governance import Assessment, Standing, assess, cancellation, use, utc
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.powers import Power
from chainwallet.chain.sending import send_call
from chainwallet.entrypoints.cli.chain_options import add_chain_options, add_key_options, signer_from
from chainwallet.keys.addresses import parse_address
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import Money, currency

Build = Callable[[Node, Deployment, argparse.Namespace], Power]
Argument = tuple[str, Callable[[str], Any], str]

_NOTHING_SENT = "Nothing was sent. Add --broadcast to do it."
_ROOT = re.compile(r"0x[0-9a-fA-F]{64}", re.ASCII)
_AFTER = {
    Standing.IMMEDIATE: "done",
    Standing.TO_ANNOUNCE: "announced: run this again when the delay is over, within a week of that",
    Standing.READY: "executed",
}


def main(arguments: list[str] | None = None) -> int:
    """0 when the power was used or could be, 1 for a refusal."""
    options = _parse(arguments)
    console = Console(width=110 if not sys.stdout.isatty() else None)
    try:
        with tempfile.TemporaryDirectory(prefix="chainwallet-") as scratch:
            node = open_node(options.rpc_url, data_dir=Path(scratch))
            try:
                return _run(node, options, console)
            finally:
                node.close()
    except ChainwalletError as error:
        console.print(f"[red]{error.code}[/red]: {error.detail}", soft_wrap=True)
        return 1


def _run(node: Node, options: argparse.Namespace, console: Console) -> int:
    deployment = find_deployment(options.deployments, node)
    signer = None if options.sender else signer_from(node, options)
    caller = parse_address(options.sender) if signer is None else signer.address
    power: Power = options.power(node, deployment, options)
    if options.cancel:
        return _cancel(node, deployment, power, signer, caller, options, console)
    found = assess(node, deployment.access_manager, power, caller)
    _show(found, node, console)
    if not options.broadcast or signer is None:
        console.print(_NOTHING_SENT)
        return 1 if found.refusal is not None or found.standing is Standing.NOT_HELD else 0
    receipt = use(node, signer, found)
    _say_sent(console, _AFTER[found.standing], receipt)
    return 0


def _cancel(
    node: Node,
    deployment: Deployment,
    power: Power,
    signer: LocalSigner | None,
    caller: str,
    options: argparse.Namespace,
    console: Console,
) -> int:
    announced_by = parse_address(options.announced_by or caller)
    data = cancellation(power, announced_by)
    _say(console, "cancels", f"{power.words()}, announced by {announced_by}")
    _say(console, "sends", f"to {deployment.access_manager}: 0x{data.hex()}")
    gas = node.estimate_gas(deployment.access_manager, data, sender=caller)
    _say(console, "the chain says", f"it works, with {gas:,} gas")
    if not options.broadcast or signer is None:
        console.print(_NOTHING_SENT)
        return 0
    _say_sent(console, "cancelled", send_call(node, signer, deployment.access_manager, data))
    return 0


def _show(found: Assessment, node: Node, console: Console) -> None:
    _say(console, "the call", found.power.words())
    _say(console, "on", f"{found.power.target}, chain {node.chain_id}")
    _say(console, "takes", f"the role {found.role_name} ({found.role})")
    _say(console, "held", f"{found.caller} {_standing(found)}")
    if found.standing is Standing.WAITING:
        return
    _say(console, "sends", f"to {found.send_to}: 0x{found.send_data.hex()}")
    answer = f"it works, with {found.gas:,} gas" if found.refusal is None else found.refusal.detail
    _say(console, "the chain says", answer)


def _standing(found: Assessment) -> str:
    match found.standing:
        case Standing.NOT_HELD:
            return f"holds it only from {utc(found.held_from)}" if found.held_from else "does not hold it"
        case Standing.TO_ANNOUNCE:
            return f"{found.standing}, {found.delay_s:,} s ahead"
        case Standing.WAITING:
            return f"{found.standing}: from {utc(found.ready_at)}"
        case _:
            return str(found.standing)


def _say(console: Console, what: str, value: str) -> None:
    console.print(f"{what + ':':<16}{value}", soft_wrap=True, highlight=False, markup=False)


def _say_sent(console: Console, what: str, receipt: Receipt) -> None:
    _say(console, what, f"{receipt.tx_hash} (block {receipt.block_number}, {receipt.gas_used:,} gas)")


def _grant(_: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    return powers.grant(deployment, options.role, parse_address(options.account), delay_s=options.delay_s)


def _set_delay(node: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    account = parse_address(options.account)
    if AccessManager(node, deployment.access_manager).membership(options.role, account).since == 0:
        raise PowerNotHeld(f"{account} does not hold {options.role.name}, so it has no delay to set; grant it first.")
    return powers.grant(deployment, options.role, account, delay_s=options.seconds)


def _revoke(_: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    return powers.revoke(deployment, options.role, parse_address(options.account))


def _minter(_: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    unlimited = options.allowance == "unlimited"
    units = UNLIMITED if unlimited else Money.parse(options.code, options.allowance).units
    return powers.configure_minter(deployment, options.code, parse_address(options.account), units)


def _list(_: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    name = options.currency
    currency_id = int(name) if name.isascii() and name.isdigit() else currency(name).id
    return powers.list_currency(deployment, currency_id, parse_address(options.token))


def _anchor(_: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    if _ROOT.fullmatch(options.root) is None:
        raise PowerUnknown("A root is 0x and 64 hexadecimal digits.")
    root = bytes.fromhex(options.root[2:])
    return powers.anchor_root(deployment, options.kind, options.period, root, options.records)


def _remove_minter(_: Node, deployment: Deployment, options: argparse.Namespace) -> Power:
    return powers.remove_minter(deployment, options.code, parse_address(options.account))


def _on_account(build: Callable[[Deployment, str, str], Power]) -> Build:
    return lambda _, deployment, options: build(deployment, options.place, parse_address(options.account))


def _on_place(build: Callable[[Deployment, str], Power]) -> Build:
    return lambda _, deployment, options: build(deployment, options.place)


def _role(name: str) -> Role:
    try:
        return Role[name.upper()]
    except KeyError:
        raise argparse.ArgumentTypeError(f"no such role; there are {', '.join(one.name for one in Role)}") from None


_ROLE = ("role", _role, ", ".join(one.name for one in Role))
_ACCOUNT = ("account", str, "address")
_PLACE = ("place", str, "`hub`, or a currency for its token")
_CODE = ("code", str, "ISO 4217 code")
_COMMANDS: dict[str, tuple[Build, str, tuple[Argument, ...]]] = {
    "grant": (_grant, "let an account hold a role", (_ROLE, _ACCOUNT)),
    "revoke": (_revoke, "end that, at once", (_ROLE, _ACCOUNT)),
    "delay": (_set_delay, "set a holder's execution delay", (_ROLE, _ACCOUNT, ("seconds", int, "notice before use"))),
    "freeze": (_on_account(powers.freeze), "stop an account's debits, or its tokens", (_PLACE, _ACCOUNT)),
    "unfreeze": (_on_account(powers.unfreeze), "end a freeze", (_PLACE, _ACCOUNT)),
    "pause": (_on_place(powers.pause), "stop settlement, or a token", (_PLACE,)),
    "unpause": (_on_place(powers.unpause), "end a pause", (_PLACE,)),
    "minter": (
        _minter,
        "say how much an account may still mint",
        (_CODE, _ACCOUNT, ("allowance", str, "amount such as 1000000.00, or `unlimited`")),
    ),
    "remove-minter": (_remove_minter, "end an account's minting", (_CODE, _ACCOUNT)),
    "list": (
        _list,
        "bind a currency to its token, for good",
        (("currency", str, "ISO 4217 code, or an id from 1000 up"), ("token", str, "address")),
    ),
    "anchor": (
        _anchor,
        "keep the root of a period's records",
        (
            ("kind", str, "audit-log, liabilities, best-execution, or another label"),
            ("period", int, "Unix second in which the period ended"),
            ("root", str, "32 bytes in hex"),
            ("records", int, "how many records the root commits to"),
        ),
    ),
}


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="chainwallet govern",
        description=(__doc__ or "").partition("\n")[0],
        epilog=(__doc__ or "").partition("\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="POWER")
    for name, (build, text, arguments_of) in _COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        for argument, kind, meaning in arguments_of:
            command.add_argument(argument, type=kind, help=meaning)
        if name == "grant":
            command.add_argument("--delay-s", type=int, help="execution delay; by default its role's, see the docs")
        add_chain_options(command, url_help="JSON-RPC URL of the chain")
        add_key_options(command).add_argument("--from", dest="sender", help="only show it, for a key kept elsewhere")
        command.add_argument("--cancel", action="store_true", help="take the announcement of this call back")
        command.add_argument("--announced-by", help="with --cancel: whose announcement, if not this key's")
        command.set_defaults(power=build)
    return parser.parse_args(arguments)
