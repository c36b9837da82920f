"""first tables"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from chainwallet.ledger.ddl import statements

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("posted_units", sa.Numeric(precision=38, scale=0), server_default="0", nullable=False),
        sa.Column("held_units", sa.Numeric(precision=38, scale=0), server_default="0", nullable=False),
        sa.Column("last_nonce", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("currency ~ '^[A-Z]{3}$'", name=op.f("ck_account_currency")),
        sa.CheckConstraint(
            "kind IN ('clearing', 'hub') OR posted_units >= held_units", name=op.f("ck_account_available_not_negative")
        ),
        sa.CheckConstraint("kind IN ('customer', 'treasury', 'clearing', 'hub')", name=op.f("ck_account_kind")),
        sa.CheckConstraint("held_units >= 0", name=op.f("ck_account_held_not_negative")),
        sa.CheckConstraint("last_nonce >= 0", name=op.f("ck_account_nonce_not_negative")),
        sa.CheckConstraint("octet_length(seal) = 32", name=op.f("ck_account_seal")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_account")),
        sa.UniqueConstraint("owner_id", "currency", "kind", name="uq_account_key"),
    )
    op.create_table(
        "audit_entry",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("previous_hash", sa.String(length=64), nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_entry")),
        sa.UniqueConstraint("hash", name=op.f("uq_audit_entry_hash")),
    )
    op.create_index(op.f("ix_audit_entry_action"), "audit_entry", ["action"], unique=False)
    op.create_index(op.f("ix_audit_entry_subject"), "audit_entry", ["subject"], unique=False)
    op.create_table(
        "batch",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("payments", sa.Integer(), nullable=False),
        sa.Column("source_usd_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("target_usd_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("fee_usd_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("surplus_usd_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("maker_usd_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("maker_alone_usd_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch")),
    )
    op.create_index("ix_batch_open", "batch", ["id"], unique=False, postgresql_where=sa.text("status = 'submitted'"))
    op.create_table(
        "batch_fill",
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("quote_id", sa.String(), nullable=False),
        sa.Column("maker_id", sa.String(), nullable=False),
        sa.Column("sell", sa.String(), nullable=False),
        sa.Column("sold_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("buy", sa.String(), nullable=False),
        sa.Column("bought_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.PrimaryKeyConstraint("batch_id", "quote_id", name=op.f("pk_batch_fill")),
    )
    op.create_table(
        "chain_block",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("parent_hash", sa.String(), nullable=False),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("orphaned", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_chain_block")),
    )
    op.create_index(
        "ix_chain_block_canonical", "chain_block", ["number"], unique=True, postgresql_where=sa.text("NOT orphaned")
    )
    op.create_table(
        "chain_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("block_hash", sa.String(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=False),
        sa.Column("tx_hash", sa.String(), nullable=False),
        sa.Column("log_index", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("key1", sa.String(), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("orphaned", sa.Boolean(), nullable=False),
        sa.Column("matched", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_event")),
        sa.UniqueConstraint("block_hash", "log_index", name=op.f("uq_chain_event_block_hash_log_index")),
    )
    op.create_index("ix_chain_event_key", "chain_event", ["name", "key1"], unique=False)
    op.create_index("ix_chain_event_number", "chain_event", ["block_number"], unique=False)
    op.create_index("ix_chain_event_tx", "chain_event", ["tx_hash"], unique=False)
    op.create_index(
        "ix_chain_event_unmatched",
        "chain_event",
        ["block_number", "log_index"],
        unique=False,
        postgresql_where=sa.text("NOT matched AND NOT orphaned"),
    )
    op.create_table(
        "chain_identity",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("genesis_hash", sa.String(), nullable=False),
        sa.Column("hub", sa.String(), nullable=False),
        sa.Column("pinned_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("id = 1", name=op.f("ck_chain_identity_single_row")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_identity")),
    )
    op.create_table(
        "chain_tx",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("tx_hash", sa.Text(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("gas", sa.BigInteger(), nullable=False),
        sa.Column("max_fee_wei", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("max_priority_wei", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("to", sa.String(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("block_number", sa.BigInteger(), nullable=True),
        sa.Column("gas_used", sa.BigInteger(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_chain_tx")),
        sa.UniqueConstraint("sender", "nonce", "tx_hash", name="uq_chain_tx_nonce"),
        sa.UniqueConstraint("tx_hash", name=op.f("uq_chain_tx_tx_hash")),
    )
    op.create_index(
        "ix_chain_tx_open",
        "chain_tx",
        ["nonce"],
        unique=False,
        postgresql_where=sa.text("status IN ('signed', 'sent')"),
    )
    op.create_index(op.f("ix_chain_tx_reference"), "chain_tx", ["reference"], unique=False)
    op.create_index(
        "uq_chain_tx_live_nonce",
        "chain_tx",
        ["sender", "nonce"],
        unique=True,
        postgresql_where=sa.text("status <> 'replaced'"),
    )
    op.create_table(
        "customer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("full_name", sa.String(length=140), nullable=False),
        sa.Column("country", sa.String(length=2), nullable=False),
        sa.Column("email", sa.String(length=254), nullable=True),
        sa.Column("address", sa.String(length=42), nullable=False),
        sa.Column("alias", sa.String(length=64), nullable=True),
        sa.Column("iban", sa.String(length=34), nullable=True),
        sa.Column("bank_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('active', 'frozen', 'closed')", name=op.f("ck_customer_status")),
        sa.CheckConstraint("type IN ('individual', 'business', 'maker', 'bank')", name=op.f("ck_customer_type")),
        sa.CheckConstraint("alias = lower(alias)", name=op.f("ck_customer_alias_lower")),
        sa.CheckConstraint("bank_id <> id", name=op.f("ck_customer_bank_is_another")),
        sa.ForeignKeyConstraint(["bank_id"], ["customer.id"], name=op.f("fk_customer_bank_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_customer")),
        sa.UniqueConstraint("address", name=op.f("uq_customer_address")),
        sa.UniqueConstraint("alias", name=op.f("uq_customer_alias")),
        sa.UniqueConstraint("iban", name=op.f("uq_customer_iban")),
    )
    op.create_index(op.f("ix_customer_bank_id"), "customer", ["bank_id"], unique=False)
    op.create_table(
        "deposit",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=False),
        sa.Column("account", sa.String(), nullable=False),
        sa.Column("currency", sa.String(), nullable=False),
        sa.Column("units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("chain_ref", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deposit")),
        sa.UniqueConstraint("chain_ref", name=op.f("uq_deposit_chain_ref")),
    )
    op.create_index(op.f("ix_deposit_customer_id"), "deposit", ["customer_id"], unique=False)
    op.create_index(op.f("ix_deposit_group_id"), "deposit", ["group_id"], unique=False)
    op.create_index(
        "ix_deposit_pending", "deposit", ["id"], unique=False, postgresql_where=sa.text("status = 'pending'")
    )
    op.create_table(
        "idempotency_key",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("route", sa.String(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("body_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("resource_id", sa.String(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("octet_length(body_sha256) = 32", name=op.f("ck_idempotency_key_body_sha256_length")),
        sa.PrimaryKeyConstraint("tenant_id", "route", "key", name=op.f("pk_idempotency_key")),
    )
    op.create_index(op.f("ix_idempotency_key_created_at"), "idempotency_key", ["created_at"], unique=False)
    op.create_table(
        "journal_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind ~ '^[a-z_]{1,32}$'", name=op.f("ck_journal_entry_kind")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_journal_entry")),
        sa.UniqueConstraint("reference", "kind", name="uq_journal_entry_once"),
    )
    op.create_table(
        "keys_wallet",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner_id", sa.String(), nullable=False),
        sa.Column("address", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("kek_id", sa.String(), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("ciphertext", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("octet_length(nonce) = 12", name=op.f("ck_keys_wallet_nonce_length")),
        sa.CheckConstraint("octet_length(wrapped_key) = 60", name=op.f("ck_keys_wallet_wrapped_key_length")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys_wallet")),
        sa.UniqueConstraint("address", name=op.f("uq_keys_wallet_address")),
        sa.UniqueConstraint("owner_id", name=op.f("uq_keys_wallet_owner_id")),
    )
    op.create_index(op.f("ix_keys_wallet_kek_id"), "keys_wallet", ["kek_id"], unique=False)
    op.create_table(
        "lane",
        sa.Column("sender", sa.String(), nullable=False),
        sa.Column("next_nonce", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("sender", name=op.f("pk_lane")),
    )
    op.create_table(
        "maker_quote",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("maker_id", sa.String(), nullable=False),
        sa.Column("maker", sa.String(), nullable=False),
        sa.Column("sell", sa.String(), nullable=False),
        sa.Column("sell_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("buy", sa.String(), nullable=False),
        sa.Column("buy_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("quote_hash", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("reserved_units", sa.Numeric(precision=38, scale=0), server_default="0", nullable=False),
        sa.Column("filled_units", sa.Numeric(precision=38, scale=0), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "reserved_units + filled_units <= sell_units", name=op.f("ck_maker_quote_within_signed_amount")
        ),
        sa.CheckConstraint("reserved_units >= 0 AND filled_units >= 0", name=op.f("ck_maker_quote_used_not_negative")),
        sa.CheckConstraint("sell_units > 0 AND buy_units > 0", name=op.f("ck_maker_quote_amounts_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maker_quote")),
        sa.UniqueConstraint("quote_hash", name=op.f("uq_maker_quote_quote_hash")),
    )
    op.create_index(op.f("ix_maker_quote_maker_id"), "maker_quote", ["maker_id"], unique=False)
    op.create_index(
        "ix_maker_quote_open", "maker_quote", ["expires_at"], unique=False, postgresql_where=sa.text("status = 'open'")
    )
    op.create_table(
        "outbox_event",
        sa.Column("seq", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("type", sa.String(), nullable=False),
        sa.Column("subject_id", sa.String(), nullable=False),
        sa.Column("audience", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("payload", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_outbox_event")),
        sa.UniqueConstraint("id", name=op.f("uq_outbox_event_id")),
    )
    op.create_index(
        "ix_outbox_event_unpublished",
        "outbox_event",
        ["seq"],
        unique=False,
        postgresql_where=sa.text("position IS NULL"),
    )
    op.create_index("uq_outbox_event_position", "outbox_event", ["position"], unique=True)
    op.create_table(
        "payment_file",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("message_id", sa.String(), nullable=False),
        sa.Column("instructions", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_file")),
        sa.UniqueConstraint("tenant_id", "message_id", name="uq_payment_file_message"),
    )
    op.create_table(
        "payment_order",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("payer", sa.String(), nullable=False),
        sa.Column("payee", sa.String(), nullable=False),
        sa.Column("source_currency", sa.String(), nullable=False),
        sa.Column("source_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("target_currency", sa.String(), nullable=False),
        sa.Column("target_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("fee_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("memo", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("order_hash", sa.Text(), nullable=False),
        sa.Column("legs", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=True),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_order")),
        sa.UniqueConstraint("order_hash", name=op.f("uq_payment_order_order_hash")),
        sa.UniqueConstraint("payer", "source_currency", "nonce", name="uq_payment_order_nonce"),
        sa.UniqueConstraint("seq", name=op.f("uq_payment_order_seq")),
    )
    op.create_index(op.f("ix_payment_order_batch_id"), "payment_order", ["batch_id"], unique=False)
    op.create_index(
        "ix_payment_order_placed", "payment_order", ["seq"], unique=False, postgresql_where=sa.text("status = 'placed'")
    )
    op.create_table(
        "quote",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("owner_id", sa.String(), nullable=True),
        sa.Column("source_currency", sa.String(), nullable=False),
        sa.Column("source_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("target_currency", sa.String(), nullable=False),
        sa.Column("target_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("fee_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("rate", sa.String(), nullable=False),
        sa.Column("mid_rate", sa.String(), nullable=False),
        sa.Column("cost_bps", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("legs", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_by", sa.Text(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_quote")),
    )
    op.create_table(
        "reconciliation_break",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_reconciliation_break")),
        sa.UniqueConstraint("kind", "subject", name="uq_reconciliation_break_subject"),
    )
    op.create_table(
        "transfer",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("uetr", sa.Text(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("payer_id", sa.String(), nullable=False),
        sa.Column("payee_id", sa.String(), nullable=True),
        sa.Column("payee_address", sa.String(), nullable=False),
        sa.Column("quote_id", sa.Text(), nullable=False),
        sa.Column("source_currency", sa.String(), nullable=False),
        sa.Column("source_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("target_currency", sa.String(), nullable=False),
        sa.Column("target_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("fee_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("cost_bps", sa.Numeric(precision=12, scale=2), nullable=False),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("end_to_end_id", sa.String(), nullable=True),
        sa.Column("failure_code", sa.String(), nullable=True),
        sa.Column("failure_detail", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_transfer")),
        sa.UniqueConstraint("quote_id", name=op.f("uq_transfer_quote_id")),
        sa.UniqueConstraint("uetr", name=op.f("uq_transfer_uetr")),
    )
    op.create_index("ix_transfer_payee", "transfer", ["payee_id"], unique=False)
    op.create_index("ix_transfer_payer", "transfer", ["payer_id", sa.literal_column("id DESC")], unique=False)
    op.create_index(op.f("ix_transfer_status"), "transfer", ["status"], unique=False)
    op.create_table(
        "webhook",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("secret_sealed", sa.LargeBinary(), nullable=False),
        sa.Column("events", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("status IN ('active', 'disabled', 'deleted')", name=op.f("ck_webhook_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
    )
    op.create_index(op.f("ix_webhook_customer_id"), "webhook", ["customer_id"], unique=False)
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("secret_sha256", sa.LargeBinary(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("customer_id", sa.String(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("octet_length(secret_sha256) = 32", name=op.f("ck_api_key_secret_sha256_length")),
        sa.ForeignKeyConstraint(["customer_id"], ["customer.id"], name=op.f("fk_api_key_customer_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_key_secret_sha256")),
    )
    op.create_index(op.f("ix_api_key_customer_id"), "api_key", ["customer_id"], unique=False)
    op.create_table(
        "hold",
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("nonce", sa.BigInteger(), nullable=True),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("entry_id", sa.BigInteger(), nullable=True),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("(status = 'captured') = (entry_id IS NOT NULL)", name=op.f("ck_hold_entry_when_captured")),
        sa.CheckConstraint("(status = 'open') = (closed_at IS NULL)", name=op.f("ck_hold_closed_when_not_open")),
        sa.CheckConstraint("status IN ('open', 'captured', 'released')", name=op.f("ck_hold_status")),
        sa.CheckConstraint("nonce > 0", name=op.f("ck_hold_nonce_positive")),
        sa.CheckConstraint("octet_length(seal) = 32", name=op.f("ck_hold_seal")),
        sa.CheckConstraint("units > 0", name=op.f("ck_hold_units_positive")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_hold_account_id")),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entry.id"], name=op.f("fk_hold_entry_id")),
        sa.PrimaryKeyConstraint("reference", "account_id", name=op.f("pk_hold")),
    )
    op.create_index("ix_hold_open", "hold", ["account_id"], unique=False, postgresql_where=sa.text("status = 'open'"))
    op.create_index(
        "uq_hold_nonce", "hold", ["account_id", "nonce"], unique=True, postgresql_where=sa.text("nonce IS NOT NULL")
    )
    op.create_table(
        "payment_instruction",
        sa.Column("file_id", sa.String(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("end_to_end_id", sa.String(), nullable=False),
        sa.Column("uetr", sa.String(), nullable=True),
        sa.Column("payer", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("payee", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("source_currency", sa.String(), nullable=False),
        sa.Column("target_currency", sa.String(), nullable=False),
        sa.Column("fixed", sa.String(), nullable=False),
        sa.Column("fixed_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("purpose", sa.String(), nullable=True),
        sa.Column("reference", sa.String(), nullable=True),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("transfer_id", sa.Text(), nullable=True),
        sa.Column("code", sa.String(), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["file_id"], ["payment_file.id"], name=op.f("fk_payment_instruction_file_id")),
        sa.PrimaryKeyConstraint("file_id", "seq", name=op.f("pk_payment_instruction")),
    )
    op.create_index(
        "ix_payment_instruction_pending",
        "payment_instruction",
        ["file_id", "seq"],
        unique=False,
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.create_index(op.f("ix_payment_instruction_transfer_id"), "payment_instruction", ["transfer_id"], unique=False)
    op.create_table(
        "posting",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("balance_units", sa.Numeric(precision=38, scale=0), nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("octet_length(seal) = 32", name=op.f("ck_posting_seal")),
        sa.CheckConstraint("units <> 0", name=op.f("ck_posting_units_not_zero")),
        sa.ForeignKeyConstraint(["account_id"], ["account.id"], name=op.f("fk_posting_account_id")),
        sa.ForeignKeyConstraint(["entry_id"], ["journal_entry.id"], name=op.f("fk_posting_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", "account_id", name=op.f("pk_posting")),
    )
    op.create_index("ix_posting_account", "posting", ["account_id", "entry_id"], unique=False)
    op.create_table(
        "webhook_delivery",
        sa.Column("event_id", sa.String(), nullable=False),
        sa.Column("webhook_id", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.SmallInteger(), nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_status", sa.SmallInteger(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("state IN ('pending', 'delivered', 'dead')", name=op.f("ck_webhook_delivery_state")),
        sa.ForeignKeyConstraint(["event_id"], ["outbox_event.id"], name=op.f("fk_webhook_delivery_event_id")),
        sa.ForeignKeyConstraint(["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_delivery_webhook_id")),
        sa.PrimaryKeyConstraint("event_id", "webhook_id", name=op.f("pk_webhook_delivery")),
    )
    op.create_index(
        "ix_webhook_delivery_due",
        "webhook_delivery",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("ix_webhook_delivery_webhook_id"), "webhook_delivery", ["webhook_id"], unique=False)
    for statement in statements():
        op.execute(statement)


def downgrade() -> None:
    op.drop_index(op.f("ix_webhook_delivery_webhook_id"), table_name="webhook_delivery")
    op.drop_index(
        "ix_webhook_delivery_due", table_name="webhook_delivery", postgresql_where=sa.text("state = 'pending'")
    )
    op.drop_table("webhook_delivery")
    op.drop_index("ix_posting_account", table_name="posting")
    op.drop_table("posting")
    op.drop_index(op.f("ix_payment_instruction_transfer_id"), table_name="payment_instruction")
    op.drop_index(
        "ix_payment_instruction_pending",
        table_name="payment_instruction",
        postgresql_where=sa.text("status = 'pending'"),
    )
    op.drop_table("payment_instruction")
    op.drop_index("uq_hold_nonce", table_name="hold", postgresql_where=sa.text("nonce IS NOT NULL"))
    op.drop_index("ix_hold_open", table_name="hold", postgresql_where=sa.text("status = 'open'"))
    op.drop_table("hold")
    op.drop_index(op.f("ix_api_key_customer_id"), table_name="api_key")
    op.drop_table("api_key")
    op.drop_index(op.f("ix_webhook_customer_id"), table_name="webhook")
    op.drop_table("webhook")
    op.drop_index(op.f("ix_transfer_status"), table_name="transfer")
    op.drop_index("ix_transfer_payer", table_name="transfer")
    op.drop_index("ix_transfer_payee", table_name="transfer")
    op.drop_table("transfer")
    op.drop_table("reconciliation_break")
    op.drop_table("quote")
    op.drop_index("ix_payment_order_placed", table_name="payment_order", postgresql_where=sa.text("status = 'placed'"))
    op.drop_index(op.f("ix_payment_order_batch_id"), table_name="payment_order")
    op.drop_table("payment_order")
    op.drop_table("payment_file")
    op.drop_index("uq_outbox_event_position", table_name="outbox_event")
    op.drop_index(
        "ix_outbox_event_unpublished", table_name="outbox_event", postgresql_where=sa.text("position IS NULL")
    )
    op.drop_table("outbox_event")
    op.drop_index("ix_maker_quote_open", table_name="maker_quote", postgresql_where=sa.text("status = 'open'"))
    op.drop_index(op.f("ix_maker_quote_maker_id"), table_name="maker_quote")
    op.drop_table("maker_quote")
    op.drop_table("lane")
    op.drop_index(op.f("ix_keys_wallet_kek_id"), table_name="keys_wallet")
    op.drop_table("keys_wallet")
    op.drop_table("journal_entry")
    op.drop_index(op.f("ix_idempotency_key_created_at"), table_name="idempotency_key")
    op.drop_table("idempotency_key")
    op.drop_index("ix_deposit_pending", table_name="deposit", postgresql_where=sa.text("status = 'pending'"))
    op.drop_index(op.f("ix_deposit_group_id"), table_name="deposit")
    op.drop_index(op.f("ix_deposit_customer_id"), table_name="deposit")
    op.drop_table("deposit")
    op.drop_index(op.f("ix_customer_bank_id"), table_name="customer")
    op.drop_table("customer")
    op.drop_index("uq_chain_tx_live_nonce", table_name="chain_tx", postgresql_where=sa.text("status <> 'replaced'"))
    op.drop_index(op.f("ix_chain_tx_reference"), table_name="chain_tx")
    op.drop_index("ix_chain_tx_open", table_name="chain_tx", postgresql_where=sa.text("status IN ('signed', 'sent')"))
    op.drop_table("chain_tx")
    op.drop_table("chain_identity")
    op.drop_index(
        "ix_chain_event_unmatched", table_name="chain_event", postgresql_where=sa.text("NOT matched AND NOT orphaned")
    )
    op.drop_index("ix_chain_event_tx", table_name="chain_event")
    op.drop_index("ix_chain_event_number", table_name="chain_event")
    op.drop_index("ix_chain_event_key", table_name="chain_event")
    op.drop_table("chain_event")
    op.drop_index("ix_chain_block_canonical", table_name="chain_block", postgresql_where=sa.text("NOT orphaned"))
    op.drop_table("chain_block")
    op.drop_table("batch_fill")
    op.drop_index("ix_batch_open", table_name="batch", postgresql_where=sa.text("status = 'submitted'"))
    op.drop_table("batch")
    op.drop_index(op.f("ix_audit_entry_subject"), table_name="audit_entry")
    op.drop_index(op.f("ix_audit_entry_action"), table_name="audit_entry")
    op.drop_table("audit_entry")
    op.drop_table("account")
