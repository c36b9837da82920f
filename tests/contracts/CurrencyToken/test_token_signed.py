"""ERC-3009 authorizations and ERC-2612 permits: taken once, exactly as signed. The tree is CurrencyToken.tree."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from hub_world import EUR, FAR, USD, Refusal, World, account, mock

HOLDER, PAYEE = account("holder"), account("payee").address
CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KINDS = ["transferWithAuthorization", "receiveWithAuthorization"]
MOVE = [("from", "address"), ("to", "address"), ("value", "uint256"), ("validAfter", "uint256")]
MOVE += [("validBefore", "uint256"), ("nonce", "bytes32")]
STRUCTS = {
    "transferWithAuthorization": ("TransferWithAuthorization", MOVE),
    "receiveWithAuthorization": ("ReceiveWithAuthorization", MOVE),
    "cancelAuthorization": ("CancelAuthorization", [("authorizer", "address"), ("nonce", "bytes32")]),
    "permit": (
        "Permit",
        [
            ("owner", "address"),
            ("spender", "address"),
            ("value", "uint256"),
            ("nonce", "uint256"),
            ("deadline", "uint256"),
        ],
    ),
}


class Move(NamedTuple):
    """The fields of an authorization, in order."""

    source: str
    target: str
    units: int = 40
    valid_after: int = 0
    valid_before: int = FAR
    nonce: bytes = b"\x01" * 32


@pytest.fixture
def token(world: World) -> Any:
    world.send(world.tokens[EUR].functions.transfer(HOLDER.address, 100), "issuer")
    return world.tokens[EUR]


@pytest.fixture
def payee(world: World) -> str:
    """Receives, and calls: `receiveWithAuthorization` wants both to be one."""
    return world.who["stranger"]


def sign(
    world: World, token: Any, kind: str, values: tuple[Any, ...], signer: LocalAccount = HOLDER, **domain: Any
) -> bytes:
    """A signature over one of the structs above as eth_account makes it."""
    name, members = STRUCTS[kind]
    fields = {"name": "Currency 978", "version": "1", "chainId": world.chain.id, "verifyingContract": token.address}
    message = encode_typed_data(
        domain_data=fields | domain,
        message_types={name: [{"name": member, "type": type_} for member, type_ in members]},
        message_data={member: value for (member, _), value in zip(members, values, strict=True)},
    )
    return bytes(signer.sign_message(message).signature)


def call_of(token: Any, kind: str, values: tuple[Any, ...], signature: bytes, *, is_split: bool = False) -> Any:
    """The call with the signature in one piece, or as v, r, s."""
    types = ",".join(type_ for _, type_ in STRUCTS[kind][1])
    tail = "uint8,bytes32,bytes32" if is_split else "bytes"
    parts = (signature[64], signature[:32], signature[32:64]) if is_split else (signature,)
    return token.get_function_by_signature(f"{kind}({types},{tail})")(*values, *parts)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("is_split", [False, True])
def test_authorization__valid__moves_and_marks_the_nonce(
    world: World, token: Any, payee: str, kind: str, is_split: bool
) -> None:
    move = Move(HOLDER.address, payee)
    held = token.functions.balanceOf(payee).call()
    call = call_of(token, kind, move, sign(world, token, kind, move), is_split=is_split)
    receipt = world.send(call, "stranger")
    assert token.functions.balanceOf(HOLDER.address).call() == 60
    assert token.functions.balanceOf(payee).call() == held + 40
    assert token.functions.authorizationState(HOLDER.address, move.nonce).call()
    used = {"authorizer": HOLDER.address, "nonce": move.nonce}
    assert ("AuthorizationUsed", used) in world.chain.events(receipt)
    assert world.refused(call, "stranger") == Refusal("AuthorizationSpent", (HOLDER.address, move.nonce))


def test_authorization__nonces_out_of_sequence__are_each_taken_once(world: World, token: Any) -> None:
    for nonce in (b"\x09" * 32, b"\x02" * 32, bytes(32)):
        move = Move(HOLDER.address, PAYEE, nonce=nonce, units=1)
        signature = sign(world, token, KINDS[0], move)
        world.send(call_of(token, KINDS[0], move, signature), "stranger")
    assert token.functions.balanceOf(PAYEE).call() == 3


@pytest.mark.parametrize(
    ("after", "before", "error"),
    [
        (-1, 0, "AuthorizationExpired"),
        (-9, -5, "AuthorizationExpired"),
        (0, 1, "AuthorizationNotYetValid"),
        (5, 9, "AuthorizationNotYetValid"),
    ],
)
def test_authorization__at_either_end_of_its_window__refused(
    world: World, token: Any, after: int, before: int, error: str
) -> None:
    now = world.chain.now
    move = Move(HOLDER.address, PAYEE, valid_after=now + after, valid_before=now + before)
    refused = world.refused(call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move)), "stranger")
    bound = move.valid_before if error == "AuthorizationExpired" else move.valid_after
    assert refused == Refusal(error, (bound, now))


def test_authorization__inside_a_window_of_one_second__moves(world: World, token: Any) -> None:
    now = world.chain.now
    move = Move(HOLDER.address, PAYEE, valid_after=now - 1, valid_before=now + 1)
    call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move)).call({"from": world.who["stranger"]})


def test_authorization__times_above_2_to_47__are_seconds_all_the_same(world: World, token: Any) -> None:
    """The library's version reads them as block numbers."""
    move = Move(HOLDER.address, PAYEE, valid_after=2**47, valid_before=2**47 + 10_000)
    refused = world.refused(call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move)), "stranger")
    assert refused.name == "AuthorizationNotYetValid"


