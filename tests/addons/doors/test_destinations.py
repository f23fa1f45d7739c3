import contextlib
from ipaddress import ip_address, ip_network

import pytest

from addons.doors.destinations import DestinationRefusedError, Destinations, is_here
from addons.fetching.addresses import AddressPolicy
from addons.fetching.resolving import MAX_ANSWERS, ResolveError
from tests.addons.fetching.servers import Names


@pytest.mark.parametrize(("count", "refused"), [(MAX_ANSWERS, False), (MAX_ANSWERS + 1, True)])
async def test_a_name_with_too_many_addresses_is_refused(count: int, refused: bool) -> None:
    found = Destinations(AddressPolicy(), Names(many_example=["9.9.9.9"] * count))
    with pytest.raises(DestinationRefusedError) if refused else contextlib.nullcontext():
        assert await found.find("many.example", 443, door=1) == [ip_address("9.9.9.9")]


@pytest.mark.parametrize("host", ["10.0.0.1", "::1", "mixed.example", "a b", "0x7f000001", "fe80::1%eth0"])
async def test_what_is_not_on_the_public_internet_is_refused(host: str) -> None:
    found = Destinations(AddressPolicy(), Names(mixed_example=["9.9.9.9", "192.168.0.1"]))
    with pytest.raises(DestinationRefusedError):
        await found.find(host, 443, door=1)


async def test_a_public_literal_is_not_resolved() -> None:
    names = Names()
    assert await Destinations(AddressPolicy(), names).find("2606:4700::1", 443, door=1) == [ip_address("2606:4700::1")]
    assert names.asked == []
    with pytest.raises(ResolveError):
        await Destinations(AddressPolicy(), names).find("unknown.example", 443, door=1)


@pytest.mark.parametrize(("port", "refused"), [(8541, True), (7, True), (8080, False)])
async def test_our_own_listeners_are_refused_where_loopback_is_open(port: int, refused: bool) -> None:
    policy = AddressPolicy([ip_network("127.0.0.0/8")])
    found = Destinations(policy, Names(), own=frozenset({8541}))
    with pytest.raises(DestinationRefusedError, match="door") if refused else contextlib.nullcontext():
        await found.find("127.0.0.1", port, door=7)


def test_ports_are_closed_unless_named() -> None:
    found = Destinations(AddressPolicy(), Names(), ports=frozenset({80}), tunnel_ports=frozenset({443}))
    found.check_port(80, tunnel=False)
    found.check_port(443, tunnel=True)
    with pytest.raises(DestinationRefusedError, match=r"doors\.fetch\.ports"):
        found.check_port(80, tunnel=True)
    with pytest.raises(DestinationRefusedError, match=r"\(fetch\.ports\)"):
        found.check_port(443, tunnel=False)


def test_addresses_of_this_machine_are_known() -> None:
    assert [is_here(ip_address(text)) for text in ("127.0.0.1", "0.0.0.0", "::1", "192.0.2.77")] == [True] * 3 + [False]
