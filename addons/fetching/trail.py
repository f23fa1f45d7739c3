"""How far one fetch has come, so that whatever ends it can be told with the URL and address it ended at."""

from dataclasses import dataclass, field

from addons.fetching.addresses import Address
from addons.fetching.results import FetchError
from addons.fetching.slots import Waiting
from addons.policy.words import Cause


@dataclass(slots=True)
class Trail:
    """Where a fetch is now: ``url``, and the ``address`` connected to; whose ``share`` of the slots it takes."""

    url: str
    address: Address | None = None
    waiting: Waiting = field(default_factory=Waiting)
    share: str = ""

    def end(
        self,
        cause: Cause,
        message: str,
        shows: str | None = "",
        *,
        length: int | None = None,
        status: int | None = None,
    ) -> FetchError:
        """The error to raise; as :class:`FetchError` says."""
        address = None if self.address is None else str(self.address)
        return FetchError(cause, message, self.url, address, shows, length=length, status=status)
