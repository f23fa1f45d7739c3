"""How far decoding may run ahead of the detectors: far enough that they never starve, not so far that rows pile up."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable


class Ahead:
    """Lets files be decoded in the order they came: ``processes`` at a time, while those decoded and not yet judged are
    fewer than ``files()`` and their rows less than ``memory`` bytes (beyond which lie, at most, those being decoded).

    ``tell`` is called with the number of files being decoded whenever that changes.
    """

    def __init__(
        self, processes: int, files: Callable[[], int], memory: int, tell: Callable[[int], None] = lambda files: None
    ) -> None:
        self.decoding = 0
        self.decoded = 0
        self.held = 0
        """Bytes of rows."""
        self._processes = processes
        self._files = files
        self._memory = memory
        self._tell = tell
        self._waiting: OrderedDict[asyncio.Future[None], None] = OrderedDict()

    @property
    def waiting(self) -> int:
        """Files whose decoding has not begun."""
        return len(self._waiting)

    async def turn(self) -> "Turn":
        """Wait until one more may be decoded. ``Turn.end`` must follow."""
        if self._waiting or not self._has_room():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting[future] = None
            try:
                await future
            except asyncio.CancelledError:
                if future.cancelled():
                    del self._waiting[future]
                else:  # let in, and gone in the same moment
                    self.change(decoding=-1)
                raise
        else:
            self.change(decoding=1)
        return Turn(self)

    def change(self, *, decoding: int = 0, decoded: int = 0, held: int = 0) -> None:
        """Count, and let in who may now begin."""
        before = self.decoding
        self.decoding += decoding
        self.decoded += decoded
        self.held += held
        for future in list(self._waiting):
            if not self._has_room():
                break
            if future.done():  # cancelled a moment ago
                continue
            del self._waiting[future]
            self.decoding += 1
            future.set_result(None)
        if self.decoding != before:
            self._tell(self.decoding)

    def _has_room(self) -> bool:
        room = self.decoding < self._processes and self.decoded < self._files()
        return room and self.held < self._memory


class Turn:
    """One file's: being decoded, then decoded, then done with."""

    def __init__(self, ahead: Ahead) -> None:
        self._ahead = ahead
        self._held: int | None = None

    def decoded(self, size: int) -> None:
        """It is decoded, to rows of ``size`` bytes."""
        self._held = size
        self._ahead.change(decoding=-1, decoded=1, held=size)

    def end(self) -> None:
        """Nothing of it is left in memory."""
        if self._held is None:
            self._ahead.change(decoding=-1)
        else:
            self._ahead.change(decoded=-1, held=-self._held)
