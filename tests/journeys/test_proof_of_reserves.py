"""A customer takes a proof away and verifies it with a node of the chain."""

from __future__ import annotations

from chainwallet.entrypoints.workers.anchor import state_reserves
from chainwallet.reconciliation.inclusion import verify_proof

from .conftest import World


def test_proof__fetched_by_the_customer__verifies_over_http(world: World) -> None:
    customer = world.funded("EUR", "31.00")
    world.quiet()
    stated = state_reserves(world.services)
    assert stated is not None
    world.until(
        lambda: world.send("GET", f"/v1/customers/{customer['id']}/proof").json().get("root") == stated.root,
        "the root is anchored",
    )
    own = world.key("read", customer_id=customer["id"])
    document = world.get(f"/v1/customers/{customer['id']}/proof", auth=own)
    assert document["positions"][0]["units"] == "31000000"
    checks = verify_proof(document, rpc_url=world.get("/v1/chain")["rpc_url"])
    assert [check.claim for check in checks if not check.passed] == []
    document["positions"][0]["units"] = "32000000"
    checks = verify_proof(document, rpc_url=world.get("/v1/chain")["rpc_url"])
    assert not all(check.passed for check in checks)
