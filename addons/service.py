"""Puts the parts together: from a configuration to a running service with its doors, and down again in order."""

import logging
from dataclasses import dataclass
from datetime import timedelta

from addons.delivering import Delivering, Known
from addons.doors.answers import inbox_answer
from addons.doors.destinations import Destinations
from addons.doors.documents import Documents
from addons.doors.fetch import Fetch
from addons.doors.fetch_settings import FetchDoorSettings
from addons.doors.http1 import Bounds
from addons.doors.inbox import Inbox, InboxSettings
from addons.doors.layers import Rules
from addons.doors.look_back import LookBack
from addons.doors.media import Media
from addons.doors.pictrs import Pictrs
from addons.doors.upload import PER_PEER, Upload, UploadRules
from addons.doors.upload_paths import Paths
from addons.doors.uploads import Uploads, UploadSettings
from addons.fetching.addresses import AddressPolicy
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher
from addons.fetching.resolving import Resolver, SystemResolver
from addons.fetching.settings import FetchSettings
from addons.fetching.user_agents import manner, page_headers, user_agent
from addons.health import Health
from addons.judging.brake import Brake
from addons.judging.exchanges import child
from addons.judging.exchanges.schedule import Exchanges
from addons.judging.gate import Gate
from addons.judging.judge import Judge, Judges
from addons.judging.lookahead import LookAhead
from addons.judging.looking import Scope
from addons.judging.stable import StableUrls, origin_urls
from addons.ledger.asked import asked
from addons.ledger.ledger import Ledger
from addons.policy.config import Config
from addons.policy.decide import Policy
from addons.policy.hosts import HostSet
from addons.policy.listeners import listeners
from addons.policy.settled import settler
from addons.policy.words import Action, Cause
from addons.senders.keys import key_settings
from addons.senders.shares import Shares
from classifier.engine import Engine

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """All that the doors of one process share."""

    config: Config
    policy: Policy
    budget: MemoryBudget
    ledger: Ledger
    engine: Engine
    judge: Judge
    gate: Gate
    look_ahead: LookAhead
    exchanges: Exchanges
    rules: Rules
    delivering: Delivering
    urls: StableUrls | None = None
    """Of remote images, as pict-rs is told them; None without its door."""
    health: Health | None = None
    """Metrics, readiness and alarms; None in tests of single doors."""

    @classmethod
    def start(cls, config: Config, *, new_origin_url: bool = False) -> "Service":
        """Load models and lists, open the ledger. Blocks for seconds; needs a running event loop.

        ``new_origin_url``: take doors.pictrs.origin_url as it is, though it is not what it was.
        Raises CannotStartError, LedgerError: each says what to do.
        """
        ledger = Ledger.open(
            config.ledger.url,
            keep=timedelta(seconds=config.ledger.keep),
            keep_dropped=timedelta(seconds=config.ledger.keep_dropped),
        )
        try:
            door = config.doors.pictrs
            urls = origin_urls(ledger, str(door.origin_url), force=new_origin_url) if door else None
            known = Known.load(config, ledger)
            for exchange in config.exchanges:
                child.prepare(exchange)
            engine = Engine.start(config.classifier, config.concepts)
        except BaseException:
            ledger.close()
            raise
        # Who observes wants to see everything, and nobody waits for it.
        early = config.classifier.stop_early and not config.observe
        service = cls.of(config, ledger, engine, known, early=early, urls=urls, watched=True)
        service.exchanges.start()
        if service.health is not None:
            service.health.start()
        return service

    @classmethod
    def of(
        cls,
        config: Config,
        ledger: Ledger,
        engine: Engine,
        known: Known,
        *,
        early: bool = False,
        urls: StableUrls | None = None,
        watched: bool = False,
        names: Resolver | None = None,
        judges: Judges | None = None,
    ) -> "Service":
        """A service of parts that are there. ``early``: what a list knows is judged no further; ``watched``: with its
        :attr:`health`; ``names``: in place of the system's resolver; ``judges``: in place of ``engine``, where a slow
        or a broken one is shown."""
        policy, budget = config.policy(), MemoryBudget(config.limits.memory)
        ledger.note_policy(policy.version, asked(policy.rules))
        settings = fetch_settings(config)
        fetcher = Fetcher(settings, budget, resolver=names)
        judge = Judge(fetcher, judges or engine, stop=settler(config.rules) if early else None)
        look_ahead = LookAhead(fetcher, judge, scope_of(config))
        brake = Brake(policy.rules, config.brake) if config.brake is not None else None
        gate = Gate(policy, judge, ledger, software=config.server.software, brake=brake)
        health = Health(config, engine, ledger, budget) if watched else None
        if health is not None:
            health.fetches(fetcher)
            if brake is not None:
                health.brakes(brake)
        rules = rules_of(config, policy, budget)
        delivering = Delivering(
            config,
            policy,
            scope_of(config),
            rules,
            look_ahead,
            ledger,
            known,
            Fetcher(key_settings(settings), budget, resolver=names),
            brake=brake,
            health=health,
        )
        gate.seen = delivering.seen
        exchanges = Exchanges(config.exchanges)
        return cls(
            config, policy, budget, ledger, engine, judge, gate, look_ahead, exchanges, rules, delivering, urls, health
        )

    def inbox(self) -> Inbox:
        """The inbox door's addon."""
        config, limits, server = self.config, self.config.limits, self.config.server
        settings = InboxSettings(
            trusted_proxies=server.trusted_proxies,
            budget=config.budget,
            deliveries=limits.deliveries,
            connections_per_peer=limits.connections_per_peer,
        )
        shared = self.delivering
        return Inbox(settings, shared.deciding, shared.signers, shared.holding, self.upload(server.software))

    def upload(self, software: str, *, per_peer: int = PER_PEER) -> Upload | None:
        """The upload door as part of another: what that one stands in front of, and the requests of one peer at a time
        (0: any number). None where nothing would be looked at: in ``scan: federation`` without rules on context."""
        config, limits, door = self.config, self.config.limits, self.config.doors.upload
        everything = config.scan == "everything"
        if not (everything or any(rule.context_only for rule in self.policy.rules)):
            return None
        settings = UploadSettings(
            software=config.server.software,
            contact=door.contact,
            deadline=door.deadline,
            max_bytes=door.max_bytes,
            media=limits.media,
            text=limits.body,
            depth=limits.depth,
            nodes=limits.nodes,
        )
        rules = UploadRules(
            everything=everything,
            observe=self.policy.observe,
            trusted_proxies=config.server.trusted_proxies,
            body_time=limits.body_time,
            per_peer=per_peer,
        )
        uploads = Uploads(settings, self.gate, self.budget, self.ledger.secrets.get("session"))
        return Upload(uploads, Paths(software), rules, self.budget)

    def pictrs(self) -> Pictrs:
        """The pict-rs door's addon; only where the configuration names that door."""
        door = self.config.doors.pictrs
        assert door is not None
        assert self.urls is not None
        look_back = LookBack(str(door.upstream)) if door.look_back else None
        # Its one client is the server, which brings everybody's uploads.
        upload = self.upload("pict-rs", per_peer=0)
        return Pictrs(self.rules, self.urls, look_back, upload, observe=self.policy.observe)

    def fetch(self) -> Fetch:
        """The fetch door's addon; only where the configuration names that door."""
        config, door = self.config, self.config.doors.fetch
        assert door is not None
        scope = scope_of(config)
        settings = FetchDoorSettings(
            clients=door.clients,
            deadline=door.deadline,
            domains=scope.domains,
            judge_local=scope.judge_local,
            max_bytes=config.fetch.max_bytes,
            tunnel_hosts=HostSet(door.tunnels.hosts),
            tunnel_clients=door.tunnels.clients,
        )
        destinations = Destinations(
            AddressPolicy(config.fetch.allow),
            SystemResolver(),
            ports=frozenset({80, *config.fetch.ports}),
            tunnel_ports=frozenset(door.ports),
            own=frozenset(one.address.port for one in listeners(config)),
        )
        return Fetch(settings, self.rules, destinations, Media(self.gate, Documents(scope, self.gate)))

    async def close(self) -> None:
        """Write down what is left, and end the classifier's processes and what is being fetched."""
        await self.delivering.close()
        if self.health is not None:
            await self.health.close()
        await self.exchanges.close()
        await self.engine.close()
        if not self.ledger.close():
            logger.error("some decisions could not be written to the ledger: %s", self.ledger.trouble)


