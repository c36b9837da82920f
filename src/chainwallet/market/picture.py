"""A batch as a picture: currencies on a circle, grey what customers sent past each other, blue what makers were asked.

SVG by hand: no library, no script, no font that must be fetched; it has a title and a description for those who
cannot see it. Area stands for value: of a currency all that moved through it, of an edge what moved along it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from math import cos, pi, sin, sqrt

from chainwallet.market.model import Leg, OrderFlow

Worths = Mapping[str, Fraction] | Mapping[str, float]
_Edges = dict[tuple[str, str], float]

_WIDTH, _HEIGHT = 880, 680
_CENTRE, _RADIUS = (440.0, 344.0), 220.0
_NODES_MAX, _EDGES_MAX = 28, 140  # the largest are drawn; the rest is counted in the caption
_NODE_PX, _EDGE_PX = (9.0, 30.0), (0.7, 15.0)
_STYLE = """
  .ground{fill:#fbfbf9} .payment{stroke:#9aa0a6;stroke-opacity:.42;fill:none;stroke-linecap:round}
  .fill{stroke:#0b63c5;stroke-opacity:.82;fill:none;stroke-linecap:round} .arrow{fill:#0b63c5}
  .node{fill:#ffffff;stroke:#26323d;stroke-width:1.6} .short{stroke:#b3480b;stroke-width:2.6}
  .over{stroke:#11733c;stroke-width:2.6}
  text{font-family:ui-sans-serif,system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#26323d}
  .code{font-size:13px;font-weight:650} .code,.note{paint-order:stroke;stroke:#fbfbf9;stroke-width:3px}
  .note{font-size:11px;fill:#5b6670} .head{font-size:19px;font-weight:650} .line{font-size:13px;fill:#44505a}
"""


@dataclass(frozen=True, slots=True)
class _Point:
    x: float
    y: float


def batch_svg(orders: Iterable[OrderFlow], fills: Iterable[Leg], worths: Worths, *, title: str, unit: str) -> str:
    """The batch as an SVG document.

    `worths[code]`: what one unit of the currency is worth, in units of the currency `unit` (`MidMarket.weights`);
    currencies without one are left out. `title` is shown and read aloud, and escaped.
    """
    payments, bought, moved, net = _volumes(list(orders), list(fills), worths)
    codes = sorted(sorted(moved), key=lambda code: -moved[code])[:_NODES_MAX]
    places = _places(sorted(codes))
    largest = max([*payments.values(), *bought.values()], default=1.0) or 1.0
    shapes = [
        *_edges("payment", _largest(payments, places), places, largest, moved),
        *_edges("fill", _largest(bought, places), places, largest, moved),
        *_nodes(places, moved, net, unit),
    ]
    described = _describe(payments, bought, moved, net, unit)
    hidden = len(moved) - len(codes)
    return _document(title, described, shapes, hidden)


def _volumes(
    orders: Sequence[OrderFlow], fills: Sequence[Leg], worths: Worths
) -> tuple[_Edges, _Edges, dict[str, float], dict[str, float]]:
    """Value per pair that customers sent, and that makers exchanged; per currency what moved, and its imbalance."""
    worth = {code: float(one) for code, one in worths.items()}
    payments, bought = defaultdict[tuple[str, str], float](float), defaultdict[tuple[str, str], float](float)
    moved, net = defaultdict[str, float](float), defaultdict[str, float](float)
    for order in orders:
        if order.source in worth and order.target in worth:
            paid, taken = order.source_units * worth[order.source], order.target_units * worth[order.target]
            payments[order.source, order.target] += paid
            moved[order.source] += paid
            moved[order.target] += taken
            net[order.source] += paid
            net[order.target] -= taken
    for leg in fills:
        if leg.sell in worth and leg.buy in worth:
            bought[leg.buy, leg.sell] += leg.sold_units * worth[leg.sell]
            moved[leg.sell] += 0.0
            moved[leg.buy] += 0.0
    return dict(payments), dict(bought), dict(moved), dict(net)


def _places(codes: Sequence[str]) -> dict[str, _Point]:
    turn = {code: 2 * pi * number / max(1, len(codes)) - pi / 2 for number, code in enumerate(codes)}
    return {
        code: _Point(_CENTRE[0] + _RADIUS * 1.3 * cos(angle), _CENTRE[1] + _RADIUS * sin(angle))
        for code, angle in turn.items()
    }


def _largest(edges: _Edges, places: Mapping[str, _Point]) -> list[tuple[tuple[str, str], float]]:
    drawn = [(pair, value) for pair, value in edges.items() if pair[0] in places and pair[1] in places]
    drawn = [(pair, value) for pair, value in drawn if pair[0] != pair[1]]
    return sorted(drawn, key=lambda one: (-one[1], one[0]))[:_EDGES_MAX][::-1]  # the largest on top


def _edges(
    kind: str, edges: Sequence[tuple[tuple[str, str], float]], places: Mapping[str, _Point], largest: float,
    moved: Mapping[str, float],
) -> list[str]:  # fmt: skip
    most, shapes = max(moved.values(), default=1.0) or 1.0, list[str]()
    for (source, target), value in edges:
        width = max(_EDGE_PX[0], _EDGE_PX[1] * sqrt(value / largest))
        start, end = places[source], places[target]
        bend = _Point(
            (start.x + end.x) / 2 * 0.55 + _CENTRE[0] * 0.45 + (end.y - start.y) * 0.10,
            (start.y + end.y) / 2 * 0.55 + _CENTRE[1] * 0.45 - (end.x - start.x) * 0.10,
        )
        tip = _towards(end, bend, _node_px(moved.get(target, 0.0), most) + (9.0 if kind == "fill" else 0.0))
        path = f"M{start.x:.1f} {start.y:.1f}Q{bend.x:.1f} {bend.y:.1f} {tip.x:.1f} {tip.y:.1f}"
        shapes.append(f'<path class="{kind}" stroke-width="{width:.2f}" d="{path}"/>')
        if kind == "fill":
            shapes.append(_arrow(_towards(end, bend, _node_px(moved.get(target, 0.0), most) + 1.0), bend, width))
    return shapes


def _towards(start: _Point, end: _Point, px: float) -> _Point:
    length = sqrt((end.x - start.x) ** 2 + (end.y - start.y) ** 2) or 1.0
    return _Point(start.x + (end.x - start.x) * px / length, start.y + (end.y - start.y) * px / length)


def _arrow(tip: _Point, origin: _Point, width: float) -> str:
    back, half = _towards(tip, origin, 10.0), max(4.0, width * 0.75)
    across = _Point((back.y - tip.y) / 10.0 * half, (tip.x - back.x) / 10.0 * half)
    points = ((tip.x, tip.y), (back.x + across.x, back.y + across.y), (back.x - across.x, back.y - across.y))
    return '<polygon class="arrow" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in points) + '"/>'


def _node_px(value: float, most: float) -> float:
    return _NODE_PX[0] + (_NODE_PX[1] - _NODE_PX[0]) * sqrt(max(0.0, value) / most)


def _nodes(places: Mapping[str, _Point], moved: Mapping[str, float], net: Mapping[str, float], unit: str) -> list[str]:
    most, shapes = max(moved.values(), default=1.0) or 1.0, list[str]()
    for code, at in places.items():
        radius, imbalance = _node_px(moved[code], most), net.get(code, 0.0)
        side = "short" if imbalance < -1 else "over" if imbalance > 1 else ""
        away = _towards(at, _Point(*_CENTRE), -(radius + 7.0))
        lean = (away.x - _CENTRE[0]) / _RADIUS
        anchor = "start" if lean > 0.25 else "end" if lean < -0.25 else "middle"
        middle = away.y - 3 + 10 * (away.y - _CENTRE[1]) / _RADIUS
        shapes.append(
            f"<g><title>{escape(code)}: {_short(moved[code])} {escape(unit)} moved, {_short(imbalance, sign=True)} "
            f'left for makers</title><circle class="node {side}" cx="{at.x:.1f}" cy="{at.y:.1f}" r="{radius:.1f}"/>'
            f'<text class="code" text-anchor="{anchor}" x="{away.x:.1f}" y="{middle:.1f}">{escape(code)}</text>'
            f'<text class="note" text-anchor="{anchor}" x="{away.x:.1f}" y="{middle + 13:.1f}">'
            f"{_short(imbalance, sign=True)}</text></g>"
        )
    return shapes


def _describe(
    payments: _Edges, bought: _Edges, moved: Mapping[str, float], net: Mapping[str, float], unit: str
) -> list[str]:
    sent, asked = sum(payments.values()), sum(bought.values())
    met = sent - sum(value for value in net.values() if value > 0)
    part = f"{100 * met / sent:.0f} %" if sent else "nothing"
    short = sorted((value, code) for code, value in net.items() if value < -1)[:3]
    lacking = ", ".join(f"{code} {_short(-value)}" for value, code in short) or "nothing"
    return [
        f"Customers sent {_short(sent)} {unit} in {len(moved)} currencies; {part} of it met its opposite.",
        f"Makers were asked for {_short(asked)} {unit}. What was missing most: {lacking}.",
    ]


def _short(units: float, *, sign: bool = False) -> str:
    """An amount to read: three digits of the currency unit, which is a million units."""
    value, letter = abs(units) / 1e6, ""
    for letter_now, size in (("bn", 1e9), ("m", 1e6), ("k", 1e3)):
        if value >= size:
            value, letter = value / size, letter_now
            break
    text = f"{value:.3g}{letter}"
    return text if not sign or text == "0" else f"{'+' if units > 0 else '−'}{text}"


def _document(title: str, described: Sequence[str], shapes: Sequence[str], hidden: int) -> str:
    lines = "".join(
        f'<text class="line" x="28" y="{_HEIGHT - 46 + 19 * number}">{escape(line)}</text>'
        for number, line in enumerate(described)
    )
    more = (
        f'<text class="note" x="852" y="36" text-anchor="end">and {hidden} smaller currencies</text>' if hidden else ""
    )
    legend = (
        '<path class="payment" stroke-width="6" d="M30 60h34"/><text class="line" x="72" y="64">customers</text>'
        '<path class="fill" stroke-width="4" d="M158 60h26"/><polygon class="arrow" points="194,60 184,55 184,65"/>'
        '<text class="line" x="202" y="64">makers</text>'
        '<circle class="node short" cx="276" cy="60" r="6"/><text class="line" x="288" y="64">short</text>'
        '<circle class="node over" cx="344" cy="60" r="6"/><text class="line" x="356" y="64">left over</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-labelledby="batch-title batch-desc"><title id="batch-title">{escape(title)}</title>'
        f'<desc id="batch-desc">{escape(" ".join(described))}</desc><style>{_STYLE}</style>'
        f'<rect class="ground" width="{_WIDTH}" height="{_HEIGHT}" rx="14"/>'
        f'<text class="head" x="28" y="38">{escape(title)}</text>{legend}{more}{"".join(shapes)}{lines}</svg>\n'
    )
