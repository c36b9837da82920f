"""AuditAnchor: a root is kept once, for good, by the one who may. The tree is AuditAnchor.tree."""

from __future__ import annotations

import random

import pytest
from anchor_world import AUDIT_LOG, LIABILITIES, ROOT, AnchorWorld
from eth_utils import keccak
from hub_world import Refusal, World, artifact
from web3.exceptions import ContractPanicError

DAY = 86_400


@pytest.fixture
def audit(world: World) -> AnchorWorld:
    return AnchorWorld(world)


def test_anchor__period_that_is_over__is_kept_with_its_time(audit: AnchorWorld) -> None:
    receipt = audit.anchor(AUDIT_LOG, DAY, ROOT, 7)
    said = {"kind": AUDIT_LOG, "period": DAY, "root": ROOT, "records": 7}
    assert audit.chain.events(receipt) == [("Anchored", said)]
    assert audit.kept(AUDIT_LOG, DAY) == (ROOT, 7, audit.chain.now)


def test_anchor__period_that_ends_in_this_second__is_kept(audit: AnchorWorld) -> None:
    now = audit.chain.now
    audit.call(period=now).call({"from": audit.anchorer})  # runs in the latest block, whose second this is
    audit.anchor(period=now)
    assert audit.kept(AUDIT_LOG, now)[0] == ROOT


def test_anchor__period_that_is_not_over__refused(audit: AnchorWorld) -> None:
    now = audit.chain.now
    assert audit.refused(period=now + 1) == Refusal("PeriodNotOver", (now + 1, now))


@pytest.mark.parametrize("root", [ROOT, keccak(text="another past")], ids=["same root", "another root"])
def test_anchor__period_again__refused_and_unchanged(audit: AnchorWorld, root: bytes) -> None:
    audit.anchor()
    before = audit.kept(AUDIT_LOG, DAY)
    assert audit.refused(root=root) == Refusal("PeriodAlreadyAnchored", (AUDIT_LOG, DAY, ROOT))
    with pytest.raises(AssertionError, match="PeriodAlreadyAnchored"):
        audit.anchor(root=root)
    assert audit.kept(AUDIT_LOG, DAY) == before
    assert audit.contract.functions.countOf(AUDIT_LOG).call() == 1


def test_anchor__same_period_of_another_kind__is_kept_beside_it(audit: AnchorWorld) -> None:
    other = keccak(text="what is owed")
    audit.anchor(AUDIT_LOG, DAY, ROOT, 7)
    audit.anchor(LIABILITIES, DAY, other, 2)
    assert audit.kept(AUDIT_LOG, DAY)[:2] == (ROOT, 7)
    assert audit.kept(LIABILITIES, DAY)[:2] == (other, 2)


def test_anchor__late_period_after_a_newer_one__is_kept(audit: AnchorWorld) -> None:
    audit.anchor(period=3 * DAY)
    audit.anchor(period=2 * DAY)
    periods = [audit.contract.functions.periodAt(AUDIT_LOG, index).call() for index in range(2)]
    assert periods == [3 * DAY, 2 * DAY]


def test_anchor__no_records__is_kept(audit: AnchorWorld) -> None:
    audit.anchor(records=0)
    assert audit.kept(AUDIT_LOG, DAY)[:2] == (ROOT, 0)


@pytest.mark.parametrize(
    ("field", "value", "error"),
    [("kind", bytes(32), "KindZero"), ("root", bytes(32), "RootZero"), ("period", 0, "PeriodZero")],
    ids=["kind", "root", "period"],
)
def test_anchor__zero__refused(audit: AnchorWorld, field: str, value: bytes | int, error: str) -> None:
    assert audit.refused(**{field: value}) == Refusal(error)


def test_anchor__caller_without_the_role__refused(audit: AnchorWorld) -> None:
    for who in audit.world.who.values():
        assert audit.chain.refused(audit.call(), who) == Refusal("AccessManagedUnauthorized", (who,))


def test_anchor__every_other_function__reads_or_answers_to_the_access_manager() -> None:
    changing = {
        entry["name"]
        for entry in artifact("AuditAnchor")["abi"]
        if entry["type"] == "function" and entry["stateMutability"] not in ("view", "pure")
    }
    assert changing == {"anchor", "setAuthority"}


