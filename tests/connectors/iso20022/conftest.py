"""A small valid pain.001 file, and ways to bend it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pain001_document import Document, Transfer


@pytest.fixture
def document() -> Callable[..., bytes]:
    """document(count="2", ...) gives the bytes of the small file with that changed."""
    return lambda **changes: Document(**changes).xml()


@pytest.fixture
def with_transfer() -> Callable[..., bytes]:
    """with_transfer(amount=...) gives the bytes of the small file whose one transfer is changed so."""
    return lambda total="4500.00", **changes: Document(transfers=[Transfer(**changes)], total=total).xml()
