"""Bypass corpus, HTTP: what a server could take for a delivery, or for another one, that the door takes for less."""

from dataclasses import replace

import pytest

from tests import net
from tests.security.bypass import (
    BOTH,
    FORBIDDEN,
    HARMLESS,
    JUDGED,
    ORDINARY,
    Ending,
    Sent,
    World,
    attached,
    holds,
    posted,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

JSON = b"application/json"
"""Tells nothing of ActivityPub: the path alone has to."""


# -- where it goes -----------------------------------------------------------------------------------------------------
TARGETS: dict[str, Ending] = {
    **dict.fromkeys(
        [
            *["/inbox", "/site_inbox", "/users/a/inbox", "/f/inbox", "/c/x/inbox", "/actor/inbox.json", "/inbox/jakob"],
            *[
                "//inbox",
                "/inbox/",
                "/INBOX",
                "/inbox?x=/y",
                "/inbox#x",
                "/inbox?_method=PUT",
                "/inbox/.",
                "/x/../inbox",
            ],
            *["/inbox;a=b", "/inbox/;b", "/index.php/f/inbox", "/inbox.", "/inbox.json;x", "/x\\inbox"],
            *["/%69nbox", "/%2569nbox", "/users/a%2finbox", "/inbox%2F", "/inbox%3Fx", "/inbox%20", "/inbox%00.png"],
            *["/x%5Cinbox", "/%EF%BD%89nbox", "/index.php?rest_route=/activitypub/1.0/users/1/inbox"],
        ],
        JUDGED,
    ),
    # Fastify (Misskey) takes all that follows a semicolon for the query; C ends a path at NUL.
    **dict.fromkeys(["/inbox;/x/y", "/inbox;a/b/c?d", "/users/a/inbox;/x", "/inbox%00/x/y", "/inbox%3B/x/y"], JUDGED),
    # the absolute form, and what may stand in it
    **dict.fromkeys(
        [
            *["http://example.org/inbox", "HTTP://EXAMPLE.ORG:80/inbox", "https://example.org/inbox"],
            *["http://other.example/inbox", "http://example.org//inbox?http://x/"],
        ],
        JUDGED,
    ),
    **dict.fromkeys(
        [
            "inbox",
            "?/inbox",
            "http://a:b@example.org/inbox",
            "example.org:80",
            "http:///inbox",
            "http://",
            "http://example.org?/inbox",
        ],
        400,
    ),
    "\\inbox": 400,
    "/inbox x": 400,
    "/inbox\tx": 400,
    # no server's inbox, whatever it holds
    **dict.fromkeys(["/api/v3/post", "/inboxes", "/x?/inbox", "/inbox/..", "/outbox"], HARMLESS),
}


@BOTH
@pytest.mark.parametrize("target", TARGETS)
async def test_however_an_inbox_is_written(world: World, target: str, bad: bool) -> None:
    line = f"POST {target} HTTP/1.1".encode()
    await holds(world, TARGETS[target], bad, lambda body: posted(body, line=line, content_type=JSON))


CONTENT_TYPES: dict[bytes, Ending] = {
    **dict.fromkeys(
        [
            *[
                b"application/activity+json",
                b"Application/Activity+JSON",
                b" application/activity+json ;x",
                b"a/b+ld+json",
            ],
            *[
                b'application/ld+json; profile="https://www.w3.org/ns/activitystreams"',
                b"text/html, application/ld+json",
            ],
            *[b"application/activity+json; charset=UTF-8", b'application/ld+json; charset="utf-8"; charset=utf8'],
            *[
                b"multipart/form-data; boundary=application/activity+json",
                b"text/plain\r\nContent-Type: application/ld+json",
            ],
        ],
        JUDGED,
    ),
    # another text to who believes it
    **dict.fromkeys(
        [
            *[b"application/activity+json; charset=utf-7", b"application/ld+json; charset=utf-8; charset=utf-16le"],
            *[b'application/activity+json;charset = "UTF-16"', b"application/ld+json; Charset='iso-2022-jp'"],
            *[
                b"application/activity+json\r\nContent-Type: x; charset=cp037",
                b"application/activity+json; charset*=utf-7''x",
            ],
        ],
        415,
    ),
    **dict.fromkeys([b"application/json", b"text/plain", b"application/jrd+json"], HARMLESS),
}


@BOTH
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
async def test_whatever_it_calls_itself(world: World, content_type: bytes, bad: bool) -> None:
    line = b"POST /api/any HTTP/1.1"
    await holds(
        world, CONTENT_TYPES[content_type], bad, lambda body: posted(body, line=line, content_type=content_type)
    )


OVERRIDES: dict[bytes, Ending] = {
    # Rails, Laravel, Symfony, Express: the method said elsewhere counts.
    b"PUT /inbox HTTP/1.1\r\nX-HTTP-Method-Override: POST": 400,
    b"GET /inbox HTTP/1.1\r\nx-http-method-override: post": 400,
    b"PATCH /inbox HTTP/1.1\r\nX-HTTP-Method: POST": 400,
    b"DELETE /users/a/inbox HTTP/1.1\r\nX-Method-Override:  POST ": 400,
    b"PUT /inbox?_method=POST HTTP/1.1": 400,
    b"GET /inbox?a=b&%5Fmethod=post HTTP/1.1": 400,
    b"POST /inbox HTTP/1.1\r\nX-HTTP-Method-Override: DELETE": JUDGED,
    b"post /inbox HTTP/1.1": JUDGED,
    # IIS, older Symfony and Zend: so does a path.
    b"POST /x HTTP/1.1\r\nX-Original-URL: /inbox": 400,
    b"POST /x HTTP/1.1\r\nX-Rewrite-URL: http://example.org/users/a/inbox?b": 400,
    b"PUT /x HTTP/1.1\r\nX-Rewrite-URL: /inbox\r\nX-HTTP-Method-Override: POST": 400,
    b"POST /x HTTP/1.1\r\nX-Original-URL: /api/v3/post": HARMLESS,
    b"POST /inbox HTTP/1.1\r\nX-Original-URL: /nothing": JUDGED,
    # Said once only: nothing routes it to an inbox.
    b"PUT /inbox HTTP/1.1": HARMLESS,
    b"PUT /x HTTP/1.1\r\nX-HTTP-Method-Override: POST": HARMLESS,
    b"GET /inbox HTTP/1.1": HARMLESS,
}


@BOTH
@pytest.mark.parametrize("line", OVERRIDES)
async def test_whatever_else_says_the_method_or_the_path(world: World, line: bytes, bad: bool) -> None:
    await holds(world, OVERRIDES[line], bad, lambda body: with_lines(line, body))


def with_lines(line: bytes, body: bytes) -> Sent:
    """A request that begins with a line and the headers after it."""
    made = posted(body, line=line, content_type=JSON)
    first, _, more = line.partition(b"\r\n")
    if not more:
        return made
    head = (made.head or b"").replace(line, first, 1) + b"\r\n" + more
    return Sent(head + b"\r\n\r\n" + body, body, head)


# -- where it ends -----------------------------------------------------------------------------------------------------
CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 5"
FRAMINGS: dict[str, tuple[tuple[bytes, ...], Ending]] = {
    "two lengths": ((LENGTH,), 400),
    "CL.TE": ((CHUNKED,), 400),
    "CL.TE, folded": ((b"Transfer-Encoding:", b" chunked"), 400),
    "CL.TE, vertical tab": ((b"Transfer-Encoding: \x0bchunked",), 400),
    "CL.TE, space before the colon": ((b"Transfer-Encoding : chunked",), 400),
    "TE.TE": ((CHUNKED, b"Transfer-Encoding: x"), 400),
    "TE: identity": ((b"Transfer-Encoding: identity",), 400),
    "a bare LF": ((b"X: y\n" + CHUNKED,), 400),
    "a bare CR": ((b"X: y\r" + CHUNKED,), 400),
    "NUL": ((b"X: \0",), 400),
    "two hosts": ((b"Host: other.example",), 400),
    "an underscored length": ((b"Content_Length: 5",), JUDGED),
    "TE and Trailer": ((b"TE: trailers", b"Trailer: X"), JUDGED),
    "Connection names the length": ((b"Connection: content-length",), JUDGED),
    "a range": ((b"Content-Range: bytes 0-4/9", b"Range: bytes=0-4"), JUDGED),
}


@BOTH
@pytest.mark.parametrize("name", FRAMINGS)
async def test_conflicting_lengths_and_framings(world: World, name: str, bad: bool) -> None:
    fields, ends = FRAMINGS[name]
    await holds(world, ends, bad, lambda body: posted(body, *fields))


@BOTH
async def test_chunks_and_continue(world: World, bad: bool) -> None:
    await holds(world, JUDGED, bad, lambda body: replace(posted(body, chunked=True), head=None))
    await holds(world, JUDGED, bad, lambda body: replace(posted(body, b"Expect: 100-continue"), head=None))
    for end in (b"0\r\nX: y\r\n\r\n", b"0\r\nContent-Length: 5\r\n\r\n", b"0\r\n\n", b"0x0\r\n\r\n"):

        def trailed(body: bytes, end: bytes = end) -> Sent:
            return Sent(posted(body, chunked=True).wire.removesuffix(b"0\r\n\r\n") + end, body)

        await holds(world, 400, bad, trailed)


@BOTH
@pytest.mark.parametrize(
    "fields",
    [
        (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        (b"Connection: upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x"),
        (b"Connection: Upgrade", b"Upgrade: TLS/1.0, h2c"),
    ],
)
async def test_an_upgrade(world: World, fields: tuple[bytes, ...], bad: bool) -> None:
    await holds(world, JUDGED, bad, lambda body: replace(posted(body, *fields), head=None))
    for request in world.arrived:
        assert not {b"upgrade", b"http2-settings"} & {name.lower() for name, _ in request.headers}


async def test_prior_knowledge_of_http2_is_refused(world: World) -> None:
    assert await world.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 400
    assert world.arrived == []


@pytest.mark.parametrize(
    "before",
    [
        b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
        b"\r\n\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
async def test_pipelined_behind_another_request(world: World, before: bytes) -> None:
    world.arrived.clear()
    bodies = [attached(world.picture(file).url) for file in (FORBIDDEN, ORDINARY, FORBIDDEN)]
    async with net.client(world.door.port) as client:
        await client.send(before + b"".join(posted(body).wire for body in bodies))
        assert [(await client.response(timeout=60))[0] for _ in range(4)] == [200, 202, 200, 202]
    assert [request.body for request in world.arrived[1:]] == [bodies[1]]
    await world.entry()
