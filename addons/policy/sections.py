"""The sections of the configuration file as pydantic models: every key, its type, its bounds and its default."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from addons.policy import values
from addons.policy.conditions import Software
from addons.policy.door_sections import Doors, LookAhead
from addons.policy.exchanges import Exchange
from addons.policy.fields import Cidrs, Host, ListenAddress, Port, UpstreamUrl, default_if_empty, listed
from addons.policy.hold_sections import Brake, Holds, Senders
from addons.policy.rules import ACTIONS
from addons.policy.status_sections import Alarms, Status
from addons.policy.values import refusal
from addons.policy.words import Action, Cause, Then
from classifier.settings import ClassifierSettings, DecodeSettings, Settings, TlsSettings, WorkersSettings


class Server(Settings):
    """``server:``: the ActivityPub server behind, and where its deliveries come in."""

    software: Software = "generic"
    upstream: UpstreamUrl = Field(description="the server's own address, such as http://127.0.0.1:8536")
    listen: ListenAddress = Field(description="where deliveries come in, such as 127.0.0.1:8540")
    domains: Annotated[tuple[Host, ...], BeforeValidator(listed), Field(max_length=1000)] = ()
    trusted_proxies: Cidrs = (values.network("127.0.0.1/32"), values.network("::1/128"))
    image_mode: Literal["store", "proxy", "none"] = "store"


class Fetch(Settings):
    """``fetch:``: how media are fetched to be judged. Bytes, and counts of requests at a time."""

    allow: Cidrs = ()
    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=100)] = (80, 443)
    max_bytes: Annotated[int, BeforeValidator(values.size("64KiB", "4GiB"))] = 40 << 20
    user_agent: Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[\x20-\x7e]+$")] | None = None
    per_host: Annotated[int, BeforeValidator(values.whole(1, 1000))] = 6
    total: Annotated[int, BeforeValidator(values.whole(1, 10_000))] = 64
    redirects: Annotated[int, BeforeValidator(values.whole(0, 20))] = 5


class Decode(DecodeSettings):
    """``classifier.decode``, its memory written as a size."""

    memory: Annotated[int, BeforeValidator(values.size("64MiB", "64GiB"))] = 1 << 30


class Workers(WorkersSettings):
    """``classifier.workers``: where workers on other machines are met."""

    nats: Annotated[
        tuple[Annotated[str, BeforeValidator(values.broker)], ...],
        BeforeValidator(listed),
        Field(min_length=1, max_length=16, repr=False, description="the NATS server's URL, nats://host:4222"),
    ]
    tls: Annotated[TlsSettings | None, BeforeValidator(default_if_empty)] = None

    @field_validator("creds")
    @classmethod
    def _one_proof(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and info.data.get("nkey") is not None:
            raise refusal("creds and nkey are two ways to say who we are", "one of them")
        return value


def _workers(value: object) -> object:
    """None for ``local``, and a section of its own for a URL alone."""
    if value == "local":
        return None
    if isinstance(value, Mapping | Workers):
        return value
    if isinstance(value, str | list) and value:
        return {"nats": value}
    raise refusal("{text} is no place for workers", "local, or the URL of a NATS server, such as nats://host:4222")


class Classifier(ClassifierSettings):
    """``classifier:``: the detectors, and where they run."""

    decode: Annotated[Decode, BeforeValidator(default_if_empty)] = Decode()
    workers: Annotated[Workers | None, BeforeValidator(_workers)] = None
    stop_early: bool = True


def _action(value: object) -> object:
    """The action's name, or a refusal that says more than pydantic's own."""
    if not isinstance(value, str) or value not in ACTIONS:
        raise refusal("{text} is not an action", "one of " + ", ".join(ACTIONS), candidates=ACTIONS)
    return value


def _reaction(value: object) -> object:
    """``drop`` for ``{do: drop}``."""
    return value if isinstance(value, Mapping | Reaction) else {"do": value}


class Reaction(Settings):
    """What is done with a cause. ``then``, for a hold whose window closes, goes only with ``hold``; None: drop."""

    do: Annotated[Action, BeforeValidator(_action)]
    then: Then | None = None

    @field_validator("then", mode="before")
    @classmethod
    def _only_with_hold(cls, value: object, info: ValidationInfo) -> object:
        if value is not None and "do" in info.data and info.data["do"] is not Action.HOLD:
            raise refusal('"then" goes only with hold', "no then")
        return value


def _held_nowhere(reaction: Reaction) -> Reaction:
    if reaction.do is Action.HOLD:
        others = ", ".join(action for action in ACTIONS if action is not Action.HOLD)
        raise refusal("there is nowhere to hold it: this cause is that nothing could be stored", f"one of {others}")
    return reaction


type To = Annotated[Reaction, BeforeValidator(_reaction)]
type _Unheld = Annotated[To, AfterValidator(_held_nowhere)]

_HOLD = Reaction(do=Action.HOLD, then="drop")
_DEFER, _DROP, _PASS = Reaction(do=Action.DEFER), Reaction(do=Action.DROP), Reaction(do=Action.PASS)


class On(Settings):
    """``on:``: the action for each cause."""

    timeout: To = _HOLD
    no_worker: To = _HOLD
    busy: To = _HOLD
    fetch_failed: To = Reaction(do=Action.HOLD, then="record")
    fetch_refused: To = _DROP
    fetch_unauthorized: To = _DROP
    undecodable: To = _DROP
    unsupported: To = _DROP
    too_large: To = _DROP
    too_many: To = _DROP
    detector_error: To = _HOLD
    ledger_error: _Unheld = _PASS
    hold_full: _Unheld = _DEFER

    def action(self, cause: Cause) -> Action:
        """What is done with ``cause``."""
        return self._reaction(cause).do

    def actions(self) -> dict[Cause, Action]:
        """What is done with each cause."""
        return {cause: self.action(cause) for cause in Cause}

    def thens(self) -> dict[Cause, Then]:
        """What happens when the window of what is held for a cause closes."""
        return {cause: self._reaction(cause).then or "drop" for cause in Cause}

    def _reaction(self, cause: Cause) -> Reaction:
        reaction = getattr(self, cause.value)
        assert isinstance(reaction, Reaction)
        return reaction


class Limits(Settings):
    """``limits:``: bounds on what comes from outside. Bytes, seconds, counts; ``unverified``: a share of 1."""

    memory: Annotated[int, BeforeValidator(values.size("16MiB", "1024GiB"))] = 512 << 20
    body: Annotated[int, BeforeValidator(values.size("16KiB", "64MiB"))] = 1 << 20
    media: Annotated[int, BeforeValidator(values.whole(1, 1000))] = 32
    depth: Annotated[int, BeforeValidator(values.whole(8, 200))] = 64
    nodes: Annotated[int, BeforeValidator(values.whole(100, 1_000_000))] = 20_000
    headers: Annotated[int, BeforeValidator(values.size("4KiB", "1MiB"))] = 64 << 10
    header_time: Annotated[float, BeforeValidator(values.duration("100ms", "10m"))] = 10.0
    body_time: Annotated[float, BeforeValidator(values.duration("100ms", "1h"))] = 60.0
    idle_time: Annotated[float, BeforeValidator(values.duration("100ms", "1d"))] = 120.0
    connections_per_peer: Annotated[int, BeforeValidator(values.whole(1, 100_000))] = 100
    deliveries: Annotated[int, BeforeValidator(values.whole(1, 100_000))] = 256
    unverified: Annotated[float, BeforeValidator(values.number(0.01, 0.5))] = 0.1


_SCHEMES = ("sqlite", "postgresql", "postgresql+psycopg")


def _ledger_url(value: object) -> str:
    expected = "sqlite:///file.db or postgresql://user:${PASSWORD}@host/name"
    if not isinstance(value, str) or "://" not in value:
        raise refusal("{text} is not a database URL", expected)
    scheme = value.partition("://")[0]
    if scheme not in _SCHEMES:
        near = ("postgresql",) if scheme == "postgres" else ()
        hint = 'did you mean "postgresql"?' if near else ""
        raise refusal("{text} names no database that fediward knows", expected, hint=hint)
    return value


class LedgerSection(Settings):
    """``ledger:``: where decisions are kept, and for how many seconds. The URL may hold a password: never shown."""

    url: Annotated[str, BeforeValidator(_ledger_url), Field(repr=False)] = "sqlite:///fediward.db"
    keep: Annotated[float, BeforeValidator(values.duration("1h", "3650d"))] = 90 * 86400.0
    keep_dropped: Annotated[float, BeforeValidator(values.duration("1h", "3650d"))] = 7 * 86400.0


def _brake(value: object) -> object:
    """None for ``off``; an empty section is the defaults: never off unsaid."""
    if value == "off" or value is False:
        return None
    if isinstance(value, Mapping | Brake) or value is None:
        return default_if_empty(value)
    raise refusal("{text} is no brake", "a mapping, or off")


class File(Settings):
    """The whole file. ``concepts`` and ``rules`` are read by their own modules, which keep positions."""

    server: Server = Field(description="a mapping with upstream and listen")
    doors: Annotated[Doors, BeforeValidator(default_if_empty)] = Doors()
    look_ahead: Annotated[LookAhead, BeforeValidator(default_if_empty)] = LookAhead()
    scan: Literal["federation", "everything"] = "federation"
    mode: Literal["enforce", "observe"] = "enforce"
    budget: Annotated[float, BeforeValidator(values.duration("100ms", "60s"))] = 4.0
    fetch: Annotated[Fetch, BeforeValidator(default_if_empty)] = Fetch()
    classifier: Annotated[Classifier, BeforeValidator(default_if_empty)] = Classifier()
    exchanges: Annotated[tuple[Exchange, ...], Field(max_length=100)] = ()
    concepts: object = "child-safety"
    rules: object = "child-safety"
    on: Annotated[On, BeforeValidator(default_if_empty)] = On()
    holds: Annotated[Holds, BeforeValidator(default_if_empty)] = Holds()
    brake: Annotated[Brake | None, BeforeValidator(_brake)] = Brake()
    senders: Annotated[Senders, BeforeValidator(default_if_empty)] = Senders()
    limits: Annotated[Limits, BeforeValidator(default_if_empty)] = Limits()
    ledger: Annotated[LedgerSection, BeforeValidator(default_if_empty)] = LedgerSection()
    status: Status | None = None
    alarms: Annotated[Alarms, BeforeValidator(default_if_empty)] = Alarms()
