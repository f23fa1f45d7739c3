from ipaddress import ip_address, ip_network

import pytest

from addons.doors.peers import MAX_HOPS, Connections, connection_key, is_trusted, parse_address, sender

TRUSTED = [ip_network("127.0.0.1/32"), ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
XFF, FORWARDED = "X-Forwarded-For", "Forwarded"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4 ", "1.2.3.4"),
        ("1.2.3.4:80", "1.2.3.4"),
        ('"1.2.3.4:80"', "1.2.3.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ('"[2001:db8::1]:4711"', "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:102:304]:80", "1.2.3.4"),
        ("", None),
        ("unknown", None),
        ("_hidden", None),
        ("1.2.3", None),
        ("1.2.3.4.5", None),
        ("01.2.3.4", None),
        ("0x1.2.3.4", None),
        ("16909060", None),
        ("[1.2.3.4", "1.2.3.4"),
        ("[", None),
        ("1.2.3.4, 5.6.7.8", None),
        ("a" * 10_000, None),
    ],
)
def test_addresses_as_peers_and_headers_write_them(text: str, address: str | None) -> None:
    assert parse_address(text) == (ip_address(address) if address else None)


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        # An untrusted peer is the sender, whatever it says.
        ("6.6.6.6", [], "6.6.6.6"),
        ("6.6.6.6", [(XFF, "1.2.3.4"), (FORWARDED, "for=1.2.3.4")], "6.6.6.6"),
        ("::ffff:6.6.6.6", [], "6.6.6.6"),
        ("2001:DB8::6", [], "2001:db8::6"),
        ("a unix socket", [(XFF, "1.2.3.4")], "a unix socket"),
        # A trusted one is believed about the hop before it.
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", [(XFF, "1.2.3.4")], "1.2.3.4"),
        ("::ffff:127.0.0.1", [(XFF, "1.2.3.4")], "1.2.3.4"),
        ("fd00::1", [(XFF, "1.2.3.4:5678")], "1.2.3.4"),
        ("127.0.0.1", [("x-forwarded-FOR", "[2001:db8::1]:80")], "2001:db8::1"),
        # What stands left of the last untrusted one is the sender's own word.
        ("127.0.0.1", [(XFF, "9.9.9.9, 1.2.3.4")], "1.2.3.4"),
        ("127.0.0.1", [(XFF, "10.0.0.1, 1.2.3.4")], "1.2.3.4"),
        ("127.0.0.1", [(XFF, "9.9.9.9, 1.2.3.4, 10.0.0.2,10.0.0.3")], "1.2.3.4"),
        ("127.0.0.1", [(XFF, "9.9.9.9"), (XFF, "1.2.3.4, 10.0.0.2")], "1.2.3.4"),
        ("127.0.0.1", [(XFF, "1.2.3.4, ::ffff:10.0.0.2")], "1.2.3.4"),
        # All of them trusted: the farthest one.
        ("127.0.0.1", [(XFF, "10.0.0.1, 10.0.0.2")], "10.0.0.1"),
        # What is no address ends the search at the hop before it.
        ("127.0.0.1", [(XFF, "1.2.3.4, unknown, 10.0.0.2")], "10.0.0.2"),
        ("127.0.0.1", [(XFF, "1.2.3.4, ")], "127.0.0.1"),
        ("127.0.0.1", [(XFF, "")], "127.0.0.1"),
        # RFC 7239 section 4.
        ("127.0.0.1", [(FORWARDED, "for=1.2.3.4")], "1.2.3.4"),
        ("127.0.0.1", [(FORWARDED, 'For="[2001:db8:cafe::17]:4711";proto=http')], "2001:db8:cafe::17"),
        ("127.0.0.1", [(FORWARDED, "for=9.9.9.9;by=1.1.1.1, proto=a; for = 1.2.3.4 ;host=x, for=10.0.0.1")], "1.2.3.4"),
        ("127.0.0.1", [(FORWARDED, "for=9.9.9.9"), (FORWARDED, 'for="1.2.3.4:80"')], "1.2.3.4"),
        ("127.0.0.1", [(FORWARDED, "for=1.2.3.4, for=_hidden")], "127.0.0.1"),
        ("127.0.0.1", [(FORWARDED, "for=1.2.3.4, for=unknown, for=10.0.0.1")], "10.0.0.1"),
        ("127.0.0.1", [(FORWARDED, "by=1.2.3.4;proto=http")], "127.0.0.1"),
        # A proxy that speaks the one passes the other on as its client wrote it.
        ("127.0.0.1", [(FORWARDED, "for=9.9.9.9"), (XFF, "1.2.3.4")], "1.2.3.4"),
    ],
)
def test_the_sender_is_the_last_untrusted_hop(peer: str, headers: list[tuple[str, str]], expected: str) -> None:
    assert sender(peer, headers, TRUSTED) == expected


def test_a_quote_cannot_hide_a_hop() -> None:
    """An honest proxy appends its element after whatever the client wrote, a quote left open included."""
    assert sender("127.0.0.1", [(FORWARDED, 'for="9.9.9.9, for=1.2.3.4')], TRUSTED) == "1.2.3.4"
    assert sender("127.0.0.1", [(FORWARDED, 'for="a;b", for=1.2.3.4')], TRUSTED) == "1.2.3.4"


@pytest.mark.parametrize(("proxies", "expected"), [(MAX_HOPS - 1, "1.2.3.4"), (MAX_HOPS, "10.0.0.1")])
def test_at_most_so_many_hops_are_followed(proxies: int, expected: str) -> None:
    chain = ", ".join(["1.2.3.4", *["10.0.0.1"] * proxies])
    assert sender("127.0.0.1", [(XFF, chain)], TRUSTED) == expected
    chain = ", ".join(["for=1.2.3.4", *["for=10.0.0.1"] * proxies])
    assert sender("127.0.0.1", [(FORWARDED, chain)], TRUSTED) == expected


def test_no_proxy_is_trusted_unless_named() -> None:
    assert sender("127.0.0.1", [(XFF, "1.2.3.4")], []) == "127.0.0.1"
    assert not is_trusted(ip_address("127.0.0.1"), [])
    assert is_trusted(ip_address("10.255.255.255"), TRUSTED)
    assert not is_trusted(ip_address("11.0.0.0"), TRUSTED)


def test_a_mapped_address_counts_as_its_ipv4_address() -> None:
    assert is_trusted(ip_address("::ffff:10.0.0.1"), TRUSTED)


@pytest.mark.parametrize(
    ("peer", "key"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", "2001:db8:0:1::/64"),
        ("2001:db8:0:2::1", "2001:db8:0:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a unix socket", "a unix socket"),
    ],
)
def test_connections_are_counted_by_customer(peer: str, key: str) -> None:
    assert connection_key(peer) == key


def test_connections_at_the_bound_and_one_past_it() -> None:
    connections = Connections(2, TRUSTED)
    assert [connections.opened("192.0.2.1") for _ in range(3)] == [True, True, False]
    assert connections.opened("192.0.2.2")
    connections.closed("192.0.2.1")
    assert not connections.opened("192.0.2.1")
    for _ in range(3):
        connections.closed("192.0.2.1")
    assert connections.opened("192.0.2.1")
    # one network of IPv6 is one peer
    assert [connections.opened(f"2001:db8::{host}") for host in (1, 2, 3)] == [True, True, False]


def test_our_own_proxies_bring_everybody() -> None:
    connections = Connections(1, TRUSTED)
    assert all(connections.opened("127.0.0.1") for _ in range(3))
