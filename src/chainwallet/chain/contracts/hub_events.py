"""The hub's settlement events, parsed by hand from topics and data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from chainwallet.chain.contracts.artifacts import topic
from chainwallet.chain.contracts.batch_layout import OF_MAKER
from chainwallet.keys.addresses import checksum_address


@dataclass(frozen=True, slots=True)
class Deposited:
    """Tokens came in: `account` was credited `amount` units."""

    name: ClassVar[str] = "Deposited"
    account: str
    currency: int
    amount: int
    id: str

    @property
    def key(self) -> str:
        return self.id

    def payload(self) -> dict[str, Any]:
        return {"account": self.account, "currency": self.currency, "amount": str(self.amount), "id": self.id}


@dataclass(frozen=True, slots=True)
class PaymentSettled:
    """An order was executed exactly as signed. `order_hash` is the digest that its payer signed."""

    name: ClassVar[str] = "PaymentSettled"
    payee: str
    order_hash: str

    @property
    def key(self) -> str:
        return self.order_hash

    def payload(self) -> dict[str, Any]:
        return {"payee": self.payee, "orderHash": self.order_hash}


@dataclass(frozen=True, slots=True)
class QuoteFilled:
    """A maker gave `sold` units and got `bought`, of the quote with this digest."""

    name: ClassVar[str] = "QuoteFilled"
    maker: str
    quote_hash: str
    sold: int
    bought: int

    @property
    def key(self) -> str:
        return self.quote_hash

    def payload(self) -> dict[str, Any]:
        return {
            "maker": self.maker,
            "quoteHash": self.quote_hash,
            "sold": str(self.sold),
            "bought": str(self.bought),
        }


@dataclass(frozen=True, slots=True)
class SharedSurplus:
    """One share: `account` got `amount` of `currency` as the payer of an order, or the maker of a quote.

    `index` is that of the order or quote in the batch.
    """

    account: str
    currency: int
    amount: int
    index: int
    is_makers: bool


@dataclass(frozen=True, slots=True)
class SurplusShared:
    """Parts of what a batch left over went to its payers and makers."""

    name: ClassVar[str] = "SurplusShared"
    shares: tuple[SharedSurplus, ...]

    @property
    def key(self) -> str:
        return ""  # found by its transaction, which settles one batch

    def payload(self) -> dict[str, Any]:
        return {
            "shares": [
                {
                    "account": share.account,
                    "currency": share.currency,
                    "amount": str(share.amount),
                    "index": share.index,
                    "isMakers": share.is_makers,
                }
                for share in self.shares
            ]
        }


@dataclass(frozen=True, slots=True)
class SurplusCollected:
    """What a batch left over in a currency, and shared with nobody, went to the treasury."""

    name: ClassVar[str] = "SurplusCollected"
    currency: int
    amount: int

    @property
    def key(self) -> str:
        return str(self.currency)

    def payload(self) -> dict[str, Any]:
        return {"currency": self.currency, "amount": str(self.amount)}


@dataclass(frozen=True, slots=True)
class BatchSettled:
    """The batch with this id is settled, all of it."""

    name: ClassVar[str] = "BatchSettled"
    batch_id: int
    payments: int
    fills: int

    @property
    def key(self) -> str:
        return str(self.batch_id)

    def payload(self) -> dict[str, Any]:
        return {"batchId": self.batch_id, "payments": self.payments, "fills": self.fills}


@dataclass(frozen=True, slots=True)
class CurrencyListed:
    """A currency id is bound to its token for good."""

    name: ClassVar[str] = "CurrencyListed"
    currency: int
    token: str

    @property
    def key(self) -> str:
        return str(self.currency)

    def payload(self) -> dict[str, Any]:
        return {"currency": self.currency, "token": self.token}


@dataclass(frozen=True, slots=True)
class ExitRequested:
    """`amount` units left the account's position and wait for `recipient` until `available_at` (Unix seconds)."""

    name: ClassVar[str] = "ExitRequested"
    account: str
    currency: int
    recipient: str
    amount: int
    available_at: int

    @property
    def key(self) -> str:
        return f"{self.account}/{self.currency}"

    def payload(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "currency": self.currency,
            "recipient": self.recipient,
            "amount": str(self.amount),
            "availableAt": self.available_at,
        }


@dataclass(frozen=True, slots=True)
class ExitCancelled:
    """What was set aside for an exit is back in the account's position."""

    name: ClassVar[str] = "ExitCancelled"
    account: str
    currency: int
    amount: int

    @property
    def key(self) -> str:
        return f"{self.account}/{self.currency}"

    def payload(self) -> dict[str, Any]:
        return {"account": self.account, "currency": self.currency, "amount": str(self.amount)}


