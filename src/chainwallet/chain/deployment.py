"""deployments/<chain id>.json: what was deployed where, written after every confirmed step."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from chainwallet.chain.errors import DeploymentIncomplete
from chainwallet.chain.node import Node

VERSION = 1


@dataclass(frozen=True, slots=True)
class Deployment:
    """The contracts on one chain. `block` is the first with any of them: nothing of ours is older."""

    chain_id: int
    genesis_hash: str
    block: int
    access_manager: str
    hub: str
    treasury: str
    issuer: str
    tokens: dict[str, str]
    anchor: str


@dataclass(slots=True)
class Record:
    """The file: confirmed steps by id, and those sent but not seen mined yet, for a run that was cut off."""

    path: Path
    chain_id: int
    genesis_hash: str
    deployer: str
    treasury: str
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    pending: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path, node: Node) -> Self | None:
        """The record for this chain; None if there is none, or if it is about another chain with the same id."""
        path = path_for(folder, node)
        if not path.exists():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            found = cls(
                path=path,
                chain_id=document["chain_id"],
                genesis_hash=document["genesis_hash"],
                deployer=document["deployer"],
                treasury=document["treasury"],
                steps=document["steps"],
                pending=document["pending"],
            )
        except (ValueError, KeyError, TypeError) as error:
            raise DeploymentIncomplete(
                f"{path} is not a deployment record ({error!r}); restore it, or move it away to deploy anew."
            ) from None
        return found if found.genesis_hash == node.genesis_hash else None

    def save(self) -> None:
        """Replace the file in one step: whoever reads it, and whenever we die, it is whole."""
        document = {
            "version": VERSION,
            "chain_id": self.chain_id,
            "genesis_hash": self.genesis_hash,
            "deployer": self.deployer,
            "treasury": self.treasury,
            "steps": self.steps,
            "pending": self.pending,
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.path)

    def address(self, step: str) -> str | None:
        """Where a confirmed step put its contract."""
        return self.steps.get(step, {}).get("address")

    def deployment(self, currencies: list[str]) -> Deployment:
        """The contracts of a complete record."""
        return Deployment(
            chain_id=self.chain_id,
            genesis_hash=self.genesis_hash,
            block=min(step["block"] for step in self.steps.values()),
            access_manager=self.steps["manager"]["address"],
            hub=self.steps["hub"]["address"],
            treasury=self.treasury,
            issuer=self.deployer,
            tokens={code: self.steps[f"token:{code}"]["address"] for code in currencies},
            anchor=self.steps["anchor"]["address"],
        )


def recorded_currencies(folder: Path, node: Node) -> list[str]:
    """The currencies that the record of this chain has tokens for; none without a record."""
    record = Record.load(folder, node)
    steps = record.steps if record is not None else {}
    return sorted(step.removeprefix("token:") for step in steps if step.startswith("token:"))


def find_deployment(folder: Path, node: Node) -> Deployment:
    """The recorded contracts of this chain, with every currency; DeploymentIncomplete without a complete record."""
    record = Record.load(folder, node)
    if record is None or any(record.address(step) is None for step in ("manager", "hub", "anchor")):
        raise DeploymentIncomplete(
            f"{path_for(folder, node)} is no complete record of chain {node.chain_id}: name the folder that holds it, "
            "or finish the deployment with `chainwallet deploy`."
        )
    return record.deployment(recorded_currencies(folder, node))


def path_for(folder: Path, node: Node) -> Path:
    return folder / f"{node.chain_id}.json"


def set_aside_stale(folder: Path, node: Node) -> Path | None:
    """Rename a record of another chain with this chain's id; the new name, or None if there was none."""
    path = path_for(folder, node)
    if not path.exists() or Record.load(folder, node) is not None:
        return None
    aside = path.with_suffix(".json.old")
    path.replace(aside)
    return aside
