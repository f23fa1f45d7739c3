"""A door without judging, for tests of the layers: deliveries whose body has ``bad`` in it are answered 202."""

import asyncio

from mitmproxy import http
from mitmproxy.proxy import layer
from mitmproxy.proxy.mode_specs import ReverseMode

from addons.doors.answers import refusal
from addons.doors.deliveries import is_delivery
from addons.doors.http1 import Bounds
from addons.doors.layers import DoorLayer, Rules
from addons.fetching.budget import MemoryBudget


class Gate:
    """The smallest addon that uses the layers as the inbox door does."""

    name = "gate"

    def __init__(
        self, bounds: Bounds | None = None, memory: int = 64 << 20, *, wait: float = 0, busy: bool = True
    ) -> None:
        self.budget = MemoryBudget(memory)
        self.rules = Rules(bounds or Bounds(), self.budget, lambda flow: refusal(503, "busy") if busy else None)
        self.wait = wait

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        mode = nextlayer.context.client.proxy_mode
        assert isinstance(mode, ReverseMode)
        nextlayer.context.server.tls = mode.scheme == "https"
        del nextlayer.context.layers[1:]
        nextlayer.layer = DoorLayer(nextlayer.context, self.rules)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if not is_delivery(flow.request.method, flow.request.path, flow.request.headers.get_all("content-type")):
            flow.request.stream = True

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        assert flow.response is not None
        flow.response.stream = True

    async def request(self, flow: http.HTTPFlow) -> None:
        if not flow.request.stream:
            if self.wait:
                await asyncio.sleep(self.wait)
            if b"bad" in (flow.request.raw_content or b""):
                flow.response = http.Response.make(202, b"")
