"""Published hashes and a published signature of EIP-3009, EIP-2612 and EIP-712, reproduced, and taken by the token.

Sources:
- Type hashes: https://eips.ethereum.org/EIPS/eip-3009 and https://eips.ethereum.org/EIPS/eip-2612, and the constants of
  https://github.com/circlefin/stablecoin-evm (contracts/v2/EIP3009.sol, EIP2612.sol, util/EIP712.sol).
- Domain separator: what USDC answers on Ethereum, 0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48.
- Signature: the worked example of the x402 protocol's scheme "exact" on EVM, https://github.com/coinbase/x402,
  specs/schemes/exact/scheme_exact_evm.md: an authorization over USDC on Base Sepolia.
"""

from __future__ import annotations

import pytest
from eth_abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import function_signature_to_4byte_selector, keccak
from hub_world import artifact

pyrevm = pytest.importorskip("pyrevm", reason="pip install pyrevm")

MOVE = "address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce"
PUBLISHED = {
    f"TransferWithAuthorization({MOVE})": "7c7c6cdb67a18743f49ec6fa9b35f50d52ed05cbed4cc592e13b44501c1a2267",
    f"ReceiveWithAuthorization({MOVE})": "d099cc98ef71107a616c4f0f941f04c322d8e254fe26b3c6668db87aae413de8",
    "CancelAuthorization(address authorizer,bytes32 nonce)": (
        "158b0a9edf7a828aad02f63cd515c68ef2f50ba807396f6d12842833a1597429"
    ),
    "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)": (
        "6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9"
    ),
    "EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)": (
        "8b73c3c69bb8fe3d512ecc4cf759cc79239f7b179b0ffacaa9a75d522b39400f"
    ),
}
USDC_SEPARATOR = "06c37168a7db5138defc7866392bb87a741f9b3d104deb5094588ce041cae335"

BASE_SEPOLIA, ASSET = 84_532, "0x036CbD53842c5426634e7929541eC2318f3dCF7e"
PAYER, PAYEE = "0x857b06519E91e3A54538791bDbb0E22373e36b66", "0x209693Bc6afc0C5328bA36FaF03C514EF312287C"
VALUE, VALID_AFTER, VALID_BEFORE = 10_000, 1_740_672_089, 1_740_672_154
NONCE = bytes.fromhex("f3746613c2d920b5fdabc0856f2aeb2d4f88ee6037b8cc5d04a71a4462f13480")
SIGNATURE = bytes.fromhex(
    "2d6a7588d6acca505cbf0d9a4a227e0c52c6c34008c8e8986a1283259764173608a2ce6496642e377d6da8dbbf5836e9bd15092f9ecab05ded"
    "3d6293af148b571c"
)
BALANCES_SLOT = 1  # of the mapping in CurrencyToken; the test reads the balance back


@pytest.mark.parametrize("type_", PUBLISHED, ids=[type_.partition("(")[0] for type_ in PUBLISHED])
def test_type_hash__published__is_in_the_tokens_code(type_: str) -> None:
    assert keccak(text=type_).hex() == PUBLISHED[type_]
    assert PUBLISHED[type_] in artifact("CurrencyToken")["deployedBytecode"], "pushed as a constant"


def test_domain_separator__of_usdc__is_the_published_one() -> None:
    assert _separator("USD Coin", 1, "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48").hex() == USDC_SEPARATOR


def test_signature__published_example__recovers_its_payer() -> None:
    members = [dict(zip(("type", "name"), member.split(" "), strict=True)) for member in MOVE.split(",")]
    message = encode_typed_data(
        domain_data={"name": "USDC", "version": "2", "chainId": BASE_SEPOLIA, "verifyingContract": ASSET},
        message_types={"TransferWithAuthorization": members},
        message_data=dict(
            zip(
                (member["name"] for member in members),
                (PAYER, PAYEE, VALUE, VALID_AFTER, VALID_BEFORE, NONCE),
                strict=True,
            )
        ),
    )
    assert message.header == _separator("USDC", BASE_SEPOLIA, ASSET)
    assert Account.recover_message(message, signature=SIGNATURE) == PAYER


