"""Wires the service: the only file that names both a port and its adapter."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import structlog
from sqlmodel import Session

from chainwallet.adapters.messaging.webhooks import WebhookSender
from chainwallet.adapters.rates.ecb import EcbDailyRates, EcbRates, RatesUnavailable
from chainwallet.chain.contracts.settlement_hub import SettlementHub
from chainwallet.chain.deployer import deploy
from chainwallet.chain.deployment import Deployment, recorded_currencies
from chainwallet.chain.errors import ProofRefused, RpcRefused
from chainwallet.chain.identity import pin
from chainwallet.chain.node import Node, open_node
from chainwallet.chain.proofs import proven_nonce
from chainwallet.controls.corridors.store import Corridors
from chainwallet.controls.identity.authenticator import Authenticator, operator_key
from chainwallet.controls.risk import return_rules, standard_rules
from chainwallet.keys.intents import Domain
from chainwallet.keys.policy import TransactionPolicy
from chainwallet.keys.secret_box import SecretBox
from chainwallet.keys.signers import LocalSigner, create_operator_key
from chainwallet.keys.vault import Vault, load_kek
from chainwallet.kit.database import Database, open_database
from chainwallet.kit.errors import ChainwalletError
from chainwallet.kit.groups import GroupCommit
from chainwallet.kit.money import currency
from chainwallet.kit.settings import Settings
from chainwallet.kit.tracing import PaymentTraces
from chainwallet.market.currencies import traded_currencies
from chainwallet.market.gain import GainRule
from chainwallet.market.rates import MidMarket, RateSource
from chainwallet.migrations import upgrade
from chainwallet.payments.acceptance import Acceptance
from chainwallet.payments.candidates import Accepted, TransferRequest
from chainwallet.payments.pricing import Pricer
from chainwallet.payments.quotes import Quote, store_quotes
from chainwallet.payments.returns import Returns
from chainwallet.settlement.ladders import LadderDesk, LadderPost
from chainwallet.settlement.ladders import Outcome as LadderOutcome
from chainwallet.settlement.lanes import open_lane
from chainwallet.settlement.snapshots import Snapshots

_log = structlog.get_logger(__name__)

GWEI = 10**9
NONCE_ATTEMPTS = 10


class DeployerKeyMissing(ChainwalletError):
    code = "DEPLOYER_KEY_MISSING"
    status = 503


@dataclass(slots=True)
class Services:
    """Everything that an entrypoint may call, wired once."""

    settings: Settings
    database: Database
    node: Node
    deployment: Deployment
    hub: SettlementHub
    operator: LocalSigner
    operator_key: str
    vault: Vault
    domain: Domain
    rates: RateSource
    authenticator: Authenticator
    corridors: Corridors
    pricer: Pricer
    acceptance: Acceptance
    returns: Returns
    transfers: GroupCommit[TransferRequest, Accepted]
    quotes: GroupCommit[Quote, Quote]
    ladders: GroupCommit[LadderPost, tuple[LadderOutcome, ...]]
    box: SecretBox
    traces: PaymentTraces | None
    webhook_sender: WebhookSender
    wakers: dict[str, Callable[[], None]] = field(default_factory=dict)
    unhealthy_workers: Callable[[], list[str]] = list

    @property
    def mids(self) -> MidMarket:
        """Mid-market by the newest fixing."""
        return MidMarket(self.rates.fixing())

    def mids_on(self, day: date) -> MidMarket | None:
        """Mid-market by the last fixing on or before that day; None where the rates do not go back so far."""
        try:
            return MidMarket(self.rates.fixing(day))
        except RatesUnavailable:
            return None

    @property
    def gain_rule(self) -> GainRule:
        """Who gets what netting saves."""
        least = self.settings.gain_min_minor_units
        return GainRule(
            self.settings.gain_customers_bps,
            self.settings.gain_makers_bps,
            lambda code: least * currency(code).minor_units,
        )

    @property
    def gas_price_max_wei(self) -> int:
        return self.settings.gas_price_max_gwei * GWEI

    @property
    def rpc_url(self) -> str:
        """Where anyone may ask the chain."""
        return self.node.url

    def new_address(self, session: Session, owner_id: str, /) -> str:
        """A wallet for `owner_id`, made in the session's transaction; its address."""
        return self.vault.create_wallet(session, owner_id=owner_id).address

    def seal(self, plaintext: bytes, associated: str, /) -> bytes:
        return self.box.seal(plaintext, associated)

    def market_changed(self) -> None:
        """The makers' quotes changed: this process prices with them from now on."""
        self.pricer.refresh()

    def readiness(self) -> dict[str, str]:
        """What the service depends on, each "ok" or what is wrong with it."""
        workers = self.unhealthy_workers()
        return {
            "database": _check(self.database.ping),
            "chain": _check(self.node.head),
            "workers": f"failing: {', '.join(workers)}" if workers else "ok",
        }

    def wake(self, worker: str) -> None:
        """Tell a worker that there may be something to do; nothing happens where it does not run."""
        if (waker := self.wakers.get(worker)) is not None:
            waker()

    def close(self) -> None:
        """Finish what is queued, then stop the chain and the database if they are ours."""
        self.transfers.close()
        self.quotes.close()
        self.ladders.close()
        if self.traces is not None:
            self.traces.close()
        self.node.close()
        self.database.close()


def _check(ask: Callable[[], object]) -> str:
    try:
        ask()
    except Exception as error:
        return type(error).__name__
    return "ok"


