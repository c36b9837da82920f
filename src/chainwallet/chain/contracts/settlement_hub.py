"""The settlement hub: calls packed by hand, views pinned to a block, events as values.

Calls are laid out as the ABI specification has it (https://docs.soliditylang.org/en/latest/abi-spec.html), one 32-byte
word a field; a batch is one `bytes` of it, packed as `batch_layout` says. Tests hold calls and eth_abi's equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

from eth_abi.abi import decode

from chainwallet.chain.contracts.artifacts import selector
from chainwallet.chain.contracts.batch_layout import Fill, Share, pack_batch, pack_signature
from chainwallet.chain.contracts.hub_events import HubEvent, decode_log
from chainwallet.keys.addresses import ZERO_ADDRESS, address_bytes, checksum_address, parse_address
from chainwallet.keys.intents import ExitOrder, MakerQuote, PaymentOrder

__all__ = ["Fill", "HubDeposit", "PendingExit", "Position", "SettlementHub", "Share", "encode_settle"]

if TYPE_CHECKING:
    from chainwallet.chain.blocks import Log
    from chainwallet.chain.node import Node

DEPOSIT_TYPES = ("uint16", "(address,uint128,bytes32)[]")

SETTLE = selector("settle(bytes)")
_DEPOSIT = selector(f"deposit({','.join(DEPOSIT_TYPES)})")
LIST_CURRENCY = selector("listCurrency(uint16,address)")
_CANCEL_ORDERS = selector("cancelOrders(uint16,uint64)")
_REQUEST_EXIT = selector("requestExit(uint16,uint128,address)")
_REQUEST_EXIT_FOR = selector("requestExitFor((address,address,uint16,uint128,uint64,uint64),bytes)")
_CANCEL_EXIT = selector("cancelExit(uint16)")
_EXIT = selector("exit(address,uint16)")
_EXIT_OF = selector("exitOf(address,uint16)")
_EXIT_DELAY = selector("exitDelay()")
_POSITION_OF = selector("positionOf(address,uint16)")
_POSITIONS_OF = selector("positionsOf(address[],uint16[])")
_TOKEN_OF = selector("tokenOf(uint16)")
_TOTAL_OF = selector("totalOf(uint16)")
_QUOTE_SOLD = selector("quoteSold(bytes32)")
_IS_SETTLED = selector("isSettled(uint64)")
_TREASURY = selector("treasury()")
_DOMAIN_SEPARATOR = selector("DOMAIN_SEPARATOR()")

_DEPOSIT_WORDS = Struct(">12x20s 16x16s 32s")
_EXIT_ORDER_WORDS = Struct(">12x20s 12x20s 30xH 16x16s 24xQ 24xQ")

_POSITIONS_A_CALL = 2_000  # cold reads cost 2,100 gas each: well within the 50 million that nodes allow a call


@dataclass(frozen=True, slots=True)
class HubDeposit:
    """Credits `account` with `units`; `id` is 32 bytes of ours that the event repeats."""

    account: str
    units: int
    id: bytes


@dataclass(frozen=True, slots=True)
class Position:
    """What an account holds in a currency, and the highest order nonce used there."""

    units: int
    nonce: int


@dataclass(frozen=True, slots=True)
class PendingExit:
    """What an account has set aside to leave with; `available_at` is in Unix seconds."""

    units: int
    available_at: int
    recipient: str


def encode_settle(
    batch_id: int,
    orders: Sequence[PaymentOrder],
    order_signatures: Sequence[bytes],
    quotes: Sequence[MakerQuote],
    quote_signatures: Sequence[bytes],
    fills: Sequence[Fill],
    shares: Sequence[Share] = (),
) -> bytes:
    """The call data of `settle`. A signature is 65 or 64 bytes, a passkey's assertion, or what a contract accepts."""
    batch = pack_batch(
        batch_id,
        list(zip(orders, order_signatures, strict=True)),
        list(zip(quotes, quote_signatures, strict=True)),
        fills,
        shares,
    )
    return SETTLE + _word(32) + _bytes(batch)


