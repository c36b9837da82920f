"""The service as a child process: started on a free port, watched until it is ready, stopped in good order."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Self

from chainwallet.client import Client


class ServiceProcess:
    """`chainwallet serve` in a data folder of its own. Starting it again after a kill picks up where it was."""

    def __init__(
        self,
        data_dir: Path,
        *,
        chain: str = "anvil",
        port: int | None = None,
        operator_key: str | None = None,
        arguments: Sequence[str] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.data_dir = data_dir
        self.port = port or _free_port()
        self.operator_key = operator_key or f"cw_{secrets.token_urlsafe(32)}"
        self._arguments = list(arguments)
        self._environment = {
            **os.environ,
            "CHAINWALLET_CHAIN_URL": chain,
            "CHAINWALLET_OPERATOR_KEY": self.operator_key,
            "CHAINWALLET_LOG_LEVEL": "warning",
            **(environment or {}),
        }
        self._child: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.data_dir / "service.log"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def client(self, **options: float) -> Client:
        return Client(self.url, self.operator_key, **options)  # type: ignore[arg-type]

    def start(self, *, timeout_s: float = 90) -> None:
        """Start and wait until it takes payments; RuntimeError with the end of its log if it does not."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._log = self.log_file.open("ab")
        command = [sys.executable, "-m", "chainwallet", "serve", "--host", "127.0.0.1"]
        self._child = subprocess.Popen(
            [*command, "--port", str(self.port), "--data-dir", str(self.data_dir), *self._arguments],
            env=self._environment,
            stdout=self._log,
            stderr=self._log,
        )
        try:
            with self.client() as client:
                client.wait_until_ready(timeout_s)
        except TimeoutError as error:
            self.kill()
            raise RuntimeError(f"{error}\n{self.log_tail()}") from error

    def stop(self, *, timeout_s: float = 30) -> None:
        """End it in good order: it finishes what it is at, and stops its database and its chain."""
        self._end(signal.SIGTERM, timeout_s)

    def kill(self) -> None:
        """End it as a crash would, with nothing in order."""
        self._end(signal.SIGKILL, 10)

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _end(self, how: signal.Signals, timeout_s: float) -> None:
        if self._child is not None:
            self._child.send_signal(how)
            try:
                self._child.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(10)
            self._child = None
        if self._log is not None:
            self._log.close()
            self._log = None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
