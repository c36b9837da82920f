"""The way to the chain: nodes, contracts as typed wrappers, deployment, and the index of blocks and events.

Owns: JSON-RPC, the managed and the embedded chain, fees, ABI encoding, deployments, the powers over them, followed
blocks and their events.
Never: signs, keeps a balance, decides what to send, or reads or sends anything inside a database transaction.
Invariants: a read is pinned to a block or says latest; a send is never repeated here; what a fork undoes is marked
orphaned and kept; a node's receipts are believed only after they hash to their block's header.
"""
