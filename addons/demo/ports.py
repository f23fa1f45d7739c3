"""A port of this machine that is kept free for who will listen on it later."""

import socket
from types import TracebackType
from typing import Self


class Port:
    """Taken from ``with`` on until :meth:`release`. Raises OSError where none can be had."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        try:
            self._socket.bind(("127.0.0.1", 0))
        except OSError:
            self._socket.close()
            raise
        self.number: int = self._socket.getsockname()[1]

    def release(self) -> None:
        """Now it may be listened on."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