def position_slot(account: str, currency_id: int) -> bytes:
    """Where the hub stores a position: balance in bits 0 to 128, nonce in bits 128 to 192 (eth_getProof shows it)."""
    return (1 << 255 | currency_id << 160 | int.from_bytes(address_bytes(account), "big")).to_bytes(32, "big")


def touched_positions(orders: Sequence[PaymentOrder], quotes: Sequence[MakerQuote], treasury: str) -> tuple[bytes, ...]:
    """The slots of every position that a batch moves, for an access list. It pays off from 25 slots on."""
    slots = {position_slot(order.payer, order.source_currency): None for order in orders}
    slots |= {position_slot(order.payee, order.target_currency): None for order in orders}
    for quote in quotes:
        slots |= {position_slot(quote.maker, currency): None for currency in (quote.sell_currency, quote.buy_currency)}
    currencies = {c for order in orders for c in (order.source_currency, order.target_currency)}
    return tuple(slots | {position_slot(treasury, currency): None for currency in sorted(currencies)})


def encode_deposit(currency_id: int, deposits: Sequence[HubDeposit]) -> bytes:
    """The call data of `deposit`."""
    entries = [_DEPOSIT_WORDS.pack(address_bytes(d.account), _u128(d.units), d.id) for d in deposits]
    return _DEPOSIT + _word(currency_id) + _word(64) + _array(entries)


def encode_list_currency(currency_id: int, token: str) -> bytes:
    """The call data of `listCurrency`."""
    return LIST_CURRENCY + _word(currency_id) + bytes(12) + address_bytes(token)


def encode_cancel_orders(currency_id: int, nonce: int) -> bytes:
    """The call data of `cancelOrders`: the sender's orders up to this nonce never settle any more."""
    return _CANCEL_ORDERS + _word(currency_id) + _word(nonce)


def encode_request_exit(currency_id: int, units: int, recipient: str) -> bytes:
    """The call data of `requestExit`."""
    return _REQUEST_EXIT + _word(currency_id) + _word(units) + bytes(12) + address_bytes(recipient)


def encode_request_exit_for(order: ExitOrder, signature: bytes) -> bytes:
    """The call data of `requestExitFor`: anyone may carry an owner's signature."""
    words = _EXIT_ORDER_WORDS.pack(
        address_bytes(order.account),
        address_bytes(order.recipient),
        order.currency,
        _u128(order.units),
        order.nonce,
        order.deadline,
    )
    kind, signed = pack_signature(signature)
    return _REQUEST_EXIT_FOR + words + _word(len(words) + 32) + _bytes(bytes((kind,)) + signed)


def encode_cancel_exit(currency_id: int) -> bytes:
    """The call data of `cancelExit`."""
    return _CANCEL_EXIT + _word(currency_id)


def encode_exit(account: str, currency_id: int) -> bytes:
    """The call data of `exit`."""
    return _EXIT + bytes(12) + address_bytes(account) + _word(currency_id)


def encode_token_of(currency_id: int) -> bytes:
    """The call data of `tokenOf`."""
    return _TOKEN_OF + _word(currency_id)


