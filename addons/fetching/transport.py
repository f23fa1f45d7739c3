"""An httpx transport that makes one request over one new connection of ours: no pool, proxy, cookies or credentials."""

import ssl
from collections.abc import AsyncGenerator, AsyncIterable

import httpcore
import httpx

from addons.fetching.dialling import Dialler


class _Body(httpx.AsyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        assert isinstance(response.stream, AsyncIterable)
        self._stream = response.stream

    def __aiter__(self) -> AsyncGenerator[bytes]:
        chunks = aiter(self._stream)
        assert isinstance(chunks, AsyncGenerator)
        return chunks


def body_of(response: httpx.Response) -> AsyncGenerator[bytes]:
    """The body of a response from :class:`OneConnection` as it was sent, in chunks of some 64 KiB; close it."""
    assert isinstance(response.stream, _Body)
    return aiter(response.stream)


class OneConnection(httpx.AsyncBaseTransport):
    """HTTP/1.1 to wherever ``dialler`` connects; SNI and the certificate's name are the request URL's host.

    Nothing is kept alive: a connection whose address was checked for one fetch never serves another one, and cannot be
    found stale. Redirects, decoding and deadlines are the caller's; what goes wrong is raised as httpcore raises it.
    """

    def __init__(self, dialler: Dialler, tls: ssl.SSLContext) -> None:
        self._dialler = dialler
        self._tls = tls

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send the request; returns once the final response's headers are in, its body not read."""
        url = httpcore.URL(
            scheme=request.url.raw_scheme,
            host=request.url.raw_host,
            port=request.url.port,
            target=request.url.raw_path,
        )
        connection = httpcore.AsyncHTTPConnection(
            origin=url.origin, ssl_context=self._tls, network_backend=self._dialler
        )
        response = await connection.handle_async_request(
            httpcore.Request(method=request.method, url=url, headers=request.headers.raw)
        )
        return httpx.Response(status_code=response.status, headers=response.headers, stream=_Body(response))

    async def aclose(self) -> None:
        """Close the connection."""
        await self._dialler.aclose()
