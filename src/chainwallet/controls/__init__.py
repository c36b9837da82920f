"""May this happen, on which terms, and who asks? Identity, compliance, risk and corridors.

Owns: customers, API keys, the rules of compliance and risk, corridors, and the verdict on a payment.
Never: moves money, signs, or answers differently for what is hidden and what does not exist.
Invariants: a secret is shown once and stored only as its hash; a denial names the rule that made it;
a verdict is a pure function of its inputs and its rule set.
"""
