"""What every room may use: money, ids, time, errors, settings, the database, telemetry.

Owns: value types and process-wide plumbing; no business rule lives here.
Never: imports another room, moves money, or decides whether something may happen.
Invariants: an amount is an integer number of units (1e-6 of a currency unit); floats are refused.
"""
