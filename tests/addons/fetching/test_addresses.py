from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from addons.fetching.addresses import AddressPolicy

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "168.63.129.15",
    "168.63.129.17",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::",
    "2606:4700:4700::1111",
    "2a00:1450:4001::5",
    "::ffff:8.8.8.8",
    "::8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::8.8.8.8",
    "64:ff9b:1::8.8.8.8",
    "2002:808:808::1",
    "2606:4700::5efe:8.8.8.8",
    "2606:4700::200:5efe:8.8.8.8",
]
REFUSED = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.1",
    "100.64.0.0",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.0",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.0",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::7f00:1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "64:ff9b:1::10.0.0.1",
    "64:ff9b:1:7f00:0:100::",  # 127.0.0.1 in a /48 (RFC 6052 2.2)
    "64:ff9b:1:0:7f:0:108:808",  # 127.0.0.1 in a /64, 1.8.8.8 at the end
    "64:ff9b:2::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::5efe:10.0.0.1",  # 6to4 that is ISATAP too
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:192.168.0.1",
    "3fff::1",
    "4000::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "fe80::1",
    "fe80::5efe:8.8.8.8",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2606:4700::1%eth0",
]


@pytest.mark.parametrize("text", PUBLIC)
def test_public(text: str) -> None:
    assert AddressPolicy().permits(ip_address(text))


@pytest.mark.parametrize("text", REFUSED)
def test_refused(text: str) -> None:
    assert not AddressPolicy().permits(ip_address(text))


def teredo(server: str, client: str) -> IPv6Address:
    """RFC 4380 4: prefix, server, flags, port, and the client's address inverted."""
    return IPv6Address(0x20010000 << 96 | int(IPv4Address(server)) << 64 | (int(IPv4Address(client)) ^ 0xFFFFFFFF))


@pytest.mark.parametrize(
    ("server", "client", "public"),
    [
        ("8.8.8.8", "9.9.9.9", True),
        ("127.0.0.1", "9.9.9.9", False),
        ("8.8.8.8", "127.0.0.1", False),
    ],
)
def test_teredo_is_judged_by_server_and_client(server: str, client: str, public: bool) -> None:
    assert AddressPolicy().permits(teredo(server, client)) is public


FORMS = {
    "mapped": lambda n: IPv6Address(0xFFFF << 32 | n),
    "compatible": lambda n: IPv6Address(n),
    "translated": lambda n: IPv6Address(0xFFFF << 48 | n),
    "nat64": lambda n: IPv6Address(0x64FF9B << 96 | n),
    "local nat64": lambda n: IPv6Address(0x64FF9B0001 << 80 | n),
    "6to4": lambda n: IPv6Address(0x2002 << 112 | n << 80 | 1),
    "isatap": lambda n: IPv6Address(0x2606470000000000 << 64 | 0x5EFE << 32 | n),
    "teredo client": lambda n: teredo("8.8.8.8", str(IPv4Address(n))),
    "teredo server": lambda n: teredo(str(IPv4Address(n)), "8.8.8.8"),
}
special = st.sampled_from([int(ip_address(text)) for text in PUBLIC + REFUSED if ":" not in text])


@pytest.mark.parametrize("form", FORMS)
@given(number=st.one_of(st.integers(0, 2**32 - 1), special))
def test_every_carrying_form_is_judged_like_the_plain_address(form: str, number: int) -> None:
    plain, carried = IPv4Address(number), FORMS[form](number)
    assert AddressPolicy().permits(carried) == AddressPolicy().permits(plain)
    lan = AddressPolicy([ip_network("10.0.0.0/8"), ip_network("127.0.0.0/8")])
    assert lan.permits(carried) == lan.permits(plain)


@given(st.ip_addresses())
def test_public_is_within_what_python_calls_global_once_nothing_is_carried(address: IPv4Address | IPv6Address) -> None:
    if AddressPolicy().permits(address) and (
        isinstance(address, IPv4Address) or int(address) >> 96 not in (0, 0x64FF9B)
    ):
        assert address.is_global or getattr(address, "sixtofour", None) or getattr(address, "teredo", None)
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("allow", "address", "permitted"),
    [
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.0/8", "128.0.0.1", True),
        ("127.0.0.0/8", "10.0.0.1", False),
        ("127.0.0.0/8", "::ffff:127.0.0.1", True),
        ("127.0.0.0/8", "::1", False),
        ("::ffff:127.0.0.0/104", "127.0.0.1", True),
        ("::ffff:127.0.0.0/104", "::ffff:127.0.0.1", True),
        ("::ffff:127.0.0.0/104", "10.0.0.1", False),
        ("192.168.1.0/24", "192.168.1.255", True),
        ("192.168.1.0/24", "192.168.2.0", False),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "fc00::1", False),
        ("64:ff9b:1::/48", "64:ff9b:1:7::1", True),
        ("fe80::/10", "fe80::1", True),
        ("fe80::/10", "fe80::1%eth0", False),
        ("::/0", "fe80::1%1", False),
    ],
)
def test_allow_opens_networks(allow: str, address: str, permitted: bool) -> None:
    assert AddressPolicy([ip_network(allow)]).permits(ip_address(address)) is permitted


def test_teredo_needs_both_ends_allowed() -> None:
    policy = AddressPolicy([ip_network("10.0.0.0/8")])
    assert policy.permits(teredo("10.0.0.1", "8.8.8.8"))
    assert not policy.permits(teredo("10.0.0.1", "127.0.0.1"))
