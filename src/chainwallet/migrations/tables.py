"""Every room that has tables, so that the metadata knows them all."""

from __future__ import annotations

import importlib
import pkgutil

_ROOMS = ("chain", "controls", "keys", "ledger", "payments", "reconciliation", "records", "settlement")


def import_tables() -> None:
    """Import the rooms below bootstrap: a table is known once its module is."""
    for room in _ROOMS:
        package = importlib.import_module(f"chainwallet.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"chainwallet.{room}."):
            importlib.import_module(module.name)
