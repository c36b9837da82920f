"""The command line: serve, demo, deploy, reconcile, verify-receipt.

Owns: arguments, progress and tables on a terminal.
Never: does the work itself; a command calls one service and renders what it says.
Invariants: an exit status of 0 means that it was done; errors go to standard error with their code.
"""
