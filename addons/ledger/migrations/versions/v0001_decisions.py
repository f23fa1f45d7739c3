"""Decisions, their media, dropped activities, counters, policies."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    json = sa.JSON().with_variant(JSONB(), "postgresql")
    op.create_table(
        "decisions",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("door", sa.String(16), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("mode", sa.String(128), nullable=False),
        sa.Column("rule", sa.String(128)),
        sa.Column("cause", sa.String(32)),
        sa.Column("hits", json, nullable=False),
        sa.Column("host", sa.String(255)),
        sa.Column("actor", sa.Text()),
        sa.Column("actor_key", sa.String(32)),
        sa.Column("activity_id", sa.Text()),
        sa.Column("activity_key", sa.String(32)),
        sa.Column("object_id", sa.Text()),
        sa.Column("types", json, nullable=False),
        sa.Column("software", sa.String(128), nullable=False),
        sa.Column("peer", sa.String(128)),
        sa.Column("overflow", sa.String(16)),
        sa.Column("took_ms", sa.Float(), nullable=False),
        sa.Column("policy_version", sa.Text(), nullable=False),
        sa.Column("engine_version", sa.Text(), nullable=False),
        sa.Column("media_count", sa.Integer(), nullable=False),
        sa.Column("media_kept", sa.Integer(), nullable=False),
    )
    op.create_index("decisions_at", "decisions", ["at"])
    for column in ("action", "host", "rule", "cause"):
        op.create_index(f"decisions_{column}", "decisions", [column, "at"])
    op.create_index("decisions_actor", "decisions", ["actor_key"])
    op.create_index("decisions_activity", "decisions", ["activity_key"])

    decision = sa.ForeignKey("decisions.id", ondelete="CASCADE")
    op.create_table(
        "media",
        sa.Column("decision_id", sa.String(32), decision, primary_key=True),
        sa.Column("index", sa.Integer(), primary_key=True),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("url_key", sa.String(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sensitive", sa.Boolean(), nullable=False),
        sa.Column("final_url", sa.Text()),
        sa.Column("address", sa.String(128)),
        sa.Column("sha256", sa.String(64)),
        sa.Column("media_type", sa.String(128)),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("version", sa.Text()),
        sa.Column("frames", json, nullable=False),
        sa.Column("matches", json, nullable=False),
        sa.Column("cause", sa.String(32)),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("cached", sa.Boolean(), nullable=False),
        sa.Column("took_ms", sa.Float()),
    )
    op.create_index("media_sha256", "media", ["sha256"])
    op.create_index("media_url", "media", ["url_key"])

    op.create_table(
        "dropped",
        sa.Column("decision_id", sa.String(32), sa.ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
    )
    op.create_index("dropped_at", "dropped", ["at", "size"])

    op.create_table(
        "counters",
        sa.Column("day", sa.Date(), primary_key=True),
        sa.Column("door", sa.String(16), primary_key=True),
        sa.Column("action", sa.String(16), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "policies",
        sa.Column("version", sa.String(1000), primary_key=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("rules", json, nullable=False),
    )
