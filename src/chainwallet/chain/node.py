"""One chain as seen through one node: typed reads, calls, and sends whose outcome is a value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from chainwallet.chain.blocks import BlockRef, Log, RawObject, Receipt, parse_block, parse_log, parse_receipt, to_bytes
from chainwallet.chain.contracts.reverts import reverted
from chainwallet.chain.errors import ChainNotManaged, ChainUnreachable, RpcRefused, StateUnavailable
from chainwallet.chain.outcome import Accepted, AlreadyKnown, Rejected, RejectReason, Sent, Unknown
from chainwallet.chain.transport import HttpTransport, Request, Transport
from chainwallet.keys.addresses import ZERO_ADDRESS
from chainwallet.keys.keccak import keccak

Kind = Literal["embedded", "anvil", "remote"]

FUND_WEI = 10_000 * 10**18
FUND_BELOW_WEI = 1_000 * 10**18
TIP_WEI = 10**9  # where a node has no suggestion

# What clients say, in lower case; the first match decides. geth, anvil, nethermind, besu, erigon and reth differ.
_KNOWN = ("already known", "already imported", "alreadyknown", "known transaction", "already exists")
_REASONS = (
    (RejectReason.NONCE_TOO_LOW, ("nonce too low", "nonce is too low", "oldnonce", "nonce below")),
    (RejectReason.INSUFFICIENT_FUNDS, ("insufficient funds", "insufficient balance", "insufficientfunds")),
    (
        RejectReason.UNDERPRICED,
        ("underpriced", "fee too low", "feetoolow", "less than block base fee", "lower than block's base fee"),
    ),
    (RejectReason.REVERTED, ("revert",)),
)
_INTERNAL_ERROR = -32603  # a gateway's word for "something happened": the transaction may have gone through
_PRUNED = ("blockoutofrange", "missing trie node", "state not available", "state is not available", "pruned")


class Node:
    """Typed JSON-RPC of one chain. Thread-safe; `close` when done (a managed chain stops with it).

    Every method raises ChainUnreachable without a usable answer and RpcRefused for an error of the node, unless it
    says otherwise.
    """

    def __init__(self, transport: Transport, *, kind: Kind, url: str, stop: Callable[[], None] | None = None) -> None:
        self._transport = transport
        self._stop = stop
        self.kind: Kind = kind
        self.url = url
        self.chain_id = int(transport.request("eth_chainId", []), 16)
        self.genesis_hash = self.raw_block(0)["hash"].lower()  # type: ignore[index]  # every chain has a block 0

    def request(self, method: str, params: list[Any], *, retry: bool = True) -> Any:
        """Any JSON-RPC method, with its raw result."""
        return self._transport.request(method, params, retry=retry)

    def close(self) -> None:
        """Release connections, and stop the chain if this process started it."""
        self._transport.close()
        if self._stop is not None:
            self._stop()
            self._stop = None

    def head(self) -> BlockRef:
        """The latest block."""
        return parse_block(self.request("eth_getBlockByNumber", ["latest", False]))

    def block(self, number: int) -> BlockRef | None:
        """The canonical block with this number; None above the head."""
        raw = self.raw_block(number)
        return parse_block(raw) if raw is not None else None

    def block_by_hash(self, block_hash: str) -> BlockRef | None:
        """The block with this hash, canonical or not; None if the node does not have it (any more)."""
        raw = self.raw_block(block_hash)
        return parse_block(raw) if raw is not None else None

    def raw_block(self, block: int | str) -> RawObject | None:
        """The header, by number or hash, as the node sends it (proofs need every field)."""
        if isinstance(block, str):
            found = self.request("eth_getBlockByHash", [block, False])
        else:
            found = self.request("eth_getBlockByNumber", [hex(block), False])
        return found if found is None or isinstance(found, dict) else None

    def receipts(self, block: int | str) -> list[Receipt]:
        """Every receipt of a block, by number or hash, in order; none for a block that the node does not have."""
        return [parse_receipt(raw) for raw in self.raw_receipts(block)]

    def raw_receipts(self, block: int | str) -> list[RawObject]:
        """As `receipts`, as the node sends them."""
        key = hex(block) if isinstance(block, int) else block
        return self.request("eth_getBlockReceipts", [key]) or []

    def receipt(self, tx_hash: str) -> Receipt | None:
        """The receipt of a mined transaction; None while it is pending, dropped or unheard of."""
        raw = self.raw_receipt(tx_hash)
        return parse_receipt(raw) if raw is not None else None

    def raw_receipt(self, tx_hash: str) -> RawObject | None:
        """As `receipt`, as the node sends it; None while it is pending."""
        raw = self.request("eth_getTransactionReceipt", [tx_hash])
        return raw if isinstance(raw, dict) and raw.get("blockHash") is not None else None

    def knows(self, tx_hash: str) -> bool:
        """Whether the node has the transaction, mined or in its pool."""
        return self.request("eth_getTransactionByHash", [tx_hash]) is not None

    def logs(self, from_block: int, to_block: int, address: str) -> list[Log]:
        """The logs of a contract in blocks from..to, both included."""
        wanted = {"fromBlock": hex(from_block), "toBlock": hex(to_block), "address": address}
        return [parse_log(raw) for raw in self.request("eth_getLogs", [wanted])]

    def call(self, to: str, data: bytes, *, sender: str | None = None, block: int | None = None) -> bytes:
        """What the contract returns at a block (latest by default).

        Raises CallReverted with the decoded error, StateUnavailable when the node has forgotten that block's state.
        """
        try:
            return to_bytes(self.request("eth_call", [_call(to, data, sender), _tag(block)]))
        except RpcRefused as refused:
            raise _call_error(refused) from None

    def call_many(self, calls: Sequence[tuple[str, bytes]], *, block: int | None = None) -> list[bytes]:
        """As `call`, several (to, data) in one round trip."""
        requests: list[Request] = [("eth_call", [_call(to, data, None), _tag(block)]) for to, data in calls]
        try:
            return [to_bytes(result) for result in self._transport.batch(requests)]
        except RpcRefused as refused:
            raise _call_error(refused) from None

    def estimate_gas(self, to: str | None, data: bytes, *, sender: str) -> int:
        """What the transaction would use now, without a margin; CallReverted if it would revert."""
        call = _call(to, data, sender)
        try:
            return int(self.request("eth_estimateGas", [call]), 16)
        except RpcRefused as refused:
            raise _call_error(refused) from None

    def send_raw(self, raw: bytes) -> Sent:
        """Send signed bytes once. Never raises for what the network or the node does: the outcome says it."""
        tx_hash = "0x" + keccak(raw).hex()
        try:
            answer = self.request("eth_sendRawTransaction", ["0x" + raw.hex()], retry=False)
        except ChainUnreachable as lost:
            return Unknown(lost.detail)
        except RpcRefused as refused:
            return _send_refusal(refused, tx_hash)
        if not isinstance(answer, str) or answer.lower() != tx_hash:
            return Unknown(f"The node answers with another hash than {tx_hash}.")
        return Accepted(tx_hash)

    def nonce(self, address: str, *, pending: bool = False) -> int:
        """How many transactions of the address are mined; with `pending`, those in the pool counted too."""
        return int(self.request("eth_getTransactionCount", [address, "pending" if pending else "latest"]), 16)

    def base_fee_wei(self) -> int:
        """The latest block's base fee per gas. The next block's is at most 12.5 % higher (EIP-1559)."""
        return self.head().base_fee_wei

    def tip_wei(self) -> int:
        """The node's suggestion of a priority fee per gas."""
        try:
            return int(self.request("eth_maxPriorityFeePerGas", []), 16)
        except RpcRefused:
            return TIP_WEI

    def code(self, address: str) -> bytes:
        """The contract's runtime bytecode; empty for an account without code."""
        return to_bytes(self.request("eth_getCode", [address, "latest"]))

    def codes(self, addresses: Sequence[str]) -> list[bytes]:
        """As `code`, of several addresses in one round trip."""
        requests: list[Request] = [("eth_getCode", [address, "latest"]) for address in addresses]
        return [to_bytes(result) for result in self._transport.batch(requests)]

    def balance(self, address: str) -> int:
        """The account's ether, in wei."""
        return int(self.request("eth_getBalance", [address, "latest"]), 16)

    def fund(self, address: str, *, below_wei: int = FUND_BELOW_WEI) -> None:
        """Give an account of a managed chain plenty of ether for gas, if it has less than `below_wei`."""
        if self.kind == "remote":
            raise ChainNotManaged(f"Ether cannot be made on this chain; send some to {address}.")
        if self.balance(address) < below_wei:
            self.request("anvil_setBalance", [address, hex(FUND_WEI)])
            self.request("evm_mine", [])  # the state is then that of a block again: see anvil_state


