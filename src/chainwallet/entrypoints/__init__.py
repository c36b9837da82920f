"""The ways in: REST, the command line, the workers and the demo.

Owns: turning a request, a command or a tick of the clock into a call of a room, and the answer into words.
Never: holds a business rule, writes to a table, or is imported by a room.
Invariants: whatever one entrypoint can do goes through the same verbs as the others; there is no side door.
"""
