"""Effects behind an idempotency key: had once, and answered the same however often they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlmodel import Session
from starlette.responses import Response

from chainwallet.controls.identity.authenticator import Principal
from chainwallet.entrypoints.rest.auth import Idempotency
from chainwallet.entrypoints.rest.responses import json_response, json_text
from chainwallet.records.idempotency import Conflict, Replay, claim, complete


def answer_once(
    session: Session, principal: Principal, key: Idempotency, effect: Callable[[], dict[str, Any]], *, status: int = 201
) -> Response:
    """Have `effect` in the session's transaction unless this key had it before; then give the first answer again.

    What `effect` returns is the answer and has an `id`. IDEMPOTENCY_KEY_REUSED for another body.
    """
    mine = key.claim(principal, "")
    verdict = claim(session, [mine])[0]
    if isinstance(verdict, Conflict):
        raise verdict.error()
    if isinstance(verdict, Replay):
        return json_response(verdict.body or "{}", verdict.status or status)
    body = json_text(effect())
    complete(session, [(mine, status, body)])
    return json_response(body, status)
