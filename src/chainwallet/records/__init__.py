"""What happened, who asked, and who is told: idempotency keys, the outbox, webhooks, the audit log.

Owns: the tables idempotency_key, outbox_event, webhook, webhook_delivery and audit_entry.
Never: decides whether something may happen, moves money, or speaks to the network itself.
Invariants: a claimed key and its effect commit together; events get their positions in one order that every
reader sees; audit entries form a hash chain in which any edit shows.
"""
