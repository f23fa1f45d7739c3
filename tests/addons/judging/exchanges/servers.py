"""Exchanges for tests: real HTTP on 127.0.0.1 that speaks as NCMEC's and StopNCII's do, well or ill."""

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

_FORM = "%Y-%m-%dT%H:%M:%SZ"


@dataclass
class Server:
    """What is served, and how: change it at any time."""

    port: int = 0
    entries: list[dict[str, Any]] = field(default_factory=list)
    page: int = 1000
    asked: list[str] = field(default_factory=list)
    status: int = 200
    cut: int | None = None
    """Bytes after which an answer's text ends."""
    fail_after: int | None = None
    """Answers after which ``status`` is 500."""
    gate: threading.Event = field(default_factory=threading.Event)
    hold_at: str | None = None
    """What is asked for where nothing is said before the gate opens."""
    held: threading.Event = field(default_factory=threading.Event)
    flood: int = 0
    """MiB of blanks in each answer."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/api"

    async def holds(self) -> None:
        """Wait until somebody waits for an answer."""
        assert await asyncio.to_thread(self.held.wait, 30)

    @property
    def answered(self) -> int:
        return len(self.asked)


def entry(number: int, when: float | None = None, **said: Any) -> dict[str, Any]:
    """An entry of NCMEC's: ``kind``, ``member``, ``deleted``, ``classification``, ``against`` and its fingerprints."""
    return {"id": str(number), "when": time.time() - 3600 if when is None else when, **said}


def _xml(server: Server, query: dict[str, list[str]]) -> str:
    begin, end = (datetime.strptime(query[key][0], _FORM).replace(tzinfo=UTC).timestamp() for key in ("from", "to"))
    inside = [one for one in server.entries if begin <= one["when"] < end]
    start = int(query.get("start", ["0"])[0])
    shown, more = inside[start : start + server.page], len(inside) > start + server.page
    xml = ['<queryResult xmlns="https://hashsharing.ncmec.org/hashsharing/v2">']
    for kind in "image", "video":
        of_kind = [one for one in shown if one.get("kind", "image") == kind]
        latest = datetime.fromtimestamp(max((one["when"] for one in of_kind), default=0), UTC).strftime(_FORM)
        xml.append(f'<{kind}s count="{len(of_kind)}" maxTimestamp="{latest}">')
        for one in of_kind:
            tag = f"deleted{kind.title()}" if one.get("deleted") else kind
            xml.append(f'<{tag}><member id="{one.get("member", 42)}">A member</member><id>{one["id"]}</id>')
            if "classification" in one:
                xml.append(f"<classification>{one['classification']}</classification>")
            digests = "".join(f"<{k}>{one[k]}</{k}>" for k in ("md5", "sha1", "pdq", "pdna") if k in one)
            xml.append(f"<fingerprints>{digests}</fingerprints>")
            if "against" in one:
                voters = '<members><member id="7">B</member></members>'
                xml.append(f'<feedback><negativeFeedback type="{one["against"]}" lastUpdateTimestamp="{latest}">')
                xml.append(f'<reasons><reason guid="1" name="not it"/>{voters}</reasons></negativeFeedback></feedback>')
            xml.append(f"</{tag}>")
        xml.append(f"</{kind}s>")
    if more:
        following = f"/v2/entries?from={query['from'][0]}&amp;to={query['to'][0]}&amp;start={start + server.page}"
        xml.append(f"<paging><next>{following}&amp;size={server.page}&amp;max={len(inside)}</next></paging>")
    return "".join([*xml, " " * (server.flood << 20), "</queryResult>"])


def _json(server: Server, query: dict[str, list[str]]) -> str:
    since = int(query["startTimestamp"][0])
    inside = [one for one in server.entries if one["lastModtimestamp"] >= since]
    start = int(query.get("nextPageToken", ["0"])[0])
    shown, more = inside[start : start + server.page], len(inside) > start + server.page
    return json.dumps(
        {
            "count": len(shown),
            "nextPageToken": str(start + server.page) if more else None,
            "nextSetTimestamp": 1 + max((one["lastModtimestamp"] for one in inside), default=since),
            "hasMoreRecords": more,
            "hashRecords": shown,
        }
    )


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    """Both exchanges, until the block ends. User ``us``, password ``secret word``; keys ``sub-key`` and ``fn-key``."""
    server = Server()
    basic = "Basic " + base64.b64encode(b"us:secret word").decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            before = server.answered
            server.asked.append(self.path)
            if server.hold_at is not None and server.hold_at in self.path:
                server.held.set()
                server.gate.wait(60)
            url = urlsplit(self.path)
            headers, known = self.headers, url.path in ("/api/v2/entries", "/api/FetchHashes")
            keys = (headers["Ocp-Apim-Subscription-Key"], headers["x-functions-key"]) == ("sub-key", "fn-key")
            status = server.status if known else 404
            if headers["Authorization"] != basic and not keys:
                status = 401
            if server.fail_after is not None and before >= server.fail_after:
                status = 500
            body = b"<no/>"
            if status == 200:
                say = _xml if "v2" in url.path else _json
                body = say(server, parse_qs(url.query)).encode()[: server.cut]
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.gate.set()
        http.shutdown()
        thread.join()
        http.server_close()
