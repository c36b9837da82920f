"""Whose money prices a payment: makers' quotes, reserved whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlmodel import Session

from chainwallet.kit.errors import ChainwalletError
from chainwallet.market.errors import MarketExposureLimit
from chainwallet.payments.candidates import Candidate
from chainwallet.payments.market_view import MarketView
from chainwallet.payments.quotes import OUTLIVES_S, QuoteLiquidityGone, leg_row
from chainwallet.settlement.makers import give_back, reserve_quotes


def reroute(session: Session, c: Candidate, view: MarketView) -> ChainwalletError | None:
    """Reserve makers on this view for the quote's amounts; why not, where there are none."""
    quote = c.quote
    try:
        route = view.route_to_target(quote.source_currency, quote.target_currency, quote.target_units)
    except MarketExposureLimit as refusal:
        return refusal
    except ChainwalletError:
        route = None
    if route is None or route.source_units > quote.source_units:
        return QuoteLiquidityGone("The makers behind this quote are taken; nothing was moved. Ask for a new quote.")
    c.legs = [leg_row(leg) for leg in route.legs]
    if not reserve_whole(session, c):
        return QuoteLiquidityGone("The makers were taken in this moment; try again.")
    return None


def sold_by(candidates: Sequence[Candidate]) -> Counter[str]:
    """Units of each maker's quote that these payments take."""
    sold: Counter[str] = Counter()
    for c in candidates:
        for leg in c.legs:
            sold[leg["quote_id"]] += int(leg["sold_units"])
    return sold


def reserve_whole(session: Session, c: Candidate) -> bool:
    """Reserve all that one payment takes, or nothing."""
    sold = sold_by([c])
    reserved = reserve_quotes(session, sold, lasting_s=OUTLIVES_S / 2)
    c.is_reserved = reserved == sold.keys()
    if not c.is_reserved:
        give_back(session, {key: sold[key] for key in reserved})
    return c.is_reserved
