"""Makers at the door: whose ladders a request is about, and whether they may be touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, cast

from fastapi import Depends, Path, Request
from sqlmodel import Session

from chainwallet.bootstrap import Services
from chainwallet.controls.identity.access import visible_customer
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.controls.identity.customers import Custody, Customer, CustomerStatus, CustomerType
from chainwallet.entrypoints.rest.auth import require
from chainwallet.kit.errors import ChainwalletError
from chainwallet.settlement.ladders import MakerSeat
from chainwallet.settlement.makers import MakerNotActive, MakerNotAMaker
from chainwallet.settlement.rejections import Rejected, note_rejections

Maker = Annotated[Principal, Depends(require(Scope.MAKER))]
MakerId = Annotated[str, Path(max_length=64, description="The maker's customer id.")]


def maker_services(request: Request) -> Services:
    return cast(Services, request.app.state.services)


def visible_maker(session: Session, principal: Principal, maker_id: str) -> Customer:
    """The maker, for its own key or the operator's. CUSTOMER_UNKNOWN, MAKER_NOT_A_MAKER."""
    maker = visible_customer(session, principal, maker_id)
    if maker.type != CustomerType.MAKER:
        raise MakerNotAMaker("Only a customer of type maker may quote; open one with POST /v1/customers.")
    return maker


def maker_seat(session: Session, principal: Principal, maker_id: str) -> MakerSeat:
    """Where this maker's ladders are taken; MAKER_NOT_ACTIVE when it is frozen or closed."""
    maker = visible_maker(session, principal, maker_id)
    if maker.status != CustomerStatus.ACTIVE:
        raise MakerNotActive(f"This maker is {maker.status}; it quotes again once the operator lets it go on.")
    return MakerSeat(maker.id, maker.address, maker.custody == Custody.EXTERNAL)


@contextmanager
def counting_rejections(services: Services, maker_id: str, *, sell: str, buy: str) -> Iterator[None]:
    """Keep a refusal of the block for the maker to read, in a transaction of its own: the block's is rolled back."""
    try:
        yield
    except ChainwalletError as error:
        with services.database.transaction() as session:
            note_rejections(session, [Rejected(maker_id=maker_id, sell=sell, buy=buy, error=error)])
        raise
