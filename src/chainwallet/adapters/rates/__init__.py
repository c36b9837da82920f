"""Mid-market rates from those who publish them.

Owns: reading the European Central Bank's reference rates, from the file that ships with us and over HTTP.
Never: sets a price, keeps a rate that it has not checked, or waits on a network without a limit.
Invariants: a fixing is exact as published; a newer one that is absurd or incomplete never replaces a good one.
"""
