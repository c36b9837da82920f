"""The service without its threads: every worker's step is taken by the test, one at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from eth_abi.abi import encode
from eth_account import Account
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlmodel import col, select

from chainwallet.bootstrap import Services, open_services
from chainwallet.chain.contracts.currency_token import encode_mint
from chainwallet.chain.contracts.settlement_hub import HubDeposit, encode_deposit, encode_request_exit
from chainwallet.chain.indexer import ChainEvent
from chainwallet.chain.outcome import Accepted
from chainwallet.controls.identity.authenticator import OPERATOR_ID, Principal
from chainwallet.controls.identity.customers import Customer, CustomerDraft, CustomerType, create_customer
from chainwallet.controls.identity.payees import PayeeRef
from chainwallet.entrypoints.workers.index import index_step
from chainwallet.entrypoints.workers.reconcile import Reconciler
from chainwallet.entrypoints.workers.settle import settle_step
from chainwallet.entrypoints.workers.submit import submit_step
from chainwallet.keys.intents import Transaction
from chainwallet.keys.keccak import keccak
from chainwallet.keys.signers import LocalSigner
from chainwallet.kit.clock import utc_now
from chainwallet.kit.database import Database
from chainwallet.kit.money import Money, currency
from chainwallet.kit.settings import Settings
from chainwallet.ledger import AccountKey, AccountKind, EntryDraft, capture_and_post, ensure_accounts, holds_of
from chainwallet.payments.candidates import TransferRequest
from chainwallet.payments.deposits import request_deposit
from chainwallet.payments.endings import cancel_transfer
from chainwallet.payments.pricing import PriceRequest
from chainwallet.payments.quotes import Quote
from chainwallet.payments.transfers import Transfer
from chainwallet.reconciliation.comparison import Comparison, compare, record
from chainwallet.settlement.lanes import Call, Fees, TxKind, store_calls
from chainwallet.settlement.makers import MakerQuote, MakerQuoteStatus, QuoteRequest, post_quotes, withdraw_quote
from chainwallet.settlement.orders import OrderStatus, PlacedOrder

GWEI = 10**9
GAS_MONEY_WEI = 10**18
OPERATOR_KEY = "cw_" + "k" * 43
OPERATOR = Principal(OPERATOR_ID, frozenset(), None)


@contextmanager
def _own_database(server: Database, name: str) -> Iterator[str]:
    """A database of its own on the server: other tests empty the shared one's tables."""
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    yield make_url(server.url).set(database=name).render_as_string(hide_password=False)
    with server.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@dataclass
