"""Whether pict-rs is well, fetches from the origin, and asks the validator: by pictures that it is then told to delete.

What goes wrong was measured with pict-rs 0.5.25: reference §8b.
"""

import asyncio
import base64
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import httpx

from addons.doctor.asking import client, reachable, said
from addons.doctor.findings import Finding, ok, trouble, unchecked
from addons.judging.placeholders import placeholder
from addons.ledger.errors import LedgerError
from addons.ledger.reading import Reader, Search
from addons.policy.config import Config
from addons.policy.values import Address

WRITTEN = 10.0
"""Seconds until what a door decided can be read in the ledger, by far."""
LOCAL = "PICTRS__CLIENT__ALLOW_LOCAL_CONNECTIONS=true in pict-rs's environment, and start it anew"
_VALIDATION = "PICTRS__MEDIA__EXTERNAL_VALIDATION"

PICT_RS, ORIGIN, VALIDATION = "pict-rs", "pict-rs from the origin", "pict-rs and the validator"


@dataclass(frozen=True, slots=True)
class _Stored:
    """A picture that pict-rs took in, or what it said instead."""

    file: str = ""
    token: str = ""
    status: int = 0
    error: str = ""


async def check_pictrs(config: Config, *, doors: bool, validation: bool) -> list[Finding]:
    """``doors``: whether the pict-rs door and the origin are open; ``validation``: whether that one is."""
    door = config.doors.pictrs
    assert door is not None
    async with client() as asking:
        try:
            answer = await asking.get(f"{door.upstream}/healthz")
        except httpx.HTTPError as error:
            mend = "is pict-rs running, and is `doors.pictrs.upstream` its address as seen from here?"
            found = trouble(PICT_RS, f"{door.upstream}: {said(error)}", mend)
        else:
            message = f"{door.upstream} answers {answer.status_code}"
            well = answer.status_code == 200
            found = ok(PICT_RS, message) if well else trouble(PICT_RS, message, "see pict-rs's log")
        if found.state != "ok":
            why = "pict-rs does not answer"
            return [found, unchecked(ORIGIN, why), unchecked(VALIDATION, why)]
        upload = await _upload(asking, config, validation)
        if not doors:
            why = "the pict-rs door and the origin are not both open"
            return [found, unchecked(ORIGIN, why, f"start `fediward run -c {config.path}`, and ask again"), upload]
        return [found, await _download(asking, config), upload]


# -- from the origin ---------------------------------------------------------------------------------------------------


async def _download(asking: httpx.AsyncClient, config: Config) -> Finding:
    """Through the pict-rs door, which makes a URL of the origin of it: pict-rs has to connect to a local address."""
    door = config.doors.pictrs
    assert door is not None
    url = "data:image/png;base64," + base64.b64encode(_picture()).decode()
    try:
        where = f"http://{reachable(door.listen)}/image/download"
        stored = _read(await asking.get(where, params={"url": url}))
    except httpx.HTTPError as error:
        return trouble(ORIGIN, said(error), "see the logs of `fediward run` and of pict-rs")
    if not stored.file:
        return trouble(ORIGIN, _shown(stored), _mend_download(stored, str(door.origin_url)))
    left = await _deleted(asking, str(door.upstream), stored)
    return ok(ORIGIN, f"it fetched a drawn picture from {door.origin_url}{left}")


def _mend_download(stored: _Stored, origin_url: str) -> str:
    said = stored.error.lower()
    if "local" in said or "unreachable" in said:
        return LOCAL
    if "403" in said:
        return "is pict-rs's address among doors.pictrs.clients? Its own log and fediward's say from where it came"
    if "503" in said:
        return "fediward could not judge it in time: see the log of `fediward run`"
    if "validation" in said:
        return "the origin is right; see the validator below"
    return f"does pict-rs reach {origin_url} (doors.pictrs.origin_url)? See its log"


# -- the validator -----------------------------------------------------------------------------------------------------