def open_node(chain_url: str, *, data_dir: Path) -> Node:
    """The chain that a setting names: `anvil` (managed child process), `embedded` (in process) or a JSON-RPC URL."""
    if chain_url == "embedded":
        from chainwallet.chain.embedded import EmbeddedChain  # py-evm takes half a second to load
        from chainwallet.chain.serve import serve

        chain, serving = EmbeddedChain(), ExitStack()
        url = serving.enter_context(serve(chain))  # so that anyone on this machine can verify a receipt
        return Node(chain, kind="embedded", url=url, stop=serving.close)
    if chain_url == "anvil":
        from chainwallet.chain.anvil import start_anvil

        managed = start_anvil(data_dir / "chain")
        return Node(HttpTransport(managed.url), kind="anvil", url=managed.url, stop=managed.stop)
    return Node(HttpTransport(chain_url), kind="remote", url=chain_url)


def _call(to: str | None, data: bytes, sender: str | None) -> dict[str, str]:
    call = {"from": sender or ZERO_ADDRESS, "data": "0x" + data.hex()}
    return call if to is None else {**call, "to": to}


def _tag(block: int | None) -> str:
    return "latest" if block is None else hex(block)


def _call_error(refused: RpcRefused) -> Exception:
    message = refused.detail.lower()
    if refused.data is not None or refused.rpc_code == 3:
        return reverted(to_bytes(refused.data or "0x"))
    if "revert" in message:
        return reverted(b"")
    if any(word in message for word in _PRUNED):
        return StateUnavailable("The node no longer has the state of that block; read at a newer one.")
    return refused


def _send_refusal(refused: RpcRefused, tx_hash: str) -> Sent:
    message = refused.detail.lower()
    if any(word in message for word in _KNOWN):
        return AlreadyKnown(tx_hash)
    for reason, words in _REASONS:
        if any(word in message for word in words):
            return Rejected(reason, refused.detail)
    if refused.rpc_code == _INTERNAL_ERROR:
        return Unknown(refused.detail)
    return Rejected(RejectReason.OTHER, refused.detail)
