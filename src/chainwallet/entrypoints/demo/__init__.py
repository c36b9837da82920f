"""The demo: a small world of banks, makers and customers, and the figures it leaves behind.

Owns: who takes part, what they pay (a committed ISO 20022 file), what makers quote, how the result is told.
Never: reaches past a door that a bank would use, or makes a figure look better than what was measured.
Invariants: the same seed gives the same world; every customer, maker and bank is a neutral label, never a person.
"""
