"""The ledger's tables, as SQLAlchemy sees them; the migrations make them, and a test holds the two equal."""

from datetime import UTC, datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator


class Utc(TypeDecorator[datetime]):
    """A time with its zone: ``timestamptz`` on PostgreSQL, UTC as text (which sorts) on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To UTC, without a zone where the database knows none."""
        if value is None:
            return None
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Back to UTC with its zone."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()
_json = JSON().with_variant(JSONB(), "postgresql")

# `_key` columns stand for long texts in indexes (addons.ledger.clean.key): an actor or URL of 4,096 characters is
# more than PostgreSQL's index takes, and one such row would be refused for ever.
decisions = Table(
    "decisions",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", Utc(), nullable=False),
    Column("door", String(16), nullable=False),
    Column("action", String(16), nullable=False),
    Column("mode", String(128), nullable=False),
    Column("rule", String(128)),
    Column("cause", String(32)),
    Column("hits", _json, nullable=False),
    Column("host", String(255)),
    Column("actor", Text()),
    Column("actor_key", String(32)),
    Column("activity_id", Text()),
    Column("activity_key", String(32)),
    Column("object_id", Text()),
    Column("types", _json, nullable=False),
    Column("software", String(128), nullable=False),
    Column("peer", String(128)),
    Column("session", String(64)),
    Column("overflow", String(16)),
    Column("took_ms", Float(), nullable=False),
    Column("policy_version", Text(), nullable=False),
    Column("engine_version", Text(), nullable=False),
    Column("media_count", Integer(), nullable=False),
    Column("media_kept", Integer(), nullable=False),
    Index("decisions_at", "at"),
    Index("decisions_action", "action", "at"),
    Index("decisions_host", "host", "at"),
    Index("decisions_rule", "rule", "at"),
    Index("decisions_cause", "cause", "at"),
    Index("decisions_actor", "actor_key"),
    Index("decisions_activity", "activity_key"),
)

media = Table(
    "media",
    metadata,
    Column("decision_id", String(32), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
    Column("index", Integer(), primary_key=True),
    Column("url", Text(), nullable=False),
    Column("url_key", String(32), nullable=False),
    Column("kind", String(16), nullable=False),
    Column("path", Text(), nullable=False),
    Column("sensitive", Boolean(), nullable=False),
    Column("final_url", Text()),
    Column("address", String(128)),
    Column("sha256", String(64)),
    Column("media_type", String(128)),
    Column("width", Integer()),
    Column("height", Integer()),
    Column("version", Text()),
    Column("frames", _json, nullable=False),
    Column("matches", _json, nullable=False),
    Column("cause", String(32)),
    Column("message", Text(), nullable=False),
    Column("cached", Boolean(), nullable=False),
    Column("took_ms", Float()),
    Index("media_sha256", "sha256"),
    Index("media_url", "url_key"),
)

dropped = Table(
    "dropped",
    metadata,
    Column("decision_id", String(32), ForeignKey("decisions.id", ondelete="CASCADE"), primary_key=True),
    Column("at", Utc(), nullable=False),
    Column("size", Integer(), nullable=False),
    Column("body", LargeBinary(), nullable=False),
    Index("dropped_at", "at", "size"),
)

counters = Table(
    "counters",
    metadata,
    Column("day", Date(), primary_key=True),
    Column("door", String(16), primary_key=True),
    Column("action", String(16), primary_key=True),
    Column("count", BigInteger(), nullable=False),
)

policies = Table(
    "policies",
    metadata,
    Column("version", String(1000), primary_key=True),
    Column("at", Utc(), nullable=False),
    Column("rules", _json, nullable=False),
)

standings = Table(
    "standings",
    metadata,
    Column("kind", String(8), primary_key=True),  # "url" or "sha256"
    Column("key", String(64), primary_key=True),
    Column("allowed", Boolean(), nullable=False),
    Column("action", String(16), nullable=False),
    Column("by", String(128), nullable=False),
    Column("at", Utc(), nullable=False),
    Column("value", Text(), nullable=False),
    Column("note", Text(), nullable=False),
    Index("standings_by", "by"),
    Index("standings_at", "at"),
)

secrets = Table(
    "secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", LargeBinary(), nullable=False),
    Column("at", Utc(), nullable=False),
)
