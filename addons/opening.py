"""Opens every door that the configuration names, says where they are, and closes them in order."""

import asyncio
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from addons.doors.authority import Authority, FetchTls
from addons.doors.proxy import Door, DoorMaster
from addons.policy.values import Address
from addons.service import Service
from addons.web.origin import Origin, OriginSettings
from addons.web.serving import Listener
from addons.web.validate import Validate, ValidateSettings


class Drains(Protocol):
    """An addon of a door that may be busy when told to stop."""

    async def drained(self, timeout: float) -> bool:
        """Wait until nothing is under way, for at most ``timeout`` seconds; whether it came to that."""
        ...


@dataclass(frozen=True, slots=True)
class Plan:
    """A door to be opened: ``name`` as people know it, ``front`` the server behind it, if any.

    ``door`` (mitmproxy's) or ``listener`` (ours) is set.
    """

    name: str
    front: str | None = None
    door: Door | None = None
    listener: Listener | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """An open door."""

    name: str
    address: Address
    front: str | None = None

    def __str__(self) -> str:
        """As it is told to who started it."""
        behind = f", in front of {self.front}" if self.front else ""
        return f"{self.name} open on {self.address}{behind}"


def plans(service: Service, *, free: bool = False, fixed: Collection[str] = ()) -> list[Plan]:
    """Every door that the configuration names, the inbox door first.

    ``free``: each on a free port of its host, but for those named in ``fixed``.
    """
    server, fetch, pictrs = service.config.server, service.config.doors.fetch, service.config.doors.pictrs
    found = [
        Plan(
            "inbox door",
            str(server.upstream),
            door=Door(f"door:{server.upstream}@{_at(server.listen, free)}", (service.inbox(),)),
        )
        # Each other door adds its plan here: fetch, pict-rs, origin, validation.
    ]
    if fetch is not None:
        tls = FetchTls(Authority.open(fetch.ca))
        found.append(Plan("fetch door", door=Door(f"fetch@{_at(fetch.listen, free)}", (service.fetch(),), tls)))
    if pictrs is not None:
        mode = f"door:{pictrs.upstream}@{_at(pictrs.listen, free)}"
        found.append(Plan("pict-rs door", str(pictrs.upstream), door=Door(mode, (service.pictrs(),))))
        where = _on(pictrs.origin, free and "origin" not in fixed)
        found.append(Plan("origin", listener=Listener(_origin(service), where, pictrs.clients)))
    if (validate := service.config.doors.validate_) is not None:
        listener = Listener(_validation(service), _on(validate.listen, free), validate.clients)
        found.append(Plan("validation", listener=listener))
    if (status := service.config.status) is not None and service.health is not None:
        listener = Listener(service.health.status(), _on(status.listen, free), status.clients)
        found.append(Plan("status", listener=listener))
    return found


def _origin(service: Service) -> Origin:
    config = service.config
    assert config.doors.pictrs is not None
    assert service.urls is not None
    local = frozenset(config.server.domains) if config.scan == "federation" else frozenset()
    settings = OriginSettings(config.doors.pictrs.deadline, local)
    return Origin(service.gate, service.judge.fetcher, service.urls, settings)


def _validation(service: Service) -> Validate:
    config, door = service.config, service.config.doors.validate_
    assert door is not None
    # Uploads are judged at the pict-rs door where everything is, and what it fetches in any case.
    behind = config.doors.pictrs is not None and config.scan == "everything"
    judges = door.judges == "everything" or config.scan == "everything"
    settings = ValidateSettings(judges, door.deadline, config.fetch.max_bytes, door.secret, behind)
    return Validate(service.gate, service.budget, settings)


def _on(address: Address, free: bool) -> Address:
    return replace(address, port=0) if free else address


def _at(address: Address, free: bool) -> str:
    """``host:port`` as mitmproxy wants it: an IPv6 address without brackets, and port 0 of a host only once."""
    return f"{address.host}:{_free(address.host) if free else address.port}"


def _free(host: str) -> int:
    """A port of ``host`` that nobody has just now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as found:
        found.bind((host, 0))
        port: int = found.getsockname()[1]
    return port


@dataclass(slots=True)
class Doors:
    """The doors of one process, from :meth:`open` to :meth:`close`."""

    plans: Sequence[Plan]
    idle_time: float
    _master: DoorMaster = field(init=False)
    _running: asyncio.Task[None] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._master = DoorMaster([plan.door for plan in self.plans if plan.door], idle_time=self.idle_time)

    async def open(self) -> list[Opened]:
        """Open all, in the plans' order. Raises OSError where an address cannot be had; then call :meth:`close`."""
        loop = asyncio.get_running_loop()
        self._running = loop.create_task(self._master.run())
        opening = loop.create_task(self._master.listening())
        try:
            await asyncio.wait((self._running, opening), return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                self._running.result()
                raise OSError("the doors closed before they were open")
            addresses = iter(opening.result())
        finally:
            opening.cancel()
        opened = []
        for plan in self.plans:
            host, port = next(addresses) if plan.listener is None else await plan.listener.open()
            opened.append(Opened(plan.name, Address(host, port), plan.front))
        return opened

    async def ended(self) -> None:
        """Wait until the doors end by themselves, which they do only where something is badly wrong."""
        assert self._running is not None
        await asyncio.wait((self._running,))

    async def stop_listening(self) -> None:
        """Take no new connections at mitmproxy's doors; pict-rs may ask the origin for what is under way."""
        await self._master.stop_listening()

    async def drain(self, timeout: float) -> bool:
        """Wait until what is under way is done, for at most ``timeout`` seconds; whether it came to that."""
        busy = [addon for plan in self.plans if plan.door for addon in plan.door.addons if hasattr(addon, "drained")]
        done = await asyncio.gather(*(addon.drained(timeout) for addon in busy))
        return all(done)

    async def close(self) -> None:
        """End all of them."""
        await self._master.stop_listening()
        await asyncio.gather(*(plan.listener.close() for plan in self.plans if plan.listener))
        self._master.shutdown()
        if self._running is not None:
            await self._running
