"""An AuditAnchor under the world's AccessManager, and the account that may anchor."""

from __future__ import annotations

from typing import Any

from eth_utils import keccak
from hub_world import Refusal, World, artifact

ANCHORER = 6
AUDIT_LOG = b"audit-log".ljust(32, b"\x00")
LIABILITIES = b"liabilities".ljust(32, b"\x00")
ROOT = keccak(text="the records of a day")


class AnchorWorld:
    """The contract, its one writer, and calls in one line."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.chain = world.chain
        self.contract = world.chain.deploy(artifact("AuditAnchor"), world.manager.address)
        self.anchorer = world.chain.accounts[8]
        selector = self.contract.functions.anchor(AUDIT_LOG, 1, ROOT, 0).selector
        manager = world.manager.functions
        world.send(manager.setTargetFunctionRole(self.contract.address, [selector], ANCHORER), "admin")
        world.send(manager.grantRole(ANCHORER, self.anchorer, 0), "admin")

    def call(self, kind: bytes = AUDIT_LOG, period: int = 86_400, root: bytes = ROOT, records: int = 7) -> Any:
        return self.contract.functions.anchor(kind, period, root, records)

    def anchor(self, *arguments: Any, **named: Any) -> Any:
        """Anchors as the one who may; returns the receipt."""
        return self.chain.send(self.call(*arguments, **named), self.anchorer)

    def refused(self, *arguments: Any, **named: Any) -> Refusal:
        """Why the one who may is refused."""
        return self.chain.refused(self.call(*arguments, **named), self.anchorer)

    def kept(self, kind: bytes, period: int) -> tuple[bytes, int, int]:
        root, records, anchored_at = self.contract.functions.anchorOf(kind, period).call()
        return bytes(root), records, anchored_at
