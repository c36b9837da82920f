"""The event stream over a real socket, and letters that arrive signed at a real receiver."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from chainwallet.adapters.messaging.webhooks import WebhookSender
from chainwallet.controls.identity.api_keys import Scope
from chainwallet.controls.identity.customers import Customer
from chainwallet.kit.database import Database
from chainwallet.records.outbox import Event, append
from chainwallet.records.webhooks import Progress, deliver_due, publish

Key = Callable[..., dict[str, str]]
Serving = Callable[..., AbstractContextManager[str]]
AUTH = {"Authorization": "Bearer the-operators-own-key"}


def happen(database: Database, subject: str, *audience: str) -> None:
    with database.transaction() as session:
        append(session, [Event("transfer.settled", subject, audience, {"id": subject})])


def heard(lines: Iterator[str], count: int) -> list[tuple[str, str]]:
    """(position, subject) of the next `count` events."""
    found, position = [], ""
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "id":
            position = value
        elif field == "data":
            found.append((position, json.loads(value)["subject_id"]))
            if len(found) == count:
                break
    return found


def test_a_listener_hears_what_happens_and_resumes_where_it_left(served: str, database: Database) -> None:
    for number in range(3):
        happen(database, f"trf_{number}", "cus_1")
    with httpx.stream("GET", f"{served}/v1/events?after=0", headers=AUTH, timeout=10) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert heard(lines, 2) == [("1", "trf_0"), ("2", "trf_1")]
    happen(database, "trf_3", "cus_1")
    resumed = AUTH | {"Last-Event-ID": "2"}
    with httpx.stream("GET", f"{served}/v1/events", headers=resumed, timeout=10) as stream:
        lines = stream.iter_lines()
        assert heard(lines, 2) == [("3", "trf_2"), ("4", "trf_3")]
        happen(database, "trf_4", "cus_1")
        assert heard(lines, 1) == [("5", "trf_4")]


def test_a_bound_listener_hears_only_its_own(
    served: str, database: Database, key_for: Key, open_customer: Callable[..., Customer]
) -> None:
    customer = open_customer()
    headers = key_for(Scope.READ, customer_id=customer.id)
    with httpx.stream("GET", f"{served}/v1/events?after=0", headers=headers, timeout=10) as stream:
        lines = stream.iter_lines()
        assert [subject for _, subject in heard(lines, 1)] == [customer.id]
        happen(database, "trf_others", "cus_other")
        happen(database, "trf_mine", "cus_other", customer.id)
        assert [subject for _, subject in heard(lines, 1)] == ["trf_mine"]


def test_a_revoked_key_stops_listening(served: str, database: Database) -> None:
    made = httpx.post(f"{served}/v1/api-keys", json={"name": "ear", "scopes": ["read"]}, headers=AUTH).json()
    headers = {"Authorization": f"Bearer {made['secret']}"}
    with httpx.stream("GET", f"{served}/v1/events", headers=headers, timeout=20) as stream:
        httpx.delete(f"{served}/v1/api-keys/{made['id']}", headers=AUTH)
        happen(database, "trf_1", "cus_1")
        rest = [line for line in stream.iter_lines() if line.startswith("data")]
    assert len(rest) <= 1


@pytest.mark.parametrize("position", ["x", "-1", "1e3", "9" * 40, "١"])
def test_a_bad_position_is_refused(served: str, position: str) -> None:
    headers = [("Authorization", AUTH["Authorization"]), ("Last-Event-ID", position.encode())]
    answer = httpx.get(f"{served}/v1/events", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "CURSOR_INVALID")


class Receiver:
    """A webhook receiver that answers from a script and keeps what it got."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.app = Starlette(routes=[Route("/hook", self.take, methods=["POST"])])

    async def take(self, request: Request) -> Response:
        self.got.append((dict(request.headers), await request.body()))
        status = self.answers.pop(0) if self.answers else 204
        headers = {"Location": "/elsewhere"} if status == 302 else {}
        return Response(status_code=status, headers=headers)


def test_a_letter_arrives_signed_and_is_sent_again_until_accepted(
    client: httpx.Client, database: Database, services: Any, serving: Serving
) -> None:
    receiver = Receiver(500, 302, 204)
    sender = WebhookSender(allow_loopback=True, timeout_s=5)
    with serving(receiver.app) as url:
        made = client.post("/v1/webhooks", json={"url": f"{url}/hook", "events": ["transfer.settled"]}).json()
        happen(database, "trf_1", "cus_1")
        with database.transaction() as session:
            publish(session)
        now, progress = datetime.now(UTC) + timedelta(seconds=1), []
        for _ in range(4):
            progress.append(
                deliver_due(database, sender=sender, unseal=services.unseal, now=now, jitter=random.Random(1))
            )
            now += timedelta(minutes=5)
    assert progress == [Progress(retried=1), Progress(retried=1), Progress(delivered=1), Progress()]
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    for headers, body in receiver.got:
        assert Verifier(made["secret"]).verify(body, headers)["data"] == {"id": "trf_1"}
        with pytest.raises(WebhookVerificationError):
            Verifier(made["secret"]).verify(body.replace(b"trf_1", b"trf_2"), headers)
        stale = headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) - 600)}
        with pytest.raises(WebhookVerificationError):
            Verifier(made["secret"]).verify(body, stale)


def test_a_receiver_that_is_down_is_unknown_and_tried_again(
    client: httpx.Client, database: Database, services: Any
) -> None:
    client.post("/v1/webhooks", json={"url": "http://127.0.0.1:9/hook"})
    happen(database, "trf_1", "cus_1")
    with database.transaction() as session:
        publish(session)
    sender = WebhookSender(allow_loopback=True, timeout_s=5)
    now = datetime.now(UTC) + timedelta(seconds=1)
    assert deliver_due(database, sender=sender, unseal=services.unseal, now=now) == Progress(retried=1)
    with database.transaction() as session:
        error = session.connection().exec_driver_sql("SELECT last_error FROM webhook_delivery").scalar_one()
    assert error == "no connection"
