"""What a fetch ends with: the bytes and where they came from, or the cause why there are none."""

from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from addons.fetching.budget import Lease
from addons.fetching.urls import shown
from addons.policy.words import Cause


class FetchError(Exception):
    """Nothing usable was fetched.

    ``cause`` is one of timeout, fetch_failed, fetch_refused, fetch_unauthorized, too_large, busy. The message is for a
    person and names the URL; ``url`` (the one the fetch ended at) holds no user name or password and is at most 200
    characters; ``address`` is the IP address that was connected to, tried or refused, if it came to that.

    ``shows``: what somebody else who opens the URL is shown instead of what was wanted. A media type: that of an error
    answer's body (see :func:`addons.fetching.showing.shown_type`). None: nothing at all, since the host cannot be
    reached by its name or address, has only addresses that are refused, or answered with an error and no body. "":
    not known, so that it may be a picture; browsers show those of error answers too.

    ``length``: the bytes that the file has, where that alone made it too large: it may be fetched in parts.
    ``status``: that of the answer, where it was an error (4xx, 5xx).
    """

    def __init__(
        self,
        cause: Cause,
        message: str,
        url: str,
        address: str | None = None,
        shows: str | None = "",
        *,
        length: int | None = None,
        status: int | None = None,
    ) -> None:
        self.length = length
        self.status = status
        self.shows = shows
        self.cause = cause
        self.url = shown(url)
        self.address = address
        self.message = f"{self.url}: {message}"
        super().__init__(self.message)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The body of a good answer, Content-Encoding undone; it counts against the memory budget until released.

    ``url``: the final one, after redirects (for a data: URL, its beginning). ``address``: the IP address the bytes came
    from, None for a data: URL. ``content_type``: as the host says, at most 256 characters, "" if it says nothing.
    ``status``: 2xx. ``whole``: False where only its beginning was read.
    """

    data: bytes
    url: str
    address: str | None
    content_type: str
    status: int
    lease: Lease = field(repr=False, compare=False)
    whole: bool = True

    def release(self) -> None:
        """Give the bytes' share of the budget back, once they are no longer needed; a second call does nothing."""
        self.lease.release()

    async def __aenter__(self) -> Self:
        """This result."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()
