"""Letters to the outside: webhooks over HTTP.

Owns: signing a letter (Standard Webhooks), finding a safe address for it, sending it once.
Never: decides what is sent or whether it is sent again; follows a redirect; trusts a name twice.
Invariants: a connection goes to the address that was checked; only public addresses are reached, and
loopback where a developer allowed it; one letter costs bounded time and memory.
"""
