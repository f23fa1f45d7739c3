"""Who is turned away before any work: on a deny list or denied by a rule, unless an allow list says otherwise."""

from collections.abc import Awaitable, Callable

from addons.ledger.held import Signer
from addons.policy.hosts import normal_host
from addons.senders.denying import Denials
from addons.senders.list_files import actor as written_actor
from addons.senders.list_files import host_of
from addons.senders.lists import Lists


class TurningAway:
    """Shared by all deliveries of one process; belongs to one event loop."""

    def __init__(self, lists: Lists, denials: Denials) -> None:
        self._lists = lists
        self._denials = denials

    def denied(self, host: str | None, actor: str | None) -> str | None:
        """Why this host or actor is denied, by what the delivery says of itself, if so. Microseconds."""
        if (line := self._lists.denied(host, actor)) is not None:
            return f"denied by {line}"
        return self._denials.denied(host, actor)

    async def turned_away(
        self, host: str | None, actor: str | None, verify: Callable[[], Awaitable[Signer]]
    ) -> str | None:
        """As :meth:`denied`, but not for an allowed host that proves to be it: only then is ``verify`` asked.

        An allowed host's signature under somebody else's activity allows nothing.
        """
        why = self.denied(host, actor)
        if why is None or self._lists.allowed(host) is None or not _is_of(actor, host):
            return why
        signer = await verify()
        proved = signer.state == "verified" and signer.host is not None and signer.host == normal_host(host or "")
        return None if proved else why


def _is_of(actor: str | None, host: str | None) -> bool:
    """Whether the actor, if one is named, is one of this host's."""
    if actor is None:
        return True
    written = written_actor(actor)
    return written is not None and normal_host(host_of(written)) == normal_host(host or "")
