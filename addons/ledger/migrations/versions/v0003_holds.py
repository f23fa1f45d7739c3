"""Held deliveries, denials for a while, and which hold a decision was on."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("decisions", sa.Column("hold", sa.String(32)))
    op.create_index("decisions_hold", "decisions", ["hold"])
    _holds()
    _denials()


def _holds() -> None:
    seq = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    time = sa.DateTime(timezone=True)
    op.create_table(
        "holds",
        sa.Column("seq", seq, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.Column("due", time, nullable=False),
        sa.Column("worker", sa.String(64)),
        sa.Column("lease", time),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("unjudged", sa.Boolean(), nullable=False),
        sa.Column("arrived", time, nullable=False),
        sa.Column("closes", time, nullable=False),
        sa.Column("then", sa.String(8), nullable=False),
        sa.Column("cause", sa.String(32)),
        sa.Column("rule", sa.String(128)),
        sa.Column("peer", sa.String(128), nullable=False),
        sa.Column("share", sa.String(300), nullable=False),
        sa.Column("signer_state", sa.String(16), nullable=False),
        sa.Column("signer_host", sa.String(255)),
        sa.Column("key_id", sa.Text()),
        sa.Column("signed_at", time),
        sa.Column("signer_reason", sa.Text(), nullable=False),
        sa.Column("activity_id", sa.Text()),
        sa.Column("host", sa.String(255)),
        sa.Column("same", sa.String(64), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.String(16)),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("ended", time),
    )
    op.create_index("holds_id", "holds", ["id"], unique=True)
    op.create_index("holds_turn", "holds", ["state", "turn", "seq", "due", "lease", "closes"])
    op.create_index("holds_share", "holds", ["state", "share", "turn", "size"])
    op.create_index("holds_signer", "holds", ["state", "signer_state", "size", "share"])
    op.create_index("holds_same", "holds", ["same", "state"])
    op.create_index("holds_ended", "holds", ["ended"])
    op.create_table(
        "hold_bytes",
        sa.Column("hold", seq, sa.ForeignKey("holds.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("head", sa.LargeBinary(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "hold_ids",
        sa.Column("hold", seq, sa.ForeignKey("holds.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
    )
    op.create_index("hold_ids_key", "hold_ids", ["key", "kind", "hold"])
    op.create_table(
        "hold_turn",
        sa.Column("one", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("turn", sa.BigInteger(), nullable=False),
    )


def _denials() -> None:
    op.create_table(
        "denials",
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(128), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
    )
    op.create_index("denials_until", "denials", ["until"])
    op.create_table(
        "denial_hits",
        sa.Column("rule", sa.String(128), primary_key=True),
        sa.Column("kind", sa.String(8), primary_key=True),
        sa.Column("key", sa.String(32), primary_key=True),
        sa.Column("times", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("denial_hits_until", "denial_hits", ["until"])
