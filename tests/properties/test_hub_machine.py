"""The hub beside its model, step by step, honest and hostile.

After every step: positions sum to the total and are backed by tokens; every balance is what the model says, so a
payment executed exactly or not at all; nobody's position fell without their signature; nonces only rise; no quote is
sold beyond its capacity; a refusal carries the promised error and names the offender.

CHAINWALLET_HUB_STEPS and CHAINWALLET_HUB_SEED set the length and the seed of the seeded run.
"""

from __future__ import annotations

import os
import random
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "contracts"))

from hub_carriers import PyEvmCarrier, RevmCarrier
from hub_leaver import Leaver
from hub_machine import CURRENCIES, Machine
from hub_world import FAR, ORDER_TYPE, QUOTE_TYPE, Order, Quote, artifact, digest_of

SEED = int(os.environ.get("CHAINWALLET_HUB_SEED", "20260101"))
STEPS = int(os.environ.get("CHAINWALLET_HUB_STEPS", "300"))
# OrderMalformed needs bytes that no encoder makes, ExitDelayTooLong a deployment; tests/contracts has them.
PROMISED = (
    {
        entry["name"]
        for entry in artifact("SettlementHub")["abi"]
        if entry["type"] == "error" and entry["name"].startswith(("Batch", "Order", "Quote", "Fill", "Share", "Exit"))
    }
    - {"OrderMalformed", "ExitDelayTooLong"}
    | {"NonceStale", "AccountIsFrozen", "DepositAmountMismatch", "ReentrancyGuardReentrantCall", "deposited silently"}
    | {"AccessManagedUnauthorized", "EnforcedPause", "CurrencyNotConserved"}
)
RANDOMS = st.randoms(use_true_random=False)


class HubSteps(RuleBasedStateMachine):
    """Hypothesis makes the choices on py-evm, and shrinks them when something breaks."""

    machine: ClassVar[Machine]
    carrier: ClassVar[PyEvmCarrier]
    founded: ClassVar[object]

    @initialize(draw=RANDOMS)
    def begin(self, draw: random.Random) -> None:
        """The hub as founded, with some money in it."""
        self.carrier.tester.revert_to_snapshot(self.founded)
        type(self).founded = self.carrier.tester.take_snapshot()
        self.machine.begin()
        for _ in range(3):
            self.machine.deposit(draw)

    @rule(draw=RANDOMS)
    def deposit(self, draw: random.Random) -> None:
        self.machine.deposit(draw)

    @rule(draw=RANDOMS)
    def settle(self, draw: random.Random) -> None:
        self.machine.settle(draw)

    @rule(draw=RANDOMS)
    def settle_again(self, draw: random.Random) -> None:
        self.machine.settle(draw)

    @rule(draw=RANDOMS)
    def leave(self, draw: random.Random) -> None:
        Leaver(self.machine, draw).step()

    @rule(draw=RANDOMS)
    def misbehave(self, draw: random.Random) -> None:
        self.machine.misfits.step(draw)

    @rule(draw=RANDOMS)
    def freeze(self, draw: random.Random) -> None:
        self.machine.toggle_freeze(draw)

    @rule()
    def pause(self) -> None:
        self.machine.toggle_pause()


def test_hub__rules_chosen_by_hypothesis__agrees_with_its_model() -> None:
    carrier = PyEvmCarrier()
    # P-256 in Solidity takes py-evm a second each; revm, below, has passkeys among the actors.
    HubSteps.machine, HubSteps.carrier = Machine(carrier, has_passkeys=False), carrier
    HubSteps.founded = carrier.tester.take_snapshot()
    run_state_machine_as_test(HubSteps, settings=settings(max_examples=8, stateful_step_count=15))


def run_seeded(steps: int) -> Machine:
    """A seeded run on revm; prints the seed, the speed and what happened."""
    pytest.importorskip("pyrevm", reason="pip install pyrevm")
    machine, draw, begun = Machine(RevmCarrier()), random.Random(SEED), time.perf_counter()
    for _ in range(10):
        machine.deposit(draw)
    for number in range(steps):
        try:
            machine.step(draw)
        except AssertionError as error:
            raise AssertionError(f"step {number} of seed {SEED}: {error}") from error
    rate = steps / (time.perf_counter() - begun)
    print(f"seed {SEED}: {steps} steps at {rate:.0f} steps/s: {dict(machine.outcomes.most_common())}")
    return machine


def test_hub__seeded_steps__agrees_with_its_model() -> None:
    machine = run_seeded(STEPS)
    assert machine.outcomes["settled"] > STEPS // 5, "too few batches settle for the run to mean much"


@pytest.mark.soak
@pytest.mark.timeout(1_800)
def test_hub__100_000_seeded_steps__agrees_with_its_model() -> None:
    machine = run_seeded(100_000)
    assert PROMISED - set(machine.outcomes) == set(), "some refusals were never reached"


def test_digest__packed_by_hand__equals_that_of_eth_account() -> None:
    pytest.importorskip("pyrevm", reason="pip install pyrevm")
    machine = Machine(RevmCarrier())
    first, second = machine.actors[:2]
    order = Order(first, second, CURRENCIES[0], 5, CURRENCIES[1], 6, 7, FAR, b"\x08" * 32)
    quote = Quote(first, CURRENCIES[0], 5, CURRENCIES[1], 6, 7, FAR)
    for types, intent in ((ORDER_TYPE, order), (QUOTE_TYPE, quote)):
        expected = digest_of(types, intent, chain_id=machine.carrier.id, hub=machine.hub)
        assert machine.digest(types, intent) == expected