class Bench:
    """The wired service, its steps, and what tests need to speak about it. Amounts are decimal strings."""

    services: Services
    reconciler: Reconciler
    numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    haven: str = "0x" + "99" * 20  # where leavers' tokens go

    @property
    def database(self) -> Database:
        return self.services.database

    def customer(self, kind: CustomerType = CustomerType.INDIVIDUAL) -> Customer:
        draft = CustomerDraft(type=kind, full_name=f"Customer {next(self.numbers)}", country="DE")
        with self.database.transaction() as session:
            return create_customer(session, draft, new_address=self.services.new_address, actor="test")

    def fund(self, customer: Customer, **amounts: str) -> Customer:
        """Deposit these amounts, by currency, and wait for them."""
        self.ask_deposits(customer, **amounts)
        self.run()
        return customer

    def ask_deposits(self, customer: Customer, **amounts: str) -> None:
        with self.database.transaction() as session:
            for code, value in amounts.items():
                money = Money.parse(code, value)
                request_deposit(session, customer_id=customer.id, account=customer.address, amount=money)

    def funded(self, **amounts: str) -> Customer:
        return self.fund(self.customer(), **amounts)

    def maker(self, *offers: tuple[str, str, str, str], lasting_s: float = 3_600) -> tuple[Customer, list[MakerQuote]]:
        """A maker with the inventory for, and the quotes of, (sell, value, buy, value). Lets the workers run."""
        maker = self.customer(CustomerType.MAKER)
        totals: dict[str, Money] = {}
        for sell, value, _, _ in offers:
            money = Money.parse(sell, value)
            totals[sell] = Money(sell, totals[sell].units + money.units) if sell in totals else money
        self.fund(maker, **{code: money.value for code, money in totals.items()})
        return maker, [self.maker_quote(maker, *offer, lasting_s=lasting_s) for offer in offers]

    def maker_quote(
        self, maker: Customer, sell: str, sell_value: str, buy: str, buy_value: str, *, lasting_s: float = 3_600
    ) -> MakerQuote:
        expires_at = utc_now() + timedelta(seconds=lasting_s)
        wanted = QuoteRequest(Money.parse(sell, sell_value), Money.parse(buy, buy_value), expires_at)
        with self.database.transaction() as session:
            signer = self.services.vault.signer(session, maker.address)
            posted = post_quotes(session, [wanted], maker_id=maker.id, signer=signer, domain=self.services.domain)[0]
        self.services.pricer.refresh()
        return posted

    def quote(self, source: str, target: str, *, send: str | None = None, receive: str | None = None) -> Quote:
        request = PriceRequest(
            source,
            target,
            fixed_source=None if send is None else Money.parse(source, send),
            fixed_target=None if receive is None else Money.parse(target, receive),
        )
        return self.services.quotes.submit_wait(self.services.pricer.price(request))

    def pay(self, payer: Customer, payee: Customer, quote: Quote) -> str:
        """Accept a transfer over the quote; its id."""
        request = TransferRequest(quote.id, payer.id, PayeeRef(customer_id=payee.id), OPERATOR)
        return self.services.transfers.submit_wait(request).transfer_id

    def send(self, payer: Customer, payee: Customer, source: str, target: str, value: str) -> str:
        return self.pay(payer, payee, self.quote(source, target, send=value))

    def settle(self) -> bool:
        return settle_step(self.services)

    def submit(self) -> bool:
        return submit_step(self.services)

    def index(self) -> bool:
        return index_step(self.services)

    def book(self) -> bool:
        return self.reconciler.step()

    def run(self, rounds: int = 50) -> None:
        """Every step in turn until none has anything to do."""
        for _ in range(rounds):
            if not any([self.settle(), self.submit(), self.index(), self.book()]) and not self.open_work():
                return
        raise AssertionError("the workers do not come to rest")

    def open_work(self) -> int:
        """Transactions that are not final and deposits that are not settled."""
        with self.database.transaction() as session:
            return int(
                session.execute(
                    text(
                        "SELECT (SELECT count(*) FROM chain_tx WHERE status IN ('signed', 'sent'))"
                        " + (SELECT count(*) FROM deposit WHERE status <> 'settled')"
                    )
                ).scalar_one()
            )

    def transfer(self, transfer_id: str) -> Transfer:
        with self.database.transaction() as session:
            return session.get_one(Transfer, transfer_id)

    def order(self, transfer_id: str) -> PlacedOrder:
        with self.database.transaction() as session:
            return session.get_one(PlacedOrder, transfer_id)

    def statuses(self, *transfer_ids: str) -> list[str]:
        return [self.transfer(transfer_id).status for transfer_id in transfer_ids]

    def maker_quotes(self) -> dict[str, MakerQuote]:
        with self.database.transaction() as session:
            return {quote.id: quote for quote in session.exec(select(MakerQuote))}

    def units(self, owner: str, code: str, kind: AccountKind = AccountKind.CUSTOMER) -> tuple[int, int]:
        """(posted, held) of an account."""
        key = AccountKey(owner, code, kind)
        with self.database.transaction() as session:
            account = ensure_accounts(session, [key])[key]
            row = session.execute(text("SELECT posted_units, held_units FROM account WHERE id = :id"), {"id": account})
            posted, held = row.one()
        return int(posted), int(held)

    def holds(self, *references: str) -> dict[str, str]:
        with self.database.transaction() as session:
            return {hold.reference: str(hold.status) for hold in holds_of(session, references)}

    def rows(self, sql: str, **values: Any) -> list[Any]:
        with self.database.transaction() as session:
            return list(session.execute(text(sql), values).all())

    def state(self) -> Mapping[str, list[Any]]:
        """Everything that settling may change, to compare before and after."""
        return {
            table: self.rows(f"SELECT * FROM {table} ORDER BY {order}")
            for table, order in {
                "payment_order": "id",
                "maker_quote": "id",
                "hold": "reference, account_id",
                "account": "id",
                "batch": "id",
                "batch_fill": "batch_id, quote_id",
                "chain_tx": "id",
                "transfer": "id",
                "lane": "sender",
            }.items()
        }

    def events_of(self, transfer_id: str) -> list[ChainEvent]:
        """The events of a transfer's settlement that stand."""
        with self.database.transaction() as session:
            statement = select(ChainEvent).where(
                ChainEvent.name == "PaymentSettled",
                ChainEvent.key1 == self.order(transfer_id).order_hash,
                col(ChainEvent.orphaned).is_(False),
            )
            return list(session.exec(statement))

    def compare(self) -> Comparison:
        """Books against chain, all of it; what differs is recorded as breaks."""
        services = self.services
        comparison = compare(self.database, services.node, services.hub, services.deployment.tokens)
        with self.database.transaction() as session:
            record(session, comparison)
        return comparison

    def breaks(self) -> dict[str, str]:
        """The open breaks: subject to kind."""
        rows = self.rows("SELECT subject, kind FROM reconciliation_break WHERE closed_at IS NULL")
        return {subject: kind for subject, kind in rows}

    def on_hub(self, function: str, address: str) -> Callable[[], None]:
        """A call of the operator's, `freeze` or `unfreeze`: its nonce is taken now, it is sent when called."""
        services = self.services
        data = keccak(f"{function}(address)".encode())[:4] + encode(["address"], [address])
        with self.database.transaction() as session:
            taken = session.execute(text("UPDATE lane SET next_nonce = next_nonce + 1 RETURNING next_nonce - 1"))
            nonce = taken.scalar_one()
        call = Transaction(services.node.chain_id, nonce, services.hub.address, data, 500_000, 100 * GWEI, GWEI)
        signed = services.operator.sign_transaction(call)

        def send() -> None:
            assert services.node.send_raw(signed.raw) == Accepted(signed.hash)
            receipt = services.node.receipt(signed.hash)
            assert receipt is not None
            assert receipt.status

        return send

    def key_of(self, customer: Customer) -> LocalSigner:
        """The customer's own key, as it takes it away."""
        with self.database.transaction() as session:
            keystore = self.services.vault.export_keystore(session, customer.address, password="own", scrypt_n=2)
        return LocalSigner("0x" + Account.decrypt(keystore, "own").hex())

    def on_chain(self, owner: Customer | LocalSigner, data: bytes, *, reverts: bool = False) -> str:
        """A call of the hub that an owner sends without the service, mined at once; its transaction."""
        node = self.services.node
        signer = self.key_of(owner) if isinstance(owner, Customer) else owner
        if node.balance(signer.address) < GAS_MONEY_WEI:
            node.fund(signer.address)
        nonce = node.nonce(signer.address)
        call = Transaction(node.chain_id, nonce, self.services.hub.address, data, 500_000, 100 * GWEI, GWEI)
        signed = signer.sign_transaction(call)
        assert node.send_raw(signed.raw) == Accepted(signed.hash)
        receipt = node.receipt(signed.hash)
        assert receipt is not None
        assert bool(receipt.status) is not reverts
        return signed.hash

    def leave(self, owner: Customer | LocalSigner, code: str, value: str, *, to: str | None = None) -> str:
        """An owner asks, on chain, to leave with this much."""
        units = Money.parse(code, value).units
        return self.on_chain(owner, encode_request_exit(currency(code).id, units, to or self.haven))

    def gift(self, address: str, code: str, value: str) -> None:
        """The issuer deposits for an address that this database may know nothing of."""
        services, units = self.services, Money.parse(code, value).units
        deposit = encode_deposit(currency(code).id, [HubDeposit(address, units, bytes(32))])
        self.operate(services.deployment.tokens[code], encode_mint(services.operator.address, units))
        self.operate(services.hub.address, deposit)

    def operate(self, to: str, data: bytes) -> None:
        """A call of the operator's that this database knows nothing more of; goes out with the next submit."""
        services = self.services
        with self.database.transaction() as session:
            call = Call(TxKind.MINT, "elsewhere", to, data, 1_000_000)
            fees = Fees(100 * GWEI, GWEI)
            store_calls(session, [call], signer=services.operator, chain_id=services.node.chain_id, fees=fees)

    def wait_out_the_delay(self) -> None:
        """The chain's clock goes on; never back, so it is ahead for good by all that was waited."""
        self.services.node.request("evm_increaseTime", [self.services.hub.exit_delay() + 1])
        self.services.node.request("evm_mine", [])
        self.index()

    def correct(self, owner: str, code: str, units: int, *, kind: AccountKind = AccountKind.CUSTOMER) -> None:
        """Book what the chain moved without this database's knowing, as an operator would."""
        clearing = AccountKey("correction", code, AccountKind.HUB)
        with self.database.transaction() as session:
            account = AccountKey(owner, code, kind)
            ids = ensure_accounts(session, [account, clearing])
            postings = ((ids[account], units), (ids[clearing], -units))
            capture_and_post(session, [EntryDraft("correction", f"{owner}-{next(self.numbers)}", postings)])

    @contextmanager
    def tampered_books(self, owner: str, code: str, units: int) -> Iterator[None]:
        """A balance that somebody changed by hand, past every guard; put right again afterwards."""
        for more in (units, -units):
            with self.database.transaction() as session:
                session.execute(text("SET LOCAL session_replication_role = replica"))
                change = (
                    "UPDATE account SET posted_units = posted_units + :more WHERE owner_id = :id AND currency = :code"
                )
                session.execute(text(change), {"more": more, "id": owner, "code": code})
            if more == units:
                yield

    def tidy(self) -> None:
        """Leave nothing behind that the next test could stumble over."""
        with self.database.transaction() as session:
            for order_id in session.exec(select(PlacedOrder.id).where(PlacedOrder.status == OrderStatus.PLACED)).all():
                cancel_transfer(session, order_id)
            for quote in session.exec(select(MakerQuote).where(MakerQuote.status == MakerQuoteStatus.OPEN)).all():
                withdraw_quote(session, quote.id)
        self.run()
        self.services.pricer.refresh()


