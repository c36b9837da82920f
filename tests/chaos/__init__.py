"""The service under faults: a fleet of clients, nemeses, and a checker that believes none of them.

Owns: the world that is broken (database, node, proxy, processes), what is done to it, and what is asserted after.
Never: shares code between the service and the checker; changes what production runs, only how a child is started.
Invariants: what a client was told is never taken back; a seed that fails is printed and plays again.
"""
