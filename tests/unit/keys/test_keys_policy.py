"""What signers refuse: attack 1 (another chain, another hub), 7 (unknown intents), 31 (a signer as an oracle)."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from pydantic import SecretStr

from chainwallet.keys.addresses import ZERO_ADDRESS
from chainwallet.keys.attestations import MarketCommitment, QuoteAcknowledgement, attestation_digest
from chainwallet.keys.errors import InvalidIntent, PolicyRefused
from chainwallet.keys.intents import (
    Domain,
    ExitOrder,
    MakerQuote,
    PaymentOrder,
    Transaction,
    exit_digest,
    order_digest,
    quote_digest,
)
from chainwallet.keys.keccak import keccak
from chainwallet.keys.policy import CLOCKS_DIFFER_S, DEADLINE_HORIZON_S, IntentPolicy, TransactionPolicy
from chainwallet.keys.signatures import SecretKey, recover
from chainwallet.keys.signers import LocalSigner, ManagedSigner, Signer

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOW_S = int(NOW.timestamp())
SECRET = "11" * 32
OWN = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
BOB = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
HUB = "0x5FbDB2315678afecb367f032d93F642f64180aa3"
DOMAIN = Domain(31337, HUB)
ORDER = PaymentOrder(OWN, BOB, 978, 100_000_000, 840, 108_000_000, 1, NOW_S + 600, bytes(32))
QUOTE = MakerQuote(OWN, 978, 5_000_000_000, 840, 5_400_000_000, 9, NOW_S + 60)
EXIT = ExitOrder(OWN, BOB, 978, 100_000_000, 2, NOW_S + 600)
TRANSACTION = Transaction(31337, 0, HUB, b"\x01", 21_000, 2_000_000_000, 1_000_000_000)


def managed(*, pin: Domain | None = DOMAIN, now: datetime = NOW, horizon_s: int = DEADLINE_HORIZON_S) -> ManagedSigner:
    policy = IntentPolicy(horizon_s=horizon_s, clock=lambda: now)
    if pin is not None:
        policy.pin(pin)
    return ManagedSigner(SecretKey.from_hex(SECRET), owner_id="cus_1", policy=policy)


def local(*, pin: Domain | None = DOMAIN, transactions: TransactionPolicy | None = None) -> LocalSigner:
    signer = LocalSigner(SecretStr(SECRET), transactions=transactions, intents=IntentPolicy(clock=lambda: NOW))
    if pin is not None:
        signer.pin(pin)
    return signer


@pytest.mark.parametrize("make", [managed, local])
def test_signers__intents_within_policy__signed_by_the_own_address(make: Any) -> None:
    signer: Signer = make()
    assert isinstance(signer, Signer)
    assert recover(order_digest(DOMAIN, ORDER), signer.sign_order(DOMAIN, ORDER)) == signer.address == OWN
    assert recover(quote_digest(DOMAIN, QUOTE), signer.sign_quote(DOMAIN, QUOTE)) == OWN
    assert recover(exit_digest(DOMAIN, EXIT), signer.sign_exit(DOMAIN, EXIT)) == OWN


ORDERS_REFUSED = {
    "another payer": {"payer": BOB},
    "nobody as payee": {"payee": ZERO_ADDRESS},
    "nothing leaves": {"source_units": 0},
    "nothing arrives": {"target_units": 0},
    "deadline passed": {"deadline": NOW_S - 1},
    "deadline now": {"deadline": NOW_S},
    "no deadline": {"deadline": 0},
    "deadline too far": {"deadline": NOW_S + DEADLINE_HORIZON_S + 1},
    "deadline never": {"deadline": 2**64 - 1},
}
EXITS_REFUSED = {
    "another account": {"account": BOB},
    "nobody as recipient": {"recipient": ZERO_ADDRESS},
    "the hub as recipient": {"recipient": HUB},
    "nothing leaves": {"units": 0},
    "deadline now": {"deadline": NOW_S},
    "deadline too far": {"deadline": NOW_S + DEADLINE_HORIZON_S + 1},
}
QUOTES_REFUSED = {
    "another maker": {"maker": BOB},
    "sells nothing": {"sell_units_max": 0},
    "asks nothing": {"buy_units": 0},
    "one currency": {"buy_currency": 978},
    "deadline now": {"deadline": NOW_S},
    "deadline too far": {"deadline": NOW_S + DEADLINE_HORIZON_S + 1},
}


@pytest.mark.parametrize("make", [managed, local])
@pytest.mark.parametrize("change", ORDERS_REFUSED.values(), ids=ORDERS_REFUSED)
def test_sign_order__beyond_policy__refused(make: Any, change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused) as caught:
        make().sign_order(DOMAIN, replace(ORDER, **change))
    assert (caught.value.code, caught.value.status) == ("KEYS_POLICY_REFUSED", 403)


@pytest.mark.parametrize("make", [managed, local])
@pytest.mark.parametrize("change", QUOTES_REFUSED.values(), ids=QUOTES_REFUSED)
def test_sign_quote__beyond_policy__refused(make: Any, change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused):
        make().sign_quote(DOMAIN, replace(QUOTE, **change))


@pytest.mark.parametrize("make", [managed, local])
@pytest.mark.parametrize("change", EXITS_REFUSED.values(), ids=EXITS_REFUSED)
def test_sign_exit__beyond_policy__refused(make: Any, change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused):
        make().sign_exit(DOMAIN, replace(EXIT, **change))


@pytest.mark.parametrize("ahead_s", [1, DEADLINE_HORIZON_S])
def test_sign_order__ends_of_the_horizon__signed(ahead_s: int) -> None:
    assert len(managed().sign_order(DOMAIN, replace(ORDER, deadline=NOW_S + ahead_s))) == 65


def test_sign_order__shorter_horizon__bounds_it() -> None:
    assert managed(horizon_s=600).sign_order(DOMAIN, ORDER)
    with pytest.raises(PolicyRefused, match="599 s"):
        managed(horizon_s=599).sign_order(DOMAIN, ORDER)


def test_sign_order__clock_moved_past_the_deadline__refused() -> None:
    with pytest.raises(PolicyRefused, match="passed"):
        managed(now=NOW + timedelta(seconds=600)).sign_order(DOMAIN, ORDER)


@pytest.mark.parametrize("make", [managed, local])
@pytest.mark.parametrize("other", [Domain(1, HUB), Domain(31337, BOB), Domain(31338, HUB), None, (31337, HUB)])
def test_signers__another_domain__refused(make: Any, other: Any) -> None:
    with pytest.raises(PolicyRefused):
        make().sign_order(other, ORDER)
    with pytest.raises(PolicyRefused):
        make().sign_quote(other, QUOTE)
    with pytest.raises(PolicyRefused):
        make().sign_exit(other, EXIT)


@pytest.mark.parametrize("make", [managed, local])
def test_signers__no_domain_pinned__refused(make: Any) -> None:
    with pytest.raises(PolicyRefused, match="pin"):
        make(pin=None).sign_order(DOMAIN, ORDER)


def test_pin__same_domain_again__accepted_another_refused() -> None:
    policy = IntentPolicy()
    policy.pin(DOMAIN)
    policy.pin(Domain(31337, HUB))
    with pytest.raises(PolicyRefused, match="pinned"):
        policy.pin(Domain(1, HUB))


@dataclass(frozen=True)
class LooksLikeAnOrder:
    """Duck-typed: it would digest, but nobody checked its fields."""

    payer: str = OWN
    payee: str = BOB
    source_currency: int = 978
    source_units: int = 1
    target_currency: int = 840
    target_units: int = 1
    nonce: int = 1
    deadline: int = NOW_S + 1
    memo: bytes = bytes(32)


class SubOrder(PaymentOrder):
    """A subclass could answer the policy and the digest differently."""


UNKNOWN: list[Any] = [
    None,
    bytes(32),
    "0x" + "00" * 32,
    {"payer": OWN},
    LooksLikeAnOrder(),
    TRANSACTION,
    SubOrder(OWN, BOB, 978, 1, 840, 1, 1, NOW_S + 1, bytes(32)),
]


@pytest.mark.parametrize("make", [managed, local])
@pytest.mark.parametrize("intent", UNKNOWN, ids=lambda value: type(value).__name__)
def test_signers__unknown_type_of_intent__refused(make: Any, intent: Any) -> None:
    with pytest.raises(PolicyRefused):
        make().sign_order(DOMAIN, intent)
    with pytest.raises(PolicyRefused):
        make().sign_quote(DOMAIN, intent)
    with pytest.raises(PolicyRefused):
        make().sign_exit(DOMAIN, intent)
    with pytest.raises(PolicyRefused):
        make().sign_order(DOMAIN, QUOTE)
    with pytest.raises(PolicyRefused):
        make().sign_quote(DOMAIN, ORDER)
    if intent is not TRANSACTION:
        with pytest.raises(PolicyRefused):
            make().sign_transaction(intent)


@pytest.mark.parametrize("make", [managed, local])
def test_signers__no_public_way_to_a_digest_or_the_key(make: Any) -> None:
    public = {name for name in dir(make()) if not name.startswith("_")}
    intents = {"sign_attestation", "sign_exit", "sign_order", "sign_quote", "sign_transaction"}
    assert public <= {"address", "owner_id", "pin"} | intents


@pytest.mark.parametrize("statement", [MarketCommitment, QuoteAcknowledgement])
def test_sign_attestation__of_what_has_happened__by_the_operator_alone(statement: type[Any]) -> None:
    stated = statement(b"\x07" * 32, NOW_S)
    signer = local()
    assert recover(attestation_digest(DOMAIN, stated), signer.sign_attestation(DOMAIN, stated)) == signer.address
    with pytest.raises(PolicyRefused, match="not happened"):
        signer.sign_attestation(DOMAIN, statement(b"\x07" * 32, NOW_S + CLOCKS_DIFFER_S + 1))
    with pytest.raises(PolicyRefused, match="not to a"):
        signer.sign_attestation(DOMAIN, ORDER)  # type: ignore[arg-type]
    with pytest.raises(PolicyRefused):
        signer.sign_attestation(replace(DOMAIN, chain_id=1), stated)
    with pytest.raises(PolicyRefused, match="never a"):
        managed().sign_attestation(DOMAIN, stated)
    with pytest.raises(InvalidIntent):
        statement(b"short", NOW_S)


def test_attestations__of_one_subject__are_two_things_to_sign() -> None:
    subject = b"\x07" * 32
    market, quote = MarketCommitment(subject, NOW_S), QuoteAcknowledgement(subject, NOW_S)
    assert attestation_digest(DOMAIN, market) != attestation_digest(DOMAIN, quote)
    document = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "MarketCommitment": [{"name": "root", "type": "bytes32"}, {"name": "takenAt", "type": "uint64"}],
        },
        "primaryType": "MarketCommitment",
        "domain": {"name": "chainwallet", "version": "1", "chainId": 31337, "verifyingContract": HUB},
        "message": {"root": subject, "takenAt": NOW_S},
    }
    foreign = encode_typed_data(full_message=document)
    assert keccak(b"\x19" + foreign.version + foreign.header + foreign.body) == attestation_digest(DOMAIN, market)


def test_managed_signer__any_transaction__refused() -> None:
    with pytest.raises(PolicyRefused, match="never a Transaction"):
        managed().sign_transaction(TRANSACTION)


def test_managed_signer__1000_hostile_intents__none_signed() -> None:
    """S10: the service is compromised and asks for whatever it likes; each request breaks one rule at least."""
    source = random.Random(7)
    print("seed 7")
    signer = managed()
    orders = list(ORDERS_REFUSED.values())
    quotes = list(QUOTES_REFUSED.values())
    for _ in range(500):
        order = replace(ORDER, nonce=source.randrange(2**64), source_units=source.randrange(1, 2**128))
        with pytest.raises(PolicyRefused):
            signer.sign_order(DOMAIN, replace(order, **source.choice(orders)))
        quote = replace(QUOTE, nonce=source.randrange(2**64), sell_units_max=source.randrange(1, 2**128))
        with pytest.raises(PolicyRefused):
            signer.sign_quote(DOMAIN, replace(quote, **source.choice(quotes)))


LIMITED = TransactionPolicy(
    chain_id=31337,
    destinations=frozenset({HUB}),
    may_create=False,
    fee_max_wei=21_000 * 2_000_000_000,
    gas_price_max_wei=2_000_000_000,
    value_max_wei=0,
)
TRANSACTIONS_REFUSED = {
    "another chain": {"chain_id": 1},
    "another destination": {"to": BOB},
    "contract creation": {"to": None},
    "total fee": {"gas": 21_001},
    "gas price": {"gas": 1, "max_fee_wei": 2_000_000_001},
    "value": {"value": 1},
    "no gas": {"gas": 0},
}


@pytest.mark.parametrize("change", TRANSACTIONS_REFUSED.values(), ids=TRANSACTIONS_REFUSED)
def test_sign_transaction__beyond_policy__refused(change: dict[str, Any]) -> None:
    with pytest.raises(PolicyRefused):
        local(transactions=LIMITED).sign_transaction(replace(TRANSACTION, **change))


def test_sign_transaction__at_every_limit__signed() -> None:
    assert local(transactions=LIMITED).sign_transaction(TRANSACTION).raw[0] == 2


def test_sign_transaction__no_policy__first_chain_is_pinned() -> None:
    signer = local(pin=None)
    assert signer.sign_transaction(replace(TRANSACTION, chain_id=5, to=None))
    with pytest.raises(PolicyRefused, match="chain 5"):
        signer.sign_transaction(TRANSACTION)
    with pytest.raises(PolicyRefused, match="chain 5"):
        signer.pin(DOMAIN)


def test_sign_transaction__refused_one__does_not_pin_its_chain() -> None:
    signer = local(pin=None, transactions=TransactionPolicy(value_max_wei=0))
    with pytest.raises(PolicyRefused):
        signer.sign_transaction(replace(TRANSACTION, chain_id=5, value=1))
    assert signer.sign_transaction(TRANSACTION)


def test_sign_transaction__domain_pinned__its_chain_only() -> None:
    with pytest.raises(PolicyRefused, match="chain 31337"):
        local().sign_transaction(replace(TRANSACTION, chain_id=1))


def test_sign_transaction__twice__same_bytes() -> None:
    assert local().sign_transaction(TRANSACTION) == local().sign_transaction(TRANSACTION)