def test_anchor_of__nothing_anchored__is_zero(audit: AnchorWorld) -> None:
    audit.anchor()
    assert audit.kept(AUDIT_LOG, 2 * DAY) == (bytes(32), 0, 0)
    assert audit.kept(LIABILITIES, DAY) == (bytes(32), 0, 0)


def test_count_of__kinds__are_counted_apart(audit: AnchorWorld) -> None:
    assert audit.contract.functions.countOf(AUDIT_LOG).call() == 0
    audit.anchor(AUDIT_LOG, DAY)
    audit.anchor(AUDIT_LOG, 2 * DAY)
    audit.anchor(LIABILITIES, DAY)
    assert audit.contract.functions.countOf(AUDIT_LOG).call() == 2
    assert audit.contract.functions.countOf(LIABILITIES).call() == 1


def test_period_at__index_at_the_count__panics(audit: AnchorWorld) -> None:
    audit.anchor()
    assert audit.contract.functions.periodAt(AUDIT_LOG, 0).call() == DAY
    with pytest.raises(ContractPanicError, match="out of bounds"):
        audit.contract.functions.periodAt(AUDIT_LOG, 1).call()


def test_anchor__random_calls__keep_exactly_what_a_dictionary_would(audit: AnchorWorld) -> None:
    draw = random.Random(5)
    model: dict[tuple[bytes, int], tuple[bytes, int]] = {}
    sequence: dict[bytes, list[int]] = {AUDIT_LOG: [], LIABILITIES: []}
    for _ in range(60):
        kind, period = draw.choice([AUDIT_LOG, LIABILITIES]), draw.randint(1, 12) * DAY
        root, records = draw.randbytes(32), draw.randrange(2**64)
        if (kind, period) in model:
            refusal = Refusal("PeriodAlreadyAnchored", (kind, period, model[kind, period][0]))
            assert audit.refused(kind, period, root, records) == refusal
            continue
        audit.anchor(kind, period, root, records)
        model[kind, period] = (root, records)
        sequence[kind].append(period)
    assert {key: audit.kept(*key)[:2] for key in model} == model
    for kind, periods in sequence.items():
        count = audit.contract.functions.countOf(kind).call()
        assert [audit.contract.functions.periodAt(kind, index).call() for index in range(count)] == periods


def test_authority__is_the_access_manager_and_only_it_replaces_itself(audit: AnchorWorld) -> None:
    manager = audit.world.manager.address
    assert audit.contract.functions.authority().call() == manager
    for who in [*audit.world.who.values(), audit.anchorer]:
        refused = audit.chain.refused(audit.contract.functions.setAuthority(manager), who)
        assert refused == Refusal("AccessManagedUnauthorized", (who,))


def test_authority__replaced_through_the_access_manager__decides_from_then_on(audit: AnchorWorld) -> None:
    world = audit.world
    successor = world.chain.deploy(artifact("AccessManager"), world.who["governor"])
    world.send(world.manager.functions.updateAuthority(audit.contract.address, successor.address), "admin")
    assert audit.contract.functions.authority().call() == successor.address
    assert audit.refused() == Refusal("AccessManagedUnauthorized", (audit.anchorer,))
    assert audit.contract.functions.isConsumingScheduledOp().call() == bytes(4)


def test_anchor__holder_with_an_execution_delay__anchors_what_it_scheduled(audit: AnchorWorld) -> None:
    world, delay_s = audit.world, 3_600
    world.send(world.manager.functions.grantRole(6, audit.anchorer, delay_s), "admin")
    data = audit.call().build_transaction({"gas": 1, "gasPrice": 1, "nonce": 0, "chainId": 1})["data"]
    early = audit.refused()
    assert early.name == "AccessManagerNotScheduled"
    schedule = world.manager.functions.schedule(audit.contract.address, data, 0)
    audit.chain.send(schedule, audit.anchorer)
    assert audit.refused().name == "AccessManagerNotReady"
    audit.chain.pass_to(audit.chain.now + delay_s + 1)
    audit.anchor()
    assert audit.kept(AUDIT_LOG, DAY)[:2] == (ROOT, 7)
