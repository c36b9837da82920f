"""Prices: which makers' quotes a payment goes through, and which a batch of payments needs.

Owns: offers and the book of them, mid-market prices, the linear programme, its exact integer repair, the certificate
that nothing better was to be had, the commitment to what was on offer, the picture of a batch.
Never: reads a database, a clock, a file or a network; decides whether a payment may happen; moves money.
Invariants: what it returns is exact in integers: a maker gets its price rounded up, no currency runs short, no cap
is passed. Floats stay inside the programme.
"""
