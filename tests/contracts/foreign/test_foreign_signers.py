"""A second and a third implementation agree: viem and ethers hash, sign and are settled as our own keys are.

given 1,000 random orders and 1,000 random quotes, with every field at its ends among them
  viem and ethers should hash them as we do, from the fields and from the document that a wallet is shown
  their signatures should recover to the owner here, and equal those of our own signer (RFC 6979)
given orders and quotes built and signed by either
  the hub should settle them, and refuse them with one field changed
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import pytest
from hub_world import EUR, FAR, ROOT, UNIT, USD, World

from chainwallet.chain.contracts.settlement_hub import Fill, encode_settle
from chainwallet.keys.addresses import checksum_address
from chainwallet.keys.intents import Domain, MakerQuote, PaymentOrder, order_digest, quote_digest, recover
from chainwallet.keys.signatures import SecretKey
from chainwallet.keys.typed_data import typed_data

Intent = PaymentOrder | MakerQuote
Answer = dict[str, dict[str, str]]

SCRIPT = Path(__file__).with_name("sign_intents.cjs")
LIBRARIES = ("viem", "ethers")
COUNT = 1_000
SEED = 3_009


@pytest.fixture(scope="module", autouse=True)
def _libraries() -> None:
    """Skipped only where `make setup-dev`, which `make test` does first, found no npm: it leaves no .dev then."""
    if not (ROOT / "node_modules" / ".dev").exists() or shutil.which("node") is None:
        pytest.skip("viem and ethers are not here: `make setup-dev` on a machine with npm")


def sign_abroad(domain: Domain, intents: list[Intent], keys: list[SecretKey]) -> list[Answer]:
    """What viem and ethers make of the intents."""
    asked = {
        "domain": {"chainId": domain.chain_id, "verifyingContract": domain.hub},
        "intents": [_plain(domain, intent, key) for intent, key in zip(intents, keys, strict=True)],
    }
    done = subprocess.run(
        ["node", str(SCRIPT)], input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    answers: list[Answer] = json.loads(done.stdout)
    return answers


def _plain(domain: Domain, intent: Intent, key: SecretKey) -> dict[str, Any]:
    fields = ["0x" + field.hex() if isinstance(field, bytes) else str(field) for field in astuple(intent)]
    return {
        "type": type(intent).__name__,
        "fields": fields,
        "key": "0x" + _private[key.address],
        "document": typed_data(domain, intent),
    }


_private: dict[str, str] = {}  # by address: a SecretKey does not show what it holds


def new_key(draw: random.Random) -> SecretKey:
    digits = draw.randbytes(32).hex()
    key = SecretKey.from_hex("0x" + digits)
    _private[key.address] = digits
    return key


def digest(domain: Domain, intent: Intent) -> bytes:
    return order_digest(domain, intent) if isinstance(intent, PaymentOrder) else quote_digest(domain, intent)


def _uint(draw: random.Random, bits: int) -> int:
    """Small, large and end values alike."""
    return draw.choice([0, 1, 2**bits - 1, draw.getrandbits(bits), draw.getrandbits(draw.randint(1, bits))])


def _address(draw: random.Random) -> str:
    return checksum_address(draw.choice([bytes(20), b"\xff" * 20, draw.randbytes(20), draw.randbytes(20)]))


def random_order(draw: random.Random, payer: str) -> PaymentOrder:
    ids, amounts = (_uint(draw, 16), _uint(draw, 16)), (_uint(draw, 128), _uint(draw, 128))
    memo = draw.choice([bytes(32), draw.randbytes(32)])
    return PaymentOrder(
        payer, _address(draw), ids[0], amounts[0], ids[1], amounts[1], _uint(draw, 64), _uint(draw, 64), memo
    )


def random_quote(draw: random.Random, maker: str) -> MakerQuote:
    ids, amounts = (_uint(draw, 16), _uint(draw, 16)), (_uint(draw, 128), _uint(draw, 128))
    return MakerQuote(maker, ids[0], amounts[0], ids[1], amounts[1], _uint(draw, 64), _uint(draw, 64))


@pytest.mark.slow
@pytest.mark.parametrize("make", [random_order, random_quote], ids=["orders", "quotes"])
def test_random_intents__hashed_and_signed_abroad__equal_our_own(make: Any) -> None:
    print(f"seed {SEED}")
    draw = random.Random(SEED)
    domain = Domain(draw.getrandbits(53), checksum_address(draw.randbytes(20)))
    keys = [new_key(draw) for _ in range(COUNT)]
    intents = [make(draw, key.address) for key in keys]
    answers = sign_abroad(domain, intents, keys)
    assert len(answers) == COUNT
    for intent, key, answer in zip(intents, keys, answers, strict=True):
        ours = digest(domain, intent)
        for library in LIBRARIES:
            theirs = answer[library]
            assert theirs["hash"] == theirs["documentHash"] == "0x" + ours.hex(), (library, intent)
            assert theirs["address"] == key.address, library
            signature = bytes.fromhex(theirs["signature"][2:])
            assert recover(ours, signature) == key.address, (library, intent)
            assert signature == key.sign_digest(ours), (library, intent)


class _Abroad:
    """Payers and makers whose keys sign by one of the libraries, in the world's hub."""

    def __init__(self, world: World, library: str) -> None:
        self.world, self.library = world, library
        self.domain = Domain(world.chain.id, world.hub.address)
        draw = random.Random(SEED)
        self.payers = [new_key(draw) for _ in range(3)]
        self.maker = new_key(draw)
        self.payee = checksum_address(draw.randbytes(20))
        for key, currency in [(payer, EUR) for payer in self.payers] + [(self.maker, USD)]:
            deposit = world.hub.functions.deposit(currency, [(key.address, 100 * UNIT, bytes(32))])
            world.send(deposit, "issuer")
        self.orders = [
            PaymentOrder(payer.address, self.payee, EUR, 10 * UNIT, USD, 11 * UNIT, 1, FAR, draw.randbytes(32))
            for payer in self.payers
        ]
        self.quote = MakerQuote(self.maker.address, USD, 55 * UNIT, EUR, 50 * UNIT, 1, FAR)

    def signatures(self, intents: list[Intent], keys: list[SecretKey]) -> list[bytes]:
        answers = sign_abroad(self.domain, intents, keys)
        return [bytes.fromhex(answer[self.library]["signature"][2:]) for answer in answers]

    def batch(self, orders: list[PaymentOrder], signatures: list[bytes], quote_signature: bytes) -> bytes:
        """The call data of `settle`, as the service encodes it."""
        fills = [Fill(0, 11 * UNIT * len(orders))]
        return encode_settle(1, orders, signatures, [self.quote], [quote_signature], fills)


@pytest.mark.parametrize("library", LIBRARIES)
def test_hub__orders_and_quote_signed_abroad__are_settled_and_only_as_signed(world: World, library: str) -> None:
    abroad = _Abroad(world, library)
    *orders, quote = abroad.signatures([*abroad.orders, abroad.quote], [*abroad.payers, abroad.maker])
    hub, settler = world.hub.address, world.who["settler"]
    changed = [*abroad.orders[:2], replace(abroad.orders[2], payee=abroad.payers[0].address)]
    refused = world.chain.refused_data(hub, abroad.batch(changed, orders, quote), settler)
    assert refused.name == "OrderSignatureInvalid"

    web3 = world.chain.web3
    data = abroad.batch(abroad.orders, orders, quote)
    sent = web3.eth.send_transaction({"to": hub, "data": data, "from": settler, "gas": 10_000_000})
    assert web3.eth.wait_for_transaction_receipt(sent, poll_latency=0.02)["status"] == 1
    assert world.balance(abroad.payee, USD) == 33 * UNIT
    assert [world.balance(payer.address, EUR) for payer in abroad.payers] == [90 * UNIT] * 3
    assert world.balance(abroad.maker.address, EUR) == 30 * UNIT
