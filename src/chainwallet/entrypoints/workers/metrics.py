"""What the workers tell Prometheus. Only the process that runs the chain's workers has figures of the chain."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

WORKER_FAILURES = Gauge(
    "chainwallet_worker_failures_in_a_row", "Steps of a worker that failed since one did not.", ["worker"]
)
ORDERS_WAITING = Gauge("chainwallet_settlement_orders_waiting", "Accepted payments that no batch has taken yet.")
OLDEST_ORDER = Gauge("chainwallet_settlement_oldest_order_age_seconds", "How long the oldest of them has waited.")
TRANSACTIONS_REVERTED = Counter(
    "chainwallet_settlement_transactions_reverted_total", "Transactions that were mined and moved nothing."
)
TRANSACTIONS_REPLACED = Counter(
    "chainwallet_settlement_transactions_replaced_total", "Transactions sent again under the same nonce with more fee."
)
OFF_MID_QUOTES = Gauge("chainwallet_market_off_mid_quotes", "Makers' quotes too far from mid to be used.")
FOLLOWED_BLOCK = Gauge("chainwallet_chain_followed_block", "The highest block that is followed.")
REORGANISATIONS = Counter("chainwallet_chain_reorganisations_total", "Forks that undid followed blocks.")
OPEN_BREAKS = Gauge("chainwallet_reconciliation_open_breaks", "Places where books and chain do not say the same.")
RESERVES_BLOCK = Gauge("chainwallet_reserves_stated_block", "The block of the last statement of what is owed.")
