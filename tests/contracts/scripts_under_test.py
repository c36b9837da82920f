"""The scripts about contracts, as modules."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from types import ModuleType

from hub_world import ROOT, load_compiler_script


@cache
def load_script(name: str) -> ModuleType:
    """scripts/<name>.py as a module; those of its own folder that it imports have to be loaded before."""
    sys.modules["compile_contracts"] = load_compiler_script()
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
