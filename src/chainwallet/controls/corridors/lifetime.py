"""What it is worth that a quote stays firm: the option to take it or leave it while the market moves.

A firm quote is an at-the-money option given to the customer. To the first order it is worth
0.4 * volatility * sqrt(time) of the amount (Brenner and Subrahmanyam, 1988: sqrt(1 / 2 pi) = 0.3989).
"""

from __future__ import annotations

from math import isqrt

_DAY_S = 86_400
_OPTION = 3_989_423  # sqrt(1 / (2 pi)) in 1e-7


def lifetime_ppm(*, lifetime_s: int, volatility_bps_a_day: int, charged_percent: int) -> int:
    """The price of `lifetime_s` seconds, in parts per million of the amount, rounded up.

    `volatility_bps_a_day` is the standard deviation of the pair's daily change; `charged_percent` of the option's
    worth is charged. Exact in integers; grows with each of the three.
    """
    if charged_percent == 0 or volatility_bps_a_day == 0 or lifetime_s == 0:
        return 0
    # ppm = 0.3989 * bps * 100 * sqrt(lifetime / day) * percent / 100; squared, so that the root is taken once.
    numerator = (_OPTION * volatility_bps_a_day * charged_percent) ** 2 * lifetime_s
    denominator = 10**14 * _DAY_S
    return isqrt(-(-numerator // denominator) - 1) + 1
