"""Orders that a later one of their payer has overtaken on chain: signed again, under the next nonce.

The hub takes only nonces above the last one that it saw of a payer and currency. An order whose batch was undone while
a later one settled can never settle, so its payer's key signs the same payment once more. Nothing is paid twice: what
was overtaken is refused by the hub for good once the order that overtook it is final, and only then is it signed again.
"""

from __future__ import annotations

from dataclasses import replace

from sqlmodel import Session

from chainwallet.keys.intents import Domain
from chainwallet.keys.vault import Vault
from chainwallet.ledger import NoncesSpent, renew_nonces
from chainwallet.settlement.orders import hash_of, lock_overtaken, replace_orders


def sign_again(session: Session, vault: Vault, domain: Domain) -> list[str]:
    """Sign every waiting order again that was overtaken by one that these books have as settled; their ids.

    They wait behind the others of their payer, whose nonces are lower. None where a payer has no nonces left.
    """
    overtaken = lock_overtaken(session)
    try:
        nonces = renew_nonces(session, [order.id for order in overtaken])
    except NoncesSpent:
        return []
    payers = _payers(session, list(nonces))
    renewed = []
    for order in overtaken:
        signed = replace(order.signed(), nonce=nonces[order.id])
        signer = vault.signer(session, signed.payer, owner_id=payers[order.id])
        renewed.append((order.id, signed.nonce, signer.sign_order(domain, signed), hash_of(domain, signed)))
    replace_orders(session, renewed)
    return list(nonces)


def _payers(session: Session, transfer_ids: list[str]) -> dict[str, str]:
    rows = session.connection().exec_driver_sql(
        "SELECT id, payer_id FROM transfer WHERE id = ANY(%(ids)s::text[])", {"ids": transfer_ids}
    )
    return {transfer_id: payer_id for transfer_id, payer_id in rows}
