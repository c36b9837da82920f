"""Doors to formats and services that others define: each adapter speaks one of them and nothing else.

Owns: the translation between a foreign format or service and this product's own types.
Never: decides whether a payment may happen, moves a balance, or trusts a byte that it has not checked.
Invariants: what an adapter hands inwards is typed, exact and complete; what it refuses, it refuses with a reason.
"""
