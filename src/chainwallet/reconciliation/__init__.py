"""The way back up: what the chain says happened is matched to what was ordered, and booked.

Owns: matching of final chain events, owners' acts among them; breaks; the comparison of books and positions;
statements of what is owed.
Never: invents an event, or books one twice; leaves money promised that the chain says is gone.
Invariants: I4 books equal positions at the last final block; I5 one event and one entry per settled transfer;
I25 owners' acts are booked once; I26 money that left is promised to nobody; I27 no act of an owner stops the books.
"""
