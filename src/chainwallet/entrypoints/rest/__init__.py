"""The REST door: parse, authenticate, call one service, render.

Owns: HTTP: strict JSON, bearer keys, problem details, cursors, limits, the OpenAPI document and its page.
Never: holds a business rule, or lets an exception's text out that was not written for callers.
Invariants: every refusal is a problem document with a stable code; a body is parsed once, strictly; what the
OpenAPI document says is what happens.
"""