class SettlementHub:
    """The hub at an address. Views read the latest block unless `block` pins them."""

    def __init__(self, node: Node, address: str) -> None:
        self.node = node
        self.address = address
        self._treasury: str | None = None

    def position(self, account: str, currency_id: int, *, block: int | None = None) -> Position:
        data = _POSITION_OF + bytes(12) + address_bytes(account) + _word(currency_id)
        units, nonce = decode(("uint128", "uint64"), self._call(data, block))
        return Position(units, nonce)

    def positions(self, pairs: Sequence[tuple[str, int]], *, block: int | None = None) -> list[int]:
        """The units held by each (account, currency id), in order. Several calls where there are thousands."""
        found: list[int] = []
        for start in range(0, len(pairs), _POSITIONS_A_CALL):
            part = pairs[start : start + _POSITIONS_A_CALL]
            accounts = _array([bytes(12) + address_bytes(account) for account, _ in part])
            currencies = _array([_word(currency_id) for _, currency_id in part])
            data = _POSITIONS_OF + _word(64) + _word(64 + len(accounts)) + accounts + currencies
            answer = self._call(data, block)
            found += [int.from_bytes(answer[i : i + 32], "big") for i in range(64, len(answer), 32)]
        return found

    def pending_exit(self, account: str, currency_id: int, *, block: int | None = None) -> PendingExit | None:
        """What the account has set aside to leave with; None when nothing."""
        answer = self._call(_EXIT_OF + bytes(12) + address_bytes(account) + _word(currency_id), block)
        units, available_at, recipient = decode(("uint128", "uint64", "address"), answer)
        return PendingExit(units, available_at, parse_address(recipient)) if units else None

    def exiting(self, pairs: Sequence[tuple[str, int]], *, block: int | None = None) -> list[int]:
        """The units that each (account, currency id) has set aside to leave with, in order, in one round trip."""
        calls = [
            (self.address, _EXIT_OF + bytes(12) + address_bytes(account) + _word(currency_id))
            for account, currency_id in pairs
        ]
        return [_number(answer) for answer in self.node.call_many(calls, block=block)] if calls else []

    def exit_delay(self) -> int:
        """Seconds between a request to leave and its payout; it never changes."""
        return _number(self._call(_EXIT_DELAY, None))

    def total(self, currency_id: int, *, block: int | None = None) -> int:
        """The sum of all positions in a currency and of what is set aside for exits, in units."""
        return _number(self._call(_TOTAL_OF + _word(currency_id), block))

    def totals(self, currency_ids: Sequence[int], *, block: int | None = None) -> list[int]:
        """As `total`, of several currencies in one round trip."""
        calls = [(self.address, _TOTAL_OF + _word(currency_id)) for currency_id in currency_ids]
        return [_number(answer) for answer in self.node.call_many(calls, block=block)]

    def token(self, currency_id: int, *, block: int | None = None) -> str | None:
        """The token of a currency; None while it is not listed."""
        address = _address(self._call(encode_token_of(currency_id), block))
        return None if address == ZERO_ADDRESS else address

    def tokens(self, currency_ids: Sequence[int], *, block: int | None = None) -> list[str | None]:
        """As `token`, of several currencies in one round trip."""
        calls = [(self.address, encode_token_of(currency_id)) for currency_id in currency_ids]
        found = [_address(answer) for answer in self.node.call_many(calls, block=block)]
        return [None if address == ZERO_ADDRESS else address for address in found]

    def quote_sold(self, quote_hash: bytes, *, block: int | None = None) -> int:
        """How many units of the quote with this digest have been sold."""
        return _number(self._call(_QUOTE_SOLD + quote_hash, block))

    def is_settled(self, batch_id: int, *, block: int | None = None) -> bool:
        return bool(_number(self._call(_IS_SETTLED + _word(batch_id), block)))

    def treasury(self) -> str:
        """The account that surplus goes to; it never changes, so it is asked for once."""
        if self._treasury is None:
            self._treasury = _address(self._call(_TREASURY, None))
        return self._treasury

    def domain_separator(self) -> bytes:
        return self._call(_DOMAIN_SEPARATOR, None)

    def decode_events(self, logs: Sequence[Log]) -> list[tuple[Log, HubEvent]]:
        """The hub's own settlement events among the logs, each with its log; others are left out."""
        mine = ((log, decode_log(log.topics, log.data)) for log in logs if log.address == self.address)
        return [(log, event) for log, event in mine if event is not None]

    def _call(self, data: bytes, block: int | None) -> bytes:
        return self.node.call(self.address, data, block=block)


def _word(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _u128(number: int) -> bytes:
    return number.to_bytes(16, "big")


def _number(word: bytes) -> int:
    return int.from_bytes(word[:32], "big")


def _address(word: bytes) -> str:
    return checksum_address(word[12:32])


def _array(entries: Sequence[bytes]) -> bytes:
    return b"".join((_word(len(entries)), *entries))


def _bytes(content: bytes) -> bytes:
    return _word(len(content)) + content + bytes(-len(content) % 32)