async def _upload(asking: httpx.AsyncClient, config: Config, validation: bool) -> Finding:
    """Straight to pict-rs, which asks its validator, whichever that is."""
    door, validate = config.doors.pictrs, config.doors.validate_
    assert door is not None
    url = f"http://{_named(validate.listen)}/validate{'/SECRET' if validate.secret else ''}" if validate else ""
    began = datetime.now(UTC) - timedelta(seconds=1)
    before = 0 if not validate else await asyncio.to_thread(_counted, config)
    try:
        files = {"images[]": ("fediward-doctor.png", _picture(), "image/png")}
        stored = _read(await asking.post(f"{door.upstream}/image", files=files))
    except httpx.HTTPError as error:
        return trouble(VALIDATION, said(error), "see pict-rs's log")
    if not stored.file:
        return trouble(VALIDATION, f"every upload fails: {_shown(stored)}", _mend_upload(stored, url))
    left = await _deleted(asking, str(door.upstream), stored)
    if not validate:
        return ok(VALIDATION, f"it takes a drawn picture; doors.validate is not configured{left}")
    if not validation:
        return unchecked(VALIDATION, f"it takes a drawn picture, but the validation door is not open{left}")
    if await _was_asked(config, began, before):
        return ok(VALIDATION, f"it asked doors.validate about a drawn picture, and took it{left}")
    mend = f"{_VALIDATION}={url} in pict-rs's environment (an IP address, no name), and start it anew"
    return trouble(VALIDATION, f"it took a drawn picture without asking doors.validate{left}", mend)


def _mend_upload(stored: _Stored, url: str) -> str:
    said = stored.error.lower()
    if "http-client-error" in said or "unreachable" in said:
        # Its client drops private addresses that a name resolves to, and asks the validator with that client.
        where = f" (such as {url})" if url else ""
        return (
            f"pict-rs does not reach its validator. If {_VALIDATION} names a host that is at a private address, "
            f"write the IP address itself{where}, or set {LOCAL}"
        )
    if "validation" in said:
        return (
            "the validator refused a plain grey picture: is pict-rs's address among doors.validate.clients, is the "
            "secret in its path right, and what does `fediward log --door validate` say?"
        )
    return "see pict-rs's log"


async def _was_asked(config: Config, began: datetime, before: int) -> bool:
    until = time.monotonic() + WRITTEN
    while not await asyncio.to_thread(_asked_since, config, began, before):
        if time.monotonic() > until:
            return False
        await asyncio.sleep(0.2)
    return True


def _asked_since(config: Config, began: datetime, before: int) -> bool:
    try:
        with Reader.open(config.ledger.url) as reader:
            if reader.find(Search(door="validate", since=began, limit=1)):
                return True
    except LedgerError:
        return False
    return _counted(config) > before


def _counted(config: Config) -> int:
    """How often the validation door passed something without a decision, as the ledger knows by now."""
    try:
        with Reader.open(config.ledger.url) as reader:
            return sum(each.count for each in reader.counts() if each.door == "validate")
    except LedgerError:
        return 0


# -- both --------------------------------------------------------------------------------------------------------------


def _picture() -> bytes:
    """Grey, with a sign, and like no other."""
    return placeholder("image/png", 64, 48, os.urandom(16).hex())[0]


def _read(answer: httpx.Response) -> _Stored:
    try:
        told = answer.json()
        if answer.status_code in (200, 201) and (files := told.get("files")):
            return _Stored(str(files[0]["file"]), str(files[0]["delete_token"]))
        error = f"{told.get('code', '')} {told.get('msg', '')}".strip()
    except (ValueError, AttributeError, KeyError, TypeError, IndexError):
        error = answer.text
    return _Stored(status=answer.status_code, error=" ".join(error.split())[:300])


def _shown(stored: _Stored) -> str:
    return f"{stored.status} {stored.error}"


async def _deleted(asking: httpx.AsyncClient, upstream: str, stored: _Stored) -> str:
    """Nothing, or what is left behind."""
    try:
        answer = await asking.delete(f"{upstream}/image/delete/{stored.token}/{stored.file}")
    except httpx.HTTPError as error:
        return f" (and kept it, as {stored.file}: {said(error)})"
    return "" if answer.is_success else f" (and kept it, as {stored.file}: deleting it got {answer.status_code})"


def _named(address: Address) -> str:
    """As pict-rs may reach it: a listener on every address says nothing of which."""
    return str(address) if address.host not in ("0.0.0.0", "::") else f"IP-OF-FEDIWARD:{address.port}"
