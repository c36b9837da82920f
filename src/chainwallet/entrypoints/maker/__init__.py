"""The reference maker: quotes around mid over a maker's stream, so that a new installation has a market at once.

Owns: the arithmetic of its ladders, and the loop that keeps them fresh.
Never: quotes inside its spread, more than it has free, or past the end of its stream.
Invariants: no loop of its own prices gives back more than it takes; every rounding is in its favour.
"""