@contextmanager
def open_bench(
    server: Database, folder: Path, chain: str, *, exit_delay_s: int = 86_400, **options: Any
) -> Iterator[Bench]:
    with _own_database(server, f"bench_{chain}_{folder.name}".lower()) as url:
        settings = Settings(
            data_dir=folder,
            database_url=url,
            chain_url=chain,
            operator_key=OPERATOR_KEY,
            batch_linger_ms=0,
            **options,
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("chainwallet.chain.steps.EXIT_DELAY_S", exit_delay_s)
            services = open_services(settings)
        bench = Bench(services, Reconciler(services))
        bench.run()
        yield bench
        services.close()


@pytest.fixture(scope="session")
def embedded_bench(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with open_bench(postgres, tmp_path_factory.mktemp("bench"), "embedded") as bench:
        yield bench


@pytest.fixture
def patient_bench(postgres: Database, tmp_path: Path) -> Iterator[Bench]:
    """A bench of its own whose orders last, however often the chain's clock is put forward."""
    with open_bench(postgres, tmp_path, "embedded", exit_delay_s=700, settle_margin_s=86_400) as bench:
        yield bench


@pytest.fixture(scope="session")
def leavers_chain(postgres: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Where owners wait out their delays: the chain's clock gets ahead, which orders and quotes here can bear."""
    folder = tmp_path_factory.mktemp("leavers")
    with open_bench(postgres, folder, "embedded", exit_delay_s=120, settle_margin_s=86_400) as bench:
        yield bench


@pytest.fixture
def anvil_bench(postgres: Database, tmp_path: Path) -> Iterator[Bench]:
    """A bench on a managed anvil, which others than the service can talk to."""
    with open_bench(postgres, tmp_path, "anvil") as bench:
        yield bench


@pytest.fixture
def bench(embedded_bench: Bench) -> Iterator[Bench]:
    """The service on an in-process chain. After each test its books equal the chain: I4, I6 and the ledger's own."""
    yield embedded_bench
    _leave_in_order(embedded_bench)


@pytest.fixture
def leavers_bench(leavers_chain: Bench) -> Iterator[Bench]:
    """As `bench`, on a chain where time passes."""
    yield leavers_chain
    _leave_in_order(leavers_chain)


def _leave_in_order(bench: Bench) -> None:
    bench.tidy()
    comparison = bench.compare()
    assert comparison.balanced, comparison.differences
    bench.rows("DELETE FROM reconciliation_break RETURNING id")


@pytest.fixture
def exact() -> Callable[[str, str], int]:
    """Units of a decimal amount."""
    return lambda code, value: Money.parse(code, value).units
