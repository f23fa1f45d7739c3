"""``mode: observe`` at the inbox door: what was forwarded is judged afterwards, and nothing is done about it."""

import asyncio
import logging
from dataclasses import replace

from addons.activitypub.parsing import MalformedActivityError
from addons.doors.assessing import without_media
from addons.doors.deciding import Decided, Deciding
from addons.doors.deliveries import BodyEncodingError, BodyTooLargeError
from addons.doors.peers import connection_key
from addons.doors.reading import Readers, ReadersBusyError
from addons.doors.signers import Signers, denial_of
from addons.doors.visits import Visit
from addons.fetching.budget import BudgetSpentError
from addons.ledger.held import Signer
from addons.senders.shares import share_of

UNASKED = Signer("unverifiable", reason="who observes does not ask who signed")

logger = logging.getLogger(__name__)


class Afterwards:
    """At most ``most`` deliveries at a time; what comes beyond is counted, and not looked at."""

    def __init__(self, deciding: Deciding, signers: Signers, readers: Readers, most: int) -> None:
        self._deciding = deciding
        self._signers = signers
        self._readers = readers
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether any is under way."""
        return bool(self._tasks)

    def begin(self, visit: Visit) -> None:
        """Judge it while it is forwarded: no sender waits and nothing is refused."""
        if len(self._tasks) >= self._most:
            self._deciding.ledger.count("inbox", "unobserved")
            return
        task = asyncio.get_running_loop().create_task(self._observe(visit))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _observe(self, visit: Visit) -> None:
        count = self._deciding.ledger.count
        try:
            # The layer stops counting the body once it is forwarded, which is now.
            with self._deciding.rules.budget.take(len(visit.raw)):
                self._deciding.note(await self._decided(visit))
        except BodyTooLargeError:
            count("inbox", "too_large")
        except (MalformedActivityError, BodyEncodingError):
            count("inbox", "malformed")
        except (BudgetSpentError, ReadersBusyError):
            count("inbox", "unobserved")
        except Exception:
            count("inbox", "unobserved")
            logger.exception("a delivery from %s could not be observed", visit.peer)

    async def _decided(self, visit: Visit) -> Decided:
        deciding = self._deciding
        delivery = await self._readers.read(
            connection_key(visit.peer), lambda: deciding.read(visit.raw, visit.encodings, visit.peer)
        )
        case = visit.case(delivery)
        if denials := self._signers.denied(delivery.contexts):
            return denial_of(case, denials)
        if (verdict := without_media(deciding.policy, delivery)) is not None:
            return Decided(case, verdict)
        return await deciding.decide(replace(case, signer=UNASKED, share=share_of(UNASKED, connection_key(visit.peer))))
