"""One transaction of an operator's, sent and waited for. The settlement lanes, which outlive a process, are above."""

from __future__ import annotations

import time

from chainwallet.chain.blocks import Receipt
from chainwallet.chain.errors import SendFailed
from chainwallet.chain.fees import suggest
from chainwallet.chain.node import Node
from chainwallet.chain.outcome import Rejected
from chainwallet.keys.intents import Transaction
from chainwallet.keys.signers import Signer

FEE_CAP_WEI = 500 * 10**9
MINED_TIMEOUT_S = 600.0
RESEND_AFTER_S = 2.0


def send_call(node: Node, signer: Signer, to: str, data: bytes) -> Receipt:
    """The receipt of this call, mined. CallReverted, and nothing sent, if it would revert; SendFailed after that.

    The same bytes are sent again while the node has lost them; never another transaction in their place.
    """
    gas = node.estimate_gas(to, data, sender=signer.address)
    max_fee_wei, tip_wei = suggest(node, FEE_CAP_WEI)
    nonce = node.nonce(signer.address)
    signed = signer.sign_transaction(Transaction(node.chain_id, nonce, to, data, gas + gas // 5, max_fee_wei, tip_wei))
    outcome = node.send_raw(signed.raw)
    if isinstance(outcome, Rejected):
        raise SendFailed(f"The node refuses the transaction ({outcome.reason}): {outcome.message}.")
    receipt = wait_until_mined(node, signed.hash, signed.raw)
    if receipt is None:
        raise SendFailed(f"Transaction {signed.hash} was not mined in {MINED_TIMEOUT_S:.0f} s; look it up before more.")
    if not receipt.status:
        raise SendFailed(f"Transaction {signed.hash} was mined and reverted: the chain moved on since it was checked.")
    return receipt


def wait_until_mined(node: Node, tx_hash: str, raw: bytes | None = None) -> Receipt | None:
    """The receipt, once there is one. Bytes that the node has lost, or never got, are sent again as they are."""
    started = looked = time.monotonic()
    pause_s = 0.002
    while (now := time.monotonic()) - started < MINED_TIMEOUT_S:
        receipt = node.receipt(tx_hash)
        if receipt is not None:
            return receipt
        if raw is not None and now - looked > RESEND_AFTER_S:
            looked = now
            if not node.knows(tx_hash):
                node.send_raw(raw)
        time.sleep(pause_s)
        pause_s = min(1.0, pause_s * 1.5)
    return None
