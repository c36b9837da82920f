"""Signed orders and quotes become batches, and batches become transactions on the chain.

Owns: placed payment orders, makers' signed quotes, batches, nonce lanes, signed transactions.
Never: decides whether a payment may happen, or changes a balance other than by the ledger's holds.
Invariants: I7 an order is in at most one live batch; I8 signed bytes are stored before they are sent;
I9 a quote's reserved and filled amounts never exceed what its maker signed.
"""