CHANGED = {
    "source": account("other").address,
    "target": account("thief").address,
    "units": 41,
    "valid_after": 1,
    "valid_before": FAR + 1,
    "nonce": b"\x02" * 32,
}


@pytest.mark.parametrize("field", CHANGED)
def test_authorization__field_changed__refused(world: World, token: Any, field: str) -> None:
    move = Move(HOLDER.address, PAYEE)
    changed = move._replace(**{field: CHANGED[field]})
    refused = world.refused(call_of(token, KINDS[0], changed, sign(world, token, KINDS[0], move)), "stranger")
    assert refused.name == "AuthorizationSignatureInvalid"


@pytest.mark.parametrize("other", ["signer", "chain", "token", "kind", "high s", "64 bytes"])
def test_authorization__signature_of_another__refused(world: World, token: Any, other: str) -> None:
    move = Move(HOLDER.address, PAYEE)
    good = sign(world, token, KINDS[0], move)
    twin_s = CURVE_ORDER - int.from_bytes(good[32:64], "big")
    signature = {
        "signer": sign(world, token, KINDS[0], move, account("thief")),
        "chain": sign(world, token, KINDS[0], move, chainId=world.chain.id + 1),
        "token": sign(world, token, KINDS[0], move, verifyingContract=world.tokens[USD].address),
        "kind": sign(world, token, KINDS[1], move),
        "high s": good[:32] + twin_s.to_bytes(32, "big") + bytes([55 - good[64]]),
        "64 bytes": good[:64],
    }[other]
    refused = world.refused(call_of(token, KINDS[0], move, signature), "stranger")
    assert refused.name == "AuthorizationSignatureInvalid"


def test_authorization__holder_short_frozen_or_token_paused__refused(world: World, token: Any) -> None:
    move = Move(HOLDER.address, PAYEE, units=101)
    call = call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move))
    assert world.refused(call, "stranger").name == "ERC20InsufficientBalance"
    world.send(token.functions.freeze(HOLDER.address), "compliance")
    assert world.refused(call, "stranger") == Refusal("AccountIsFrozen", (HOLDER.address,))
    world.send(token.functions.unfreeze(HOLDER.address), "compliance")
    world.send(token.functions.pause(), "pauser")
    assert world.refused(call, "stranger") == Refusal("EnforcedPause")


