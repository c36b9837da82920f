"""Running the service: wired, migrated, deployed, its workers started, and stopped in good order."""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from rich.console import Console

from chainwallet.bootstrap import Services, open_services
from chainwallet.client import Client
from chainwallet.entrypoints.rest.app import create_app
from chainwallet.entrypoints.workers.crew import Crew
from chainwallet.kit.settings import Settings

_log = structlog.get_logger(__name__)
_err = Console(stderr=True)

WS_MESSAGE_BYTES_MAX = 64 * 1_024  # as any other body


class _Server(uvicorn.Server):
    """Uvicorn that says when it listens, and that returns when it is told to stop.

    Its own way is to raise the signal again once it has stopped serving, which would end this process before the
    workers, the chain and the database have been stopped in good order.
    """

    def __init__(self, config: uvicorn.Config, *, on_listening: threading.Event) -> None:
        super().__init__(config)
        self._on_listening = on_listening

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {kind: signal.signal(kind, self.handle_exit) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for kind, handler in before.items():
                signal.signal(kind, handler)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        self._on_listening.set()


def run_service(settings: Settings, *, host: str, port: int, with_workers: bool, with_demo: bool) -> None:
    """Serve until told to stop (SIGTERM, SIGINT)."""
    services = open_services(settings, say=lambda what: _err.print(f"[dim]{what}[/]"))
    crew = Crew(services, with_chain=with_workers)
    services.unhealthy_workers = crew.unhealthy
    listening = threading.Event()
    config = uvicorn.Config(
        create_app(services),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=WS_MESSAGE_BYTES_MAX,
    )
    url = f"http://{host}:{port}"
    # What the start made stays until the end: no collection has to look at it again.
    gc.freeze()
    gc.enable()
    try:
        crew.start()
        threading.Thread(
            target=_welcome, args=(services, url, listening, with_demo), name="welcome", daemon=True
        ).start()
        _Server(config, on_listening=listening).run()
    finally:
        crew.stop()
        services.close()


def _welcome(services: Services, url: str, listening: threading.Event, with_demo: bool) -> None:
    listening.wait()
    if not with_demo:
        _err.print(f"chainwallet listens on {url}; its documentation is at {url}/docs")
        return
    from chainwallet.entrypoints.demo.run import open_showcase

    with Client(url, services.operator_key) as client:
        client.wait_until_ready()
        payer_id, payee_alias = open_showcase(client, console=_err)
    _err.print(_first_steps(url, services.operator_key, payer_id, payee_alias), highlight=False, soft_wrap=True)


def _first_steps(url: str, key: str, payer_id: str, payee_alias: str) -> str:
    return f"""
[bold]chainwallet is ready.[/]

  documentation    {url}/docs
  operator's key   {key}

A first transfer, 100 euros to a customer in Mexico:

  export KEY={key}
  QUOTE=$(curl -s {url}/v1/quotes -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
    -d '{{"source_currency":"EUR","target_currency":"MXN","source_amount":{{"currency":"EUR","value":"100.00"}}}}')
  echo "$QUOTE"
  QUOTE_ID=$(echo "$QUOTE" | sed -E 's/.*"id":"(quo_[^"]+)".*/\\1/')
  curl -s {url}/v1/transfers -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\
    -H "Idempotency-Key: first-transfer-$QUOTE_ID" \\
    -d '{{"quote_id":"'$QUOTE_ID'","payer_id":"{payer_id}","payee":{{"alias":"{payee_alias}"}}}}'
"""
