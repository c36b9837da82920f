"""Refusals of the chain room."""

from __future__ import annotations

from typing import Any

from chainwallet.kit.errors import ChainwalletError


class ChainUnreachable(ChainwalletError):
    """No usable answer: refused, reset, timed out, cut short, or a gateway's 5xx."""

    code = "CHAIN_UNREACHABLE"
    status = 503
    retryable = True


class RpcRefused(ChainwalletError):
    """The node answered with a JSON-RPC error. `rpc_code` and `data` are the node's."""

    code = "CHAIN_RPC_REFUSED"
    status = 502

    def __init__(self, detail: str, *, rpc_code: int = -32000, data: str | None = None, method: str = "") -> None:
        super().__init__(detail, rpc_code=rpc_code, method=method)
        self.rpc_code = rpc_code
        self.data = data


class CallReverted(ChainwalletError):
    """A call reverted. `name` is the custom error's, or the 4-byte selector where no contract of ours has it."""

    code = "CHAIN_CALL_REVERTED"
    status = 409

    def __init__(self, *, data: bytes, name: str, args_by_name: dict[str, Any]) -> None:
        given = ", ".join(f"{key} {value}" for key, value in args_by_name.items())
        super().__init__(
            f"The contract refuses the call: {name}{f' ({given})' if given else ''}.", error=name, **args_by_name
        )
        self.data = data
        self.name = name
        self.args_by_name = args_by_name


class StateUnavailable(ChainwalletError):
    """The node no longer has the state of the block that a read is pinned to."""

    code = "CHAIN_STATE_UNAVAILABLE"
    status = 503
    retryable = True


class AnvilNotFound(ChainwalletError):
    code = "CHAIN_ANVIL_NOT_FOUND"
    status = 503


class AnvilFailed(ChainwalletError):
    """The managed node does not start, or does not come back."""

    code = "CHAIN_ANVIL_FAILED"
    status = 503
    retryable = True


class ChainIdentityMismatch(ChainwalletError):
    """The database belongs to another chain, or to another hub."""

    code = "CHAIN_IDENTITY_MISMATCH"
    status = 503


class ChainNotManaged(ChainwalletError):
    """Only a chain of ours can be asked for this."""

    code = "CHAIN_NOT_MANAGED"
    status = 409


class DeploymentIncomplete(ChainwalletError):
    """The contracts are not on this chain, or not all of them, and nobody said to deploy them."""

    code = "CHAIN_DEPLOYMENT_INCOMPLETE"
    status = 503


class DeploymentFailed(ChainwalletError):
    """A deployment step was refused, reverted or did not get mined. Running it again resumes."""

    code = "CHAIN_DEPLOYMENT_FAILED"
    status = 502
    retryable = True


class ProofRefused(ChainwalletError):
    """What the node says does not hash to what it says elsewhere: it lies or is broken."""

    code = "CHAIN_PROOF_REFUSED"
    status = 502


class TransactionNotMined(ChainwalletError):
    """The chain has no mined transaction with this hash."""

    code = "CHAIN_TRANSACTION_NOT_MINED"
    status = 404
    retryable = True


class PowerUnknown(ChainwalletError):
    """No such power here: an unknown currency, a function that no contract of ours has, a value out of range."""

    code = "CHAIN_POWER_UNKNOWN"
    status = 422


class PowerNotHeld(ChainwalletError):
    """The account does not hold the role that the call takes, or not yet."""

    code = "CHAIN_POWER_NOT_HELD"
    status = 403


class PowerWaiting(ChainwalletError):
    """The call is announced, and its delay is not over yet."""

    code = "CHAIN_POWER_WAITING"
    status = 409
    retryable = True


class SendFailed(ChainwalletError):
    """A transaction was refused by the node, reverted, or was not mined in time."""

    code = "CHAIN_SEND_FAILED"
    status = 502
    retryable = True
