"""Alerts, dashboard and runbooks speak of metrics that exist, and of each other."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

from prometheus_client import REGISTRY

import chainwallet.entrypoints

ROOT = Path(__file__).parents[2]
ALERTS = (ROOT / "ops" / "prometheus" / "alerts.yml").read_text()
DASHBOARD = json.loads((ROOT / "ops" / "grafana" / "chainwallet.json").read_text())
RUNBOOKS = ROOT / "docs" / "runbooks"
_METRIC = re.compile(r"chainwallet_\w+")
_UNITS = ("_seconds", "_total", "_bucket", "_count", "_in_a_row", "_waiting", "_block", "_breaks", "_quotes")


def _exported() -> set[str]:
    for module in pkgutil.walk_packages(chainwallet.entrypoints.__path__, "chainwallet.entrypoints."):
        importlib.import_module(module.name)
    families = [family for family in REGISTRY.collect() if family.name.startswith("chainwallet_")]
    names = {family.name for family in families if family.type in ("gauge", "histogram")}
    names |= {f"{family.name}_total" for family in families if family.type == "counter"}
    names |= {f"{f.name}_{part}" for f in families if f.type == "histogram" for part in ("bucket", "count")}
    return names


def test_dashboard__shows_metrics_that_exist_and_all_of_ours() -> None:
    shown = {name for p in DASHBOARD["panels"] for t in p["targets"] for name in _METRIC.findall(t["expr"])}
    assert shown <= _exported()
    ours = {family.name for family in REGISTRY.collect() if family.name.startswith("chainwallet_")}
    assert not [name for name in ours if not any(one.startswith(name) for one in shown)], "a metric nobody sees"


def test_alerts__ask_about_metrics_that_exist() -> None:
    assert set(_METRIC.findall(re.sub(r"docs/\S+|- name: \S+", "", ALERTS))) <= _exported()


def test_metrics__say_room_and_unit() -> None:
    assert not [name for name in _exported() if not any(unit in name for unit in _UNITS)]


def test_alerts__each_has_its_runbook_and_each_runbook_its_alert() -> None:
    alerts = re.findall(r"- alert: (\w+)", ALERTS)
    books = re.findall(r"runbook: (\S+)", ALERTS)
    assert len(alerts) == len(books) == len(set(books))
    for alert, book in zip(alerts, books, strict=True):
        assert (ROOT / book).read_text().startswith(f"# {alert}\n")
    assert {path.name for path in RUNBOOKS.glob("*.md")} == {Path(book).name for book in books} | {"restore.md"}
