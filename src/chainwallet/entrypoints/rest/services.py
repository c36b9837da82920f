"""What the REST door needs from bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, cast

from sqlmodel import Session
from starlette.requests import HTTPConnection

from chainwallet.controls.identity.authenticator import Authenticator
from chainwallet.keys.intents import Domain
from chainwallet.kit.database import Database
from chainwallet.kit.settings import Settings


class WebhookUrlCheck(Protocol):
    def check(self, url: str) -> None:
        """Raises WEBHOOK_URL_REFUSED unless the URL may be subscribed."""


class Services(Protocol):
    """The part of bootstrap's services that this package's own routes use; read-only from here."""

    @property
    def database(self) -> Database: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def authenticator(self) -> Authenticator: ...

    @property
    def domain(self) -> Domain: ...

    @property
    def webhook_sender(self) -> WebhookUrlCheck: ...

    def new_address(self, session: Session, owner_id: str, /) -> str:
        """Makes a wallet for `owner_id` in the session's transaction; its checksummed address."""

    def seal(self, plaintext: bytes, associated: str, /) -> bytes:
        """Encrypts a small secret under the key-encryption key, bound to `associated`."""

    def readiness(self) -> Mapping[str, str]:
        """What the service depends on, each "ok" or a few words on what is wrong."""


def services_of(request: HTTPConnection) -> Services:
    return cast(Services, request.app.state.services)
