"""docs/makers.md, done as it says: each request, each message and each program in it, in its order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chainwallet.client import Client

from .conftest import OPERATOR_KEY, World
from .test_makers import soon

MANUAL = Path(__file__).parents[2] / "docs" / "makers.md"
TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


def blocks() -> Iterator[tuple[str, str]]:
    """(language, text) of each fenced block that is meant to be done."""
    for kind, body in re.findall(r"^```(\w+)\n(.*?)^```", MANUAL.read_text(), re.MULTILINE | re.DOTALL):
        yield kind, TIMES.sub(soon(), body)


def resembles(said: Any, found: Any, where: str) -> None:
    """What the manual shows is there, with the same fields; values differ but for numbers of version and codes."""
    assert type(said) is type(found) or said is None or found is None, f"{where}: {found!r} instead of {said!r}"
    if isinstance(said, dict) and not where.endswith("rates"):
        assert said.keys() <= found.keys(), f"{where}: {found}"
        for key in said:
            resembles(said[key], found[key], f"{where}/{key}")
    if isinstance(said, list) and said:
        assert found, f"{where} is empty"
        resembles(said[0], found[0], f"{where}/0")
    if where.rpartition("/")[2] in ("version", "code", "withdrawn", "applied", "custody", "count"):
        assert said == found, where


class Reader:
    """Does what the manual says, as the operator at first and with the maker's own key once there is one."""

    def __init__(self, world: World, url: str) -> None:
        self.world = world
        self.url = url
        self.maker_id = ""
        self.key = OPERATOR_KEY
        self.seen: set[str] = set()

    def http(self, body: str) -> None:
        asked, _, answer = body.partition("\n-> ")
        method, path, *rest = asked.replace("{maker_id}", self.maker_id).split(maxsplit=2)
        options = {"json": json.loads(rest[0])} if rest else {}
        response = self.world.send(method, path, auth=self.key, **options)
        status, _, document = answer.partition(" ")
        assert response.status_code == int(status), f"{method} {path}: {response.text}"
        resembles(json.loads(document), response.json(), path.partition("?")[0])
        self.seen.add(f"{method} {path.replace(self.maker_id or ' ', '{maker_id}').partition('?')[0]}")
        if path == "/v1/customers":
            self.maker_id = response.json()["id"]
            self.world.fund(self.maker_id, "USD", "50000.00")
        elif path == "/v1/api-keys":
            self.key = response.json()["secret"]

    def stream(self, body: str) -> None:
        with Client(self.url, self.key) as client, client.maker_stream(self.maker_id) as line:
            for step in body.splitlines():
                text = step[2:]
                if step.startswith(">"):
                    line.send_text(text)
                else:
                    resembles(json.loads(text), line.receive(timeout_s=10), json.loads(text)["type"])

    def python(self, body: str) -> None:
        with Client(self.url, OPERATOR_KEY) as operator:
            names = {"url": self.url, "key": self.key, "maker_id": self.maker_id, "expires_at": soon()}
            exec(body, names | {"operator": operator})


def test_manual__is_true_from_beginning_to_end(world: World, url: str) -> None:
    reader = Reader(world, url)
    done = [kind for kind, body in blocks() if getattr(reader, kind)(body) is None]
    assert (done.count("http"), done.count("stream"), done.count("python")) == (11, 1, 2)
    views = {f"GET /v1/makers/{{maker_id}}/{view}" for view in ("ladders", "fills", "exposure", "profit", "rejections")}
    assert views <= reader.seen
    world.send("DELETE", f"/v1/makers/{reader.maker_id}/ladders")
