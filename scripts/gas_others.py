"""What others charge for a payment, measured on the same chain: ERC-20 transfers, signed transfers, a swap.

Uniswap v3 comes from its published packages, ERC-20 from OpenZeppelin's; all accounts hold a balance already.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.chain.contracts.currency_token import encode_approve, encode_mint
from chainwallet.keys.addresses import address_bytes
from chainwallet.keys.keccak import keccak
from gas_chain import UNIT, GasChain, key_of

UNISWAP = Path(__file__).resolve().parent.parent / "node_modules" / "@uniswap"
TICK_MAX = 887_220  # the widest range of a pool with ticks of 60: what a full-range position has
FEE_PIPS = 3_000
PRICE_ONE = 2**96
TRANSFER_TYPE = (
    "TransferWithAuthorization(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,"
    "bytes32 nonce)"
)


def call(signature: str, *arguments: Any) -> bytes:
    """The call data of a function by its signature, whose types have no commas of their own or are one tuple."""
    inner = signature[signature.index("(") + 1 : -1]
    types = [inner] if inner.startswith("(") else [kind for kind in inner.split(",") if kind]
    return selector(signature) + encode(types, arguments)


def measure_others(chain: GasChain, codes: dict[str, bytes]) -> dict[str, int]:
    """Gas of each; `codes` creates the contracts `PlainToken` and `CallBatch`."""
    found = {"erc20_transfer": _transfer(chain, codes), "erc20_transfers_100": _transfers(chain, codes)}
    found |= _signed_transfers(chain, codes)
    if (UNISWAP / "v3-core").exists():
        found["uniswap_v3_exact_output"] = _swap(chain, codes)
    return found


def _plain_token(chain: GasChain, codes: dict[str, bytes], holders: list[str]) -> str:
    token = chain.create(codes["PlainToken"])
    for holder in holders:
        chain.used(token, encode_mint(holder, 10**30))
    return token


def _transfer(chain: GasChain, codes: dict[str, bytes]) -> int:
    payee = key_of("payee-0").address
    token = _plain_token(chain, codes, [chain.operator.address, payee])
    return chain.used(token, call("transfer(address,uint256)", payee, 101_370_000))


def _transfers(chain: GasChain, codes: dict[str, bytes]) -> int:
    payees = [key_of(f"payee-{i}").address for i in range(100)]
    token = _plain_token(chain, codes, [chain.operator.address, *payees])
    batch = chain.create(codes["CallBatch"])
    chain.used(token, encode_approve(batch, 10**30))  # below the unlimited allowance that is never written
    amounts = [101_370_000 + i for i in range(100)]
    return round(chain.used(batch, call("transferAll(address,address[],uint256[])", token, payees, amounts)) / 100)


def _signed_transfers(chain: GasChain, codes: dict[str, bytes]) -> dict[str, int]:
    """EIP-3009 on our token: alone, and 100 of them through a batch of calls as Multicall3 makes it."""
    token = chain.deployment.tokens["EUR"]
    for i in range(100):
        for side in ("payer", "payee"):
            chain.used(token, encode_mint(key_of(f"{side}-{i}").address, 10**9))
    data = [_authorized(token, chain.node.chain_id, i) for i in range(100)]
    with chain.undone():
        alone = chain.used(token, data[0])
    batch = chain.create(codes["CallBatch"])
    together = chain.used(batch, call("callAll((address,bytes)[])", [(token, one) for one in data]))
    transfer = chain.used(token, call("transfer(address,uint256)", key_of("payee-0").address, UNIT))
    return {
        "token_transfer": transfer,
        "token_transfer_with_authorization": alone,
        "token_authorizations_100": round(together / 100),
    }


def _authorized(token: str, chain_id: int, index: int) -> bytes:
    payer, payee = key_of(f"payer-{index}"), key_of(f"payee-{index}").address
    nonce = keccak(b"authorization" + bytes([index]))
    domain = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
    separator = keccak(
        domain + keccak(b"chainwallet EUR") + keccak(b"1") + encode(("uint256", "address"), (chain_id, token))
    )
    fields = (payer.address, payee, 101_370_000, 0, 2**40, nonce)
    types = ("address", "address", "uint256", "uint256", "uint256", "bytes32")
    digest = keccak(b"\x19\x01" + separator + keccak(keccak(TRANSFER_TYPE.encode()) + encode(types, fields)))
    signature = payer.sign_digest(digest)
    v, r, s = signature[64], signature[:32], signature[32:64]
    name = "transferWithAuthorization(address,address,uint256,uint256,uint256,bytes32,uint8,bytes32,bytes32)"
    return call(name, *fields, v, r, s)


def _published(package: str, path: str) -> bytes:
    name = Path(path).stem
    artifact = json.loads((UNISWAP / package / "artifacts" / "contracts" / path / f"{name}.json").read_text())
    return bytes.fromhex(artifact["bytecode"][2:])


def _swap(chain: GasChain, codes: dict[str, bytes]) -> int:
    """Exact output through the router to another account, in a pool of one full-range position that traded before."""
    payer, payee, zero = chain.operator.address, key_of("payee-0").address, "0x" + "00" * 20
    tokens = sorted((_plain_token(chain, codes, [payer, payee]) for _ in range(2)), key=address_bytes)
    factory = chain.create(_published("v3-core", "UniswapV3Factory.sol"))
    router = chain.create(
        _published("v3-periphery", "SwapRouter.sol") + encode(("address", "address"), (factory, zero))
    )
    positions = _published("v3-periphery", "NonfungiblePositionManager.sol")
    manager = chain.create(positions + encode(("address", "address", "address"), (factory, zero, zero)))
    create = "createAndInitializePoolIfNecessary(address,address,uint24,uint160)"
    chain.used(manager, call(create, *tokens, FEE_PIPS, PRICE_ONE))
    for token in tokens:
        chain.used(token, encode_approve(manager, 2**256 - 1))
        chain.used(token, encode_approve(router, 2**256 - 1))
    mint = "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
    position = (*tokens, FEE_PIPS, -TICK_MAX, TICK_MAX, 10**20, 10**20, 0, 0, payer, 2**40)
    chain.used(manager, call(mint, position))
    swap = "exactOutputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))"
    order = (*tokens, FEE_PIPS, payee, 2**40, 100_250_000, 2**128, 0)
    chain.used(router, call(swap, order))
    return chain.used(router, call(swap, order))