def test_authorization__contract_account__is_asked(world: World, token: Any) -> None:
    wallet = world.chain.deploy(mock("ContractWallet"), HOLDER.address)
    world.send(token.functions.transfer(wallet.address, 50), "issuer")
    move = Move(wallet.address, PAYEE)
    call = call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move))
    world.send(call, "stranger")
    assert token.functions.balanceOf(PAYEE).call() == 40
    world.send(wallet.functions.close(), "stranger")
    second = move._replace(nonce=b"\x03" * 32, units=1)
    refused = world.refused(call_of(token, KINDS[0], second, sign(world, token, KINDS[0], second)), "stranger")
    assert refused.name == "AuthorizationSignatureInvalid"


def test_receive__caller_not_the_payee__refused(world: World, token: Any) -> None:
    move = Move(HOLDER.address, PAYEE)
    refused = world.refused(call_of(token, KINDS[1], move, sign(world, token, KINDS[1], move)), "stranger")
    assert refused == Refusal("AuthorizationCallerNotPayee", (world.who["stranger"], PAYEE))


@pytest.mark.parametrize("is_split", [False, True])
def test_cancel__signed__spends_the_nonce(world: World, token: Any, is_split: bool) -> None:
    move = Move(HOLDER.address, PAYEE)
    values = (HOLDER.address, move.nonce)
    call = call_of(
        token, "cancelAuthorization", values, sign(world, token, "cancelAuthorization", values), is_split=is_split
    )
    receipt = world.send(call, "stranger")
    cancelled = {"authorizer": HOLDER.address, "nonce": move.nonce}
    assert world.chain.events(receipt) == [("AuthorizationCanceled", cancelled)]
    spent = Refusal("AuthorizationSpent", values)
    assert world.refused(call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move)), "stranger") == spent
    assert world.refused(call, "stranger") == spent


def test_cancel__signed_by_another__refused(world: World, token: Any) -> None:
    values = (HOLDER.address, b"\x01" * 32)
    signature = sign(world, token, "cancelAuthorization", values, account("thief"))
    refused = world.refused(call_of(token, "cancelAuthorization", values, signature), "stranger")
    assert refused.name == "AuthorizationSignatureInvalid"


def test_permit__signed__sets_the_allowance_once(world: World, token: Any) -> None:
    spender = world.who["stranger"]
    values = (HOLDER.address, spender, 30, 0, FAR)
    signature = sign(world, token, "permit", values)
    parts = (signature[64], signature[:32], signature[32:64])
    call = token.functions.permit(HOLDER.address, spender, 30, FAR, *parts)
    world.send(call, "governor")
    assert token.functions.allowance(HOLDER.address, spender).call() == 30
    assert token.functions.nonces(HOLDER.address).call() == 1
    assert world.refused(call, "governor").name == "ERC2612InvalidSigner"
    world.send(token.functions.transferFrom(HOLDER.address, PAYEE, 30), "stranger")


def test_permit__late_or_foreign__refused(world: World, token: Any) -> None:
    spender, late = world.who["stranger"], world.chain.now - 1
    signature = sign(world, token, "permit", (HOLDER.address, spender, 30, 0, late))
    parts = (signature[64], signature[:32], signature[32:64])
    call = token.functions.permit(HOLDER.address, spender, 30, late, *parts)
    assert world.refused(call, "governor") == Refusal("ERC2612ExpiredSignature", (late,))
    call = token.functions.permit(HOLDER.address, spender, 30, FAR, *parts)
    assert world.refused(call, "governor").name == "ERC2612InvalidSigner"


@pytest.mark.parametrize("kind", KINDS)
def test_authorization__frozen_source_or_target__refused(world: World, token: Any, payee: str, kind: str) -> None:
    move = Move(HOLDER.address, payee)
    call = call_of(token, kind, move, sign(world, token, kind, move))
    for who in (HOLDER.address, payee):
        world.send(token.functions.freeze(who), "compliance")
        assert world.refused(call, "stranger") == Refusal("AccountIsFrozen", (who,))
        world.send(token.functions.unfreeze(who), "compliance")
    call.call({"from": payee})


