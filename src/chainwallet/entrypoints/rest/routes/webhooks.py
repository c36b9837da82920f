"""Webhooks: subscribing a URL to events, listing and ending subscriptions."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from chainwallet.adapters.messaging.targets import WebhookUrlRefused
from chainwallet.adapters.messaging.webhooks import new_webhook_secret
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import require
from chainwallet.entrypoints.rest.models import StrictModel, timestamp
from chainwallet.entrypoints.rest.pagination import Paged
from chainwallet.entrypoints.rest.problems import CursorInvalid, problem_responses
from chainwallet.entrypoints.rest.responses import json_response
from chainwallet.entrypoints.rest.services import services_of
from chainwallet.entrypoints.rest.strict_json import new_router
from chainwallet.records import audit
from chainwallet.records.webhooks import Webhook, WebhookStatus, WebhookUnknown, list_webhooks, subscribe, unsubscribe

router: APIRouter = new_router(tag="webhooks")

EVENT_TYPE = r"^[a-z_]{1,32}\.[a-z_]{1,32}$"

_Subscriber = Annotated[Principal, Depends(require(Scope.WEBHOOKS))]


class WebhookIn(StrictModel):
    """Where to send which events. Without `events` all are sent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"url": "https://bank.example.com/hooks/chainwallet", "events": ["transfer.settled"]}]
        }
    )

    url: Annotated[str, Field(max_length=2_048, description="https, to a host on the public internet.")]
    events: list[Annotated[str, Field(pattern=EVENT_TYPE)]] = Field(
        default_factory=list, max_length=64, description="Event types such as transfer.settled."
    )


class WebhookOut(BaseModel):
    """A subscription without its secret."""

    model_config = ConfigDict(title="Webhook")

    id: str
    url: str
    events: list[str]
    status: WebhookStatus
    created_at: datetime


class NewWebhookOut(WebhookOut):
    """A new subscription. `secret` verifies its letters (Standard Webhooks) and is shown this once."""

    model_config = ConfigDict(title="NewWebhook")

    secret: str


class WebhookList(BaseModel):
    items: list[WebhookOut]
    next_cursor: str | None


def show(webhook: Webhook) -> dict[str, Any]:
    return {
        "id": webhook.id,
        "url": webhook.url,
        "events": webhook.events,
        "status": webhook.status,
        "created_at": timestamp(webhook.created_at),
    }


@router.post(
    "/v1/webhooks",
    status_code=201,
    response_model=NewWebhookOut,
    summary="Subscribe a URL to events",
    responses=problem_responses(WebhookUrlRefused),
)
def post_webhook(request: Request, wanted: WebhookIn, principal: _Subscriber) -> Response:
    """A customer's key is sent that customer's events, a bank's key those of its customers too."""
    services = services_of(request)
    services.webhook_sender.check(wanted.url)
    secret, raw = new_webhook_secret()
    with services.database.transaction() as session:
        webhook = subscribe(
            session,
            url=wanted.url,
            secret=raw,
            events=wanted.events,
            customer_id=principal.customer_id,
            seal=services.seal,
        )
        detail = {"url": wanted.url}
        audit.record(session, actor=principal.key_id, action="webhook.created", subject=webhook.id, detail=detail)
        return json_response(show(webhook) | {"secret": secret}, 201)


@router.get(
    "/v1/webhooks",
    response_model=WebhookList,
    summary="List subscriptions",
    responses=problem_responses(CursorInvalid),
)
def get_webhooks(request: Request, principal: _Subscriber, page: Paged) -> Response:
    with services_of(request).database.transaction() as session:
        rows = list_webhooks(session, customer_id=principal.customer_id, after=page.after, limit=page.fetch)
    return json_response(page.render(rows, show, lambda row: row.id))


@router.delete(
    "/v1/webhooks/{webhook_id}",
    status_code=204,
    summary="End a subscription",
    responses=problem_responses(WebhookUnknown),
)
def delete_webhook(request: Request, webhook_id: str, principal: _Subscriber) -> Response:
    """What was not delivered yet will not be."""
    with services_of(request).database.transaction() as session:
        webhook = unsubscribe(session, webhook_id, customer_id=principal.customer_id)
        detail = {"url": webhook.url}
        audit.record(session, actor=principal.key_id, action="webhook.deleted", subject=webhook.id, detail=detail)
    return Response(status_code=204)
