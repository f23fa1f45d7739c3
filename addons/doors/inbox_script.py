"""The inbox door as an addon script for stock mitmdump, for those who run mitmproxy already.

    mitmdump --mode reverse:http://127.0.0.1:8536@127.0.0.1:8540 --set keep_host_header=true \\
        -s …/addons/doors/inbox_script.py --set fediward=config.yaml

Where to listen and what stands behind come from ``--mode``, all else from the configuration. mitmdump has to be the one
of the environment that fediward is installed in. mitmdump refuses clients with public addresses unless told
``--set block_global=false``: with a web server in front of it that is right as it is.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import NoReturn

from mitmproxy import ctx, http
from mitmproxy.addonmanager import Loader
from mitmproxy.connection import Client
from mitmproxy.proxy import layer, mode_specs

# Names that mitmproxy would take for this script's own hooks (load, configure …) must not stand in this module.
from addons.doors.inbox import Inbox
from addons.ledger.errors import LedgerError
from addons.policy import config as policy_config
from addons.policy.problems import ConfigError
from addons.service import Service
from classifier import CannotStartError

# What stock mitmdump would do to traffic beside passing it on: answer requests for mitm.it, rewrite Alt-Svc.
_QUIET = {"onboarding": False, "keep_alt_svc_header": True}


class InboxScript:
    """mitmproxy addon: an :class:`Inbox` with its service, made when the options say so and closed at the end."""

    name = "fediward"

    def __init__(self) -> None:
        self.service: Service | None = None
        self.inbox: Inbox | None = None
        self._closing: asyncio.Task[None] | None = None

    def load(self, loader: Loader) -> None:
        """Add the option ``fediward``."""
        loader.add_option("fediward", str, "", "fediward's configuration file.")

    def configure(self, updated: set[str]) -> None:
        """Check what mitmdump was told, and start. Ends the process where it cannot be right."""
        if self.service is not None:
            if "keep_host_header" in updated and not ctx.options.keep_host_header:
                _refuse("keep_host_header was turned off: deliveries are signed with their Host.")
            return
        if not ctx.options.fediward:
            _refuse("no configuration: add --set fediward=config.yaml.")
        if not ctx.options.keep_host_header:
            _refuse("deliveries are signed with their Host: add --set keep_host_header=true.")
        for chatty in ("alembic", "httpcore"):  # mitmdump turns debugging on for all
            logging.getLogger(chatty).setLevel(logging.WARNING)
        modes = [mode_specs.ProxyMode.parse(mode) for mode in ctx.options.mode]
        if not all(isinstance(mode, mode_specs.ReverseMode) and mode.scheme in ("http", "https") for mode in modes):
            _refuse("it stands in front of a server only: use --mode reverse:http://SERVER@ADDRESS:PORT, and no other.")
        try:
            config = policy_config.load(Path(ctx.options.fediward), env=os.environ)
        except ConfigError as error:
            _refuse(f"the configuration is wrong.\n{error}")
        for warning in config.warnings:
            print(warning, file=sys.stderr)
        try:
            self.service = Service.start(config)
        except (CannotStartError, LedgerError) as error:
            _refuse(str(error))
        self.inbox = self.service.inbox()
        self.service.delivering.start()
        ctx.options.update(**_QUIET)

    def client_connected(self, client: Client) -> None:
        """Nothing is let by before there is something to look at it."""
        if self.inbox is None:
            client.error = "fediward is not ready"
            return
        self.inbox.client_connected(client)

    def client_disconnected(self, client: Client) -> None:
        """See :class:`Inbox`."""
        if self.inbox is not None:
            self.inbox.client_disconnected(client)

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """See :class:`Inbox`."""
        assert self.inbox is not None
        self.inbox.next_layer(nextlayer)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """See :class:`Inbox`. mitmproxy logs what an addon raises and forwards: here the request ends instead."""
        assert self.inbox is not None
        try:
            self.inbox.requestheaders(flow)
        except BaseException:
            flow.kill()
            raise

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """See :class:`Inbox`."""
        assert self.inbox is not None
        self.inbox.responseheaders(flow)

    async def request(self, flow: http.HTTPFlow) -> None:
        """See :class:`Inbox`, and ``requestheaders``."""
        assert self.inbox is not None
        try:
            if (judging := self.inbox.request(flow)) is not None:
                await judging
        except BaseException:
            flow.kill()
            raise

    def response(self, flow: http.HTTPFlow) -> None:
        """See :class:`Inbox`."""
        assert self.inbox is not None
        self.inbox.response(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """See :class:`Inbox`."""
        assert self.inbox is not None
        self.inbox.error(flow)

    def done(self) -> Awaitable[None] | None:
        """Close. A task, since mitmproxy waits for it when it ends and not when it only loads the script again."""
        if self.service is None:
            return None
        self._closing = asyncio.get_running_loop().create_task(self.service.close())
        self.service = self.inbox = None
        return self._closing


def _refuse(message: str) -> NoReturn:
    """End mitmdump: going on would be to forward without looking."""
    print(f"fediward did not start: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


addons = [InboxScript()]
