"""ISO 20022: the pain.001 door through which a bank hands in files, and the pain.002 answer it gets back.

Owns: reading customer credit transfer initiations (pain.001.001.09 to .13), writing status reports (pain.002.001.12).
Never: prices, screens or books an instruction; follows a reference out of the file; repairs what a sender meant.
Invariants: a file is taken whole or refused whole; amounts are exact; counts and sums are what the file says they are.
"""

from chainwallet.adapters.iso20022.errors import Iso20022Error
from chainwallet.adapters.iso20022.pain001 import AccountRef, Instruction, PaymentFile, read_pain001
from chainwallet.adapters.iso20022.pain002 import Outcome, TransactionStatus, write_refusal, write_status_report

__all__ = [
    "AccountRef",
    "Instruction",
    "Iso20022Error",
    "Outcome",
    "PaymentFile",
    "TransactionStatus",
    "read_pain001",
    "write_refusal",
    "write_status_report",
]
