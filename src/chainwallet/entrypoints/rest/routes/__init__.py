"""The routes, one file per noun. A new file is served once its router is listed here."""

from __future__ import annotations

from fastapi import APIRouter

from chainwallet.entrypoints.rest.routes import (
    api_keys,
    batches,
    chain,
    corridors,
    customers,
    deposits,
    events,
    exits,
    health,
    maker_ladders,
    maker_quotes,
    maker_stream,
    maker_views,
    payment_files,
    quotes,
    rates,
    returns,
    transfers,
    webhooks,
)


def all_routers() -> list[APIRouter]:
    """Every router. Routes are tried in this order: put those that are asked most often first."""
    rooms = (
        transfers,
        quotes,
        maker_quotes,
        maker_ladders,
        maker_views,
        maker_stream,
        rates,
        deposits,
        customers,
        exits,
        returns,
        payment_files,
        batches,
        chain,
        corridors,
        api_keys,
        webhooks,
        events,
        health,
    )
    return [room.router for room in rooms]
