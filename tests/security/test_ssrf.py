"""The SSRF corpus: whatever a stranger writes, no connection goes to an address that is not public."""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator

import pytest

from addons.fetching.client import Fetcher, FetchError
from addons.fetching.resolving import SystemResolver
from addons.policy.words import Cause
from tests.addons.fetching.servers import Names, Served, answer, fetcher, says, serve
from tests.addons.fetching.servers import nothing_leaves_this_machine as nothing_leaves_this_machine

STAND_IN = ipaddress.ip_network("127.0.0.2/32")

# Every name here resolves to something inside; PORT is where a server listens that must never be reached.
INSIDE = {
    "localhost": ["127.0.0.1"],
    "sub.localhost": ["127.0.0.1"],
    "localhost.localdomain": ["::1"],
    "printer.local": ["192.168.1.5"],
    "vault.internal": ["10.0.0.7"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "intranet": ["172.16.3.4"],
    "127.0.0.1e0": ["127.0.0.1"],
    "ip6.example": ["fd00:ec2::254"],
    "link.example": ["fe80::1"],
    "zone.example": ["fe80::1%1"],
    "zero.example": ["0.0.0.0"],
    "zero6.example": ["::"],
    "mapped.example": ["::ffff:127.0.0.1"],
    "compatible.example": ["::7f00:1"],
    "translated.example": ["::ffff:0:127.0.0.1"],
    "nat64.example": ["64:ff9b::7f00:1"],
    "localnat64.example": ["64:ff9b:1::7f00:1"],
    "sixtofour.example": ["2002:7f00:1::1"],
    "teredo.example": ["2001:0:808:808::80ff:fffe"],
    "isatap.example": ["2606:4700::5efe:7f00:1"],
    "site.example": ["fec0::1"],
    "multicast.example": ["224.0.0.1"],
    "multicast6.example": ["ff02::1"],
    "broadcast.example": ["255.255.255.255"],
    "azure.example": ["168.63.129.16"],
    "alibaba.example": ["100.100.100.200"],
    "oracle.example": ["192.0.0.192"],
    "bench.example": ["198.18.0.1"],
    "docs.example": ["192.0.2.1"],
    "mixed-last.example": ["127.0.0.2", "127.0.0.1"],
    "mixed-first.example": ["127.0.0.1", "127.0.0.2"],
    "mixed-families.example": ["127.0.0.2", "::1"],
    "many.example": ["127.0.0.2"] * 65,
    "xn--bcher-kva.example": ["127.0.0.1"],
}
URLS = [
    *(f"http://{name}:PORT/" for name in INSIDE),
    "http://bücher.example:PORT/",
    "http://LOCALHOST:PORT/",
    "http://localhost.:PORT/",
    "http://ｌｏｃａｌｈｏｓｔ:PORT/",
    "http://127.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/",
    "http://127.1:PORT/",
    "http://127.0.1:PORT/",
    "http://2130706433:PORT/",
    "http://017700000001:PORT/",
    "http://0177.0.0.1:PORT/",
    "http://0x7f.1:PORT/",
    "http://0x7F000001:PORT/",
    "http://0x7f.0x0.0x0.0x1:PORT/",
    "http://4294967297.2130706433:PORT/",
    "http://127.0.0.256:PORT/",
    "http://00127.0.0.1:PORT/",
    "http://①②⑦。⓪。⓪。①:PORT/",
    "http://１２７.０.０.１:PORT/",
    "http://127。0。0。1:PORT/",
    "http://127\u00ad.0.0.1:PORT/",
    "http://%31%32%37.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/",
    "http://0:PORT/",
    "http://0.0.0.0:PORT/",
    "http://[::]:PORT/",
    "http://[::1]:PORT/",
    "http://[0:0:0:0:0:0:0:1]:PORT/",
    "http://[::ffff:127.0.0.1]:PORT/",
    "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/",
    "http://[64:ff9b::127.0.0.1]:PORT/",
    "http://[64:ff9b:1::127.0.0.1]:PORT/",
    "http://[2002:7f00:1::]:PORT/",
    "http://[fe80::1%25lo]:PORT/",
    "http://[fe80::1%lo]:PORT/",
    "http://[::1%25]:PORT/",
    "http://[::1:PORT/",
    "http://169.254.169.254/latest/meta-data/",
    "http://[fd00:ec2::254]/latest/meta-data/",
    "http://168.63.129.16/machine",
    "http://user@127.0.0.1:PORT/",
    "http://127.0.0.2@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT@127.0.0.2/",
    "http://127.0.0.2\\@127.0.0.1:PORT/",
    "http://127.0.0.2\t@127.0.0.1:PORT/",
    "http://127.0.0.1\t:PORT/",
    "http://127.0.0.1\n:PORT/",
    "http://127.0.0.1:PORT\r\nX: y/",
    "http:\\\\127.0.0.1:PORT/",
    "http:/\\127.0.0.1:PORT/",
    "http:127.0.0.1:PORT/",
    "http:/127.0.0.1:PORT/",
    "http:///127.0.0.1:PORT/",
    "//127.0.0.1:PORT/",
    "127.0.0.1:PORT/",
    "http://:PORT/",
    "http://",
    "",
    "ftp://127.0.0.1:PORT/",
    "gopher://127.0.0.1:PORT/_GET%20/",
    "file:///etc/hostname",
    "unix:///run/docker.sock",
    "javascript:fetch('http://127.0.0.1:PORT/')",
    "jar:http://127.0.0.1:PORT/!/",
    "http+unix://%2Frun%2Fdocker.sock/",
    "https://127.0.0.1:PORT/",
    "https://localhost:PORT/",
]


@pytest.fixture
async def inside() -> AsyncIterator[Served]:
    """A server on 127.0.0.1 that nobody may reach."""
    async with serve(says(answer(b"secret"))) as server:
        yield server
        assert server.connections == 0


def client(*ports: int, names: Names | None = None) -> Fetcher:
    """As in production, but for the ports, and 127.0.0.2 (nobody there) stands for the public internet."""
    return fetcher(80, 443, *ports, names=names or Names(**INSIDE), allow=(STAND_IN,))


async def cause_of(fetcher: Fetcher, url: str) -> FetchError:
    with pytest.raises(FetchError) as caught:
        await fetcher.get(url, timeout=5)
    return caught.value


@pytest.mark.parametrize("url", URLS)
async def test_written_by_a_stranger(inside: Served, url: str) -> None:
    error = await cause_of(client(inside.port), url.replace("PORT", str(inside.port)))
    assert error.cause is Cause.FETCH_REFUSED


@pytest.mark.parametrize("url", [url for url in URLS if url])
async def test_redirected_to(inside: Served, url: str) -> None:
    """From a host that may be fetched, 127.0.0.2, to everything that may not: 127.0.0.1 and the rest."""
    location = url.replace("PORT", str(inside.port)).encode("utf-8")
    response = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + location + b"\r\n\r\n"
    async with serve(says(response), host="127.0.0.2") as outside:
        names = Names(**(INSIDE | {"outside.example": ["127.0.0.2"]}))
        public = fetcher(80, 443, inside.port, outside.port, names=names, allow=(STAND_IN,), redirects=1)
        error = await cause_of(public, f"http://outside.example:{outside.port}/")
    # A line break ends the header, and what is no URL is a path at the same host: neither leads inside.
    assert error.cause in (Cause.FETCH_REFUSED, Cause.FETCH_FAILED)
    if "\n" not in url and url != "127.0.0.1:PORT/":
        assert error.cause is Cause.FETCH_REFUSED


async def test_the_systems_own_resolver_is_checked_too(inside: Served) -> None:
    system = Fetcher(client(inside.port).settings, client()._budget, resolver=SystemResolver(), tls=client()._tls)
    error = await cause_of(system, f"http://localhost:{inside.port}/")
    assert error.cause is Cause.FETCH_REFUSED
    assert error.address in ("127.0.0.1", "::1")


@pytest.mark.parametrize("port", [22, 25, 79, 81, 442, 444, 3306, 6379, 8080, 65535])
async def test_other_ports(port: int) -> None:
    error = await cause_of(client(), f"http://127.0.0.2:{port}/")
    assert error.cause is Cause.FETCH_REFUSED
    assert f"port {port}" in error.message


async def test_a_redirect_to_another_port() -> None:
    async with serve(says(b""), host="127.0.0.3") as other:
        away = says(answer(b"", "302 Found", {"Location": f"http://127.0.0.3:{other.port}/"}))
        async with serve(away, host="127.0.0.2") as outside:
            error = await cause_of(fetcher(outside.port), f"http://127.0.0.2:{outside.port}/")
        assert (error.cause, other.connections) == (Cause.FETCH_REFUSED, 0)


async def test_rebinding_finds_no_second_look() -> None:
    """127.0.0.2 stands for the public address that was checked, 127.0.0.3 for what the name means ever after."""
    async with (
        serve(says(answer(b"checked")), host="127.0.0.2") as two,
        serve(says(answer(b"rebound")), host="127.0.0.3", port=two.port) as three,
    ):
        names = Names(**{"rebind.example": [["127.0.0.2"], ["127.0.0.3"]]})
        public = fetcher(two.port, names=names, allow=(STAND_IN,))
        async with await public.get(f"http://rebind.example:{two.port}/", timeout=5) as fetched:
            assert (fetched.data, fetched.address) == (b"checked", "127.0.0.2")
        assert names.asked == ["rebind.example"]
        # The next fetch looks anew, and what it finds now is refused: nothing was kept open or remembered.
        error = await cause_of(public, f"http://rebind.example:{two.port}/")
        assert (error.cause, error.address) == (Cause.FETCH_REFUSED, "127.0.0.3")
        assert (two.connections, three.connections) == (1, 0)


async def test_rebinding_between_redirects_to_the_same_name() -> None:
    away = says(answer(b"", "302 Found", {"Location": "/again"}))
    async with serve(away, host="127.0.0.2") as two, serve(says(b""), host="127.0.0.3", port=two.port) as three:
        names = Names(**{"rebind.example": [["127.0.0.2"], ["127.0.0.3"]]})
        public = fetcher(two.port, names=names, allow=(STAND_IN,))
        error = await cause_of(public, f"http://rebind.example:{two.port}/")
        assert (error.cause, error.address, three.connections) == (Cause.FETCH_REFUSED, "127.0.0.3", 0)


async def test_a_failed_connection_is_not_looked_up_again() -> None:
    async with serve(says(b""), host="127.0.0.3") as three:
        names = Names(**{"rebind.example": [["127.0.0.2"], ["127.0.0.3"]]})
        error = await cause_of(fetcher(three.port, names=names), f"http://rebind.example:{three.port}/")
        assert (error.cause, names.asked, three.connections) == (Cause.FETCH_FAILED, ["rebind.example"], 0)


async def test_nothing_of_a_url_gets_into_another_header() -> None:
    async with serve(says(answer(b"x"))) as server:
        for url in ("/a%0d%0aX: y", "/\u2028X: y", "/a\x0bX: y", "/ HTTP/1.1 X: y", "/é\u560d\u560aX: y"):
            with contextlib.suppress(FetchError):
                (await fetcher(server.port).get(f"http://127.0.0.1:{server.port}{url}", timeout=5)).release()
        assert [head.count(b"\r\n") for head in server.heads] == [6] * 3
        assert all(head.split(b"\r\n")[0].count(b" ") == 2 for head in server.heads)


async def test_allow_opens_just_what_it_says(inside: Served) -> None:
    async with serve(says(answer(b"lan")), host="127.0.0.2") as lan:
        opened = fetcher(lan.port, inside.port, allow=(STAND_IN,))
        async with await opened.get(f"http://127.0.0.2:{lan.port}/", timeout=5) as fetched:
            assert fetched.data == b"lan"
        assert (await cause_of(opened, f"http://127.0.0.1:{inside.port}/")).cause is Cause.FETCH_REFUSED


async def test_what_is_refused_keeps_no_slot_and_no_bytes(inside: Served) -> None:
    refusing = client(inside.port)
    await asyncio.gather(*(cause_of(refusing, f"http://localhost:{inside.port}/{n}") for n in range(50)))
    assert not refusing._slots._hosts
    assert refusing._budget.used == 0


async def test_as_in_production_not_even_the_stand_in_is_reached() -> None:
    async with serve(says(b""), host="127.0.0.2") as server:
        error = await cause_of(fetcher(server.port, allow=()), f"http://127.0.0.2:{server.port}/")
        assert (error.cause, error.address, server.connections) == (Cause.FETCH_REFUSED, "127.0.0.2", 0)
