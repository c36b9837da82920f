"""What the market refuses, and what the caller can do about it."""

from __future__ import annotations

from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.money import format_units


class MarketNoRoute(ChainwalletError):
    """No chain of quotes leads from the one currency to the other, whatever the amount."""

    code = "MARKET_NO_ROUTE"
    status = 422


class MarketInsufficientLiquidity(ChainwalletError):
    """There are quotes, but not enough of them. `context["most_units"]` is what can be had now, exactly."""

    code = "MARKET_INSUFFICIENT_LIQUIDITY"
    status = 409
    retryable = True


class MarketAmountTooSmall(ChainwalletError):
    """The source amount buys less than one unit of the target."""

    code = "MARKET_AMOUNT_TOO_SMALL"
    status = 422


class MarketRateStale(ChainwalletError):
    """The newest fixing is too old to measure a price against."""

    code = "MARKET_RATE_STALE"
    status = 503
    retryable = True


class MarketQuotesOffMid(ChainwalletError):
    """There are quotes, but they lie too far from mid to be used."""

    code = "MARKET_QUOTES_OFF_MID"
    status = 409
    retryable = True


class MarketExposureLimit(ChainwalletError):
    """The makers, or the currency, have been promised up to their limit; what settles makes room."""

    code = "MARKET_EXPOSURE_LIMIT"
    status = 409
    retryable = True


class MarketNoMid(ChainwalletError):
    """The fixing has no rate for a currency."""

    code = "MARKET_NO_MID"
    status = 422


class ClearingInvalid(ChainwalletError):
    """A clearing or a route that the integers refute. Nothing may be signed for it."""

    code = "MARKET_CLEARING_INVALID"
    status = 500


def no_route(source: str, target: str) -> MarketNoRoute:
    return MarketNoRoute(
        f"No maker's quotes lead from {source} to {target}; choose another currency, or try again later.",
        source=source,
        target=target,
    )


def too_little_target(source: str, target: str, *, most_units: int) -> MarketInsufficientLiquidity:
    most = format_units(most_units, minor_digits=2)
    return MarketInsufficientLiquidity(
        f"Makers' quotes from {source} deliver at most {most} {target} now; ask for that or less, or try again later.",
        source=source,
        target=target,
        most_units=most_units,
        most_currency=target,
    )


def too_little_source(source: str, target: str, *, most_units: int) -> MarketInsufficientLiquidity:
    most = format_units(most_units, minor_digits=2)
    return MarketInsufficientLiquidity(
        f"Makers' quotes take at most {most} {source} to {target} now; send that or less, or try again later.",
        source=source,
        target=target,
        most_units=most_units,
        most_currency=source,
    )


def too_small(source: str, target: str) -> MarketAmountTooSmall:
    return MarketAmountTooSmall(f"That much {source} buys less than the smallest amount of {target}; send more.")


PRICE_REFUSALS: tuple[type[ChainwalletError], ...] = (
    MarketNoRoute,
    MarketInsufficientLiquidity,
    MarketAmountTooSmall,
    MarketRateStale,
    MarketQuotesOffMid,
    MarketExposureLimit,
)
"""What the market may have against any payment that is priced."""
