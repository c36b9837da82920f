"""The picture of a batch: well formed, described for those who cannot see it, safe to embed, the same every time."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from chainwallet.market.model import Leg, OrderFlow
from chainwallet.market.picture import batch_svg

EXAMPLE = Path(__file__).parents[3] / "docs" / "batch.svg"
SVG = "{http://www.w3.org/2000/svg}"
WORTHS = {"EUR": 1.0, "USD": 0.9, "GBP": 1.2}
ORDERS = [
    OrderFlow("p1", "EUR", 10_000_000, "USD", 11_000_000),
    OrderFlow("p2", "USD", 6_000_000, "EUR", 5_300_000),
    OrderFlow("p3", "GBP", 4_000_000, "USD", 5_200_000),
]
FILLS = [Leg("q", "m", "USD", 10_200_000, "EUR", 9_000_000)]


def _drawn(**more: str) -> ElementTree.Element:
    drawn = batch_svg(ORDERS, FILLS, WORTHS, title=more.get("title", "Batch 7"), unit="EUR")
    return ElementTree.fromstring(drawn)


def test_picture__has_a_node_per_currency_and_an_edge_per_pair() -> None:
    root = _drawn()
    assert {text.text for text in root.iter(f"{SVG}text") if text.get("class") == "code"} == {"EUR", "USD", "GBP"}
    paths = [path.get("class") for path in root.iter(f"{SVG}path")]
    assert paths.count("payment") == 3 + 1, "one per pair, one in the legend"
    assert paths.count("fill") == 1 + 1


def test_picture__says_what_it_shows_to_those_who_cannot_see_it() -> None:
    root = _drawn()
    title, described = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert root.get("role") == "img"
    assert title is not None
    assert title.text == "Batch 7"
    assert described is not None
    assert described.text is not None
    assert "Customers sent 20.2 EUR" in described.text
    assert "Makers were asked for 9.18 EUR" in described.text


def test_picture__a_title_is_text_and_nothing_else() -> None:
    root = _drawn(title="<script>alert(1)</script>")
    assert not list(root.iter(f"{SVG}script"))


def test_picture__of_nothing__is_a_picture() -> None:
    ElementTree.fromstring(batch_svg([], [], {}, title="Batch 0", unit="EUR"))


def test_picture__of_many_currencies__draws_the_largest_and_counts_the_rest() -> None:
    worths = {f"C{number:02d}": 1.0 for number in range(60)}
    codes = list(worths)
    orders = [
        OrderFlow(f"p{number}", code, 10**6 * (number + 1), codes[number - 1], 10**6)
        for number, code in enumerate(codes)
    ]
    drawn = batch_svg(orders, [], worths, title="Batch 9", unit="EUR")
    assert "and 32 smaller currencies" in drawn
    assert drawn == batch_svg(orders, [], worths, title="Batch 9", unit="EUR")
    assert len(drawn) < 100_000


def test_picture__the_example_in_the_documentation__is_a_picture() -> None:
    assert ElementTree.fromstring(EXAMPLE.read_text()).tag == f"{SVG}svg"
