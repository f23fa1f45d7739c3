import time
from ipaddress import ip_network

from mitmproxy.test.tflow import tflow

from addons.doors.assessing import read
from addons.doors.visits import Visit
from addons.judging.looking import Scope

BODY = b'{"type": "Like"}'


def test_who_brings_what() -> None:
    flow = tflow()
    flow.client_conn.peername = ("127.0.0.1", 1)
    flow.request.headers["X-Forwarded-For"] = "192.0.2.7"
    flow.request.headers.set_all("Content-Encoding", ["br", "gzip"])
    flow.request.data.content = BODY
    before = time.monotonic()
    visit = Visit.of(flow, [ip_network("127.0.0.1/32")], 4.0)
    assert (visit.raw, visit.encodings, visit.peer) == (BODY, ["br", "gzip"], "192.0.2.7")
    assert before + 4 >= visit.left > 0
    case = visit.case(read(BODY, Scope()))
    assert (case.raw, case.peer, case.started, case.until, case.encoded) == (
        BODY,
        "192.0.2.7",
        visit.started,
        visit.began + 4.0,
        True,
    )
    assert (case.signer.state, case.share, case.held) == ("unverified", "", None)


def test_a_body_that_is_not_there() -> None:
    flow = tflow()
    flow.request.data.content = None
    visit = Visit.of(flow, [], 0.0)
    assert (visit.raw, visit.left) == (b"", 0.0)
    assert not visit.case(read(BODY, Scope())).encoded
