"""What customers ask for: firm quotes, transfers, deposits, exits and files of payments.

Owns: customers' quotes, transfers and their one transition table, deposits, exits, payment files.
Never: signs, talks to a node, or writes a balance; it calls the rooms that do.
Invariants: I10 a quote is used once; I11 an accepted transfer has its hold and its order in the same commit.
"""
