"""Ladders as JSON, the same over REST and over the stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from chainwallet.entrypoints.rest.models import Signature, StrictModel, Timestamp, signature_bytes, timestamp
from chainwallet.kit.money import Money
from chainwallet.settlement.ladders import LEVELS_MAX, VERSION_MAX, Ladder, Level
from chainwallet.settlement.makers import MakerQuote

NONCE_MAX = 2**63 - 1

Version = Annotated[
    int,
    Field(ge=1, le=VERSION_MAX, description="Chosen by the maker, higher each time; the time in milliseconds will do."),
]
_Value = Annotated[str, Field(max_length=25, json_schema_extra={"pattern": r"^(0|[1-9][0-9]{0,17})(\.[0-9]{1,6})?$"})]


class LevelIn(StrictModel):
    """One price: up to `sell` of the one currency for `buy` of the other, in parts at that price or better."""

    sell: Annotated[_Value, Field(description="In the currency that is sold.")]
    buy: Annotated[_Value, Field(description="In the currency that is bought.")]
    nonce: Annotated[
        int | None, Field(ge=0, le=NONCE_MAX, description="As signed; only for a maker that signs by itself.")
    ] = None
    signature: Annotated[Signature | None, Field(description="Over the level's EIP-712 MakerQuote.")] = None

    def level(self, sell: str, buy: str) -> Level:
        """MONEY_INVALID_AMOUNT, MONEY_UNKNOWN_CURRENCY."""
        sold, bought = Money.parse(sell, self.sell), Money.parse(buy, self.buy)
        signature = None if self.signature is None else signature_bytes(self.signature)
        return Level(sold.units, bought.units, self.nonce, signature)


class LadderIn(StrictModel):
    """The whole ladder: it takes the place of the one before. Without levels it withdraws that."""

    version: Version
    expires_at: Timestamp
    levels: Annotated[list[LevelIn], Field(max_length=LEVELS_MAX)]

    def ladder(self, sell: str, buy: str) -> Ladder:
        levels = tuple(level.level(sell, buy) for level in self.levels)
        return Ladder(sell, buy, self.version, self.expires_at, levels)


class LevelOut(BaseModel):
    quote_id: str
    sell: str
    buy: str
    reserved: str = Field(description="Of what is sold, how much accepted payments have reserved.")
    filled: str = Field(description="Of what is sold, how much batches have taken.")


class LadderOut(BaseModel):
    """What the maker sells of one currency for another, the cheapest level first."""

    sell: str
    buy: str
    version: int
    expires_at: str
    levels: list[LevelOut]


class LadderPage(BaseModel):
    items: list[LadderOut]
    next_cursor: str | None


def show_ladder(sell: str, buy: str, version: int, expires_at: Any, quotes: Sequence[MakerQuote]) -> dict[str, Any]:
    levels = [
        {
            "quote_id": quote.id,
            "sell": Money(sell, int(quote.sell_units)).value,
            "buy": Money(buy, int(quote.buy_units)).value,
            "reserved": Money(sell, int(quote.reserved_units)).value,
            "filled": Money(sell, int(quote.filled_units)).value,
        }
        for quote in quotes
    ]
    return {"sell": sell, "buy": buy, "version": version, "expires_at": timestamp(expires_at), "levels": levels}
