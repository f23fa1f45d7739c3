"""What the inbox door and the keeper of holds have in common: made from a configuration, begun and ended in order."""

import logging
from dataclasses import dataclass

from sqlalchemy.exc import SQLAlchemyError

from addons.doors.deciding import Deciding
from addons.doors.holding import COMMIT, Holding
from addons.doors.layers import Rules
from addons.doors.reassessing import Reassess
from addons.doors.signers import Signers
from addons.fetching.client import Fetcher
from addons.health import Health
from addons.holding.holder import Holder
from addons.holding.keeper import Keeper
from addons.holding.pending import Index, Order
from addons.holding.replay import Replayer
from addons.holding.settings import KeeperSettings
from addons.holding.upstream import Upstream
from addons.holding.windows import window
from addons.judging.brake import Brake
from addons.judging.lookahead import LookAhead
from addons.judging.looking import Scope
from addons.ledger.database import parsed
from addons.ledger.errors import explained
from addons.ledger.held import Bounds, Held, NewHold, Outcome
from addons.ledger.ledger import Ledger
from addons.policy.config import Config
from addons.policy.decide import Policy
from addons.senders.denying import Denials
from addons.senders.fairness import Fair
from addons.senders.keys import Keys
from addons.senders.lists import Lists
from addons.senders.shares import Shares
from addons.senders.verifying import Verifier
from addons.senders.vouching import Vouched
from addons.timing import TimedHolder, TimedReplayer, TimedVerifier

STOPPING = 10.0
"""Seconds that what is being replayed may take to end, when we are stopped."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of senders and of what is pending before anything begins."""

    lists: Lists
    denials: Denials
    order: Order

    @classmethod
    def load(cls, config: Config, ledger: Ledger) -> "Known":
        """Blocks. Raises CannotStartError, LedgerError."""
        address = parsed(config.ledger.url)
        lists = Lists(config.senders.deny, config.senders.allow)
        try:
            denials = Denials(ledger.denials)
            denials.load()
            # PostgreSQL is there for many processes, each of which holds deliveries that the others know nothing of.
            order = Order(ledger.holds, Index() if address.get_backend_name() == "sqlite" else None)
            order.fill()
        except SQLAlchemyError as error:
            lists.close()
            raise explained(address, error) from error
        return cls(lists, denials, order)


class Delivering:
    """Belongs to one event loop. The keeper works from :meth:`start` to :meth:`stop`; what the doors hold before and
    after is in the database."""

    def __init__(
        self,
        config: Config,
        policy: Policy,
        scope: Scope,
        rules: Rules,
        look_ahead: LookAhead,
        ledger: Ledger,
        known: Known,
        keys: Fetcher,
        *,
        brake: Brake | None = None,
        health: Health | None = None,
    ) -> None:
        """``keys`` fetches keys: slots of its own, so that they never wait for images."""
        upstream, holds = str(config.server.upstream), config.holds
        self._known = known
        self._health = health
        self._keys = Keys(keys, plain=config.fetch.allow)
        fair = Fair(config.limits.deliveries, Shares(config.senders.weights, config.limits.unverified))
        self.deciding = Deciding(scope, rules, policy, look_ahead, ledger, fair, brake=brake, denials=known.denials)
        verifier, replayer = Verifier(self._keys), Replayer(upstream)
        self.signers = Signers(
            TimedVerifier(health.metrics, verifier) if health else verifier,
            known.lists,
            known.denials,
            Vouched(config.server.software),
        )
        self.upstream = Upstream(upstream, replayer.reachable)
        self.keeper = Keeper(
            ledger.holds,
            Reassess(self.deciding, self.signers),
            TimedReplayer(health.metrics, replayer) if health else replayer,
            self.upstream,
            KeeperSettings(judging=holds.judging, replays=holds.replays),
            on_outcome=self._ended,
            alarms=health.alarms if health else None,
        )
        bounds = Bounds(holds.count, holds.bytes, holds.host_count, holds.host_bytes, config.limits.unverified)
        self._holder = Holder(ledger.holds, bounds, stored=self._stored, seconds=COMMIT)
        stores = TimedHolder(health.metrics, self._holder) if health else self._holder
        self.holding = Holding(policy, stores, known.order, self.upstream, window(config.server.software, holds.window))
        self._started = False
        if health is not None:
            health.keeps(self.keeper, self.upstream)
            health.decides(self.deciding)
            self.signers.skew = health.watching.skew

    def start(self) -> None:
        """Begin to work on what is held, also from before."""
        if not self._started:
            self._started = True
            self.keeper.start()

    async def stop(self, timeout: float = STOPPING) -> None:
        """Work on it no more; it stays in the database for whoever runs next. ``timeout``: seconds that what is being
        sent or written down may take to end."""
        if self._started:
            self._started = False
            await self.keeper.stop(timeout)

    def seen(self, url: str) -> None:
        """A media door saw this URL. Never waits; asks nobody where nothing is held."""
        if self._started and self._known.order.any:
            self.keeper.seen(url)

    async def close(self) -> None:
        """End all of it."""
        await self.stop()
        self._holder.close()
        self._known.lists.close()
        await self._known.order.close()
        await self._keys.close()
        await self._known.denials.settled()

    def _stored(self, new: NewHold) -> None:
        self._known.order.held(new.id, new.gives)
        self.keeper.wake()
        if self._health is not None:
            self._health.metrics.held(new.cause)

    def _ended(self, held: Held, outcome: Outcome, detail: str) -> None:
        self._known.order.over(held.id)
        logger.info("the hold %s is over (%s): %s", held.id, outcome, detail)
        if self._health is not None:
            self._health.metrics.outcome(str(outcome))