def test_authorization__frozen_relayer__moves_all_the_same(world: World, token: Any) -> None:
    """It decides nothing: holder and payee are who moves, and anyone else could send the same bytes."""
    world.send(token.functions.freeze(world.who["stranger"]), "compliance")
    move = Move(HOLDER.address, PAYEE)
    world.send(call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move)), "stranger")
    assert token.functions.balanceOf(PAYEE).call() == 40


def test_authorization__refused_transfer__leaves_the_nonce(world: World, token: Any) -> None:
    move = Move(HOLDER.address, PAYEE, units=101)
    call = call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move))
    assert world.refused(call, "stranger").name == "ERC20InsufficientBalance"
    assert not token.functions.authorizationState(HOLDER.address, move.nonce).call()


def test_authorization__same_nonce_of_another__is_its_own(world: World, token: Any) -> None:
    other = account("other")
    world.send(token.functions.transfer(other.address, 10), "issuer")
    for signer in (HOLDER, other):
        move = Move(signer.address, PAYEE, units=1)
        world.send(call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move, signer)), "stranger")
    assert token.functions.balanceOf(PAYEE).call() == 2


def test_receive__transfer_authorization_or_the_other_way_round__refused(world: World, token: Any, payee: str) -> None:
    move = Move(HOLDER.address, payee)
    for kind, other in (KINDS, KINDS[::-1]):
        refused = world.refused(call_of(token, kind, move, sign(world, token, other, move)), "stranger")
        assert refused.name == "AuthorizationSignatureInvalid"


def test_cancel__paused_token_or_frozen_holder__still_cancels(world: World, token: Any) -> None:
    """Taking a signature back moves nothing."""
    world.send(token.functions.freeze(HOLDER.address), "compliance")
    world.send(token.functions.pause(), "pauser")
    values = (HOLDER.address, b"\x01" * 32)
    signature = sign(world, token, "cancelAuthorization", values)
    world.send(call_of(token, "cancelAuthorization", values, signature), "stranger")
    assert token.functions.authorizationState(*values).call()


def test_cancel__contract_account__is_asked(world: World, token: Any) -> None:
    wallet = world.chain.deploy(mock("ContractWallet"), HOLDER.address)
    values = (wallet.address, b"\x01" * 32)
    signature = sign(world, token, "cancelAuthorization", values)
    world.send(call_of(token, "cancelAuthorization", values, signature), "stranger")
    assert token.functions.authorizationState(*values).call()


def test_cancel__after_use__refused(world: World, token: Any) -> None:
    move = Move(HOLDER.address, PAYEE)
    world.send(call_of(token, KINDS[0], move, sign(world, token, KINDS[0], move)), "stranger")
    values = (HOLDER.address, move.nonce)
    call = call_of(token, "cancelAuthorization", values, sign(world, token, "cancelAuthorization", values))
    assert world.refused(call, "stranger") == Refusal("AuthorizationSpent", values)


def test_permit__frozen_owner__sets_what_cannot_be_used(world: World, token: Any) -> None:
    spender = world.who["stranger"]
    world.send(token.functions.freeze(HOLDER.address), "compliance")
    signature = sign(world, token, "permit", (HOLDER.address, spender, 30, 0, FAR))
    parts = (signature[64], signature[:32], signature[32:64])
    world.send(token.functions.permit(HOLDER.address, spender, 30, FAR, *parts), "governor")
    spend = token.functions.transferFrom(HOLDER.address, PAYEE, 30)
    assert world.refused(spend, "stranger") == Refusal("AccountIsFrozen", (HOLDER.address,))


def test_permit__owner_nobody__refused(world: World, token: Any) -> None:
    """A signature that recovers nothing is nobody's, not the zero address's."""
    call = token.functions.permit("0x" + "00" * 20, world.who["stranger"], 1, FAR, 27, bytes(32), bytes(32))
    assert world.refused(call, "governor").name == "ECDSAInvalidSignature"
