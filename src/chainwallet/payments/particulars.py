"""What an order's memo commits to: the particulars that are nobody else's business, and where its price is from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chainwallet.kit.clock import unix_seconds
from chainwallet.payments.quotes import Quote
from chainwallet.payments.terms import Terms, committed
from chainwallet.payments.transfers import Transfer


def particulars(
    *,
    uetr: str,
    purpose: str | None,
    reference: str | None,
    end_to_end_id: str | None,
    market: Mapping[str, str] | None = None,
    terms: Terms | None = None,
    return_of: str | None = None,
) -> dict[str, Any]:
    """What an order's memo commits to, and no one learns from the chain: its price and refund policy are part of it."""
    details = {"uetr": uetr, "purpose": purpose, "reference": reference, "end_to_end_id": end_to_end_id}
    details |= {} if return_of is None else {"return_of": return_of}
    return details | ({} if market is None else {"market": market}) | committed(terms)


def particulars_of(transfer: Transfer, quote: Quote) -> dict[str, Any]:
    """The particulars of a transfer that was priced by this quote."""
    return particulars(
        uetr=transfer.uetr,
        purpose=transfer.purpose,
        reference=transfer.reference,
        end_to_end_id=transfer.end_to_end_id,
        market=market_named(quote),
        terms=transfer.terms,
        return_of=transfer.return_of,
    )


def market_named(quote: Quote) -> dict[str, str] | None:
    """What a payer's signature says of its price: on which snapshot of the market it was found, and when.

    So nobody can choose another one afterwards, which would have made the price look good. Times in whole seconds.
    """
    if quote.market_root is None or quote.market_taken_at is None:
        return None
    return {
        "root": quote.market_root,
        "taken_at": str(unix_seconds(quote.market_taken_at)),
        "priced_at": str(unix_seconds(quote.created_at)),
    }
