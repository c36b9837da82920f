"""Which chain, and whose key: the options that every command that sends transactions has."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from chainwallet.chain.errors import ChainNotManaged
from chainwallet.chain.node import Node
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.errors import ChainwalletError

ANVIL_CHAIN_ID = 31337
# The first account of anvil's and hardhat's published test phrase: everybody's key, worth nothing anywhere else.
DEV_KEY = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"


def add_chain_options(parser: argparse.ArgumentParser, *, url_help: str) -> None:
    """--rpc-url, --broadcast and --deployments."""
    parser.add_argument("--rpc-url", required=True, help=url_help)
    parser.add_argument("--broadcast", action="store_true", help="send transactions; without it nothing is sent")
    parser.add_argument("--deployments", type=Path, default=Path("deployments"), help="folder of the records")


def add_key_options(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """--private-key-file or --dev-account; without them CHAINWALLET_DEPLOYER_KEY."""
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--private-key-file", type=Path, help="file with the key in hex")
    key.add_argument("--dev-account", action="store_true", help="on a local anvil: use its first, funded account")
    return key


def signer_from(node: Node, options: argparse.Namespace) -> LocalSigner:
    """The key that the options name; an error that says how to name one otherwise."""
    if options.dev_account:
        if node.chain_id != ANVIL_CHAIN_ID:
            raise ChainNotManaged(
                f"--dev-account is for a local anvil (chain {ANVIL_CHAIN_ID}); chain {node.chain_id} is not one, and "
                "everybody has that key."
            )
        return LocalSigner(DEV_KEY)
    if options.private_key_file is not None:
        return LocalSigner(options.private_key_file.read_text(encoding="ascii").strip())
    key = os.environ.get("CHAINWALLET_DEPLOYER_KEY")
    if not key:
        raise ChainwalletError(
            "Which key sends? Set CHAINWALLET_DEPLOYER_KEY, or give --private-key-file, or --dev-account on a local "
            "anvil."
        )
    return LocalSigner(key)
