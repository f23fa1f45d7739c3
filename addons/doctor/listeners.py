"""Whether each configured door is open: asked over a connection of its own, so that it is really ours that answers."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from addons.doctor.asking import as_ours, client, reachable, said
from addons.doctor.findings import Finding, ok, trouble, unchecked
from addons.policy.config import Config
from addons.policy.values import Address

type Ask = Callable[[httpx.AsyncClient, str], Awaitable[str]]
"""Asks a door at ``host:port``: what it said in words. Raises httpx's errors, and _OtherError."""


class _OtherError(Exception):
    """What answers there is not that door, or will not have us; the message says which."""


@dataclass(frozen=True, slots=True)
class Place:
    """A door that the configuration names."""

    name: str
    address: Address
    ask: Ask


async def check_listeners(config: Config) -> list[Finding]:
    """A finding for each door. Where none is open fediward does not run, which is no trouble by itself."""
    found: list[Finding] = []
    closed: list[Place] = []
    places = _places(config)
    async with client() as asking:
        for place in places:
            where = reachable(place.address)
            try:
                found.append(ok(place.name, f"{place.address}: {await place.ask(asking, where)}"))
            except httpx.ConnectError:
                closed.append(place)
            except _OtherError as error:
                mend = f"is another program listening there, and are its `clients` right? See {config.path}"
                found.append(trouble(place.name, f"{place.address}: {error}", mend))
            except httpx.HTTPError as error:
                found.append(trouble(place.name, f"{place.address}: {said(error)}", "see the log of `fediward run`"))
    for place in closed:
        message = f"nothing listens on {place.address}"
        mend = f"start `fediward run -c {config.path}`, and ask again"
        if len(closed) == len(places):
            found.append(unchecked(place.name, f"{message}: fediward does not run", mend))
        else:
            found.append(trouble(place.name, message, "start fediward anew: this door came later than it"))
    return found


def is_open(findings: list[Finding], name: str) -> bool:
    """Whether this door was found open."""
    return any(finding.check == name and finding.state == "ok" for finding in findings)


def _places(config: Config) -> list[Place]:
    doors = config.doors

    async def inbox(asking: httpx.AsyncClient, where: str) -> str:
        answer = await asking.get(f"http://{where}/", headers=as_ours(config))
        if answer.status_code in (502, 504):
            raise _OtherError(f"it answers {answer.status_code}: it does not reach the server")
        return f"open, the server behind it answers {answer.status_code}"

    places = [Place("inbox door", config.server.listen, inbox)]
    if doors.fetch is not None:
        places.append(Place("fetch door", doors.fetch.listen, _fetch))
    if doors.pictrs is not None:
        places.append(Place("pict-rs door", doors.pictrs.listen, _pictrs))
        places.append(Place("origin", doors.pictrs.origin, _origin))
    if doors.validate_ is not None:
        places.append(Place("validation", doors.validate_.listen, _validation))
    return places


async def _fetch(_: httpx.AsyncClient, where: str) -> str:
    """It refuses addresses that are not public, whatever else it does."""
    try:
        async with client(proxy=f"http://{where}") as proxied:
            answer = await proxied.get("http://192.0.2.1/")  # no host has it: RFC 5737
    except (httpx.RemoteProtocolError, httpx.ReadError) as error:
        raise _OtherError("it hangs up on us: this machine is none of doors.fetch.clients") from error
    if answer.status_code != 403:
        raise _OtherError(f"it answers {answer.status_code}, and should refuse an address that is not public")
    return "open, and refuses addresses that are not public"


async def _pictrs(asking: httpx.AsyncClient, where: str) -> str:
    answer = await asking.get(f"http://{where}/healthz")
    if answer.status_code != 200:
        raise _OtherError(f"it answers {answer.status_code} for pict-rs's /healthz")
    return "open, pict-rs behind it is well"


async def _origin(asking: httpx.AsyncClient, where: str) -> str:
    return _ours(await asking.get(f"http://{where}/"), 404, "doors.pictrs.clients")


async def _validation(asking: httpx.AsyncClient, where: str) -> str:
    return _ours(await asking.get(f"http://{where}/"), 404, "doors.validate.clients")


def _ours(answer: httpx.Response, expected: int, clients: str) -> str:
    if answer.status_code == 403:
        return f"open, though not to this machine ({clients})"
    if answer.status_code != expected:
        raise _OtherError(f"it answers {answer.status_code}, which fediward does not")
    return "open"
