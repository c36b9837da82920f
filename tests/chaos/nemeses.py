"""What is done to a world, once: each nemesis breaks something, ends it, and waits until payments settle again."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections.abc import Callable

from eth_account import Account

from tests.chaos.crashing import STEPS
from tests.chaos.lies import LIES
from tests.chaos.world import READY_S, Member, World

Nemesis = Callable[[World, random.Random], str]
"""Returns what it did, in words. It raises when payments do not settle again."""

PASSED_WITHIN_S = 20.0
GWEI = 10**9


def kill_service(world: World, draw: random.Random) -> str:
    """SIGKILL to one process, which is started again."""
    member = draw.choice(world.members)
    member.kill()
    _restart(world, member)
    return f"killed {member.name}"


def kill_services(world: World, draw: random.Random) -> str:
    """SIGKILL to every process of the service."""
    for member in world.members:
        member.kill()
    _restart(world, *world.members)
    return "killed every process of the service"


def kill_postgres(world: World, draw: random.Random) -> str:
    world.postgres.kill()
    time.sleep(draw.uniform(0, 0.5))
    world.postgres.start()
    since, after = time.monotonic(), world.last_settled()
    world.await_recovery(since, after)
    return "killed PostgreSQL"


def kill_node(world: World, draw: random.Random) -> str:
    """SIGKILL: up to a second of blocks is gone when its keeper has started it again."""
    since, after = time.monotonic(), world.last_settled()
    with contextlib.suppress(ProcessLookupError):
        os.kill(world.node_pid(), signal.SIGKILL)
    world.await_recovery(since, after)
    _await(world.node_answers, READY_S)  # what settled may have been mined before
    return "killed the node"


def kill_everything(world: World, draw: random.Random) -> str:
    """As when the machine loses its power: everything at once, in no order."""
    victims: list[Callable[[], None]] = [world.postgres.kill, lambda: os.kill(world.node_pid(), signal.SIGKILL)]
    victims += [member.kill for member in world.members]
    draw.shuffle(victims)
    for victim in victims:
        with contextlib.suppress(ProcessLookupError):
            victim()
    world.postgres.start()
    _restart(world, *world.members)
    _await(world.node_answers, READY_S)
    return "killed everything at once"


def kill_at(step: str, moment: str) -> Nemesis:
    """SIGKILL by the process to itself when it comes to a step of a payment's life, or has just done it."""

    def nemesis(world: World, draw: random.Random) -> str:
        count = draw.randint(1, 3)
        for member in world.members:
            (member.folder / "crash").write_text(f"{step} {moment} {count}")
        dead = _await_death(world)
        for member in world.members:
            (member.folder / "crash").unlink(missing_ok=True)
        if dead is None:
            raise RuntimeError(f"seed {world.seed}: nobody came to the step {step} within {PASSED_WITHIN_S:.0f} s")
        dead.kill()
        _restart(world, dead)
        return f"killed {moment} {step}"

    return nemesis


def every_step() -> list[Nemesis]:
    return [kill_at(step, moment) for step in STEPS for moment in ("before", "after")]


def lossy_network(world: World, draw: random.Random, *, share: float = 0.3, lasting_s: float = 3.0) -> str:
    """A share of the requests to the node is dropped, delayed, repeated, cut short, reset or answered with rubbish."""
    world.proxy.fault_share = share
    time.sleep(lasting_s)
    return _heal(world, f"lossy network, {share:.0%}")


def lie(name: str) -> Nemesis:
    """The node lies for a while; then it is honest again."""
    told, withheld = LIES[name]

    def nemesis(world: World, draw: random.Random) -> str:
        before = world.proxy.lies_told
        world.proxy.lie, world.proxy.withholds = told, withheld
        if name in ("nonce too high", "nonce too low", "another chain id"):  # asked about at a start only
            world.leader.kill()
            world.leader.start()
            _await(lambda: world.leader.is_ready() or not _lives(world.leader), 60)
        else:
            _await(lambda: world.proxy.lies_told > before, 5)
            time.sleep(draw.uniform(0.2, 1.5))
        if not _lives(world.leader):
            world.leader.start()
        return _heal(world, f"lie: {name}, told {world.proxy.lies_told - before} times")

    return nemesis


def every_lie() -> list[Nemesis]:
    return [lie(name) for name in LIES]


def reorg(*, deep: bool) -> Nemesis:
    """Blocks are replaced by empty ones: fewer than make finality, or more."""

    def nemesis(world: World, draw: random.Random) -> str:
        k = world.confirmations
        depth = draw.randint(k, k + 3) if deep else draw.randint(1, max(1, k - 1))
        since, after = time.monotonic(), world.last_settled()
        with world.mining:  # anvil that mines while it reorganises is left with a block missing
            world.ask_node("evm_setAutomine", False)
            world.ask_node("evm_mine")  # it answers when the block that was being mined is done
            _reorganise(world, depth)
            world.ask_node("evm_setAutomine", True)
            world.ask_node("evm_mine")
        world.await_recovery(since, after)
        return f"reorganised {depth} blocks"

    return nemesis


def _reorganise(world: World, depth: int) -> None:
    """Of blocks from before its last start anvil has no state to go back to: then there have to be others first."""
    for _ in range(depth):
        try:
            world.ask_node("anvil_reorg", depth, [])
        except AssertionError:
            world.ask_node("evm_mine")
        else:
            return
    world.ask_node("anvil_reorg", depth, [])


