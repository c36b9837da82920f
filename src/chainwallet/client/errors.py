"""What the service refuses, as an exception."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """What the service refused: `code` is stable, `detail` says what to do, `problem` is the whole answer."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("code", "UNKNOWN"))
        self.detail = str(problem.get("detail", ""))
        self.retryable = bool(problem.get("retryable", False))
        self.problem = problem
        super().__init__(f"{status} {self.code}: {self.detail}")