@pytest.mark.parametrize("is_split", [False, True], ids=["one piece", "v r s"])
def test_signature__published_example__moves_the_units_in_the_token(is_split: bool) -> None:
    chain = _UsdcOnBaseSepolia(VALID_BEFORE - 1)
    chain.redeem(VALUE, is_split=is_split)
    assert (chain.balance(PAYER), chain.balance(PAYEE)) == (0, VALUE)
    with pytest.raises(RuntimeError):
        chain.redeem(VALUE, is_split=is_split)


@pytest.mark.parametrize(
    ("value", "at"),
    [(VALUE - 1, VALID_BEFORE - 1), (VALUE, VALID_AFTER), (VALUE, VALID_BEFORE)],
    ids=["another value", "too early", "too late"],
)
def test_signature__published_example_changed_or_out_of_time__refused(value: int, at: int) -> None:
    chain = _UsdcOnBaseSepolia(at)
    with pytest.raises(RuntimeError):
        chain.redeem(value)
    assert chain.balance(PAYEE) == 0


class _UsdcOnBaseSepolia:
    """The token's own code at USDC's address on Base Sepolia, under USDC's domain: name "USDC", version "2"."""

    def __init__(self, timestamp: int) -> None:
        self._evm = pyrevm.EVM(
            env=pyrevm.Env(
                cfg=pyrevm.CfgEnv(chain_id=BASE_SEPOLIA), block=pyrevm.BlockEnv(timestamp=timestamp, gas_limit=2**40)
            ),
            gas_limit=2**40,
            spec_id="PRAGUE",
        )
        arguments = encode(("string", "string", "address"), ("USDC", "USDC", ASSET))
        made = self._evm.deploy(PAYEE, bytes.fromhex(artifact("CurrencyToken")["bytecode"][2:]) + arguments)
        # Ours is version 1 of its domain; the constructor put the version's hash into the code.
        code = bytes(self._evm.get_code(made))
        assert code.count(keccak(text="1")) >= 1
        code = code.replace(keccak(text="1"), keccak(text="2"))
        self._evm.insert_account_info(ASSET, pyrevm.AccountInfo(code=code))
        slot = int.from_bytes(keccak(encode(("address", "uint256"), (PAYER, BALANCES_SLOT))), "big")
        self._evm.insert_account_storage(ASSET, slot, VALUE)
        assert self.balance(PAYER) == VALUE
        assert self._call("DOMAIN_SEPARATOR()", b"") == _separator("USDC", BASE_SEPOLIA, ASSET)

    def redeem(self, value: int, *, is_split: bool = False) -> None:
        """Anyone sends the published authorization; RuntimeError when the token refuses it."""
        move = ("address", "address", "uint256", "uint256", "uint256", "bytes32")
        values = (PAYER, PAYEE, value, VALID_AFTER, VALID_BEFORE, NONCE)
        tail = ("uint8", "bytes32", "bytes32") if is_split else ("bytes",)
        parts = (SIGNATURE[64], SIGNATURE[:32], SIGNATURE[32:64]) if is_split else (SIGNATURE,)
        signature = f"transferWithAuthorization({','.join(move + tail)})"
        self._call(signature, encode(move + tail, values + parts))

    def balance(self, account: str) -> int:
        answer = self._call("balanceOf(address)", encode(("address",), (account,)))
        return int(decode(("uint256",), answer)[0])

    def _call(self, signature: str, arguments: bytes) -> bytes:
        data = function_signature_to_4byte_selector(signature) + arguments
        return bytes(self._evm.message_call("0x" + "11" * 20, ASSET, calldata=data))


def _separator(name: str, chain_id: int, asset: str) -> bytes:
    domain = PUBLISHED["EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"]
    words = (bytes.fromhex(domain), keccak(text=name), keccak(text="2"), chain_id, asset)
    return keccak(encode(("bytes32", "bytes32", "bytes32", "uint256", "address"), words))