def prepare(settings: Settings) -> Settings:
    """Settings for a chain that lives only in this process: its database must be as fresh as it is."""
    if settings.chain_url != "embedded" or settings.database_url is not None:
        return settings
    folder = Path(tempfile.mkdtemp(prefix="chainwallet-"))
    _log.warning("embedded_chain_is_throwaway", data_dir=str(folder))
    return settings.model_copy(update={"data_dir": folder})


def open_services(settings: Settings, *, say: Callable[[str], None] = lambda _: None) -> Services:
    """Open the database and the chain, deploy where the chain is ours, and wire the rooms together."""
    settings = prepare(settings)
    say("opening the database")
    database = open_database(settings.database_url, data_dir=settings.data_dir)
    upgrade(database)
    say("opening the chain")
    node = open_node(settings.chain_url, data_dir=settings.data_dir)
    operator = _operator(settings)
    rates = _rates(settings)
    mids = MidMarket(rates.fixing())
    deployment = _deployment(settings, node, operator, mids, say)
    hub = SettlementHub(node, deployment.hub)
    domain = Domain(node.chain_id, deployment.hub)
    kek = load_kek(settings.key_encryption_key, settings.data_dir)
    vault = Vault(kek)
    vault.pin(domain)
    operator.pin(domain)
    nonce = _nonce(node, operator.address)
    with database.transaction() as session:
        pin(session, node, deployment.hub)
        vault.ensure_readable(session)
        open_lane(session, operator.address, nonce=nonce)
    return _wire(settings, database, node, deployment, hub, operator, vault, SecretBox(kek), domain, rates)


def _nonce(node: Node, address: str) -> int:
    """The operator's nonce on chain, proven where the node can: one too high would leave a gap that holds up all."""
    if node.kind == "embedded":
        return node.nonce(address)
    for attempt in range(NONCE_ATTEMPTS):
        try:
            return proven_nonce(node, address, node.head().hash)
        except RpcRefused:
            return node.nonce(address)  # it keeps no proofs; the submitter fills gaps
        except ProofRefused:  # anvil proves of the block that it is executing just now
            if attempt == NONCE_ATTEMPTS - 1:
                raise
            time.sleep(0.2)
    raise AssertionError("unreachable")


def _wire(
    settings: Settings,
    database: Database,
    node: Node,
    deployment: Deployment,
    hub: SettlementHub,
    operator: LocalSigner,
    vault: Vault,
    box: SecretBox,
    domain: Domain,
    rates: RateSource,
) -> Services:
    corridors = Corridors()
    pricer = Pricer(
        database,
        rates,
        fee_bps=settings.fee_bps,
        ttl_s=settings.quote_ttl_s,
        cost_bps_max=settings.cost_bps_max,
        rates_age_max_days=settings.rates_age_max_days if settings.rates_url is not None else None,
        snapshots=Snapshots(operator, domain),
        corridors=corridors,
    )
    pricer.refresh()
    acceptance = Acceptance(
        vault=vault,
        domain=domain,
        rates=rates,
        rules=standard_rules(),
        return_rules=return_rules(),
        settle_margin_s=settings.settle_margin_s,
        corridors=corridors,
    )
    key = operator_key(settings)
    services = Services(
        settings=settings,
        database=database,
        node=node,
        deployment=deployment,
        hub=hub,
        operator=operator,
        operator_key=key,
        vault=vault,
        domain=domain,
        rates=rates,
        authenticator=Authenticator(database, operator_key=key),
        corridors=corridors,
        pricer=pricer,
        acceptance=acceptance,
        returns=Returns(acceptance=acceptance, pricer=pricer, corridors=corridors),
        transfers=GroupCommit(
            "transfers",
            database,
            partial(acceptance.accept, to_commit=True),
            after_commit=lambda: services.wake("settle"),
        ),
        # A quote that a power cut undoes is asked for again; waiting for the disk would buy nothing.
        quotes=GroupCommit("quotes", database, store_quotes, durable=False),
        ladders=GroupCommit("ladders", database, LadderDesk(vault=vault, domain=domain, rates=rates).apply),
        box=box,
        traces=None if settings.otlp_url is None else PaymentTraces.to(settings.otlp_url, ratio=settings.trace_ratio),
        webhook_sender=WebhookSender(allow_loopback=settings.webhooks_to_loopback),
    )
    return services


def _rates(settings: Settings) -> RateSource:
    """The rates that ship, and newer ones on top of them where they are to be had."""
    shipped = EcbRates()
    return shipped if settings.rates_url is None else EcbDailyRates(shipped, url=settings.rates_url)


def _operator(settings: Settings) -> LocalSigner:
    """The key that settles: the operator's own on a chain elsewhere, one made here on a chain of ours."""
    policy = TransactionPolicy(gas_price_max_wei=settings.gas_price_max_gwei * GWEI, value_max_wei=0)
    if settings.deployer_key is not None:
        return LocalSigner(settings.deployer_key, transactions=policy)
    if settings.chain_url not in ("anvil", "embedded"):
        raise DeployerKeyMissing(
            "A chain that is not ours needs the key that settles on it: set CHAINWALLET_DEPLOYER_KEY."
        )
    return create_operator_key(settings.data_dir, transactions=policy)


def _deployment(
    settings: Settings, node: Node, operator: LocalSigner, mids: MidMarket, say: Callable[[str], None]
) -> Deployment:
    """The contracts: deployed or resumed on a chain of ours; on another, where they are already."""
    say("finding or deploying the contracts")
    if node.kind == "remote":
        folder = settings.deployments_dir
        return deploy(node, operator, currencies=recorded_currencies(folder, node), folder=folder, broadcast=False)
    node.fund(operator.address)
    codes = [currency.code for currency in traded_currencies(mids.fixing)]
    return deploy(node, operator, currencies=codes, folder=settings.data_dir / "deployments", broadcast=True)
