"""What corridors and limits say of payments on their way through acceptance, when it is known who pays whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from sqlmodel import Session

from chainwallet.controls.corridors.store import Corridors
from chainwallet.controls.exposure import promised_units
from chainwallet.market.errors import MarketExposureLimit
from chainwallet.market.rates import MidMarket, RateSource
from chainwallet.payments.candidates import Candidate, refuse, with_purpose
from chainwallet.payments.market_view import MarketView, view_market
from chainwallet.payments.terms import check_terms


class Admission:
    """Refuses candidates that their corridor or the limits of exposure do not admit."""

    def __init__(self, corridors: Corridors, rates: RateSource) -> None:
        self._corridors = corridors
        self._rates = rates

    def view(self, session: Session, *, lasting_s: float) -> MarketView:
        """The makers' quotes that may be used now, good for so long."""
        return view_market(session, self._corridors.map, self._mids(), lasting_s=lasting_s)

    def check_terms(self, candidates: Sequence[Candidate]) -> None:
        """Refuse what was quoted for other parties, or may not be paid any more."""
        corridors, mids = self._corridors.map, self._mids()
        for c in candidates:
            c.request = with_purpose(c.request, c.quote.terms)
            refusal = check_terms(
                corridors,
                mids,
                c.quote.terms,
                source=c.quote.source_currency,
                target=c.quote.target_currency,
                quoted_at=c.quote.created_at,
                payer=c.payer,
                payee=c.payee,
                purpose=c.request.purpose,
            )
            if refusal is not None:
                c.outcome = refuse(refusal)

    def limit_exposure(self, session: Session, candidates: Sequence[Candidate]) -> None:
        """Refuse what would have makers promise more than they may; those that came first have what is left.

        Where there are limits, one transaction at a time passes here; the accounts are locked before.
        """
        limits = self._corridors.map.exposure
        funded = [c for c in candidates if c.legs] if limits else []
        if not funded:
            return
        mids, promised = self._mids(), Counter(promised_units(session, alone=True))
        for c in funded:
            more: Counter[tuple[str, str]] = Counter()
            for leg in c.legs:
                more[leg["maker_id"], leg["sell"]] += int(leg["sold_units"])
            if limits.first_exceeded(more, promised, mids) is None:
                promised += more
            else:
                detail = "The makers behind this quote have promised all they may; try again when it is settled."
                c.outcome = refuse(MarketExposureLimit(detail))

    def _mids(self) -> MidMarket:
        return MidMarket(self._rates.fixing())
