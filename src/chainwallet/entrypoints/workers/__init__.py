"""The workers: what happens between a payment's acceptance and its webhook, without anyone asking.

Owns: the loops and their wake-ups; one process at a time runs those that talk to the chain.
Never: decides or books by itself: each step calls the rooms and commits what they did.
Invariants: a step can be cut off anywhere and done again; what it committed it does not do twice.
"""
