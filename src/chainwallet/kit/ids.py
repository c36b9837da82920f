"""Identifiers: a prefix that names the thing and a ULID, so that ids sort by time and read well."""

from __future__ import annotations

import uuid

from ulid import ULID


def new_id(prefix: str) -> str:
    """A fresh id such as `trf_01JD3ZK...`: 48 bits of time, 80 random bits, unguessable enough for a URL."""
    return f"{prefix}_{ULID()}"


def new_uetr() -> str:
    """A unique end-to-end transaction reference: a UUID version 4 (ISO 20022 UETR)."""
    return str(uuid.uuid4())