def fee_spike(world: World, draw: random.Random) -> str:
    """The base fee is twenty times what it was for a second or two; blocks bring it down."""
    fee = _base_fee(world)
    since, after = time.monotonic(), world.last_settled()
    world.ask_node("anvil_setNextBlockBaseFeePerGas", hex(max(fee, GWEI) * 20))
    while world.last_settled() <= after and time.monotonic() - since < PASSED_WITHIN_S:
        world.ask_node("evm_mine")  # blocks come by themselves, and without them the fee would stay where it is
        time.sleep(0.1)
    world.await_recovery(since, after)
    while _base_fee(world) > max(fee, GWEI):  # what settled may have been mined before
        world.ask_node("evm_mine")
    return f"base fee from {fee / GWEI:.2f} gwei to twenty times that"


def _base_fee(world: World) -> int:
    return int(world.ask_node("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)


def stuck_then_dropped(world: World, draw: random.Random) -> str:
    """Nothing is mined for a while, and what waits is dropped from the pool."""
    world.ask_node("evm_setAutomine", False)
    time.sleep(draw.uniform(0.5, 1.5))
    sender = Account.from_key(world.signer).address
    pool = world.ask_node("txpool_content")["pending"]
    waiting = {address.lower(): found for address, found in pool.items()}.get(sender.lower(), {})
    for transaction in waiting.values():
        with contextlib.suppress(AssertionError):  # it went with one before it
            world.ask_node("anvil_dropTransaction", transaction["hash"])
    since, after = time.monotonic(), world.last_settled()
    world.ask_node("evm_setAutomine", True)
    world.ask_node("evm_mine")
    world.await_recovery(since, after)
    return f"dropped {len(waiting)} transactions"


def outsider_takes_a_nonce(world: World, draw: random.Random) -> str:
    """The settling key is used elsewhere: its next nonce goes to a transaction that the service never heard of."""
    sender = Account.from_key(world.signer).address
    since, after = time.monotonic(), world.last_settled()
    for _ in range(50):
        nonce = int(world.ask_node("eth_getTransactionCount", sender, "latest"), 16)
        chain_id = int(world.ask_node("eth_chainId"), 16)
        fields = {"nonce": nonce, "to": sender, "value": 0, "gas": 21_000, "chainId": chain_id, "type": 2}
        signed = Account.sign_transaction(
            {**fields, "maxFeePerGas": 400 * GWEI, "maxPriorityFeePerGas": 100 * GWEI}, world.signer
        )
        with contextlib.suppress(AssertionError):  # the service was faster: the next nonce, then
            world.ask_node("eth_sendRawTransaction", "0x" + bytes(signed.raw_transaction).hex())
            world.await_recovery(since, after)
            return f"an outsider took nonce {nonce}"
    raise RuntimeError("the outsider never got a nonce")


def clock_step(world: World, draw: random.Random) -> str:
    """Every process's clock jumps, by up to an hour either way, and back."""
    off_s = draw.choice([-1, 1]) * draw.randint(1, 3_600)
    for member in world.members:
        (member.folder / "clock").write_text(str(off_s))
    time.sleep(draw.uniform(1, 3))
    for member in world.members:
        (member.folder / "clock").write_text("0")
    return _heal(world, f"clocks off by {off_s} s")


def disk_full(world: World, draw: random.Random) -> str:
    """No file of PostgreSQL's may grow: it is started with hardly more than it has."""
    world.postgres.kill()
    try:
        world.postgres.start(limit_bytes=draw.randint(100, 800) * 1_024)
        time.sleep(draw.uniform(0.5, 2))
    except RuntimeError:
        pass  # it does not even start: as good
    world.postgres.kill()
    world.postgres.start()
    since, after = time.monotonic(), world.last_settled()
    world.await_recovery(since, after)
    return "PostgreSQL's files could not grow"


def disk_stands_still(world: World, draw: random.Random) -> str:
    """PostgreSQL does not move for some seconds, and moves on."""
    world.postgres.freeze()
    time.sleep(draw.uniform(1, 6))
    world.postgres.thaw()
    return _heal(world, "PostgreSQL stood still")


def full_pool(world: World, draw: random.Random) -> str:
    """Every connection that PostgreSQL grants is taken by others for a while."""
    taken = []
    with contextlib.suppress(Exception):  # that is what is wanted: no more connections
        while True:
            taken.append(world.postgres.connect())
    time.sleep(draw.uniform(1, 3))
    for connection in taken:
        connection.close()
    return _heal(world, f"{len(taken)} connections taken by others")


def _restart(world: World, *members: Member) -> None:
    since, after = time.monotonic(), world.last_settled()
    for member in members:
        member.start()
    world.await_recovery(since, after)
    world.await_ready(members)


def _heal(world: World, what: str) -> str:
    world.proxy.be_honest()
    since, after = time.monotonic(), world.last_settled()
    world.await_recovery(since, after)
    return what


def _await_death(world: World) -> Member | None:
    end = time.monotonic() + PASSED_WITHIN_S
    while time.monotonic() < end:
        for member in world.members:
            if not _lives(member):
                return member
        time.sleep(0.01)
    return None


def _lives(member: Member) -> bool:
    return member.child is not None and member.child.poll() is None


def _await(holds: Callable[[], bool], timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