@dataclass(frozen=True, slots=True)
class Exited:
    """The tokens that were set aside left the hub for `recipient`."""

    name: ClassVar[str] = "Exited"
    account: str
    currency: int
    recipient: str
    amount: int

    @property
    def key(self) -> str:
        return f"{self.account}/{self.currency}"

    def payload(self) -> dict[str, Any]:
        return {
            "account": self.account,
            "currency": self.currency,
            "recipient": self.recipient,
            "amount": str(self.amount),
        }


@dataclass(frozen=True, slots=True)
class OrdersCancelled:
    """The account's orders in this currency with this nonce or a lower one never settle any more."""

    name: ClassVar[str] = "OrdersCancelled"
    account: str
    currency: int
    nonce: int

    @property
    def key(self) -> str:
        return f"{self.account}/{self.currency}"

    def payload(self) -> dict[str, Any]:
        return {"account": self.account, "currency": self.currency, "nonce": str(self.nonce)}


HubEvent = (
    Deposited
    | PaymentSettled
    | QuoteFilled
    | SurplusShared
    | SurplusCollected
    | BatchSettled
    | CurrencyListed
    | ExitRequested
    | ExitCancelled
    | Exited
    | OrdersCancelled
)

_Words = Sequence[bytes]


def _number(word: bytes) -> int:
    return int.from_bytes(word, "big")


def _address(word: bytes) -> str:
    return checksum_address(word[12:])


def _hash(word: bytes) -> str:
    return "0x" + word.hex()


def _share(word: bytes) -> SharedSurplus:
    """Two bytes whose (of a maker from OF_MAKER up), eight of amount, two of currency, twenty of account."""
    party = _number(word[:2])
    return SharedSurplus(
        account=_address(word),
        currency=_number(word[10:12]),
        amount=_number(word[2:10]),
        index=party & ~OF_MAKER,
        is_makers=bool(party & OF_MAKER),
    )


# Indexed arguments are topics 1 to 3, the others words of the data, each in the order of the declaration.
_PARSERS: dict[bytes, Callable[[_Words, _Words], HubEvent]] = {
    topic("Deposited(address,uint16,uint128,bytes32)"): lambda t, d: Deposited(
        _address(t[1]), _number(t[2]), _number(d[0]), _hash(t[3])
    ),
    topic("QuoteFilled(address,bytes32,uint128,uint128)"): lambda t, d: QuoteFilled(
        _address(t[1]), _hash(t[2]), _number(d[0]), _number(d[1])
    ),
    topic("SurplusShared(uint256[])"): lambda _, d: SurplusShared(tuple(_share(word) for word in d[2:])),
    topic("SurplusCollected(uint16,uint128)"): lambda t, d: SurplusCollected(_number(t[1]), _number(d[0])),
    topic("BatchSettled(uint64,uint256,uint256)"): lambda t, d: BatchSettled(
        _number(t[1]), _number(d[0]), _number(d[1])
    ),
    topic("CurrencyListed(uint16,address)"): lambda t, _: CurrencyListed(_number(t[1]), _address(t[2])),
    topic("ExitRequested(address,uint16,address,uint128,uint64)"): lambda t, d: ExitRequested(
        _address(t[1]), _number(t[2]), _address(t[3]), _number(d[0]), _number(d[1])
    ),
    topic("ExitCancelled(address,uint16,uint128)"): lambda t, d: ExitCancelled(
        _address(t[1]), _number(t[2]), _number(d[0])
    ),
    topic("Exited(address,uint16,address,uint128)"): lambda t, d: Exited(
        _address(t[1]), _number(t[2]), _address(t[3]), _number(d[0])
    ),
    topic("OrdersCancelled(address,uint16,uint64)"): lambda t, d: OrdersCancelled(
        _address(t[1]), _number(t[2]), _number(d[0])
    ),
}


def decode_log(topics: Sequence[bytes], data: bytes) -> HubEvent | None:
    """The event that these topics and data are; None for one that settlement does not need.

    PaymentSettled is anonymous: its first topic is an address, 12 bytes of zeros and 20, which no event's hash is.
    """
    if len(topics) == 1 and len(data) == 32 and not any(topics[0][:12]):
        return PaymentSettled(_address(topics[0]), _hash(data))
    parse = _PARSERS.get(topics[0]) if topics else None
    if parse is None:
        return None
    return parse(topics, [data[start : start + 32] for start in range(0, len(data), 32)])
