"""Logs for machines and people: structured events on standard error, and Prometheus metrics."""

from __future__ import annotations

import logging
import sys

import structlog


def _to_stderr(*_: object) -> structlog.PrintLogger:
    """A logger on what standard error is now: it may have been redirected since logging was set up."""
    return structlog.PrintLogger(sys.stderr)


def configure_logging(level: str) -> None:
    """JSON lines when standard error is a file or a pipe, coloured text when it is a terminal."""
    terminal = sys.stderr.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=_to_stderr,
    )
