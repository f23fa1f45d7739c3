"""The sections of the doors beside the inbox, and of what the inbox door looks at for want of them."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from addons.policy import values
from addons.policy.fields import (
    LOOPBACK,
    Cidrs,
    Clients,
    HostPattern,
    ListenAddress,
    Port,
    UpstreamUrl,
    default_if_empty,
    listed,
)
from classifier.settings import Settings


class Tunnels(Settings):
    """``doors.fetch.tunnels``: hosts and clients whose TLS passes unread, since they cannot trust our authority."""

    hosts: Annotated[tuple[HostPattern, ...], BeforeValidator(listed), Field(max_length=1000)] = ()
    clients: Cidrs = ()


class FetchDoor(Settings):
    """``doors.fetch``: the forward proxy for the server's own requests. ``deadline``: seconds for one answer."""

    listen: ListenAddress = Field(description="what http_proxy names, such as 127.0.0.1:8541")
    clients: Clients = LOOPBACK
    ports: Annotated[tuple[Port, ...], Field(min_length=1, max_length=100)] = (443,)
    deadline: Annotated[float, BeforeValidator(values.duration("100ms", "60s"))] = 8.0
    tunnels: Annotated[Tunnels, BeforeValidator(default_if_empty)] = Tunnels()
    ca: Path = Path("fediward-ca")


type _ApiKey = Annotated[str, Field(max_length=500, pattern=r"^[\x21-\x7e]+$")]
type _PathSecret = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,128}$")]


class PictrsDoor(Settings):
    """``doors.pictrs``: the reverse proxy in front of pict-rs, and the origin from which it fetches.

    ``clients``: who may use the origin, that is pict-rs. ``api_key``: pict-rs's own, for ``fediward allow``.
    ``look_back``: find what pict-rs kept under its own URL before fediward was there.
    """

    listen: ListenAddress = Field(description="what the server's pictrs.url names, such as 127.0.0.1:8542")
    upstream: UpstreamUrl = Field(description="pict-rs's own address, such as http://127.0.0.1:8080")
    origin: ListenAddress = Field(description="where pict-rs fetches judged bytes, such as 127.0.0.1:8543")
    origin_url: UpstreamUrl = Field(description="the origin as pict-rs reaches it, such as http://127.0.0.1:8543")
    clients: Clients = LOOPBACK
    deadline: Annotated[float, BeforeValidator(values.duration("100ms", "60s"))] = 8.0
    look_back: bool = True
    api_key: Annotated[_ApiKey | None, Field(repr=False)] = None


class ValidateDoor(Settings):
    """``doors.validate``: pict-rs's ``external_validation``.

    ``judges``: ``scanned``: what ``scan`` names, so nothing in ``scan: federation``, where the pict-rs door judges;
    ``everything``: all that pict-rs takes in, local uploads too. ``secret``: the path then has to end with it.
    """

    listen: ListenAddress = Field(description="what external_validation names, such as 127.0.0.1:8544")
    clients: Clients = LOOPBACK
    secret: Annotated[_PathSecret | None, Field(repr=False)] = None
    judges: Literal["scanned", "everything"] = "scanned"
    deadline: Annotated[float, BeforeValidator(values.duration("100ms", "60s"))] = 8.0


class UploadDoor(Settings):
    """``doors.upload``: local users' uploads, on the inbox door's listener and pict-rs's.

    ``contact``: whom a user may ask, in a refusal. ``max_bytes``: of one request.
    """

    contact: Annotated[str, Field(min_length=1, max_length=300, pattern=r"^[^\x00-\x1f\x7f]+$")] | None = None
    deadline: Annotated[float, BeforeValidator(values.duration("100ms", "5m"))] = 20.0
    max_bytes: Annotated[int, BeforeValidator(values.size("64KiB", "4GiB"))] = 100 << 20


class Doors(Settings):
    """``doors:``: the doors beside the inbox; the upload door needs no listener of its own."""

    fetch: FetchDoor | None = None
    pictrs: PictrsDoor | None = None
    validate_: Annotated[ValidateDoor | None, Field(alias="validate")] = None
    upload: Annotated[UploadDoor, BeforeValidator(default_if_empty)] = UploadDoor()

    def deciding(self) -> dict[str, object]:
        """What a decision may hang on: never an address, and no secret."""
        return self.model_dump(
            include={
                "fetch": {"ports", "deadline", "tunnels"},
                "pictrs": {"deadline"},
                "validate_": {"deadline", "judges"},
                "upload": {"deadline", "max_bytes"},
            }
        )


type When = Literal["auto", "always", "never"]


class LookAhead(Settings):
    """``look_ahead``: what the inbox door fetches beside the media that an activity names.

    ``links``: the pages a post links to, for their preview image. ``objects``: what it names only by its IRI. ``auto``:
    where no fetch door sees them; links for Lemmy in any case.
    """

    links: When = "auto"
    objects: When = "auto"
