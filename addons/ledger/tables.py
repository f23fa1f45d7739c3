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
    Column("hold", String(32)),  # the hold that this decision is on, where it is not the one that held it
    Index("decisions_at", "at"),
    Index("decisions_hold", "hold"),
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

_seq = BigInteger().with_variant(Integer(), "sqlite")  # SQLite counts up by itself only what it calls INTEGER

holds = Table(
    "holds",
    metadata,
    Column("seq", _seq, primary_key=True, autoincrement=True),
    Column("id", String(32), nullable=False),
    Column("state", String(16), nullable=False),
    Column("turn", BigInteger(), nullable=False),  # when its turn comes, in the fair order (addons.ledger.holds)
    Column("due", Utc(), nullable=False),
    Column("worker", String(64)),
    Column("lease", Utc()),
    Column("attempts", Integer(), nullable=False),
    Column("unjudged", Boolean(), nullable=False),
    Column("arrived", Utc(), nullable=False),
    Column("closes", Utc(), nullable=False),
    Column("then", String(8), nullable=False),
    Column("cause", String(32)),
    Column("rule", String(128)),
    Column("peer", String(128), nullable=False),
    Column("share", String(300), nullable=False),
    Column("signer_state", String(16), nullable=False),
    Column("signer_host", String(255)),
    Column("key_id", Text()),
    Column("signed_at", Utc()),
    Column("signer_reason", Text(), nullable=False),
    Column("activity_id", Text()),
    Column("host", String(255)),
    Column("same", String(64), nullable=False),  # SHA-256 of what makes two deliveries the same
    Column("size", Integer(), nullable=False),
    Column("outcome", String(16)),
    Column("detail", Text(), nullable=False),
    Column("ended", Utc()),
    Index("holds_id", "id", unique=True),
    # Each begins with the state, so that the many that are over are passed by; each covers what its question needs.
    Index("holds_turn", "state", "turn", "seq", "due", "lease", "closes"),
    Index("holds_share", "state", "share", "turn", "size"),
    Index("holds_signer", "state", "signer_state", "size", "share"),
    Index("holds_same", "same", "state"),
    Index("holds_ended", "ended"),
)

hold_bytes = Table(  # beside the rest, which is read much more often; gone at the hold's end
    "hold_bytes",
    metadata,
    Column("hold", _seq, ForeignKey("holds.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("head", LargeBinary(), nullable=False),
    Column("body", LargeBinary(), nullable=False),
)

hold_ids = Table(  # of pending holds only
    "hold_ids",
    metadata,
    Column("hold", _seq, ForeignKey("holds.seq", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("kind", String(8), primary_key=True),  # "gives", "needs" or "url"
    Column("key", String(32), primary_key=True),
    Column("value", Text(), nullable=False),
    # With the hold: who looks for an earlier one must not be made to pass by all the later ones that name the same id.
    Index("hold_ids_key", "key", "kind", "hold"),
)

hold_turn = Table(  # one row: the turn that was claimed last
    "hold_turn",
    metadata,
    Column("one", Integer(), primary_key=True, autoincrement=False),
    Column("turn", BigInteger(), nullable=False),
)

denials = Table(
    "denials",
    metadata,
    Column("kind", String(8), primary_key=True),  # "host" or "actor"
    Column("key", String(32), primary_key=True),
    Column("value", Text(), nullable=False),
    Column("until", Utc(), nullable=False),
    Column("by", String(128), nullable=False),
    Column("reason", Text(), nullable=False),
    Index("denials_until", "until"),
)

denial_hits = Table(
    "denial_hits",
    metadata,
    Column("rule", String(128), primary_key=True),
    Column("kind", String(8), primary_key=True),
    Column("key", String(32), primary_key=True),
    Column("times", _json, nullable=False),  # seconds since 1970, the newest, oldest first
    Column("until", Utc(), nullable=False),
    Index("denial_hits_until", "until"),
)