def rules_of(config: Config, policy: Policy, budget: MemoryBudget) -> Rules:
    """The bounds of requests, and what is answered where there is no memory to gather a delivery."""
    limits, observe = config.limits, policy.observe
    bounds = Bounds(
        head=limits.headers,
        body=limits.body,
        head_time=limits.header_time,
        body_time=limits.body_time,
        idle_time=limits.idle_time,
    )
    busy = Action.PASS if observe else policy.on[Cause.BUSY]
    if busy is Action.HOLD:
        busy = policy.on[Cause.HOLD_FULL]  # what was not even gathered cannot be held
    busy = Action.DROP if busy is Action.STRIP else busy  # nothing was read that could be stripped
    return Rules(bounds, budget, lambda flow: inbox_answer(busy), refuse_large=not observe)


def scope_of(config: Config) -> Scope:
    """What of a delivery is looked at, and what it is looked ahead at."""
    server, limits = config.server, config.limits
    return Scope(
        links=config.look_ahead_links,
        objects=config.look_ahead_objects,
        software=server.software,
        page_headers=page_headers(server.software, fetch_settings(config).user_agent),
        domains=frozenset(server.domains),
        judge_local=config.scan == "everything",
        body=limits.body,
        depth=limits.depth,
        nodes=limits.nodes,
        media=limits.media,
    )


def fetch_settings(config: Config) -> FetchSettings:
    """How media are fetched for this server, in the manner of its own software."""
    server, fetch = config.server, config.fetch
    own = manner(server.software)
    # Our own domains, where they are judged at all, are fetched from the server itself, not by way of its public name.
    routes = {domain: str(server.upstream) for domain in server.domains} if config.scan == "everything" else {}
    return FetchSettings(
        user_agent=user_agent(server.software, server.domains[0] if server.domains else None, fetch.user_agent),
        accept=own.accept,
        accept_encoding=own.accept_encoding,
        allow=fetch.allow,
        ports=frozenset(fetch.ports),
        max_bytes=fetch.max_bytes,
        per_host=fetch.per_host,
        total=fetch.total,
        redirects=fetch.redirects,
        routes=routes,
        shares=shares_of(config),
    )


def shares_of(config: Config) -> Shares:
    """How large the share of each sender is."""
    return Shares(config.senders.weights, config.limits.unverified)
