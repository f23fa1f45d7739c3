"""Runs a Starlette application on a free port of this machine, in a thread of its own."""

import logging
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn
from starlette.applications import Starlette

from addons.demo.certificates import Certificate

GRACE = 1
"""Seconds that requests under way may take to end when the server closes."""


class LocalServer:
    """One web server of the demo; open between ``with`` and its end. Raises OSError where no port can be had.

    With a ``certificate`` it speaks TLS.
    """

    def __init__(self, app: Starlette, certificate: Certificate | None = None) -> None:
        self._scheme = "http" if certificate is None else "https"
        self._socket = socket.socket()
        try:
            self._socket.bind(("127.0.0.1", 0))
            self._socket.listen()  # who comes before uvicorn is ready waits instead of being refused
        except OSError:
            self._socket.close()
            raise
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            log_level="error",
            lifespan="off",
            access_log=False,
            timeout_graceful_shutdown=GRACE,
            ssl_certfile=certificate.file if certificate else None,
            ssl_keyfile=certificate.key if certificate else None,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)

    @property
    def url(self) -> str:
        """Where it is, without a slash at the end."""
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What is under way longer than the grace is cancelled, and uvicorn tells each with a traceback: not news here.
        telling = logging.getLogger("uvicorn.error")
        before = telling.level
        telling.setLevel(logging.CRITICAL)
        self._server.should_exit = True
        self._thread.join(GRACE + 5)
        telling.setLevel(before)
        self._socket.close()
