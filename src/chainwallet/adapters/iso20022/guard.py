"""What is checked about a file's bytes before a tree is built from them, so that memory and time stay bounded.

A first pass with expat builds nothing: it refuses document types (and with them every entity), processing
instructions, other encodings than UTF-8, and documents deeper or larger than a payment file can be.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from chainwallet.adapters.iso20022.errors import FileTooLarge, ForbiddenXml, MalformedXml

BYTES_MAX = 8 * 1024 * 1024
ELEMENTS_MAX = 500_000
ATTRIBUTES_MAX = 16  # of one element; pain.001 defines one, and a namespace or a schema hint may come with it
DEPTH_MAX = 24  # the deepest path that pain.001 defines has 14 elements


def read_bytes(source: BinaryIO | bytes | Path, *, bytes_max: int = BYTES_MAX) -> bytes:
    """The whole file, read no further than one byte past the cap; FileTooLarge beyond it."""
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, Path):
        with source.open("rb") as stream:
            data = stream.read(bytes_max + 1)
    else:
        data = source.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise FileTooLarge(
            f"A payment file may have {bytes_max:,} bytes; this one has more. Split it into several files, "
            "each with its own MsgId."
        )
    return data


def check_structure(data: bytes) -> None:
    """One pass over the bytes; ForbiddenXml, FileTooLarge or MalformedXml, each with the line of the fault."""
    _check_encoding(data)
    sweep = _Sweep()
    try:
        sweep.parser.Parse(data, True)
    except expat.ExpatError as error:
        raise MalformedXml(
            f"The file is not well-formed XML: {expat.ErrorString(error.code)} at line {error.lineno}. "
            "Export it again; it may have been cut off in transfer.",
            line=error.lineno,
        ) from error


def _check_encoding(data: bytes) -> None:
    try:
        text_is_utf8 = bool(data.decode("utf-8", errors="strict")) and b"\0" not in data
    except UnicodeDecodeError:
        text_is_utf8 = False
    if not text_is_utf8:
        raise ForbiddenXml(
            "The file is empty or not UTF-8, which is what ISO 20022 files are written in. Save it as UTF-8."
        )


class _Sweep:
    """Counts elements and depth as expat meets them; raises at the first thing that may not be there."""

    def __init__(self) -> None:
        self.depth = self.elements = 0
        self.parser = expat.ParserCreate("utf-8")
        self.parser.XmlDeclHandler = self._declaration
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.ProcessingInstructionHandler = self._instruction
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end

    def _refuse(self, what: str) -> NoReturn:
        line = self.parser.CurrentLineNumber
        raise ForbiddenXml(f"The file has {what} at line {line}; a payment file needs none. Remove it.", line=line)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.upper() not in ("UTF-8", "UTF8", "US-ASCII", "ASCII"):
            self._refuse(f"an encoding declaration of {encoding[:24]} instead of UTF-8")

    def _doctype(self, _name: str, _system_id: str | None, _public_id: str | None, _internal: bool) -> None:
        self._refuse("a document type declaration (DOCTYPE)")

    def _instruction(self, _target: str, _data: str) -> None:
        self._refuse("a processing instruction")

    def _start(self, _name: str, attributes: dict[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        line = self.parser.CurrentLineNumber
        if self.depth > DEPTH_MAX:
            raise FileTooLarge(
                f"Elements are nested more than {DEPTH_MAX} deep at line {line}; pain.001 has no such place. "
                "Send a plain pain.001 document.",
                line=line,
            )
        if len(attributes) > ATTRIBUTES_MAX:
            self._refuse(f"an element with more than {ATTRIBUTES_MAX} attributes")
        if self.elements > ELEMENTS_MAX:
            raise FileTooLarge(
                f"A payment file may have {ELEMENTS_MAX:,} elements; line {line} is past that. Split the file.",
                line=line,
            )

    def _end(self, _name: str) -> None:
        self.depth -= 1
