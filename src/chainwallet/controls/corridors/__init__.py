"""Corridors: which payments may go from where to where, on which terms, and who bears the loss of a refund.

Owns: the table corridor_revision; matching, calendars, fee schedules, refund policies, limits of exposure.
Never: changes a revision that was stored, or prices over makers' quotes.
Invariants: a decision is a pure function of facts and revision, and names everything that is wrong at once;
a fee is exactly the sum of its items, and grows with the amount by no more than the amount does.
"""
