"""The only room that sees a private key: what may be signed, who signs it, and how keys are stored.

Owns: signing intents and their EIP-712 digests, signatures, HD wallets under envelope encryption, signing policy.
Never: signs a raw digest for a caller, returns or prints a secret in the clear, asks the chain, moves money.
Invariants: a signer signs only typed intents of its own address for the pinned hub; signatures are low-s with v 27 or
28; an unlocked key derives the stored address, or the wallet is refused.
"""
