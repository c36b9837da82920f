"""The way back up: what the chain says happened is matched to what was ordered, and booked.

Owns: matching of final chain events, breaks, the comparison of books and positions, statements of what is owed.
Never: invents an event, or books one twice.
Invariants: I4 books equal positions at the last final block; I5 one event and one entry per settled transfer.
"""
